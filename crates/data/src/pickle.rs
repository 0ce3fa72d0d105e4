//! Python pickles of plain data and byte arrays, read without running anything in them.
//!
//! A pickle is a program for a stack machine that may call any Python function by its name. Here the
//! few calls that rebuild a `bytes` or a numpy array of unsigned bytes are recognised by their names
//! and arguments; whatever else is called is refused. Protocols 0 to 4, the opcodes that numbers,
//! strings, lists, tuples, dicts and such arrays need:
//! <https://github.com/python/cpython/blob/main/Lib/pickletools.py>.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use crate::error::Malformed;

/// Values made and remembered in all; the largest batch of CIFAR-100 has a fifth of that.
const MOST_VALUES: usize = 1 << 20;
/// Containers in each other, a leaf in none; the batches of CIFAR have 2.
const MOST_DEPTH: usize = 8;
/// What all strings may be decoded to, in times the length of the pickle. Latin-1 text at most doubles
/// when it becomes UTF-8, and that is counted once more when it is encoded to bytes.
const MOST_DECODED: usize = 4;
/// Dimensions of an array, as in numpy.
const MOST_DIMENSIONS: usize = 32;
/// Characters shown of a name that is refused.
const MOST_SHOWN: usize = 80;

/// A result whose error says what is wrong at one place of the pickle.
type Result<T, E = String> = std::result::Result<T, E>;

/// A Python object, borrowing from the pickle where it can.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An `int` of at most 64 bits.
    Int(i64),
    /// A `str` of Python 3, a `unicode` of Python 2.
    Text(Rc<Cow<'a, str>>),
    /// A `bytes` of Python 3, a `str` of Python 2.
    Bytes(Rc<Cow<'a, [u8]>>),
    /// A `tuple`.
    Tuple(Vec<Value<'a>>),
    /// A `list`.
    List(Vec<Value<'a>>),
    /// A `dict`, in the order in which it was filled.
    Dict(Vec<(Value<'a>, Value<'a>)>),
    /// A `numpy.ndarray` of unsigned bytes.
    Array(Array<'a>),
    /// The type of the elements of such an array, `numpy.dtype('u1')`.
    UnsignedByte,
    /// One of the names that a pickle may call.
    Callable(Callable),
}

/// A numpy array of unsigned bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Array<'a> {
    /// Its sides; their product is the length of `values`.
    pub shape: Vec<usize>,
    /// Its elements, the last index the fastest.
    pub values: Rc<Cow<'a, [u8]>>,
}

/// What a pickle may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callable {
    /// `numpy.core.multiarray._reconstruct`: an array still without elements.
    Reconstruct,
    /// `numpy.ndarray`, an argument of the former.
    Ndarray,
    /// `numpy.dtype`: the type of elements.
    Dtype,
    /// `_codecs.encode`: `bytes` out of a `str`, for protocols that have no `bytes`.
    Encode,
}

/// Reads the one object that `pickle` holds.
///
/// # Errors
/// [`Malformed`] where `pickle` is cut off, is followed by more, calls something that plain data does not
/// need, holds an object of another type than [`Value`] has, or is made to use up memory.
pub fn read(pickle: &[u8]) -> Result<Value<'_>, Malformed> {
    let mut machine = Machine::new(pickle);
    loop {
        let at = machine.input.at;
        match machine.step() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(problem) => {
                return Err(format!("is no pickle of plain data: at byte {at} it {problem}").into());
            }
        }
    }
}

impl<'a> Value<'a> {
    /// What a dict has under `key`, whether that is a `str` or a `bytes`.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        let Value::Dict(entries) = self else { return None };
        // As in Python, the last entry replaces those before.
        entries.iter().rev().find(|(name, _)| name.is(key)).map(|(_, value)| value)
    }

    /// A `str` or a `bytes` as text.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Value::Text(text) => Some(Cow::Borrowed(text)),
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes)),
            _ => None,
        }
    }

    fn is(&self, name: &str) -> bool {
        match self {
            Value::Text(text) => **text == name,
            Value::Bytes(bytes) => ***bytes == *name.as_bytes(),
            _ => false,
        }
    }

    /// 0 for a leaf, and 1 for each container around the innermost one.
    fn depth(&self) -> usize {
        let deepest = |values: &[Value<'_>]| values.iter().map(Value::depth).max().unwrap_or(0);
        match self {
            Value::Tuple(values) | Value::List(values) => 1 + deepest(values),
            Value::Dict(entries) => {
                // Keys are leaves, see `Machine::set`.
                1 + entries.iter().map(|(_, value)| value.depth()).max().unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// Whether nothing that follows in the pickle can change it, and a copy costs nothing.
    fn is_leaf(&self) -> bool {
        !matches!(self, Value::Tuple(_) | Value::List(_) | Value::Dict(_) | Value::Array(_))
    }

    fn borrowed(bytes: &'a [u8]) -> Self {
        Value::Bytes(Rc::new(Cow::Borrowed(bytes)))
    }

    fn borrowed_text(bytes: &'a [u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|_| "has text that is not UTF-8")?;
        Ok(Value::Text(Rc::new(Cow::Borrowed(text))))
    }
}

impl Callable {
    fn named(module: &str, name: &str) -> Result<Self> {
        match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
                Ok(Callable::Reconstruct)
            }
            ("numpy", "ndarray") => Ok(Callable::Ndarray),
            ("numpy", "dtype") => Ok(Callable::Dtype),
            ("_codecs", "encode") => Ok(Callable::Encode),
            _ => {
                let full = format!("{module}.{name}");
                let shown: String = full.escape_debug().take(MOST_SHOWN).collect();
                Err(format!("names `{shown}`, which plain data does not need; nothing was run"))
            }
        }
    }
}

/// The machine that a pickle is a program for.
struct Machine<'a> {
    input: Input<'a>,
    stack: Vec<Value<'a>>,
    /// Lengths of `stack` at which opcodes that take many values stop.
    marks: Vec<usize>,
    /// What later opcodes may name again; none for a container, which may have changed since.
    memo: HashMap<usize, Option<Value<'a>>>,
    /// How many more values, marks and entries of the memo there may be.
    values_left: usize,
    /// How many more bytes strings may be decoded to.
    decoded_left: usize,
}

