use crate::Features;
use crate::moments::second_moments;

/// The effective rank of features, RankMe (Garrido, Balestriero, Najman and LeCun 2023, equation 1;
/// Roy and Vetterli 2007): exp of the entropy of the singular values of the matrix `[images, dim]`,
/// divided by their sum; 1 to dim, and 0 if all features are zero.
///
/// As there, features are not centred. It takes images times dim² operations: the paper takes 25,600
/// images. The 10^-7 that is added there to each share is not here, since singular values
/// are in double precision.
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

#[cfg(test)]
mod tests {
    use super::*;
    use logo_ssl_base::rng::{Stream, generator, normal};

    #[test]
    fn equal_directions_count_wholly_and_zeros_not_at_all() {
        // Three directions at right angles, of equal length, in seven dimensions.
        let rows: Vec<f32> =
            (0..3 * 7).map(|at| if at % 7 == at / 7 { 3.0 } else { 0.0 }).collect();
        let rank = effective_rank(Features::new(&rows, 7).unwrap());
        assert!((rank - 3.0).abs() < 1e-9, "{rank}");
        assert_eq!(effective_rank(Features::new(&[0.0; 12], 3).unwrap()), 0.0);
    }

    #[test]
    fn rounding_does_not_fill_the_rank_of_what_lies_in_few_dimensions() {
        // Four directions in 150 dimensions, more than the strips of the sums have.
        let mut rng = generator(1, Stream::Measure, 0, 0, 0);
        let basis: Vec<f64> = (0..4 * 150).map(|_| normal(&mut rng)).collect();
        let mut row = || {
            let shares: Vec<f64> = (0..4).map(|_| normal(&mut rng)).collect();
            let at =
                |at: usize| shares.iter().enumerate().map(|(i, s)| s * basis[i * 150 + at]).sum();
            (0..150).map(at).map(|x: f64| x as f32).collect::<Vec<f32>>()
        };
        let rows: Vec<f32> = (0..1500).flat_map(|_| row()).collect();
        let rank = effective_rank(Features::new(&rows, 150).unwrap());
        assert!((3.9..4.01).contains(&rank), "{rank}");
    }
}
