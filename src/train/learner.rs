//! One LoGo update: the two networks, their two optimisers, and what an update reports.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use super::gradients::{MeanGradients, NamedGradients, clipped, gradient_norm};
use super::means::Means;
use super::optimizer::Optimizer;
use super::schedule::Rates;
use super::views::Views;
use crate::config::{AffinityConfig, Config, LocalLocalStep};
use crate::framework::logo::{self, Compared, Recipe};
use crate::framework::{self, Framework};
use crate::model::params::{self, State};
use crate::model::{Affinity, Embedding, Initializer, Network, Phase};
use crate::objective;
use crate::report::metrics::Health;

/// Where the initial weights of the affinity branch off from the network's.
const AFFINITY_SEED: u64 = 0x10c0;

/// Everything that training changes, and how to change it.
pub struct Learner {
    /// Encoder and predictor.
    pub network: Network,
    network_optimizer: Optimizer,
    /// The most that the norm of the encoder's gradient may be, where it is bounded.
    clip: Option<f64>,
    momentum: Option<Momentum>,
    groups: usize,
    framework: Box<dyn Framework>,
    recipe: Recipe,
    logo: Option<Logo>,
}

/// What LoGo adds to a framework.
struct Logo {
    affinity: Affinity,
    config: AffinityConfig,
    optimizer: Optimizer,
    /// The encoder's optimiser for L_ll, where that is a step of its own.
    separate: Option<Separate>,
    /// λ L_ll's gradient from the last update, where the earlier code's leak is wanted.
    leaked: Option<NamedGradients>,
}

/// The encoder's step by L_ll alone.
struct Separate {
    optimizer: Optimizer,
    /// The norm of the last main gradient; 0 before the first.
    main_norm: f64,
}

/// The encoder that makes targets.
struct Momentum {
    network: Network,
    groups: usize,
}

/// What one batch has the encoder do, and what it had f_d do.
struct BatchGradients {
    /// f_d's, as it was applied.
    affinity: NamedGradients,
    /// The encoder's and the predictor's.
    network: NamedGradients,
}

/// What one update did.
pub struct Update {
    /// The loss, its parts, and the signs of health.
    pub health: Health,
    /// The gradients that were applied, by parameter name: the network's, and behind `affinity.`
    /// those of f_d's last step.
    pub gradients: NamedGradients,
}

impl Learner {
    /// Fresh weights under `config.seed`; `device` must differentiate.
    pub fn new(config: &Config, device: &Device) -> Self {
        let optimizer = || Optimizer::new(&config.optimizer);
        let logo = config.framework.logo.then(|| {
            let mut init = Initializer::new(config.seed ^ AFFINITY_SEED, device);
            let dim = config.model.projector.dim;
            Logo {
                affinity: Affinity::new(dim, &config.affinity, &mut init),
                config: config.affinity.clone(),
                optimizer: optimizer(),
                separate: (config.affinity.step == LocalLocalStep::Separate)
                    .then(|| Separate { optimizer: optimizer(), main_norm: 0.0 }),
                leaked: config.seed_code.leak_local_local_gradient.then(NamedGradients::new),
            }
        });
        let mut network = Network::new(&config.model, config.seed, device);
        network.backbone = network.backbone.with_precision(config.compute.precision);
        let groups = config.framework.momentum.norm_groups;
        Self {
            momentum: config
                .framework
                .name
                .has_momentum()
                .then(|| Momentum { network: network.valid(), groups }),
            network,
            groups,
            network_optimizer: optimizer(),
            clip: (config.optimizer.clip > 0.0).then_some(config.optimizer.clip),
            framework: framework::from_config(config, &device.clone().inner()),
            recipe: Recipe {
                lambda: config.affinity.lambda,
                terms: config.framework.terms,
                step: config.affinity.step,
                one_sided: config.seed_code.one_sided_global_global,
            },
            logo,
        }
    }

    /// f_d, with LoGo.
    pub fn affinity(&self) -> Option<&Affinity> {
        self.logo.as_ref().map(|logo| &logo.affinity)
    }

