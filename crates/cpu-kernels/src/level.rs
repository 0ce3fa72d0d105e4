//! Which instructions the kernels use, chosen at run time.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use crate::simd::{self, Vector};
#[cfg(target_arch = "x86_64")]
use crate::tile_registers;

/// The environment variable that forces a level, for tests and comparisons.
pub const LEVEL_VARIABLE: &str = "LOGO_SSL_CPU_LEVEL";

/// A set of vector instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Whatever instructions the compiler's baseline has.
    Portable,
    /// The 128-bit vectors of aarch64.
    Neon,
    /// The 256-bit vectors with fused multiply-add of x86-64.
    Avx2,
    /// The 512-bit vectors of x86-64.
    Avx512,
    /// The 512-bit vectors of x86-64 with dot products of bfloat16 pairs.
    Avx512Bf16,
    /// The 512-bit vectors of x86-64 with dot products of bfloat16 pairs, and tiles of 16 × 32 bfloat16 that are
    /// multiplied whole.
    Amx,
}

/// Why a level cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LevelError {
    /// No level has this name.
    #[error(
        "{0:?} is no instruction level; choose amx, avx512bf16, avx512, avx2, neon or portable"
    )]
    Unknown(String),
    /// The processor lacks this level's instructions.
    #[error("this processor has no {0}; it has {have}", have = list(&Level::available()))]
    Unavailable(Level),
}

fn list(levels: &[Level]) -> String {
    levels.iter().map(Level::to_string).collect::<Vec<_>>().join(", ")
}

/// Work that is compiled once for every level.
pub(crate) trait Kernel {
    type Output;
    /// Does the work. It must be `#[inline(always)]`, so that it becomes part of the function that has the
    /// instructions.
    fn run<V: Vector>(self) -> Self::Output;
}

/// Plain Rust that the compiler vectorises, to be compiled for every level. Its numbers do not depend on
/// the level: nothing is fused or reordered that is not so written.
pub trait Work {
    /// What the work returns.
    type Output;
    /// Does the work. This and all that its loops call must be `#[inline(always)]`: only so they become part of the
    /// function that has the instructions.
    fn run(self) -> Self::Output;
}

impl Level {
    /// Does `work` with this level's instructions, as far as they make a difference to the compiler: all
    /// levels with AVX-512 are one.
    ///
    /// # Panics
    /// If the processor lacks the level; [`Level::chosen`] never gives such a one.
    pub fn do_work<W: Work>(self, work: W) -> W::Output {
        assert!(self.is_available(), "this processor has no {self}");
        match self {
            // SAFETY: the processor has the instructions, as was asserted above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { work_avx2(work) },
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 | Level::Avx512Bf16 | Level::Amx if has_narrow_avx512() => {
                // SAFETY: the processor has AVX-512F, as was asserted above, and the rest, as was asked.
                unsafe { work_avx512(work) }
            }
            // SAFETY: every level with AVX-512 asks for AVX2 and FMA besides.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 | Level::Avx512Bf16 | Level::Amx => unsafe { work_avx2(work) },
            _ => work.run(),
        }
    }

    /// The levels of every architecture, the best first.
    pub const ALL: [Level; 6] =
        [Level::Amx, Level::Avx512Bf16, Level::Avx512, Level::Avx2, Level::Neon, Level::Portable];

    /// The levels this processor has, the best first.
    pub fn available() -> Vec<Level> {
        Self::ALL.into_iter().filter(|level| level.is_available()).collect()
    }

    /// The level of work that no precision or trial decides: the one that [`LEVEL_VARIABLE`] names, else the
    /// widest there is.
    ///
    /// # Errors
    /// If the variable names no level or one that this processor lacks.
    pub fn chosen() -> Result<Level, LevelError> {
        Ok(Self::forced()?.unwrap_or_else(|| Self::available()[0]))
    }

    /// The level that [`LEVEL_VARIABLE`] names, for every precision. The variable is read once, at the first use.
    ///
    /// # Errors
    /// If the variable names no level or one that this processor lacks.
    pub fn forced() -> Result<Option<Level>, LevelError> {
        static FORCED: OnceLock<Result<Option<Level>, LevelError>> = OnceLock::new();
        let read = || std::env::var(LEVEL_VARIABLE).ok().map(|name| name.parse()).transpose();
        FORCED.get_or_init(read).clone()
    }

    /// Whether this processor has the level's instructions.
    pub fn is_available(self) -> bool {
        match self {
            Level::Portable => true,
            Level::Neon => cfg!(target_arch = "aarch64"),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => Level::Avx2.is_available() && is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16 => {
                Level::Avx512.is_available()
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bf16")
            }
            #[cfg(target_arch = "x86_64")]
            Level::Amx => Level::Avx512Bf16.is_available() && tile_registers::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Level::Avx2 | Level::Avx512 | Level::Avx512Bf16 | Level::Amx => false,
        }
    }

    /// Whether this level has dot products of bfloat16, so that widening it to f32 first is a waste.
    pub fn multiplies_bf16(self) -> bool {
        matches!(self, Level::Avx512Bf16 | Level::Amx)
    }

    /// Runs `kernel` with this level's vectors.
    ///
    /// # Panics
    /// If the processor lacks the level; [`Level::chosen`] never gives such a one.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        assert!(self.is_available(), "this processor has no {self}");
        match self {
            Level::Portable => kernel.run::<simd::Portable>(),
            #[cfg(target_arch = "aarch64")]
            Level::Neon => kernel.run::<simd::Neon>(),
            // SAFETY: the processor has the instructions, as was asserted above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { run_avx2(kernel) },
            // SAFETY: the processor has the instructions, as was asserted above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { run_avx512(kernel) },
            // SAFETY: the processor has the instructions, as was asserted above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16 | Level::Amx => unsafe { run_avx512_bf16(kernel) },
            #[allow(unreachable_patterns, reason = "which are left depends on the architecture")]
            _ => unreachable!("levels of other architectures are never available"),
        }
    }
}

/// Whether AVX-512 has numbers of one and two bytes and vectors of half its width, without which the
/// compiler makes little of it. All processors but the first with AVX-512 have.
#[cfg(target_arch = "x86_64")]
fn has_narrow_avx512() -> bool {
    is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl")
}

/// # Safety
/// The processor must have AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn work_avx2<W: Work>(work: W) -> W::Output {
    work.run()
}

/// # Safety
/// The processor must have AVX-512F, BW and VL, AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
unsafe fn work_avx512<W: Work>(work: W) -> W::Output {
    work.run()
}

/// # Safety
/// The processor must have AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<simd::Avx2>()
}

/// # Safety
/// The processor must have AVX-512F, AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<simd::Avx512<false>>()
}

/// # Safety
/// The processor must have AVX-512F, BW, VL and BF16, AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,avx2,fma")]
unsafe fn run_avx512_bf16<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<simd::Avx512<true>>()
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Portable => "portable",
            Level::Neon => "neon",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Avx512Bf16 => "avx512bf16",
            Level::Amx => "amx",
        })
    }
}

impl FromStr for Level {
    type Err = LevelError;

    fn from_str(name: &str) -> Result<Self, LevelError> {
        let level = Self::ALL.into_iter().find(|level| level.to_string() == name);
        match level {
            None => Err(LevelError::Unknown(name.to_owned())),
            Some(level) if !level.is_available() => Err(LevelError::Unavailable(level)),
            Some(level) => Ok(level),
        }
    }
}
