//! LoGo on top of a framework: L_lg from its ℓ_s, L_ll and Ω from the learned affinity.

use burn::tensor::Tensor;
use rand::RngExt;

use super::Framework;
use crate::config::{AffinityObjective, AffinityPairs, LocalLocalStep, Terms};
use crate::model::{Affinity, Embedding, Phase};
use crate::objective;
use crate::rng::Generator;

/// The terms of equation 9, each `[1]`. Without LoGo there is L_gg alone.
pub struct Losses {
    /// What the encoder minimises.
    pub total: Tensor<1>,
    /// L_gg
    pub global_global: Tensor<1>,
    /// L_lg, with LoGo.
    pub local_global: Option<Tensor<1>>,
    /// L_ll, with LoGo, unless the encoder takes a step of its own by it.
    pub local_local: Option<Tensor<1>>,
}

/// How the encoder's loss is put together.
pub struct Recipe {
    /// λ of equation 9.
    pub lambda: f64,
    /// How L_gg and L_lg are put together.
    pub terms: Terms,
    /// Whether L_ll is among the terms of the encoder's main step.
    pub step: LocalLocalStep,
    /// ℓ_s from the first global view to the second only, as the earlier SimSiam-LoGo code.
    pub one_sided: bool,
}

/// The global views as the encoder sees them, and what views are compared with: the same, or a
/// momentum encoder's embeddings of them.
#[derive(Clone, Copy)]
pub struct Compared<'a> {
    /// Queries.
    pub global: &'a [Embedding],
    /// Targets.
    pub targets: &'a [Embedding],
}

/// The plain framework's loss: L_gg.
pub fn plain(framework: &dyn Framework, views: &Compared<'_>, recipe: &Recipe) -> Losses {
    let global_global = global_global(framework, views, recipe);
    Losses { total: global_global.clone(), global_global, local_global: None, local_local: None }
}

/// Equation 9, with f_d's weights as constants: neither they nor their gradients are touched.
pub fn losses(
    framework: &dyn Framework,
    affinity: &Affinity,
    views: &Compared<'_>,
    local: &[Embedding],
    recipe: &Recipe,
) -> Losses {
    let affinity = affinity.frozen();
    with_affinity(framework, &affinity, views, local, recipe)
}

/// Equation 9 with `affinity` as it is given: trainable weights receive λ L_ll's gradient. Only the
/// earlier code's behaviour wants that; everything else calls [`losses`].
pub fn with_affinity(
    framework: &dyn Framework,
    affinity: &Affinity,
    views: &Compared<'_>,
    local: &[Embedding],
    recipe: &Recipe,
) -> Losses {
    let global_global = global_global(framework, views, recipe);
    let targets: Vec<_> = views.targets.iter().map(stop_gradient).collect();
    let local_global = objective::local_global(local, &targets, |l, g| framework.similarity(l, g));
    let (gg, lg) = (global_global.clone(), local_global.clone());
    let between_views = match recipe.terms {
        Terms::Sum => objective::sum_of_terms(gg, lg),
        Terms::Mean => objective::mean_of_terms(gg, lg, [views.global.len(), local.len()]),
    };
    let (total, local_local) = match recipe.step {
        LocalLocalStep::Joint => {
            let local_local = local_local(affinity, local, recipe.step);
            (between_views + local_local.clone() * recipe.lambda, Some(local_local))
        }
        LocalLocalStep::Separate => (between_views, None),
    };
    Losses { total, global_global, local_global: Some(local_global), local_local }
}

fn global_global(framework: &dyn Framework, views: &Compared<'_>, recipe: &Recipe) -> Tensor<1> {
    let similarity = |query: &Embedding, target: &Embedding| framework.similarity(query, target);
    match recipe.one_sided {
        true => similarity(&views.global[0], &views.targets[1]),
        false => objective::global_global(views.global, views.targets, similarity),
    }
}

/// Equation 5 by `affinity`. Its norms use the running statistics by equation 9, and the batch's in
/// the authors' code, which takes a separate step.
pub fn local_local(affinity: &Affinity, local: &[Embedding], step: LocalLocalStep) -> Tensor<1> {
    let phase = match step {
        LocalLocalStep::Joint => Phase::Eval,
        LocalLocalStep::Separate => Phase::Train,
    };
    let of_pair =
        |(a, b): (&Embedding, &Embedding)| affinity.forward(a.z.clone(), b.z.clone(), phase);
    objective::local_local(Tensor::cat(pairs(local).map(of_pair).collect(), 0))
}

/// Every pair of an image's views.
pub fn pairs<T>(views: &[T]) -> impl Iterator<Item = (&T, &T)> {
    let with_later = |(at, a)| views[at + 1..].iter().map(move |b| (a, b));
    views.iter().enumerate().flat_map(with_later)
}

fn stop_gradient(embedding: &Embedding) -> Embedding {
    Embedding { z: embedding.z.clone().detach(), p: embedding.p.clone().detach() }
}

/// What f_d says of pairs from the same and from different images, `[pairs]` each.
pub struct Affinities {
    /// f_d of two local views of one image.
    pub same: Tensor<1>,
    /// f_d(z^l, z^l-) with z^l- another image's local embedding.
    pub different: Tensor<1>,
    /// Both before f_d's softplus.
    scores: [Tensor<1>; 2],
}