    /// On each batch one update of f_d, by equation 6; then one of the encoder, by the mean of the
    /// batches' gradients of equation 9. With a separate step: f_d's and the encoder's by L_ll first,
    /// then the encoder's by the other terms.
    ///
    /// f_d does not wait for the encoder's update: it has to keep up with an encoder that changes, and
    /// equation 9 wants it as it is after its step.
    ///
    /// The crops pass the encoder in two batches, all globals and all locals. Batch norm then sees one
    /// distribution at a time, and more samples than in a pass for each crop.
    pub fn update(&mut self, batches: &[Views], rates: Rates) -> Update {
        let mut reports = vec![Health::default(); batches.len()];
        let mut gradients = NamedGradients::new();
        if self.logo.as_ref().is_some_and(|logo| logo.separate.is_some()) {
            gradients.extend(self.separate_step(batches, rates, &mut reports));
        }
        let mut of_network = MeanGradients::default();
        for (views, health) in batches.iter().zip(&mut reports) {
            let of_batch = self.learn(views, rates.affinity, health);
            gradients.extend(of_batch.affinity);
            of_network.add(of_batch.network);
        }
        let of_network = of_network.finish();
        let mut health = mean_of(&reports);
        (health.lr, health.grad_norm) = (rates.encoder, gradient_norm(&of_network));
        gradients.extend(self.main_step(of_network, health.grad_norm, rates));
        Update { health, gradients }
    }

    /// f_d's update on one batch, where it takes none of its own before, and the encoder's gradient
    /// with f_d as it then is.
    fn learn(&mut self, views: &Views, affinity_lr: f64, health: &mut Health) -> BatchGradients {
        let targets = self.momentum.as_ref().map(|momentum| momentum.targets(views));
        let global = self.embed(&views.global, views.images());
        let local = views.local.as_ref().filter(|_| self.logo.is_some());
        let local = local.map(|local| self.embed(local, views.images()));
        let local = local.as_deref();
        observe(&global, local, health);
        let affinity = match (&mut self.logo, local) {
            (Some(logo), Some(local)) if logo.separate.is_none() => {
                logo.update_affinity(local, views, affinity_lr, health)
            }
            _ => NamedGradients::new(),
        };
        let targets = targets.as_deref().unwrap_or(&global);
        let compared = Compared { global: &global, targets };
        let network = self.main_gradient(compared, local, health);
        self.framework.remember(targets);
        BatchGradients { affinity, network }
    }

    /// One embedding for each view of the `images`.
    fn embed(&self, views: &Tensor<4>, images: usize) -> Vec<Embedding> {
        let count = views.dims()[0] / images;
        in_groups(&self.network, views.clone(), self.groups).views(count)
    }

    /// f_d's updates and the encoder's by L_ll, as the authors' code takes them before the main step.
    fn separate_step(
        &mut self,
        batches: &[Views],
        rates: Rates,
        reports: &mut [Health],
    ) -> NamedGradients {
        let mut of_affinity = NamedGradients::new();
        let mut of_network = MeanGradients::default();
        for (views, health) in batches.iter().zip(reports) {
            if let Some(of_batch) = self.learn_local(views, rates.affinity, health) {
                of_affinity.extend(of_batch.affinity);
                of_network.add(of_batch.network);
            }
        }
        if let Some(Logo { config, separate: Some(separate), .. }) = &mut self.logo {
            let gradients = clipped(of_network.finish(), config.clip * separate.main_norm);
            let network = self.network.clone();
            let lr = |name: &str| rates.of_network(name);
            self.network = separate.optimizer.step(network, "", &gradients, lr);
        }
        self.follow(rates.momentum);
        of_affinity
    }

    /// f_d's update on one batch, and λ L_ll's gradient on the encoder.
    fn learn_local(
        &mut self,
        views: &Views,
        affinity_lr: f64,
        health: &mut Health,
    ) -> Option<BatchGradients> {
        let local = self.embed(views.local.as_ref()?, views.images());
        let logo = self.logo.as_mut()?;
        let affinity = logo.update_affinity(&local, views, affinity_lr, health);
        let frozen = logo.affinity.frozen();
        let local_local = logo::local_local(&frozen, &local, self.recipe.step);
        health.local_local = Some(number(local_local.clone()));
        let gradients = (local_local * self.recipe.lambda).backward();
        Some(BatchGradients { affinity, network: params::gradients(&self.network, "", &gradients) })
    }

