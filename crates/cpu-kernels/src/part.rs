//! Parts of a matrix that several threads write at once.

use std::marker::PhantomData;
use std::ops::Range;

/// Some rows and columns of a matrix, which only their holder may write. What lies between them in memory may
/// be somebody else's.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    start: *mut f32,
    /// How far a row is from the next, in numbers.
    stride: usize,
    rows: usize,
    columns: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: a part is the exclusive borrow of its numbers, which are f32.
unsafe impl Send for Part<'_> {}

impl<'a> Part<'a> {
    /// The whole of a matrix of that many columns.
    ///
    /// # Panics
    /// If `numbers` are no whole rows.
    pub fn of(numbers: &'a mut [f32], columns: usize) -> Self {
        assert!(columns > 0 && numbers.len().is_multiple_of(columns), "whole rows");
        let rows = numbers.len() / columns;
        Self { start: numbers.as_mut_ptr(), stride: columns, rows, columns, lifetime: PhantomData }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Where the first row begins.
    pub fn start(&mut self) -> *mut f32 {
        self.start
    }

    /// Whether it has `len` numbers from an offset on, which counts along the matrix from where this begins.
    pub fn has(&self, offset: usize, len: usize) -> bool {
        let (row, column) = (offset / self.stride, offset % self.stride);
        len == 0 || row < self.rows && column + len <= self.columns
    }

    /// The numbers of one row.
    ///
    /// # Panics
    /// If there is none.
    pub fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "no such row");
        // SAFETY: the row's numbers are this part's, which is borrowed for as long as the slice.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.stride), self.columns) }
    }

    /// The part that has the columns of that range.
    ///
    /// # Panics
    /// If they do not exist.
    pub(crate) fn columns_in(&mut self, range: Range<usize>) -> Part<'_> {
        assert!(range.start <= range.end && range.end <= self.columns, "no such columns");
        let start = self.start.wrapping_add(range.start);
        Part { start, columns: range.len(), lifetime: PhantomData, ..*self }
    }

    /// Two parts: the rows before `row`, and those from it on.
    ///
    /// # Panics
    /// If it has fewer.
    pub(crate) fn split_rows(self, row: usize) -> [Self; 2] {
        assert!(row <= self.rows, "no such row");
        let start = self.start.wrapping_add(row * self.stride);
        [Self { rows: row, ..self }, Self { start, rows: self.rows - row, ..self }]
    }

    /// Two parts: the columns before `column`, and those from it on.
    ///
    /// # Panics
    /// If it has fewer.
    pub(crate) fn split_columns(self, column: usize) -> [Self; 2] {
        assert!(column <= self.columns, "no such column");
        let start = self.start.wrapping_add(column);
        [Self { columns: column, ..self }, Self { start, columns: self.columns - column, ..self }]
    }
}

/// A part of a matrix, and where in that it begins.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub row: usize,
    pub column: usize,
    pub part: Part<'a>,
}

impl<'a> Place<'a> {
    /// The whole of a matrix.
    pub fn whole(part: Part<'a>) -> Self {
        Self { row: 0, column: 0, part }
    }

    /// Two places: its first `rows`, and the others.
    ///
    /// # Panics
    /// If it has fewer.
    pub fn split_rows(self, rows: usize) -> [Self; 2] {
        let Self { row, column, part } = self;
        let [first, second] = part.split_rows(rows);
        [Self { row, column, part: first }, Self { row: row + rows, column, part: second }]
    }

    /// Two places: its first `columns`, and the others.
    ///
    /// # Panics
    /// If it has fewer.
    pub fn split_columns(self, columns: usize) -> [Self; 2] {
        let Self { row, column, part } = self;
        let [first, second] = part.split_columns(columns);
        [Self { row, column, part: first }, Self { row, column: column + columns, part: second }]
    }
}

/// The numbers as one row.
impl<'a> From<&'a mut [f32]> for Part<'a> {
    fn from(numbers: &'a mut [f32]) -> Self {
        let len = numbers.len();
        let start = numbers.as_mut_ptr();
        Self { start, stride: len.max(1), rows: 1, columns: len, lifetime: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_written_apart_and_make_the_whole() {
        let mut numbers = vec![0.0; 5 * 7];
        let [upper, lower] = Part::of(&mut numbers, 7).split_rows(2);
        let [left, right] = upper.split_columns(3);
        let mut parts = [(left, 1.0), (right, 2.0), (lower, 3.0)];
        std::thread::scope(|scope| {
            for (part, number) in &mut parts {
                scope.spawn(|| (0..part.rows()).for_each(|row| part.row(row).fill(*number)));
            }
        });
        parts[2].0.columns_in(6..7).row(1)[0] = 4.0;
        let expected = |at: usize| match (at / 7, at % 7) {
            (0 | 1, 0..3) => 1.0,
            (0 | 1, _) => 2.0,
            (3, 6) => 4.0,
            _ => 3.0,
        };
        assert!(numbers.iter().enumerate().all(|(at, number)| *number == expected(at)));
    }

    #[test]
    fn a_part_has_its_own_numbers_only() {
        let mut numbers = vec![0.0; 5 * 7];
        let [_, right] = Part::of(&mut numbers, 7).split_columns(3);
        assert!(right.has(0, 4) && right.has(4 * 7, 4) && right.has(9, 2));
        assert!(!right.has(0, 5) && !right.has(5 * 7, 1) && !right.has(9, 3));
        assert!(right.has(5 * 7, 0));
    }
}
