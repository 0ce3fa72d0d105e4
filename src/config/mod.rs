//! The whole experiment as one typed, serialisable value: a file for each section, with its types, its
//! defaults and what it refuses. What two sections refuse together is refused here.

mod affinity;
mod change;
mod check;
mod compute;
mod data;
mod dataset;
mod eval;
mod framework;
mod model;
mod optimizer;
mod seed_code;
mod views;

use serde::{Deserialize, Serialize};

pub use crate::data::DatasetName;
pub use affinity::{
    AffinityConfig, AffinityForm, AffinityObjective, AffinityPairs, LocalLocalStep,
};
pub use change::{Change, Unchosen};
pub use compute::{ComputeConfig, Precision};
pub use data::DataConfig;

pub use dataset::EvalDataset;
pub use eval::{EvalConfig, Features};
pub use framework::{FrameworkConfig, FrameworkName, MomentumConfig, Terms};
pub(crate) use model::MOST_WIDTH;
pub use model::{
    Backbone, BlockKind, ModelConfig, PredictorConfig, ProjectorConfig, ProjectorNorm, Stem,
};
pub use optimizer::{LrScaling, OptimizerConfig, OptimizerName, SchedulePer};
pub use seed_code::SeedCodeConfig;
pub use views::{BlurConfig, CropConfig, JitterConfig, ViewsConfig};

use crate::Result;
use check::{Check, ensure};

/// One experiment: everything that decides its result. Threads, paths and verbosity are not here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The preset that this config started from.
    pub preset: String,
    /// The source of all randomness.
    pub seed: u64,
    /// Where the images come from.
    pub data: DataConfig,
    /// How an image becomes views.
    pub views: ViewsConfig,
    /// Backbone, projector and predictor.
    pub model: ModelConfig,
    /// What ℓ_s is, and whether LoGo is added to it.
    pub framework: FrameworkConfig,
    /// LoGo's learned affinity f_d.
    pub affinity: AffinityConfig,
    /// The encoder's optimiser and its schedule.
    pub optimizer: OptimizerConfig,
    /// kNN during and after training.
    pub eval: EvalConfig,
    /// How it is computed. Runs from before this section are in f32.
    #[serde(default)]
    pub compute: ComputeConfig,
    /// Errors of the earlier SimSiam-LoGo code, kept to reproduce it. All are off elsewhere.
    pub seed_code: SeedCodeConfig,
}

impl Config {
    /// What is measured on.
    pub fn evaluated(&self) -> DatasetName {
        match self.eval.dataset {
            EvalDataset::Same => self.data.dataset,
            EvalDataset::Other(name) => name,
        }
    }

    /// Refuses values out of range and settings that contradict each other, within a section first.
    ///
    /// # Errors
    /// [`crate::Error::Setting`] naming the first such key, and what would do.
    pub fn validate(&self) -> Result<()> {
        self.check_sections().and_then(|()| self.check_across_sections())
    }

    fn check_sections(&self) -> Check {
        self.data.check()?;
        self.views.check()?;
        self.model.check()?;
        self.framework.check()?;
        self.affinity.check()?;
        self.optimizer.check()?;
        self.eval.check()?;
        self.compute.check()
    }

    fn check_across_sections(&self) -> Check {
        self.check_views_for_logo()?;
        self.check_views_for_stem()?;
        self.check_predictor()?;
        self.check_framework()?;
        self.check_norm_groups()?;
        self.check_pairs()?;
        self.check_separate_step()?;
        self.check_limit()?;
        self.check_replicas()?;
        self.check_seed_code()
    }

    fn check_views_for_logo(&self) -> Check {
        let count = self.views.local.count;
        ensure("framework.logo", !self.framework.logo || count >= 2, || {
            format!(
                "framework.logo = true contradicts views.local.count = {count}: L_ll compares two local views of an \
                 image; set it to at least 2, or framework.logo = false"
            )
        })
    }

