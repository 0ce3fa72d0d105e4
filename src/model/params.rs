//! A module's tensors by name: what checkpoints, weight files and optimisers see.
//!
//! Names are the paths of the fields (`backbone.layer1.0.conv1.weight`), which are PyTorch's.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};

/// Tensors by name, in f32.
pub type State = BTreeMap<String, TensorData>;

/// The parameters and running statistics of `module`, each name behind `prefix`.
pub fn state(module: &impl Module, prefix: &str) -> State {
    let mut collector = Collector { path: Path::new(prefix), state: State::new() };
    module.visit(&mut collector);
    collector.state
}

/// The tensors of `state`, each name behind `prefix`.
pub fn behind(prefix: &str, state: State) -> State {
    state.into_iter().map(|(name, data)| (format!("{prefix}.{name}"), data)).collect()
}

/// The tensors of `state` whose names are behind `prefix`, without it.
pub fn within(prefix: &str, state: &State) -> State {
    let inside = state.iter().filter_map(|(name, data)| {
        let short = name.strip_prefix(prefix)?.strip_prefix('.')?;
        Some((short.to_owned(), data.clone()))
    });
    inside.collect()
}

/// `module` with every tensor replaced by the one of its name in `state`.
///
/// # Errors
/// A sentence naming the first tensor that is missing or has another shape.
pub fn load<M: Module>(module: M, prefix: &str, state: &State) -> Result<M, String> {
    let mut loader = Loader { path: Path::new(prefix), state, problem: None };
    let module = module.map(&mut loader);
    match loader.problem {
        Some(problem) => Err(problem),
        None => Ok(module),
    }
}

/// The gradients of the trained parameters of `module`, each flattened to one axis.
pub fn gradients(
    module: &impl Module,
    prefix: &str,
    gradients: &Gradients,
) -> BTreeMap<String, Tensor<1>> {
    let mut reader = GradientReader { path: Path::new(prefix), gradients, found: BTreeMap::new() };
    module.visit(&mut reader);
    reader.found
}

/// A trained parameter, as an optimiser sees it.
#[derive(Debug)]
pub struct Parameter<'a> {
    /// The path of its field.
    pub name: &'a str,
    /// Its axes.
    pub rank: usize,
    /// Its numbers, flattened to one axis.
    pub value: Tensor<1>,
}

impl Parameter<'_> {
    /// Whether it is a bias, or γ or β of a batch norm: whatever has a single axis.
    pub fn is_norm_or_bias(&self) -> bool {
        self.rank == 1
    }
}

/// Replaces every trained parameter by what `update` returns, flattened likewise.
pub fn update<M: Module>(
    module: M,
    prefix: &str,
    update: impl FnMut(Parameter<'_>) -> Tensor<1>,
) -> M {
    module.map(&mut Updater { path: Path::new(prefix), update })
}

/// `follower` with every trained parameter of `leader` taken in: ξ ← m ξ + (1 - m) θ. Running
/// statistics stay the follower's own.
pub fn follow<M: Module>(follower: M, leader: &impl Module, momentum: f64) -> M {
    let mut leader_values = Trained { path: Path::new(""), values: BTreeMap::new() };
    leader.visit(&mut leader_values);
    follower.map(&mut Follower { path: Path::new(""), leader: leader_values.values, momentum })
}

/// Where in the module a visitor stands.
struct Path(Vec<String>);

impl Path {
    fn new(prefix: &str) -> Self {
        Self(if prefix.is_empty() { Vec::new() } else { vec![prefix.to_owned()] })
    }

    fn name(&self) -> String {
        self.0.join(".")
    }
}

/// Keeps `self.path` in step with the traversal.
macro_rules! track_path {
    () => {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.0.push(name.to_owned());
        }

        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.0.pop();
        }
    };
}

struct Collector {
    path: Path,
    state: State,
}

impl ModuleVisitor for Collector {
    track_path!();

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.state.insert(self.path.name(), param.val().inner().into_data());
    }
}

struct Loader<'a> {
    path: Path,
    state: &'a State,
    problem: Option<String>,
}

impl ModuleMapper for Loader<'_> {
    track_path!();

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.name();
        let Some(data) = self.state.get(&name) else {
            self.problem.get_or_insert(format!("it has no tensor `{name}`"));
            return param;
        };
        let expected = param.lazy_shape();
        if *data.shape() != expected {
            self.problem.get_or_insert(format!(
                "`{name}` has shape {:?}, expected {expected:?}",
                data.shape()
            ));
            return param;
        }
        replace(param, |old| Tensor::from_data(data.clone(), &old.device().inner()))
    }
}

struct GradientReader<'a> {
    path: Path,
    gradients: &'a Gradients,
    found: BTreeMap<String, Tensor<1>>,
}

impl ModuleVisitor for GradientReader<'_> {
    track_path!();

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            self.found.insert(self.path.name(), gradient.flatten(0, D - 1));
        }
    }
}

struct Updater<F> {
    path: Path,
    update: F,
}

impl<F: FnMut(Parameter<'_>) -> Tensor<1>> ModuleMapper for Updater<F> {
    track_path!();

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.is_require_grad() {
            return param;
        }
        let name = self.path.name();
        replace(param, |old| {
            let shape = old.shape();
            let value = old.inner().flatten(0, D - 1);
            (self.update)(Parameter { name: &name, rank: D, value }).reshape(shape)
        })
    }
}

/// The trained parameters by name, each flattened to one axis.
struct Trained {
    path: Path,
    values: BTreeMap<String, Tensor<1>>,
}

impl ModuleVisitor for Trained {
    track_path!();

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            self.values.insert(self.path.name(), param.val().inner().flatten(0, D - 1));
        }
    }
}

struct Follower {
    path: Path,
    leader: BTreeMap<String, Tensor<1>>,
    momentum: f64,
}

impl ModuleMapper for Follower {
    track_path!();

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(leader) = self.leader.remove(&self.path.name()) else {
            return param;
        };
        replace(param, |old| {
            let leader = leader.reshape(old.shape());
            old.inner() * self.momentum + leader * (1.0 - self.momentum)
        })
    }
}

/// `param` with another value, given and returned without autodiff; whether it is trained stays.
fn replace<const D: usize>(
    param: Param<Tensor<D>>,
    value: impl FnOnce(Tensor<D>) -> Tensor<D>,
) -> Param<Tensor<D>> {
    param.map(|old| {
        let (trained, differentiable) = (old.is_require_grad(), old.is_autodiff());
        let new = value(old);
        match differentiable {
            true => new.autodiff().set_require_grad(trained),
            false => new,
        }
    })
}
