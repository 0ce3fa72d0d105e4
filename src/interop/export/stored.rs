//! Tensors as files hold them, in PyTorch's order.

use super::dtype::Dtype;
use super::format::Parts;
use super::source::Export;
use crate::model::params::{State, TensorData};
use crate::{Error, Result};

/// The last tensor of a batch norm with running statistics, behind which PyTorch has its counter.
const LAST_OF_NORM: &str = ".running_var";

/// A tensor as a file holds it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) kind: Kind,
    /// Little-endian.
    pub(super) bytes: Vec<u8>,
}

/// What a tensor's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Weights and statistics.
    Number(Dtype),
    /// How many batches a batch norm has seen. PyTorch's have it and do not use it; here it is 0.
    Counter,
}

impl Export {
    /// The tensors of the backbone by torchvision's names and in its order, counters of batches included;
    /// with heads behind them projector, predictor and f_d.
    ///
    /// # Errors
    /// [`Error::Data`] where there are no heads, or a number does not fit the type.
    pub(super) fn stored(&self, parts: Parts) -> Result<Vec<Stored>> {
        let mut stored = self.stored_of(self.backbone(), self.names(), parts.dtype)?;
        if parts.heads {
            let heads = self.heads()?;
            stored.extend(self.stored_of(heads, heads.keys().cloned().collect(), parts.dtype)?);
        }
        Ok(stored)
    }

    /// The names of the backbone's tensors in torchvision's order, without counters.
    fn names(&self) -> Vec<String> {
        let (_, declaration) = self.network();
        let mut names = Vec::new();
        for entry in declaration.trained.entries() {
            names.push(entry.name.clone());
            // Convolutions have no bias, so it is a batch norm's.
            if let Some(norm) = entry.name.strip_suffix(".bias") {
                names.extend(["running_mean", "running_var"].map(|part| format!("{norm}.{part}")));
            }
        }
        names
    }

    fn stored_of(&self, state: &State, names: Vec<String>, dtype: Dtype) -> Result<Vec<Stored>> {
        let mut stored = Vec::new();
        for name in names {
            let counter = name.strip_suffix(LAST_OF_NORM).map(counter);
            stored.push(self.number(&name, &state[&name], dtype)?);
            stored.extend(counter);
        }
        Ok(stored)
    }

    /// The tensor `name` as it is stored.
    ///
    /// # Errors
    /// [`Error::Data`] naming the file and the tensor where a number does not fit the type.
    pub(super) fn number(&self, name: &str, tensor: &TensorData, dtype: Dtype) -> Result<Stored> {
        let mut bytes = Vec::with_capacity(4 * tensor.values.len());
        dtype.store(&tensor.values, &mut bytes).map_err(|number| {
            let wider = if dtype == Dtype::F16 { "bf16 or f32" } else { "f32" };
            let problem =
                format!("`{name}` holds {number}, which is no finite {dtype}; take {wider}");
            Error::data(self.file(), problem)
        })?;
        let (name, shape) = (name.to_owned(), tensor.shape.clone());
        Ok(Stored { name, shape, kind: Kind::Number(dtype), bytes })
    }
}

/// The counter of the batch norm `norm`.
fn counter(norm: &str) -> Stored {
    let name = format!("{norm}.num_batches_tracked");
    Stored { name, shape: vec![], kind: Kind::Counter, bytes: 0_i64.to_le_bytes().to_vec() }
}
