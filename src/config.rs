//! The whole experiment as one typed, serialisable value.

use serde::{Deserialize, Serialize};

use crate::data::{DatasetName, Splits};
use crate::executor::DeviceName;
use crate::{Error, Result};

/// One experiment: everything that decides its result. Threads, paths and verbosity are not here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The preset this config started from.
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
    /// How it is computed; runs of before this key are in f32.
    #[serde(default)]
    pub compute: ComputeConfig,
    /// Errors of the earlier SimSiam-LoGo code, kept to reproduce it. All off elsewhere.
    pub seed_code: SeedCodeConfig,
}

impl Config {
    /// Whether `other` is the same experiment. Which instructions and devices there are is the machine's
    /// to say, not the experiment's.
    pub fn is_experiment_of(&self, other: &Self) -> bool {
        let compute = ComputeConfig {
            instructions: self.compute.instructions.clone(),
            device: self.compute.device.clone(),
            ..other.compute.clone()
        };
        *self == Self { compute, ..other.clone() }
    }
}

/// Where the images come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Which dataset.
    pub dataset: DatasetName,
    /// Images to train on; 0 means all. The evaluation always sees the whole splits.
    pub limit: usize,
    /// The share of images that may be broken: they are passed over. More of them end the run.
    #[serde(default = "DataConfig::default_max_bad_fraction")]
    pub max_bad_fraction: f64,
    /// Per-channel mean of pixel values in [0, 1], subtracted from every view.
    pub mean: [f32; 3],
    /// Per-channel standard deviation of pixel values in [0, 1]; every view is divided by it.
    pub std: [f32; 3],
}

impl DataConfig {
    fn default_max_bad_fraction() -> f64 {
        Splits::MAX_BAD_FRACTION
    }
}

/// How an image becomes global and local views.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewsConfig {
    /// The large crops.
    pub global: CropConfig,
    /// The small crops.
    pub local: CropConfig,
    /// Probability of a horizontal flip.
    pub flip: f32,
    /// Random changes of colour.
    pub jitter: JitterConfig,
    /// Probability of turning grey.
    pub grayscale: f32,
    /// Gaussian blur.
    pub blur: BlurConfig,
}

/// A random resized crop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CropConfig {
    /// Side of the resulting square view, pixels.
    pub size: usize,
    /// Least and greatest share of the image's area.
    pub area: [f32; 2],
    /// Least and greatest width / height of the cropped box.
    pub aspect: [f32; 2],
    /// How many of them each image gives.
    #[serde(default = "CropConfig::two")]
    pub count: usize,
}

impl CropConfig {
    /// LoGo's own number of either kind.
    fn two() -> usize {
        2
    }
}

/// Colour jitter, as torchvision's `ColorJitter`: factors from `[max(0, 1 - x), 1 + x]`, hue
/// turned by `[-hue, hue]` of a full circle, the four in random order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JitterConfig {
    /// Probability of jittering at all.
    pub probability: f32,
    /// Strength.
    pub brightness: f32,
    /// Strength.
    pub contrast: f32,
    /// Strength.
    pub saturation: f32,
    /// Share of a full circle, at most 0.5.
    pub hue: f32,
}

/// Gaussian blur with σ drawn uniformly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlurConfig {
    /// Probability of blurring.
    pub probability: f32,
    /// Least and greatest σ, in pixels of the view.
    pub sigma: [f32; 2],
}

/// Backbone, projector and predictor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Which ResNet.
    pub backbone: Backbone,
    /// What stands before its first stage; runs of before this key have the one for small images.
    #[serde(default)]
    pub stem: Stem,
    /// Channels of the stem and of the first stage's 3×3 convolutions; 64 is the field's network.
    /// The features have 8 times as many, with bottlenecks 32 times.
    pub width: usize,
    /// Whether γ of each block's last batch norm starts at 0, so that every block starts as the
    /// identity (Goyal et al., 2017, section 5.1).
    #[serde(default)]
    pub zero_init_residual: bool,
    /// Features to embedding z.
    pub projector: ProjectorConfig,
    /// z to h(z).
    pub predictor: PredictorConfig,
}

impl ModelConfig {
    /// Dimensions of the backbone's features.
    pub fn feature_dim(&self) -> usize {
        8 * self.width * self.backbone.block().expansion()
    }
}

/// What turns an image into the first stage's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stem {
    /// A 3×3 convolution of stride 1: the first stage sees every pixel.
    #[default]
    Cifar,
    /// A 7×7 convolution of stride 2 and a 3×3 max-pool of stride 2: the first stage sees a quarter
    /// of each side (He et al., 2016, table 1).
    Imagenet,
}

/// What the stages of a ResNet are made of (He et al., 2016, figure 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3, 1×1; the stride on the 3×3, as torchvision's ("v1.5").
    Bottleneck,
}

