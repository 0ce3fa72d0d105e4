//! Decoders of other crates, kept from ending a run: a file that makes one panic is a broken image.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};

use super::DecodeError;

thread_local! {
    /// Whether a panic of this thread would be caught.
    static CATCHES: Cell<bool> = const { Cell::new(false) };
}

/// Runs a decoder on a file of `format`. Its panic is the file's damage.
pub(super) fn catch_panics<T>(
    format: &'static str,
    decode: impl FnOnce() -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let outer = CATCHES.replace(true);
    // Nothing half-changed is seen again: the decoder is gone with the closure.
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    CATCHES.set(outer);
    decoded.unwrap_or_else(|panic| {
        let reason = format!("its decoder gave up: {}", message(&*panic));
        Err(DecodeError::damaged(format, reason))
    })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it does not say why")
}

/// Keeps the caught panics of decoders, which become [`DecodeError`]s, from being printed as well.
///
/// This changes the hook of the whole program, so it is for its `main` to call, once.
pub fn silence_caught_panics() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !CATCHES.get() {
            print(info);
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(decode: impl FnOnce() -> Result<u8, DecodeError>) -> String {
        catch_panics("image/jpeg", decode).unwrap_err().to_string()
    }

    #[test]
    fn a_panic_is_damage_that_tells_its_message() {
        let values = [1_u8, 2];
        let expected = "is a damaged image/jpeg (its decoder gave up: index out of bounds: \
                        the len is 2 but the index is 7); fetch it again or remove it";
        assert_eq!(failure(|| Ok(values[std::hint::black_box(7)])), expected);
        let found = failure(|| panic!("no table"));
        assert!(found.contains("(its decoder gave up: no table)"), "{found}");
        let found = failure(|| panic::panic_any(3));
        assert!(found.contains("(its decoder gave up: it does not say why)"), "{found}");
    }

    #[test]
    fn what_does_not_panic_passes_through() {
        assert_eq!(catch_panics("image/png", || Ok(3)).unwrap(), 3);
        let truncated = || Err(DecodeError::Truncated { format: "image/png" });
        assert!(matches!(
            catch_panics::<u8>("image/png", truncated),
            Err(DecodeError::Truncated { .. })
        ));
    }

    #[test]
    fn only_a_decoders_panics_are_caught() {
        assert!(catch_panics("image/png", || Ok(CATCHES.get())).unwrap());
        assert!(!CATCHES.get());
        failure(|| panic!("a decoder"));
        assert!(!CATCHES.get());
    }
}
