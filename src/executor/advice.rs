//! What goes wrong on a device, with the next step.

use std::env::consts::OS;
use std::fmt::{self, Display, Formatter};
use std::path::Path;

use graph::{Input, Program, Type};
use plugins::{Kind, NextStep};
use xla::MemoryUse;

use super::open::surroundings;
use crate::Error;

/// What to do about a device that could not do what it was asked to. Its text names settings; a program
/// can word it by its own flags.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// There is nothing at the path of the plugin.
    CorrectPath,
    /// What is at the path is no plugin.
    NamePlugin,
    /// The plugin does not suit: another one of this kind is needed, with its libraries.
    AnotherPlugin(Kind),
    /// The plugin has other devices than the one that was named.
    ChooseIndex,
    /// The memory ran out before there was any batch.
    FreeMemory,
    /// The memory ran out, and it is not known what a batch needs.
    FreeMemoryOrLowerBatch,
    /// The memory ran out under a batch.
    LowerBatch(BatchMemory),
    /// The device was lost; the run goes on from its last checkpoint.
    Resume,
    /// The processor computes the same.
    UseCpu,
    /// The plugin does not open, and what is missing is not known.
    ListOrUseCpu,
    /// This machine lacks something, and this provides it.
    Machine(NextStep),
}

/// How much of a device's memory a batch takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchMemory {
    /// Images of the batch that did not fit, on all devices together.
    pub batch: usize,
    /// What each device needs for it, and what it has, in bytes; where both are known.
    pub needed_and_present: Option<[u64; 2]>,
    /// The largest batch that fits by an estimate, where there is one; 0 where none fits.
    pub fits: Option<usize>,
    /// The batch to try where there is no estimate.
    pub half: usize,
}

impl BatchMemory {
    /// What to do, where the size of a batch is set by `setting` with the number behind it.
    pub fn advice(&self, setting: &str) -> String {
        let sizes = match self.needed_and_present.map(|each| each.map(gib)) {
            Some([needed, present]) => {
                format!(
                    "A batch of {} needs about {needed}, and the device has {present}. ",
                    self.batch
                )
            }
            None => String::new(),
        };
        match self.fits {
            Some(0) => format!(
                "{sizes}By an estimate not even the smallest batch fits: lower model.width, or compute.precision to bf16"
            ),
            Some(largest) => format!(
                "{sizes}The largest batch that fits is about {largest}, by an estimate: say {setting}{largest}, and \
                 keep the images an update by optimizer.accumulate"
            ),
            None => format!(
                "How much fits is not known here: try {setting}{}, and keep the images an update by \
                 optimizer.accumulate",
                self.half
            ),
        }
    }
}

impl Display for Advice {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::CorrectPath => "Correct compute.device or LOGO_SSL_PJRT_PLUGIN",
            Self::NamePlugin => "Name the shared library of a PJRT plugin",
            Self::AnotherPlugin(kind) => {
                return write!(f, "Another {kind} plugin, with its libraries, is needed");
            }
            Self::ChooseIndex => "Choose one by its index in compute.device, as in cuda:0",
            Self::FreeMemory => {
                "End what else uses the device, or choose another as compute.device"
            }
            Self::FreeMemoryOrLowerBatch => {
                "End what else uses the device, choose another as compute.device, or lower the batch"
            }
            Self::LowerBatch(memory) => {
                return f.write_str(&memory.advice("optimizer.batch_size = "));
            }
            Self::Resume => "The run can be resumed from its last checkpoint",
            Self::UseCpu | Self::ListOrUseCpu => {
                "compute.device = \"cpu\" computes the same on the processor"
            }
            Self::Machine(step) => return f.write_str(step.to_string().trim_end_matches('.')),
        };
        f.write_str(text)
    }
}

/// Why the plugin at `path`, or a device of it, could not be opened.
pub(super) fn opening(path: &Path, error: &xla::Error) -> Error {
    let kind = Kind::of_file(path);
    let advice = match error {
        xla::Error::Missing { .. } => Advice::CorrectPath,
        xla::Error::NotAPlugin { .. } => Advice::NamePlugin,
        xla::Error::MissingLibrary { .. } | xla::Error::Version { .. } => {
            Advice::AnotherPlugin(kind)
        }
        xla::Error::NoSuchDevice { present: 1.., .. } => Advice::ChooseIndex,
        xla::Error::OutOfMemory { .. } => Advice::FreeMemory,
        _ => what_is_missing(kind).map_or(Advice::ListOrUseCpu, Advice::Machine),
    };
    Error::Device { problem: brief(error), advice: Some(advice) }
}

fn what_is_missing(kind: Kind) -> Option<NextStep> {
    surroundings().ok()?.next_step(kind, OS)
}

/// Why a device could not do what it was asked to; `need` is that of the program.
pub(super) fn running(error: &xla::Error, need: Option<&Need>) -> Error {
    let advice = match error {
        xla::Error::OutOfMemory { .. } => {
            need.and_then(Need::of_batch).map_or(Advice::FreeMemoryOrLowerBatch, Advice::LowerBatch)
        }
        xla::Error::DeviceLost { .. } => Advice::Resume,
        _ => Advice::UseCpu,
    };
    Error::Device { problem: brief(error), advice: Some(advice) }
}

