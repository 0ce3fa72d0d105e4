//! The equations, one function each, numbered as in the LoGo paper (Zhang et al., CVPR 2022).
//!
//! Pure functions of tensors: no model, no state. `sg` is stop-gradient. Expectations are means
//! over the batch.

use graph::{Element, Node, Type, concatenate};

/// The least norm a vector is divided by, as PyTorch's `cosine_similarity` and `normalize`.
const LEAST_NORM: f64 = 1e-8;

/// Rows of unit length, `[batch, dim]`.
pub fn normalise(z: Node<'_>) -> Node<'_> {
    // Bounded before the root, whose derivative at 0 is infinite and would make NaN of a zero's gradient.
    let norm = z.square().sum(&[1]).at_least(LEAST_NORM * LEAST_NORM).sqrt();
    z / norm.across_rows(&z.shape())
}

/// The mean cosine of the rows of `a` with those of `b`, a scalar.
pub fn mean_cosine<'g>(a: Node<'g>, b: Node<'g>) -> Node<'g> {
    (normalise(a) * normalise(b)).sum(&[1]).mean_all()
}

/// ln Σ exp over each row, `[rows, columns]` to `[rows]`.
fn log_sum_exp(logits: Node<'_>) -> Node<'_> {
    // Shifted by a constant, so that no exponential overflows.
    let greatest = logits.max(&[1]).stop_gradient();
    let shifted = logits - greatest.across_rows(&logits.shape());
    shifted.exp().sum(&[1]).log() + greatest
}

/// Scores of classes for rows whose class is known, or is not.
#[derive(Clone, Copy, Debug)]
pub struct Known<'g> {
    logits: Node<'g>,
    /// The score of each row's class, `[rows]`; 0 where that is not known.
    own: Node<'g>,
    /// 1 for each row whose class is known, else 0, `[rows]`.
    known: Node<'g>,
}

impl<'g> Known<'g> {
    /// Of `logits`, `[rows, classes]`, and the classes `labels`, s32 `[rows]`; what is no class, such as -1,
    /// is not known.
    pub fn of(logits: Node<'g>, labels: Node<'g>) -> Self {
        let ty = Type::new(Element::S32, logits.shape());
        let is_label = logits.graph().iota(1, ty).eq(labels.across_rows(&logits.shape()));
        let [zero, one] = [0.0, 1.0].map(|x| logits.graph().full(x, logits.ty()));
        let own = is_label.select(logits, zero).sum(&[1]);
        Self { logits, own, known: is_label.select(one, zero).sum(&[1]) }
    }

    /// The mean cross-entropy over the rows whose class is known; 0 where there are none.
    pub fn cross_entropy(self) -> Node<'g> {
        self.mean(log_sum_exp(self.logits) - self.own)
    }

    /// The share of them whose class has the highest score, 0 to 1.
    pub fn accuracy(self) -> Node<'g> {
        let [zero, one] = [0.0, 1.0].map(|x| self.own.graph().full(x, self.own.ty()));
        self.mean(self.own.eq(self.logits.max(&[1])).select(one, zero))
    }

    fn mean(self, of_rows: Node<'g>) -> Node<'g> {
        (of_rows * self.known).sum_all() / self.known.sum_all().at_least(1.0)
    }
}

/// How equation 1 weighs cosines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contrast {
    /// τ
    pub temperature: f64,
    /// Whether the positive is left out of the denominator (decoupled contrastive learning; Yeh et al., ECCV
    /// 2022, equation 5): pairs that agree already then go on to move apart from the negatives.
    pub decoupled: bool,
}

/// Equation 1: L_nce(z, z⁺, z⁻) = -log( exp(z·z⁺/τ) / (exp(z·z⁺/τ) + Σ exp(z·z⁻/τ)) ).
///
/// `z` and `positive` are `[batch, dim]`, `negatives` `[count, dim]` and shared by the batch; all
/// are normalised here.
pub fn info_nce<'g>(
    z: Node<'g>,
    positive: Node<'g>,
    negatives: Node<'g>,
    contrast: Contrast,
) -> Node<'g> {
    let [z, positive, negatives] = [z, positive, negatives].map(normalise);
    let same = (z * positive).sum(&[1]) / contrast.temperature;
    let different = z.matmul_transposed(negatives) / contrast.temperature;
    let batch = same.shape()[0];
    let logits = match contrast.decoupled {
        true => different,
        false => concatenate(&[same.reshape(&[batch, 1]), different], 1),
    };
    (log_sum_exp(logits) - same).mean_all()
}

