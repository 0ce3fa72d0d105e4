//! The optimiser's pass over the parameters: one, where Burn's operations would take six, each with
//! fresh memory of the network's size.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

/// Numbers a task; fixed, so that sums do not depend on the threads.
const TASK: usize = 1 << 15;
/// Partial sums of a task, as many as vectors may hold.
const LANES: usize = 16;

/// One update by momentum, as PyTorch's `optim.SGD` has it: v ← μ v + (g + w θ), θ ← θ - lr v.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MomentumStep {
    /// lr
    pub lr: f64,
    /// μ
    pub momentum: f64,
    /// w
    pub weight_decay: f64,
}

impl MomentumStep {
    /// Values, gradients and velocities of one length to new values and velocities, on the CPU
    /// device and without autodiff. Memory that nobody else holds is written in place.
    ///
    /// # Panics
    /// On another device, or if the lengths differ.
    pub fn apply(
        self,
        value: Tensor<1>,
        gradient: Tensor<1>,
        velocity: Tensor<1>,
    ) -> (Tensor<1>, Tensor<1>) {
        let (value, velocity) = Dispatch::momentum(
            value.into_dispatch(),
            gradient.into_dispatch(),
            velocity.into_dispatch(),
            self,
        );
        (Tensor::from_dispatch(value), Tensor::from_dispatch(velocity))
    }

    /// The same on plain numbers. Operation for operation what Burn's would do.
    fn run(self, value: &mut [f32], gradient: &[f32], velocity: &mut [f32]) {
        let [lr, momentum, decay] =
            [self.lr, self.momentum, self.weight_decay].map(|number| number as f32);
        let tasks = value.par_chunks_mut(TASK).zip(velocity.par_chunks_mut(TASK));
        tasks.zip(gradient.par_chunks(TASK)).for_each(|((value, velocity), gradient)| {
            for ((x, v), g) in value.iter_mut().zip(velocity).zip(gradient) {
                *v = *v * momentum + (*g + *x * decay);
                *x -= *v * lr;
            }
        });
    }
}

/// Σ g² over a gradient on the CPU device, without autodiff.
///
/// # Panics
/// On another device.
pub fn squared_norm(gradient: Tensor<1>) -> f64 {
    let sum: f32 =
        Tensor::<1>::from_dispatch(Dispatch::squares(gradient.into_dispatch())).into_scalar();
    f64::from(sum)
}

/// What the CPU device can do beyond Burn's own operations.
#[backend_extension(Flex)]
trait Update: burn::backend::Backend {
    fn momentum(
        value: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        velocity: FloatTensor<Self>,
        step: MomentumStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    fn squares(gradient: FloatTensor<Self>) -> FloatTensor<Self>;
}

type CpuTensor = FloatTensor<Flex>;

impl Update for Flex {
    fn momentum(
        value: CpuTensor,
        gradient: CpuTensor,
        velocity: CpuTensor,
        step: MomentumStep,
    ) -> (CpuTensor, CpuTensor) {
        let [mut value, gradient, mut velocity] = [value, gradient, velocity].map(whole);
        let len = gradient.storage::<f32>().len();
        let [to, moved] = [&mut value, &mut velocity].map(CpuTensor::storage_mut::<f32>);
        assert!(to.len() == len && moved.len() == len, "parameters and gradients differ in size");
        step.run(to, gradient.storage(), moved);
        (value, velocity)
    }

    fn squares(gradient: CpuTensor) -> CpuTensor {
        let gradient = whole(gradient);
        let tasks = gradient.storage::<f32>().par_chunks(TASK);
        let sum: f64 = tasks.map(sum_of_squares).collect::<Vec<_>>().into_iter().sum();
        CpuTensor::from_data(TensorData::new(vec![sum as f32], [1]))
    }
}

/// A tensor whose storage is its numbers in order and nothing else.
fn whole(tensor: CpuTensor) -> CpuTensor {
    let tensor = tensor.to_contiguous();
    match tensor.storage::<f32>().len() == tensor.layout().num_elements() {
        true => tensor,
        false => CpuTensor::from_data(tensor.into_data()),
    }
}

fn sum_of_squares(numbers: &[f32]) -> f64 {
    let mut lanes = [0.0f32; LANES];
    for part in numbers.chunks(LANES) {
        for (lane, number) in lanes.iter_mut().zip(part) {
            *lane += number * number;
        }
    }
    lanes.into_iter().map(f64::from).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn numbers(seed: usize, len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 31 + seed) % 1009) as f32 / 500.0 - 1.0).collect()
    }

    fn tensor(numbers: &[f32]) -> Tensor<1> {
        Tensor::from_data(numbers, &Device::flex())
    }

    fn values(tensor: Tensor<1>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn a_step_is_burns_own_to_the_bit() {
        let step = MomentumStep { lr: 0.03, momentum: 0.9, weight_decay: 5e-4 };
        for len in [1, 17, TASK + 5] {
            let [x, g, v] = [1, 2, 3].map(|seed| numbers(seed, len));
            let kept = tensor(&x);
            let (found, found_v) = step.apply(kept.clone(), tensor(&g), tensor(&v));
            let expected_v = tensor(&v) * 0.9 + (tensor(&g) + tensor(&x) * 5e-4);
            let expected = tensor(&x) - expected_v.clone() * 0.03;
            assert_eq!(values(found), values(expected));
            assert_eq!(values(found_v), values(expected_v));
            assert_eq!(values(kept), x, "what others hold stays as it was");
        }
    }

    #[test]
    fn a_part_of_a_tensor_is_only_that_part() {
        let step = MomentumStep { lr: 1.0, momentum: 0.0, weight_decay: 0.0 };
        let all = tensor(&[1.0, 2.0, 3.0, 4.0]);
        let part = all.clone().narrow(0, 1, 2);
        let (found, _) = step.apply(part.clone(), part.clone(), part);
        assert_eq!(values(found), [0.0, 0.0]);
        assert_eq!(values(all.clone()), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(squared_norm(all.narrow(0, 2, 2)), 25.0);
    }

    #[test]
    fn the_norm_is_that_of_plain_f64() {
        let g = numbers(5, 3 * TASK + 7);
        let expected: f64 = g.iter().map(|g| f64::from(*g).powi(2)).sum();
        assert!((squared_norm(tensor(&g)) / expected - 1.0).abs() < 1e-6);
    }
}
