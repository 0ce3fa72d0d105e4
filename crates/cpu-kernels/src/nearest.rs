//! Exact nearest neighbours by inner product: a blocked matrix product whose results never leave the
//! cache, and a threshold that most of them fail.

use rayon::prelude::*;

use crate::gemm::{PANEL, RowTable, Rows, Segment};
use crate::level::{Kernel, Level};
use crate::simd::Vector;
use crate::workspace::{Buffer, Workspace};

/// An inner product with a query, and the number of the bank's row that it is with.
pub type Neighbour = (f32, u32);

/// How many queries a task has: with their inner products they fill about half of a second-level cache.
const QUERIES: usize = 192;
/// How many bank rows a block has.
const BLOCK: usize = 128;
/// How many numbers of a row are multiplied before the next block of them.
const DEPTH: usize = 512;

/// Vectors to search among, packed for the matrix product.
#[derive(Debug)]
pub struct Bank {
    /// `[dim / DEPTH]` slices, each of `[panels, depth, PANEL]`; the last panel is filled with zeros.
    slices: Vec<Buffer<f32>>,
    dim: usize,
    len: usize,
    level: Level,
    workspace: Workspace,
}

impl Bank {
    /// A bank of the vectors that are the rows of `rows`, `[len, dim]`.
    ///
    /// # Panics
    /// If `rows` are no whole rows, or 2³² of them.
    pub fn new(level: Level, rows: &[f32], dim: usize) -> Self {
        assert!(dim > 0 && rows.len().is_multiple_of(dim), "whole rows");
        let len = rows.len() / dim;
        assert!(u32::try_from(len).is_ok(), "fewer than 2^32 rows");
        let workspace = Workspace::default();
        let slice = |first: usize| {
            let depth = DEPTH.min(dim - first);
            let mut packed = workspace.zeroed(len.next_multiple_of(PANEL) * depth);
            let panels = packed.par_chunks_mut(PANEL * depth);
            panels.zip(rows.par_chunks(PANEL * dim)).for_each(|(panel, rows)| {
                for (column, row) in rows.chunks(dim).enumerate() {
                    let numbers = &row[first..first + depth];
                    let to = panel[column..].iter_mut().step_by(PANEL);
                    to.zip(numbers).for_each(|(to, x)| *to = *x);
                }
            });
            packed
        };
        let slices = (0..dim).step_by(DEPTH).map(slice).collect();
        Self { slices, dim, len, level, workspace }
    }

    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no vectors.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Calls `visit` for every query, the rows of `queries` `[_, dim]`, with the query's number and its `count`
    /// greatest inner products, greatest first and of equals the lower row first, and returns what it made of them
    /// in the order of queries. The numbers do not depend on the threads.
    ///
    /// # Panics
    /// If `queries` are no whole rows.
    pub fn nearest<T: Send>(
        &self,
        queries: &[f32],
        count: usize,
        visit: impl Fn(usize, &[Neighbour]) -> T + Sync,
    ) -> Vec<T> {
        assert!(queries.len().is_multiple_of(self.dim), "whole rows");
        let all = queries.len() / self.dim;
        // Few queries are shared out among all threads too.
        let share = all.div_ceil(rayon::current_num_threads()).clamp(1, QUERIES);
        let tasks = queries.par_chunks(share * self.dim).enumerate();
        tasks
            .flat_map_iter(|(task, queries)| {
                let found = self.search(queries, count);
                let visited = found.into_iter().enumerate();
                visited.map(|(at, nearest)| visit(task * share + at, &nearest)).collect::<Vec<_>>()
            })
            .collect()
    }

    fn search(&self, queries: &[f32], count: usize) -> Vec<Vec<Neighbour>> {
        let rows = queries.len() / self.dim;
        let table = RowTable::strided(rows, self.dim, BLOCK);
        let mut products = self.workspace.take::<f32>(rows * BLOCK);
        let mut best: Vec<Best> = (0..rows).map(|_| Best::new(count)).collect();
        for first in (0..self.len).step_by(BLOCK) {
            let columns = BLOCK.min(self.len - first);
            self.multiply(&table, queries, first, columns, &mut products);
            for (best, products) in best.iter_mut().zip(products.chunks(BLOCK)) {
                let products = &products[..columns];
                self.level.run(Offer { best, products, first: first as u32 });
            }
        }
        best.into_iter().map(Best::finish).collect()
    }

    /// Inner products of all queries with `columns` bank rows from `first` on.
    fn multiply(
        &self,
        table: &RowTable,
        queries: &[f32],
        first: usize,
        columns: usize,
        products: &mut [f32],
    ) {
        for (number, slice) in self.slices.iter().enumerate() {
            let offset = number * DEPTH;
            let len = DEPTH.min(self.dim - offset);
            let product = Rows {
                rows: table.rows(),
                segments: &[Segment { offset, len }],
                a: queries,
                b: &slice[first * len..],
                panel_stride: PANEL * len,
                panels: columns.div_ceil(PANEL),
                c: products.into(),
                accumulate: number > 0,
            };
            product.run(self.level);
        }
    }
}

/// The greatest of what was offered so far, and some that may turn out not to be.
struct Best {
    count: usize,
    found: Vec<Neighbour>,
    /// What an inner product must exceed to be among them.
    threshold: f32,
}

impl Best {
    fn new(count: usize) -> Self {
        let threshold = if count == 0 { f32::INFINITY } else { f32::NEG_INFINITY };
        Self { count, found: Vec::with_capacity(2 * count + PANEL), threshold }
    }

    fn thin_out(&mut self) {
        if self.count < self.found.len() {
            self.found.select_nth_unstable_by(self.count - 1, order);
            self.found.truncate(self.count);
            self.threshold = self.found[self.count - 1].0;
        }
    }

    fn finish(mut self) -> Vec<Neighbour> {
        self.thin_out();
        self.found.sort_unstable_by(order);
        self.found
    }
}

fn order(a: &Neighbour, b: &Neighbour) -> std::cmp::Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

/// Takes what exceeds the threshold. Rows come in ascending order, so of equals the earlier ones are
/// kept.
struct Offer<'a> {
    best: &'a mut Best,
    products: &'a [f32],
    /// The bank row of the first product.
    first: u32,
}

impl Kernel for Offer<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Offer { best, products, first } = self;
        for (chunk, products) in products.chunks(PANEL).enumerate() {
            if !any_above::<V>(products, best.threshold) {
                continue;
            }
            for (at, &product) in products.iter().enumerate() {
                if product > best.threshold {
                    best.found.push((product, first + (chunk * PANEL + at) as u32));
                }
            }
            if best.found.len() >= 2 * best.count {
                best.thin_out();
            }
        }
    }
}

/// False only if none of the products exceeds the threshold.
#[inline(always)]
fn any_above<V: Vector>(products: &[f32], threshold: f32) -> bool {
    let Ok(products) = <&[f32; PANEL]>::try_from(products) else {
        return true;
    };
    let mut above = V::splat(0.0);
    for at in (0..PANEL).step_by(V::LANES) {
        // SAFETY: lanes divide PANEL, so whole vectors fill the array.
        let vector = unsafe { V::load(products.as_ptr().add(at)) };
        let excess = vector.sub(V::splat(threshold));
        above = above.max(V::splat(1.0).where_positive(excess));
    }
    let mut lanes = [0.0f32; PANEL];
    // SAFETY: an array of PANEL numbers holds one vector.
    unsafe { above.store(lanes.as_mut_ptr()) };
    lanes[..V::LANES].iter().any(|&x| x > 0.0)
}