    /// The gradient of the main step's terms on one batch.
    fn main_gradient(
        &mut self,
        compared: Compared<'_>,
        local: Option<&[Embedding]>,
        health: &mut Health,
    ) -> NamedGradients {
        let framework = self.framework.as_ref();
        let losses = match (&self.logo, local) {
            (Some(logo), Some(local)) => logo.losses(framework, &compared, local, &self.recipe),
            _ => logo::plain(framework, &compared, &self.recipe),
        };
        let gradients = losses.total.backward();
        if let Some(logo) = &mut self.logo {
            logo.keep_leak(&gradients);
        }
        health.loss = number(losses.total);
        health.global_global = number(losses.global_global);
        health.local_global = losses.local_global.map(number);
        health.local_local = losses.local_local.map(number).or(health.local_local);
        params::gradients(&self.network, "", &gradients)
    }

    /// The encoder's step by gradients of the given norm, which come back as they were applied.
    fn main_step(&mut self, gradients: NamedGradients, norm: f64, rates: Rates) -> NamedGradients {
        if let Some(separate) = self.logo.as_mut().and_then(|logo| logo.separate.as_mut()) {
            // As a checkpoint holds it, so that a run that goes on has the same.
            separate.main_norm = f64::from(norm as f32);
        }
        let gradients = match self.clip {
            Some(most) => clipped(gradients, most),
            None => gradients,
        };
        let network = self.network.clone();
        let lr = |name: &str| rates.of_network(name);
        self.network = self.network_optimizer.step(network, "", &gradients, lr);
        self.follow(rates.momentum);
        gradients
    }

    /// The momentum encoder's step, after every one of the encoder.
    fn follow(&mut self, momentum: f64) {
        if let Some(target) = &mut self.momentum {
            target.network = params::follow(target.network.clone(), &self.network, momentum);
        }
    }

    /// Weights, running statistics and what the optimisers remember, by name.
    pub fn state(&self) -> State {
        let mut state = params::state(&self.network, "network");
        state.extend(self.network_optimizer.state());
        state.extend(self.framework.state());
        if let Some(momentum) = &self.momentum {
            state.extend(params::state(&momentum.network, "momentum"));
        }
        if let Some(logo) = &self.logo {
            state.extend(params::state(&logo.affinity, "affinity"));
            state.extend(logo.optimizer.state());
            if let Some(separate) = &logo.separate {
                state.extend(params::behind("separate", separate.optimizer.state()));
                let norm = TensorData::new(vec![separate.main_norm as f32], [1]);
                state.insert("main_norm".to_owned(), norm);
            }
            let leaked = logo.leaked.iter().flatten();
            state.extend(leaked.map(|(name, g)| (format!("leaked.{name}"), g.to_data())));
        }
        state
    }

    /// Continues from what [`Learner::state`] gave.
    ///
    /// # Errors
    /// A sentence naming the first tensor that is missing or of another shape.
    pub fn load(&mut self, state: &State, device: &Device) -> Result<(), String> {
        let inner = device.clone().inner();
        self.network = params::load(self.network.clone(), "network", state)?;
        let of_affinity = |name: &str| name.starts_with("affinity.");
        self.network_optimizer.load(state, &inner, |name| !of_affinity(name))?;
        self.framework.load(state)?;
        if let Some(momentum) = &mut self.momentum {
            momentum.network = params::load(momentum.network.clone(), "momentum", state)?;
        }
        if let Some(logo) = &mut self.logo {
            logo.affinity = params::load(logo.affinity.clone(), "affinity", state)?;
            logo.optimizer.load(state, &inner, of_affinity)?;
            if let Some(separate) = &mut logo.separate {
                separate.optimizer.load(&of_separate_step(state), &inner, |_| true)?;
                let norm = state.get("main_norm").and_then(|norm| norm.iter::<f32>().next());
                separate.main_norm = norm.ok_or("it has no tensor `main_norm`")?.into();
            }
            if let Some(leaked) = &mut logo.leaked {
                let kept = params::within("leaked", state).into_iter();
                *leaked = kept.map(|(name, g)| (name, Tensor::from_data(g, &inner))).collect();
            }
        }
        Ok(())
    }
}

impl Momentum {
    /// The embeddings of the global views, as constants.
    fn targets(&self, views: &Views) -> Vec<Embedding> {
        let global = views.global.clone().inner();
        let embedding = match &views.key_order {
            None => in_groups(&self.network, global, self.groups),
            Some(order) => {
                let shuffled =
                    in_groups(&self.network, objective::reorder(global, order), self.groups);
                let back = inverse(order);
                Embedding {
                    z: objective::reorder(shuffled.z, &back),
                    p: objective::reorder(shuffled.p, &back),
                }
            }
        };
        let constant = |t: Tensor<2>| t.autodiff();
        let embedding = Embedding { z: constant(embedding.z), p: constant(embedding.p) };
        let count = views.global.dims()[0] / views.images();
        embedding.views(count)
    }
}

