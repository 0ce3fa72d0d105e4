//! Features into a classifier of one's own: the nearest class mean, on the embedded dataset.
//! `cargo run --release --example features -- runs/quickstart/weights.safetensors`

use logo_ssl::Result;
use logo_ssl::data::{DatasetName, Splits};
use logo_ssl::eval::features::{FeatureSet, of_encoder};
use logo_ssl::executor::Device;
use logo_ssl::interop::weights;
use logo_ssl::presets::Layers;

fn main() -> Result<()> {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("which weights?");
        std::process::exit(2);
    };
    let encoder = weights::read(path.as_ref(), &Device::cpu())?;
    // The preset says how images are normalised.
    let config = Layers::preset("quickstart")?.build()?;
    let splits = Splits::load(DatasetName::SHAPES, None)?;
    let labelled = splits.evaluation.expect("shapes has labels");
    let features = |images| of_encoder(&encoder, images, &config, &mut |_| Ok(true));
    let (train, test) = (features(&labelled.bank)?, features(&labelled.test)?);
    let (train, test) = (train.expect("never stopped"), test.expect("never stopped"));
    let means = class_means(&train, labelled.bank.classes().len());
    let rows = test.rows.chunks(test.dim).zip(&test.labels);
    let right = rows.filter(|(row, label)| nearest(row, &means) == **label).count();
    println!("{right} of {} right by the nearest class mean", test.len());
    Ok(())
}

/// The mean feature of each class.
fn class_means(set: &FeatureSet, classes: usize) -> Vec<Vec<f32>> {
    let mut sums = vec![vec![0.0; set.dim]; classes];
    for (row, &label) in set.rows.chunks(set.dim).zip(&set.labels) {
        sums[label].iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    let count = |class| set.labels.iter().filter(|&&label| label == class).count().max(1) as f32;
    let mean = |(class, sum): (usize, Vec<f32>)| sum.iter().map(|sum| sum / count(class)).collect();
    sums.into_iter().enumerate().map(mean).collect()
}

fn nearest(row: &[f32], means: &[Vec<f32>]) -> usize {
    let distance =
        |mean: &Vec<f32>| row.iter().zip(mean).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
    let by_distance = means.iter().map(distance).enumerate();
    by_distance.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(class, _)| class)
}
