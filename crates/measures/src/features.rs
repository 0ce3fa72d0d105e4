//! Features and labels as measures take them: borrowed, and checked once.

use rayon::prelude::*;

use crate::vectors::square;
use crate::{Error, Result};

/// Features of images, `[images, dim]`, row by row: at least one image, all numbers finite.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    rows: &'a [f32],
    dim: usize,
}

impl<'a> Features<'a> {
    /// A view of `rows`, `[images, dim]`, row by row.
    ///
    /// # Errors
    /// [`Error::NotWholeRows`], [`Error::NoImages`] or [`Error::NotFinite`].
    pub fn new(rows: &'a [f32], dim: usize) -> Result<Self> {
        if dim == 0 || !rows.len().is_multiple_of(dim) {
            return Err(Error::NotWholeRows { numbers: rows.len(), dim });
        }
        if rows.is_empty() {
            return Err(Error::NoImages);
        }
        let broken = |row: &[f32]| !row.iter().all(|x| x.is_finite());
        match rows.par_chunks(dim).position_first(broken) {
            Some(image) => Err(Error::NotFinite { image }),
            None => Ok(Self { rows, dim }),
        }
    }

    /// How many images there are, which is never zero.
    #[expect(clippy::len_without_is_empty, reason = "there is always an image")]
    pub fn len(&self) -> usize {
        self.rows.len() / self.dim
    }

    /// How many numbers an image has.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All numbers, row by row.
    pub fn rows(&self) -> &'a [f32] {
        self.rows
    }

    /// The numbers of one image.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn row(&self, image: usize) -> &'a [f32] {
        &self.rows[image * self.dim..][..self.dim]
    }

    /// The rows brought to unit length, `[images, dim]`; a row of zeros stays so.
    pub fn unit_rows(&self) -> Vec<f32> {
        let mut rows = self.rows.to_vec();
        rows.par_chunks_mut(self.dim).for_each(|row| {
            let square = square(row);
            let scale = if square > 0.0 { square.sqrt().recip() } else { 0.0 };
            row.iter_mut().for_each(|x| *x = (f64::from(*x) * scale) as f32);
        });
        rows
    }

    /// The images of `chosen`, in that order, as rows of their own.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`].
    pub fn select(&self, chosen: &[usize]) -> Result<Vec<f32>> {
        let images = self.len();
        if let Some(&image) = chosen.iter().find(|&&image| image >= images) {
            return Err(Error::NoSuchImage { image, images });
        }
        Ok(chosen.par_iter().flat_map_iter(|&image| self.row(image).iter().copied()).collect())
    }

    /// These features with the images' classes.
    ///
    /// # Errors
    /// [`Error::Count`] if there is not one label for each image.
    pub fn labelled(self, labels: Labels<'a>) -> Result<Labelled<'a>> {
        same_count("labels", labels.len(), self.len())?;
        Ok(Labelled { features: self, labels })
    }

    /// Whether `other` has rows of the same length.
    pub(crate) fn same_dim(&self, other: Features<'_>) -> Result<()> {
        match self.dim == other.dim {
            true => Ok(()),
            false => Err(Error::Dimension { found: other.dim, expected: self.dim }),
        }
    }
}

/// The class of each of some images: at least one image, every class below [`Labels::classes`].
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    of: &'a [usize],
    classes: usize,
}

impl<'a> Labels<'a> {
    /// Labels of as many classes as the greatest of them says, which is that and one.
    ///
    /// # Errors
    /// [`Error::NoImages`].
    pub fn new(of: &'a [usize]) -> Result<Self> {
        let greatest = of.iter().max().ok_or(Error::NoImages)?;
        Self::of_classes(of, greatest.saturating_add(1))
    }

    /// Labels of `classes` classes, some of which may have no image here.
    ///
    /// # Errors
    /// [`Error::NoImages`] or [`Error::Class`].
    pub fn of_classes(of: &'a [usize], classes: usize) -> Result<Self> {
        if of.is_empty() {
            return Err(Error::NoImages);
        }
        check_classes(of, classes)?;
        Ok(Self { of, classes })
    }

    /// How many images there are, which is never zero.
    #[expect(clippy::len_without_is_empty, reason = "there is always an image")]
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The class of each image.
    pub fn of(&self) -> &'a [usize] {
        self.of
    }

    /// The images of each class, in their order.
    pub fn images(&self) -> Vec<Vec<usize>> {
        let mut images = vec![vec![]; self.classes];
        for (image, &class) in self.of.iter().enumerate() {
            images[class].push(image);
        }
        images
    }
}

/// Features with the classes of their images, as many of the one as of the other.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    features: Features<'a>,
    labels: Labels<'a>,
}

impl<'a> Labelled<'a> {
    /// The features.
    pub fn features(&self) -> Features<'a> {
        self.features
    }

    /// The classes.
    pub fn labels(&self) -> Labels<'a> {
        self.labels
    }
}

pub(crate) fn same_count(what: &'static str, found: usize, images: usize) -> Result<()> {
    if found == images { Ok(()) } else { Err(Error::Count { what, found, images }) }
}

pub(crate) fn check_classes(of: &[usize], classes: usize) -> Result<()> {
    match of.iter().position(|&class| class >= classes) {
        Some(image) => Err(Error::Class { image, class: of[image], classes }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_matrix_of_features_is_refused() {
        let refusal = |rows: &[f32], dim| Features::new(rows, dim).unwrap_err();
        assert_eq!(refusal(&[1.0; 7], 3), Error::NotWholeRows { numbers: 7, dim: 3 });
        assert_eq!(refusal(&[1.0; 7], 0), Error::NotWholeRows { numbers: 7, dim: 0 });
        assert_eq!(refusal(&[], 3), Error::NoImages);
        for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let rows = [0.0, 1.0, 2.0, broken, 4.0, broken];
            assert_eq!(refusal(&rows, 2), Error::NotFinite { image: 1 });
        }
    }

    #[test]
    fn labels_belong_to_their_images_and_classes() {
        let features = Features::new(&[0.0; 6], 2).unwrap();
        let few = features.labelled(Labels::new(&[0, 4]).unwrap());
        assert_eq!(few.unwrap_err(), Error::Count { what: "labels", found: 2, images: 3 });
        assert_eq!(Labels::new(&[0, 4]).unwrap().classes(), 5);
        assert_eq!(Labels::new(&[]).unwrap_err(), Error::NoImages);
        let beyond = Labels::of_classes(&[0, 3], 3).unwrap_err();
        assert_eq!(beyond, Error::Class { image: 1, class: 3, classes: 3 });
        let images = Labels::of_classes(&[2, 0, 2], 4).unwrap().images();
        assert_eq!(images, [vec![1], vec![], vec![0, 2], vec![]]);
    }

    #[test]
    fn rows_are_brought_to_unit_length_and_chosen() {
        let rows = [3.0, 4.0, 0.0, 0.0, 1e-30, 0.0];
        let features = Features::new(&rows, 2).unwrap();
        assert_eq!(features.unit_rows(), [0.6, 0.8, 0.0, 0.0, 1.0, 0.0]);
        assert_eq!(features.select(&[2, 0]).unwrap(), [1e-30, 0.0, 3.0, 4.0]);
        let beyond = features.select(&[0, 3]).unwrap_err();
        assert_eq!(beyond, Error::NoSuchImage { image: 3, images: 3 });
    }
}
