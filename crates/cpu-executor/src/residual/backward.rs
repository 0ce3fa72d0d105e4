//! From the features' gradient to the parameters'.

use cpu_kernels::{
    BackwardEpilogue, Buffer, Element, Gate, GradientOf, GradientSums, Input, InputGradient,
    OutputGradient, average_backward,
};

use super::forward::{BlockTape, Images, PoolTape, StemTape, Tape, UnitTape};
use graph::{BlockPlan, Plan, UnitPlan};

use crate::Engine;

/// One pass back.
pub(super) struct Backward<'a, E: Element> {
    pub engine: &'a Engine,
    pub plan: &'a Plan,
    pub parameters: &'a [f32],
    /// Given up as the pass goes back over it.
    pub tape: Tape<E>,
    pub images: Images<'a>,
}

/// A gradient behind the batch norms of one or two units, with the sums those need.
struct Arrived<E: Element> {
    g: Buffer<E>,
    sums: GradientSums,
}

impl<E: Element> Backward<'_, E> {
    /// Writes the gradients of all parameters, given that of the features `[batch, channels]`.
    pub(super) fn run(mut self, features: &[f32], gradients: &mut [f32]) {
        let last = self.before(self.tape.blocks.len());
        let mut g = self.engine.workspace().take(last.out.len());
        let sums = average_backward(
            self.engine.level::<E>(),
            features,
            self.plan.features(),
            last.backward_epilogue(None),
            &mut g,
            self.engine.workspace(),
        );
        let mut arrived = Arrived { g, sums };
        for plan in self.plan.blocks.iter().rev() {
            let tape = self.tape.blocks.pop().expect("one for each block of the plan");
            arrived = self.block(plan, tape, &arrived, gradients);
        }
        let arrived = self.max_pool(arrived);
        let stem = &self.tape.stem.unit;
        let through = self.through(&self.plan.stem, stem, &arrived.sums, 0, gradients);
        let gradient = OutputGradient { g: &arrived.g, y: &stem.y, through: &through };
        let input = Input::Images(self.images.data);
        self.convolution(&self.plan.stem, stem, input, gradient, None, gradients);
    }

    /// What stands before block `at`: the block or the stem whose output it reads.
    fn before(&self, at: usize) -> Source<'_, E> {
        match at.checked_sub(1).map(|at| &self.tape.blocks[at]) {
            Some(BlockTape { main, shortcut, out }) => {
                Source { out, units: [main.last(), shortcut.as_ref()] }
            }
            None => {
                let StemTape { unit, pool, out } = &self.tape.stem;
                // Behind a max-pool, the sums for the stem's batch norm are taken past the pool.
                Source { out, units: [Some(unit).filter(|_| pool.is_none()), None] }
            }
        }
    }

    /// From the gradient of the max-pool's output to that behind the stem's batch norm; the same
    /// where there is no max-pool.
    fn max_pool(&self, arrived: Arrived<E>) -> Arrived<E> {
        let StemTape { unit, pool, .. } = &self.tape.stem;
        let Some(PoolTape { shape, winners }) = pool else {
            return arrived;
        };
        let (level, workspace) = (self.engine.level::<E>(), self.engine.workspace());
        let gate = Gate::Input(&unit.y, &unit.norm);
        let norms = [Some((&unit.y[..], &unit.norm)), None];
        let epilogue = BackwardEpilogue { residual: None, gate, norms };
        let mut g = workspace.take(unit.y.len());
        let sums = shape.backward(level, &arrived.g, winners, epilogue, &mut g, workspace);
        Arrived { g, sums }
    }

    /// From the gradient behind a block's last batch norm to that behind the previous one's.
    ///
    /// Activations are given up as soon as nothing before them needs them: the gradients to come find
    /// their memory there.
    fn block(
        &self,
        plan: &BlockPlan,
        tape: BlockTape<E>,
        arrived: &Arrived<E>,
        gradients: &mut [f32],
    ) -> Arrived<E> {
        let BlockTape { mut main, shortcut, out } = tape;
        drop(out);
        let before = self.before(self.tape.blocks.len());
        let past_shortcut = self.shortcut(plan, shortcut, &before, arrived, gradients);
        let residual = past_shortcut.as_ref().unwrap_or(&arrived.g);
        let mut inner: Option<Arrived<E>> = None;
        for unit in plan.main.iter().rev() {
            let taped = main.pop().expect("one for each unit of the plan");
            let behind = inner.as_ref().unwrap_or(arrived);
            let through = self.through(unit, &taped, &behind.sums, 0, gradients);
            let gradient = OutputGradient { g: &behind.g, y: &taped.y, through: &through };
            let (input, epilogue) = match main.last() {
                Some(UnitTape { y, norm, .. }) => {
                    let gate = Gate::Input(y, norm);
                    let norms = [Some((&y[..], norm)), None];
                    (Input::Normalised(y, norm), BackwardEpilogue { residual: None, gate, norms })
                }
                None => (Input::Plain(&before.out[..]), before.backward_epilogue(Some(residual))),
            };
            inner = self.convolution(unit, &taped, input, gradient, Some(epilogue), gradients);
        }
        inner.expect("a block has at least one convolution")
    }

    /// The gradient of a block's input past its shortcut's convolution, where it has one.
    fn shortcut(
        &self,
        plan: &BlockPlan,
        tape: Option<UnitTape<E>>,
        before: &Source<'_, E>,
        arrived: &Arrived<E>,
        gradients: &mut [f32],
    ) -> Option<Buffer<E>> {
        let (unit, taped) = (plan.shortcut.as_ref()?, tape?);
        let through = self.through(unit, &taped, &arrived.sums, 1, gradients);
        let gradient = OutputGradient { g: &arrived.g, y: &taped.y, through: &through };
        let epilogue = BackwardEpilogue { residual: None, gate: Gate::Open, norms: [None, None] };
        let input = Input::Plain(&before.out[..]);
        let past = self.convolution(unit, &taped, input, gradient, Some(epilogue), gradients);
        past.map(|past| past.g)
    }

    /// Batch norm's way back, its own gradients taken down.
    fn through(
        &self,
        plan: &UnitPlan,
        tape: &UnitTape<E>,
        sums: &GradientSums,
        which: usize,
        gradients: &mut [f32],
    ) -> GradientOf {
        let found = tape.norm.gradient(sums, which, plan.channels[1]);
        gradients[plan.gamma()].copy_from_slice(&found.gamma);
        gradients[plan.beta()].copy_from_slice(&found.beta);
        found.through
    }

    /// A convolution's way back, its weights' gradient taken down; with `epilogue`, that of its input.
    fn convolution(
        &self,
        plan: &UnitPlan,
        tape: &UnitTape<E>,
        input: Input<'_, E>,
        gradient: OutputGradient<'_, E>,
        epilogue: Option<BackwardEpilogue<'_, E>>,
        gradients: &mut [f32],
    ) -> Option<Arrived<E>> {
        let workspace = self.engine.workspace();
        let weight = &self.parameters[plan.weight()];
        let len = self.images.batch * tape.conv.shape().input_len();
        let mut to = epilogue.as_ref().map(|_| workspace.take(len));
        let wanted = epilogue.zip(to.as_deref_mut());
        let wanted = wanted.map(|(epilogue, to)| InputGradient { epilogue, to });
        let weight_gradient = &mut gradients[plan.weight()];
        let sums = tape.conv.backward(input, gradient, weight, wanted, weight_gradient, workspace);
        to.zip(sums).map(|(g, sums)| Arrived { g, sums })
    }
}

/// Activations that a block reads, and the units whose normalised outputs their ReLU was applied to;
/// none behind a max-pool, whose maxima are ReLU's outputs all the same.
struct Source<'a, E: Element> {
    out: &'a Buffer<E>,
    units: [Option<&'a UnitTape<E>>; 2],
}

impl<'a, E: Element> Source<'a, E> {
    fn backward_epilogue<'b>(&'b self, residual: Option<&'b [E]>) -> BackwardEpilogue<'b, E>
    where
        'a: 'b,
    {
        let norms = self.units.map(|unit| unit.map(|unit| (&unit.y[..], &unit.norm)));
        BackwardEpilogue { residual, gate: Gate::Output(self.out), norms }
    }
}
