//! A program that has been planned, and its runs.

use std::sync::{Arc, Mutex, PoisonError};

use graph::{Program, Type};

use crate::buffers::Held;
use crate::memory::Buffer;
use crate::plan::{Origin, Plan, plan};
use crate::tensor::{Data, Tensor};
use crate::{Engine, step};

/// What this executor cannot do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} on the CPU: {problem}")]
pub struct Unsupported {
    /// The operation's name.
    pub operation: &'static str,
    /// Why not.
    pub problem: String,
}

/// What is wrong with the inputs of a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// There are too many or too few.
    #[error("the program takes {expected} inputs, not {found}")]
    Count {
        /// How many it takes.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// One is of another type.
    #[error("input `{name}` is {expected}, not {found}")]
    Type {
        /// What the input is called.
        name: String,
        /// What the program takes.
        expected: Type,
        /// What there is.
        found: Type,
    },
}

/// A program, ready to run any number of times.
///
/// What a run has used the next one uses again; runs at the same time have memory of their own. Results
/// are the same bytes for any number of threads.
#[derive(Debug)]
pub struct Executable {
    program: Program,
    plan: Plan,
    engine: Arc<Engine>,
    idle: Mutex<Vec<Vec<Data>>>,
    /// Memory of inputs that were given up and not written over: for outputs of their size.
    spare: Mutex<Vec<Data>>,
}

impl Executable {
    /// Plans `program` once.
    ///
    /// # Errors
    /// [`Unsupported`] for what takes several replicas, and for residual networks that the kernels have no
    /// shapes for.
    pub fn new(program: &Program, engine: Arc<Engine>) -> Result<Self, Unsupported> {
        let (idle, spare) = Default::default();
        Ok(Self { program: program.clone(), plan: plan(program)?, engine, idle, spare })
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Bytes that a run takes beside its inputs: buffers between steps, and the outputs that are written
    /// over no input. The activations of residual networks, which the engine keeps, are not among them.
    pub fn bytes(&self) -> usize {
        self.plan.memory.bytes()
    }

    /// The program's outputs of these inputs.
    ///
    /// An input that becomes an output, and that nobody else holds, is written in place.
    ///
    /// # Errors
    /// [`RunError`], naming the first input that is not what the program takes.
    pub fn run(&self, inputs: Vec<Arc<Tensor>>) -> Result<Vec<Arc<Tensor>>, RunError> {
        self.check(&inputs)?;
        // From any thread but the pool's own, each of some hundred parallel sections would put that thread to
        // sleep and wake it again.
        Ok(rayon::scope(|_| self.checked(inputs)))
    }

    fn check(&self, inputs: &[Arc<Tensor>]) -> Result<(), RunError> {
        let (expected, found) = (self.program.inputs().len(), inputs.len());
        if expected != found {
            return Err(RunError::Count { expected, found });
        }
        for (input, tensor) in self.program.inputs().iter().zip(inputs) {
            if input.ty != *tensor.ty() {
                return Err(RunError::Type {
                    name: input.name.clone(),
                    expected: input.ty.clone(),
                    found: tensor.ty().clone(),
                });
            }
        }
        Ok(())
    }

    fn checked(&self, inputs: Vec<Arc<Tensor>>) -> Vec<Arc<Tensor>> {
        let mut inputs: Vec<Option<Arc<Tensor>>> = inputs.into_iter().map(Some).collect();
        let mut buffers = self.buffers(&mut inputs);
        let mut tapes = (0..self.plan.tapes).map(|_| None).collect::<Vec<_>>();
        for step in &self.plan.steps {
            step::run(step, &self.engine, &mut buffers, &mut tapes);
        }
        let outputs = self.outputs(&mut buffers);
        self.keep(buffers);
        outputs
    }

    /// The buffers of a run, inputs among them. Those that the program does not read are let go.
    fn buffers(&self, inputs: &mut [Option<Arc<Tensor>>]) -> Vec<Held> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut idle = idle.unwrap_or_default().into_iter();
        let buffers = self.plan.memory.buffers.iter().map(|buffer| match *buffer {
            Buffer::Input { input, written, .. } => {
                let tensor = inputs[input].take().expect("an input is one buffer");
                match written {
                    true => Held::Own(Arc::unwrap_or_clone(tensor).into_data()),
                    false => Held::Shared(tensor),
                }
            }
            Buffer::Output { element, len } => Held::Own(self.fresh(element, len)),
            Buffer::Kept { element, len } => {
                Held::Own(idle.next().unwrap_or_else(|| Data::zeros(element, len)))
            }
        });
        buffers.collect()
    }

    /// Memory for an output.
    fn fresh(&self, element: graph::Element, len: usize) -> Data {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |data: &Data| (data.element(), data.len()) == (element, len);
        match spare.iter().position(fits) {
            Some(at) => spare.swap_remove(at),
            None => Data::zeros(element, len),
        }
    }

    fn outputs(&self, buffers: &mut [Held]) -> Vec<Arc<Tensor>> {
        let of_type = |at: usize| self.program.output_type(at).clone();
        // Parts are copied before their buffers are given away.
        let copied = self.plan.outputs.iter().enumerate().map(|(at, origin)| match *origin {
            Origin::Buffer(_) => None,
            Origin::Part(region) => {
                let range = region.offset..region.offset + region.len;
                let data = buffers[region.buffer].data().copy(range);
                Some(Arc::new(Tensor::of(of_type(at), data)))
            }
            Origin::Input(buffer) => Some(self.unchanged(&buffers[buffer], of_type(at))),
        });
        let copied: Vec<Option<Arc<Tensor>>> = copied.collect();
        let origins = self.plan.outputs.iter().zip(copied).enumerate();
        let outputs = origins.map(|(at, (origin, copied))| match (origin, copied) {
            (_, Some(tensor)) => tensor,
            (Origin::Buffer(buffer), None) => match std::mem::take(&mut buffers[*buffer]) {
                Held::Own(data) => Arc::new(Tensor::of(of_type(at), data)),
                Held::Shared(tensor) => tensor,
            },
            (other, None) => unreachable!("{other:?} is copied"),
        });
        outputs.collect()
    }

    /// An input that is an output: itself, unless it is on other axes.
    fn unchanged(&self, input: &Held, ty: Type) -> Arc<Tensor> {
        match input {
            Held::Shared(tensor) if *tensor.ty() == ty => Arc::clone(tensor),
            other => Arc::new(Tensor::of(ty, other.data().clone())),
        }
    }

    /// Keeps what the next run can use.
    fn keep(&self, buffers: Vec<Held>) {
        let mut kept = vec![];
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.clear();
        for (held, buffer) in buffers.into_iter().zip(&self.plan.memory.buffers) {
            match (held, buffer) {
                (Held::Own(data), Buffer::Kept { .. }) => kept.push(data),
                (Held::Shared(tensor), Buffer::Input { input, .. })
                    if self.program.inputs()[*input].becomes.is_some() =>
                {
                    spare.extend(Arc::into_inner(tensor).map(Tensor::into_data));
                }
                _ => {}
            }
        }
        drop(spare);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
    }
}
