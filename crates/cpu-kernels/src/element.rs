//! What activations are stored as.

use half::bf16;

use crate::simd::Vector;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::bf16 {}
}

/// The storage type of activations and their gradients. Sums are always in f32.
#[allow(private_bounds, reason = "sealed: the kernels know these two types only")]
pub trait Element: sealed::Sealed + Access + Copy + Default + Send + Sync + 'static {
    /// Whether this is bfloat16.
    const IS_BF16: bool;
    /// The name of this type, as in Rust.
    const NAME: &'static str;

    /// This number in f32, which holds it exactly.
    fn to_f32(self) -> f32;
    /// The number of this type that is nearest to `x`, ties to even.
    fn from_f32(x: f32) -> Self;
}

/// Vector access, which is not for other crates to call.
pub(crate) trait Access: Sized {
    /// Reads `V::LANES` numbers.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn load<V: Vector>(from: *const Self) -> V;
    /// Writes `V::LANES` numbers.
    ///
    /// # Safety
    /// They must be writable.
    unsafe fn store<V: Vector>(to: *mut Self, vector: V);
    /// Writes `V::LANES` numbers that nobody reads soon, and returns what they are now.
    /// [`Vector::fence`] must follow the last of them.
    ///
    /// # Safety
    /// They must be writable.
    #[inline(always)]
    unsafe fn put<V: Vector>(to: *mut Self, vector: V) -> V {
        // SAFETY: the caller's promise is the same.
        unsafe {
            Self::store(to, vector);
            Self::load(to)
        }
    }
}

impl Element for f32 {
    const IS_BF16: bool = false;
    const NAME: &'static str = "f32";

    fn to_f32(self) -> f32 {
        self
    }
    fn from_f32(x: f32) -> Self {
        x
    }
}

impl Access for f32 {
    #[inline(always)]
    unsafe fn load<V: Vector>(from: *const Self) -> V {
        // SAFETY: the caller's promise is the same.
        unsafe { V::load(from) }
    }
    #[inline(always)]
    unsafe fn store<V: Vector>(to: *mut Self, vector: V) {
        // SAFETY: the caller's promise is the same.
        unsafe { vector.store(to) }
    }
    #[inline(always)]
    unsafe fn put<V: Vector>(to: *mut Self, vector: V) -> V {
        // SAFETY: the caller's promise is the same.
        unsafe { vector.stream(to) };
        vector
    }
}

impl Element for bf16 {
    const IS_BF16: bool = true;
    const NAME: &'static str = "bf16";

    fn to_f32(self) -> f32 {
        bf16::to_f32(self)
    }
    fn from_f32(x: f32) -> Self {
        bf16::from_f32(x)
    }
}

impl Access for bf16 {
    #[inline(always)]
    unsafe fn load<V: Vector>(from: *const Self) -> V {
        // SAFETY: the caller's promise is the same, and bf16 is a transparent u16.
        unsafe { V::load_bf16(from.cast()) }
    }
    #[inline(always)]
    unsafe fn store<V: Vector>(to: *mut Self, vector: V) {
        // SAFETY: the caller's promise is the same, and bf16 is a transparent u16.
        unsafe { vector.store_bf16(to.cast()) }
    }
}
