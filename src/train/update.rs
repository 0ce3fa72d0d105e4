//! One LoGo update as a program: from the state, a batch's views and the rates to the new state and
//! what is reported of it.

use graph::{Element, Graph, Node, Program, Type, concatenate, flat_gradient};

use super::gradients::{clipped, norm};
use super::optimizer::Optimizer;
use super::probe::{self, Probe};
use super::state::{Parts, StateNodes, running};
use crate::config::{AffinityConfig, Config, LocalLocalStep};
use crate::framework::logo::{self, Affinities, Compared, Judge, Losses, Pairing, Recipe};
use crate::framework::{Framework, Memory};
use crate::model::params::{Entry, Layout, TensorData, Weights};
use crate::model::{Affinity, Embedding, Network, Phase};
use crate::objective;
use crate::record::scalars;

/// Where the initial weights of the affinity branch off from the network's.
const AFFINITY_SEED: u64 = 0x10c0;

/// The encoder and predictor, by the names that programs have for the parts of the state.
pub(crate) const NETWORK: &str = "network";
pub(crate) const MOMENTUM: &str = "momentum";
pub(crate) const AFFINITY: &str = "affinity";
const OPTIMIZER: &str = "optimizer";
const OF_AFFINITY: &str = "optimizer.affinity";
const SEPARATE: &str = "separate";
const MAIN_NORM: &str = "main_norm";
const LEAKED: &str = "leaked";
pub(crate) const FRAMEWORK: &str = "framework.";
/// The sum of the gradients of an update's batches.
const SUM: &str = "sum";
/// What a program reports, one number for each of its names.
pub(super) const REPORT: &str = "report";
/// The network's gradient as it was applied, and f_d's, where they are asked for.
pub(super) const GRADIENTS: [&str; 2] = ["gradient.network", "gradient.affinity"];

/// The devices that share an update, each with its part of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// How many there are.
    pub count: usize,
    /// Whether batch norms of the encoder take their statistics over all of them.
    pub sync: bool,
}

impl Replicas {
    /// One device with the whole batch.
    pub const ONE: Self = Self { count: 1, sync: false };
}

/// What an update does, whatever the batch.
pub(super) struct Method {
    network: Network,
    optimizer: Optimizer,
    framework: Box<dyn Framework>,
    recipe: Recipe,
    logo: Option<Logo>,
    /// The most that the norm of the encoder's gradient may be, where it is bounded.
    clip: Option<f64>,
    /// Groups in which views pass the encoders, each normalised by its own statistics.
    groups: usize,
    /// Whether the predictor has a rate of its own.
    predictor_fixed: bool,
    replicas: Replicas,
    probe: Option<Probe>,
}

/// What LoGo adds to a framework.
struct Logo {
    affinity: Affinity,
    config: AffinityConfig,
    /// Whether λ L_ll's gradient leaks into f_d's next update, as in the earlier code.
    leaks: bool,
}

/// A part of an update, each over one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Pass {
    /// f_d's update and the encoder's gradient by L_ll, where that is a step of its own.
    LocalLocal,
    /// The encoder's gradient by the other terms; with all of them in one step, f_d's update too.
    Main,
}

/// What becomes of a pass's gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Accumulation {
    /// It is applied.
    Alone,
    /// It is kept for the batches to come.
    Adding,
    /// It and those that were kept, so many in all: their mean is applied.
    Closing(usize),
}

/// The shapes of a batch's arrays on each device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct BatchShape {
    pub global: Vec<usize>,
    pub local: Option<Vec<usize>>,
    /// Images of all devices together.
    pub images: usize,
    pub noise: bool,
    pub key_order: bool,
    pub labels: bool,
}

/// A program, and what the numbers that it reports are called.
pub(super) struct Update {
    pub program: Program,
    pub reports: Vec<&'static str>,
}

