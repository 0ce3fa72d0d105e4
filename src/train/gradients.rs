//! Gradients by parameter name: their norm, their mean over batches, and how a norm is bounded.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use crate::engine;

/// Gradients by parameter name, each flattened to one axis.
pub type NamedGradients = BTreeMap<String, Tensor<1>>;

/// √Σ‖g‖² over all gradients.
pub fn gradient_norm(gradients: &NamedGradients) -> f64 {
    gradients.values().map(squared_norm).sum::<f64>().sqrt()
}

/// ‖t‖²
pub(super) fn squared_norm(tensor: &Tensor<1>) -> f64 {
    if engine::runs_on(&tensor.device()) {
        return engine::squared_norm(tensor.clone());
    }
    let squared: f32 = tensor.clone().square().sum().into_scalar();
    f64::from(squared)
}

/// The gradients scaled to a common norm of `most`, if theirs is greater; as PyTorch's
/// `clip_grad_norm_`.
pub fn clipped(gradients: NamedGradients, most: f64) -> NamedGradients {
    /// What PyTorch adds to the norm it divides by.
    const MARGIN: f64 = 1e-6;
    let scale = most / (gradient_norm(&gradients) + MARGIN);
    if scale >= 1.0 {
        return gradients;
    }
    scaled(gradients, scale)
}

fn scaled(gradients: NamedGradients, scale: f64) -> NamedGradients {
    gradients.into_iter().map(|(name, gradient)| (name, gradient * scale)).collect()
}

/// The mean of the gradients of several batches.
#[derive(Debug, Default)]
pub struct MeanGradients {
    sums: NamedGradients,
    batches: usize,
}

impl MeanGradients {
    /// Counts one batch in. Whatever it has no gradient of counts as 0.
    pub fn add(&mut self, gradients: NamedGradients) {
        self.batches += 1;
        for (name, gradient) in gradients {
            let sum = match self.sums.remove(&name) {
                Some(sum) => sum + gradient,
                None => gradient,
            };
            self.sums.insert(name, sum);
        }
    }

    /// The mean; a single batch's gradients come back untouched.
    pub fn finish(self) -> NamedGradients {
        match self.batches {
            0 | 1 => self.sums,
            batches => scaled(self.sums, 1.0 / batches as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn gradients(named: &[(&str, [f32; 2])]) -> NamedGradients {
        let tensor = |numbers: &[f32; 2]| Tensor::from_data(*numbers, &Device::flex());
        named.iter().map(|(name, numbers)| ((*name).to_owned(), tensor(numbers))).collect()
    }

    fn values(gradients: &NamedGradients, name: &str) -> Vec<f32> {
        gradients[name].to_data().try_to_vec().unwrap()
    }

    #[test]
    fn a_norm_is_bounded_over_all_gradients_together() {
        let five = gradients(&[("a", [3.0, 0.0]), ("b", [0.0, 4.0])]);
        assert_eq!(gradient_norm(&five), 5.0);
        let one = clipped(five.clone(), 1.0);
        assert!((gradient_norm(&one) - 1.0).abs() < 1e-6);
        assert!((values(&one, "a")[0] - 0.6).abs() < 1e-6);
        assert_eq!(values(&clipped(five, 6.0), "a"), [3.0, 0.0]);
    }

    #[test]
    fn a_mean_counts_every_batch() {
        let mut mean = MeanGradients::default();
        mean.add(gradients(&[("a", [1.0, 2.0])]));
        mean.add(gradients(&[("a", [3.0, 6.0]), ("b", [4.0, 0.0])]));
        let mean = mean.finish();
        assert_eq!(values(&mean, "a"), [2.0, 4.0]);
        assert_eq!(values(&mean, "b"), [2.0, 0.0]);
    }
}
