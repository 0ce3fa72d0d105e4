use cpu_kernels::LevelError;

/// What keeps a measure from being taken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The numbers are no whole rows, or a row would have none.
    #[error("{numbers} numbers are no whole rows of {dim}; features are [images, dim], row by row")]
    NotWholeRows {
        /// How many numbers there are.
        numbers: usize,
        /// How many a row should have.
        dim: usize,
    },
    /// There is nothing to measure: no images, no scores or no pairs of images.
    #[error("there is nothing to measure; pass at least one image, score or pair")]
    NoImages,
    /// A feature is infinite or not a number.
    #[error("the features of image {image} are not all finite; look at the weights that made them")]
    NotFinite {
        /// The first image with such a feature, counted from zero.
        image: usize,
    },
    /// Two lists that belong to the same images differ in length.
    #[error("there are {found} {what} for {images} images; pass one for each image")]
    Count {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many images there are.
        images: usize,
    },
    /// A label or a prediction names a class that does not exist.
    #[error(
        "image {image} is of class {class}, but the classes are 0 to {classes}, the last left out; \
             count the classes of all splits together"
    )]
    Class {
        /// The first image with such a class, counted from zero.
        image: usize,
        /// Its class.
        class: usize,
        /// How many classes there are.
        classes: usize,
    },
    /// Two sets of features are not of the same model.
    #[error(
        "the features have {found} numbers an image where {expected} are expected; \
             extract both with the same model"
    )]
    Dimension {
        /// Numbers a row has.
        found: usize,
        /// Numbers it should have.
        expected: usize,
    },
    /// A class, or the whole set, has fewer images than are needed.
    #[error("{what} needs at least {needed} images, there are {found}")]
    TooFew {
        /// What needs them.
        what: String,
        /// How many it needs.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// An image is named that does not exist.
    #[error("image {image} is named, but there are {images}; they are counted from zero")]
    NoSuchImage {
        /// The image that is named.
        image: usize,
        /// How many there are.
        images: usize,
    },
    /// An option has a value that makes no sense.
    #[error("{name} is {value}; it must be {needed}")]
    Option {
        /// The option's name.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it should be.
        needed: &'static str,
    },
    /// The environment asks for instructions that this processor lacks.
    #[error(transparent)]
    Level(#[from] LevelError),
    /// The system gives no thread to work on.
    #[error("no thread can be started: {0}; close other programs and try again")]
    Thread(String),
}

/// A measure, or what keeps it from being taken.
pub type Result<T> = std::result::Result<T, Error>;
