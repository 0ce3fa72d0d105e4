//! Training as a run sees it: batches in, the state changed, numbers out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::means::Means;
use super::probe;
use super::schedule::Rates;
use super::state::{Parts, Snapshot, running};
use super::update::{
    AFFINITY, Accumulation, BatchShape, GRADIENTS, MOMENTUM, Method, NETWORK, Pass, REPORT,
    Replicas, inputs,
};
use super::views::Views;
use crate::Result;
use crate::config::Config;
use crate::eval::{Encoder, Extractor};
use crate::executor::{Array, Compiled, Device};
use crate::framework::{self, Framework};
use crate::model::params::{self, State, TensorData};
use crate::model::{Affinity, Network};
use crate::record::Scalars;
use crate::record::scalars::{GRAD_NORM, LR};

/// Everything that training changes, on a device, and the programs that change it.
pub struct Learner {
    method: Method,
    device: Device,
    parts: Arc<Parts>,
    state: BTreeMap<String, Array>,
    accumulate: usize,
    programs: HashMap<Key, Arc<Ready>>,
    /// The encoder's programs for evaluations.
    extractor: Arc<Extractor>,
    shows_gradients: bool,
}

/// What a program depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    passes: Vec<(Pass, Accumulation)>,
    shape: BatchShape,
}

/// A compiled update, or part of one.
struct Ready {
    compiled: Compiled,
    inputs: Vec<(String, bool)>,
    outputs: Vec<String>,
    reports: Vec<&'static str>,
}

/// Gradients by parameter name.
pub(super) type NamedGradients = State;

/// What one update did.
#[derive(Clone, Debug)]
pub struct Update {
    /// The loss, its parts, and the signs of health.
    pub scalars: Scalars,
    /// The gradients that were applied, by parameter name: the network's, and behind `affinity.`
    /// those of f_d's last step. Empty unless [`Learner::show_gradients`] asked for them.
    pub gradients: NamedGradients,
}

/// An update that was begun; its numbers come when they are asked for.
#[derive(Debug)]
pub struct Pending {
    /// Those of each batch, one for each of its programs.
    reports: Vec<Vec<Report>>,
    lr: f64,
}

/// What a program reports: numbers, and their names.
#[derive(Debug)]
struct Report {
    names: Vec<&'static str>,
    numbers: Array,
}

/// What a program leaves beside the state.
struct Ran {
    report: Option<Report>,
    gradients: BTreeMap<String, Array>,
}

impl Learner {
    /// Fresh weights under `config.seed`.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the device has no place for them.
    pub fn new(config: &Config, device: &Device) -> Result<Self> {
        Self::with_framework(config, framework::from_config(config), device)
    }

    /// The same with a framework of one's own in place of the config's.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the device has no place for the weights.
    pub fn with_framework(
        config: &Config,
        framework: Box<dyn Framework>,
        device: &Device,
    ) -> Result<Self> {
        Self::with_probe(config, framework, None, device)
    }

    /// The same with an online probe that tells so many classes apart; batches then have labels.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the device has no place for the weights.
    pub fn with_probe(
        config: &Config,
        framework: Box<dyn Framework>,
        classes: Option<usize>,
        device: &Device,
    ) -> Result<Self> {
        let replicas = Replicas { count: device.replicas(), sync: config.compute.sync };
        let method = Method::new(config, framework, replicas).probed(classes);
        let accumulate = config.optimizer.accumulate;
        let parts = Arc::new(method.parts(config.seed, accumulate));
        Ok(Self {
            state: parts.first(device)?,
            extractor: Arc::new(Extractor::of_network(method.network().clone(), device)),
            device: device.clone(),
            programs: HashMap::new(),
            shows_gradients: false,
            method,
            parts,
            accumulate,
        })
    }

    /// Has updates tell the gradients that they applied.
    pub fn show_gradients(&mut self) {
        self.shows_gradients = true;
        self.programs.clear();
    }