impl<'a> Machine<'a> {
    fn new(pickle: &'a [u8]) -> Self {
        Machine {
            input: Input { bytes: pickle, at: 0 },
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            values_left: MOST_VALUES,
            decoded_left: pickle.len().saturating_mul(MOST_DECODED),
        }
    }

    /// Obeys one opcode; returns the object of the pickle after the last.
    fn step(&mut self) -> Result<Option<Value<'a>>> {
        let opcode = self.input.byte()?;
        match opcode {
            // PROTO, FRAME: the other opcodes say the same by themselves.
            0x80 => self.check_protocol()?,
            0x95 => drop(self.input.array::<8>()?),
            b'(' => self.mark()?,
            b'.' => return self.stop().map(Some),
            b'p' | b'q' | b'r' | 0x94 => self.remember(opcode)?,
            b'g' | b'h' | b'j' => self.recall(opcode)?,
            b't' | b'l' | b'd' | b'a' | b'e' | b's' | b'u' | 0x85..=0x87 => self.gather(opcode)?,
            b'c' | 0x93 => self.name(opcode)?,
            b'R' => self.call()?,
            b'b' => self.build()?,
            _ => {
                let value = self.literal(opcode)?;
                self.push(value)?;
            }
        }
        Ok(None)
    }

    fn check_protocol(&mut self) -> Result<()> {
        match self.input.byte()? {
            0..=4 => Ok(()),
            protocol => Err(format!("is of protocol {protocol}, expected 0 to 4")),
        }
    }

    fn stop(&mut self) -> Result<Value<'a>> {
        let value = self.pop()?;
        match (self.stack.is_empty(), self.input.rest().len()) {
            (false, _) => Err("ends with more than one object".into()),
            (true, 0) => Ok(value),
            (true, more) => Err(format!("ends, but {more} more bytes follow")),
        }
    }

    /// The value that `opcode` and what follows it spell out.
    fn literal(&mut self, opcode: u8) -> Result<Value<'a>> {
        let input = &mut self.input;
        Ok(match opcode {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'I' => integer_line(input.line()?)?,
            b'L' => integer_line(without_l(input.line()?))?,
            b'J' => Value::Int(i32::from_le_bytes(input.array()?).into()),
            b'K' => Value::Int(input.byte()?.into()),
            b'M' => Value::Int(u16::from_le_bytes(input.array()?).into()),
            0x8a => integer_bytes(input.short_string()?)?,
            b'U' | b'C' => Value::borrowed(input.short_string()?),
            b'T' | b'B' => Value::borrowed(input.string()?),
            0x8c => Value::borrowed_text(input.short_string()?)?,
            b'X' => Value::borrowed_text(input.string()?)?,
            b'S' => {
                let line = self.input.line()?;
                self.spend(line.len())?;
                Value::Bytes(Rc::new(Cow::Owned(unquote(line)?)))
            }
            b'V' => {
                let line = self.input.line()?;
                self.spend(2 * line.len())?;
                Value::Text(Rc::new(Cow::Owned(unescape_unicode(line)?)))
            }
            b']' => Value::List(Vec::new()),
            b')' => Value::Tuple(Vec::new()),
            b'}' => Value::Dict(Vec::new()),
            _ => {
                return Err(format!(
                    "has the opcode 0x{opcode:02x}, which plain data does not need"
                ));
            }
        })
    }

    /// Makes a container of values on the stack, or adds them to one.
    fn gather(&mut self, opcode: u8) -> Result<()> {
        let values = match opcode {
            0x85..=0x87 => self.pop_many(usize::from(opcode - 0x84))?,
            b'a' => self.pop_many(1)?,
            b's' => self.pop_many(2)?,
            _ => self.pop_to_mark()?,
        };
        if values.iter().any(|value| value.depth() >= MOST_DEPTH) {
            return Err(format!("nests deeper than {MOST_DEPTH} containers"));
        }
        match opcode {
            b'l' => self.push(Value::List(values)),
            b'd' => self.push(Value::Dict(Vec::new())).and_then(|()| self.set(values)),
            b'a' | b'e' => match self.top()? {
                Value::List(list) => {
                    list.extend(values);
                    Ok(())
                }
                _ => Err("appends to something that is no list".into()),
            },
            b's' | b'u' => self.set(values),
            _ => self.push(Value::Tuple(values)),
        }
    }

    /// Adds `values`, keys and values in turn, to the dict on top of the stack.
    fn set(&mut self, values: Vec<Value<'a>>) -> Result<()> {
        let Value::Dict(entries) = self.top()? else {
            return Err("sets an entry of something that is no dict".into());
        };
        let mut values = values.into_iter();
        while let Some(key) = values.next() {
            match values.next() {
                Some(value) if key.is_leaf() => entries.push((key, value)),
                Some(_) => return Err("has a key that is a container".into()),
                None => return Err("has a key without a value".into()),
            }
        }
        Ok(())
    }

    fn remember(&mut self, opcode: u8) -> Result<()> {
        let place = self.place(opcode)?;
        self.count()?;
        let value = self.top()?;
        let kept = value.is_leaf().then(|| value.clone());
        self.memo.insert(place, kept);
        Ok(())
    }

    fn recall(&mut self, opcode: u8) -> Result<()> {
        let place = self.place(opcode)?;
        match self.memo.get(&place) {
            Some(Some(value)) => {
                let value = value.clone();
                self.push(value)
            }
            Some(None) => Err("refers back to a container, which is not supported".into()),
            None => Err(format!("refers back to object {place}, which there is not")),
        }
    }

    /// The place in the memo that `opcode` is about.
    fn place(&mut self, opcode: u8) -> Result<usize> {
        match opcode {
            b'p' | b'g' => number(self.input.line()?),
            b'q' | b'h' => Ok(self.input.byte()?.into()),
            b'r' | b'j' => Ok(u32::from_le_bytes(self.input.array()?) as usize),
            _ => Ok(self.memo.len()),
        }
    }

    /// Pushes what a name stands for.
    fn name(&mut self, opcode: u8) -> Result<()> {
        let callable = if opcode == b'c' {
            let (module, name) = (self.input.line()?, self.input.line()?);
            Callable::named(&String::from_utf8_lossy(module), &String::from_utf8_lossy(name))?
        } else {
            match &self.pop_many(2)?[..] {
                [Value::Text(module), Value::Text(name)] => Callable::named(module, name)?,
                _ => return Err("names something by other than text".into()),
            }
        };
        self.push(Value::Callable(callable))
    }

    /// Does what a call would, where it is one of those that plain data needs.
    fn call(&mut self) -> Result<()> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let (Value::Callable(callable), Value::Tuple(arguments)) = (callable, arguments) else {
            return Err("calls something that is no function".into());
        };
        let value = match (callable, &arguments[..]) {
            (Callable::Reconstruct, [Value::Callable(Callable::Ndarray), _, _]) => {
                Value::Array(Array { shape: vec![0], values: Rc::default() })
            }
            (Callable::Dtype, [kind, ..]) if kind.is("u1") => Value::UnsignedByte,
            (Callable::Dtype, [kind, ..]) => {
                let kind: String =
                    kind.text().unwrap_or_default().chars().take(MOST_SHOWN).collect();
                return Err(format!("has an array of {kind:?}, expected \"u1\", unsigned bytes"));
            }
            (Callable::Encode, [Value::Text(text), encoding]) if encoding.is("latin1") => {
                self.spend(text.len())?;
                Value::Bytes(Rc::new(Cow::Owned(encode_latin1(text)?)))
            }
            _ => return Err(format!("calls {callable:?} with arguments that are not supported")),
        };
        self.push(value)
    }

    /// Completes the object below its state, the top of the stack.
    fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        match self.top()? {
            // The state is the order of the bytes of an element, of which there is one.
            Value::UnsignedByte => Ok(()),
            Value::Array(array) => {
                *array = Array::from_state(state)?;
                Ok(())
            }
            _ => Err("sets the state of something that has none".into()),
        }
    }

    fn mark(&mut self) -> Result<()> {
        self.count()?;
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn push(&mut self, value: Value<'a>) -> Result<()> {
        self.count()?;
        self.stack.push(value);
        Ok(())
    }

    fn count(&mut self) -> Result<()> {
        self.values_left = self
            .values_left
            .checked_sub(1)
            .ok_or_else(|| format!("has more than {MOST_VALUES} values"))?;
        Ok(())
    }

    fn spend(&mut self, bytes: usize) -> Result<()> {
        self.decoded_left = self
            .decoded_left
            .checked_sub(bytes)
            .ok_or_else(|| format!("unfolds to more than {MOST_DECODED} times its size"))?;
        Ok(())
    }

    /// Where the values above the last mark begin.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Value<'a>> {
        let above_mark = self.stack.len() > self.floor();
        self.stack.pop().filter(|_| above_mark).ok_or_else(nothing_there)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value<'a>>> {
        match self.stack.len().checked_sub(count) {
            Some(rest) if rest >= self.floor() => Ok(self.stack.drain(rest..).collect()),
            _ => Err(nothing_there()),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'a>>> {
        let mark = self.marks.pop().ok_or_else(nothing_there)?;
        Ok(self.stack.drain(mark..).collect())
    }

    fn top(&mut self) -> Result<&mut Value<'a>> {
        let floor = self.floor();
        self.stack[floor..].last_mut().ok_or_else(nothing_there)
    }
}

