//! Presets that state what differs from another one, their `base`.
//!
//! A preset is laid over its base as a person's own file is laid over a preset: sections and inline
//! tables key by key, any other value whole. What a line states it states with its comment: the comment
//! at the end of a line is about the value, so a base's comment stays with the values that are
//! inherited and goes with those that are not. The comment at the head of a file is inherited where a
//! preset has none.

use toml_edit::{DocumentMut, Item, TableLike, Value};

use logo_ssl_base::suggest;

/// The key that names another preset; no part of a config.
const BASE: &str = "base";

/// The texts of presets, by name.
pub(super) struct Files<'a>(pub(super) &'a [(&'a str, &'a str)]);

impl<'a> Files<'a> {
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.0.iter().map(|(name, _)| *name)
    }

    /// The preset called `name` with all that it inherits, and without `base`.
    ///
    /// # Errors
    /// A sentence naming the preset whose file is wrong: it is no TOML, its base is unknown or inherits
    /// from it, or its root has no such key.
    pub(super) fn resolve(&self, name: &str) -> Result<DocumentMut, String> {
        let mut lineage = self.lineage(name)?;
        let (_, mut resolved) = lineage.pop().expect("a lineage holds the preset itself");
        while let Some((heir, layer)) = lineage.pop() {
            inherit_header(&mut resolved, &layer);
            lay_over(resolved.as_table_mut(), layer.as_table(), Layout::Lines, "")
                .map_err(|problem| format!("preset {heir}: {problem}"))?;
        }
        Ok(resolved)
    }

    /// The preset called `name`, its base, the base of that, and so on to the root, each as it is
    /// written.
    fn lineage(&self, name: &str) -> Result<Vec<(&'a str, DocumentMut)>, String> {
        let mut lineage: Vec<(&str, DocumentMut)> = Vec::new();
        let mut next = Some(name.to_owned());
        while let Some(name) = next {
            let heir = lineage.last().map_or("none", |(heir, _)| *heir);
            if lineage.iter().any(|(known, _)| *known == name) {
                return Err(format!("preset {heir}: its base `{name}` inherits from it"));
            }
            let Some((known, text)) = self.0.iter().find(|(known, _)| *known == name) else {
                let hint = suggest(&name, self.names());
                return Err(format!("preset {heir}: there is no base `{name}`: {hint}"));
            };
            let mut document: DocumentMut = text
                .parse()
                .map_err(|error| format!("preset {known} is no valid TOML: {error}"))?;
            next =
                take_base(&mut document).map_err(|problem| format!("preset {known}: {problem}"))?;
            lineage.push((known, document));
        }
        Ok(lineage)
    }
}

/// The base that a preset names, if it does; the key goes.
fn take_base(document: &mut DocumentMut) -> Result<Option<String>, String> {
    let Some(item) = document.remove(BASE) else { return Ok(None) };
    let name = item.as_str().ok_or_else(|| format!("`{BASE}` must be the name of a preset"))?;
    Ok(Some(name.to_owned()))
}

/// Replaces the comment at the head of `resolved` by that of `layer`, if it has one. Either stands
/// before the first key.
fn inherit_header(resolved: &mut DocumentMut, layer: &DocumentMut) {
    let first = layer.iter().next().and_then(|(name, _)| layer.key(name));
    let header = first.and_then(|key| key.leaf_decor().prefix()).cloned();
    let written = header.filter(|text| text.as_str().is_some_and(|text| !text.trim().is_empty()));
    if let (Some(header), Some((mut first, _))) = (written, resolved.iter_mut().next()) {
        first.leaf_decor_mut().set_prefix(header);
    }
}

/// How the values of a table are written.
#[derive(Clone, Copy)]
enum Layout {
    /// Each on a line with a comment, which a new value brings along.
    Lines,
    /// All on one line, whose spaces stay as they are.
    Inline,
}