impl Method {
    pub(super) fn new(config: &Config, framework: Box<dyn Framework>, replicas: Replicas) -> Self {
        let network = Network::new(&config.model, config.compute.precision);
        let statistics_of = if replicas.sync { replicas.count } else { 1 };
        Self {
            network: network.over_replicas(statistics_of),
            optimizer: Optimizer::new(&config.optimizer).in_precision(config.compute.precision),
            framework,
            recipe: Recipe {
                lambda: config.affinity.lambda,
                terms: config.framework.terms,
                step: config.affinity.step,
                one_sided: config.seed_code.one_sided_global_global,
            },
            logo: config.framework.logo.then(|| Logo {
                affinity: Affinity::new(config.model.projector.dim, &config.affinity),
                config: config.affinity.clone(),
                leaks: config.seed_code.leak_local_local_gradient,
            }),
            clip: (config.optimizer.clip > 0.0).then_some(config.optimizer.clip),
            groups: config.framework.momentum.norm_groups.div_ceil(replicas.count),
            predictor_fixed: config.optimizer.predictor_fixed_lr,
            replicas,
            probe: None,
        }
    }

    /// The same with an online probe of so many classes.
    pub(super) fn probed(mut self, classes: Option<usize>) -> Self {
        let dim = self.network.backbone.plan().features();
        self.probe = classes.map(|classes| Probe { classes, dim });
        self
    }

    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    pub(super) fn affinity(&self) -> Option<&Affinity> {
        self.logo.as_ref().map(|logo| &logo.affinity)
    }

    /// The passes of an update, in order.
    pub(super) fn passes(&self) -> &'static [Pass] {
        match self.logo.is_some() && self.recipe.step == LocalLocalStep::Separate {
            true => &[Pass::LocalLocal, Pass::Main],
            false => &[Pass::Main],
        }
    }

    /// What it changes, as it is under `seed` before the first of updates by `accumulate` batches each.
    pub(super) fn parts(&self, seed: u64, accumulate: usize) -> Parts {
        let mut parts = Parts::default();
        let layouts @ [trained, _] = self.network.layouts();
        parts.module(NETWORK, layouts, "network.", seed);
        parts.optimizer(OPTIMIZER, &self.optimizer, trained, ["", ""]);
        if self.framework.needs().momentum_encoder {
            parts.module(MOMENTUM, layouts, "momentum.", seed);
        }
        for (name, first) in self.framework.memory() {
            parts.whole(&format!("{FRAMEWORK}{name}"), first);
        }
        if let Some(probe) = self.probe {
            probe.parts(&mut parts);
        }
        if accumulate > 1 {
            parts.passing(SUM, trained.len());
        }
        if let Some(Logo { affinity, leaks, .. }) = &self.logo {
            let layouts @ [of_affinity, _] = affinity.layouts();
            parts.module(AFFINITY, layouts, "affinity.", seed ^ AFFINITY_SEED);
            parts.optimizer(OF_AFFINITY, &self.optimizer, of_affinity, ["", "affinity."]);
            if *leaks {
                parts.zeros(LEAKED, of_affinity, "leaked.affinity.");
            }
            if self.recipe.step == LocalLocalStep::Separate {
                parts.optimizer(SEPARATE, &self.optimizer, trained, ["separate.", ""]);
                parts.whole(MAIN_NORM, TensorData::new(vec![0.0], [1]));
            }
        }
        parts
    }

    /// The program of these passes over one batch. With `show`, it makes the gradients too.
    pub(super) fn program(
        &self,
        parts: &Parts,
        passes: &[(Pass, Accumulation)],
        shape: &BatchShape,
        show: bool,
    ) -> Update {
        let graph = Graph::new();
        let batch = Batch::of_shape(shape, self.network.dim(), self.replicas, &graph);
        let state = parts.nodes(&graph);
        let mut inputs: Vec<_> = state.iter().map(|(_, node)| node).collect();
        inputs.extend(batch.inputs.iter().copied());
        let rates = graph.parameter(Rates::NAME, Type::f32([Rates::COUNT]));
        inputs.push(rates);
        let before = state.clone();
        let rates = Rates::of(rates);
        let reports = Vec::new();
        let mut building = Building { method: self, batch, rates, state, reports, shown: vec![] };
        for &(pass, accumulation) in passes {
            building.pass(pass, accumulation);
        }
        let Building { state, reports, shown, .. } = building;
        let changed = state.iter().filter(|(name, node)| before.get(name).id() != node.id());
        let mut outputs: Vec<(&str, Node<'_>)> = changed.collect();
        if show {
            outputs.extend(shown);
        }
        let (reports, numbers): (Vec<_>, Vec<_>) = reports.into_iter().unzip();
        if !numbers.is_empty() {
            let numbers: Vec<_> =
                numbers.iter().map(|number: &Node<'_>| number.reshape(&[1])).collect();
            outputs.push((REPORT, concatenate(&numbers, 0)));
        }
        let program = Program::new(&graph, &inputs, &outputs);
        Update { program: program.expect("every parameter was listed, each once"), reports }
    }
}

/// The views of one batch and what goes with them, as a program's inputs.
struct Batch<'g> {
    global: Node<'g>,
    local: Option<Node<'g>>,
    /// The global views in the order in which they pass a momentum encoder, and where each of their
    /// embeddings belongs; with one device, the order stands for the views.
    keys: Option<Keys<'g>>,
    negatives: Node<'g>,
    noise: Option<[Node<'g>; 2]>,
    /// Of all global views of the images of all devices, where there is a probe to learn from them.
    labels: Option<Node<'g>>,
    /// Of this device.
    images: usize,
    inputs: Vec<Node<'g>>,
}

#[derive(Clone, Copy)]
struct Keys<'g> {
    views: Node<'g>,
    back: Node<'g>,
}

