//! How a config is put together: preset < file < flags, every key checked.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::config::Config;
use crate::error::suggest;
use crate::{Error, Result};

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
        config.validate()?;
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
    config.validate()?;
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
