//! How two configs differ, what of it a run may go on with, and what suits few images.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::Config;

/// The settings that a run may go on with although it began with others: they change how it goes on, not
/// what it is.
const MAY_CHANGE: [&str; 12] = [
    "affinity.lr",
    "data.max_bad_fraction",
    "eval.every",
    "eval.k",
    "eval.temperature",
    "optimizer.clip",
    "optimizer.epochs",
    "optimizer.lr",
    "optimizer.momentum",
    "optimizer.schedule_per",
    "optimizer.warmup_epochs",
    "optimizer.weight_decay",
];

/// A setting with two values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its dotted key.
    pub key: String,
    /// Its value before, as TOML.
    pub before: String,
    /// Its value now, as TOML.
    pub now: String,
}

impl Change {
    /// Whether a run may go on with it.
    pub fn is_allowed(&self) -> bool {
        MAY_CHANGE.contains(&self.key.as_str())
    }

    /// All of `changes` in one line.
    pub fn list(changes: &[Self]) -> String {
        changes.iter().map(Self::to_string).collect::<Vec<_>>().join(", ")
    }

    /// The settings that a run may go on with although it began with others, by their dotted keys.
    pub fn allowed() -> &'static [&'static str] {
        &MAY_CHANGE
    }
}

impl Display for Change {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} instead of {}", self.key, self.now, self.before)
    }
}

/// Which settings nobody chose, so that they may be changed to suit the images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unchosen {
    /// `optimizer.batch_size`
    pub batch_size: bool,
}

impl Config {
    /// The settings in which `now` differs from this config. Instructions and devices are the machine's to
    /// say, and are left out.
    pub fn changes_to(&self, now: &Self) -> Vec<Change> {
        let mut now = now.clone();
        now.compute.instructions.clone_from(&self.compute.instructions);
        now.compute.device.clone_from(&self.compute.device);
        let [before, now] = [self, &now]
            .map(|config| Table::try_from(config).expect("a config is made of TOML's own types"));
        let mut changes = Vec::new();
        differences(&before, &now, "", &mut changes);
        changes
    }

    /// Changes what cannot be done with so many `images` to train on and so many in the `bank` of the kNN:
    /// a batch that nobody chose is halved until there is one, and a k beyond the bank is left out. What was
    /// changed is returned.
    pub fn fit(&mut self, images: usize, bank: Option<usize>, unchosen: Unchosen) -> Vec<Change> {
        let before = self.clone();
        if unchosen.batch_size {
            self.fit_batch(images);
        }
        if let Some(bank) = bank {
            self.eval.k.retain(|&k| k <= bank);
            if self.eval.k.is_empty() {
                self.eval.k.push(1);
            }
        }
        before.changes_to(self)
    }

    fn fit_batch(&mut self, images: usize) {
        let chosen = self.optimizer.batch_size;
        while self.optimizer.images_per_update() > images && self.optimizer.batch_size > 2 {
            self.optimizer.batch_size /= 2;
        }
        // A framework may need batches of a certain size; its own message then says more.
        if self.optimizer.images_per_update() > images || self.validate().is_err() {
            self.optimizer.batch_size = chosen;
        }
    }
}

/// The values in which `now` differs from `before`, each behind the `section` it is in.
fn differences(before: &Table, now: &Table, section: &str, changes: &mut Vec<Change>) {
    let absent = Value::String("nothing".to_owned());
    let added = now.keys().filter(|key| !before.contains_key(*key));
    for key in before.keys().chain(added) {
        let [old, new] = [before, now].map(|table| table.get(key).unwrap_or(&absent));
        let dotted = format!("{section}{key}");
        match (old, new) {
            (Value::Table(old), Value::Table(new)) => {
                differences(old, new, &format!("{dotted}."), changes);
            }
            (old, new) if old != new => {
                changes.push(Change { key: dotted, before: old.to_string(), now: new.to_string() });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets::Layers;

    fn config(settings: &[&str]) -> Config {
        let layers = Layers::preset("quickstart").unwrap();
        let laid = |layers: Layers, setting: &&str| layers.set(setting).unwrap();
        settings.iter().fold(layers, laid).build().unwrap()
    }

    #[test]
    fn changes_are_named_by_key_and_the_machines_part_is_none() {
        let (before, mut now) = (config(&[]), config(&["optimizer.lr=0.5", "model.width=16"]));
        now.compute.instructions = "other".to_owned();
        let changes = before.changes_to(&now);
        let keys: Vec<&str> = changes.iter().map(|change| change.key.as_str()).collect();
        assert_eq!(keys, ["model.width", "optimizer.lr"]);
        assert_eq!(changes.iter().map(Change::is_allowed).collect::<Vec<_>>(), [false, true]);
        assert_eq!(changes[0].to_string(), "model.width = 16 instead of 8");
        assert!(before.changes_to(&before).is_empty());
    }

    #[test]
    fn every_setting_that_may_change_is_one() {
        let table = Table::try_from(config(&[])).unwrap();
        for key in Change::allowed() {
            let (section, name) = key.split_once('.').unwrap();
            assert!(table[section].as_table().unwrap().contains_key(name), "{key}");
        }
    }

    #[test]
    fn a_batch_that_nobody_chose_becomes_one_that_there_are_images_for() {
        let free = Unchosen { batch_size: true };
        let mut small = config(&["optimizer.batch_size=64"]);
        assert_eq!(small.fit(64, None, free), []);
        let changes = small.fit(40, None, free);
        assert_eq!((small.optimizer.batch_size, changes.len()), (32, 1));
        let mut chosen = config(&["optimizer.batch_size=64"]);
        assert_eq!(chosen.fit(40, None, Unchosen::default()), []);
        let mut none = config(&[]);
        assert_eq!(none.fit(1, None, free), []);
    }

    #[test]
    fn neighbours_beyond_the_bank_are_left_out() {
        let mut config = config(&[]);
        assert_eq!(config.eval.k, [1, 20, 200]);
        config.fit(1000, Some(36), Unchosen::default());
        assert_eq!(config.eval.k, [1, 20]);
        config.eval.k = vec![200];
        config.fit(1000, Some(36), Unchosen::default());
        assert_eq!(config.eval.k, [1]);
    }
}
