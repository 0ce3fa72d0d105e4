//! Programs on the processor.

use std::sync::Arc;

use cpu_executor::{Engine, Executable, Tensor};
use graph::Program;

use crate::{Error, Result, engine};

/// The processor's kernels, with the buffers that outlive a program's run.
#[derive(Debug)]
pub struct Cpu {
    engine: Arc<Engine>,
}

pub(super) type CpuArray = Arc<Tensor>;

#[derive(Debug)]
pub(super) struct CpuProgram(Executable);

impl Cpu {
    /// With the process's own engine.
    pub fn shared() -> Self {
        Self { engine: engine::shared() }
    }

    pub(super) fn compile(&self, program: &Program) -> Result<CpuProgram> {
        let executable = Executable::new(program, Arc::clone(&self.engine));
        executable.map(CpuProgram).map_err(|error| Error::Device(error.to_string()))
    }
}

impl CpuProgram {
    pub(super) fn run(&self, inputs: Vec<CpuArray>) -> Result<Vec<CpuArray>> {
        self.0.run(inputs).map_err(|error| Error::Device(error.to_string()))
    }
}

pub(super) fn f32(values: Vec<f32>, shape: &[usize]) -> CpuArray {
    Arc::new(Tensor::f32(shape, values))
}

pub(super) fn s32(values: Vec<i32>) -> CpuArray {
    Arc::new(Tensor::s32([values.len()], values))
}

pub(super) fn read(array: &CpuArray) -> Vec<f32> {
    array.as_f32().expect("an array of f32 is read").to_vec()
}
