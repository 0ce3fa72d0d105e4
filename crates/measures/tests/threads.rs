//! What comes out is the same bytes for any number of threads.

use logo_ssl_base::rng::{Stream, generator, normal};
use logo_ssl_measures::clusters::{self, k_means};
use logo_ssl_measures::geometry::{self, Pairs};
use logo_ssl_measures::interval::bootstrap_mean;
use logo_ssl_measures::logistic::{Grid, fit_grid};
use logo_ssl_measures::reduce::{Pca, Tsne, tsne};
use logo_ssl_measures::{Features, Labels, few_shot};
use rayon::ThreadPoolBuilder;

const IMAGES: usize = 1111;
const DIM: usize = 69;
const CLASSES: usize = 5;

/// Numbers around the middle of their class.
fn set() -> (Vec<f32>, Vec<usize>) {
    let mut rng = generator(5, Stream::Measure, 0, 0, 0);
    let middles: Vec<f64> = (0..CLASSES * DIM).map(|_| normal(&mut rng)).collect();
    let labels: Vec<usize> = (0..IMAGES).map(|image| image * 7 % CLASSES).collect();
    let rows = labels.iter().flat_map(|class| &middles[class * DIM..][..DIM]);
    let rows: Vec<f32> = rows.map(|middle| (middle + 3.0 * normal(&mut rng)) as f32).collect();
    (rows, labels)
}

/// Everything that is measured with several threads, as text that shows every bit of it.
fn measured() -> Vec<String> {
    let (rows, labels) = set();
    let (features, labels) = (Features::new(&rows, DIM).unwrap(), Labels::new(&labels).unwrap());
    let data = features.labelled(labels).unwrap();
    let grid = Grid { c: vec![0.01, 0.1, 1.0], ..Grid::default() };
    let probe = fit_grid(data, &grid, &mut |_, _| true).unwrap().unwrap();
    let options = clusters::Options { starts: 2, ..clusters::Options::new(CLASSES, 1) };
    let clusters = k_means(features, &options, &mut |_, _| true).unwrap().unwrap();
    let few = Tsne { iterations: 60, ..Tsne::default() };
    let values: Vec<f64> = rows.iter().map(|&x| f64::from(x)).take(999).collect();
    vec![
        format!("{probe:?}"),
        format!("{clusters:?}"),
        format!("{:?}", geometry::effective_rank(features)),
        format!("{:?}", geometry::uniformity(features, Pairs::All).unwrap()),
        format!("{:?}", geometry::uniformity(features, Pairs::Drawn { count: 9999, seed: 1 })),
        format!("{:?}", geometry::hubness(features, 10).unwrap()),
        format!("{:?}", Pca::fit(features, 3).unwrap().transform(features).unwrap()),
        format!("{:?}", tsne(features, &few, &mut |_, _| {}).unwrap()),
        format!("{:?}", few_shot::draws(labels, 5, 7, 3).unwrap()),
        format!("{:?}", bootstrap_mean(&values, 300, 2).unwrap()),
    ]
}

#[test]
fn any_number_of_threads_measures_the_same() {
    let with =
        |threads| ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(measured);
    let one = with(1);
    for threads in [2, 5] {
        for (at, (one, many)) in one.iter().zip(with(threads)).enumerate() {
            assert!(*one == many, "measure {at} differs with {threads} threads");
        }
    }
}
