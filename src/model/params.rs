//! A module's tensors: by name for checkpoints, weight files and people, and as a few flat vectors
//! for programs.
//!
//! Names are those of PyTorch's modules (`backbone.layer1.0.conv1.weight`).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use graph::{Node, concatenate};
use rand::RngExt;
use rayon::prelude::*;

use logo_ssl_base::rng::{self, Stream, generator};

/// Numbers on the host, row by row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TensorData {
    /// The lengths of the axes.
    pub shape: Vec<usize>,
    /// As many as the shape says.
    pub values: Vec<f32>,
}

impl TensorData {
    /// # Panics
    /// If there are more or fewer values than the shape says.
    pub fn new(values: Vec<f32>, shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        assert_eq!(values.len(), shape.iter().product::<usize>(), "values of shape {shape:?}");
        Self { shape, values }
    }
}

/// Why tensors by name are not those of a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// There is no tensor of this name.
    #[error("it has no tensor `{0}`")]
    Missing(String),
    /// A tensor has another shape.
    #[error("`{name}` has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Which tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The network's.
        expected: Vec<usize>,
    },
}

/// Tensors by name.
pub type State = BTreeMap<String, TensorData>;

/// The tensors of `state`, each name behind `prefix`.
pub fn behind(prefix: &str, state: State) -> State {
    state.into_iter().map(|(name, data)| (format!("{prefix}.{name}"), data)).collect()
}

/// The tensors of `state` whose names are behind `prefix`, without it.
pub fn within(prefix: &str, state: &State) -> State {
    let inside = state.iter().filter_map(|(name, data)| {
        let short = name.strip_prefix(prefix)?.strip_prefix('.')?;
        Some((short.to_owned(), data.clone()))
    });
    inside.collect()
}

/// What a tensor holds before the first update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
    /// Uniform between this and its negative.
    Uniform(f32),
    /// The same number everywhere.
    Constant(f32),
}

/// One named tensor within a flat vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What it is called.
    pub name: String,
    /// The lengths of its axes.
    pub shape: Vec<usize>,
    /// Where its numbers lie.
    pub range: Range<usize>,
    start: Start,
    /// Which draw of random numbers its start is, where it is random.
    draw: u64,
}

impl Entry {
    /// Whether it is a bias, or γ or β of a batch norm: whatever has a single axis.
    pub(crate) fn is_norm_or_bias(&self) -> bool {
        self.shape.len() == 1
    }

    fn first_values(&self, seed: u64) -> Vec<f32> {
        let count = self.range.len();
        let mut rng = generator(seed, Stream::Init, 0, self.draw, 0);
        match self.start {
            Start::Normal(std) => (0..count).map(|_| std * rng::normal(&mut rng) as f32).collect(),
            Start::Uniform(bound) => (0..count).map(|_| rng.random_range(-bound..=bound)).collect(),
            Start::Constant(value) => vec![value; count],
        }
    }
}

/// Named tensors, one behind the other in a flat vector.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    entries: Vec<Entry>,
    /// What programs see as one tensor each: ranges of the vector and their shapes.
    pieces: Vec<(Range<usize>, Vec<usize>)>,
}

/// Which piece of a [`Layout`] a tensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(usize);

impl Layout {
    /// All tensors, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The length of the flat vector.
    pub fn len(&self) -> usize {
        self.entries.last().map_or(0, |entry| entry.range.end)
    }

    /// Whether there are no tensors.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The first values under `seed`. Random tensor number n of a module depends on the seed and n
    /// alone.
    pub fn first_values(&self, seed: u64) -> Vec<f32> {
        let each: Vec<Vec<f32>> =
            self.entries.par_iter().map(|entry| entry.first_values(seed)).collect();
        each.concat()
    }

    /// The tensors of a flat vector by name, each behind `prefix`, which ends in a dot or is empty.
    pub fn split(&self, flat: &[f32], prefix: &str) -> State {
        let named = self.entries.iter().map(|Entry { name, shape, range, .. }| {
            let values = flat[range.clone()].to_vec();
            (format!("{prefix}{name}"), TensorData::new(values, shape.clone()))
        });
        named.collect()
    }

    /// The flat vector of the tensors that `state` has behind `prefix`.
    ///
    /// # Errors
    /// [`Mismatch`] naming the first tensor that is missing or of another shape.
    pub fn join(&self, state: &State, prefix: &str) -> Result<Vec<f32>, Mismatch> {
        let mut flat = Vec::with_capacity(self.len());
        for Entry { name, shape, .. } in &self.entries {
            let name = format!("{prefix}{name}");
            let Some(found) = state.get(&name) else { return Err(Mismatch::Missing(name)) };
            if found.shape != *shape {
                let (found, expected) = (found.shape.clone(), shape.clone());
                return Err(Mismatch::Shape { name, found, expected });
            }
            flat.extend_from_slice(&found.values);
        }
        Ok(flat)
    }

