//! How a config is put together: preset < file < flags, every key checked.

use std::collections::BTreeSet;
use std::path::Path;

use toml::{Table, Value};

use crate::config::{Config, DatasetName, Unchosen};
use crate::{Error, Result};
use logo_ssl_base::suggest;

mod inherit;

use inherit::Files;

/// The preset that is meant where none is named.
pub const DEFAULT: &str = "quickstart";

/// The presets' files, embedded. Each states what differs from its `base`; one without is complete.
const FILES: Files<'static> = Files(&[
    ("quickstart", include_str!("../../configs/quickstart.toml")),
    ("cifar10", include_str!("../../configs/cifar10.toml")),
    ("cifar10-seed", include_str!("../../configs/cifar10-seed.toml")),
    ("cifar10-cpu", include_str!("../../configs/cifar10-cpu.toml")),
    ("cifar10-cpu-hour", include_str!("../../configs/cifar10-cpu-hour.toml")),
    ("cifar10-cpu-two-hours", include_str!("../../configs/cifar10-cpu-two-hours.toml")),
    ("cifar10-gpu", include_str!("../../configs/cifar10-gpu.toml")),
    ("cifar10-gpu-minute", include_str!("../../configs/cifar10-gpu-minute.toml")),
    ("cifar10-moco-logo", include_str!("../../configs/cifar10-moco-logo.toml")),
    ("cifar10-byol-logo", include_str!("../../configs/cifar10-byol-logo.toml")),
    ("folder", include_str!("../../configs/folder.toml")),
    ("imagenet100-moco-logo", include_str!("../../configs/imagenet100-moco-logo.toml")),
    ("imagenet100-simsiam-logo", include_str!("../../configs/imagenet100-simsiam-logo.toml")),
    ("imagenet1k-moco-logo", include_str!("../../configs/imagenet1k-moco-logo.toml")),
    ("imagenet1k-simsiam-logo", include_str!("../../configs/imagenet1k-simsiam-logo.toml")),
    ("cifar10-simsiam-logo", include_str!("../../configs/cifar10-simsiam-logo.toml")),
    ("cifar10-simsiam", include_str!("../../configs/cifar10-simsiam.toml")),
    ("cifar10-moco", include_str!("../../configs/cifar10-moco.toml")),
    ("cifar10-byol", include_str!("../../configs/cifar10-byol.toml")),
    ("imagenet100-moco", include_str!("../../configs/imagenet100-moco.toml")),
    ("imagenet100-simsiam", include_str!("../../configs/imagenet100-simsiam.toml")),
    ("imagenet1k-moco", include_str!("../../configs/imagenet1k-moco.toml")),
    ("imagenet1k-simsiam", include_str!("../../configs/imagenet1k-simsiam.toml")),
]);

/// The names of all presets.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.names()
}

/// The commented text of a preset, complete: what its file states, laid over what it inherits.
///
/// # Errors
/// [`Error::Name`] with the nearest name when there is none of that name.
pub fn preset_text(name: &str) -> Result<String> {
    if !names().any(|known| known == name) {
        return Err(Error::name("preset", name, suggest(name, names())));
    }
    FILES.resolve(name).map(|document| document.to_string()).map_err(Error::settings)
}

/// A config in the making. Later layers win; each is checked against the preset's keys.
pub struct Layers {
    table: Table,
    /// The dotted keys that were laid over the preset.
    chosen: BTreeSet<String>,
    /// The preset's share of warm-up in its epochs.
    warmup: f64,
}

impl Layers {
    /// Starts from the preset called `name`.
    ///
    /// # Errors
    /// [`Error::Name`] when there is none of that name.
    pub fn preset(name: &str) -> Result<Self> {
        let table = parse(&preset_text(name)?, &format!("preset {name}"))?;
        let warmup = number(&table, WARMUP) / number(&table, EPOCHS).max(1.0);
        Ok(Self { table, chosen: BTreeSet::new(), warmup })
    }

    /// Starts from the settings of a run, all of which are chosen.
    pub fn of_config(config: &Config) -> Self {
        let table = Table::try_from(config).expect("a config is made of TOML's own types");
        let mut chosen = BTreeSet::new();
        chosen_in(&table, "", &mut chosen);
        Self { table, chosen, warmup: 0.0 }
    }

    /// Lays the TOML file at `path` on top.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::Setting`] when it is no TOML or has unknown keys.
    pub fn file(mut self, path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let origin = path.display().to_string();
        let layer = parse(&text, &origin)?;
        self.lay(layer, &origin)?;
        Ok(self)
    }

