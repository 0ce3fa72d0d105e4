//! Sums over the numbers of rows, in double precision, in an order that the compiler can vectorise.

/// Sums that are kept side by side.
const LANES: usize = 8;

/// The sum of the squares of a row.
pub(crate) fn square(row: &[f32]) -> f64 {
    summed(row, row, |a, _| a * a)
}

/// The squared distance of two rows of equal length.
pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    summed(a, b, |a, b| (a - b) * (a - b))
}

#[inline(always)]
fn summed(a: &[f32], b: &[f32], term: impl Fn(f64, f64) -> f64) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for (sum, (&a, &b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += term(f64::from(a), f64::from(b));
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(&a, &b)| term(f64::from(a), f64::from(b)));
    sums.iter().sum::<f64>() + rest.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_counts_once_whatever_the_length() {
        for len in 0..20_u16 {
            let a: Vec<f32> = (0..len).map(f32::from).collect();
            let b: Vec<f32> = a.iter().map(|x| x - 2.0).collect();
            assert_eq!(squared_distance(&a, &b), 4.0 * f64::from(len));
            assert_eq!(square(&a), (0..len).map(|x| f64::from(x).powi(2)).sum::<f64>());
        }
    }
}
