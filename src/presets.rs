//! How a config is put together: preset < file < flags, every key and value checked.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::config::{
    AffinityForm, AffinityObjective, AffinityPairs, Config, CropConfig, FrameworkName,
    LocalLocalStep, OptimizerName, Stem,
};
use crate::engine::Level;
use crate::{Error, Result};
use logo_ssl_base::suggest;

/// The presets, as they are embedded in the binary. Each is complete: it names every key.
pub const PRESETS: [(&str, &str); 11] = [
    ("quickstart", include_str!("../configs/quickstart.toml")),
    ("cifar10", include_str!("../configs/cifar10.toml")),
    ("cifar10-seed", include_str!("../configs/cifar10-seed.toml")),
    ("cifar10-cpu", include_str!("../configs/cifar10-cpu.toml")),
    ("cifar10-moco-logo", include_str!("../configs/cifar10-moco-logo.toml")),
    ("cifar10-byol-logo", include_str!("../configs/cifar10-byol-logo.toml")),
    ("folder", include_str!("../configs/folder.toml")),
    ("imagenet100-moco-logo", include_str!("../configs/imagenet100-moco-logo.toml")),
    ("imagenet100-simsiam-logo", include_str!("../configs/imagenet100-simsiam-logo.toml")),
    ("imagenet1k-moco-logo", include_str!("../configs/imagenet1k-moco-logo.toml")),
    ("imagenet1k-simsiam-logo", include_str!("../configs/imagenet1k-simsiam-logo.toml")),
];

/// Presets that are another one but for a line: `(name, the other, with LoGo)`.
pub const TWINS: [(&str, &str, bool); 8] = [
    ("cifar10-simsiam-logo", "cifar10", true),
    ("cifar10-simsiam", "cifar10", false),
    ("cifar10-moco", "cifar10-moco-logo", false),
    ("cifar10-byol", "cifar10-byol-logo", false),
    ("imagenet100-moco", "imagenet100-moco-logo", false),
    ("imagenet100-simsiam", "imagenet100-simsiam-logo", false),
    ("imagenet1k-moco", "imagenet1k-moco-logo", false),
    ("imagenet1k-simsiam", "imagenet1k-simsiam-logo", false),
];

/// The names of all presets.
pub fn names() -> impl Iterator<Item = &'static str> {
    let files = PRESETS.iter().map(|(name, _)| *name);
    files.chain(TWINS.iter().map(|(name, _, _)| *name))
}

/// The commented text of a preset.
///
/// # Errors
/// [`Error::Usage`] with the nearest name when there is none of that name.
pub fn preset_text(name: &str) -> Result<Cow<'static, str>> {
    if let Some((_, base, logo)) = TWINS.iter().find(|(twin, _, _)| *twin == name) {
        let text = preset_text(base)?;
        let text =
            text.replacen(&format!("preset = \"{base}\""), &format!("preset = \"{name}\""), 1);
        return Ok(Cow::Owned(text.replacen("logo = true", &format!("logo = {logo}"), 1)));
    }
    let found = PRESETS.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| Cow::Borrowed(*text)).ok_or_else(|| {
        Error::Usage(format!("there is no preset `{name}`: {}", suggest(name, names())))
    })
}

/// A config in the making. Later layers win; each is checked against the preset's keys.
pub struct Layers {
    table: Table,
}

impl Layers {
    /// Starts from the preset called `name`.
    ///
    /// # Errors
    /// [`Error::Usage`] when there is none of that name.
    pub fn preset(name: &str) -> Result<Self> {
        let table = parse(&preset_text(name)?, &format!("preset {name}"))?;
        Ok(Self { table })
    }

    /// Lays the TOML file at `path` on top.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::Usage`] when it is no TOML or has unknown keys.
    pub fn file(mut self, path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let origin = path.display().to_string();
        let layer = parse(&text, &origin)?;
        merge(&mut self.table, layer, &mut Vec::new(), &origin)?;
        Ok(self)
    }

