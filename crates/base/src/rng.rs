//! Randomness as a pure function of where it is used.
//!
//! Every random choice draws from a generator keyed by `(seed, stream, epoch, image, view)`, so a
//! result never depends on thread count, prefetching, or on where a run was interrupted.

use rand::{RngExt, SeedableRng};
pub use rand_chacha::ChaCha8Rng as Generator;

/// What the numbers are for. Streams of different purpose never share numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Stream {
    /// Initial weights; `a` numbers the parameter.
    Init = 1,
    /// The order of the images in an epoch.
    Shuffle = 2,
    /// The augmentation of one view of one image.
    View = 3,
    /// The pairing of each image with another one's local crop.
    Negative = 4,
    /// The pictures of the embedded `shapes` dataset.
    Shapes = 5,
    /// The keys that MoCo's queue starts with.
    Queue = 6,
    /// The order in which keys pass the momentum encoder.
    KeyOrder = 7,
    /// What is added to f_d's inputs.
    Noise = 8,
    /// The image that stands in for a broken one.
    Replacement = 9,
    /// What a measure of features draws; `epoch` numbers what it is for.
    Measure = 10,
    /// The labelled images that an evaluation learns from.
    Labels = 11,
    /// The images that a picture of a run shows; `a` numbers the class.
    Shown = 12,
}

/// The generator of `stream` at `(epoch, a, b)` under `seed`.
///
/// The four words fill ChaCha's key, so distinct arguments give independent streams
/// (`epoch` up to 2^48).
pub fn generator(seed: u64, stream: Stream, epoch: u64, a: u64, b: u64) -> Generator {
    let mut key = [0_u8; 32];
    let words = [seed, (stream as u64) << 48 | epoch, a, b];
    for (slot, word) in key.chunks_exact_mut(8).zip(words) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    Generator::from_seed(key)
}

/// A number from the standard normal distribution, by Box and Muller's transform.
pub fn normal(rng: &mut Generator) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn every_argument_changes_the_numbers() {
        let first = |seed, stream, epoch, a, b| generator(seed, stream, epoch, a, b).next_u64();
        let base = first(1, Stream::View, 2, 3, 4);
        assert_eq!(base, first(1, Stream::View, 2, 3, 4));
        for other in [
            first(9, Stream::View, 2, 3, 4),
            first(1, Stream::Shuffle, 2, 3, 4),
            first(1, Stream::View, 9, 3, 4),
            first(1, Stream::View, 2, 9, 4),
            first(1, Stream::View, 2, 3, 9),
        ] {
            assert_ne!(base, other);
        }
    }
}