    fn check_views_for_stem(&self) -> Check {
        let (views, least) = (&self.views, self.model.stem.least_size());
        let local = self.framework.logo.then_some(("views.local", &views.local));
        for (key, crop) in [("views.global", &views.global)].into_iter().chain(local) {
            ensure(&format!("{key}.size"), crop.size >= least, || {
                format!(
                    "{key}.size = {} contradicts model.stem = \"imagenet\", which halves a view five times: the last \
                     stages would have one pixel to halve; set model.stem = \"cifar\", or a size of at least {least}",
                    crop.size
                )
            })?;
        }
        Ok(())
    }

    fn check_predictor(&self) -> Check {
        let there = self.model.predictor.hidden > 0;
        let needed = crate::framework::from_config(self).needs().predictor;
        ensure("model.predictor.hidden", !needed || there, || {
            "framework.name needs a predictor: model.predictor.hidden = 0 contradicts it (SimSiam and BYOL \
             collapse without one); set it to a quarter of model.projector.dim"
                .to_owned()
        })?;
        ensure("optimizer.predictor_fixed_lr", !self.optimizer.predictor_fixed_lr || there, || {
            "optimizer.predictor_fixed_lr = true contradicts model.predictor.hidden = 0: there is no predictor whose \
             rate could stay"
                .to_owned()
        })
    }

    fn check_framework(&self) -> Check {
        crate::framework::from_config(self).check(self)
    }

    fn check_norm_groups(&self) -> Check {
        let (groups, batch) = (self.framework.momentum.norm_groups, self.optimizer.batch_size);
        let whole = |views: usize| views.is_multiple_of(groups) && views / groups != 1;
        let [global, local] =
            [&self.views.global, &self.views.local].map(|crop| crop.count * batch);
        ensure(
            "framework.momentum.norm_groups",
            groups > 0 && whole(global) && whole(local),
            || {
                format!(
                    "framework.momentum.norm_groups = {groups} contradicts optimizer.batch_size = {batch}: the global and \
                 the local views of a batch must each divide into equal groups of at least 2"
                )
            },
        )
    }

    fn check_pairs(&self) -> Check {
        let flips = self.framework.logo && self.affinity.pairs == AffinityPairs::BothOrders;
        ensure("affinity.pairs", !flips || self.optimizer.batch_size.is_multiple_of(2), || {
            "affinity.pairs = \"both-orders\" contradicts an odd optimizer.batch_size: the batch is flipped, and \
             the image in its middle would be its own negative"
                .to_owned()
        })
    }

    fn check_separate_step(&self) -> Check {
        let separate = self.framework.logo && self.affinity.step == LocalLocalStep::Separate;
        ensure("affinity.step", !separate || self.optimizer.name == OptimizerName::Sgd, || {
            "affinity.step = \"separate\" contradicts optimizer.name: LARS, AdamW and Muon set the length of a step \
             themselves, so that affinity.lambda and affinity.clip would not bound it; set affinity.step = \"joint\" \
             or optimizer.name = \"sgd\""
                .to_owned()
        })
    }

    fn check_limit(&self) -> Check {
        let OptimizerConfig { batch_size: batch, accumulate, .. } = self.optimizer;
        let limit = self.data.limit;
        ensure("data.limit", limit == 0 || limit >= batch, || {
            format!(
                "data.limit = {limit} contradicts optimizer.batch_size = {batch}: there would be no whole batch; \
                 raise the one or lower the other"
            )
        })?;
        ensure("data.limit", limit == 0 || limit >= self.optimizer.images_per_update(), || {
            format!(
                "data.limit = {limit} contradicts optimizer.batch_size × optimizer.accumulate = {batch} × \
                 {accumulate}: there would be no whole update; raise the one or lower the others"
            )
        })
    }

    fn check_replicas(&self) -> Check {
        let (device, batch) = (&self.compute.device, self.optimizer.batch_size);
        ensure("compute.device", batch.is_multiple_of(device.replicas()), || {
            format!(
                "compute.device = \"{device}\" contradicts optimizer.batch_size = {batch}: every device takes as many \
                 images; make it a multiple of {}, or name fewer devices",
                device.replicas()
            )
        })
    }

    fn check_seed_code(&self) -> Check {
        ensure("seed_code", self.preset == "cifar10-seed" || !self.seed_code.any(), || {
            "seed_code.* repeats errors of earlier code; they are offered under the preset cifar10-seed alone"
                .to_owned()
        })
    }
}