    /// Lays one `key.path=value` on top; the value is TOML, or else a plain string.
    ///
    /// # Errors
    /// [`Error::Usage`] when there is no `=`, or no such key.
    pub fn set(mut self, assignment: &str) -> Result<Self> {
        let Some((key, value)) = assignment.split_once('=') else {
            return Err(Error::Usage(format!(
                "`{assignment}` is no assignment; write it as key=value, for example optimizer.lr=0.1"
            )));
        };
        let value = value.trim();
        let parsed = format!("v = {value}").parse::<Table>().ok().and_then(|mut t| t.remove("v"));
        let value = parsed.unwrap_or_else(|| Value::String(value.to_owned()));
        let mut layer = value;
        for part in key.trim().rsplit('.') {
            layer = Value::Table(Table::from_iter([(part.to_owned(), layer)]));
        }
        if let Value::Table(layer) = layer {
            merge(&mut self.table, layer, &mut Vec::new(), "--set")?;
        }
        Ok(self)
    }

    /// The finished, validated config.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the first value of a wrong type or out of range, or two settings
    /// that contradict each other.
    pub fn build(self) -> Result<Config> {
        let config: Config = self
            .table
            .try_into()
            .map_err(|error: toml::de::Error| Error::Usage(format!("config: {}", tidy(&error))))?;
        validate(&config)?;
        Ok(config)
    }
}

/// Reads back the `config.toml` of a run.
///
/// # Errors
/// [`Error::Run`] when it is missing or damaged.
pub fn read_run_config(path: &Path) -> Result<Config> {
    let damaged = |message: String| Error::Run { path: PathBuf::from(path), message };
    let text = std::fs::read_to_string(path)
        .map_err(|error| damaged(format!("cannot be read ({error}); is this a run directory?")))?;
    let config =
        config_of_text(&text).map_err(|problem| damaged(format!("is damaged: {problem}")))?;
    validate(&config)?;
    Ok(config)
}

/// A config from what [`to_toml`] made of it, by this version or one before it: keys that are younger
/// than the text have the value that they stand for without being there.
///
/// # Errors
/// A sentence naming what is missing or wrong.
pub fn config_of_text(text: &str) -> Result<Config, String> {
    toml::from_str(text).map_err(|error| tidy(&error))
}

/// All values of `config`, resolved, as TOML.
pub fn to_toml(config: &Config) -> String {
    toml::to_string(config).expect("a config is made of TOML's own types")
}

fn parse(text: &str, origin: &str) -> Result<Table> {
    text.parse::<Table>()
        .map_err(|error| Error::Usage(format!("{origin} is no valid TOML: {}", tidy(&error))))
}

/// TOML's error without the trailing line break.
fn tidy(error: &toml::de::Error) -> String {
    error.to_string().trim_end().to_owned()
}

fn merge(base: &mut Table, layer: Table, path: &mut Vec<String>, origin: &str) -> Result<()> {
    for (key, value) in layer {
        path.push(key.clone());
        let dotted = path.join(".");
        if !base.contains_key(&key) {
            let known = base.keys().map(String::as_str);
            let hint = suggest(&key, known);
            return Err(Error::Usage(format!("unknown key `{dotted}` in {origin}: {hint}")));
        }
        match (&mut base[&key], value) {
            (Value::Table(inner), Value::Table(layer)) => merge(inner, layer, path, origin)?,
            (Value::Table(_), _) => {
                return Err(Error::Usage(format!(
                    "`{dotted}` in {origin} is a section, not a value"
                )));
            }
            (Value::Float(old), Value::Integer(new)) => *old = new as f64,
            (old, new) => *old = new,
        }
        path.pop();
    }
    Ok(())
}

/// Refuses values out of range and settings that contradict each other.
///
/// # Errors
/// [`Error::Usage`] naming the first such key, and what would do.
pub fn validate(config: &Config) -> Result<()> {
    let checks = [
        validate_data(config),
        validate_views(config),
        validate_model(config),
        validate_training(config),
        validate_optimizer(config),
        validate_batches(config),
        validate_eval(config),
        validate_compute(config),
        validate_seed_code(config),
    ];
    match checks.into_iter().find_map(Result::err) {
        Some(message) => Err(Error::Usage(message)),
        None => Ok(()),
    }
}

