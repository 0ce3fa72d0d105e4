//! Nearest images, by the inner product of their features, which of rows of unit length is the
//! cosine similarity.

use cpu_kernels::{Bank, Level};
use serde::{Deserialize, Serialize};

use crate::{Features, Result};

/// An image of a bank that is near to another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Neighbour {
    /// The inner product of both images' features.
    pub similarity: f32,
    /// The bank's row.
    pub image: usize,
}

/// The `count` images of `bank` nearest to each of `queries`, the nearest first and of equals the
/// lower row first; fewer if the bank has no more. Besides the result, no more memory is used than
/// the bank takes once more.
///
/// # Errors
/// [`crate::Error::Dimension`] if queries and bank differ in their rows' length, [`crate::Error::Level`].
pub fn nearest(
    bank: Features<'_>,
    queries: Features<'_>,
    count: usize,
) -> Result<Vec<Vec<Neighbour>>> {
    bank.same_dim(queries)?;
    let count = count.min(bank.len());
    let bank = Bank::new(Level::chosen()?, bank.rows(), bank.dim());
    Ok(bank.nearest(queries.rows(), count, |_, found| found.iter().map(neighbour).collect()))
}

/// The `count` images nearest to each, itself left out, as [`nearest`] orders them.
///
/// # Errors
/// [`crate::Error::Level`].
pub fn nearest_others(features: Features<'_>, count: usize) -> Result<Vec<Vec<Neighbour>>> {
    let count = count.min(features.len() - 1);
    let bank = Bank::new(Level::chosen()?, features.rows(), features.dim());
    let others = |query: usize, found: &[cpu_kernels::Neighbour]| {
        let found = found.iter().map(neighbour);
        found.filter(|other| other.image != query).take(count).collect()
    };
    Ok(bank.nearest(features.rows(), count + 1, others))
}

fn neighbour(&(similarity, row): &cpu_kernels::Neighbour) -> Neighbour {
    Neighbour { similarity, image: row as usize }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    const ROWS: [f32; 8] = [1.0, 0.0, 0.0, 1.0, 0.6, 0.8, 1.0, 0.0];

    fn images(found: &[Vec<Neighbour>]) -> Vec<Vec<usize>> {
        found.iter().map(|row| row.iter().map(|neighbour| neighbour.image).collect()).collect()
    }

    #[test]
    fn nearest_first_and_of_equals_the_lower() {
        let bank = Features::new(&ROWS, 2).unwrap();
        let queries = Features::new(&[1.0, 0.1], 2).unwrap();
        let found = nearest(bank, queries, 3).unwrap();
        assert_eq!(images(&found), [[0, 3, 2]]);
        assert!((found[0][2].similarity - 0.68).abs() < 1e-6);
        assert_eq!(nearest(bank, queries, 9).unwrap()[0].len(), 4);
    }

    #[test]
    fn nobody_is_their_own_neighbour_even_beside_a_double() {
        let bank = Features::new(&ROWS, 2).unwrap();
        let found = nearest_others(bank, 2).unwrap();
        assert_eq!(images(&found), [[3, 2], [2, 0], [1, 0], [0, 2]]);
    }

    #[test]
    fn another_models_queries_are_refused() {
        let bank = Features::new(&ROWS, 2).unwrap();
        let queries = Features::new(&ROWS, 4).unwrap();
        let error = nearest(bank, queries, 1).unwrap_err();
        assert_eq!(error, Error::Dimension { found: 4, expected: 2 });
    }
}
