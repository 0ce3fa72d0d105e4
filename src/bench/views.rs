//! Making views.

use rayon::prelude::*;
use serde::Serialize;

use super::median_seconds;
use crate::Result;
use crate::augment::views::{ViewKind, ViewMaker};
use crate::config::Config;
use crate::data::Images;

const WARM_UP: usize = 1;
const RUNS: usize = 5;

/// How fast the views of an image are made.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ViewsBench {
    /// Sides of the global and the local views, pixels.
    pub sizes: [usize; 2],
    /// Threads that make them.
    pub threads: usize,
    /// Images a second, all threads together.
    pub images_per_second: f64,
}

/// The views of every one of `images` under `config`, on all threads: read, decoded, cropped and
/// augmented.
///
/// # Errors
/// [`crate::Error::Broken`] when too many images cannot be read.
pub fn views(config: &Config, images: &Images) -> Result<ViewsBench> {
    let maker = ViewMaker::of_config(config);
    let sizes = [ViewKind::Global, ViewKind::Local].map(|kind| maker.size(kind));
    let most = sizes[0].max(sizes[1]);
    let seconds = median_seconds(WARM_UP, RUNS, || {
        (0..images.len()).into_par_iter().try_for_each_init(
            || vec![0.0; 3 * most * most],
            |view, image| make(&maker, images, image, view),
        )
    })?;
    let images_per_second = images.len() as f64 / seconds;
    Ok(ViewsBench { sizes, threads: rayon::current_num_threads(), images_per_second })
}

/// Makes all views of an image, one after another in `view`.
fn make(maker: &ViewMaker, images: &Images, image: usize, view: &mut [f32]) -> Result<()> {
    let made = images.read(image, |picture| {
        let prepared = maker.prepare(picture, 0, image as u64)?;
        for (slot, kind) in maker.slots().enumerate() {
            let side = maker.size(kind);
            prepared.write(slot, &mut view[..3 * side * side]);
        }
        Ok(())
    });
    Ok(made.map(drop)?)
}