type Check = Result<(), String>;

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(message()) }
}

fn in_range<T: PartialOrd + std::fmt::Display>(key: &str, value: T, least: T, most: T) -> Check {
    ensure(value >= least && value <= most, || {
        format!("{key} = {value} is out of range: expected {least} to {most}")
    })
}

fn validate_views(config: &Config) -> Check {
    let views = &config.views;
    validate_crop("views.global", &views.global)?;
    validate_crop("views.local", &views.local)?;
    ensure(views.local.size <= views.global.size, || {
        format!(
            "views.local.size = {} contradicts views.global.size = {}: local views are the smaller ones",
            views.local.size, views.global.size
        )
    })?;
    in_range("views.global.count", views.global.count, 2, 64)?;
    in_range("views.local.count", views.local.count, 0, 64)?;
    ensure(!config.framework.logo || views.local.count >= 2, || {
        format!(
            "framework.logo = true contradicts views.local.count = {}: L_ll compares two local views of an image; \
             set it to at least 2, or framework.logo = false",
            views.local.count
        )
    })?;
    in_range("views.flip", views.flip, 0.0, 1.0)?;
    in_range("views.grayscale", views.grayscale, 0.0, 1.0)?;
    let jitter = &views.jitter;
    in_range("views.jitter.probability", jitter.probability, 0.0, 1.0)?;
    in_range("views.jitter.brightness", jitter.brightness, 0.0, 10.0)?;
    in_range("views.jitter.contrast", jitter.contrast, 0.0, 10.0)?;
    in_range("views.jitter.saturation", jitter.saturation, 0.0, 10.0)?;
    in_range("views.jitter.hue", jitter.hue, 0.0, 0.5)?;
    in_range("views.blur.probability", views.blur.probability, 0.0, 1.0)?;
    let [least, most] = views.blur.sigma;
    ensure(least > 0.0 && least <= most, || {
        format!("views.blur.sigma = [{least}, {most}] must be two positive numbers in rising order")
    })
}

fn validate_crop(key: &str, crop: &CropConfig) -> Check {
    in_range(&format!("{key}.size"), crop.size, 8, 512)?;
    let [least, most] = crop.area;
    ensure(0.0 < least && least <= most && most <= 1.0, || {
        format!(
            "{key}.area = [{least}, {most}] must be two shares of the image in rising order, above 0 and at most 1"
        )
    })?;
    let [narrow, wide] = crop.aspect;
    ensure(0.0 < narrow && narrow <= wide, || {
        format!("{key}.aspect = [{narrow}, {wide}] must be two positive ratios in rising order")
    })
}

fn validate_model(config: &Config) -> Check {
    let model = &config.model;
    in_range("model.width", model.width, 1, 1024)?;
    validate_stem(config)?;
    in_range("model.projector.layers", model.projector.layers, 1, 8)?;
    in_range("model.projector.hidden", model.projector.hidden, 1, 65_536)?;
    in_range("model.projector.dim", model.projector.dim, 2, 65_536)?;
    let framework = &config.framework;
    ensure(
        !crate::framework::from_config(config).needs().predictor || model.predictor.hidden > 0,
        || {
            "framework.name needs a predictor: model.predictor.hidden = 0 contradicts it (SimSiam and BYOL \
         collapse without one); set it to a quarter of model.projector.dim"
            .to_owned()
        },
    )?;
    validate_momentum(config)?;
    let affinity = &config.affinity;
    let bounded = affinity.objective == AffinityObjective::Softplus;
    ensure(!bounded || affinity.form == AffinityForm::Mlp, || {
        "affinity.objective = \"softplus\" contradicts affinity.form: a cosine is bounded already and has no \
         softplus to take off; set affinity.objective = \"difference\" or affinity.form = \"mlp\""
            .to_owned()
    })?;
    in_range("affinity.depth", config.affinity.depth, 1, 64)?;
    in_range("affinity.width", config.affinity.width, 1, 65_536)?;
    in_range("affinity.noise", affinity.noise, 0.0, 100.0)?;
    in_range("affinity.clip", affinity.clip, 0.0, 1e6)?;
    let flips = framework.logo && affinity.pairs == AffinityPairs::BothOrders;
    ensure(!flips || config.optimizer.batch_size.is_multiple_of(2), || {
        "affinity.pairs = \"both-orders\" contradicts an odd optimizer.batch_size: the batch is flipped, and \
         the image in its middle would be its own negative"
            .to_owned()
    })?;
    in_range("affinity.lambda", config.affinity.lambda, 0.0, 1e6)?;
    in_range("affinity.lr", config.affinity.lr, 0.0, 1e6)
}

