//! Making views.

use rayon::prelude::*;
use serde::Serialize;

use super::median_seconds;
use crate::augment::views::{ViewKind, ViewMaker};
use crate::config::Config;
use crate::data::Dataset;

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

/// The views of every image of `dataset` under `config`, on all threads.
pub fn views(config: &Config, dataset: &dyn Dataset) -> ViewsBench {
    let maker = ViewMaker::of_config(config);
    let sizes = [ViewKind::Global, ViewKind::Local].map(|kind| maker.size(kind));
    let most = sizes[0].max(sizes[1]);
    let seconds = median_seconds(WARM_UP, RUNS, || {
        (0..dataset.len()).into_par_iter().for_each_init(
            || vec![0.0; 3 * most * most],
            |view, image| {
                for (slot, kind) in maker.slots().enumerate() {
                    let side = maker.size(kind);
                    let out = &mut view[..3 * side * side];
                    maker.view(dataset.image(image), 0, image as u64, slot, out);
                }
            },
        );
    });
    let images_per_second = dataset.len() as f64 / seconds;
    ViewsBench { sizes, threads: rayon::current_num_threads(), images_per_second }
}
