//! `logo-ssl import`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use logo_ssl::config::Stem;
use logo_ssl::interop::{Choice, Import, LeftOver, Mapped};
use logo_ssl::model::Architecture;
use logo_ssl_base::words::{counted, grouped};
use serde_json::json;

use super::Output;
use crate::error::{Error, Result};

/// Where the weights go when nothing is said.
const OUT: &str = "weights.safetensors";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A checkpoint of PyTorch (.pth, .pt, .ckpt) or safetensors, of whatever program
    file: PathBuf,
    /// Where the backbone goes, as safetensors under torchvision's names [default: weights.safetensors]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Of several backbones, the one whose names begin with this, such as encoder_q or teacher
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// Take a backbone that lacks tensors, or has more than a ResNet; it computes something else then
    #[arg(long)]
    allow_missing: bool,
    /// Its 3×3 stem pads by two pixels, as solo-learn's for CIFAR: no file says so
    #[arg(long)]
    padded_stem: bool,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<()> {
    let Arguments { file, prefix, allow_missing, padded_stem, .. } = arguments;
    let out = arguments.out()?;
    let choice =
        Choice { prefix: prefix.clone(), allow_missing: *allow_missing, padded_stem: *padded_stem };
    let import = Import::open(file, &choice)?;
    import.write(&out)?;
    match output.json {
        true => say!("{}", as_json(&import, &out)),
        false => print(&import, &out, output),
    }
    Ok(())
}

impl Arguments {
    /// Where the weights go: never over the file that they are from, and over another only where it was named.
    fn out(&self) -> Result<PathBuf> {
        let Some(out) = &self.out else {
            let out = PathBuf::from(OUT);
            return match out.exists() {
                true => Err(Error::Usage(format!("{OUT} is there already; name another by --out"))),
                false => Ok(out),
            };
        };
        let are_one =
            matches!((out.canonicalize(), self.file.canonicalize()), (Ok(a), Ok(b)) if a == b);
        match are_one {
            true => Err(Error::Usage("--out is the file itself; name another".to_owned())),
            false => Ok(out.clone()),
        }
    }
}

fn print(import: &Import, out: &Path, output: Output) {
    let mapped = &import.mapped;
    if !output.quiet {
        let width = |name: fn(&Mapped) -> &String| {
            mapped.iter().map(|mapped| name(mapped).len()).max().unwrap_or(0)
        };
        let (theirs, ours) = (width(|m| &m.theirs), width(|m| &m.ours));
        for Mapped { theirs: from, ours: to, shape, element } in mapped {
            say!("{from:theirs$}  {to:ours$}  {element:4}  {shape:?}");
        }
        for missing in import.missing() {
            say!("{:theirs$}  {missing:ours$}  not there: its first values under seed 0", "");
        }
        left_over(import);
    }
    let numbers: usize = mapped.iter().map(|mapped| mapped.shape.iter().product::<usize>()).sum();
    let behind = match import.prefix.as_str() {
        "" => String::new(),
        prefix => format!(", behind `{prefix}`"),
    };
    say!(
        "{}: {} tensors with {} numbers{behind}",
        import.architecture,
        mapped.len(),
        grouped(numbers as u64),
    );
    if import.architecture.stem == Stem::Cifar && !output.quiet {
        remark!(
            "its stem is taken to pad by one pixel, which the file does not say; solo-learn's for CIFAR pads by two: \
             --padded-stem"
        );
    }
    say!("weights: {}", out.display());
}

/// Says what stays in the file, by what the names begin with behind what they share with the backbone's.
fn left_over(import: &Import) {
    let left_over = &import.left_over;
    if left_over.is_empty() {
        return;
    }
    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    for LeftOver { name, .. } in left_over {
        *groups.entry(group(name, &import.prefix)).or_default() += 1;
    }
    say!("not of the backbone, and left out: {}", counted(left_over.len(), "tensor"));
    let width = groups.keys().map(|group| group.len()).max().unwrap_or(0);
    for (group, count) in groups {
        say!("  {group:width$}  {}", counted(count, "tensor"));
    }
}

/// The beginning of `name` that sets it apart from the names behind `prefix`: whole parts, the last of which
/// differs.
fn group<'a>(name: &'a str, prefix: &str) -> &'a str {
    let parts = name.split('.').zip(prefix.split('.'));
    let shared: usize =
        parts.take_while(|(own, other)| own == other).map(|(own, _)| own.len() + 1).sum();
    let rest = name.get(shared..).unwrap_or_default();
    let end = rest.find('.').map_or(name.len(), |dot| shared + dot);
    &name[..end]
}

fn as_json(import: &Import, out: &Path) -> serde_json::Value {
    let Architecture { stem, block, blocks, width, .. } = &import.architecture;
    let mapped = import.mapped.iter().map(|mapped| {
        json!({ "theirs": mapped.theirs, "ours": mapped.ours, "shape": mapped.shape,
            "element": mapped.element.to_string() })
    });
    let left_over =
        import.left_over.iter().map(|left| json!({ "name": left.name, "shape": left.shape }));
    json!({
        "weights": out,
        "prefix": import.prefix,
        "architecture": { "stem": stem, "block": block.name(), "blocks": blocks, "width": width },
        "mapped": mapped.collect::<Vec<_>>(),
        "missing": import.missing().collect::<Vec<_>>(),
        "left_over": left_over.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_grouped_by_where_it_parts_from_the_backbone() {
        for (name, prefix, expected) in [
            (
                "state_dict.module.encoder.fc.0.weight",
                "state_dict.module.encoder.",
                "state_dict.module.encoder.fc",
            ),
            (
                "state_dict.module.predictor.0.weight",
                "state_dict.module.encoder.",
                "state_dict.module.predictor",
            ),
            ("state_dict.queue", "state_dict.module.encoder.", "state_dict.queue"),
            ("optimizer.state.0.step", "state_dict.", "optimizer"),
            ("fc.weight", "", "fc"),
            ("queue", "", "queue"),
        ] {
            assert_eq!(group(name, prefix), expected, "{name}");
        }
    }
}