/// `views` through the network in `groups` equal parts, each normalised by its own statistics.
fn in_groups(network: &Network, views: Tensor<4>, groups: usize) -> Embedding {
    if groups == 1 {
        return network.forward(views, Phase::Train);
    }
    let parts = views.chunk(groups, 0).into_iter();
    let parts = parts.map(|part| network.forward(part, Phase::Train));
    let (zs, ps): (Vec<_>, Vec<_>) = parts.map(|part| (part.z, part.p)).unzip();
    Embedding { z: Tensor::cat(zs, 0), p: Tensor::cat(ps, 0) }
}

/// Where each row of a permutation came from.
fn inverse(order: &[usize]) -> Vec<usize> {
    let mut back = vec![0; order.len()];
    for (to, &from) in order.iter().enumerate() {
        back[from] = to;
    }
    back
}

impl Logo {
    fn update_affinity(
        &mut self,
        local: &[Embedding],
        views: &Views,
        lr: f64,
        health: &mut Health,
    ) -> NamedGradients {
        let noise = views.noise.as_ref();
        let affinities =
            logo::affinities(&self.affinity, local, &views.negatives, noise, self.config.pairs);
        let omega = affinities.omega(self.config.objective);
        let mut gradients = match self.affinity.is_learned() {
            true => params::gradients(&self.affinity, "affinity", &(-omega.clone()).backward()),
            false => NamedGradients::new(),
        };
        if let Some(leaked) = &mut self.leaked {
            for (name, leak) in std::mem::take(leaked) {
                gradients.entry(name).and_modify(|g| *g = g.clone() + leak);
            }
        }
        self.affinity = self.optimizer.step(self.affinity.clone(), "affinity", &gradients, |_| lr);
        health.omega = Some(number(omega));
        health.affinity_same = Some(number(affinities.same.mean()));
        health.affinity_different = Some(number(affinities.different.mean()));
        gradients
    }

    fn losses(
        &self,
        framework: &dyn Framework,
        compared: &Compared<'_>,
        local: &[Embedding],
        recipe: &Recipe,
    ) -> logo::Losses {
        match self.leaked {
            Some(_) => logo::with_affinity(framework, &self.affinity, compared, local, recipe),
            None => logo::losses(framework, &self.affinity, compared, local, recipe),
        }
    }

    fn keep_leak(&mut self, gradients: &burn::tensor::Gradients) {
        if let Some(leaked) = &mut self.leaked {
            *leaked = params::gradients(&self.affinity, "affinity", gradients);
        }
    }
}

/// The means of what the batches of an update report.
fn mean_of(reports: &[Health]) -> Health {
    let mut means = Means::default();
    reports.iter().for_each(|health| means.add(health));
    means.mean()
}

/// The collapse watch: how spread out the embeddings are, and how alike the views.
fn observe(global: &[Embedding], local: Option<&[Embedding]>, health: &mut Health) {
    let z = |views: &[Embedding]| -> Vec<Tensor<2>> {
        views.iter().map(|view| view.z.clone().inner()).collect()
    };
    let cosine =
        |(a, b): (&Tensor<2>, &Tensor<2>)| number(objective::mean_cosine(a.clone(), b.clone()));
    let global = z(global);
    health.cos_gg = mean(logo::pairs(&global).map(cosine));
    health.z_std = number(objective::embedding_std(global[0].clone()));
    if let Some(local) = local {
        let local = z(local);
        let across = local.iter().flat_map(|l| global.iter().map(move |g| (l, g)));
        health.cos_lg = Some(mean(across.map(cosine)));
        health.cos_ll = Some(mean(logo::pairs(&local).map(cosine)));
    }
}

/// The mean of at least one number.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count)
}

fn number(scalar: Tensor<1>) -> f64 {
    let value: f32 = scalar.into_scalar();
    f64::from(value)
}

/// What the separate step's optimiser remembers. Runs of before there was a choice of optimisers call
/// its velocities `separate.<parameter>`.
fn of_separate_step(state: &State) -> State {
    let kept = params::within("separate", state);
    match kept.keys().any(|name| name.starts_with("backbone.")) {
        true => params::behind("velocity", kept),
        false => kept,
    }
}
