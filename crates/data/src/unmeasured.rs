//! Why there is nothing to measure a dataset by.

use std::fmt;

use logo_ssl_base::words::plural;

/// Why a kNN would say nothing, as a clause without a full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unmeasured {
    /// The pictures of a folder lie in no folder for each class.
    NoClassFolders,
    /// No image that is trained on has a label.
    NoLabels,
    /// All images are of one class, so that any guess would be right.
    OneClass {
        /// Its name.
        name: String,
        /// What looks like the classes instead, and how that is used.
        hint: Option<String>,
    },
    /// There is nothing to test on.
    NoTestPart,
    /// No class has enough pictures for one to be held out.
    FewImages {
        /// How many a class needs.
        needed: usize,
    },
    /// The images to test on have no labels.
    UnlabelledTest {
        /// Where they lie, if that has a name.
        part: Option<String>,
        /// How many they are.
        images: usize,
    },
    /// Images to test on are of a class that no image trained on is of.
    UnknownClass {
        /// Its name.
        class: String,
        /// How many images there are of it and its like.
        images: usize,
    },
}

impl fmt::Display for Unmeasured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoClassFolders => f.write_str(
                "the pictures have no labels: a folder for each class, named after it, would be the labels",
            ),
            Self::NoLabels => f.write_str("no image that is trained on has a label"),
            Self::OneClass { name, hint } => {
                write!(f, "all images are of one class, {name}, so that any guess would be right")?;
                hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
            }
            Self::NoTestPart => f.write_str("there are no images to test on beside those trained on"),
            Self::FewImages { needed } => {
                write!(f, "no class has {needed} pictures, of which one would be held out to test on")
            }
            Self::UnlabelledTest { part, images } => {
                let part = part.as_deref().unwrap_or("the part to test on");
                write!(f, "{part} holds {images} {} without labels", plural(*images, "image"))
            }
            Self::UnknownClass { class, images } => {
                let (noun, are) =
                    (plural(*images, "image"), if *images == 1 { "is" } else { "are" });
                write!(
                    f,
                    "{images} {noun} to test on {are} of a class that is not trained on, {class}; \
                     remove them, or give them the name of a class there is"
                )
            }
        }
    }
}
