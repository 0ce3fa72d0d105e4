//! Datasets that show another one: some of its images, or its labels under other numbers.

use std::sync::Arc;

use crate::{Dataset, Picture, Result, StoredFile};

/// Some images of a dataset.
pub(crate) struct Subset {
    pub(crate) whole: Arc<dyn Dataset>,
    /// The number in `whole` of each image.
    pub(crate) indices: Arc<[usize]>,
}

impl Dataset for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn picture(&self, index: usize) -> Result<Picture<'_>> {
        self.whole.picture(self.indices[index])
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.whole.label(self.indices[index])
    }

    fn classes(&self) -> &[String] {
        self.whole.classes()
    }

    fn name(&self, index: usize) -> String {
        self.whole.name(self.indices[index])
    }

    fn stored_file(&self, index: usize) -> Option<StoredFile<'_>> {
        self.whole.stored_file(index)
    }
}

/// A dataset whose labels are numbered as another's.
pub(crate) struct Renumbered {
    pub(crate) whole: Arc<dyn Dataset>,
    /// What each label of `whole` is here; none for a class that no image is of.
    pub(crate) numbers: Vec<Option<usize>>,
    pub(crate) classes: Vec<String>,
}

impl Dataset for Renumbered {
    fn len(&self) -> usize {
        self.whole.len()
    }

    fn picture(&self, index: usize) -> Result<Picture<'_>> {
        self.whole.picture(index)
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.numbers[self.whole.label(index)?]
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn name(&self, index: usize) -> String {
        self.whole.name(index)
    }

    fn stored_file(&self, index: usize) -> Option<StoredFile<'_>> {
        self.whole.stored_file(index)
    }
}
