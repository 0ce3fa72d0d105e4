//! This crate's side of `bench/measures.py`: takes a measure of features in a file of plain little-endian
//! f32, `[images, dim]`, and prints one line of JSON with what came out and the seconds it took.
//!
//!     peers probe FEATURES DIM LABELS      LABELS: a file of bytes, the classes
//!     peers clusters FEATURES DIM LABELS
//!     peers map FEATURES DIM OUT           OUT: where the map goes, `[images, 2]`
//!     peers spectrum FEATURES DIM

use std::error::Error;
use std::time::Instant;

use logo_ssl_measures::clusters::{self, agreement, k_means};
use logo_ssl_measures::geometry::{self, Pairs};
use logo_ssl_measures::logistic::{Grid, fit_grid};
use logo_ssl_measures::reduce::{Pca, Tsne, trustworthiness, tsne};
use logo_ssl_measures::{Features, Labels};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, features, dim, rest @ ..] = &arguments[..] else {
        return Err("a measure, a file of features, and their length".into());
    };
    let rows = read(features)?;
    let features = Features::new(&rows, dim.parse()?)?;
    let line = match (&what[..], rest) {
        ("probe", [labels]) => probe(features, &classes(labels)?)?,
        ("clusters", [labels]) => clusters(features, &classes(labels)?)?,
        ("map", [out]) => map(features, out)?,
        ("spectrum", []) => spectrum(features)?,
        _ => return Err(format!("no measure {what} with {} arguments", rest.len()).into()),
    };
    println!("{line}");
    Ok(())
}

fn probe(features: Features<'_>, classes: &[usize]) -> Result<String, Box<dyn Error>> {
    let data = features.labelled(Labels::new(classes)?)?;
    let start = Instant::now();
    let found = fit_grid(data, &Grid::default(), &mut |_, _| true)?.ok_or("stopped")?;
    let seconds = start.elapsed().as_secs_f64();
    for point in &found.points {
        eprintln!("{point:?}");
    }
    let (c, loss, iterations) = (found.c, found.fitted.loss, found.fitted.iterations);
    Ok(format!(r#"{{"seconds": {seconds}, "c": {c}, "loss": {loss}, "iterations": {iterations}}}"#))
}

fn clusters(features: Features<'_>, classes: &[usize]) -> Result<String, Box<dyn Error>> {
    let labels = Labels::new(classes)?;
    let start = Instant::now();
    let options = clusters::Options::new(labels.classes(), 0);
    let found = k_means(features, &options, &mut |_, _| true)?.ok_or("stopped")?;
    let seconds = start.elapsed().as_secs_f64();
    let agreement = agreement(Labels::new(&found.clusters)?, labels)?;
    let (inertia, nmi) = (found.inertia, agreement.nmi);
    Ok(format!(r#"{{"seconds": {seconds}, "inertia": {inertia}, "nmi": {nmi}}}"#))
}

fn map(features: Features<'_>, out: &str) -> Result<String, Box<dyn Error>> {
    let start = Instant::now();
    let map = tsne(features, &Tsne::default(), &mut |_, _| {})?;
    let seconds = start.elapsed().as_secs_f64();
    let trust = trustworthiness(features, Features::new(&map, 2)?, 5)?;
    std::fs::write(out, map.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())?;
    Ok(format!(r#"{{"seconds": {seconds}, "trustworthiness": {trust}}}"#))
}

fn spectrum(features: Features<'_>) -> Result<String, Box<dyn Error>> {
    let start = Instant::now();
    let rank = geometry::effective_rank(features);
    let rank_seconds = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let explained = Pca::fit(features, 2.min(features.dim()))?.explained_ratio();
    let pca_seconds = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let drawn = Pairs::Drawn { count: 1_000_000, seed: 0 };
    let uniformity = geometry::uniformity(features, drawn)?;
    let uniformity_seconds = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let hubs = geometry::hubness(features, 10.min(features.len() - 1))?;
    let hubs_seconds = start.elapsed().as_secs_f64();
    Ok(format!(
        r#"{{"rank": {rank}, "rank_seconds": {rank_seconds}, "explained": {explained:?}, "pca_seconds": {pca_seconds}, "uniformity": {uniformity}, "uniformity_seconds": {uniformity_seconds}, "skewness": {}, "hubs_seconds": {hubs_seconds}}}"#,
        hubs.skewness
    ))
}

fn read(path: &str) -> Result<Vec<f32>, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    match rest {
        [] => Ok(numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()),
        _ => Err(format!("{path} is no file of f32").into()),
    }
}

fn classes(path: &str) -> Result<Vec<usize>, Box<dyn Error>> {
    Ok(std::fs::read(path)?.into_iter().map(usize::from).collect())
}
