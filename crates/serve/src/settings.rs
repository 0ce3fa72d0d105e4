//! What a run's `config.toml` says.

use logo_ssl::config::{Change, Config};
use logo_ssl::presets::Layers;
use toml::{Table, Value};

/// A run's settings.
#[derive(Debug)]
pub(crate) struct Settings {
    /// As the library understands them.
    pub(crate) config: Config,
    /// All of them by dotted key, the values as TOML, in the config's order.
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
        let table = Table::try_from(&config).map_err(|error| error.to_string())?;
        let mut flat = Vec::new();
        flatten(&table, "", &mut flat);
        let preset = Layers::preset(&config.preset).and_then(Layers::build).ok();
        let of_preset = preset.map(|preset| preset.changes_to(&config));
        Ok(Self { config, flat, of_preset })
    }
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
    use logo_ssl::presets;

    use super::*;

    #[test]
    fn settings_are_flat_and_say_what_differs_from_their_preset() {
        let layers = Layers::preset("quickstart").unwrap().set("optimizer.lr=0.5").unwrap();
        let text = presets::to_toml(&layers.build().unwrap());
        let settings = Settings::read(&text).unwrap();
        assert!(settings.flat.contains(&("optimizer.lr".to_owned(), "0.5".to_owned())));
        assert!(settings.flat.iter().all(|(_, value)| !value.contains('\n')));
        let changes = settings.of_preset.unwrap();
        assert_eq!((changes.len(), changes[0].key.as_str()), (1, "optimizer.lr"));
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