impl BlockKind {
    /// Channels that leave a block, per channel of its 3×3 convolutions.
    pub fn expansion(self) -> usize {
        match self {
            BlockKind::Basic => 1,
            BlockKind::Bottleneck => 4,
        }
    }
}

/// The residual networks of He et al. (2016), table 1, and a smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backbone {
    /// One block a stage.
    Resnet10,
    /// Two blocks a stage.
    Resnet18,
    /// 3, 4, 6 and 3 blocks.
    Resnet34,
    /// 3, 4, 6 and 3 bottlenecks.
    Resnet50,
    /// 3, 4, 23 and 3 bottlenecks.
    Resnet101,
    /// 3, 8, 36 and 3 bottlenecks.
    Resnet152,
}

impl Backbone {
    /// Blocks in each of the four stages.
    pub fn blocks(self) -> [usize; 4] {
        match self {
            Backbone::Resnet10 => [1, 1, 1, 1],
            Backbone::Resnet18 => [2, 2, 2, 2],
            Backbone::Resnet34 | Backbone::Resnet50 => [3, 4, 6, 3],
            Backbone::Resnet101 => [3, 4, 23, 3],
            Backbone::Resnet152 => [3, 8, 36, 3],
        }
    }

    /// What those blocks are.
    pub fn block(self) -> BlockKind {
        match self {
            Backbone::Resnet10 | Backbone::Resnet18 | Backbone::Resnet34 => BlockKind::Basic,
            Backbone::Resnet50 | Backbone::Resnet101 | Backbone::Resnet152 => BlockKind::Bottleneck,
        }
    }
}

/// Linear-BN-ReLU … Linear-BN, or with fewer norms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectorConfig {
    /// Linear layers.
    pub layers: usize,
    /// Units between them.
    pub hidden: usize,
    /// Dimensions of z.
    pub dim: usize,
    /// Which of its layers have a batch norm.
    #[serde(default)]
    pub norm: ProjectorNorm,
}

/// Which layers of a projector have a batch norm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProjectorNorm {
    /// All, the last without γ and β: SimSiam.
    #[default]
    All,
    /// All but the last: BYOL.
    Hidden,
    /// None: MoCo v2.
    None,
}

/// dim → hidden → dim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictorConfig {
    /// Units of the bottleneck; 0 means no predictor (SimCLR).
    pub hidden: usize,
}

/// What ℓ_s is, and whether LoGo is added to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameworkConfig {
    /// Which framework.
    pub name: FrameworkName,
    /// Add L_lg and λ L_ll; false is the plain framework on two global views.
    pub logo: bool,
    /// τ of InfoNCE; SimSiam and BYOL do not use it.
    pub temperature: f64,
    /// How targets are made, with MoCo and BYOL.
    #[serde(default)]
    pub momentum: MomentumConfig,
    /// How the terms over pairs of views are put together.
    #[serde(default)]
    pub terms: Terms,
}

/// The momentum encoder, whose weights follow the encoder's: ξ ← m ξ + (1 - m) θ. MoCo and BYOL have
/// one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MomentumConfig {
    /// m
    pub base: f64,
    /// Whether m rises to 1 by a half cosine over the run, as BYOL's does.
    pub rises: bool,
    /// Keys that MoCo's queue holds: the negatives. A multiple of 2 × batch_size.
    pub queue: usize,
    /// Groups that views pass the encoders in, each normalised by its own statistics; keys in a
    /// shuffled order, so that statistics do not betray which belong together (MoCo, section 3.3).
    /// 1 is the whole batch in order.
    pub norm_groups: usize,
}

impl Default for MomentumConfig {
    fn default() -> Self {
        Self { base: 0.999, rises: false, queue: 4096, norm_groups: 1 }
    }
}

/// How LoGo's terms over pairs of views become one loss: L_gg is two of them, one for each
/// direction, L_lg four.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Terms {
    /// Equation 9 as written: L_gg, itself the mean of its two directions, plus the four of L_lg.
    #[default]
    Sum,
    /// All six over 6, as the authors' code: the loss keeps its size when LoGo is switched on, and
    /// a plain framework's learning rate its meaning.
    Mean,
}

/// The frameworks this version has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrameworkName {
    /// Negative cosine to a constant target, through a predictor.
    Simsiam,
    /// InfoNCE within the batch.
    Simclr,
    /// InfoNCE to a momentum encoder's keys, against a queue of earlier keys.
    Moco,
    /// Squared distance to a momentum encoder's z, through a predictor.
    Byol,
}

