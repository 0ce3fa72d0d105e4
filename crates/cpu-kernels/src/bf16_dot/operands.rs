//! Where the operands of a product lie, as assembly reads it.

/// How far from their bases the tiles of one step lie, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Step {
    pub(super) a: u32,
    pub(super) b: u32,
}

impl Step {
    /// A step whose tiles lie at these offsets of A and B, in numbers.
    ///
    /// # Panics
    /// If one exceeds 2³² bytes.
    pub fn new(a: usize, b: usize) -> Self {
        let bytes = |x: usize| u32::try_from(x * 2).expect("operands are below 4 GiB");
        Self { a: bytes(a), b: bytes(b) }
    }

    /// The offset of the tile of A, in numbers.
    pub fn a(self) -> usize {
        self.a as usize / 2
    }

    /// The offset of the tile of B, in numbers.
    pub fn b(self) -> usize {
        self.b as usize / 2
    }
}

/// Where the tiles of a block lie in memory.
pub(super) struct Operands<const NA: usize, const NB: usize> {
    pub a: [*const u16; NA],
    pub b: [*const u16; NB],
    pub c: [[*mut f32; NB]; NA],
    /// How far a row of A is from the next, in bytes.
    pub a_row: usize,
}
