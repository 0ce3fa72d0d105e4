//! The equations, one function each, numbered as in the LoGo paper (Zhang et al., CVPR 2022).
//!
//! Pure functions of tensors: no model, no state. `sg` is stop-gradient. Expectations are means
//! over the batch.

use burn::tensor::{
    Int, Tensor,
    activation::{log_softmax, softplus},
};

/// The least norm a vector is divided by, as PyTorch's `cosine_similarity` and `normalize`.
const LEAST_NORM: f64 = 1e-8;

/// Rows of unit length, `[batch, dim]`.
pub fn normalise(z: Tensor<2>) -> Tensor<2> {
    // Bounded before the root, whose derivative at 0 is infinite and would make NaN of a zero's gradient.
    let norm = z.clone().square().sum_dim(1).clamp_min(LEAST_NORM * LEAST_NORM).sqrt();
    z / norm
}

/// The mean cosine of the rows of `a` with those of `b`, `[1]`.
pub fn mean_cosine(a: Tensor<2>, b: Tensor<2>) -> Tensor<1> {
    (normalise(a) * normalise(b)).sum_dim(1).mean()
}

/// Equation 1: L_nce(z, z⁺, z⁻) = -log( exp(z·z⁺/τ) / (exp(z·z⁺/τ) + Σ exp(z·z⁻/τ)) ).
///
/// `z` and `positive` are `[batch, dim]`, `negatives` `[count, dim]` and shared by the batch; all
/// are normalised here.
pub fn info_nce(
    z: Tensor<2>,
    positive: Tensor<2>,
    negatives: Tensor<2>,
    temperature: f64,
) -> Tensor<1> {
    let (z, positive, negatives) = (normalise(z), normalise(positive), normalise(negatives));
    let same = (z.clone() * positive).sum_dim(1);
    let different = z.matmul(negatives.transpose());
    let logits = Tensor::cat(vec![same, different], 1) / temperature;
    -log_softmax(logits, 1).narrow(1, 0, 1).mean()
}

/// Equation 1 within the batch, as SimCLR's NT-Xent: the negatives of row i of `z` are the other rows
/// of `target` and of `z` itself. Both are `[batch, dim]`.
pub fn nt_xent(z: Tensor<2>, target: Tensor<2>, temperature: f64) -> Tensor<1> {
    /// Leaves nothing of a cosine's exponential at any temperature that the config allows.
    const SELF: f64 = 1e9;
    let batch = z.dims()[0];
    let (z, target) = (normalise(z), normalise(target));
    let own = Tensor::<2>::eye(batch, &z.device());
    let across = z.clone().matmul(target.transpose());
    let within = z.clone().matmul(z.transpose()) - own.clone() * SELF;
    let logits = Tensor::cat(vec![across, within], 1) / temperature;
    let across = log_softmax(logits, 1).narrow(1, 0, batch);
    -(across * own).sum() / batch as f64
}

/// Equation 2: L_cos(z1, z2) = -h(z1)/‖h(z1)‖ · sg(z2)/‖z2‖, with `p` = h(z1) and `z` = z2, both
/// `[batch, dim]`.
pub fn cosine(p: Tensor<2>, z: Tensor<2>) -> Tensor<1> {
    -mean_cosine(p, z.detach())
}

/// Equation 3: L_gg = E[ℓ_s(z^g_1, z^g_2)], averaged over both directions as SimSiam has it; of more
/// than two views, over every ordered pair.
pub fn global_global<T>(
    global: &[T],
    targets: &[T],
    similarity: impl Fn(&T, &T) -> Tensor<1>,
) -> Tensor<1> {
    let pairs = (0..global.len()).flat_map(|query| (0..targets.len()).map(move |key| (query, key)));
    let terms = pairs.filter(|(query, key)| query != key);
    mean(terms.map(|(query, key)| similarity(&global[query], &targets[key])).collect())
}

