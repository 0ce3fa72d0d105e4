use crate::Features;
use crate::moments::second_moments;

/// The effective rank of features, RankMe (Garrido, Balestriero, Najman and LeCun 2023, equation 1;
/// Roy and Vetterli 2007): exp of the entropy of the singular values of the matrix `[images, dim]`,
/// divided by their sum; 1 to dim, and 0 if all features are zero.
///
/// As there, features are not centred; the 10^-7 that is added there to each share is not, since the
/// singular values here are in double precision.
pub fn effective_rank(features: Features<'_>) -> f64 {
    let zero = vec![0.0; features.dim()];
    let squares = second_moments(features, &zero).symmetric_eigenvalues();
    let values: Vec<f64> = squares.iter().map(|square| square.max(0.0).sqrt()).collect();
    let sum: f64 = values.iter().sum();
    if sum == 0.0 {
        return 0.0;
    }
    let shares = values.iter().map(|value| value / sum).filter(|&share| share > 0.0);
    (-shares.map(|share| share * share.ln()).sum::<f64>()).exp()
}
