//! A config as TensorBoard's hyper-parameters.

use logo_ssl::config::Config;
use logo_ssl_tensorboard::HParam;
use serde_json::Value;

/// Every setting by its dotted key. Lists are texts, as the HParams page has none.
pub(super) fn of(config: &Config) -> Vec<(String, HParam)> {
    let value = serde_json::to_value(config).expect("a config is plain data");
    let mut named = Vec::new();
    flatten("", value, &mut named);
    named
}

fn flatten(key: &str, value: Value, named: &mut Vec<(String, HParam)>) {
    let hparam = match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                let key = if key.is_empty() { name } else { format!("{key}.{name}") };
                flatten(&key, value, named);
            }
            return;
        }
        Value::Null => return,
        Value::Bool(flag) => HParam::Flag(flag),
        Value::Number(number) => HParam::Number(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => HParam::Text(text),
        list @ Value::Array(_) => HParam::Text(list.to_string()),
    };
    named.push((key.to_owned(), hparam));
}

#[cfg(test)]
mod tests {
    use super::*;
    use logo_ssl::presets::Layers;

    #[test]
    fn settings_are_named_by_their_dotted_keys() {
        let config = Layers::preset("quickstart").unwrap().build().unwrap();
        let named = of(&config);
        let value = |key: &str| named.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        assert_eq!(value("optimizer.epochs"), Some(&HParam::Number(24.0)));
        assert_eq!(value("framework.logo"), Some(&HParam::Flag(true)));
        assert_eq!(value("eval.k"), Some(&HParam::Text("[1,20,200]".to_owned())));
    }
}
