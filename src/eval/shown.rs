//! Which images a picture shows.

use rand::seq::SliceRandom;

use logo_ssl_base::rng::{Stream, generator};

/// `count` images drawn under `seed`, the classes by turns, so that none has two more than another as long
/// as it has images; all where there are fewer. `classes` is the class of each image, or none. Those
/// of the same class stand together.
pub(crate) fn spread(classes: &[Option<usize>], count: usize, seed: u64) -> Vec<usize> {
    let classes_in_all = classes.iter().flatten().max().map_or(0, |most| most + 1);
    // Images without a class are one class more.
    let class_of = |image: usize| classes[image].unwrap_or(classes_in_all);
    let mut of_class = vec![vec![]; classes_in_all + 1];
    (0..classes.len()).for_each(|image| of_class[class_of(image)].push(image));
    for (class, images) in of_class.iter_mut().enumerate() {
        images.shuffle(&mut generator(seed, Stream::Shown, 0, class as u64, 0));
    }
    of_class.shuffle(&mut generator(seed, Stream::Shown, 1, 0, 0));
    let rounds = of_class.iter().map(Vec::len).max().unwrap_or(0);
    let by_turns =
        (0..rounds).flat_map(|round| of_class.iter().filter_map(move |images| images.get(round)));
    let mut chosen: Vec<usize> = by_turns.copied().take(count).collect();
    chosen.sort_by_key(|&image| (class_of(image), image));
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_share_and_the_seed_decides() {
        let classes: Vec<Option<usize>> = (0..90).map(|image| Some(image % 9 / 3)).collect();
        let chosen = spread(&classes, 7, 3);
        let count = |class| chosen.iter().filter(|&&image| classes[image] == Some(class)).count();
        let mut counts = [0, 1, 2].map(count);
        counts.sort_unstable();
        assert_eq!(counts, [2, 2, 3]);
        assert!(chosen.is_sorted_by_key(|&image| classes[image]), "{chosen:?}");
        assert_eq!(chosen, spread(&classes, 7, 3));
        assert_ne!(chosen, spread(&classes, 7, 4));
    }

    #[test]
    fn a_class_that_is_used_up_leaves_its_turn_to_others_and_all_is_the_most() {
        let classes = [Some(1), None, Some(1), Some(0), Some(1)];
        assert_eq!(spread(&classes, 9, 0), [3, 0, 2, 4, 1]);
        assert_eq!(spread(&[], 4, 0), [0_usize; 0]);
        let without = spread(&[None; 50], 5, 1);
        assert_eq!(without.len(), 5);
        assert!(without.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