/// The stem for large images and the three later stages halve each side five times.
const IMAGENET_STEM_LEAST: usize = 32;

fn validate_stem(config: &Config) -> Check {
    let views = &config.views;
    let local = config.framework.logo.then_some(("views.local", &views.local));
    for (key, crop) in [("views.global", &views.global)].into_iter().chain(local) {
        ensure(config.model.stem == Stem::Cifar || crop.size >= IMAGENET_STEM_LEAST, || {
            format!(
                "{key}.size = {} contradicts model.stem = \"imagenet\", which halves a view five times: the last \
                 stages would have one pixel to halve; set model.stem = \"cifar\", or a size of at least \
                 {IMAGENET_STEM_LEAST}",
                crop.size
            )
        })?;
    }
    Ok(())
}

fn validate_momentum(config: &Config) -> Check {
    let (framework, batch) = (&config.framework, config.optimizer.batch_size);
    let momentum = &framework.momentum;
    in_range("framework.momentum.base", momentum.base, 0.0, 1.0)?;
    in_range("framework.momentum.queue", momentum.queue, 1, 1 << 24)?;
    let moco = framework.name == FrameworkName::Moco;
    let (queue, groups) = (momentum.queue, momentum.norm_groups);
    let keys = config.views.global.count * batch;
    ensure(!moco || queue.is_multiple_of(keys), || {
        format!(
            "framework.momentum.queue = {queue} contradicts optimizer.batch_size = {batch}: every batch \
             replaces the keys of all its global views, so the queue must be a multiple of {keys}"
        )
    })?;
    let whole = |views: usize| views.is_multiple_of(groups) && views / groups != 1;
    ensure(groups > 0 && whole(keys) && whole(config.views.local.count * batch), || {
        format!(
            "framework.momentum.norm_groups = {groups} contradicts optimizer.batch_size = {batch}: the global and \
             the local views of a batch must each divide into equal groups of at least 2"
        )
    })
}

fn validate_training(config: &Config) -> Check {
    let optimizer = &config.optimizer;
    in_range("optimizer.epochs", optimizer.epochs, 1, 1_000_000)?;
    in_range("optimizer.batch_size", optimizer.batch_size, 2, 1 << 20)?;
    in_range("optimizer.lr", optimizer.lr, 0.0, 1e6)?;
    in_range("optimizer.momentum", optimizer.momentum, 0.0, 0.999_999)?;
    in_range("optimizer.weight_decay", optimizer.weight_decay, 0.0, 1e3)?;
    let epochs = optimizer.epochs as f64;
    ensure((0.0..epochs).contains(&optimizer.warmup_epochs), || {
        format!(
            "optimizer.warmup_epochs = {} contradicts optimizer.epochs = {epochs}: warm-up must end before training does",
            optimizer.warmup_epochs
        )
    })?;
    in_range("framework.temperature", config.framework.temperature, 1e-3, 1e3)
}

