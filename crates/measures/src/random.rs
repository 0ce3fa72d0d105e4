use logo_ssl_base::rng::{self, Generator, Stream};

/// What a measure draws for. Draws of different purpose never share numbers.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum Purpose {
    /// Images held out from the training of a classifier; `a` numbers the class.
    HeldOut = 1,
    /// Images that stay of each class; `a` numbers the draw, `b` the class.
    FewShot = 2,
    /// Resamples of a bootstrap; `a` numbers the resample.
    Bootstrap = 3,
    /// Pairs of images; `a` numbers the block of pairs.
    Pairs = 4,
    /// The first centres of clusters; `a` numbers the start.
    Centres = 5,
    /// Directions to begin a search for principal components with; nothing is numbered.
    Directions = 6,
}

pub(crate) fn generator(seed: u64, purpose: Purpose, a: u64, b: u64) -> Generator {
    rng::generator(seed, Stream::Measure, purpose as u64, a, b)
}
