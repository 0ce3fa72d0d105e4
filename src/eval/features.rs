//! Images to feature vectors, without augmentation.

use std::ops::Range;

use measures::{Features, Labels};
use rayon::prelude::*;

use crate::augment::views::EvalView;
use crate::config::Config;
use crate::data::Images;
use crate::eval::Encoder;
use crate::model::params::TensorData;
use crate::{Error, Result};

/// Most images a forward pass.
const BATCH: usize = 256;
/// Most pixels a forward pass, which bounds its memory.
const BATCH_PIXELS: usize = 1 << 22;
/// Pixels are compared at most at this size: beyond, more of them say no more.
const PIXELS_SIDE: usize = 64;

/// Feature vectors of unit length with the classes they belong to.
#[derive(Clone, Debug)]
pub struct FeatureSet {
    /// Length of a vector.
    pub dim: usize,
    /// `[images, dim]`, row by row, each of unit length.
    pub rows: Vec<f32>,
    /// How long each row was, `[images]`.
    pub norms: Vec<f32>,
    /// The class of each row.
    pub labels: Vec<usize>,
    /// The image of each row, by its number among those that were asked for: broken ones have no row.
    pub images: Vec<usize>,
}

impl FeatureSet {
    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    pub(crate) fn new(dim: usize, mut rows: Vec<f32>, labels: Vec<usize>) -> Self {
        let norms = rows.par_chunks_mut(dim.max(1)).map(normalise).collect();
        let images = (0..labels.len()).collect();
        Self { dim, rows, norms, labels, images }
    }

    /// The vector of one image, in unit length.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn row(&self, image: usize) -> &[f32] {
        &self.rows[image * self.dim..][..self.dim]
    }

    /// The vectors of some images, in that order.
    ///
    /// # Panics
    /// If there is no such row.
    pub(crate) fn select(&self, rows: &[usize]) -> Self {
        Self {
            dim: self.dim,
            rows: rows.iter().flat_map(|&row| self.row(row)).copied().collect(),
            norms: rows.iter().map(|&row| self.norms[row]).collect(),
            labels: rows.iter().map(|&row| self.labels[row]).collect(),
            images: rows.iter().map(|&row| self.images[row]).collect(),
        }
    }

    /// The vectors as they came from the network, `[images, dim]`, row by row.
    pub fn raw_rows(&self) -> Vec<f32> {
        let mut rows = self.rows.clone();
        for (row, norm) in rows.chunks_mut(self.dim.max(1)).zip(&self.norms) {
            row.iter_mut().for_each(|x| *x *= norm);
        }
        rows
    }

    /// The vectors as measures take them.
    ///
    /// # Errors
    /// [`Error::Measure`] where there are none, or one is not finite.
    pub fn features(&self) -> Result<Features<'_>> {
        Ok(Features::new(&self.rows, self.dim)?)
    }

    /// The classes as measures take them.
    ///
    /// # Errors
    /// [`Error::Measure`] where there are no images.
    pub fn labels(&self) -> Result<Labels<'_>> {
        Ok(Labels::new(&self.labels)?)
    }

    /// The same, of `classes` classes in all.
    ///
    /// # Errors
    /// [`Error::Measure`] where there are no images, or a class beyond those.
    pub fn labels_of(&self, classes: usize) -> Result<Labels<'_>> {
        Ok(Labels::of_classes(&self.labels, classes)?)
    }
}

/// To unit length, and how long it was; a zero vector stays zero.
pub(super) fn normalise(row: &mut [f32]) -> f32 {
    let norm = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    let divisor = norm.max(1e-12);
    for x in row {
        *x = (f64::from(*x) / divisor) as f32;
    }
    norm as f32
}

/// Told how many more images are done; says whether to go on, or what keeps it from that.
pub type Progress<'a> = dyn FnMut(usize) -> Result<bool> + 'a;

/// The pixels themselves, normalised per channel: what any encoder must beat. Large views are brought
/// to 64 pixels. None is returned when `progress` says no.
///
/// # Errors
/// As [`of_encoder`].
pub fn of_pixels(
    images: &Images,
    config: &Config,
    progress: &mut Progress<'_>,
) -> Result<Option<FeatureSet>> {
    let view = match EvalView::of_config(&config.eval) {
        EvalView::Central { resize, crop } if crop > PIXELS_SIDE => {
            EvalView::Central { resize: resize * PIXELS_SIDE / crop, crop: PIXELS_SIDE }
        }
        view => view,
    };
    features(images, config, view, progress, |views| Ok(views.values))
}

/// What `encoder` makes of the images. None is returned when `progress` says no.
///
/// # Errors
/// [`Error::Broken`] when too many images cannot be read; [`Error::Images`] when they are of different
/// sizes and the config does not say to which they are to be brought; [`Error::Device`] where the
/// device fails.
pub fn of_encoder(
    encoder: &Encoder,
    images: &Images,
    config: &Config,
    progress: &mut Progress<'_>,
) -> Result<Option<FeatureSet>> {
    let view = EvalView::of_config(&config.eval);
    features(images, config, view, progress, |views| by_encoder(encoder, config, views))
}

