//! How alike the embeddings of views are: of one image's, and of different images'.

use logo_ssl_base::rng::{Stream, generator};
use rand::seq::SliceRandom;
use rayon::prelude::*;

use super::crops::cosine;
use super::{Encoder, Progress, shown};
use crate::augment::views::{ViewKind, ViewMaker};
use crate::config::{Config, Features};
use crate::data::Images;
use crate::framework::logo::pairs;
use crate::model::params::TensorData;
use crate::{Error, Result};

/// Images whose views are embedded at once.
const BATCH: usize = 64;

/// Cosines of embeddings of views, as training makes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Similarities {
    /// How many images they are of.
    pub images: usize,
    /// Of two global views of one image.
    pub global_global: Vec<f32>,
    /// Of a local with a global view of one image; none of a plain run.
    pub local_global: Vec<f32>,
    /// Of two local views of one image; none of a plain run.
    pub local_local: Vec<f32>,
    /// Of any view of one image with any of another, each image with one other.
    pub different: Vec<f32>,
}

/// One image's views.
#[derive(Clone, Debug, Default)]
struct Embedded {
    /// Each of length dim.
    global: Vec<Vec<f32>>,
    local: Vec<Vec<f32>>,
}

/// Embeds the views of `count` images that are drawn under `seed`, spread over classes. The views are augmented as
/// in the first epoch, the network is in evaluation mode: its batch norms have their running statistics, so
/// the means may differ a little from those that training logged. None is returned when
/// `progress` says no.
///
/// # Errors
/// [`Error::Images`] where there are not so many images, or no two; [`Error::Broken`] where too many cannot be
/// read; [`Error::Device`] where the device fails.
pub fn of_encoder(
    encoder: &Encoder,
    images: &Images,
    config: &Config,
    (count, seed): (usize, u64),
    progress: &mut Progress<'_>,
) -> Result<Option<Similarities>> {
    if count < 2 || count > images.len() {
        let there = images.len();
        return Err(Error::Images(format!(
            "{count} images are asked for, and there are {there}; ask for at least 2 and at most as many"
        )));
    }
    let maker = ViewMaker::of_config(config);
    let maker = if config.framework.logo { maker } else { maker.without_local() };
    let classes: Vec<Option<usize>> = (0..images.len()).map(|image| images.label(image)).collect();
    let chosen = shown::spread(&classes, count, seed);
    let mut embedded = vec![];
    for batch in chosen.chunks(BATCH) {
        embedded.extend(embed(encoder, images, &maker, batch)?);
        if !progress(embedded.len().min(count), count)? {
            return Ok(None);
        }
    }
    // They stand by class, and the next of the same class would not be any other image.
    embedded.shuffle(&mut generator(seed, Stream::Shown, 2, 0, 0));
    Ok(Some(of_embedded(&embedded)))
}

/// The embeddings of the images' views; those of images that cannot be read are left out.
fn embed(
    encoder: &Encoder,
    images: &Images,
    maker: &ViewMaker,
    batch: &[usize],
) -> Result<Vec<Embedded>> {
    let views = |&index: &usize| {
        let read = images.read(index, |picture| {
            let prepared = maker.prepare(picture, 0, index as u64)?;
            let view = |(slot, kind): (usize, ViewKind)| {
                let size = maker.size(kind);
                let mut view = vec![0.0; 3 * size * size];
                prepared.write(slot, &mut view);
                view
            };
            Ok(maker.slots().enumerate().map(view).collect::<Vec<_>>())
        });
        Ok(read?)
    };
    let read: Vec<Option<Vec<Vec<f32>>>> = batch.par_iter().map(views).collect::<Result<_>>()?;
    let read: Vec<Vec<Vec<f32>>> = read.into_iter().flatten().collect();
    let mut embedded = vec![Embedded::default(); read.len()];
    for (slot, kind) in maker.slots().enumerate() {
        if read.is_empty() {
            break;
        }
        let size = maker.size(kind);
        let pixels: Vec<f32> = read.iter().flat_map(|views| &views[slot]).copied().collect();
        let pixels = TensorData::new(pixels, [read.len(), 3, size, size]);
        let z = encoder.features(pixels, Features::Projector)?;
        let dim = z.len() / read.len();
        for (image, z) in embedded.iter_mut().zip(z.chunks_exact(dim)) {
            match kind {
                ViewKind::Global => image.global.push(z.to_vec()),
                ViewKind::Local => image.local.push(z.to_vec()),
            }
        }
    }
    Ok(embedded)
}

fn of_embedded(images: &[Embedded]) -> Similarities {
    let mut found = Similarities { images: images.len(), ..Similarities::default() };
    for (at, Embedded { global, local }) in images.iter().enumerate() {
        found.global_global.extend(pairs(global).map(|(a, b)| cosine(a, b)));
        found.local_local.extend(pairs(local).map(|(a, b)| cosine(a, b)));
        found.local_global.extend(across(local, global));
        let other = &images[(at + 1) % images.len()];
        let all = |of: &Embedded| of.global.iter().chain(&of.local).cloned().collect::<Vec<_>>();
        found.different.extend(across(&all(&images[at]), &all(other)));
    }
    found
}

fn across(some: &[Vec<f32>], others: &[Vec<f32>]) -> Vec<f32> {
    some.iter().flat_map(|a| others.iter().map(|b| cosine(a, b))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(global: [[f32; 2]; 2], local: &[[f32; 2]]) -> Embedded {
        let rows = |rows: &[[f32; 2]]| rows.iter().map(|row| row.to_vec()).collect();
        Embedded { global: rows(&global), local: rows(local) }
    }

    #[test]
    fn each_cosine_is_of_its_kind() {
        let first = image([[1.0, 0.0], [2.0, 0.0]], &[[0.0, 1.0], [0.0, -3.0]]);
        let second = image([[0.0, 1.0], [0.0, -1.0]], &[[1.0, 0.0], [1.0, 0.0]]);
        let found = of_embedded(&[first, second]);
        assert_eq!(found.images, 2);
        assert_eq!(found.global_global, [1.0, -1.0]);
        assert_eq!(found.local_local, [-1.0, 1.0]);
        assert_eq!(found.local_global, [0.0; 8]);
        assert_eq!(found.different.len(), 2 * 16);
        let first_global = [0.0, 0.0, 1.0, 1.0];
        assert_eq!(found.different[..4], first_global);
    }

    #[test]
    fn a_plain_runs_images_have_global_views_alone() {
        let found = of_embedded(&[
            image([[1.0, 0.0], [0.6, 0.8]], &[]),
            image([[0.0, 1.0], [0.0, 1.0]], &[]),
        ]);
        assert!((found.global_global[0] - 0.6).abs() < 1e-6);
        assert!(found.local_global.is_empty() && found.local_local.is_empty());
        assert_eq!(found.different.len(), 8);
    }
}
