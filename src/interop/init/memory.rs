//! What a run remembers beside its networks: a framework's queue, and f_d.

use checkpoints::Backbone;

use super::fitting::{Fitting, misfit, needs, of_another_projector};
use super::origin::{Fit, Part};
use crate::Result;
use crate::interop::weights::IN_CHECKPOINT;
use crate::model::Affinity;
use crate::model::params::{Mismatch, State, TensorData};
use crate::train::{AFFINITY, FRAMEWORK};

/// What MoCo calls its queue, and the number of its oldest key.
const QUEUE: &str = "queue";
const NEXT: &str = "next";

/// What a learner's state calls what the framework knows as `name`.
fn remembered(name: &str) -> String {
    format!("{FRAMEWORK}{name}")
}

impl Fitting<'_> {
    /// Takes the keys of earlier batches, where the framework remembers some, `[length, dim]`.
    pub(super) fn queue(&mut self, memory: &State) -> Result<()> {
        let is_queue = |name: &&String| name.rsplit('.').next() == Some(QUEUE);
        let found: Vec<String> = self.file.tensors().keys().filter(is_queue).cloned().collect();
        let (from, fit) = match (&found[..], memory.get(QUEUE)) {
            ([], None) => return Ok(()),
            ([], Some(_)) => (None, Fit::Absent),
            ([name, ..], None) => (Some(name), Fit::Unused),
            ([name], Some(wanted)) => (Some(name), self.fit_queue(name, &wanted.shape)?),
            ([name, other, ..], Some(_)) => {
                (None, misfit(format!("could be `{name}` as well as `{other}`")))
            }
        };
        self.note(Part::Queue, from.map(String::as_str), fit);
        Ok(())
    }

    fn fit_queue(&mut self, name: &str, wanted: &[usize]) -> Result<Fit> {
        let shape = self.file.tensors()[name].shape.clone();
        // A run's has a row for each key, MoCo's own code a column.
        let is_own = name == remembered(QUEUE);
        let (length, dim) = match shape[..] {
            [length, dim] if is_own => (length, dim),
            [dim, length] => (length, dim),
            _ => {
                return Ok(misfit(format!("has shape {shape:?}, and one of two axes is expected")));
            }
        };
        if !self.has_taken(Part::Projector) {
            return Ok(of_another_projector());
        }
        if wanted.get(1) != Some(&dim) {
            return Ok(misfit(format!("has shape {shape:?}, and keys are of {wanted:?}")));
        }
        if wanted != [length, dim] {
            let changes = self.changes(|config| config.framework.momentum.queue = length);
            return Ok(needs(&changes));
        }
        let next = self.next_of(name, is_own, length)?;
        let numbers = self.numbers(name)?;
        // The oldest key is the first here.
        let rows = (next..length).chain(0..next);
        let keys: Vec<f32> = match is_own {
            true => rows.flat_map(|row| &numbers[row * dim..][..dim]).copied().collect(),
            false => rows
                .flat_map(|column| (0..dim).map(move |row| row * length + column))
                .map(|at| numbers[at])
                .collect(),
        };
        self.state.insert(remembered(QUEUE), TensorData::new(keys, [length, dim]));
        self.state.insert(remembered(NEXT), TensorData::new(vec![0.0], [1]));
        Ok(Fit::Taken { tensors: 1, missing: 0 })
    }

    /// Which key of the queue `name` is the oldest.
    fn next_of(&mut self, name: &str, is_own: bool, length: usize) -> Result<usize> {
        let pointer = match is_own {
            true => remembered(NEXT),
            false => format!("{name}_ptr"),
        };
        if !self.file.tensors().contains_key(&pointer) {
            return Ok(0);
        }
        let next = match is_own {
            true => self.numbers(&pointer)?.first().copied().unwrap_or_default() as i64,
            false => self.file.integer(&pointer)?,
        };
        self.taken.insert(pointer);
        Ok(next.rem_euclid(length as i64) as usize)
    }

    /// Takes f_d, which a run's checkpoint has.
    pub(super) fn affinity(&mut self, backbone: &Backbone) -> Result<()> {
        let own = format!("{IN_CHECKPOINT}.");
        let first = format!("{AFFINITY}.");
        let is_there = self.file.tensors().keys().any(|name| name.starts_with(&first));
        let is_there = is_there && backbone.prefix == own;
        let affinity = Affinity::new(self.config.model.projector.dim, &self.config.affinity);
        let is_wanted = self.config.framework.logo && affinity.is_learned();
        let fit = match (is_there, is_wanted) {
            (false, false) => return Ok(()),
            (false, true) => Fit::Absent,
            (true, false) => Fit::Unused,
            (true, true) => self.fit_affinity(&affinity)?,
        };
        self.note(Part::Affinity, is_there.then_some(AFFINITY), fit);
        Ok(())
    }

    fn fit_affinity(&mut self, affinity: &Affinity) -> Result<Fit> {
        if !self.has_taken(Part::Projector) {
            return Ok(of_another_projector());
        }
        let entries = affinity.layouts().into_iter().flat_map(|layout| layout.entries());
        let named =
            entries.map(|entry| (format!("{AFFINITY}.{}", entry.name), entry.shape.clone()));
        let named: Vec<_> = named.collect();
        for (name, shape) in &named {
            let mismatch = match self.file.tensors().get(name) {
                Some(info) if info.shape == *shape => continue,
                Some(info) => {
                    let (found, expected) = (info.shape.clone(), shape.clone());
                    Mismatch::Shape { name: name.clone(), found, expected }
                }
                None => Mismatch::Missing(name.clone()),
            };
            return Ok(misfit(format!("is of other affinity.width or affinity.depth: {mismatch}")));
        }
        let tensors = named.len();
        for (name, shape) in named {
            let tensor = TensorData::new(self.numbers(&name)?, shape);
            self.state.insert(name, tensor);
        }
        Ok(Fit::Taken { tensors, missing: 0 })
    }
}