    /// Encoder and predictor.
    pub fn network(&self) -> &Network {
        self.method.network()
    }

    /// f_d, with LoGo.
    pub fn affinity(&self) -> Option<&Affinity> {
        self.method.affinity()
    }

    /// The tensors of f_d by name, with LoGo.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where they cannot be read.
    pub fn affinity_state(&self) -> Result<State> {
        Ok(params::within(AFFINITY, &self.state()?))
    }

    /// The encoder as it is now, for evaluations. Its weights are held as long as it is, so updates
    /// meanwhile cannot write over them and copy them.
    pub fn encoder(&self) -> Encoder {
        let weights = [NETWORK.to_owned(), running(NETWORK)].map(|name| self.state[&name].clone());
        Encoder::new(Arc::clone(&self.extractor), weights)
    }

    /// On each batch one update of f_d, by equation 6; then one of the encoder, by the mean of the
    /// batches' gradients of equation 9. With a separate step: f_d's and the encoder's by L_ll first,
    /// then the encoder's by the other terms. `train/update.rs` has it as a program.
    ///
    /// f_d does not wait for the encoder's update: it has to keep up with an encoder that changes, and
    /// equation 9 wants it as it is after its step.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the device fails. The state is lost then.
    ///
    /// # Panics
    /// If there are not `optimizer.accumulate` batches.
    pub fn update(&mut self, batches: Vec<Views>, rates: Rates) -> Result<Update> {
        let (pending, gradients) = self.begin(batches, rates)?;
        Ok(Update { scalars: pending.scalars()?, gradients: self.named(gradients)? })
    }

    /// Begins an update as [`Learner::update`] and does not wait for its numbers. On a device that
    /// computes beside the processor it is done when they have come.
    ///
    /// # Errors
    /// As [`Learner::update`]; what fails later is [`Pending::scalars`]'s error.
    ///
    /// # Panics
    /// If there are not `optimizer.accumulate` batches.
    pub fn submit(&mut self, batches: Vec<Views>, rates: Rates) -> Result<Pending> {
        self.begin(batches, rates).map(|(pending, _)| pending)
    }

    fn begin(
        &mut self,
        batches: Vec<Views>,
        rates: Rates,
    ) -> Result<(Pending, BTreeMap<String, Array>)> {
        let batches: Vec<Batch> =
            batches.into_iter().map(|views| self.upload(views)).collect::<Result<_>>()?;
        self.begin_on(&batches, rates)
    }

    /// Puts a batch on the device, where more than one update may use it.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where it finds no place.
    pub fn upload(&self, views: Views) -> Result<Batch> {
        Batch::new(views, &self.device)
    }

    /// [`Learner::submit`] by batches that are on the device.
    ///
    /// # Errors
    /// As [`Learner::submit`].
    ///
    /// # Panics
    /// As [`Learner::submit`].
    pub(crate) fn submit_uploaded(&mut self, batches: &[Batch], rates: Rates) -> Result<Pending> {
        self.begin_on(batches, rates).map(|(pending, _)| pending)
    }

    fn begin_on(
        &mut self,
        batches: &[Batch],
        rates: Rates,
    ) -> Result<(Pending, BTreeMap<String, Array>)> {
        assert_eq!(batches.len(), self.accumulate, "an update by optimizer.accumulate batches");
        let lr = rates.encoder;
        let rates = rates.values();
        let rates = self.device.f32(rates.clone(), &[rates.len()])?;
        let mut reports: Vec<_> = batches.iter().map(|_| vec![]).collect();
        let mut gradients = BTreeMap::new();
        for passes in self.programs_of_an_update() {
            for (at, passes) in passes.into_iter().enumerate() {
                let ran = self.run(passes, &batches[at], &rates)?;
                reports[at].extend(ran.report);
                gradients.extend(ran.gradients);
            }
        }
        Ok((Pending { reports, lr }, gradients))
    }

