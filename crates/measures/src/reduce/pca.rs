use rayon::prelude::*;

use super::leading::leading;
use crate::geometry::means;
use crate::moments::second_moments;
use crate::{Error, Features, Result};

/// Principal components: the directions in which features vary most.
#[derive(Clone, Debug, PartialEq)]
pub struct Pca {
    mean: Vec<f64>,
    /// `[components, dim]`, of unit length, at right angles.
    components: Vec<f64>,
    explained: Vec<f64>,
    variance: f64,
}

impl Pca {
    /// The first `components` components of features, the one with the most variance first. The sign
    /// of each is such that its greatest number in magnitude is positive, as scikit-learn's
    /// `svd_flip` has it. It takes images times dim² operations: of many, a sample will do.
    ///
    /// # Errors
    /// [`Error::TooFew`] if there are no two images, [`Error::Option`] if there are to be more
    /// components than dimensions, or none.
    pub fn fit(features: Features<'_>, components: usize) -> Result<Self> {
        let (images, dim) = (features.len(), features.dim());
        if images < 2 {
            let what = "a principal component".to_owned();
            return Err(Error::TooFew { what, needed: 2, found: images });
        }
        if !(1..=dim).contains(&components) {
            let needed = "at least 1 and at most the number of dimensions";
            let name = "the number of components";
            return Err(Error::Option { name, value: components as f64, needed });
        }
        let mean = means(features);
        let covariance = second_moments(features, &mean) / (images as f64 - 1.0);
        let variance = covariance.trace();
        let (explained, vectors) = leading(&covariance, components);
        let direction = vectors.column_iter().map(|vector| vector.iter().copied().collect());
        let components = direction.flat_map(with_sign).collect();
        Ok(Self { mean, components, explained, variance })
    }

    /// How many components there are.
    pub fn components(&self) -> usize {
        self.explained.len()
    }

    /// The variance of each component, from images - 1.
    pub fn explained_variance(&self) -> &[f64] {
        &self.explained
    }

    /// The share of all variance that each component has.
    pub fn explained_ratio(&self) -> Vec<f64> {
        let share = |x: &f64| if self.variance > 0.0 { x / self.variance } else { 0.0 };
        self.explained.iter().map(share).collect()
    }

    /// Features along the components, `[images, components]`.
    ///
    /// # Errors
    /// [`Error::Dimension`] if they are of another length than those it was fitted to.
    pub fn transform(&self, features: Features<'_>) -> Result<Vec<f32>> {
        let (dim, expected) = (features.dim(), self.mean.len());
        if dim != expected {
            return Err(Error::Dimension { found: dim, expected });
        }
        let along = |row: &[f32]| {
            let centred: Vec<f64> =
                row.iter().zip(&self.mean).map(|(&x, mean)| f64::from(x) - mean).collect();
            let components = self.components.chunks_exact(dim);
            let product = |component: &[f64]| {
                component.iter().zip(&centred).map(|(a, b)| a * b).sum::<f64>() as f32
            };
            components.map(product).collect::<Vec<f32>>()
        };
        Ok(features.rows().par_chunks_exact(dim).flat_map_iter(along).collect())
    }
}

/// The direction or its opposite, so that its greatest number in magnitude, the first of equals, is
/// positive.
fn with_sign(mut direction: Vec<f64>) -> Vec<f64> {
    let greater = |best: f64, &x: &f64| if x.abs() > best.abs() { x } else { best };
    if direction.iter().fold(0.0, greater) < 0.0 {
        direction.iter_mut().for_each(|x| *x = -*x);
    }
    direction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_one_component_that_points_to_its_greatest_number() {
        let rows: Vec<f32> = (0..5).flat_map(|i| [i as f32, -2.0 * i as f32]).collect();
        let features = Features::new(&rows, 2).unwrap();
        let pca = Pca::fit(features, 2).unwrap();
        assert!((pca.explained_ratio()[0] - 1.0).abs() < 1e-12);
        let places = pca.transform(features).unwrap();
        let along: Vec<f32> = places.iter().copied().step_by(2).collect();
        let expected = [2.0, 1.0, 0.0, -1.0, -2.0].map(|x| x * 5.0_f32.sqrt());
        assert!(along.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{along:?}");
    }

    #[test]
    fn constants_have_no_variance_and_few_images_no_components() {
        let constant = Pca::fit(Features::new(&[1.0; 6], 2).unwrap(), 1).unwrap();
        assert_eq!(constant.explained_ratio(), [0.0]);
        let one = Pca::fit(Features::new(&[1.0; 2], 2).unwrap(), 1);
        assert!(matches!(one, Err(Error::TooFew { .. })));
        for components in [0, 3] {
            let found = Pca::fit(Features::new(&[1.0; 6], 2).unwrap(), components);
            assert!(matches!(found, Err(Error::Option { .. })), "{components}");
        }
        let other = constant.transform(Features::new(&[1.0; 6], 3).unwrap());
        assert_eq!(other, Err(Error::Dimension { found: 3, expected: 2 }));
    }
}
