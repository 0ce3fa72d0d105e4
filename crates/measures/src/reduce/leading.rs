use logo_ssl_base::rng::normal;
use nalgebra::{DMatrix, SymmetricEigen};

use crate::random::{Purpose, generator};

/// Directions that are iterated besides those that are wanted: the more, the faster it ends.
const SPARE: usize = 16;
/// Most rounds, which only values that are nearly the same come to.
const ROUNDS: usize = 1000;
/// Values that change by less than this share of the greatest are settled.
const SETTLED: f64 = 1e-13;

/// The `count` greatest eigenvalues of a symmetric matrix that has no negative ones, the greatest first,
/// and their vectors as columns, `[dim, count]`.
///
/// By orthogonal iteration with a Rayleigh-Ritz step (Golub and Van Loan, Matrix Computations, sections
/// 8.2.4 and 8.3.4), since all eigenvectors of 2048 dimensions would take minutes where two are wanted.
pub(super) fn leading(matrix: &DMatrix<f64>, count: usize) -> (Vec<f64>, DMatrix<f64>) {
    let dim = matrix.nrows();
    let block = (count + SPARE).min(dim);
    let mut rng = generator(0, Purpose::Directions, 0, 0);
    let mut basis = DMatrix::from_fn(dim, block, |_, _| normal(&mut rng)).qr().q();
    let mut before: Option<Vec<f64>> = None;
    for _ in 0..ROUNDS {
        let image = matrix * &basis;
        let (values, turned) = within(&basis, &image);
        let is_settled = |before: &Vec<f64>| {
            let pairs = values.iter().zip(before).take(count);
            pairs.into_iter().all(|(now, before)| (now - before).abs() <= SETTLED * values[0])
        };
        // A basis of all directions holds the answer at once.
        let done = block == dim || before.as_ref().is_some_and(is_settled);
        basis = if done { basis * turned } else { (image * turned).qr().q() };
        before = Some(values);
        if done {
            break;
        }
    }
    let mut values = before.unwrap_or_default();
    values.truncate(count);
    (values, basis.columns(0, count).into_owned())
}

/// The eigenvalues of a matrix within the space of `basis`, the greatest first, and their vectors in
/// terms of it; `image` is the matrix times the basis.
fn within(basis: &DMatrix<f64>, image: &DMatrix<f64>) -> (Vec<f64>, DMatrix<f64>) {
    let SymmetricEigen { eigenvectors, eigenvalues } = SymmetricEigen::new(basis.tr_mul(image));
    let mut order: Vec<usize> = (0..eigenvalues.len()).collect();
    order.sort_by(|&a, &b| eigenvalues[b].total_cmp(&eigenvalues[a]));
    let values = order.iter().map(|&at| eigenvalues[at].max(0.0)).collect();
    (values, eigenvectors.select_columns(&order))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_of_all_eigenvalues_and_their_vectors() {
        let mut rng = generator(1, Purpose::Directions, 0, 0);
        let numbers = DMatrix::from_fn(60, 90, |row, _| normal(&mut rng) / (1.0 + row as f64));
        let matrix = &numbers * numbers.transpose();
        let mut all: Vec<f64> = matrix.symmetric_eigenvalues().iter().copied().collect();
        all.sort_by(|a, b| b.total_cmp(a));
        // With fewer directions than the matrix has, and with all.
        for count in [1, 5, 60] {
            let (values, vectors) = leading(&matrix, count);
            assert_eq!((values.len(), vectors.shape()), (count, (60, count)));
            for (at, value) in values.iter().enumerate() {
                assert!((value - all[at]).abs() < 1e-9 * all[0], "{at}: {value}, {}", all[at]);
                let vector = vectors.column(at);
                let off = (&matrix * vector - vector * *value).norm();
                assert!(off < 1e-5 * all[0], "{at} of {count}: {off}");
            }
        }
    }

    #[test]
    fn what_has_no_extent_has_no_values() {
        let (values, vectors) = leading(&DMatrix::zeros(40, 40), 2);
        assert_eq!(values, [0.0, 0.0]);
        assert!(vectors.iter().all(|x| x.is_finite()));
    }
}