    /// In order, programs of one or more passes, each once for each batch: all passes in one program where
    /// there is one batch, else each pass over all batches before the next.
    fn programs_of_an_update(&self) -> Vec<Vec<Vec<(Pass, Accumulation)>>> {
        let passes = self.method.passes();
        if self.accumulate == 1 {
            return vec![vec![passes.iter().map(|pass| (*pass, Accumulation::Alone)).collect()]];
        }
        let closing = Accumulation::Closing(self.accumulate);
        let over_batches = |pass: &Pass| {
            let adding = (1..self.accumulate).map(|_| vec![(*pass, Accumulation::Adding)]);
            adding.chain([vec![(*pass, closing)]]).collect()
        };
        passes.iter().map(over_batches).collect()
    }

    /// Runs passes over one batch.
    fn run(
        &mut self,
        passes: Vec<(Pass, Accumulation)>,
        batch: &Batch,
        rates: &Array,
    ) -> Result<Ran> {
        let ready = self.ready(Key { passes, shape: batch.shape.clone() })?;
        let inputs = ready.inputs.iter().map(|(name, given)| match batch.arrays.get(name) {
            Some(array) => array.clone(),
            None if name == Rates::INPUT => rates.clone(),
            None if *given => self.state.remove(name).expect("the state has every part"),
            None => self.state[name].clone(),
        });
        let inputs = inputs.collect();
        let outputs = ready.compiled.run(inputs)?;
        let mut ran = Ran { report: None, gradients: BTreeMap::new() };
        for (name, array) in ready.outputs.iter().zip(outputs) {
            match name.as_str() {
                REPORT => {
                    ran.report = Some(Report { names: ready.reports.clone(), numbers: array })
                }
                name if GRADIENTS.contains(&name) => {
                    ran.gradients.insert(name.to_owned(), array);
                }
                name => {
                    self.state.insert(name.to_owned(), array);
                }
            }
        }
        Ok(ran)
    }

    fn ready(&mut self, key: Key) -> Result<Arc<Ready>> {
        if let Some(ready) = self.programs.get(&key) {
            return Ok(Arc::clone(ready));
        }
        let Key { passes, shape } = &key;
        let update = self.method.program(&self.parts, passes, shape, self.shows_gradients);
        let program = update.program;
        let input = |input: &graph::Input| (input.name.clone(), input.becomes.is_some());
        let ready = Arc::new(Ready {
            compiled: self.device.compile(&program)?,
            inputs: program.inputs().iter().map(input).collect(),
            outputs: program.outputs().iter().map(|output| output.name.clone()).collect(),
            reports: update.reports,
        });
        self.programs.insert(key, Arc::clone(&ready));
        Ok(ready)
    }

    fn named(&self, gradients: BTreeMap<String, Array>) -> Result<NamedGradients> {
        let mut named = NamedGradients::new();
        if let Some(flat) = gradients.get(GRADIENTS[0]) {
            let [layout, _] = self.network().layouts();
            named.extend(layout.split(&flat.read()?, ""));
        }
        if let (Some(flat), Some(affinity)) = (gradients.get(GRADIENTS[1]), self.affinity()) {
            let [layout, _] = affinity.layouts();
            named.extend(layout.split(&flat.read()?, "affinity."));
        }
        Ok(named)
    }

    /// Weights, running statistics and what the optimisers remember, by name.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where they cannot be read.
    pub fn state(&self) -> Result<State> {
        self.snapshot().map(|snapshot| snapshot.state())
    }