/// What the arrays of a batch are called.
pub(super) mod inputs {
    pub(crate) const GLOBAL: &str = "views.global";
    pub(crate) const LOCAL: &str = "views.local";
    pub(crate) const NEGATIVES: &str = "negatives";
    pub(crate) const NOISE: [&str; 2] = ["noise.0", "noise.1"];
    /// With one device: which rows of the global views pass in which place.
    pub(crate) const KEY_ORDER: &str = "key_order";
    /// With several: those rows, each device's own.
    pub(crate) const KEYS: &str = "views.keys";
    pub(crate) const KEY_PLACES: &str = "key_places";
    pub(crate) const LABELS: &str = "labels";
}

impl<'g> Batch<'g> {
    fn of_shape(shape: &BatchShape, dim: usize, replicas: Replicas, graph: &'g Graph) -> Self {
        let mut inputs = vec![];
        let mut input = |name: &str, ty: Type| {
            let node = graph.parameter(name, ty);
            inputs.push(node);
            node
        };
        let places = |count: usize| Type::new(Element::S32, [count]);
        let global = input(inputs::GLOBAL, Type::f32(shape.global.clone()));
        let local = shape.local.clone().map(|local| input(inputs::LOCAL, Type::f32(local)));
        let negatives = input(inputs::NEGATIVES, places(shape.images));
        let noise = shape
            .noise
            .then(|| inputs::NOISE.map(|name| input(name, Type::f32([shape.images, dim]))));
        let rows = shape.global[0];
        let keys = shape.key_order.then(|| {
            let views = match replicas.count {
                1 => global.gather(input(inputs::KEY_ORDER, places(rows))),
                _ => input(inputs::KEYS, Type::f32(shape.global.clone())),
            };
            Keys { views, back: input(inputs::KEY_PLACES, places(rows * replicas.count)) }
        });
        let of_labels = probe::labels_type(rows * replicas.count);
        let labels = shape.labels.then(|| input(inputs::LABELS, of_labels));
        let images = shape.images / replicas.count;
        Self { global, local, keys, negatives, noise, labels, images, inputs }
    }
}

