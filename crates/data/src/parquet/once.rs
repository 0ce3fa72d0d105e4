//! What is worked out when it is first asked for.

use std::sync::{Mutex, OnceLock, PoisonError};

use super::source::Outcome;

/// A value that is made by the first that asks for it. After that it takes no lock to have it.
#[derive(Debug)]
pub struct Once<T> {
    value: OnceLock<T>,
    /// Held while it is made, so that others wait rather than do the same work.
    making: Mutex<()>,
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self { value: OnceLock::new(), making: Mutex::new(()) }
    }
}

impl<T> Once<T> {
    /// The value, which `make` gives if it is not there yet. The next that asks tries again where that
    /// has failed.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn get(&self, make: impl FnOnce() -> Outcome<T>) -> Outcome<&T> {
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        // Nothing is guarded that a panic could leave half done.
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        let value = make()?;
        Ok(self.value.get_or_init(|| value))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;
    use crate::parquet::source::Fault;

    #[test]
    fn it_is_made_once_and_tried_again_after_a_failure() {
        let once = Once::default();
        let fail = || Err(Fault::Wrong("no".into()));
        assert!(once.get(fail).is_err());
        let made = AtomicUsize::new(0);
        let make = || Ok(made.fetch_add(1, Ordering::Relaxed));
        thread::scope(|scope| {
            (0..8).for_each(|_| drop(scope.spawn(|| assert_eq!(*once.get(make).unwrap(), 0))));
        });
        assert_eq!(*once.get(fail).unwrap(), 0);
        assert_eq!(made.into_inner(), 1);
    }
}
