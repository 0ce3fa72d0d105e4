//! Python's pickle format, protocol 2, as far as a state dict needs it.
//!
//! Opcodes are those of Python's `pickletools`; all are among the few that `torch.load(weights_only=True)`
//! allows.

/// A stream of opcodes in the making.
#[derive(Debug)]
pub(super) struct Pickle {
    bytes: Vec<u8>,
}

impl Pickle {
    /// One of nothing.
    pub(super) fn new() -> Self {
        Self { bytes: vec![0x80, 2] }
    }

    /// Pushes a class or a function.
    pub(super) fn global(&mut self, module: &str, name: &str) {
        self.bytes.extend(format!("c{module}\n{name}\n").bytes());
    }

    /// Pushes a text, which may have 4 GiB.
    pub(super) fn text(&mut self, text: &str) {
        self.bytes.push(b'X');
        self.bytes.extend((text.len() as u32).to_le_bytes());
        self.bytes.extend(text.bytes());
    }

    /// Pushes a whole number.
    pub(super) fn number(&mut self, number: u64) {
        match number {
            0..=0xff => self.bytes.extend([b'K', number as u8]),
            0x100..=0xffff => {
                self.bytes.push(b'M');
                self.bytes.extend((number as u16).to_le_bytes());
            }
            0x1_0000..=0x7fff_ffff => {
                self.bytes.push(b'J');
                self.bytes.extend((number as u32).to_le_bytes());
            }
            _ => {
                // Nine bytes, for the last one's upper bit is the sign.
                self.bytes.extend([0x8a, 9]);
                self.bytes.extend(number.to_le_bytes());
                self.bytes.push(0);
            }
        }
    }

    /// Pushes `False`.
    pub(super) fn no(&mut self) {
        self.bytes.push(0x89);
    }

    /// Pushes the tuple of what `inside` pushes.
    pub(super) fn tuple(&mut self, inside: impl FnOnce(&mut Self)) {
        self.bytes.push(b'(');
        inside(self);
        self.bytes.push(b't');
    }

    /// Pushes what the function below the tuple on top makes of it.
    pub(super) fn call(&mut self) {
        self.bytes.push(b'R');
    }

    /// Pushes the object outside of the pickle that the tuple on top describes.
    pub(super) fn outside(&mut self) {
        self.bytes.push(b'Q');
    }

    /// Puts the keys and values that `inside` pushes in turn into the dict on top.
    pub(super) fn items(&mut self, inside: impl FnOnce(&mut Self)) {
        self.bytes.push(b'(');
        inside(self);
        self.bytes.push(b'u');
    }

    /// The stream, whose result is what is on top.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.push(b'.');
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_the_least_form() {
        let number = |number| {
            let mut pickle = Pickle::new();
            pickle.number(number);
            pickle.finish()[2..].to_vec()
        };
        assert_eq!(number(0), b"K\x00.");
        assert_eq!(number(255), b"K\xff.");
        assert_eq!(number(256), b"M\x00\x01.");
        assert_eq!(number(65_536), b"J\x00\x00\x01\x00.");
        assert_eq!(number(0x8000_0000), b"\x8a\x09\x00\x00\x00\x80\x00\x00\x00\x00\x00.");
    }

    #[test]
    fn a_stream_is_that_of_python() {
        // pickle.dumps({"a": (1, False)}, protocol=2), without the memo.
        let mut pickle = Pickle::new();
        pickle.global("collections", "OrderedDict");
        pickle.tuple(|_| {});
        pickle.call();
        pickle.items(|p| {
            p.text("a");
            p.tuple(|p| {
                p.number(1);
                p.no();
            });
        });
        let expected = b"\x80\x02ccollections\nOrderedDict\n(tR(X\x01\x00\x00\x00a(K\x01\x89tu.";
        assert_eq!(pickle.finish(), expected);
    }
}