    /// Lays one `key.path=value` on top; the value is TOML, or else a plain string.
    ///
    /// # Errors
    /// [`Error::Setting`] when there is no `=`, or no such key.
    pub fn set(mut self, assignment: &str) -> Result<Self> {
        let Some((key, value)) = assignment.split_once('=') else {
            return Err(Error::settings(format!(
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
            self.lay(layer, &format!("`{assignment}`"))?;
        }
        Ok(self)
    }

    fn lay(&mut self, layer: Table, origin: &str) -> Result<()> {
        chosen_in(&layer, "", &mut self.chosen);
        merge(&mut self.table, layer, &mut Vec::new(), origin)
    }

    /// Whether there is a setting of this dotted key.
    pub fn knows(&self, key: &str) -> bool {
        value_at(&self.table, key).is_some_and(|value| !value.is_table())
    }

    /// Which settings nobody chose, so that they may be changed to suit the images.
    pub fn unchosen(&self) -> Unchosen {
        Unchosen { batch_size: !self.chosen.contains("optimizer.batch_size") }
    }

    /// The finished, validated config. Where there are too few epochs for the preset's warm-up, and nobody
    /// chose another one, it keeps the preset's share of them.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the first value of a wrong type or out of range, or two settings
    /// that contradict each other.
    pub fn build(mut self) -> Result<Config> {
        self.shorten_warmup();
        self.take_statistics();
        let config: Config = self.table.try_into().map_err(|error: toml::de::Error| {
            Error::settings(format!("config: {}", tidy(&error)))
        })?;
        config.validate()?;
        Ok(config)
    }

    fn shorten_warmup(&mut self) {
        let epochs = number(&self.table, EPOCHS);
        if !self.chosen.contains(WARMUP) && number(&self.table, WARMUP) >= epochs {
            self.replace(WARMUP, Value::Float(self.warmup * epochs));
        }
    }

    /// A dataset that was laid over the preset brings the statistics of its channels, unless others were
    /// chosen.
    fn take_statistics(&mut self) {
        let is_chosen = |key: &str| self.chosen.contains(key);
        if !is_chosen("data.dataset") || STATISTICS.into_iter().any(is_chosen) {
            return;
        }
        let name = value_at(&self.table, "data.dataset").and_then(Value::as_str);
        let dataset = name.and_then(|name| name.parse::<DatasetName>().ok());
        let statistics = dataset.and_then(|dataset| dataset.source().statistics);
        for (key, channels) in STATISTICS.into_iter().zip(statistics.into_iter().flatten()) {
            self.replace(key, Value::from(channels.to_vec()));
        }
    }

    /// Gives the setting at `section.key` another value; nothing where there is no such section.
    fn replace(&mut self, key: &str, value: Value) {
        let parts = key.split_once('.');
        let section = parts.and_then(|(section, _)| self.table.get_mut(section)?.as_table_mut());
        if let (Some(section), Some((_, key))) = (section, parts) {
            section.insert(key.to_owned(), value);
        }
    }
}

const EPOCHS: &str = "optimizer.epochs";
const WARMUP: &str = "optimizer.warmup_epochs";
/// Mean and standard deviation of the channels.
const STATISTICS: [&str; 2] = ["data.mean", "data.std"];

/// What is at a dotted key.
fn value_at<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((section, rest)) => value_at(table.get(section)?.as_table()?, rest),
        None => table.get(key),
    }
}

/// The number at a key, and 0 where there is none yet: whether a value is of the right type is found later.
fn number(table: &Table, key: &str) -> f64 {
    let number = |value: &Value| value.as_float().or(value.as_integer().map(|whole| whole as f64));
    value_at(table, key).and_then(number).unwrap_or(0.0)
}

/// The dotted keys of the values in a layer.
fn chosen_in(layer: &Table, section: &str, chosen: &mut BTreeSet<String>) {
    for (key, value) in layer {
        let dotted = format!("{section}{key}");
        match value {
            Value::Table(inner) => chosen_in(inner, &format!("{dotted}."), chosen),
            _ => {
                chosen.insert(dotted);
            }
        }
    }
}

/// Reads back the `config.toml` of a run.
///
/// # Errors
/// [`Error::Run`] when it is missing or damaged.
pub fn read_run_config(path: &Path) -> Result<Config> {
    let damaged = |message: String| Error::run(path, message);
    let text = std::fs::read_to_string(path)
        .map_err(|error| damaged(format!("cannot be read ({error}); is this a run directory?")))?;
    if let Some(found) = run_format(&text).filter(|format| *format > RUN_FORMAT) {
        return Err(Error::Later { path: path.to_path_buf(), found, known: RUN_FORMAT });
    }
    let config =
        config_of_text(&text).map_err(|problem| damaged(format!("is damaged: {problem}")))?;
    config.validate()?;
    Ok(config)
}

/// A config from what [`to_toml`] made of it, by this version or one before it: keys that are younger
/// than the text have the value that they stand for without being there.
///
/// # Errors
/// [`Error::Setting`] saying what is missing or wrong.
pub(crate) fn config_of_text(text: &str) -> Result<Config> {
    toml::from_str(text).map_err(|error| Error::settings(tidy(&error)))
}

/// The version of run directories that this program writes, and the latest that it reads. Those that bear none
/// are of before there were any, and are read.
pub const RUN_FORMAT: u32 = 1;

/// What the first line of a run's config says before the version.
const RUN_LINE: &str = "# a run of logo-ssl, format ";

/// What `config.toml` of a run of `config` holds.
pub(crate) fn run_config(config: &Config) -> String {
    format!("{RUN_LINE}{RUN_FORMAT}\n{}", to_toml(config))
}

/// The version that a run's config names.
fn run_format(text: &str) -> Option<u32> {
    text.lines().next()?.strip_prefix(RUN_LINE)?.trim().parse().ok()
}

/// All values of `config`, resolved, as TOML.
pub fn to_toml(config: &Config) -> String {
    toml::to_string(config).expect("a config is made of TOML's own types")
}

fn parse(text: &str, origin: &str) -> Result<Table> {
    text.parse::<Table>()
        .map_err(|error| Error::settings(format!("{origin} is no valid TOML: {}", tidy(&error))))
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
            let message = format!("unknown key `{dotted}` in {origin}: {hint}");
            return Err(Error::setting(&dotted, message));
        }
        match (&mut base[&key], value) {
            (Value::Table(inner), Value::Table(layer)) => merge(inner, layer, path, origin)?,
            (Value::Table(_), _) => {
                let message = format!("`{dotted}` in {origin} is a section, not a value");
                return Err(Error::setting(&dotted, message));
            }
            (Value::Float(old), Value::Integer(new)) => *old = new as f64,
            (old, new) => *old = new,
        }
        path.pop();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key with its value, by its dotted path.
    fn leaves(table: &Table) -> Vec<(String, Value)> {
        let mut found = Vec::new();
        for (key, value) in table {
            match value {
                Value::Table(inner) => {
                    let inner = leaves(inner).into_iter();
                    found.extend(inner.map(|(path, value)| (format!("{key}.{path}"), value)));
                }
                value => found.push((key.clone(), value.clone())),
            }
        }
        found
    }

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    fn keys(text: &str) -> Vec<String> {
        leaves(&table(text)).into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn every_preset_resolves_to_every_key_and_has_its_own_name() {
        for name in names() {
            let config = Layers::preset(name).unwrap().build().unwrap();
            assert_eq!(config.preset, name);
            assert_eq!(keys(&preset_text(name).unwrap()), keys(&to_toml(&config)), "{name}");
        }
        assert!(names().any(|name| name == DEFAULT));
    }

    #[test]
    fn no_preset_states_what_its_base_has_already() {
        for (name, text) in FILES.0 {
            let stated = table(text);
            let Some(base) = stated.get("base") else { continue };
            let inherited = leaves(&table(&preset_text(base.as_str().unwrap()).unwrap()));
            for leaf in leaves(&stated) {
                assert!(!inherited.contains(&leaf), "{name}: {leaf:?}");
            }
        }
    }

    /// Comments stand at the head of the file or at the end of a line that states something: elsewhere
    /// they would be lost.
    #[test]
    fn no_comment_of_a_file_is_lost() {
        for (name, text) in FILES.0 {
            let resolved = preset_text(name).unwrap();
            let comments = text.lines().filter_map(|line| line.split_once('#'));
            for (_, comment) in comments {
                assert!(resolved.contains(comment), "{name}: {comment}");
            }
        }
    }

    #[test]
    fn few_epochs_shorten_a_warm_up_that_nobody_chose() {
        let warmup = |settings: &[&str]| {
            let layers = Layers::preset("folder").unwrap();
            let laid = |layers: Layers, setting: &&str| layers.set(setting).unwrap();
            settings.iter().fold(layers, laid).build().map(|config| config.optimizer.warmup_epochs)
        };
        let preset = Layers::preset("folder").unwrap().build().unwrap().optimizer;
        assert!(preset.warmup_epochs >= 1.0, "the preset warms up for {}", preset.warmup_epochs);
        let share = preset.warmup_epochs / preset.epochs as f64;
        assert_eq!(warmup(&["optimizer.epochs=1"]).unwrap(), share);
        assert_eq!(warmup(&["optimizer.epochs=100000"]).unwrap(), preset.warmup_epochs);
        assert!(warmup(&["optimizer.epochs=1", "optimizer.warmup_epochs=3"]).is_err());
    }

    #[test]
    fn a_dataset_brings_the_statistics_of_its_channels_unless_others_are_chosen() {
        let mean = |settings: &[&str]| {
            let layers = Layers::preset("cifar10").unwrap();
            let laid = |layers: Layers, setting: &&str| layers.set(setting).unwrap();
            settings.iter().fold(layers, laid).build().unwrap().data.mean
        };
        assert_eq!(mean(&["data.dataset=cifar100"]), [0.5071, 0.4865, 0.4409]);
        assert_eq!(mean(&["data.dataset=folder"]), [0.4914, 0.4822, 0.4465]);
        let chosen = ["data.dataset=cifar100", "data.mean=[0.5, 0.5, 0.5]"];
        assert_eq!(mean(&chosen), [0.5; 3]);
    }

    #[test]
    fn an_unknown_preset_is_refused_with_the_nearest() {
        let error = preset_text("cifar-10").unwrap_err().to_string();
        assert_eq!(error, "there is no preset `cifar-10`: did you mean `cifar10`?");
    }
}