/// Equation 4: L_lg = E[Σ_i ℓ_s(z^l_i, sg(z^g_1)) + ℓ_s(z^l_i, sg(z^g_2))], over every local view with
/// every global one.
///
/// `global` must already be detached; that is the caller's `sg`.
pub fn local_global<T>(
    local: &[T],
    global: &[T],
    similarity: impl Fn(&T, &T) -> Tensor<1>,
) -> Tensor<1> {
    let pairs = local.iter().flat_map(|l| global.iter().map(move |g| (l, g)));
    sum(pairs.map(|(l, g)| similarity(l, g)).collect())
}

/// # Panics
/// If there are no terms.
fn sum(terms: Vec<Tensor<1>>) -> Tensor<1> {
    terms.into_iter().reduce(|a, b| a + b).expect("a loss has a term")
}

/// # Panics
/// If there are no terms.
fn mean(terms: Vec<Tensor<1>>) -> Tensor<1> {
    let count = terms.len() as f64;
    sum(terms) / count
}

/// Equation 5: L_ll = E[ℓ_a(z^l_1, z^l_2)] from the affinities of all pairs of an image's local views,
/// `[pairs batch]`.
pub fn local_local(affinities: Tensor<1>) -> Tensor<1> {
    affinities.mean()
}

/// Equation 6: Ω = E_same[f_d] - E_different[f_d], to be maximised over f_d's weights. Both are
/// affinities, `[batch]`.
pub fn omega(same: Tensor<1>, different: Tensor<1>) -> Tensor<1> {
    same.mean() - different.mean()
}

/// The authors' bounded form of equation 6, from affinities before their softplus, `[batch]` each:
/// -E_same[softplus(-f)] - E_different[softplus(f)]. It is what logistic regression maximises.
pub fn omega_softplus(same: Tensor<1>, different: Tensor<1>) -> Tensor<1> {
    -softplus(-same, 1.0).mean() - softplus(different, 1.0).mean()
}

/// L_gg + L_lg, the first two terms of equation 9.
pub fn sum_of_terms(global_global: Tensor<1>, local_global: Tensor<1>) -> Tensor<1> {
    global_global + local_global
}

/// The mean of all global-global and local-global terms between `global` and `local` views, as the
/// authors' code: of two each, two and four. L_gg comes as the mean of its terms, L_lg as their sum.
pub fn mean_of_terms(
    global_global: Tensor<1>,
    local_global: Tensor<1>,
    [global, local]: [usize; 2],
) -> Tensor<1> {
    let (within, across) = ((global * (global - 1)) as f64, (local * global) as f64);
    (global_global * within + local_global) / (within + across)
}

/// The mean over dimensions of the standard deviation over the batch of normalised embeddings:
/// about 1/√dim when healthy, 0 when collapsed (SimSiam, section 4.1). `z` is `[batch, dim]`.
pub fn embedding_std(z: Tensor<2>) -> Tensor<1> {
    normalise(z).var_bias(0).sqrt().mean()
}

/// The rows of `z` in another order.
pub fn reorder<const D: usize>(z: Tensor<D>, rows: &[usize]) -> Tensor<D> {
    let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    let rows = Tensor::<1, Int>::from_data(rows.as_slice(), &z.device());
    z.select(0, rows)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn a_row_of_zeros_has_a_finite_gradient() {
        let device = Device::flex().autodiff();
        let z = Tensor::<2>::from_data([[0.0_f32, 0.0], [3.0, 4.0]], &device).require_grad();
        let gradients = normalise(z.clone()).sum().backward();
        let gradient = z.grad(&gradients).unwrap().into_data().try_to_vec::<f32>().unwrap();
        assert!(gradient.iter().all(|value| value.is_finite()), "{gradient:?}");
        assert!((gradient[2] - 0.2 * (1.0 - 0.6 * 1.4)).abs() < 1e-6, "{gradient:?}");
    }
}
