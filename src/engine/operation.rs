//! The network as an operation of Burn's.

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward as BackwardStep, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{AutodiffBackend, Dispatch, Flex, backend_extension};
use burn::tensor::{Device, Tensor, TensorData};
use cpu_kernels::{Element, bf16};

use super::backward::Backward;
use super::forward::{Forward, Images, Outcome, Statistics, Tape};
use super::{Plan, Precision, shared};

/// Whether `device` is the CPU device that this engine serves.
pub fn runs_on(device: &Device) -> bool {
    device.clone().inner() == Device::flex()
}

/// Images `[batch, 3, height, width]` and all parameters to features `[batch, channels]` and the
/// batch's statistics, both laid out as `plan` says. Differentiable in the parameters.
///
/// # Panics
/// On another device, or in the backward pass if the images are to receive a gradient.
pub fn backbone_train(
    images: Tensor<4>,
    parameters: Tensor<1>,
    plan: &Arc<Plan>,
) -> (Tensor<2>, Tensor<1>) {
    let (features, statistics) =
        Dispatch::train(images.into_dispatch(), parameters.into_dispatch(), Arc::clone(plan));
    (Tensor::from_dispatch(features), Tensor::from_dispatch(statistics))
}

/// The same under running statistics, without a way back.
///
/// # Panics
/// On another device.
pub fn backbone_eval(
    images: Tensor<4>,
    parameters: Tensor<1>,
    running: Tensor<1>,
    plan: &Arc<Plan>,
) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::evaluate(
        images.into_dispatch(),
        parameters.into_dispatch(),
        running.into_dispatch(),
        Arc::clone(plan),
    ))
}

/// What the CPU device can do beyond Burn's own operations.
#[backend_extension(Flex, Autodiff)]
trait Residual: burn::backend::Backend {
    fn train(
        images: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        plan: Arc<Plan>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    fn evaluate(
        images: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        running: FloatTensor<Self>,
        plan: Arc<Plan>,
    ) -> FloatTensor<Self>;
}

type CpuTensor = FloatTensor<Flex>;

/// What a pass leaves for the way back, in either precision.
#[derive(Debug)]
enum AnyTape {
    F32(Tape<f32>),
    Bf16(Tape<bf16>),
}

fn numbers(tensor: &CpuTensor) -> &[f32] {
    tensor.as_slice().expect("made contiguous on entry")
}

fn tensor(values: Vec<f32>, shape: impl Into<burn::tensor::Shape>) -> CpuTensor {
    CpuTensor::from_data(TensorData::new(values, shape))
}

fn images(tensor: &CpuTensor) -> Images<'_> {
    let [batch, _, height, width] = tensor.layout().shape().dims();
    Images { data: numbers(tensor), batch, size: [height, width] }
}

fn forward<E: Element>(
    x: &CpuTensor,
    parameters: &CpuTensor,
    statistics: Statistics<'_>,
    plan: &Plan,
) -> Outcome<E> {
    let parameters = numbers(parameters);
    assert_eq!(parameters.len(), plan.parameters(), "parameters of another network");
    let pass = Forward { engine: shared(), plan, parameters, statistics };
    let images = images(x);
    on_the_pool(|| pass.run(images))
}

/// Runs a pass on one of the pool's own threads. From any other, each of its some hundred parallel
/// sections would put that thread to sleep and wake it again.
fn on_the_pool<T: Send>(pass: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| pass())
}

fn train(x: &CpuTensor, parameters: &CpuTensor, plan: &Plan) -> (CpuTensor, CpuTensor, AnyTape) {
    let (features, statistics, tape) = match plan.precision {
        Precision::F32 => {
            let Outcome { features, statistics, tape } =
                forward(x, parameters, Statistics::Batch, plan);
            (features, statistics, AnyTape::F32(tape))
        }
        Precision::Bf16 => {
            let Outcome { features, statistics, tape } =
                forward(x, parameters, Statistics::Batch, plan);
            (features, statistics, AnyTape::Bf16(tape))
        }
    };
    let shape = [images(x).batch, plan.features()];
    (tensor(features, shape), tensor(statistics, [plan.statistics()]), tape)
}

