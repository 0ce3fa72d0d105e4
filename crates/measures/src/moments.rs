//! Sums of products of dimensions, in double precision: singular values are their square roots, so
//! that single precision would leave them with three digits.

use std::ops::Range;

use nalgebra::{DMatrix, DMatrixView};
use rayon::prelude::*;

use crate::Features;

/// Images whose products are added at once.
const BLOCK: usize = 1024;
/// Columns of the result that a task has.
const STRIP: usize = 64;

/// The sum over images of x xᵀ, `[dim, dim]`, of features less `centre`. The bytes do not depend on the
/// threads.
pub(crate) fn second_moments(features: Features<'_>, centre: &[f64]) -> DMatrix<f64> {
    let dim = features.dim();
    let mut sums = DMatrix::zeros(dim, dim);
    for rows in features.rows().chunks(BLOCK * dim) {
        let centred = |(at, &x): (usize, &f32)| f64::from(x) - centre[at % dim];
        let numbers: Vec<f64> = rows.par_iter().enumerate().map(centred).collect();
        // Rows of images are columns to nalgebra.
        let block = DMatrixView::from_slice(&numbers, dim, rows.len() / dim);
        let strips = sums.as_mut_slice().par_chunks_mut(STRIP * dim).enumerate();
        strips.for_each(|(strip, sums)| {
            let first = strip * STRIP;
            add_strip(block, first..first + sums.len() / dim, sums);
        });
    }
    sums.fill_upper_triangle_with_lower_triangle();
    sums
}

/// Adds products with the dimensions `columns`, of those dimensions that are not before them.
fn add_strip(block: DMatrixView<'_, f64>, columns: Range<usize>, sums: &mut [f64]) {
    let dim = block.nrows();
    let mut sums = nalgebra::DMatrixViewMut::from_slice(sums, dim, columns.len());
    let turned = block.rows(columns.start, columns.len()).transpose();
    let mut below = sums.rows_mut(columns.start, dim - columns.start);
    below.gemm(1.0, &block.rows(columns.start, dim - columns.start), &turned, 1.0);
}