/// Lays the values of `layer` over those of `base`, both at `path`.
fn lay_over(
    base: &mut dyn TableLike,
    layer: &dyn TableLike,
    layout: Layout,
    path: &str,
) -> Result<(), String> {
    for (key, new) in layer.iter() {
        let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let old = base.get_mut(key).ok_or_else(|| format!("its base has no key `{path}`"))?;
        match (old, new) {
            (Item::Table(old), Item::Table(new)) => lay_over(old, new, Layout::Lines, &path)?,
            (Item::Value(old), Item::Value(new)) => lay_value_over(old, new, layout, &path)?,
            _ => return Err(otherwise(&path)),
        }
    }
    Ok(())
}

fn lay_value_over(old: &mut Value, new: &Value, layout: Layout, path: &str) -> Result<(), String> {
    let decor = match layout {
        Layout::Lines => new.decor().clone(),
        Layout::Inline => old.decor().clone(),
    };
    match (&mut *old, new) {
        (Value::InlineTable(old), Value::InlineTable(new)) => {
            lay_over(old, new, Layout::Inline, path)?;
        }
        (Value::InlineTable(_), _) | (_, Value::InlineTable(_)) => return Err(otherwise(path)),
        (old, new) => *old = new.clone(),
    }
    *old.decor_mut() = decor;
    Ok(())
}

fn otherwise(path: &str) -> String {
    format!("`{path}` is not what it is in its base: a section, an inline table or a value")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "# The root.\nname = \"root\"\n\n[a]\nkept = 1  # one\nchanged = 2  # two\n\
                        crop = { size = 32, area = [0.4, 1.0] }  # both\n";

    fn resolved(files: &[(&str, &str)], name: &str) -> Result<String, String> {
        Files(files).resolve(name).map(|document| document.to_string())
    }

    #[test]
    fn a_line_that_is_stated_brings_its_comment_and_others_keep_theirs() {
        let heir = "# The heir.\nname = \"heir\"\nbase = \"root\"\n\n[a]\nchanged = 3\n\
                    crop = { size = 96 }  # larger\n";
        let text = resolved(&[("root", ROOT), ("heir", heir)], "heir").unwrap();
        let expected = "# The heir.\nname = \"heir\"\n\n[a]\nkept = 1  # one\nchanged = 3\n\
                        crop = { size = 96, area = [0.4, 1.0] }  # larger\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_base_may_have_a_base_and_a_head_is_inherited() {
        let heir = "name = \"heir\"\nbase = \"root\"\n[a]\nchanged = 3\n";
        let last = "name = \"last\"\nbase = \"heir\"\n[a]\nkept = 7\n";
        let text = resolved(&[("last", last), ("root", ROOT), ("heir", heir)], "last").unwrap();
        assert!(text.starts_with("# The root.\nname = \"last\"\n\n[a]\nkept = 7\nchanged = 3\n"));
        assert_eq!(resolved(&[("root", ROOT)], "root").unwrap(), ROOT);
    }

    #[test]
    fn what_cannot_be_resolved_names_the_preset() {
        let refused = |heir: &str| resolved(&[("root", ROOT), ("heir", heir)], "heir").unwrap_err();
        assert_eq!(refused("base = \"heir\""), "preset heir: its base `heir` inherits from it");
        let unknown = refused("base = \"rot\"");
        assert!(unknown.starts_with("preset heir: there is no base `rot`"), "{unknown}");
        assert!(unknown.contains("did you mean `root`?"), "{unknown}");
        assert!(refused("base = 3").contains("preset heir: `base` must be the name"));
        assert!(refused("base = ").contains("preset heir is no valid TOML"));
        let layers = [
            ("[a]\nkeept = 1", "its base has no key `a.keept`"),
            ("[a]\ncrop = { side = 3 }", "its base has no key `a.crop.side`"),
            ("a = 3", "`a` is not what it is in its base: a section, an inline table or a value"),
            (
                "[a]\ncrop = 3",
                "`a.crop` is not what it is in its base: a section, an inline table or a value",
            ),
        ];
        for (layer, problem) in layers {
            let found = refused(&format!("base = \"root\"\n{layer}"));
            assert_eq!(found, format!("preset heir: {problem}"));
        }
        let circle = [("a", "base = \"b\""), ("b", "base = \"c\""), ("c", "base = \"a\"")];
        let found = resolved(&circle, "a").unwrap_err();
        assert_eq!(found, "preset c: its base `a` inherits from it");
    }
}