impl Affinities {
    fn new(affinity: &Affinity, scores: [Tensor<1>; 2]) -> Self {
        let [same, different] = scores.clone().map(|score| affinity.activate(score));
        Self { same, different, scores }
    }

    /// Ω, to be maximised over f_d's weights: equation 6, or its bounded form.
    pub fn omega(&self, objective: AffinityObjective) -> Tensor<1> {
        match objective {
            AffinityObjective::Difference => {
                objective::omega(self.same.clone(), self.different.clone())
            }
            AffinityObjective::Softplus => {
                let [same, different] = self.scores.clone();
                objective::omega_softplus(same, different)
            }
        }
    }
}

/// f_d on the batch's pairs, its inputs detached: Ω never trains the encoder. `noise`, `[batch, dim]`
/// for each of the two places, is added to pairs of one image.
pub fn affinities(
    affinity: &Affinity,
    local: &[Embedding],
    negatives: &[usize],
    noise: Option<&[Tensor<2>; 2]>,
    pairs: AffinityPairs,
) -> Affinities {
    let local = local.iter().map(|view| affinity.input(view.z.clone().detach()));
    let local: Vec<Tensor<2>> = local.collect();
    let each = self::pairs(&local).map(|(a, b)| {
        let pair = [a.clone(), b.clone()];
        match pairs {
            AffinityPairs::OneOrder => one_order(affinity, pair, negatives, noise),
            AffinityPairs::BothOrders => both_orders(affinity, pair, negatives, noise),
        }
    });
    let (same, different): (Vec<_>, Vec<_>) = each.map(|[s, d]| (s, d)).unzip();
    Affinities::new(affinity, [Tensor::cat(same, 0), Tensor::cat(different, 0)])
}

/// Scores of one pair of local views, of the same and of different images.
///
/// Positives and negatives pass as one batch of `2 batch` rows, so both are normalised by the same
/// statistics; separate passes would centre each on its own mean, which is what tells them apart.
fn one_order(
    affinity: &Affinity,
    [first, second]: [Tensor<2>; 2],
    negatives: &[usize],
    noise: Option<&[Tensor<2>; 2]>,
) -> [Tensor<1>; 2] {
    let other = objective::reorder(first.clone(), negatives);
    let batch = negatives.len();
    let [anchor, partner] = noisy([first.clone(), second], noise);
    let anchors = Tensor::cat(vec![anchor, first], 0);
    let partners = Tensor::cat(vec![partner, other], 0);
    let both = affinity.score_inputs(anchors, partners, Phase::Train);
    [both.clone().narrow(0, 0, batch), both.narrow(0, batch, batch)]
}

fn both_orders(
    affinity: &Affinity,
    [first, second]: [Tensor<2>; 2],
    negatives: &[usize],
    noise: Option<&[Tensor<2>; 2]>,
) -> [Tensor<1>; 2] {
    let orders = [[first.clone(), second.clone()], [second, first]];
    let score = |[a, b]: [Tensor<2>; 2]| affinity.score_inputs(a, b, Phase::Train);
    let same = orders.clone().map(|pair| score(noisy(pair, noise)));
    let different = orders.map(|[a, b]| score([a, objective::reorder(b, negatives)]));
    [same, different].map(|orders| Tensor::cat(orders.to_vec(), 0))
}

fn noisy(pair: [Tensor<2>; 2], noise: Option<&[Tensor<2>; 2]>) -> [Tensor<2>; 2] {
    let [a, b] = pair;
    match noise {
        Some([on_a, on_b]) => [a + on_a.clone(), b + on_b.clone()],
        None => [a, b],
    }
}

/// The batch in reverse: the authors' pairing. The middle image of an odd batch is its own negative.
pub fn flipped(count: usize) -> Vec<usize> {
    (0..count).rev().collect()
}

/// A random permutation of `0..count` in which nothing stays in its place (one cycle, by Sattolo's
/// algorithm), so that a negative is never the image itself.
///
/// # Panics
/// If `count < 2`: there is no other image.
pub fn derangement(count: usize, rng: &mut Generator) -> Vec<usize> {
    assert!(count >= 2, "a negative needs a second image");
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, rng.random_range(0..last));
    }
    order
}

/// Any random permutation; the earlier code's, in which an image can be its own negative.
pub fn permutation(count: usize, rng: &mut Generator) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, rng.random_range(0..=last));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Stream, generator};

    #[test]
    fn a_negative_is_never_the_image_itself() {
        for draw in 0..2_000 {
            for count in [2, 3, 7, 64] {
                let mut rng = generator(5, Stream::Negative, draw, 0, 0);
                let order = derangement(count, &mut rng);
                assert!(order.iter().enumerate().all(|(image, &negative)| image != negative));
                let mut sorted = order;
                sorted.sort_unstable();
                assert_eq!(sorted, (0..count).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_earlier_codes_permutation_can_repeat_the_image() {
        let repeats = (0..200).any(|draw| {
            let mut rng = generator(5, Stream::Negative, draw, 0, 0);
            permutation(8, &mut rng).iter().enumerate().any(|(i, &k)| i == k)
        });
        assert!(repeats);
    }
}