fn nothing_there() -> String {
    "takes a value where there is none".into()
}

impl<'a> Array<'a> {
    /// The array that numpy's `__reduce__` gave `state` of.
    fn from_state(state: Value<'a>) -> Result<Self> {
        let Value::Tuple(state) = state else {
            return Err("has an array whose state is no tuple".into());
        };
        let (shape, values) = match &state[..] {
            [
                Value::Int(1),
                Value::Tuple(shape),
                Value::UnsignedByte,
                Value::Bool(false),
                Value::Bytes(values),
            ] => (sides(shape)?, Rc::clone(values)),
            [_, _, _, Value::Bool(true), _] => {
                return Err("has an array stored column by column, expected row by row".into());
            }
            _ => return Err("has an array whose state is not supported".into()),
        };
        let length = shape.iter().try_fold(1_usize, |length, &side| length.checked_mul(side));
        match length == Some(values.len()) {
            true => Ok(Array { shape, values }),
            false => Err(format!("has an array of shape {shape:?} with {} values", values.len())),
        }
    }
}

fn sides(shape: &[Value<'_>]) -> Result<Vec<usize>> {
    let side = |value: &Value<'_>| match value {
        Value::Int(side) => usize::try_from(*side).ok(),
        _ => None,
    };
    let sides: Option<Vec<usize>> = shape.iter().map(side).collect();
    let sides = sides.filter(|sides| sides.len() <= MOST_DIMENSIONS);
    sides.ok_or_else(|| "has an array whose shape is not a tuple of at most 32 sizes".into())
}