/// LoGo's learned affinity f_d and its share of the loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AffinityConfig {
    /// λ of equation 9.
    pub lambda: f64,
    /// What f_d is.
    #[serde(default)]
    pub form: AffinityForm,
    /// What f_d's own update maximises.
    #[serde(default)]
    pub objective: AffinityObjective,
    /// Which pairs of local views f_d learns from.
    #[serde(default)]
    pub pairs: AffinityPairs,
    /// Whether f_d's inputs are normalised first.
    #[serde(default)]
    pub normalise: bool,
    /// Standard deviation × √dim of the noise on f_d's inputs of one image; 0.3 in the authors' code.
    #[serde(default)]
    pub noise: f64,
    /// When the encoder takes its step by L_ll.
    #[serde(default)]
    pub step: LocalLocalStep,
    /// With a separate step: the most that the norm of its gradient may be, as a share of the last
    /// main gradient's.
    #[serde(default = "AffinityConfig::default_clip")]
    pub clip: f64,
    /// Hidden layers.
    pub depth: usize,
    /// Units of each.
    pub width: usize,
    /// Learning rate of f_d's own optimiser, which is of the encoder's kind, with its schedule,
    /// momentum and weight decay.
    pub lr: f64,
}

impl AffinityConfig {
    /// The authors' code.
    fn default_clip() -> f64 {
        0.015
    }
}

/// Which pairs of local views f_d learns from; `l_1(k)` is the first local view of image k.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AffinityPairs {
    /// Equation 6: (l_1(j), l_2(j)) against (l_1(j), l_1(k)), k a random other image, both normalised
    /// by the same statistics.
    #[default]
    OneOrder,
    /// The authors' code: (l_1, l_2) and (l_2, l_1) of j against (l_1(j), l_2(k)) and
    /// (l_2(j), l_1(k)), with k from the flipped batch; each of the four is a pass of its own.
    BothOrders,
}

/// When the encoder takes its step by L_ll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocalLocalStep {
    /// With the other terms: equation 9.
    #[default]
    Joint,
    /// Before them, in a step of its own with a velocity of its own and a clipped gradient, as the
    /// authors' code. Costs another pass of the local views.
    Separate,
}

/// The affinity of two embeddings a and b: the higher, the more similar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AffinityForm {
    /// softplus of an MLP over both, to one number.
    #[default]
    Mlp,
    /// The cosine of b with what an MLP over both makes of them; the second form in the authors'
    /// code.
    CosineMlp,
    /// The plain cosine of a and b: nothing is learned. The paper's ablation.
    Cosine,
}

/// What f_d's update maximises over pairs of local views.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AffinityObjective {
    /// Equation 6: the difference of the mean affinities. Unbounded for an MLP: f_d can always
    /// raise it by growing.
    #[default]
    Difference,
    /// -softplus(-f) over pairs of one image, -softplus(f) over pairs of two, with f before its own
    /// softplus: at most 0. The authors' code.
    Softplus,
}

/// The optimiser of encoder and f_d, under linear warm-up and cosine decay to 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Which optimiser.
    #[serde(default)]
    pub name: OptimizerName,
    /// Passes over the images.
    pub epochs: usize,
    /// Images a batch, each with all of its views.
    pub batch_size: usize,
    /// Batches an update of the encoder, which follows the mean of their gradients. Each batch is
    /// normalised and contrasted on its own; f_d takes a step with each.
    #[serde(default = "OptimizerConfig::default_accumulate")]
    pub accumulate: usize,
    /// Learning rate after warm-up, before `lr_scaling`.
    pub lr: f64,
    /// Whether learning rates, f_d's too, are per 256 images.
    #[serde(default)]
    pub lr_scaling: LrScaling,
    /// Whether the predictor keeps its learning rate throughout, without warm-up and decay: it should
    /// be ahead of the representations that change (SimSiam, section 4.2).
    #[serde(default)]
    pub predictor_fixed_lr: bool,
    /// Momentum of SGD and LARS.
    pub momentum: f64,
    /// β₁ and β₂ of AdamW.
    #[serde(default = "OptimizerConfig::default_betas")]
    pub betas: [f64; 2],
    /// Weight decay.
    pub weight_decay: f64,
    /// Whether biases, and γ and β of batch norms, decay as well.
    #[serde(default = "OptimizerConfig::default_decay_norm_and_bias")]
    pub decay_norm_and_bias: bool,
    /// The most that the norm of the encoder's gradient may be; 0 for no bound.
    #[serde(default)]
    pub clip: f64,
    /// Epochs of linear warm-up from 0; 0 for none.
    pub warmup_epochs: f64,
    /// Whether the rate changes with every step or once an epoch.
    pub schedule_per: SchedulePer,
}

impl OptimizerConfig {
    /// Images an update of the encoder.
    pub fn images_per_update(&self) -> usize {
        self.batch_size * self.accumulate
    }