/// A plugin's message without the tables that may follow its first line.
fn brief(error: &xla::Error) -> String {
    let text = error.to_string();
    tracing::debug!("{text}");
    text.lines().next().unwrap_or_default().trim_end_matches(['.', ':', ' ']).to_owned()
}

/// What a program needs of the memory of each of its devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// Images of a batch, on all devices together, where it is known: of programs that train alone.
    batch: Option<usize>,
    /// The devices that share a batch.
    replicas: usize,
    /// What weights and optimisers take, whatever the batch.
    fixed: u64,
    /// What grows with the batch, where the program was compiled.
    growing: Option<u64>,
    /// What the device has, where it says so.
    limit: Option<u64>,
}

impl Need {
    /// Of a program that is not compiled yet, by its inputs: what it gives back changed is no batch.
    pub(super) fn of(
        program: &Program,
        replicas: usize,
        batch: Option<usize>,
        limit: Option<u64>,
    ) -> Self {
        let state = || program.inputs().iter().filter(|input| input.becomes.is_some());
        Self {
            batch: batch.filter(|_| state().next().is_some()),
            replicas,
            fixed: state().map(|input: &Input| bytes(&input.ty)).sum(),
            growing: None,
            limit,
        }
    }

    /// The same now that it is compiled.
    pub(super) fn compiled(self, memory: Option<MemoryUse>) -> Self {
        let growing = |memory: MemoryUse| {
            let outputs = memory.outputs.saturating_sub(memory.aliased);
            (memory.arguments + outputs + memory.temporary).saturating_sub(self.fixed)
        };
        let fixed = self.fixed + memory.map_or(0, |memory| memory.code);
        Self { fixed, growing: memory.map(growing), ..self }
    }

    /// The largest batch that fits, as far as what grows with it grows in proportion; none where
    /// something is unknown, 0 where not one image of each device fits.
    fn largest_batch(&self) -> Option<usize> {
        let (batch, growing, limit) = (self.batch?, self.growing.filter(|&n| n > 0)?, self.limit?);
        let free = limit.saturating_sub(self.fixed);
        let images = (u128::from(free) * batch as u128 / u128::from(growing)) as usize;
        // It did not fit, whatever the estimate says: the memory may be in pieces, or another's.
        let below = images.min(batch.saturating_sub(1));
        Some(below / self.replicas * self.replicas)
    }

    /// What it means for the batch, where that is known.
    fn of_batch(&self) -> Option<BatchMemory> {
        let batch = self.batch?;
        let needed = self.growing.map(|growing| self.fixed + growing);
        Some(BatchMemory {
            batch,
            needed_and_present: needed.zip(self.limit).map(|(needed, limit)| [needed, limit]),
            fits: self.largest_batch(),
            half: (batch / 2 / self.replicas * self.replicas).max(self.replicas),
        })
    }
}

fn bytes(ty: &Type) -> u64 {
    (ty.element.bytes() * ty.shape.iter().product::<usize>()) as u64
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEED: Need =
        Need { batch: Some(256), replicas: 1, fixed: 100, growing: Some(512), limit: Some(400) };

    #[test]
    fn the_largest_batch_is_what_the_memory_left_by_the_weights_holds() {
        let largest = |need: Need| need.largest_batch();
        assert_eq!(largest(NEED), Some(150));
        assert_eq!(largest(Need { replicas: 4, ..NEED }), Some(148), "each device takes as many");
        assert_eq!(largest(Need { limit: Some(99), ..NEED }), Some(0));
        assert_eq!(largest(Need { limit: Some(101), ..NEED }), Some(0), "half an image");
        let ample = Need { limit: Some(u64::MAX), ..NEED };
        assert_eq!(largest(ample), Some(255), "less than what did not fit");
        assert_eq!(largest(Need { replicas: 2, ..ample }), Some(254));
        for unknown in [
            Need { batch: None, ..NEED },
            Need { growing: None, ..NEED },
            Need { growing: Some(0), ..NEED },
            Need { limit: None, ..NEED },
        ] {
            assert_eq!(largest(unknown), None);
        }
    }

    #[test]
    fn what_grows_is_all_but_the_state_and_the_program() {
        let memory =
            MemoryUse { arguments: 140, outputs: 110, aliased: 100, temporary: 500, code: 7 };
        let need = Need { growing: None, ..NEED }.compiled(Some(memory));
        assert_eq!((need.fixed, need.growing), (107, Some(550)));
        assert_eq!(Need { growing: None, ..NEED }.compiled(None).growing, None);
    }

    #[test]
    fn memory_that_ran_out_is_told_with_the_batch_that_fits() {
        let message = "Out of memory allocating 9 bytes.\nallocator: a long table".to_owned();
        let error = xla::Error::OutOfMemory { message };
        let told = |need: Option<Need>| running(&error, need.as_ref()).to_string();
        let fits = told(Some(NEED));
        assert!(fits.contains("optimizer.batch_size = 150") && fits.contains("estimate"), "{fits}");
        assert!(!fits.contains("table"), "{fits}");
        let unknown = told(Some(Need { limit: None, ..NEED }));
        assert!(unknown.contains("try optimizer.batch_size = 128"), "{unknown}");
        let none = told(Some(Need { limit: Some(1), ..NEED }));
        assert!(none.contains("not even the smallest"), "{none}");
        for no_training in [None, Some(Need { batch: None, ..NEED })] {
            assert!(told(no_training).contains("End what else uses the device"));
        }
    }
}
