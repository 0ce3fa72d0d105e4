//! Programs on the processor.

use std::sync::{Arc, OnceLock};

use cpu_executor::{Engine, Executable, Levels, Tensor};
use graph::Program;

use crate::{Error, Result, instructions};

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
        Self { engine: shared() }
    }

    pub(super) fn compile(&self, program: &Program) -> Result<CpuProgram> {
        let executable = Executable::new(program, Arc::clone(&self.engine));
        executable.map(CpuProgram).map_err(|error| Error::device(error.to_string()))
    }
}

/// The buffers and tables that all programs of this process share.
fn shared() -> Arc<Engine> {
    static SHARED: OnceLock<Arc<Engine>> = OnceLock::new();
    let engine = || {
        let levels =
            Levels { f32: instructions::level(), bf16: instructions::bf16_level().level() };
        Arc::new(Engine::new(levels))
    };
    Arc::clone(SHARED.get_or_init(engine))
}

impl CpuProgram {
    pub(super) fn run(&self, inputs: Vec<CpuArray>) -> Result<Vec<CpuArray>> {
        self.0.run(inputs).map_err(|error| Error::device(error.to_string()))
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
