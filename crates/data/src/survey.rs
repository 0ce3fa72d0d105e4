//! What there is in a dataset: counts, sizes, and images that cannot be read.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;

use super::{Dataset, Picture};

/// How closely images are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Their headers, which say the size.
    Headers,
    /// All their pixels.
    Pixels,
}

/// What [`survey`] found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Survey {
    /// Images, broken ones too.
    pub images: usize,
    /// Images of each class, in the order of the labels; empty where there are no labels.
    pub images_of_class: Vec<usize>,
    /// Images without a label.
    pub unlabelled: usize,
    /// How many images have which width and height, pixels.
    #[serde(serialize_with = "as_list")]
    pub sizes: BTreeMap<[usize; 2], usize>,
    /// Where those that cannot be read are from, and what is wrong with them.
    pub broken: Vec<Broken>,
}

/// An image that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Its file, or its file and the place in it.
    pub name: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Looks at every image of `dataset`, on all threads. `progress` is told images that are done.
pub fn survey(dataset: &dyn Dataset, depth: Depth, progress: impl Fn(usize) + Sync) -> Survey {
    let mut survey = Survey {
        images: dataset.len(),
        images_of_class: vec![0; dataset.classes().len()],
        ..Survey::default()
    };
    let looked_at: Vec<_> = (0..dataset.len())
        .into_par_iter()
        .map(|index| {
            let size = size_of(dataset, index, depth);
            progress(1);
            size
        })
        .collect();
    for (index, size) in looked_at.into_iter().enumerate() {
        match dataset.label(index) {
            Some(label) => survey.images_of_class[label] += 1,
            None => survey.unlabelled += 1,
        }
        match size {
            Ok(size) => *survey.sizes.entry(size).or_default() += 1,
            Err(problem) => survey.broken.push(Broken { name: dataset.name(index), problem }),
        }
    }
    survey
}

fn size_of(dataset: &dyn Dataset, index: usize, depth: Depth) -> Result<[usize; 2], String> {
    let picture = dataset.picture(index).map_err(|error| error.to_string())?;
    let opened = picture.open().map_err(|error| error.to_string())?;
    let size = opened.size();
    if depth == Depth::Pixels && matches!(picture, Picture::File(_)) {
        opened.pixels().map_err(|error| error.to_string())?;
    }
    Ok(size)
}

impl Survey {
    /// The least and the greatest width, and height, pixels; none where no image can be read.
    pub fn extent(&self) -> Option<[[usize; 2]; 2]> {
        let side = |which: usize| {
            let sides = || self.sizes.keys().map(move |size| size[which]);
            Some([sides().min()?, sides().max()?])
        };
        Some([side(0)?, side(1)?])
    }
}

/// JSON has no keys that are pairs.
fn as_list<S: serde::Serializer>(
    sizes: &BTreeMap<[usize; 2], usize>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Entry {
        width: usize,
        height: usize,
        images: usize,
    }
    serializer.collect_seq(sizes.iter().map(|(&[width, height], &images)| Entry {
        width,
        height,
        images,
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::Image;

    /// Two sizes, two classes, the last image nonsense.
    struct Mixed;

    impl Dataset for Mixed {
        fn len(&self) -> usize {
            5
        }

        fn picture(&self, index: usize) -> crate::Result<Picture<'_>> {
            let pixels = &[0; 6];
            Ok(match index {
                0 | 1 => Image { width: 2, height: 1, pixels }.into(),
                2 | 3 => Image { width: 1, height: 2, pixels }.into(),
                _ => Picture::File(b"nonsense"[..].into()),
            })
        }

        fn label(&self, index: usize) -> Option<usize> {
            (index != 4).then_some(index % 2)
        }

        fn classes(&self) -> &[String] {
            const NAMES: &[String] = &[String::new(), String::new()];
            NAMES
        }

        fn name(&self, index: usize) -> String {
            format!("mixed {index}")
        }
    }

    #[test]
    fn everything_is_counted_and_broken_images_are_named() {
        let done = AtomicUsize::new(0);
        let count = |images| {
            done.fetch_add(images, Ordering::Relaxed);
        };
        for depth in [Depth::Headers, Depth::Pixels] {
            let found = survey(&Mixed, depth, count);
            assert_eq!((found.images, &found.images_of_class[..]), (5, &[2, 2][..]));
            assert_eq!(found.unlabelled, 1);
            assert_eq!(found.sizes, BTreeMap::from([([1, 2], 2), ([2, 1], 2)]));
            assert_eq!(found.extent(), Some([[1, 2], [1, 2]]));
            assert_eq!((found.broken.len(), &found.broken[0].name[..]), (1, "mixed 4"));
        }
        assert_eq!(done.into_inner(), 10);
    }
}
