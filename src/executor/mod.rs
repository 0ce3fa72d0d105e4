//! Where programs run: on the CPU by the project's own kernels, or through XLA on whatever a PJRT plugin
//! drives. One seam: a [`Device`] compiles a [`Program`], and [`Compiled::run`] takes arrays to arrays.

mod advice;
mod cpu;
mod name;
mod open;
mod xla;

use std::sync::Arc;

use graph::Program;

pub use self::advice::{Advice, BatchMemory};
pub use self::cpu::Cpu;
pub use self::name::{Accelerator, DeviceName};
pub use self::open::{OpenOptions, needed_environment, plugins_folder, surroundings};
pub use self::xla::{Xla, XlaOptions};
use crate::Result;
use crate::model::params::TensorData;

/// A device, or several of one kind that share their work.
#[derive(Clone, Debug)]
pub enum Device {
    /// The processor, by the project's own kernels.
    Cpu(Arc<Cpu>),
    /// What a PJRT plugin drives.
    Xla(Arc<Xla>),
}

/// An array on a device. Clones share it; a program may write over what nobody else holds.
#[derive(Clone, Debug)]
pub struct Array(Place);

#[derive(Clone, Debug)]
enum Place {
    Cpu(cpu::CpuArray),
    Xla(xla::XlaArray),
}

/// A program that is ready to run.
#[derive(Debug)]
pub struct Compiled(Ready);

#[derive(Debug)]
enum Ready {
    Cpu(cpu::CpuProgram),
    Xla(xla::XlaProgram),
}

impl Device {
    /// The processor, with the instructions that [`crate::instructions`] chose.
    pub fn cpu() -> Self {
        Self::Cpu(Arc::new(Cpu::shared()))
    }

    /// How many devices share a batch.
    pub fn replicas(&self) -> usize {
        match self {
            Self::Cpu(_) => 1,
            Self::Xla(xla) => xla.replicas(),
        }
    }

    /// Makes a program ready to run.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the device cannot run it.
    pub fn compile(&self, program: &Program) -> Result<Compiled> {
        Ok(Compiled(match self {
            Self::Cpu(cpu) => Ready::Cpu(cpu.compile(program)?),
            Self::Xla(xla) => Ready::Xla(xla.compile(program)?),
        }))
    }

    /// The same numbers on every device.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where they find no place.
    ///
    /// # Panics
    /// If there are more or fewer than `shape` says.
    pub fn f32(&self, values: Vec<f32>, shape: &[usize]) -> Result<Array> {
        Ok(Array(match self {
            Self::Cpu(_) => Place::Cpu(cpu::f32(values, shape)),
            Self::Xla(xla) => Place::Xla(xla.f32(values, shape)?),
        }))
    }

    /// The same integers on every device, on one axis.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where they find no place.
    pub fn s32(&self, values: Vec<i32>) -> Result<Array> {
        Ok(Array(match self {
            Self::Cpu(_) => Place::Cpu(cpu::s32(values)),
            Self::Xla(xla) => Place::Xla(xla.s32(values)?),
        }))
    }

    /// Numbers of each device's own, as many tensors of one shape as there are devices.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where they find no place.
    ///
    /// # Panics
    /// If there are more or fewer than devices.
    pub fn shards(&self, mut shards: Vec<TensorData>) -> Result<Array> {
        assert_eq!(shards.len(), self.replicas(), "one tensor for each device");
        match self {
            Self::Cpu(_) => {
                let TensorData { values, shape } = shards.remove(0);
                self.f32(values, &shape)
            }
            Self::Xla(xla) => Ok(Array(Place::Xla(xla.shards(shards)?))),
        }
    }
}

impl Array {
    fn on_cpu(self) -> cpu::CpuArray {
        match self.0 {
            Place::Cpu(array) => array,
            Place::Xla(_) => panic!("an array of another device"),
        }
    }

    fn on_xla(self) -> xla::XlaArray {
        match self.0 {
            Place::Xla(array) => array,
            Place::Cpu(_) => panic!("an array of another device"),
        }
    }

    /// Its numbers, on the first device; waits for them.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where a program that makes them failed.
    ///
    /// # Panics
    /// If it is no array of f32.
    pub fn read(&self) -> Result<Vec<f32>> {
        match &self.0 {
            Place::Cpu(array) => Ok(cpu::read(array)),
            Place::Xla(array) => xla::read(array),
        }
    }
}

impl Compiled {
    /// Runs the program. Arrays that it takes over are given up, unless a clone is held. On devices that
    /// run beside the processor this returns at once, and [`Array::read`] waits.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where it does not start.
    ///
    /// # Panics
    /// If an array is another device's.
    pub fn run(&self, inputs: Vec<Array>) -> Result<Vec<Array>> {
        let inputs = inputs.into_iter();
        let outputs: Vec<Place> = match &self.0 {
            Ready::Cpu(program) => {
                let outputs = program.run(inputs.map(Array::on_cpu).collect())?;
                outputs.into_iter().map(Place::Cpu).collect()
            }
            Ready::Xla(program) => {
                let outputs = program.run(inputs.map(Array::on_xla).collect())?;
                outputs.into_iter().map(Place::Xla).collect()
            }
        };
        Ok(outputs.into_iter().map(Array).collect())
    }
}
