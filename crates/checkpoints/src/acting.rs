//! Pickles that would act on the machine when Python opens them.
//!
//! Nothing that a pickle names is called here, so this protects others: a file that would run a command
//! elsewhere should not be passed on as sound weights. It finds what is written in the open. Whoever hides a
//! name within the pickle is not found, and not obeyed either.

use pytorch_reader::PickleValue;

use crate::error::Problem;

/// Modules with which a pickle would act on the machine.
const MODULES: [&str; 18] = [
    "asyncio",
    "code",
    "commands",
    "ctypes",
    "importlib",
    "multiprocessing",
    "nt",
    "os",
    "pdb",
    "posix",
    "pty",
    "runpy",
    "shutil",
    "socket",
    "subprocess",
    "sys",
    "timeit",
    "webbrowser",
];
/// Functions of Python's own with which it would.
const BUILTINS: [&str; 6] = ["__import__", "compile", "eval", "exec", "execfile", "open"];
/// The longest module or function that is looked for.
const LONGEST_NAME: usize = 64;

/// The opcodes that name something: by two lines, and by the two texts before.
const GLOBAL: u8 = b'c';
const STACK_GLOBAL: u8 = 0x93;
/// A text of up to 255 bytes, after its length, and the opcode that remembers it.
const SHORT_TEXT: u8 = 0x8c;
const MEMOIZE: u8 = 0x94;

/// Refuses what became of a pickle where a part of it is the result of such a call.
pub(crate) fn refuse_in_value(value: &PickleValue) -> Result<(), Problem> {
    match value {
        PickleValue::List(values) => values.iter().try_for_each(refuse_in_value),
        PickleValue::Dict(values) => values.values().try_for_each(refuse_in_value),
        PickleValue::Unsupported(name) => match name.split_once('.') {
            Some((module, function)) if acts(module, function) => {
                Err(Problem::Hostile(name.escape_debug().take(2 * LONGEST_NAME).collect()))
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Refuses a pickle that names such a function, even where it throws the call's result away.
pub(crate) fn refuse_in_opcodes(pickle: &[u8]) -> Result<(), Problem> {
    for (at, opcode) in pickle.iter().enumerate() {
        let rest = &pickle[at + 1..];
        let named = match *opcode {
            GLOBAL => by_lines(rest),
            SHORT_TEXT => by_texts(rest),
            _ => None,
        };
        if let Some((module, function)) = named.filter(|(module, name)| acts(module, name)) {
            return Err(Problem::Hostile(format!("{module}.{function}")));
        }
    }
    Ok(())
}

fn acts(module: &str, function: &str) -> bool {
    match module {
        "builtins" | "__builtin__" => BUILTINS.contains(&function),
        _ => MODULES.contains(&module.split('.').next().unwrap_or_default()),
    }
}

/// Two lines with a name each.
fn by_lines(rest: &[u8]) -> Option<(&str, &str)> {
    let line = |bytes: &[u8]| bytes.iter().take(LONGEST_NAME).position(|&byte| byte == b'\n');
    let end = line(rest)?;
    let (module, rest) = (identifier(&rest[..end])?, &rest[end + 1..]);
    Some((module, identifier(&rest[..line(rest)?])?))
}

/// A text whose opcode was read, another one, and the opcode that makes a name of them.
fn by_texts(rest: &[u8]) -> Option<(&str, &str)> {
    let (module, rest) = text(rest)?;
    let (function, rest) = text(rest.strip_prefix(&[SHORT_TEXT])?)?;
    (rest.first() == Some(&STACK_GLOBAL)).then_some((module, function))
}

/// A text after its length, which may be remembered then; and what follows.
fn text(rest: &[u8]) -> Option<(&str, &[u8])> {
    let (&length, rest) = rest.split_first()?;
    let (text, rest) = rest.split_at_checked(length.into())?;
    Some((identifier(text)?, rest.strip_prefix(&[MEMOIZE]).unwrap_or(rest)))
}

/// A name of Python, which may have dots.
fn identifier(bytes: &[u8]) -> Option<&str> {
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.".contains(byte);
    let is_name = !bytes.is_empty() && bytes.iter().all(is_of_name);
    std::str::from_utf8(bytes).ok().filter(|_| is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_by_the_two_ways_of_naming() {
        for pickle in [
            &b"\x80\x02cos\nsystem\n(X\x02\x00\x00\x00lstR0}."[..],
            b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x8c\x02ls\x85R0}.",
            b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93\x8c\x02ls\x85R0}.",
            b"cos.path\njoin\n.",
        ] {
            assert!(matches!(refuse_in_opcodes(pickle), Err(Problem::Hostile(_))), "{pickle:?}");
        }
        for pickle in [
            &b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n."[..],
            b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x86.",
            b"\x80\x04\x8c\x08builtins\x8c\x03set\x93.",
            b"X\x08\x00\x00\x00y = cos\n.",
            b"c",
            b"cos\n",
            b"\x8c\xff",
            b"",
        ] {
            assert_eq!(refuse_in_opcodes(pickle), Ok(()), "{pickle:?}");
        }
    }
}
