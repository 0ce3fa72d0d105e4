//! LoGo on top of a framework: L_lg from its ℓ_s, L_ll and Ω from the learned affinity.

use graph::{Node, concatenate};
use rand::RngExt;

use super::{Framework, Memory};
use crate::config::{AffinityObjective, AffinityPairs, LocalLocalStep, Terms};
use crate::model::params::Weights;
use crate::model::{Affinity, Embedding, Phase};
use crate::objective;
use logo_ssl_base::rng::Generator;

/// The terms of equation 9, each a scalar. Without LoGo there is L_gg alone.
#[derive(Clone, Copy, Debug)]
pub struct Losses<'g> {
    /// What the encoder minimises.
    pub total: Node<'g>,
    /// L_gg
    pub global_global: Node<'g>,
    /// L_lg, with LoGo.
    pub local_global: Option<Node<'g>>,
    /// L_ll, with LoGo, unless the encoder takes a step of its own by it.
    pub local_local: Option<Node<'g>>,
}

/// How the encoder's loss is put together.
#[derive(Clone, Copy, Debug)]
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
pub struct Compared<'a, 'g> {
    /// Queries.
    pub global: &'a [Embedding<'g>],
    /// Targets.
    pub targets: &'a [Embedding<'g>],
    /// ℓ_s
    pub framework: &'a dyn Framework,
    /// What ℓ_s remembers.
    pub memory: &'a Memory<'g>,
}

impl<'g> Compared<'_, 'g> {
    fn similarity(&self, query: &Embedding<'g>, target: &Embedding<'g>) -> Node<'g> {
        self.framework.similarity(*query, *target, self.memory)
    }

    fn global_global(&self, recipe: &Recipe) -> Node<'g> {
        match recipe.one_sided {
            true => self.similarity(&self.global[0], &self.targets[1]),
            false => objective::global_global(self.global, self.targets, |query, target| {
                self.similarity(query, target)
            }),
        }
    }
}

/// The plain framework's loss: L_gg.
pub fn plain<'g>(views: &Compared<'_, 'g>, recipe: &Recipe) -> Losses<'g> {
    let global_global = views.global_global(recipe);
    Losses { total: global_global, global_global, local_global: None, local_local: None }
}

/// f_d with its weights.
#[derive(Clone, Copy)]
pub struct Judge<'a, 'g> {
    /// What it computes.
    pub affinity: &'a Affinity,
    /// With these.
    pub weights: &'a Weights<'g>,
}

/// Equation 9 with f_d as `judge`: with frozen weights, as the paper has it, neither they nor their
/// gradients are touched. Trainable ones receive λ L_ll's gradient, which only the earlier code wants.
pub fn losses<'g>(
    judge: Judge<'_, 'g>,
    views: &Compared<'_, 'g>,
    local: &[Embedding<'g>],
    recipe: &Recipe,
) -> Losses<'g> {
    let global_global = views.global_global(recipe);
    let targets: Vec<_> = views.targets.iter().map(|t| t.map(Node::stop_gradient)).collect();
    let local_global = objective::local_global(local, &targets, |l, g| views.similarity(l, g));
    let between_views = match recipe.terms {
        Terms::Sum => objective::sum_of_terms(global_global, local_global),
        Terms::Mean => {
            let views = [views.global.len(), local.len()];
            objective::mean_of_terms(global_global, local_global, views)
        }
    };
    let (total, local_local) = match recipe.step {
        LocalLocalStep::Joint => {
            let local_local = local_local(judge, local, recipe.step);
            (between_views + local_local * recipe.lambda, Some(local_local))
        }
        LocalLocalStep::Separate => (between_views, None),
    };
    Losses { total, global_global, local_global: Some(local_global), local_local }
}

/// Equation 5 by `judge`. Its norms use the running statistics by equation 9, and the batch's in
/// the authors' code, which takes a separate step.
pub fn local_local<'g>(
    judge: Judge<'_, 'g>,
    local: &[Embedding<'g>],
    step: LocalLocalStep,
) -> Node<'g> {
    let phase = match step {
        LocalLocalStep::Joint => Phase::Eval,
        LocalLocalStep::Separate => Phase::Train,
    };
    let of_pair = |(a, b): (&Embedding<'g>, &Embedding<'g>)| {
        judge.affinity.forward([a.z, b.z], judge.weights, phase)
    };
    let each: Vec<_> = pairs(local).map(of_pair).collect();
    objective::local_local(concatenate(&each, 0))
}

