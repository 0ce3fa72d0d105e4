//! A dataset as it is read: images that cannot be are counted, named, and passed over, up to a point.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Dataset, DecodeError, Picture};
use crate::view::{Renumbered, Subset};
use crate::{Error, Result};

/// How many are named, in warnings and in the error.
const NAMED: usize = 10;
/// So many may be broken of a small dataset too, unless none may.
const FEW: usize = 3;

/// A dataset, or some of its images, and what is known of its broken ones. Copies and subsets share that.
#[derive(Clone)]
pub struct Images {
    dataset: Arc<dyn Dataset>,
    /// The number in the whole dataset of each image; none where this is the whole.
    indices: Option<Arc<[usize]>>,
    broken: Arc<Broken>,
}

/// The images of one dataset that could not be read.
struct Broken {
    /// Images of the whole dataset.
    images: usize,
    allowed: usize,
    /// What is wrong with each.
    found: Mutex<BTreeMap<usize, String>>,
}

impl Images {
    /// Of `dataset` the share `max_bad_fraction` may be broken, rounded up; unless that is 0, also three,
    /// as long as those are not more than half.
    pub fn new(dataset: Arc<dyn Dataset>, max_bad_fraction: f64) -> Self {
        let images = dataset.len();
        let share = (images as f64 * max_bad_fraction).ceil() as usize;
        let allowed = if share == 0 { 0 } else { share.max(FEW.min(images / 2)) };
        let broken = Broken { images, allowed, found: Mutex::default() };
        Self { dataset, indices: None, broken: Arc::new(broken) }
    }

    /// These images of it, in that order; what is found to be broken of them is known of the whole too.
    ///
    /// # Panics
    /// Later, when one of them is asked for that is not in it.
    pub fn subset(&self, indices: Vec<usize>) -> Self {
        if indices.len() == self.len() {
            return self.clone();
        }
        let in_whole = indices.iter().map(|&index| self.in_whole(index)).collect();
        let subset = Subset { whole: Arc::clone(&self.dataset), indices: indices.into() };
        let broken = Arc::clone(&self.broken);
        Self { dataset: Arc::new(subset), indices: Some(in_whole), broken }
    }

    /// The same images with their labels numbered as `numbers` says, after which `classes` are in order.
    pub(crate) fn renumbered(self, numbers: Vec<Option<usize>>, classes: Vec<String>) -> Self {
        Self { dataset: Arc::new(Renumbered { whole: self.dataset, numbers, classes }), ..self }
    }

    fn in_whole(&self, index: usize) -> usize {
        self.indices.as_ref().map_or(index, |indices| indices[index])
    }

    /// How many different images of the whole dataset could not be read so far.
    pub fn broken(&self) -> usize {
        self.broken.found.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What `read` makes of image `index`, or none if it cannot be read, which is noted.
    ///
    /// # Errors
    /// [`Error::Broken`] naming the first of them when they are now more than are allowed.
    pub fn read<T>(
        &self,
        index: usize,
        read: impl FnOnce(&Picture<'_>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>> {
        let problem = match self.dataset.picture(index) {
            Ok(picture) => match read(&picture) {
                Ok(value) => return Ok(Some(value)),
                Err(problem) => format!("{}: {problem}", self.dataset.name(index)),
            },
            Err(error) => error.to_string(),
        };
        self.note(self.in_whole(index), problem).map(|()| None)
    }

    fn note(&self, index: usize, problem: String) -> Result<()> {
        let mut found = self.broken.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.insert(index, problem.clone()).is_some() {
            return Ok(());
        }
        if found.len() > self.broken.allowed {
            return Err(self.too_many(&found));
        }
        if found.len() <= NAMED {
            tracing::warn!("{problem}; the image is passed over");
        }
        if found.len() == NAMED {
            tracing::warn!("more broken images are counted and not named");
        }
        Ok(())
    }

    fn too_many(&self, found: &BTreeMap<usize, String>) -> Error {
        let first: Vec<&str> = found.values().take(NAMED).map(String::as_str).collect();
        Error::Broken {
            found: found.len(),
            images: self.broken.images,
            allowed: self.broken.allowed,
            first: first.join("\n  "),
        }
    }
}

impl Deref for Images {
    type Target = dyn Dataset;

    fn deref(&self) -> &Self::Target {
        self.dataset.as_ref()
    }
}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Images({} of them, {} broken)", self.len(), self.broken())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Image;

    /// Every odd image is a file of nonsense, every one that 5 divides cannot be read.
    struct Half;

    impl Dataset for Half {
        fn len(&self) -> usize {
            100
        }

        fn picture(&self, index: usize) -> Result<Picture<'_>> {
            match index {
                _ if index.is_multiple_of(5) => Err(Error::data(self.name(index), "vanished")),
                _ if index.is_multiple_of(2) => {
                    Ok(Image { width: 1, height: 1, pixels: &[1, 2, 3] }.into())
                }
                _ => Ok(Picture::File(b"nonsense"[..].into())),
            }
        }

        fn label(&self, _: usize) -> Option<usize> {
            None
        }

        fn classes(&self) -> &[String] {
            &[]
        }

        fn name(&self, index: usize) -> String {
            format!("half/{index}.jpg")
        }
    }

    fn half(max_bad_fraction: f64) -> Images {
        Images::new(Arc::new(Half), max_bad_fraction)
    }

    fn read(images: &Images, index: usize) -> Result<Option<[usize; 2]>> {
        images.read(index, |picture| Ok(picture.open()?.size()))
    }

    #[test]
    fn what_can_be_read_is_read_and_what_cannot_is_counted_once() {
        let images = half(0.02);
        assert_eq!(read(&images, 2).unwrap(), Some([1, 1]));
        for _ in 0..3 {
            assert_eq!(read(&images.clone(), 5).unwrap(), None);
            assert_eq!(read(&images, 7).unwrap(), None);
        }
        assert_eq!(images.broken(), 2);
    }

    #[test]
    fn too_many_are_an_error_that_names_the_first_ten() {
        let images = half(0.12);
        let error = (0..100).find_map(|index| read(&images, index).err()).unwrap();
        let message = error.to_string();
        assert!(message.contains("13 of the 100 images"), "{message}");
        assert!(message.contains("at most 12"), "{message}");
        assert!(message.contains("half/0.jpg: vanished"), "{message}");
        assert!(message.contains("half/1.jpg: "), "{message}");
        assert_eq!(message.matches("half/").count(), 10, "{message}");
        assert!(matches!(error, Error::Broken { found: 13, .. }));
    }

    #[test]
    fn of_a_few_images_some_may_be_broken_unless_none_may() {
        let few = |count: usize| {
            let images = half(0.001).subset((0..count).collect());
            Images::new(images.dataset, 0.001)
        };
        for (count, allowed) in [(1, 1), (2, 1), (4, 2), (6, 3), (40, 3), (100, 3)] {
            let images = few(count);
            assert_eq!(images.broken.allowed, allowed, "of {count}");
            let broken = (0..count).filter(|index| index % 2 == 1 || index % 5 == 0);
            for (number, index) in broken.enumerate().take(allowed + 1) {
                assert_eq!(read(&images, index).is_ok(), number < allowed, "{index} of {count}");
            }
        }
        let message = read(&half(0.0), 0).unwrap_err().to_string();
        assert!(message.contains("at most 0") && message.contains("half/0.jpg"), "{message}");
    }
}