/// What of a pickle is still to be obeyed.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let taken = self.rest().get(..count).ok_or("ends before it is complete")?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    /// Bytes after their number, which is one byte.
    fn short_string(&mut self) -> Result<&'a [u8]> {
        let length = self.byte()?;
        self.take(length.into())
    }

    /// Bytes after their number, which is four bytes.
    fn string(&mut self) -> Result<&'a [u8]> {
        let length = u32::from_le_bytes(self.array()?);
        self.take(length as usize)
    }

    fn line(&mut self) -> Result<&'a [u8]> {
        let rest = self.rest();
        let end = rest.iter().position(|&byte| byte == b'\n');
        let end = end.ok_or("ends before its line is complete")?;
        self.at += end + 1;
        Ok(&rest[..end])
    }
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Result<T> {
    let digits = std::str::from_utf8(digits).ok();
    let number = digits.and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| "has a number that is none, or is too large".into())
}

fn integer_line<'a>(line: &[u8]) -> Result<Value<'a>> {
    match line {
        b"00" => Ok(Value::Bool(false)),
        b"01" => Ok(Value::Bool(true)),
        _ => number(line).map(Value::Int),
    }
}

/// The digits of a `long` of Python 2.
fn without_l(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"L").unwrap_or(line)
}

/// Two's complement, the lowest byte first.
fn integer_bytes<'a>(bytes: &[u8]) -> Result<Value<'a>> {
    let sign = if bytes.last().is_some_and(|&highest| highest > 0x7f) { 0xff } else { 0 };
    let mut whole = [sign; 8];
    let lowest = whole.get_mut(..bytes.len()).ok_or("has a number of more than 64 bits")?;
    lowest.copy_from_slice(bytes);
    Ok(Value::Int(i64::from_le_bytes(whole)))
}

/// Undoes the `repr` of a `str` of Python 2.
fn unquote(line: &[u8]) -> Result<Vec<u8>> {
    let inner = match line {
        [first @ (b'\'' | b'"'), inner @ .., last] if first == last => inner,
        _ => return Err("has a string without quotes around it".into()),
    };
    let mut bytes = Vec::new();
    let mut rest = inner.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => unescape(&mut rest).ok_or("has a string with an unknown escape")?,
            _ => byte,
        });
    }
    Ok(bytes)
}

