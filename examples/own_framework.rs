//! A framework of one's own, on the embedded dataset: Barlow Twins (Zbontar et al., 2021), whose loss brings
//! the cross-correlation of two views' embeddings near the identity.
//! `cargo run --release --example own_framework`

use logo_ssl::framework::{Framework, Memory, Needs};
use logo_ssl::graph::{Element, Node, Type};
use logo_ssl::model::Embedding;
use logo_ssl::{Pretraining, Result};

/// Weight of what lies beside the diagonal (section 4.1 has 0.0051 for 8,192 dimensions).
const BESIDE: f64 = 5e-3;

struct BarlowTwins;

impl Framework for BarlowTwins {
    fn needs(&self) -> Needs {
        Needs { momentum_encoder: false, predictor: false }
    }

    /// Equation 1, per dimension.
    fn similarity<'g>(
        &self,
        query: Embedding<'g>,
        target: Embedding<'g>,
        _memory: &Memory<'g>,
    ) -> Node<'g> {
        let (a, b) = (standardised(query.p), standardised(target.z));
        let [batch, dim] = [a.shape()[0], a.shape()[1]];
        let correlation = a.transpose(&[1, 0]).matmul(b) / batch as f64;
        let identity = identity(a, dim);
        let weight = identity * (1.0 - BESIDE) + BESIDE;
        ((correlation - identity).square() * weight).sum_all() / dim as f64
    }
}

/// Mean 0 and variance 1 in each dimension over the batch, `[batch, dim]`.
fn standardised(z: Node<'_>) -> Node<'_> {
    let centred = z - z.mean(&[0]).broadcast(&[1], &z.shape());
    let scale = (centred.square().mean(&[0]) + 1e-5).rsqrt();
    centred * scale.broadcast(&[1], &z.shape())
}

/// `[dim, dim]`, in the graph of `node`.
fn identity(node: Node<'_>, dim: usize) -> Node<'_> {
    let along = |axis| node.graph().iota(axis, Type::new(Element::S32, [dim, dim]));
    along(0).eq(along(1)).convert(Element::F32)
}

fn main() -> Result<()> {
    let finished = Pretraining::of_preset("quickstart")
        .framework(BarlowTwins)
        .set("model.predictor.hidden=0")
        .set("framework.name=simclr")
        .epochs(2)
        .run()?;
    for knn in &finished.summary.knn {
        println!("{:?}: {:?}", knn.source, knn.nearest().map(|result| result.top1));
    }
    Ok(())
}
