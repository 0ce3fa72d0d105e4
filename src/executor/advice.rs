//! What goes wrong on a device, with the next step.

use std::env::consts::OS;
use std::path::Path;

use graph::{Input, Program, Type};
use plugins::Kind;
use xla::MemoryUse;

use super::open::surroundings;
use crate::Error;

/// Where the devices are listed.
const LIST: &str = "`logo-ssl devices` lists what is here";

/// Why the plugin at `path`, or a device of it, could not be opened.
pub(super) fn opening(path: &Path, error: &xla::Error) -> Error {
    let kind = Kind::of_file(path);
    let step = match error {
        xla::Error::Missing { .. } => {
            format!("Correct --device, compute.device or LOGO_SSL_PJRT_PLUGIN; {LIST}")
        }
        xla::Error::NotAPlugin { .. } => {
            format!("Name the shared library of a PJRT plugin; {LIST}")
        }
        xla::Error::MissingLibrary { .. } | xla::Error::Version { .. } => another_plugin(kind),
        xla::Error::NoSuchDevice { present: 1.., .. } => {
            format!("Choose by --device, as in cuda:0; {LIST}")
        }
        xla::Error::OutOfMemory { .. } => {
            "End what else uses the device, or choose another by --device".to_owned()
        }
        _ => what_is_missing(kind)
            .unwrap_or_else(|| format!("{LIST}; --device cpu computes on the processor")),
    };
    Error::Device(format!("{}. {step}", brief(error)))
}

/// Where a plugin comes from that suits this program.
fn another_plugin(kind: Kind) -> String {
    match kind {
        Kind::Cuda | Kind::Rocm | Kind::Cpu => {
            format!("`logo-ssl devices fetch {kind}` gets a plugin that suits, with its libraries")
        }
        Kind::Tpu | Kind::Other => LIST.to_owned(),
    }
}

fn what_is_missing(kind: Kind) -> Option<String> {
    let missing = surroundings().ok()?.missing(kind, OS)?;
    Some(missing.trim_end_matches('.').to_owned())
}

/// Why a device could not do what it was asked to; `need` is that of the program.
pub(super) fn running(error: &xla::Error, need: Option<&Need>) -> Error {
    let step = match error {
        xla::Error::OutOfMemory { .. } => need.map_or_else(no_place, Need::advice),
        xla::Error::DeviceLost { .. } => {
            "A run goes on from its last checkpoint by --resume".to_owned()
        }
        _ => "--device cpu computes the same on the processor".to_owned(),
    };
    Error::Device(format!("{}. {step}", brief(error)))
}

fn no_place() -> String {
    "End what else uses the device, choose another by --device, or lower the batch".to_owned()
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

    fn advice(&self) -> String {
        let Some(batch) = self.batch else { return no_place() };
        let needed = self.growing.map(|growing| gib(self.fixed + growing));
        let sizes = match (needed, self.limit.map(gib)) {
            (Some(needed), Some(limit)) => {
                format!("A batch of {batch} needs about {needed}, and the device has {limit}. ")
            }
            _ => String::new(),
        };
        match self.largest_batch() {
            Some(0) => format!(
                "{sizes}By an estimate not even the smallest batch fits: lower model.width, or compute.precision to bf16"
            ),
            Some(largest) => format!(
                "{sizes}The largest batch that fits is about {largest}, by an estimate: say --batch-size {largest}, and \
                 keep the images an update by optimizer.accumulate"
            ),
            None => format!(
                "How much fits is not known here: try --batch-size {}, and keep the images an update by \
                 optimizer.accumulate",
                (batch / 2 / self.replicas * self.replicas).max(self.replicas)
            ),
        }
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
        assert!(fits.contains("--batch-size 150") && fits.contains("estimate"), "{fits}");
        assert!(!fits.contains("table"), "{fits}");
        let unknown = told(Some(Need { limit: None, ..NEED }));
        assert!(unknown.contains("try --batch-size 128"), "{unknown}");
        let none = told(Some(Need { limit: Some(1), ..NEED }));
        assert!(none.contains("not even the smallest"), "{none}");
        for no_training in [None, Some(Need { batch: None, ..NEED })] {
            assert!(told(no_training).contains("End what else uses the device"));
        }
    }
}