/// The byte that stands after a backslash.
fn unescape<'a>(rest: &mut impl Iterator<Item = &'a u8>) -> Option<u8> {
    match rest.next()? {
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        b'x' => Some(hex_digit(rest.next()?)? << 4 | hex_digit(rest.next()?)?),
        &byte @ (b'\\' | b'\'' | b'"') => Some(byte),
        _ => None,
    }
}

fn hex_digit(digit: &u8) -> Option<u8> {
    char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Python's `raw-unicode-escape`: Latin-1, in which `\uXXXX` and `\UXXXXXXXX` stand for the rest.
fn unescape_unicode(line: &[u8]) -> Result<String> {
    let mut text = String::new();
    let mut rest = line;
    while let [first, after @ ..] = rest {
        let digits = match rest {
            [b'\\', b'u', ..] => 4,
            [b'\\', b'U', ..] => 8,
            _ => {
                text.push(char::from(*first));
                rest = after;
                continue;
            }
        };
        let code = rest.get(2..2 + digits).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = code.and_then(|hex| u32::from_str_radix(hex, 16).ok());
        let char = code.and_then(char::from_u32).ok_or("has text with an unknown escape")?;
        text.push(char);
        rest = &rest[2 + digits..];
    }
    Ok(text)
}

fn encode_latin1(text: &str) -> Result<Vec<u8>> {
    let bytes: Option<Vec<u8>> = text.chars().map(|char| u8::try_from(char).ok()).collect();
    bytes.ok_or_else(|| "encodes text that is not Latin-1".into())
}

/// Pickles as Python 2 writes them.
#[cfg(test)]
pub(super) mod fixture {
    /// A dict as `cPickle` of Python 2 writes it at protocol 2, which is how CIFAR is published.
    pub(crate) struct Pickler {
        bytes: Vec<u8>,
        remembered: u8,
    }

    impl Pickler {
        /// A dict without entries. What follows are its keys and values in turn.
        pub(crate) fn dict() -> Self {
            Self { bytes: b"\x80\x02".to_vec(), remembered: 0 }.raw(b"}").remember().raw(b"(")
        }

        pub(crate) fn finish(self) -> Vec<u8> {
            self.raw(b"u.").bytes
        }

        pub(crate) fn string(self, string: &str) -> Self {
            let length = u8::try_from(string.len()).unwrap();
            self.raw(&[b'U', length]).raw(string.as_bytes()).remember()
        }

        pub(crate) fn number(self, number: i32) -> Self {
            match (u8::try_from(number), u16::try_from(number)) {
                (Ok(byte), _) => self.raw(&[b'K', byte]),
                (_, Ok(short)) => self.raw(b"M").raw(&short.to_le_bytes()),
                _ => self.raw(b"J").raw(&number.to_le_bytes()),
            }
        }

        pub(crate) fn strings(self, strings: &[&str]) -> Self {
            let list = self.raw(b"]").remember().raw(b"(");
            strings.iter().fold(list, |list, string| list.string(string)).raw(b"e")
        }

        pub(crate) fn numbers(self, numbers: &[u8]) -> Self {
            let list = self.raw(b"]").remember().raw(b"(");
            numbers.iter().fold(list, |list, &number| list.number(number.into())).raw(b"e")
        }

        pub(crate) fn array(self, shape: &[i32; 2], values: &[u8]) -> Self {
            self.raw(b"cnumpy.core.multiarray\n_reconstruct\n")
                .remember()
                .raw(b"cnumpy\nndarray\n")
                .remember()
                .raw(b"K\x00\x85U\x01b\x87R")
                .remember()
                .raw(b"(K\x01")
                .number(shape[0])
                .number(shape[1])
                .raw(b"\x86cnumpy\ndtype\n")
                .remember()
                .raw(b"U\x02u1K\x00K\x01\x87R")
                .remember()
                .raw(b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T")
                .raw(&u32::try_from(values.len()).unwrap().to_le_bytes())
                .raw(values)
                .raw(b"tb")
        }

        pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
            self.bytes.extend(bytes);
            self
        }

        fn remember(mut self) -> Self {
            self.remembered += 1;
            let place = self.remembered;
            self.raw(&[b'q', place])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::Pickler;
    use super::*;

    /// `{'data': numpy.array([[0, 1, 2], [127, 128, 255]], 'u1'), 'labels': [1, -2, 70000],
    /// b'n': b'\x80a', 'x': (True, None)}`, dumped by Python 3.11 at protocols 0 to 4.
    const PYTHON_3: [&[u8]; 5] = [
        b"(dp0\nVdata\np1\ncnumpy._core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\nt\
          p4\nc_codecs\nencode\np5\n(Vb\np6\nVlatin1\np7\ntp8\nRp9\ntp10\nRp11\n(I1\n(I2\nI3\ntp12\
          \ncnumpy\ndtype\np13\n(Vu1\np14\nI00\nI01\ntp15\nRp16\n(I3\nV|\np17\nNNNI-1\nI-1\nI0\ntp\
          18\nbI00\ng5\n(V\\u0000\x01\x02\x7f\x80\xff\np19\ng7\ntp20\nRp21\ntp22\nbsVlabels\np23\n\
          (lp24\nI1\naI-2\naI70000\nasg5\n(Vn\np25\ng7\ntp26\nRp27\ng5\n(V\x80a\np28\ng7\ntp29\nRp\
          30\nsVx\np31\n(I01\nNtp32\ns.",
        b"}q\x00(X\x04\x00\x00\x00dataq\x01cnumpy._core.multiarray\n_reconstruct\nq\x02(cnumpy\nnd\
          array\nq\x03(K\x00tq\x04c_codecs\nencode\nq\x05(X\x01\x00\x00\x00bq\x06X\x06\x00\x00\x00\
          latin1q\x07tq\x08Rq\x09tq\nRq\x0b(K\x01(K\x02K\x03tq\x0ccnumpy\ndtype\nq\x0d(X\x02\x00\
          \x00\x00u1q\x0eI00\nI01\ntq\x0fRq\x10(K\x03X\x01\x00\x00\x00|q\x11NNNJ\xff\xff\xff\xffJ\
          \xff\xff\xff\xffK\x00tq\x12bI00\nh\x05(X\x08\x00\x00\x00\x00\x01\x02\x7f\xc2\x80\xc3\xbf\
          q\x13h\x07tq\x14Rq\x15tq\x16bX\x06\x00\x00\x00labelsq\x17]q\x18(K\x01J\xfe\xff\xff\xffJp\
          \x11\x01\x00eh\x05(X\x01\x00\x00\x00nq\x19h\x07tq\x1aRq\x1bh\x05(X\x03\x00\x00\x00\xc2\
          \x80aq\x1ch\x07tq\x1dRq\x1eX\x01\x00\x00\x00xq\x1f(I01\nNtq u.",
        b"\x80\x02}q\x00(X\x04\x00\x00\x00dataq\x01cnumpy._core.multiarray\n_reconstruct\nq\x02cnu\
          mpy\nndarray\nq\x03K\x00\x85q\x04c_codecs\nencode\nq\x05X\x01\x00\x00\x00bq\x06X\x06\x00\
          \x00\x00latin1q\x07\x86q\x08Rq\x09\x87q\nRq\x0b(K\x01K\x02K\x03\x86q\x0ccnumpy\ndtype\nq\
          \x0dX\x02\x00\x00\x00u1q\x0e\x89\x88\x87q\x0fRq\x10(K\x03X\x01\x00\x00\x00|q\x11NNNJ\xff\
          \xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x12b\x89h\x05X\x08\x00\x00\x00\x00\x01\x02\x7f\xc2\
          \x80\xc3\xbfq\x13h\x07\x86q\x14Rq\x15tq\x16bX\x06\x00\x00\x00labelsq\x17]q\x18(K\x01J\
          \xfe\xff\xff\xffJp\x11\x01\x00eh\x05X\x01\x00\x00\x00nq\x19h\x07\x86q\x1aRq\x1bh\x05X\
          \x03\x00\x00\x00\xc2\x80aq\x1ch\x07\x86q\x1dRq\x1eX\x01\x00\x00\x00xq\x1f\x88N\x86q u.",
        b"\x80\x03}q\x00(X\x04\x00\x00\x00dataq\x01cnumpy._core.multiarray\n_reconstruct\nq\x02cnu\
          mpy\nndarray\nq\x03K\x00\x85q\x04C\x01bq\x05\x87q\x06Rq\x07(K\x01K\x02K\x03\x86q\x08cnum\
          py\ndtype\nq\x09X\x02\x00\x00\x00u1q\n\x89\x88\x87q\x0bRq\x0c(K\x03X\x01\x00\x00\x00|q\
          \x0dNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0eb\x89C\x06\x00\x01\x02\x7f\x80\xffq\
          \x0ftq\x10bX\x06\x00\x00\x00labelsq\x11]q\x12(K\x01J\xfe\xff\xff\xffJp\x11\x01\x00eC\x01\
          nq\x13C\x02\x80aq\x14X\x01\x00\x00\x00xq\x15\x88N\x86q\x16u.",
        b"\x80\x04\x95\xc6\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x04data\x94\x8c\x16numpy._core.mu\
          ltiarray\x94\x8c\x0c_reconstruct\x94\x93\x94\x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\x94\
          K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\x01K\x02K\x03\x86\x94h\x05\x8c\x05dtype\x94\x93\
          \x94\x8c\x02u1\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94NNNJ\xff\xff\xff\xffJ\xff\xff\
          \xff\xffK\x00t\x94b\x89C\x06\x00\x01\x02\x7f\x80\xff\x94t\x94b\x8c\x06labels\x94]\x94(K\
          \x01J\xfe\xff\xff\xffJp\x11\x01\x00eC\x01n\x94C\x02\x80a\x94\x8c\x01x\x94\x88N\x86\x94u.",
    ];

    fn bytes(bytes: &[u8]) -> Value<'_> {
        Value::borrowed(bytes)
    }

    fn refusal(pickle: &[u8]) -> String {
        read(pickle).unwrap_err().to_string()
    }

    fn assert_is_sample(value: &Value<'_>) {
        let Some(Value::Array(array)) = value.get("data") else { panic!("{value:?}") };
        assert_eq!(array.shape, [2, 3]);
        assert_eq!(array.values[..], [0, 1, 2, 127, 128, 255]);
        let labels = [1, -2, 70_000].map(Value::Int).to_vec();
        assert_eq!(value.get("labels"), Some(&Value::List(labels)));
        assert_eq!(value.get("n"), Some(&bytes(b"\x80a")));
        assert_eq!(value.get("x"), Some(&Value::Tuple(vec![Value::Bool(true), Value::None])));
        assert_eq!(value.get("y"), None);
    }

    #[test]
    fn what_python_3_writes_is_read() {
        for pickle in PYTHON_3 {
            assert_is_sample(&read(pickle).unwrap());
        }
    }

    #[test]
    fn what_python_2_writes_is_read_without_copying_the_array() {
        let pickle = Pickler::dict()
            .string("data")
            .array(&[2, 3], &[0, 1, 2, 127, 128, 255])
            .string("labels")
            .raw(b"](")
            .number(1)
            .number(-2)
            .number(70_000)
            .raw(b"e")
            .string("n")
            .raw(b"U\x02\x80aU\x01x\x88N\x86")
            .finish();
        let value = read(&pickle).unwrap();
        assert_is_sample(&value);
        let Some(Value::Array(array)) = value.get("data") else { panic!("{value:?}") };
        assert!(matches!(*array.values, Cow::Borrowed(_)));
    }

    #[test]
    fn text_and_numbers_of_protocol_0_are_read() {
        let of = |pickle: &'static [u8]| read(pickle).unwrap();
        assert_eq!(of(b"S'a\\x80\\n\\'\\\\'\n."), bytes(b"a\x80\n'\\"));
        assert_eq!(of(b"S\"it's\"\n."), bytes(b"it's"));
        assert_eq!(
            of(b"V\\u20ac\\U0001f600\xe9\\x\n.").text().unwrap(),
            "\u{20ac}\u{1f600}\u{e9}\\x"
        );
        assert_eq!(of(b"L-12L\n."), Value::Int(-12));
        assert_eq!(of(b"\x8a\x02\x00\xff."), Value::Int(-256));
        assert_eq!(of(b"\x8a\x00."), Value::Int(0));
        assert_eq!(of(b"(I1\nI01\nl."), Value::List(vec![Value::Int(1), Value::Bool(true)]));
        assert_eq!(of(b"(S'k'\nI1\nd.").get("k"), Some(&Value::Int(1)));
        for pickle in [
            &b"S'a\n."[..],
            b"S'\\q'\n.",
            b"V\\ud800\n.",
            b"Vx\\u12\n.",
            b"I1.5\n.",
            b"I9223372036854775808\n.",
        ] {
            refusal(pickle);
        }
    }

    #[test]
    fn the_last_of_equal_keys_counts() {
        let pickle = Pickler::dict().string("a").number(1).string("a").number(2).finish();
        assert_eq!(read(&pickle).unwrap().get("a"), Some(&Value::Int(2)));
    }

    #[test]
    fn other_names_are_refused_by_name() {
        for (pickle, name) in [
            (&b"cos\nsystem\n(S'echo'\ntR."[..], "`os.system`"),
            (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "`builtins.eval`"),
            (b"cnumpy\nload\n.", "`numpy.load`"),
            (b"c_codecs\ndecode\n.", "`_codecs.decode`"),
            (b"c\xff\x1b[31m\nx\n.", "\\u{1b}[31m.x`"),
        ] {
            let message = refusal(pickle);
            assert!(message.contains(name) && message.contains("nothing was run"), "{message}");
        }
        let long = [b"c", &[b'a'; 1000][..], b"\n\n."].concat();
        assert!(refusal(&long).len() < 200);
    }

    #[test]
    fn other_calls_of_known_names_are_refused() {
        for (pickle, problem) in [
            (&b"c_codecs\nencode\n(Va\nVutf-8\ntR."[..], "calls Encode"),
            (b"c_codecs\nencode\n(Va\ntR.", "calls Encode"),
            (b"c_codecs\nencode\n(V\\u20ac\nVlatin1\ntR.", "not Latin-1"),
            (b"cnumpy\nndarray\n)R.", "calls Ndarray"),
            (b"cnumpy\ndtype\n)R.", "calls Dtype"),
            (b"cnumpy\ndtype\n(S'O8'\ntR.", "an array of \"O8\""),
            (b"I1\n)R.", "no function"),
            (b"cnumpy\ndtype\nI1\nR.", "no function"),
            (b"]I1\nb.", "has none"),
        ] {
            let message = refusal(pickle);
            assert!(message.contains(problem), "{message}");
        }
    }

    #[test]
    fn an_array_must_be_what_its_shape_says() {
        let array = |shape: &[u8], fortran: u8, values: &[u8]| {
            let start = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01";
            let kind = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R";
            let length = [b'U', values.len() as u8];
            [&start[..], shape, kind, &[fortran], &length, values, b"tb."].concat()
        };
        read(&array(b"K\x02K\x03\x86", 0x89, &[0; 6])).unwrap();
        read(&array(b")", 0x89, &[0])).unwrap();
        let many = [&b"("[..], &[b'K'; 66], b"t"].concat();
        let huge = b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x87";
        for (pickle, problem) in [
            (array(b"K\x02K\x03\x86", 0x89, &[0; 5]), "shape [2, 3] with 5 values"),
            (array(huge, 0x89, &[]), "with 0 values"),
            (array(b"K\x02K\x03\x86", 0x88, &[0; 6]), "column by column"),
            (array(b"J\xff\xff\xff\xff\x85", 0x89, &[]), "not a tuple of at most 32 sizes"),
            (array(&many, 0x89, &[0]), "not a tuple of at most 32 sizes"),
            (array(b"K\x01", 0x89, &[0]), "not supported"),
        ] {
            let message = refusal(&pickle);
            assert!(message.contains(problem), "{message}");
        }
    }

    #[test]
    fn a_pickle_that_makes_no_sense_is_refused() {
        for (pickle, problem) in [
            (&b""[..], "at byte 0 it ends before"),
            (b".", "takes a value where there is none"),
            (b"N", "at byte 1 it ends before"),
            (b"NN.", "more than one object"),
            (b"N.N", "1 more bytes follow"),
            (b"\x80\x05N.", "is of protocol 5, expected 0 to 4"),
            (b"X\xff\xff\xff\xffabc.", "ends before"),
            (b"T\xff\xff\xff\x7fabc.", "ends before"),
            (b"cos", "line is complete"),
            (b"h\x05.", "object 5, which there is not"),
            (b"]q\x01h\x01.", "refers back to a container"),
            (b"Nt.", "where there is none"),
            (b"N(0.", "opcode 0x30"),
            (b"N(\x85.", "where there is none"),
            (b"N(q\x01.", "where there is none"),
            (b"NNa.", "no list"),
            (b"NNNs.", "no dict"),
            (b"}(Nu.", "key without a value"),
            (b"}]Ns.", "key that is a container"),
            (b"X\x01\x00\x00\x00\xff.", "not UTF-8"),
            (b"\x8a\x09123456789.", "more than 64 bits"),
            (b"(i__main__\nA\n.", "opcode 0x69"),
        ] {
            let message = refusal(pickle);
            assert!(message.contains(problem), "{message}");
            assert!(message.starts_with("is no pickle of plain data: at byte "), "{message}");
        }
    }

    #[test]
    fn what_would_use_up_memory_is_refused() {
        let nested = [&b"N"[..], &[0x85; 100_000], b"."].concat();
        assert!(refusal(&nested).contains("nests deeper than 8"));
        let many = [&b"("[..], &vec![b'N'; MOST_VALUES], b"l."].concat();
        assert!(refusal(&many).contains("more than 1048576 values"));
        let marks = vec![b'('; MOST_VALUES + 1];
        assert!(refusal(&marks).contains("more than 1048576 values"));
        let text =
            [&b"c_codecs\nencode\np0\n(V"[..], &[b'a'; 1000], b"\np1\nVlatin1\np2\nt("].concat();
        let again = b"g0\n(g1\ng2\ntR".repeat(1000);
        assert!(
            refusal(&[&text[..], &again, b"l."].concat()).contains("unfolds to more than 4 times")
        );
    }

    #[test]
    fn no_change_of_a_byte_panics_and_no_cut_is_accepted() {
        let python_2 = Pickler::dict().string("data").array(&[1, 2], &[1, 2]).finish();
        for pickle in PYTHON_3.into_iter().chain([&python_2[..]]) {
            for length in 0..pickle.len() {
                refusal(&pickle[..length]);
            }
            let mut changed = pickle.to_vec();
            for at in 0..pickle.len() {
                for byte in 0..=255 {
                    changed[at] = byte;
                    let _ = read(&changed);
                }
                changed[at] = pickle[at];
            }
        }
    }
}