    /// The same, read from the device and not yet told apart by name.
    ///
    /// # Errors
    /// As [`Learner::state`].
    pub(crate) fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::of(&self.parts, &self.state)
    }

    /// Takes the tensors of [`Init::state`](crate::interop::Init::state) in the place of its first ones. A momentum
    /// encoder starts as the encoder, as far as it is not among them. Others than a learner of these settings has
    /// are passed over, as a framework of one's own may have no use for them.
    ///
    /// # Errors
    /// [`crate::Error::Mismatch`] naming the first tensor of another shape, [`crate::Error::Device`] where the
    /// device has no place for it.
    pub fn begin_from(&mut self, init: &State) -> Result<()> {
        let mut state = self.state()?;
        for (name, tensor) in &mut state {
            let of_encoder = || {
                let inside = name.strip_prefix(MOMENTUM)?.strip_prefix('.')?;
                init.get(&format!("{NETWORK}.{inside}"))
            };
            if let Some(given) = init.get(name).or_else(of_encoder) {
                tensor.clone_from(given);
            }
        }
        self.load(&state)
    }

    /// Continues from what [`Learner::state`] gave, on any device.
    ///
    /// # Errors
    /// [`crate::Error::Mismatch`] naming the first tensor that is missing or of another shape,
    /// [`crate::Error::Device`] where the device has no place for it.
    pub fn load(&mut self, state: &State) -> Result<()> {
        let state = with_separate_steps_renamed(state);
        self.state = self.parts.join(&state, &self.device)?;
        Ok(())
    }
}

impl Pending {
    /// Waits for the update and returns the means of what its batches report.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the update failed.
    pub fn scalars(&self) -> Result<Scalars> {
        let mut means = Means::default();
        let mut grad_norm = None;
        for programs in &self.reports {
            let mut scalars = Scalars::default();
            for Report { names, numbers } in programs {
                for (name, number) in names.iter().zip(numbers.read()?) {
                    scalars.set(*name, f64::from(number));
                }
            }
            grad_norm = scalars.get(GRAD_NORM);
            means.add(&scalars);
        }
        let mut scalars = means.mean();
        // It is of the whole update, and its last batch reports it.
        if let Some(grad_norm) = grad_norm {
            scalars.set(GRAD_NORM, grad_norm);
        }
        scalars.set(LR, self.lr);
        Ok(scalars)
    }
}

/// The views of one batch, and what goes with them, on a device.
#[derive(Debug)]
pub struct Batch {
    shape: BatchShape,
    /// By the names of a program's inputs.
    arrays: BTreeMap<String, Array>,
}

impl Batch {
    fn new(views: Views, device: &Device) -> Result<Self> {
        let (images, replicas) = (views.images(), device.replicas());
        let Views { global, local, negatives, noise, key_order, labels } = views;
        let mut arrays = BTreeMap::new();
        let mut put = |name: &str, array: Array| drop(arrays.insert(name.to_owned(), array));
        let of_device = |views: &TensorData| {
            let mut shape = views.shape.clone();
            shape[0] /= replicas;
            shape
        };
        let shape = BatchShape {
            global: of_device(&global),
            local: local.as_ref().map(of_device),
            images,
            noise: noise.is_some(),
            key_order: key_order.is_some(),
            labels: labels.is_some(),
        };
        if let Some(labels) = labels {
            let views = global.shape[0] / images;
            put(inputs::LABELS, device.s32(probe::labels(&labels, views))?);
        }
        if let Some(order) = key_order {
            match replicas {
                1 => put(inputs::KEY_ORDER, device.s32(integers(&order))?),
                _ => {
                    let keys = reordered(&global, &order);
                    put(inputs::KEYS, device.shards(shards(keys, images, replicas))?);
                }
            }
            put(inputs::KEY_PLACES, device.s32(integers(&inverse(&order)))?);
        }
        put(inputs::GLOBAL, device.shards(shards(global, images, replicas))?);
        if let Some(local) = local {
            put(inputs::LOCAL, device.shards(shards(local, images, replicas))?);
        }
        put(inputs::NEGATIVES, device.s32(integers(&negatives))?);
        for (name, noise) in inputs::NOISE.into_iter().zip(noise.into_iter().flatten()) {
            put(name, device.f32(noise.values, &noise.shape)?);
        }
        Ok(Self { shape, arrays })
    }
}