fn validate_optimizer(config: &Config) -> Check {
    let optimizer = &config.optimizer;
    in_range("optimizer.clip", optimizer.clip, 0.0, 1e6)?;
    let [beta1, beta2] = optimizer.betas;
    ensure(optimizer.betas.iter().all(|beta| (0.0..1.0).contains(beta)), || {
        format!(
            "optimizer.betas = [{beta1}, {beta2}] must be two numbers from 0 to below 1: at 1 a mean forgets nothing \
             and learns nothing"
        )
    })?;
    ensure(!optimizer.predictor_fixed_lr || config.model.predictor.hidden > 0, || {
        "optimizer.predictor_fixed_lr = true contradicts model.predictor.hidden = 0: there is no predictor whose \
         rate could stay"
            .to_owned()
    })?;
    let separate = config.framework.logo && config.affinity.step == LocalLocalStep::Separate;
    ensure(!separate || optimizer.name == OptimizerName::Sgd, || {
        "affinity.step = \"separate\" contradicts optimizer.name: LARS and AdamW set the length of a step themselves, \
         so that affinity.lambda and affinity.clip would not bound it; set affinity.step = \"joint\" or \
         optimizer.name = \"sgd\""
            .to_owned()
    })
}

fn validate_batches(config: &Config) -> Check {
    let (limit, optimizer) = (config.data.limit, &config.optimizer);
    let (batch, accumulate) = (optimizer.batch_size, optimizer.accumulate);
    ensure(accumulate > 0, || {
        "optimizer.accumulate = 0: an update takes at least one batch; 1 is an update with every batch"
            .to_owned()
    })?;
    in_range("optimizer.accumulate", accumulate, 1, 1 << 16)?;
    ensure(limit == 0 || limit >= batch, || {
        format!(
            "data.limit = {limit} contradicts optimizer.batch_size = {batch}: there would be no whole batch; \
             raise the one or lower the other"
        )
    })?;
    ensure(limit == 0 || limit >= optimizer.images_per_update(), || {
        format!(
            "data.limit = {limit} contradicts optimizer.batch_size × optimizer.accumulate = {batch} × {accumulate}: \
             there would be no whole update; raise the one or lower the others"
        )
    })
}

fn validate_data(config: &Config) -> Check {
    // Above a half, an image that stands in for a broken one would mostly be broken too.
    in_range("data.max_bad_fraction", config.data.max_bad_fraction, 0.0, 0.5)?;
    ensure(config.data.std.iter().all(|&std| std > 0.0), || {
        "data.std must be positive in every channel".to_owned()
    })
}

fn validate_eval(config: &Config) -> Check {
    let eval = &config.eval;
    ensure((eval.resize == 0) == (eval.crop == 0) && eval.crop <= eval.resize, || {
        format!(
            "eval.crop = {} contradicts eval.resize = {}: the crop is the middle of the resized image, for example 224 \
             of 256; 0 and 0 leave images as they are",
            eval.crop, eval.resize
        )
    })?;
    in_range("eval.resize", eval.resize, 0, 4096)?;
    ensure(!eval.k.is_empty(), || {
        "eval.k is empty: name at least one k, for example [1]".to_owned()
    })?;
    for &k in &eval.k {
        in_range("eval.k", k, 1, 100_000)?;
    }
    in_range("eval.temperature", eval.temperature, 1e-3, 1e3)
}

fn validate_compute(config: &Config) -> Check {
    let instructions = &config.compute.instructions;
    let levels = Level::ALL.map(|level| level.to_string());
    let known = || std::iter::once("auto").chain(levels.iter().map(String::as_str));
    ensure(known().any(|name| name == instructions), || {
        format!("compute.instructions = \"{instructions}\": {}", suggest(instructions, known()))
    })?;
    let (device, batch) = (&config.compute.device, config.optimizer.batch_size);
    ensure(batch.is_multiple_of(device.replicas()), || {
        format!(
            "compute.device = \"{device}\" contradicts optimizer.batch_size = {batch}: every device takes as many \
             images; make it a multiple of {}, or name fewer devices",
            device.replicas()
        )
    })
}

fn validate_seed_code(config: &Config) -> Check {
    ensure(config.preset == "cifar10-seed" || !config.seed_code.any(), || {
        "seed_code.* repeats errors of earlier code; they are offered under --preset cifar10-seed alone"
            .to_owned()
    })
}
