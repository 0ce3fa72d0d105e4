use cpu_kernels::{Bank, Level};
use serde::{Deserialize, Serialize};

use crate::{Error, Features, Result};

/// How unevenly images are the neighbours of others (Radovanović, Nanopoulos and Ivanović 2010).
///
/// N_k of an image is among how many others' k nearest it is; its mean is k. Where dimensions are many
/// and features poor, a few hubs are everybody's neighbours and most images nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hubness {
    /// How many neighbours of each image were counted.
    pub k: usize,
    /// The skewness of N_k, E (N_k - k)³ / σ³; 0 if all are neighbours equally often.
    pub skewness: f64,
    /// The share of images that are nobody's neighbour.
    pub anti_hubs: f64,
    /// The greatest N_k.
    pub greatest: usize,
}

/// The hubness of the `k` nearest by cosine similarity, each image itself left out.
///
/// # Errors
/// [`Error::Option`] if k is 0, [`Error::TooFew`] if there are no k others, [`Error::Level`].
pub fn hubness(features: Features<'_>, k: usize) -> Result<Hubness> {
    let images = features.len();
    if k == 0 {
        return Err(Error::Option { name: "k", value: 0.0, needed: "at least 1" });
    }
    if images <= k {
        let what = format!("hubness with {k} neighbours");
        return Err(Error::TooFew { what, needed: k + 1, found: images });
    }
    let rows = features.unit_rows();
    let bank = Bank::new(Level::chosen()?, &rows, features.dim());
    let found = bank.nearest(&rows, k + 1, |query, found| {
        let others = found.iter().map(|&(_, row)| row).filter(|&row| row as usize != query);
        others.take(k).collect::<Vec<u32>>()
    });
    let mut occurrences = vec![0_usize; images];
    found.iter().flatten().for_each(|&row| occurrences[row as usize] += 1);
    Ok(Hubness::of(&occurrences, k))
}

impl Hubness {
    fn of(occurrences: &[usize], k: usize) -> Self {
        let images = occurrences.len() as f64;
        let moment = |power| {
            let centred = occurrences.iter().map(|&count| count as f64 - k as f64);
            centred.map(|x| x.powi(power)).sum::<f64>() / images
        };
        let (variance, third) = (moment(2), moment(3));
        Self {
            k,
            skewness: if variance > 0.0 { third / variance.powf(1.5) } else { 0.0 },
            anti_hubs: occurrences.iter().filter(|&&count| count == 0).count() as f64 / images,
            greatest: occurrences.iter().copied().max().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_middle_among_directions_is_a_hub() {
        // Eight directions at right angles, and their mean, which is nearest to all.
        let mut rows = vec![0.0; 9 * 8];
        for axis in 0..8 {
            rows[axis * 8 + axis] = 2.0;
            rows[8 * 8 + axis] = 1.0;
        }
        let found = hubness(Features::new(&rows, 8).unwrap(), 1).unwrap();
        assert_eq!(found.greatest, 8);
        // The middle's own neighbour is the first of equals.
        assert!((found.anti_hubs - 7.0 / 9.0).abs() < 1e-12);
        assert!(found.skewness > 2.0);
    }

    #[test]
    fn a_ring_has_no_hubs() {
        let angles = (0..12).map(|i| std::f64::consts::TAU * f64::from(i) / 12.0);
        let rows: Vec<f32> = angles.flat_map(|a| [a.cos() as f32, a.sin() as f32]).collect();
        let found = hubness(Features::new(&rows, 2).unwrap(), 2).unwrap();
        assert_eq!((found.skewness, found.anti_hubs, found.greatest), (0.0, 0.0, 2));
    }

    #[test]
    fn there_must_be_k_others() {
        let features = Features::new(&[1.0, 2.0, 3.0], 1).unwrap();
        assert!(matches!(hubness(features, 0), Err(Error::Option { .. })));
        assert!(matches!(hubness(features, 3), Err(Error::TooFew { needed: 4, found: 3, .. })));
        assert!(hubness(features, 2).is_ok());
    }
}