    /// `lr` as it is used in updates by `images` each.
    pub fn scaled(&self, lr: f64, images: usize) -> f64 {
        /// The batch that the field states its learning rates for (Goyal et al., 2017).
        const BASE: f64 = 256.0;
        match self.lr_scaling {
            LrScaling::None => lr,
            LrScaling::Batch => lr * images as f64 / BASE,
        }
    }

    /// What was done before there was this key.
    fn default_accumulate() -> usize {
        1
    }

    /// PyTorch's.
    fn default_betas() -> [f64; 2] {
        [0.9, 0.999]
    }

    /// What was done before there was this key.
    fn default_decay_norm_and_bias() -> bool {
        true
    }
}

/// The optimisers this version has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    /// SGD with momentum.
    #[default]
    Sgd,
    /// SGD whose steps are in proportion to each weight's norm, for large batches.
    Lars,
    /// Adam with decoupled weight decay.
    AdamW,
}

/// Whether learning rates grow with what an update sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LrScaling {
    /// They are used as they stand.
    #[default]
    None,
    /// lr × images an update / 256: batch_size × accumulate for the encoder, batch_size for f_d, which
    /// takes a step with each batch. A run's log has the encoder's rate as it was used.
    Batch,
}

/// How often the learning rate changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchedulePer {
    /// With every optimiser step.
    Step,
    /// At the start of each epoch.
    Epoch,
}

/// kNN during and after training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalConfig {
    /// What is classified: the dataset that is trained on, or another.
    #[serde(default)]
    pub dataset: EvalDataset,
    /// Pixels that an image's shorter side is brought to; 0 leaves images as they are.
    #[serde(default)]
    pub resize: usize,
    /// Side of the central square of it that is evaluated, pixels; 0 leaves images as they are.
    #[serde(default)]
    pub crop: usize,
    /// Evaluate every so many epochs, and always after the last; 0 for the last alone.
    pub every: usize,
    /// Neighbours: 1 is the plain nearest, others vote with weights exp(s/τ).
    pub k: Vec<usize>,
    /// τ of the vote.
    pub temperature: f64,
    /// Which output is compared.
    pub features: Features,
}

/// Which dataset the kNN is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum EvalDataset {
    /// The one that is trained on.
    #[default]
    Same,
    /// Another.
    Other(DatasetName),
}

impl From<EvalDataset> for String {
    fn from(dataset: EvalDataset) -> Self {
        match dataset {
            EvalDataset::Same => "same".to_owned(),
            EvalDataset::Other(name) => name.to_string(),
        }
    }
}

impl TryFrom<String> for EvalDataset {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        match name.as_str() {
            "same" => Ok(Self::Same),
            name => Ok(Self::Other(name.parse()?)),
        }
    }
}

/// Where features are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Features {
    /// After global average pooling: the field's choice.
    Backbone,
    /// The projector's z, as the earlier SimSiam-LoGo code.
    Projector,
}

/// What activations and their gradients are stored as between the layers. Master weights, sums and
/// statistics are in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// bfloat16: half the memory, half the traffic; multiplied as it is where the device can.
    Bf16,
}

/// How it is computed. All keys change results within rounding, and `sync` what batch norms see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComputeConfig {
    /// What the backbone's activations are stored as.
    pub precision: Precision,
    /// Whether several devices take the encoder's batch norms over the whole batch, so that their number
    /// changes nothing; else each normalises its own part.
    #[serde(default = "ComputeConfig::default_sync")]
    pub sync: bool,
    /// Where it is computed: `cpu`, `cuda`, `rocm`, `tpu`, or a plugin's path. Runs of before this key
    /// were on the CPU.
    #[serde(default)]
    pub device: DeviceName,
    /// Whether a GPU must give the same bytes for the same seed, at some cost of speed. The CPU always
    /// does.
    #[serde(default)]
    pub deterministic: bool,
    /// The processor's instructions that the run was started with: `auto` until then.
    pub instructions: String,
}

impl Default for ComputeConfig {
    fn default() -> Self {
        Self {
            precision: Precision::F32,
            sync: Self::default_sync(),
            device: DeviceName::default(),
            deterministic: false,
            instructions: "auto".to_owned(),
        }
    }
}

impl ComputeConfig {
    fn default_sync() -> bool {
        true
    }
}

/// Errors of the earlier SimSiam-LoGo code, each kept for the preset `cifar10-seed` alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedCodeConfig {
    /// L_gg from the first global view to the second only.
    pub one_sided_global_global: bool,
    /// λ L_ll's gradient stays in f_d's buffers and is added to its next update.
    pub leak_local_local_gradient: bool,
    /// An image can be its own negative.
    pub self_negatives: bool,
    /// The kNN bank loses its last partial batch: zero rows that keep their labels; test images of
    /// the last partial batch are left out.
    pub drop_last_bank_batch: bool,
}

impl SeedCodeConfig {
    /// Whether any of them is on.
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}