impl Residual for Flex {
    fn train(x: CpuTensor, parameters: CpuTensor, plan: Arc<Plan>) -> (CpuTensor, CpuTensor) {
        let (x, parameters) = (x.to_contiguous(), parameters.to_contiguous());
        let (features, statistics, _) = train(&x, &parameters, &plan);
        (features, statistics)
    }

    fn evaluate(
        x: CpuTensor,
        parameters: CpuTensor,
        running: CpuTensor,
        plan: Arc<Plan>,
    ) -> CpuTensor {
        let [x, parameters, running] = [x, parameters, running].map(|t| t.to_contiguous());
        let statistics = Statistics::Running(numbers(&running));
        let features = match plan.precision {
            Precision::F32 => forward::<f32>(&x, &parameters, statistics, &plan).features,
            Precision::Bf16 => forward::<bf16>(&x, &parameters, statistics, &plan).features,
        };
        tensor(features, [images(&x).batch, plan.features()])
    }
}

/// What the way back needs of the way there.
#[derive(Clone, Debug)]
struct State {
    images: CpuTensor,
    parameters: CpuTensor,
    plan: Arc<Plan>,
    /// Gone once a pass has gone back over it.
    tape: Arc<Mutex<Option<AnyTape>>>,
}

impl State {
    fn gradients(&self, features: &CpuTensor) -> Vec<f32> {
        let tape = self.tape.lock().unwrap_or_else(PoisonError::into_inner).take();
        match tape.expect("Burn goes back over a graph once") {
            AnyTape::F32(tape) => self.run(tape, features),
            AnyTape::Bf16(tape) => self.run(tape, features),
        }
    }

    fn run<E: Element>(&self, tape: Tape<E>, features: &CpuTensor) -> Vec<f32> {
        let backward = Backward {
            engine: shared(),
            plan: &self.plan,
            parameters: numbers(&self.parameters),
            tape,
            images: images(&self.images),
        };
        let features = numbers(features);
        on_the_pool(|| backward.run(features))
    }
}

#[derive(Debug)]
struct TrainStep;

impl BackwardStep<Flex, 2> for TrainStep {
    type State = State;

    fn backward(self, ops: Ops<State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [images, parameters] = ops.parents;
        assert!(images.is_none(), "on the CPU, images receive no gradient: use ResNet::composed");
        let features = grads.consume::<Flex>(&ops.node).to_contiguous();
        if let Some(node) = parameters {
            let gradients = ops.state.gradients(&features);
            let len = gradients.len();
            grads.register::<Flex>(node.id, tensor(gradients, [len]));
        }
    }
}

impl<C: CheckpointStrategy> Residual for Autodiff<Flex, C> {
    fn train(
        x: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        plan: Arc<Plan>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let step = TrainStep.prepare::<C>([x.node(), parameters.node()]).compute_bound();
        let images = x.into_primitive().to_contiguous();
        let parameters = parameters.into_primitive().to_contiguous();
        let (features, statistics, tape) = train(&images, &parameters, &plan);
        let features = match step.stateful() {
            OpsKind::Tracked(prep) => {
                let tape = Arc::new(Mutex::new(Some(tape)));
                prep.finish(State { images, parameters, plan, tape }, features)
            }
            OpsKind::UnTracked(prep) => prep.finish(features),
        };
        (features, Self::from_inner(statistics))
    }

    fn evaluate(
        x: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        running: FloatTensor<Self>,
        plan: Arc<Plan>,
    ) -> FloatTensor<Self> {
        let [x, parameters, running] = [x, parameters, running].map(|t| t.into_primitive());
        Self::from_inner(Flex::evaluate(x, parameters, running, plan))
    }
}