    /// A vector with one number for each of the flat vector's: what `of` gives its tensor. Where all
    /// are the same node, that scalar itself.
    pub fn spread<'g>(&self, of: impl Fn(&Entry) -> Node<'g>) -> Node<'g> {
        let mut runs: Vec<(Node<'g>, usize)> = vec![];
        for entry in &self.entries {
            let scalar = of(entry);
            match runs.last_mut() {
                Some((last, count)) if last.id() == scalar.id() => *count += entry.range.len(),
                _ => runs.push((scalar, entry.range.len())),
            }
        }
        match runs[..] {
            [(scalar, _)] => scalar,
            _ => {
                let each: Vec<_> = runs.iter().map(|(x, count)| x.spread(&[*count])).collect();
                concatenate(&each, 0)
            }
        }
    }

    fn pieces<'g>(&self, flat: Node<'g>) -> Vec<Node<'g>> {
        let piece =
            |(range, shape): &(Range<usize>, Vec<usize>)| flat.rows(range.clone()).reshape(shape);
        self.pieces.iter().map(piece).collect()
    }
}

/// Declares a module's tensors under their names, and numbers the random ones.
#[derive(Debug, Default)]
pub struct Declaration {
    path: Vec<String>,
    draws: u64,
    /// What is trained.
    pub trained: Layout,
    /// Running statistics.
    pub running: Layout,
}

impl Declaration {
    /// Declares what `declare` does under a further part of the names.
    pub fn within<T>(&mut self, part: impl ToString, declare: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(part.to_string());
        let declared = declare(self);
        self.path.pop();
        declared
    }

    fn entry(&mut self, name: &str, shape: &[usize], start: Start, len: usize) -> Entry {
        let draw = self.draws;
        if !matches!(start, Start::Constant(_)) {
            self.draws += 1;
        }
        let name = self.path.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".");
        let count: usize = shape.iter().product();
        Entry { name, shape: shape.to_vec(), range: len..len + count, start, draw }
    }

    /// A trained tensor that programs see by itself.
    pub(crate) fn trained(&mut self, name: &str, shape: &[usize], start: Start) -> Slot {
        let entry = self.entry(name, shape, start, self.trained.len());
        self.trained.pieces.push((entry.range.clone(), entry.shape.clone()));
        self.trained.entries.push(entry);
        Slot(self.trained.pieces.len() - 1)
    }

    /// Running statistics that programs see by themselves.
    pub(crate) fn running(&mut self, name: &str, shape: &[usize], start: Start) -> Slot {
        let entry = self.entry(name, shape, start, self.running.len());
        self.running.pieces.push((entry.range.clone(), entry.shape.clone()));
        self.running.entries.push(entry);
        Slot(self.running.pieces.len() - 1)
    }

    /// Declares what `declare` does so that programs see all of its trained tensors as one flat piece,
    /// and all of its running statistics as another.
    pub(crate) fn whole<T>(&mut self, declare: impl FnOnce(&mut Self) -> T) -> (T, [Slot; 2]) {
        let before =
            [&self.trained, &self.running].map(|layout| (layout.pieces.len(), layout.len()));
        let declared = declare(self);
        let slots = [&mut self.trained, &mut self.running].into_iter().zip(before);
        let slots = slots.map(|(layout, (pieces, start))| {
            layout.pieces.truncate(pieces);
            let range = start..layout.len();
            layout.pieces.push((range.clone(), vec![range.len()]));
            Slot(pieces)
        });
        let [trained, running] = <[Slot; 2]>::try_from(slots.collect::<Vec<_>>())
            .expect("two layouts were mapped to two slots");
        (declared, [trained, running])
    }
}

/// A module's tensors in a program. Clones share the running statistics.
#[derive(Clone, Debug)]
pub struct Weights<'g> {
    trained: Vec<Node<'g>>,
    running: Rc<RefCell<Vec<Node<'g>>>>,
}

impl<'g> Weights<'g> {
    /// Those in two flat vectors, the trained ones and the running statistics, which are absent where
    /// the layout has none.
    pub fn of(
        [trained, running]: [&Layout; 2],
        [flat_trained, flat_running]: [Option<Node<'g>>; 2],
    ) -> Self {
        let pieces = |layout: &Layout, flat: Option<Node<'g>>| {
            flat.map_or_else(Vec::new, |flat| layout.pieces(flat))
        };
        let running = Rc::new(RefCell::new(pieces(running, flat_running)));
        Self { trained: pieces(trained, flat_trained), running }
    }

    /// What stands at a slot.
    pub(crate) fn get(&self, slot: Slot) -> Node<'g> {
        self.trained[slot.0]
    }

    /// The running statistics at a slot, as the last batch left them.
    pub(crate) fn statistics(&self, slot: Slot) -> Node<'g> {
        self.running.borrow()[slot.0]
    }

    /// Replaces the running statistics at a slot.
    pub(crate) fn observe(&self, slot: Slot, statistics: Node<'g>) {
        self.running.borrow_mut()[slot.0] = statistics;
    }

    /// The same with the trained tensors as constants, through which gradients pass to the inputs alone.
    pub fn frozen(&self) -> Self {
        let trained = self.trained.iter().map(|piece| piece.stop_gradient()).collect();
        Self { trained, running: Rc::clone(&self.running) }
    }

    /// The trained tensors, piece by piece: what a loss is differentiated by.
    pub fn trained(&self) -> &[Node<'g>] {
        &self.trained
    }

    /// All running statistics as one flat vector, where there are any.
    pub fn all_statistics(&self) -> Option<Node<'g>> {
        let running = self.running.borrow();
        let flat: Vec<_> = running.iter().map(|piece| piece.flatten()).collect();
        (!flat.is_empty()).then(|| concatenate(&flat, 0))
    }
}