/// The rates of an update, scalars.
#[derive(Clone, Copy)]
struct Rates<'g> {
    encoder: Node<'g>,
    predictor: Node<'g>,
    affinity: Node<'g>,
    /// What the momentum encoder keeps of its weights, and what it takes.
    momentum: [Node<'g>; 2],
}

impl<'g> Rates<'g> {
    const NAME: &'static str = "rates";
    const COUNT: usize = 5;

    fn of(rates: Node<'g>) -> Self {
        let rate = |at: usize| rates.rows(at..at + 1).reshape(&[]);
        let [encoder, predictor, affinity] = [0, 1, 2].map(rate);
        Self { encoder, predictor, affinity, momentum: [3, 4].map(rate) }
    }
}

impl super::schedule::Rates {
    /// The input by which a program gets its rates.
    pub(super) const INPUT: &'static str = Rates::NAME;

    /// As programs take them.
    pub(super) fn values(self) -> Vec<f32> {
        let Self { encoder, predictor, affinity, momentum } = self;
        [encoder, predictor, affinity, momentum, 1.0 - momentum].map(|rate| rate as f32).to_vec()
    }
}

/// An update under construction: the state as far as it has come.
struct Building<'a, 'g> {
    method: &'a Method,
    batch: Batch<'g>,
    rates: Rates<'g>,
    state: StateNodes<'g>,
    reports: Vec<(&'static str, Node<'g>)>,
    shown: Vec<(&'static str, Node<'g>)>,
}

