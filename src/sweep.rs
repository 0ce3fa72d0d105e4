//! Several settings, one run each: what a sweep's file asks for.
//!
//! ```toml
//! preset = "cifar10-cpu"
//! set = ["optimizer.epochs=4"]          # laid over the preset in every run
//!
//! [[variant]]                           # each laid over that
//! name = "simclr"
//! set = ["framework.logo=false"]
//!
//! [[variant]]
//! name = "simclr-logo"
//! set = ["framework.logo=true"]
//!
//! [grid]                                # every combination of these, for every variant
//! seed = [0, 1, 2]
//! ```

use std::path::Path;

use serde::Deserialize;
use toml::Value;

use crate::config::Config;
use crate::presets::Layers;
use crate::{Error, Result};

/// The runs that a sweep's file asks for, in order.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// At least one.
    pub runs: Vec<Planned>,
}

/// One run of a sweep.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its folder's name: the variant, then what the grid changes.
    pub name: String,
    /// Its settings.
    pub config: Config,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SweepFile {
    preset: String,
    #[serde(default)]
    set: Vec<String>,
    #[serde(default, rename = "variant")]
    variants: Vec<Variant>,
    #[serde(default)]
    grid: toml::Table,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Variant {
    name: String,
    #[serde(default)]
    set: Vec<String>,
}

impl Sweep {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::Sweep`] when it is no sweep, or when any of its
    /// runs has settings that are refused: nothing is trained before all are known to be possible.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        Self::parse(&text).map_err(|error| error.of_sweep(path.display().to_string()))
    }

    fn parse(text: &str) -> Result<Self> {
        let file: SweepFile = toml::from_str(text).map_err(|error| {
            Error::settings(format!("no sweep: {}", error.to_string().trim_end()))
        })?;
        let variants = match file.variants.is_empty() {
            true => vec![Variant { name: file.preset.clone(), set: vec![] }],
            false => file.variants.clone(),
        };
        let combinations = combinations(&file.grid)?;
        let mut runs = Vec::with_capacity(variants.len() * combinations.len());
        for variant in &variants {
            for combination in &combinations {
                runs.push(planned(&file, variant, combination)?);
            }
        }
        refuse_equal_names(&runs)?;
        Ok(Self { runs })
    }
}

/// One value for each key of a grid.
type Combination = Vec<(String, Value)>;

/// Every combination of the grid's values, the last key changing fastest.
fn combinations(grid: &toml::Table) -> Result<Vec<Combination>> {
    let mut all = vec![Combination::new()];
    for (key, values) in grid {
        let values = values.as_array().filter(|values| !values.is_empty()).ok_or_else(|| {
            Error::setting(
                key,
                format!("grid: `{key}` must be a list of values, for example [0, 1, 2]"),
            )
        })?;
        let with = |value: &Value, before: &Combination| {
            let mut combination = before.clone();
            combination.push((key.clone(), value.clone()));
            combination
        };
        all = all.iter().flat_map(|c| values.iter().map(move |v| with(v, c))).collect();
    }
    Ok(all)
}

fn planned(file: &SweepFile, variant: &Variant, combination: &Combination) -> Result<Planned> {
    let refused = |error: Error| error.of_sweep(format!("variant {}", variant.name));
    let mut layers = Layers::preset(&file.preset)?;
    for assignment in file.set.iter().chain(&variant.set) {
        layers = layers.set(assignment).map_err(refused)?;
    }
    let mut name = variant.name.clone();
    for (key, value) in combination {
        layers = layers.set(&format!("{key}={value}")).map_err(refused)?;
        let short = key.rsplit('.').next().unwrap_or(key);
        name.push_str(&format!("-{short}-{}", value.to_string().trim_matches('"')));
    }
    if name.contains(['/', '\\']) || name.starts_with('.') {
        return Err(Error::settings(format!("`{name}` cannot be the name of a folder")));
    }
    Ok(Planned { name, config: layers.build().map_err(refused)? })
}

fn refuse_equal_names(runs: &[Planned]) -> Result<()> {
    let mut names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::settings(format!(
            "two runs would be called `{}`: give each variant a name of its own",
            pair[0]
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str = r#"
        preset = "quickstart"
        set = ["optimizer.epochs=2"]
        [[variant]]
        name = "plain"
        set = ["framework.logo=false"]
        [[variant]]
        name = "logo"
        [grid]
        seed = [3, 4]
        "optimizer.lr" = [0.1, 0.2]
    "#;

    #[test]
    fn every_variant_meets_every_combination() {
        let sweep = Sweep::parse(BOTH).unwrap();
        let names: Vec<_> = sweep.runs.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names.len(), 8);
        assert_eq!(names[0], "plain-lr-0.1-seed-3");
        assert_eq!(names[7], "logo-lr-0.2-seed-4");
        let last = &sweep.runs[7].config;
        assert!(last.framework.logo && last.seed == 4 && last.optimizer.lr == 0.2);
        assert!(!sweep.runs[0].config.framework.logo);
        assert!(sweep.runs.iter().all(|run| run.config.optimizer.epochs == 2));
    }

    #[test]
    fn what_is_refused_is_named() {
        let refused = |text: &str| Sweep::parse(text).unwrap_err().to_string();
        assert!(refused("preset = \"quickstart\"\nseeds = [1]").contains("seeds"));
        assert!(
            refused("preset = \"quickstart\"\n[grid]\nseed = 1").contains("`seed` must be a list")
        );
        let twice = "preset = \"quickstart\"\n[[variant]]\nname = \"a\"\n[[variant]]\nname = \"a\"";
        assert!(refused(twice).contains("two runs would be called `a`"));
        let wrong = "preset = \"quickstart\"\n[[variant]]\nname = \"a\"\nset = [\"seed=-1\"]";
        assert!(refused(wrong).contains("variant a"), "{}", refused(wrong));
        let outside = "preset = \"quickstart\"\n[[variant]]\nname = \"../a\"";
        assert!(refused(outside).contains("name of a folder"));
    }
}