/// Every pair of an image's views.
pub fn pairs<T>(views: &[T]) -> impl Iterator<Item = (&T, &T)> {
    let with_later = |(at, a)| views[at + 1..].iter().map(move |b| (a, b));
    views.iter().enumerate().flat_map(with_later)
}

/// What f_d says of pairs from the same and from different images, `[pairs]` each.
#[derive(Clone, Copy, Debug)]
pub struct Affinities<'g> {
    /// f_d of two local views of one image.
    pub same: Node<'g>,
    /// f_d(z^l, z^l-) with z^l- another image's local embedding.
    pub different: Node<'g>,
    /// Both before f_d's softplus.
    scores: [Node<'g>; 2],
}

impl<'g> Affinities<'g> {
    fn new(affinity: &Affinity, scores: [Node<'g>; 2]) -> Self {
        let [same, different] = scores.map(|score| affinity.activate(score));
        Self { same, different, scores }
    }

    /// Ω, to be maximised over f_d's weights: equation 6, or its bounded form.
    pub fn omega(&self, objective: AffinityObjective) -> Node<'g> {
        match objective {
            AffinityObjective::Difference => objective::omega(self.same, self.different),
            AffinityObjective::Softplus => {
                let [same, different] = self.scores;
                objective::omega_softplus(same, different)
            }
        }
    }
}

/// Which pairs f_d learns from.
#[derive(Clone, Copy, Debug)]
pub struct Pairing<'g> {
    /// For each image, which other one's local crop is its negative, s32 `[batch]`.
    pub negatives: Node<'g>,
    /// What is added to pairs of one image, `[batch, dim]` for each of the two places.
    pub noise: Option<[Node<'g>; 2]>,
    /// In which orders.
    pub pairs: AffinityPairs,
}

/// f_d on the batch's pairs, its inputs detached: Ω never trains the encoder.
pub fn affinities<'g>(
    judge: Judge<'_, 'g>,
    local: &[Embedding<'g>],
    pairing: Pairing<'g>,
) -> Affinities<'g> {
    let local: Vec<_> =
        local.iter().map(|view| judge.affinity.input(view.z.stop_gradient())).collect();
    let each = pairs(&local).map(|(&a, &b)| match pairing.pairs {
        AffinityPairs::OneOrder => one_order(judge, [a, b], pairing),
        AffinityPairs::BothOrders => both_orders(judge, [a, b], pairing),
    });
    let (same, different): (Vec<_>, Vec<_>) = each.map(|[s, d]| (s, d)).unzip();
    Affinities::new(judge.affinity, [same, different].map(|scores| concatenate(&scores, 0)))
}

/// Scores of one pair of local views, of the same and of different images.
///
/// Positives and negatives pass as one batch of `2 batch` rows, so both are normalised by the same
/// statistics; separate passes would centre each on its own mean, which is what tells them apart.
fn one_order<'g>(
    judge: Judge<'_, 'g>,
    [first, second]: [Node<'g>; 2],
    pairing: Pairing<'g>,
) -> [Node<'g>; 2] {
    let other = first.gather(pairing.negatives);
    let [anchor, partner] = noisy([first, second], pairing.noise);
    let anchors = concatenate(&[anchor, first], 0);
    let partners = concatenate(&[partner, other], 0);
    let both = judge.affinity.score_inputs([anchors, partners], judge.weights, Phase::Train);
    let [same, different] = both.chunk(2)[..] else { unreachable!("two parts were asked for") };
    [same, different]
}

fn both_orders<'g>(
    judge: Judge<'_, 'g>,
    [first, second]: [Node<'g>; 2],
    pairing: Pairing<'g>,
) -> [Node<'g>; 2] {
    let orders = [[first, second], [second, first]];
    let score = |pair| judge.affinity.score_inputs(pair, judge.weights, Phase::Train);
    let same = orders.map(|pair| score(noisy(pair, pairing.noise)));
    let different = orders.map(|[a, b]| score([a, b.gather(pairing.negatives)]));
    [same, different].map(|orders| concatenate(&orders, 0))
}

fn noisy<'g>([a, b]: [Node<'g>; 2], noise: Option<[Node<'g>; 2]>) -> [Node<'g>; 2] {
    match noise {
        Some([on_a, on_b]) => [a + on_a, b + on_b],
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
    use logo_ssl_base::rng::{Stream, generator};

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