/// An update is three steps, each a function: *learn*, from a batch to a gradient; *reduce*, over
/// batches and devices; *apply*.
impl<'g> Building<'_, 'g> {
    fn pass(&mut self, pass: Pass, accumulation: Accumulation) {
        let gradient = match pass {
            Pass::LocalLocal => self.learn_local_local(),
            Pass::Main => self.learn(),
        };
        if let Some(gradient) = self.reduce(gradient, accumulation) {
            match pass {
                Pass::LocalLocal => self.apply_local_local(gradient),
                Pass::Main => self.apply(gradient),
            }
        }
    }

    /// f_d's update on the batch by equation 6, where it takes none of its own before, and the encoder's
    /// gradient of equation 9 with f_d as it then is.
    ///
    /// The crops pass the encoder in two batches, all globals and all locals. Batch norm then sees one
    /// distribution at a time, and more samples than in a pass for each crop.
    fn learn(&mut self) -> Node<'g> {
        let weights = self.network(NETWORK);
        let targets = self.targets();
        let global = self.embed(self.batch.global, &weights);
        let local = self.batch.local.filter(|_| self.method.logo.is_some());
        let local = local.map(|local| self.embed(local, &weights));
        self.learn_probe();
        self.keep_statistics(NETWORK, &weights);
        self.observe(&global, local.as_deref());
        if let Some(local) = local.as_ref().filter(|_| self.method.passes() == [Pass::Main]) {
            self.update_affinity(local);
        }
        let targets = targets.as_deref().unwrap_or(&global);
        let losses = self.losses(&global, targets, local.as_deref());
        self.remember(targets);
        flat_gradient(losses.total, weights.trained())
    }

    /// The online probe's step on the batch, where there is one.
    fn learn_probe(&mut self) {
        let (Some(probe), Some(labels)) = (self.method.probe, self.batch.labels) else { return };
        let features = self.features(self.batch.global);
        for (name, number) in probe.learn(features, labels, &mut self.state) {
            self.report(name, number);
        }
    }

    /// The backbone's features of `views`, view by view of the images of all devices, `[views batch, dim]`.
    ///
    /// They are nodes that the embeddings have made already, and a graph has none twice. The running
    /// statistics are those of before the batch, and what is observed here is not kept.
    fn features(&self, views: Node<'g>) -> Node<'g> {
        let Method { network, groups, replicas, .. } = self.method;
        let weights = self.network(NETWORK);
        let parts = views.chunk(*groups).into_iter();
        let parts = parts.map(|part| network.backbone.forward(part, &weights, Phase::Train));
        let features = concatenate(&parts.collect::<Vec<_>>(), 0);
        let views = features.chunk(views.shape()[0] / self.batch.images).into_iter();
        let views = views.map(|view| view.all_gather(replicas.count));
        concatenate(&views.collect::<Vec<_>>(), 0)
    }

    /// The gradients of an update's batches and devices, brought together; none before the last batch.
    fn reduce(&mut self, gradient: Node<'g>, accumulation: Accumulation) -> Option<Node<'g>> {
        let gradient = gradient.all_reduce(self.method.replicas.count);
        match accumulation {
            Accumulation::Alone => Some(gradient),
            Accumulation::Adding => {
                self.state.set(SUM, self.state.get(SUM) + gradient);
                None
            }
            Accumulation::Closing(batches) => {
                let sum = self.state.get(SUM) + gradient;
                self.state.set(SUM, gradient.graph().full(0.0, gradient.ty()));
                Some(sum * (1.0 / batches as f64))
            }
        }
    }

    /// One step of encoder and predictor; the momentum encoder follows.
    fn apply(&mut self, gradient: Node<'g>) {
        let size = norm(gradient);
        self.report(scalars::GRAD_NORM, size);
        if self.state.find(MAIN_NORM).is_some() {
            self.state.set(MAIN_NORM, size.reshape(&[1]));
        }
        let gradient = match self.method.clip {
            Some(most) => clipped(gradient, gradient.graph().scalar(most)),
            None => gradient,
        };
        self.shown.push((GRADIENTS[0], gradient));
        self.step_network(OPTIMIZER, gradient);
    }

    /// f_d's update, and λ L_ll's gradient on the encoder, as the authors' code takes it before the main
    /// step.
    fn learn_local_local(&mut self) -> Node<'g> {
        let weights = self.network(NETWORK);
        let local = self.batch.local.expect("a separate step by L_ll has local views");
        let local = self.embed(local, &weights);
        self.keep_statistics(NETWORK, &weights);
        self.update_affinity(&local);
        let of_affinity = self.affinity().frozen();
        let judge = Judge { affinity: &self.logo().affinity, weights: &of_affinity };
        let local_local = logo::local_local(judge, &local, self.method.recipe.step);
        self.keep_statistics(AFFINITY, &of_affinity);
        self.report(scalars::LOCAL_LOCAL, local_local);
        flat_gradient(local_local * self.method.recipe.lambda, weights.trained())
    }

    /// The encoder's step by L_ll alone, bounded by the last main gradient.
    fn apply_local_local(&mut self, gradient: Node<'g>) {
        let most = self.state.get(MAIN_NORM).reshape(&[]) * self.logo().config.clip;
        self.step_network(SEPARATE, clipped(gradient, most));
    }

    fn step_network(&mut self, optimizer: &str, gradient: Node<'g>) {
        let method = self.method;
        let [layout, _] = method.network.layouts();
        let value = self.state.get(NETWORK);
        let mut memory = self.state.memory(optimizer, &method.optimizer);
        let rates = self.rates;
        let lr = |entry: &Entry| match method.predictor_fixed {
            true if entry.name.starts_with("predictor.") => rates.predictor,
            _ => rates.encoder,
        };
        let value = method.optimizer.step(layout, [value, gradient], &mut memory, lr);
        self.state.remember(optimizer, &method.optimizer, memory);
        self.state.set(NETWORK, value);
        self.follow();
    }

    /// The momentum encoder's step, after every one of the encoder: ξ ← m ξ + (1 - m) θ. Its running
    /// statistics are its own.
    fn follow(&mut self) {
        if let Some(follower) = self.state.find(MOMENTUM) {
            let [kept, taken] = self.rates.momentum;
            self.state.set(MOMENTUM, follower * kept + self.state.get(NETWORK) * taken);
        }
    }

    fn update_affinity(&mut self, local: &[Embedding<'g>]) {
        let weights = self.affinity();
        let Logo { affinity, config, .. } = self.logo();
        let Batch { negatives, noise, .. } = self.batch;
        let pairing = Pairing { negatives, noise, pairs: config.pairs };
        let affinities = logo::affinities(Judge { affinity, weights: &weights }, local, pairing);
        let omega = affinities.omega(config.objective);
        self.report_affinities(&affinities, omega);
        self.keep_statistics(AFFINITY, &weights);
        if self.logo().affinity.is_learned() {
            self.step_affinity(flat_gradient(-omega, weights.trained()));
        }
    }

    fn step_affinity(&mut self, gradient: Node<'g>) {
        let gradient = match self.state.find(LEAKED) {
            Some(leaked) => gradient + leaked,
            None => gradient,
        };
        self.shown.retain(|(name, _)| *name != GRADIENTS[1]);
        self.shown.push((GRADIENTS[1], gradient));
        let optimizer = &self.method.optimizer;
        let mut memory = self.state.memory(OF_AFFINITY, optimizer);
        let [layout, _] = self.logo().affinity.layouts();
        let (value, rate) = (self.state.get(AFFINITY), self.rates.affinity);
        let value = optimizer.step(layout, [value, gradient], &mut memory, |_| rate);
        self.state.remember(OF_AFFINITY, optimizer, memory);
        self.state.set(AFFINITY, value);
    }

    /// The terms of equation 9 that the main step is by.
    fn losses(
        &mut self,
        global: &[Embedding<'g>],
        targets: &[Embedding<'g>],
        local: Option<&[Embedding<'g>]>,
    ) -> Losses<'g> {
        let Method { framework, recipe, .. } = self.method;
        let memory = self.memory();
        let views = Compared { global, targets, framework: framework.as_ref(), memory: &memory };
        let losses = match (&self.method.logo, local) {
            (Some(Logo { affinity, leaks, .. }), Some(local)) => {
                let trained = self.affinity();
                let frozen = trained.frozen();
                let weights = if *leaks { &trained } else { &frozen };
                let losses = logo::losses(Judge { affinity, weights }, &views, local, recipe);
                if *leaks {
                    let leaked = flat_gradient(losses.total, trained.trained());
                    self.state.set(LEAKED, leaked);
                }
                losses
            }
            _ => logo::plain(&views, recipe),
        };
        self.report(scalars::LOSS, losses.total);
        self.report(scalars::GLOBAL_GLOBAL, losses.global_global);
        losses.local_global.into_iter().for_each(|loss| self.report(scalars::LOCAL_GLOBAL, loss));
        losses.local_local.into_iter().for_each(|loss| self.report(scalars::LOCAL_LOCAL, loss));
        let own = framework.report(global, targets, &memory).into_iter();
        own.for_each(|(name, number)| self.report(name, number));
        losses
    }

    /// The momentum encoder's embeddings of the global views, as constants, where there is one.
    fn targets(&mut self) -> Option<Vec<Embedding<'g>>> {
        self.state.find(MOMENTUM)?;
        let weights = self.network(MOMENTUM);
        let Some(Keys { views, back }) = self.batch.keys else {
            let targets = self.embed(self.batch.global, &weights);
            self.keep_statistics(MOMENTUM, &weights);
            return Some(constants(targets));
        };
        let shuffled = self.embed(views, &weights);
        self.keep_statistics(MOMENTUM, &weights);
        let whole = |part: fn(&Embedding<'g>) -> Node<'g>| {
            let views: Vec<_> = shuffled.iter().map(part).collect();
            concatenate(&views, 0).gather(back)
        };
        let in_order = Embedding { z: whole(|view| view.z), p: whole(|view| view.p) };
        Some(constants(in_order.views(shuffled.len())))
    }

    /// One embedding for each view, of the images of all devices.
    fn embed(&self, views: Node<'g>, weights: &Weights<'g>) -> Vec<Embedding<'g>> {
        let count = views.shape()[0] / self.batch.images;
        let replicas = self.method.replicas.count;
        let embedding = self.in_groups(views, weights);
        let views = embedding.views(count).into_iter();
        views.map(|view| view.map(|rows| rows.all_gather(replicas))).collect()
    }

    /// `views` through the network in equal parts, each normalised by its own statistics.
    fn in_groups(&self, views: Node<'g>, weights: &Weights<'g>) -> Embedding<'g> {
        let groups = views.chunk(self.method.groups).into_iter();
        let network = &self.method.network;
        let parts = groups.map(|part| network.forward(part, weights, Phase::Train));
        let (zs, ps): (Vec<_>, Vec<_>) = parts.map(|part| (part.z, part.p)).unzip();
        Embedding { z: concatenate(&zs, 0), p: concatenate(&ps, 0) }
    }

    fn logo(&self) -> &Logo {
        self.method.logo.as_ref().expect("f_d is asked for with LoGo alone")
    }

    fn network(&self, name: &str) -> Weights<'g> {
        self.weights(name, self.method.network.layouts())
    }

    fn affinity(&self) -> Weights<'g> {
        self.weights(AFFINITY, self.logo().affinity.layouts())
    }

    fn weights(&self, name: &str, layouts: [&Layout; 2]) -> Weights<'g> {
        Weights::of(layouts, [self.state.find(name), self.state.find(&running(name))])
    }

    /// Takes a module's running statistics into the state. Devices that normalise each by its own batch
    /// keep the mean of theirs.
    fn keep_statistics(&mut self, name: &str, weights: &Weights<'g>) {
        let Some(statistics) = weights.all_statistics() else { return };
        let replicas = match self.method.replicas {
            // f_d sees the whole batch on every device.
            Replicas { sync: false, count } if name != AFFINITY => count,
            _ => 1,
        };
        let mean = match replicas {
            1 => statistics,
            count => statistics.all_reduce(count) * (1.0 / count as f64),
        };
        self.state.set(&running(name), mean);
    }

    fn memory(&self) -> Memory<'g> {
        let parts = self
            .state
            .iter()
            .filter_map(|(name, node)| Some((name.strip_prefix(FRAMEWORK)?.to_owned(), node)));
        parts.collect()
    }

    fn remember(&mut self, targets: &[Embedding<'g>]) {
        let mut memory = self.memory();
        self.method.framework.remember(targets, &mut memory);
        for (name, tensor) in memory.iter() {
            self.state.set(&format!("{FRAMEWORK}{name}"), tensor);
        }
    }

    fn report(&mut self, name: &'static str, number: Node<'g>) {
        self.reports.push((name, number));
    }

    fn report_affinities(&mut self, affinities: &Affinities<'g>, omega: Node<'g>) {
        self.report(scalars::OMEGA, omega);
        self.report(scalars::AFFINITY_SAME, affinities.same.mean_all());
        self.report(scalars::AFFINITY_DIFFERENT, affinities.different.mean_all());
    }

    /// The collapse watch: how spread out the embeddings are, and how alike the views.
    fn observe(&mut self, global: &[Embedding<'g>], local: Option<&[Embedding<'g>]>) {
        let z = |views: &[Embedding<'g>]| views.iter().map(|view| view.z).collect::<Vec<_>>();
        let cosine = |(a, b): (&Node<'g>, &Node<'g>)| objective::mean_cosine(*a, *b);
        let global = z(global);
        self.report(scalars::COS_GG, objective::mean(logo::pairs(&global).map(cosine).collect()));
        self.report(scalars::Z_STD, objective::embedding_std(global[0]));
        if let Some(local) = local.map(z) {
            let across = local.iter().flat_map(|l| global.iter().map(move |g| (l, g)));
            self.report(scalars::COS_LG, objective::mean(across.map(cosine).collect()));
            self.report(
                scalars::COS_LL,
                objective::mean(logo::pairs(&local).map(cosine).collect()),
            );
        }
    }
}

fn constants(views: Vec<Embedding<'_>>) -> Vec<Embedding<'_>> {
    views.into_iter().map(|view| view.map(Node::stop_gradient)).collect()
}
