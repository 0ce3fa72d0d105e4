//! What a run's `config.toml` says.

use logo_ssl::config::{Change, Config};
use logo_ssl::presets::{self, Layers};
use toml::{Table, Value};

/// A run's settings.
#[derive(Debug)]
pub(crate) struct Settings {
    /// As the library understands them.
    pub(crate) config: Config,
    /// All of them by dotted key, the values as TOML, in the order of the keys.
    pub(crate) flat: Vec<(String, String)>,
    /// In what they differ from the preset that they name; none where this version has no such preset.
    pub(crate) of_preset: Option<Vec<Change>>,
}

impl Settings {
    /// Reads the text of a `config.toml`.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let config: Config = toml::from_str(text).map_err(|error| {
            format!("config.toml is not read: {}", error.message().replace('\n', " "))
        })?;
        let preset = Layers::preset(&config.preset).and_then(Layers::build).ok();
        let (flat, of_preset) =
            (values(&config), preset.map(|preset| differences(&preset, &config)));
        Ok(Self { config, flat, of_preset })
    }
}

/// In what `config` differs from `preset`, with the values as they are written in a config's text.
fn differences(preset: &Config, config: &Config) -> Vec<Change> {
    let [before, now] = [preset, config].map(values);
    let value = |values: &[(String, String)], key: &str, or: String| {
        values.iter().find(|(known, _)| known == key).map_or(or, |(_, value)| value.clone())
    };
    let changes = preset.changes_to(config).into_iter();
    let written = changes.map(|change| Change {
        before: value(&before, &change.key, change.before),
        now: value(&now, &change.key, change.now),
        key: change.key,
    });
    written.collect()
}

/// All values of a config by dotted key, as its text has them: 0.2 of single precision is `0.2` there, which as
/// a number of double precision has another nine digits.
fn values(config: &Config) -> Vec<(String, String)> {
    let table: Table = presets::to_toml(config).parse().expect("TOML of our own is TOML");
    let mut flat = Vec::new();
    flatten(&table, "", &mut flat);
    flat
}

/// The values in `table`, each behind the `section` it is in.
fn flatten(table: &Table, section: &str, flat: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let dotted = format!("{section}{key}");
        match value {
            Value::Table(inner) => flatten(inner, &format!("{dotted}."), flat),
            value => flat.push((dotted, value.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_flat_and_say_what_differs_from_their_preset() {
        let layers = Layers::preset("quickstart").unwrap().set("optimizer.lr=0.5").unwrap();
        let text = presets::to_toml(&layers.build().unwrap());
        let settings = Settings::read(&text).unwrap();
        assert!(settings.flat.contains(&("optimizer.lr".to_owned(), "0.5".to_owned())));
        let mean = ("data.mean".to_owned(), "[0.5, 0.5, 0.5]".to_owned());
        assert!(settings.flat.contains(&mean));
        assert!(settings.flat.iter().all(|(_, value)| !value.contains('\n')));
        let changes = settings.of_preset.unwrap();
        assert_eq!((changes.len(), changes[0].key.as_str()), (1, "optimizer.lr"));
        assert_eq!(changes[0].now, "0.5");
        let unknown = text.replace("\"quickstart\"", "\"of-another-version\"");
        assert!(Settings::read(&unknown).unwrap().of_preset.is_none());
    }

    #[test]
    fn what_is_no_config_is_said() {
        let problem = Settings::read("seed = 1\nmore = 2").unwrap_err();
        assert!(problem.starts_with("config.toml is not read: "), "{problem}");
        assert!(!problem.contains('\n'), "{problem}");
    }
}
