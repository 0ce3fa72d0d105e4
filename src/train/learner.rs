//! One LoGo update: the two networks, their two optimisers, and what an update reports.

use burn::tensor::{Device, Tensor};

use super::sgd::{NamedGradients, Sgd, gradient_norm};
use super::views::Views;
use crate::config::{AffinityObjective, Config};
use crate::framework::logo::{self, Recipe};
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
    network_optimizer: Sgd,
    framework: Box<dyn Framework>,
    recipe: Recipe,
    logo: Option<Logo>,
}

/// What LoGo adds to a framework.
struct Logo {
    affinity: Affinity,
    objective: AffinityObjective,
    optimizer: Sgd,
    /// λ L_ll's gradient from the last update, where the earlier code's leak is wanted.
    leaked: Option<NamedGradients>,
}

/// What one update did.
pub struct Update {
    /// The loss, its parts, and the signs of health.
    pub health: Health,
    /// The gradients that were applied, by parameter name: the network's, and f_d's behind
    /// `affinity.`.
    pub gradients: NamedGradients,
}

/// The learning rates of one update.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Encoder and predictor.
    pub encoder: f64,
    /// f_d
    pub affinity: f64,
}

impl Learner {
    /// Fresh weights under `config.seed`; `device` must differentiate.
    pub fn new(config: &Config, device: &Device) -> Self {
        let optimizer = || Sgd::new(config.optimizer.momentum, config.optimizer.weight_decay);
        let logo = config.framework.logo.then(|| {
            let mut init = Initializer::new(config.seed ^ AFFINITY_SEED, device);
            let dim = config.model.projector.dim;
            Logo {
                affinity: Affinity::new(dim, &config.affinity, &mut init),
                objective: config.affinity.objective,
                optimizer: optimizer(),
                leaked: config.seed_code.leak_local_local_gradient.then(NamedGradients::new),
            }
        });
        let mut network = Network::new(&config.model, config.seed, device);
        network.backbone = network.backbone.with_precision(config.compute.precision);
        Self {
            network,
            network_optimizer: optimizer(),
            framework: framework::from_config(&config.framework),
            recipe: Recipe {
                lambda: config.affinity.lambda,
                terms: config.framework.terms,
                one_sided: config.seed_code.one_sided_global_global,
            },
            logo,
        }
    }

    /// f_d, with LoGo.
    pub fn affinity(&self) -> Option<&Affinity> {
        self.logo.as_ref().map(|logo| &logo.affinity)
    }

    /// One update of f_d by equation 6, then one of the encoder by equation 9.
    ///
    /// The four crops pass the encoder in two batches, both globals and both locals. Batch norm
    /// then sees one distribution at a time, and twice the samples of a pass for each crop.
    pub fn update(&mut self, views: Views, rates: Rates) -> Update {
        let global = self.network.forward(views.global, Phase::Train).halves();
        let local = match self.logo {
            Some(_) => views.local.map(|local| self.network.forward(local, Phase::Train).halves()),
            None => None,
        };
        let mut health = observe(&global, local.as_ref());
        health.lr = rates.encoder;
        let mut gradients = match (&mut self.logo, &local) {
            (Some(logo), Some(local)) => {
                logo.update_affinity(local, &views.negatives, rates.affinity, &mut health)
            }
            _ => NamedGradients::new(),
        };
        let encoder = self.update_encoder(&global, local.as_ref(), rates.encoder, &mut health);
        gradients.extend(encoder);
        Update { health, gradients }
    }

    fn update_encoder(
        &mut self,
        global: &[Embedding; 2],
        local: Option<&[Embedding; 2]>,
        lr: f64,
        health: &mut Health,
    ) -> NamedGradients {
        let framework = self.framework.as_ref();
        let losses = match (&self.logo, local) {
            (Some(logo), Some(local)) => logo.losses(framework, global, local, &self.recipe),
            _ => logo::plain(framework, global, &self.recipe),
        };
        let gradients = losses.total.backward();
        if let Some(logo) = &mut self.logo {
            logo.keep_leak(&gradients);
        }
        let gradients = params::gradients(&self.network, "", &gradients);
        health.grad_norm = gradient_norm(&gradients);
        health.loss = number(losses.total);
        health.global_global = number(losses.global_global);
        if let Some((local_global, local_local)) = losses.logo {
            health.local_global = Some(number(local_global));
            health.local_local = Some(number(local_local));
        }
        let network = self.network.clone();
        self.network = self.network_optimizer.step(network, "", &gradients, lr);
        gradients
    }