/// Equation 1 within the batch, as SimCLR's NT-Xent: the negatives of row i of `z` are the other rows
/// of `target` and of `z` itself. Both are `[batch, dim]`.
pub fn nt_xent<'g>(z: Node<'g>, target: Node<'g>, contrast: Contrast) -> Node<'g> {
    /// Leaves nothing of a cosine's exponential at any temperature that the config allows.
    const ABSENT: f64 = -1e9;
    let temperature = contrast.temperature;
    let [z, target] = [z, target].map(normalise);
    let batch = z.shape()[0];
    let square = Type::new(Element::S32, [batch, batch]);
    let own = z.graph().iota(0, square.clone()).eq(z.graph().iota(1, square));
    let across = z.matmul_transposed(target) / temperature;
    let within = z.matmul_transposed(z) / temperature;
    let without_own =
        |cosines: Node<'g>| own.select(cosines.graph().full(ABSENT, cosines.ty()), cosines);
    let within = without_own(within);
    let across = if contrast.decoupled { without_own(across) } else { across };
    let same = (z * target).sum(&[1]) / temperature;
    (log_sum_exp(concatenate(&[across, within], 1)) - same).mean_all()
}

/// Equation 2: L_cos(z1, z2) = -h(z1)/‖h(z1)‖ · sg(z2)/‖z2‖, with `p` = h(z1) and `z` = z2, both
/// `[batch, dim]`.
pub fn cosine<'g>(p: Node<'g>, z: Node<'g>) -> Node<'g> {
    -mean_cosine(p, z.stop_gradient())
}

/// Equation 3: L_gg = E[ℓ_s(z^g_1, z^g_2)], averaged over both directions as SimSiam has it; of more
/// than two views, over every ordered pair.
pub fn global_global<'g, T>(
    global: &[T],
    targets: &[T],
    similarity: impl Fn(&T, &T) -> Node<'g>,
) -> Node<'g> {
    let pairs = (0..global.len()).flat_map(|query| (0..targets.len()).map(move |key| (query, key)));
    let terms = pairs.filter(|(query, key)| query != key);
    mean(terms.map(|(query, key)| similarity(&global[query], &targets[key])).collect())
}

/// Equation 4: L_lg = E[Σ_i ℓ_s(z^l_i, sg(z^g_1)) + ℓ_s(z^l_i, sg(z^g_2))], over every local view with
/// every global one.
///
/// `global` must already be detached; that is the caller's `sg`.
pub fn local_global<'g, T>(
    local: &[T],
    global: &[T],
    similarity: impl Fn(&T, &T) -> Node<'g>,
) -> Node<'g> {
    let pairs = local.iter().flat_map(|l| global.iter().map(move |g| (l, g)));
    sum(pairs.map(|(l, g)| similarity(l, g)).collect())
}

/// # Panics
/// If there are no terms.
fn sum(terms: Vec<Node<'_>>) -> Node<'_> {
    terms.into_iter().reduce(|a, b| a + b).expect("a loss has a term")
}

/// The mean of scalars.
///
/// # Panics
/// If there are no terms.
pub fn mean(terms: Vec<Node<'_>>) -> Node<'_> {
    let count = terms.len() as f64;
    sum(terms) / count
}

/// Equation 5: L_ll = E[ℓ_a(z^l_1, z^l_2)] from the affinities of all pairs of an image's local views,
/// `[pairs batch]`.
pub fn local_local(affinities: Node<'_>) -> Node<'_> {
    affinities.mean_all()
}

/// Equation 6: `Ω = E_same[f_d] - E_different[f_d]`, to be maximised over f_d's weights. Both are
/// affinities, `[batch]`.
pub fn omega<'g>(same: Node<'g>, different: Node<'g>) -> Node<'g> {
    same.mean_all() - different.mean_all()
}

/// The authors' bounded form of equation 6, from affinities before their softplus, `[batch]` each:
/// -E_same[softplus(-f)] - E_different[softplus(f)]. It is what logistic regression maximises.
pub fn omega_softplus<'g>(same: Node<'g>, different: Node<'g>) -> Node<'g> {
    -(-same).softplus().mean_all() - different.softplus().mean_all()
}

/// L_gg + L_lg, the first two terms of equation 9.
pub fn sum_of_terms<'g>(global_global: Node<'g>, local_global: Node<'g>) -> Node<'g> {
    global_global + local_global
}

/// The mean of all global-global and local-global terms between `global` and `local` views, as the
/// authors' code: of two each, two and four. L_gg comes as the mean of its terms, L_lg as their sum.
pub fn mean_of_terms<'g>(
    global_global: Node<'g>,
    local_global: Node<'g>,
    [global, local]: [usize; 2],
) -> Node<'g> {
    let (within, across) = ((global * (global - 1)) as f64, (local * global) as f64);
    (global_global * within + local_global) / (within + across)
}

/// The mean over dimensions of the standard deviation over the batch of normalised embeddings:
/// about 1/√dim when healthy, 0 when collapsed (SimSiam, section 4.1). `z` is `[batch, dim]`.
pub fn embedding_std(z: Node<'_>) -> Node<'_> {
    let z = normalise(z);
    let centred = z - z.mean(&[0]).broadcast(&[1], &z.shape());
    centred.square().mean(&[0]).sqrt().mean_all()
}
