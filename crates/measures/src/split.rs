use rand::seq::index;

use crate::random::{Purpose, generator};
use crate::{Error, Labels, Result};

/// Images in two parts, each in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    /// Those to learn from.
    pub(crate) kept: Vec<usize>,
    /// Those to judge by.
    pub(crate) held_out: Vec<usize>,
}

/// Holds out about `share` of the images of each class, drawn by `seed`: at least one of each class
/// that has two, and never all.
pub(crate) fn stratified(labels: Labels<'_>, share: f64, seed: u64) -> Result<Split> {
    if !(share > 0.0 && share < 1.0) {
        let needed = "more than 0 and less than 1";
        return Err(Error::Option { name: "the share held out", value: share, needed });
    }
    let mut is_held_out = vec![false; labels.len()];
    for (class, images) in labels.images().into_iter().enumerate() {
        let most = images.len().saturating_sub(1);
        let count = ((images.len() as f64 * share).round() as usize).max(1).min(most);
        let mut rng = generator(seed, Purpose::HeldOut, class as u64, 0);
        let chosen = index::sample(&mut rng, images.len(), count);
        chosen.into_iter().for_each(|at| is_held_out[images[at]] = true);
    }
    let (held_out, kept) = (0..labels.len()).partition::<Vec<_>, _>(|&image| is_held_out[image]);
    if held_out.is_empty() {
        let what = "a class to hold images out of".to_owned();
        return Err(Error::TooFew { what, needed: 2, found: 1 });
    }
    Ok(Split { kept, held_out })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_split_alike() {
        // Classes of 20, 7, 1 and 2 images.
        let labels: Vec<usize> =
            [(0, 20), (1, 7), (2, 1), (4, 2)].iter().flat_map(|&(c, n)| vec![c; n]).collect();
        let labels = Labels::new(&labels).unwrap();
        let split = stratified(labels, 0.2, 3).unwrap();
        let of = |part: &[usize], class| {
            part.iter().filter(|&&image| labels.of()[image] == class).count()
        };
        assert_eq!([0, 1, 2, 3, 4].map(|class| of(&split.held_out, class)), [4, 1, 0, 0, 1]);
        assert_eq!([0, 1, 2, 3, 4].map(|class| of(&split.kept, class)), [16, 6, 1, 0, 1]);
        let mut all = [split.kept.clone(), split.held_out.clone()].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..30));
        assert_eq!(stratified(labels, 0.2, 3).unwrap(), split);
        assert_ne!(stratified(labels, 0.2, 4).unwrap(), split);
    }

    #[test]
    fn what_cannot_be_split_is_refused() {
        let single = Labels::new(&[0, 1, 2]).unwrap();
        assert!(matches!(stratified(single, 0.5, 0), Err(Error::TooFew { .. })));
        let double = Labels::new(&[0, 0]).unwrap();
        for share in [0.0, 1.0, f64::NAN] {
            assert!(matches!(stratified(double, share, 0), Err(Error::Option { .. })), "{share}");
        }
    }
}