    /// Weights, running statistics and velocities by name.
    pub fn state(&self) -> State {
        let mut state = params::state(&self.network, "network");
        state.extend(behind("velocity", self.network_optimizer.state()));
        if let Some(logo) = &self.logo {
            state.extend(params::state(&logo.affinity, "affinity"));
            state.extend(behind("velocity", logo.optimizer.state()));
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
        let velocity = strip("velocity.", state);
        let (affinity, network) =
            velocity.into_iter().partition(|(name, _)| name.starts_with("affinity."));
        self.network_optimizer.load(network, &inner);
        if let Some(logo) = &mut self.logo {
            logo.affinity = params::load(logo.affinity.clone(), "affinity", state)?;
            logo.optimizer.load(affinity, &inner);
            if let Some(leaked) = &mut logo.leaked {
                let kept = strip("leaked.", state).into_iter();
                *leaked = kept.map(|(name, g)| (name, Tensor::from_data(g, &inner))).collect();
            }
        }
        Ok(())
    }
}

impl Logo {
    fn update_affinity(
        &mut self,
        local: &[Embedding; 2],
        negatives: &[usize],
        lr: f64,
        health: &mut Health,
    ) -> NamedGradients {
        let affinities = logo::affinities(&self.affinity, local, negatives);
        let omega = affinities.omega(self.objective);
        let mut gradients = match self.affinity.is_learned() {
            true => params::gradients(&self.affinity, "affinity", &(-omega.clone()).backward()),
            false => NamedGradients::new(),
        };
        if let Some(leaked) = &mut self.leaked {
            for (name, leak) in std::mem::take(leaked) {
                gradients.entry(name).and_modify(|g| *g = g.clone() + leak);
            }
        }
        self.affinity = self.optimizer.step(self.affinity.clone(), "affinity", &gradients, lr);
        health.omega = Some(number(omega));
        health.affinity_same = Some(number(affinities.same.mean()));
        health.affinity_different = Some(number(affinities.different.mean()));
        gradients
    }

    fn losses(
        &self,
        framework: &dyn Framework,
        global: &[Embedding; 2],
        local: &[Embedding; 2],
        recipe: &Recipe,
    ) -> logo::Losses {
        match self.leaked {
            Some(_) => logo::with_affinity(framework, &self.affinity, global, local, recipe),
            None => logo::losses(framework, &self.affinity, global, local, recipe),
        }
    }

    fn keep_leak(&mut self, gradients: &burn::tensor::Gradients) {
        if let Some(leaked) = &mut self.leaked {
            *leaked = params::gradients(&self.affinity, "affinity", gradients);
        }
    }
}

/// The collapse watch: how spread out the embeddings are, and how alike the views.
fn observe(global: &[Embedding; 2], local: Option<&[Embedding; 2]>) -> Health {
    let z = |view: &Embedding| view.z.clone().inner();
    let [g1, g2] = [&global[0], &global[1]].map(z);
    let cosine =
        |a: &Tensor<2>, b: &Tensor<2>| number(objective::mean_cosine(a.clone(), b.clone()));
    let mut health = Health {
        cos_gg: cosine(&g1, &g2),
        z_std: number(objective::embedding_std(g1.clone())),
        ..Health::default()
    };
    if let Some(local) = local {
        let [l1, l2] = [&local[0], &local[1]].map(z);
        let crossed = [(&l1, &g1), (&l1, &g2), (&l2, &g1), (&l2, &g2)];
        health.cos_lg = Some(crossed.iter().map(|(l, g)| cosine(l, g)).sum::<f64>() / 4.0);
        health.cos_ll = Some(cosine(&l1, &l2));
    }
    health
}

fn number(scalar: Tensor<1>) -> f64 {
    let value: f32 = scalar.into_scalar();
    f64::from(value)
}

fn behind(prefix: &str, state: State) -> State {
    state.into_iter().map(|(name, data)| (format!("{prefix}.{name}"), data)).collect()
}

fn strip(prefix: &str, state: &State) -> State {
    let with_prefix = state.iter().filter_map(|(name, data)| {
        name.strip_prefix(prefix).map(|short| (short.to_owned(), data.clone()))
    });
    with_prefix.collect()
}