/// Feature vectors of some images that lie one behind the other, as they come from the network.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Which images were looked at.
    pub images: Range<usize>,
    /// The numbers of those that could be read, in order.
    pub read: Vec<usize>,
    /// `[read, dim]`, row by row.
    pub rows: Vec<f32>,
}

/// What `encoder` makes of the images from number `first` on, batch by batch in order, labelled or not.
/// `tell` is given each batch and says whether to go on; false is returned when it says no.
///
/// Of how many images a batch is depends on the size of their views alone. So who begins again where a
/// batch ended gets the batches that an undisturbed call would have got.
///
/// # Errors
/// As [`of_encoder`], and those of `tell`.
pub fn in_batches(
    encoder: &Encoder,
    images: &Images,
    config: &Config,
    first: usize,
    tell: &mut dyn FnMut(Batch) -> Result<bool>,
) -> Result<bool> {
    let view = EvalView::of_config(&config.eval);
    batches(images, config, view, first, |views| by_encoder(encoder, config, views), tell)
}

fn by_encoder(encoder: &Encoder, config: &Config, views: Views) -> Result<Vec<f32>> {
    let [width, height] = views.size;
    let views = TensorData::new(views.values, [views.read.len(), 3, height, width]);
    encoder.features(views, config.eval.features)
}

/// The vectors that `vectors` makes of the labelled images' views, with their labels.
fn features(
    images: &Images,
    config: &Config,
    view: EvalView,
    progress: &mut Progress<'_>,
    vectors: impl Fn(Views) -> Result<Vec<f32>>,
) -> Result<Option<FeatureSet>> {
    let (mut rows, mut labels, mut read) = (Vec::new(), Vec::new(), Vec::new());
    let is_done = batches(images, config, view, 0, vectors, &mut |batch| {
        labels.extend(batch.read.iter().filter_map(|&index| images.label(index)));
        read.extend(batch.read);
        rows.extend(batch.rows);
        progress(batch.images.len())
    })?;
    let dim = rows.len() / labels.len().max(1);
    Ok(is_done.then(|| FeatureSet { images: read, ..FeatureSet::new(dim, rows, labels) }))
}

/// The vectors that `vectors` makes of the images' views, batch by batch from image `first` on.
fn batches(
    images: &Images,
    config: &Config,
    view: EvalView,
    first: usize,
    vectors: impl Fn(Views) -> Result<Vec<f32>>,
    tell: &mut dyn FnMut(Batch) -> Result<bool>,
) -> Result<bool> {
    let Some(size) = size_of_views(images, view)? else {
        return tell(Batch { images: first..images.len(), read: Vec::new(), rows: Vec::new() });
    };
    let [width, height] = size;
    let most = (BATCH_PIXELS / (width * height).max(1)).clamp(1, BATCH);
    for begin in (first..images.len()).step_by(most) {
        let wanted = begin..images.len().min(begin + most);
        let views = Views::of(images, wanted.clone(), config, view, size)?;
        let read = views.read.clone();
        let rows = if read.is_empty() { Vec::new() } else { vectors(views)? };
        if !tell(Batch { images: wanted, read, rows })? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Width and height of the images' views; where images are seen as they are, those of the first that can be
/// read. None where there is no such image.
fn size_of_views(images: &Images, view: EvalView) -> Result<Option<[usize; 2]>> {
    if let EvalView::Central { crop, .. } = view {
        return Ok(Some([crop, crop]));
    }
    for index in 0..images.len() {
        let size = images.read(index, |picture| {
            let opened = picture.open()?;
            let size = opened.size();
            opened.pixels().map(|_| size)
        })?;
        if size.is_some() {
            return Ok(size);
        }
    }
    Ok(None)
}

/// The views of some images, normalised.
struct Views {
    /// Width and height of each.
    size: [usize; 2],
    /// `[read, 3, height, width]`
    values: Vec<f32>,
    /// The numbers of the images that could be read.
    read: Vec<usize>,
}

impl Views {
    fn of(
        images: &Images,
        wanted: Range<usize>,
        config: &Config,
        view: EvalView,
        size: [usize; 2],
    ) -> Result<Self> {
        let statistics = [config.data.mean, config.data.std];
        let one = |index: usize| {
            let read = images.read(index, |picture| {
                let opened = picture.open()?;
                let [width, height] = view.size(opened.size());
                let mut values = vec![0.0; 3 * width * height];
                view.write(opened, statistics, &mut values)?;
                Ok(([width, height], values))
            });
            Ok(read?.map(|(own, values)| (index, own, values)))
        };
        let read: Vec<_> = wanted.into_par_iter().map(one).collect::<Result<_>>()?;
        let mut views = Self { size, values: Vec::new(), read: Vec::new() };
        for (index, own, values) in read.into_iter().flatten() {
            if own != size {
                return Err(other_size(&images.name(index), own, size));
            }
            views.values.extend(values);
            views.read.push(index);
        }
        Ok(views)
    }
}

fn other_size(name: &str, [width, height]: [usize; 2], [first, second]: [usize; 2]) -> Error {
    Error::Images(format!(
        "{name} has {width} × {height} pixels, images before it {first} × {second}: for an evaluation they must be \
         brought to one size; set eval.resize and eval.crop, for example 256 and 224"
    ))
}
