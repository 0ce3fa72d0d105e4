//! MoCo v2 (He et al., 2020; Chen et al., 2020): contrast with a momentum encoder's keys, against a
//! queue of the keys of earlier batches.

use burn::tensor::{Device, Tensor, TensorData};

use super::Framework;
use crate::model::Embedding;
use crate::model::params::State;
use crate::objective;
use crate::rng::{self, Stream, generator};

/// ℓ_s is equation 1 with the queue as negatives.
pub(super) struct MoCo {
    temperature: f64,
    /// Keys of unit length, `[queue, dim]`, the oldest at `next`.
    queue: Tensor<2>,
    next: usize,
}

impl MoCo {
    /// A queue of `length` random keys, as MoCo starts with.
    pub(super) fn new(
        [length, dim]: [usize; 2],
        temperature: f64,
        seed: u64,
        device: &Device,
    ) -> Self {
        let mut rng = generator(seed, Stream::Queue, 0, 0, 0);
        let values = (0..length * dim).map(|_| rng::normal(&mut rng) as f32).collect();
        let random = Tensor::from_data(TensorData::new::<f32, _>(values, [length, dim]), device);
        Self { temperature, queue: objective::normalise(random), next: 0 }
    }
}

impl Framework for MoCo {
    fn similarity(&self, query: &Embedding, target: &Embedding) -> Tensor<1> {
        let negatives = self.queue.clone().autodiff();
        objective::info_nce(query.z.clone(), target.z.clone(), negatives, self.temperature)
    }

    fn remember(&mut self, targets: &[Embedding]) {
        for view in targets {
            let keys = objective::normalise(view.z.clone().inner());
            let [batch, dim] = keys.dims();
            let place = [self.next..self.next + batch, 0..dim];
            self.queue = self.queue.clone().slice_assign(place, keys);
            self.next = (self.next + batch) % self.queue.dims()[0];
        }
    }

    fn state(&self) -> State {
        let next = TensorData::new(vec![self.next as f32], [1]);
        State::from([
            ("framework.queue".to_owned(), self.queue.to_data()),
            ("framework.next".to_owned(), next),
        ])
    }

    fn load(&mut self, state: &State) -> Result<(), String> {
        let tensor = |name: &str| {
            state.get(name).cloned().ok_or_else(|| format!("it has no tensor `{name}`"))
        };
        let (queue, next) = (tensor("framework.queue")?, tensor("framework.next")?);
        if *queue.shape() != self.queue.shape() {
            return Err(format!(
                "`framework.queue` has shape {:?}, expected {:?}",
                queue.shape(),
                self.queue.shape()
            ));
        }
        let next = next.iter::<f32>().next().ok_or("`framework.next` is empty")?;
        self.queue = Tensor::from_data(queue, &self.queue.device());
        self.next = next as usize % self.queue.dims()[0];
        Ok(())
    }
}