/// Each device's part of the views: of every view, the same images.
fn shards(views: TensorData, images: usize, replicas: usize) -> Vec<TensorData> {
    if replicas == 1 {
        return vec![views];
    }
    let TensorData { mut shape, values } = views;
    let len: usize = shape[1..].iter().product();
    let each = images / replicas;
    shape[0] /= replicas;
    let shard = |replica: usize| {
        let parts =
            values.chunks(images * len).map(|view| &view[replica * each * len..][..each * len]);
        TensorData::new(parts.collect::<Vec<_>>().concat(), shape.clone())
    };
    (0..replicas).map(shard).collect()
}

/// Rows in another order.
fn reordered(rows: &TensorData, order: &[usize]) -> TensorData {
    let len: usize = rows.shape[1..].iter().product();
    let row = |&at: &usize| &rows.values[at * len..(at + 1) * len];
    TensorData::new(order.iter().map(row).collect::<Vec<_>>().concat(), rows.shape.clone())
}

fn integers(places: &[usize]) -> Vec<i32> {
    places.iter().map(|&place| place as i32).collect()
}

/// Where each row of a permutation came from.
fn inverse(order: &[usize]) -> Vec<usize> {
    let mut back = vec![0; order.len()];
    for (to, &from) in order.iter().enumerate() {
        back[from] = to;
    }
    back
}

/// Runs of before there was a choice of optimisers call the velocity of a separate step
/// `separate.<parameter>`.
fn with_separate_steps_renamed(state: &State) -> State {
    let renamed = state.iter().map(|(name, data)| {
        let old = name.strip_prefix("separate.").filter(|rest| {
            ["backbone.", "projector.", "predictor."].iter().any(|module| rest.starts_with(module))
        });
        let name = old.map_or_else(|| name.clone(), |rest| format!("separate.velocity.{rest}"));
        (name, data.clone())
    });
    renamed.collect()
}

#[cfg(test)]
mod tests {
    use graph::Node;

    use super::*;
    use crate::framework::{Memory, Needs, SimSiam};
    use crate::model::Embedding;
    use crate::presets::Layers;

    /// SimSiam, with a number more in its log.
    struct Reporting;

    impl Framework for Reporting {
        fn needs(&self) -> Needs {
            SimSiam.needs()
        }

        fn similarity<'g>(
            &self,
            query: Embedding<'g>,
            target: Embedding<'g>,
            memory: &Memory<'g>,
        ) -> Node<'g> {
            SimSiam.similarity(query, target, memory)
        }

        fn report<'g>(
            &self,
            global: &[Embedding<'g>],
            _targets: &[Embedding<'g>],
            _memory: &Memory<'g>,
        ) -> Vec<(&'static str, Node<'g>)> {
            vec![("size", global[0].z.square().mean_all())]
        }
    }

    #[test]
    fn a_framework_of_ones_own_reports_its_own_numbers() {
        let small = ["model.backbone=resnet10", "model.width=2", "framework.logo=false"];
        let layers = Layers::preset("cifar10").unwrap();
        let layers = small.into_iter().fold(layers, |layers, s| layers.set(s).unwrap());
        let config = layers.build().unwrap();
        let mut learner =
            Learner::with_framework(&config, Box::new(Reporting), &Device::cpu()).unwrap();
        let pixels = (0..2 * 4 * 3 * 64).map(|at| (at % 17) as f32 / 17.0).collect();
        let views = Views {
            global: TensorData::new(pixels, [8, 3, 8, 8]),
            local: None,
            negatives: vec![1, 2, 3, 0],
            noise: None,
            key_order: None,
            labels: None,
        };
        let scalars = learner.update(vec![views], Rates::full(&config)).unwrap().scalars;
        let names: Vec<&str> = scalars.iter().map(|(name, _)| name).collect();
        let plain = ["lr", "loss", "global_global", "z_std", "cos_gg", "grad_norm"];
        assert_eq!(names, [&plain[..], &["size"]].concat());
        assert!(scalars.get("size").unwrap() > 0.0);
    }
}
