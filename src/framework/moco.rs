//! MoCo v2 (He et al., 2020; Chen et al., 2020): contrast with a momentum encoder's keys, against a
//! queue of the keys of earlier batches.

use graph::{Element, Node, Type};

use super::{Framework, Kind, Memory, Needs};
use crate::config::Config;
use crate::model::Embedding;
use crate::model::params::{State, TensorData};
use crate::objective::{self, Contrast};
use crate::{Error, Result};
use logo_ssl_base::rng::{self, Stream, generator};

/// `moco` by name.
pub(super) static KIND: Kind = Kind {
    name: "moco",
    of_config: |config| {
        let queue = [config.framework.momentum.queue, config.model.projector.dim];
        Box::new(MoCo { contrast: config.framework.contrast(), queue, seed: config.seed })
    },
};

/// Keys of unit length, `[queue, dim]`, the oldest at [`NEXT`].
const QUEUE: &str = "queue";
/// Which row of the queue is written next, `[1]`.
const NEXT: &str = "next";

/// ℓ_s is equation 1 with the queue as negatives.
#[derive(Clone, Copy, Debug)]
pub struct MoCo {
    /// How cosines are weighed.
    pub contrast: Contrast,
    /// Keys that are kept, and their dimensions.
    pub queue: [usize; 2],
    /// Of the random keys that the queue starts with.
    pub seed: u64,
}

impl Framework for MoCo {
    fn needs(&self) -> Needs {
        Needs { momentum_encoder: true, predictor: false }
    }

    fn check(&self, config: &Config) -> Result<()> {
        let ([queue, _], batch) = (self.queue, config.optimizer.batch_size);
        let keys = config.views.global.count * batch;
        if queue.is_multiple_of(keys) {
            return Ok(());
        }
        let problem = format!(
            "framework.momentum.queue = {queue} contradicts optimizer.batch_size = {batch}: every batch \
             replaces the keys of all its global views, so the queue must be a multiple of {keys}"
        );
        Err(Error::setting("framework.momentum.queue", problem))
    }

    fn memory(&self) -> State {
        let [length, dim] = self.queue;
        let mut rng = generator(self.seed, Stream::Queue, 0, 0, 0);
        let mut keys: Vec<f32> = (0..length * dim).map(|_| rng::normal(&mut rng) as f32).collect();
        for key in keys.chunks_mut(dim) {
            let norm = key.iter().map(|x| x * x).sum::<f32>().sqrt();
            key.iter_mut().for_each(|x| *x /= norm);
        }
        State::from([
            (QUEUE.to_owned(), TensorData::new(keys, self.queue)),
            (NEXT.to_owned(), TensorData::new(vec![0.0], [1])),
        ])
    }

    fn similarity<'g>(
        &self,
        query: Embedding<'g>,
        target: Embedding<'g>,
        memory: &Memory<'g>,
    ) -> Node<'g> {
        let negatives = memory.get(QUEUE).stop_gradient();
        objective::info_nce(query.z, target.z, negatives, self.contrast)
    }

    fn remember<'g>(&self, targets: &[Embedding<'g>], memory: &mut Memory<'g>) {
        let [length, _] = self.queue;
        for view in targets {
            let keys = objective::normalise(view.z).stop_gradient();
            let next = memory.get(NEXT).reshape(&[]).convert(Element::S32);
            let number =
                |value: usize| next.graph().full(value as f64, Type::new(Element::S32, []));
            let queue = memory.get(QUEUE).dynamic_update_slice(keys, next);
            let after = (next + number(keys.shape()[0])).remainder(number(length));
            memory.set(QUEUE, queue);
            memory.set(NEXT, after.convert(Element::F32).reshape(&[1]));
        }
    }
}
