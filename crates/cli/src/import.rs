//! `logo-ssl import`

use std::path::{Path, PathBuf};

use clap::Args;
use logo_ssl::config::BlockKind;
use logo_ssl::interop::{Choice, Import, LeftOver, Mapped};
use logo_ssl::model::Architecture;
use logo_ssl_base::words::grouped;
use serde_json::json;

use super::Output;
use crate::error::{Error, Result};

/// Where the weights go when nothing is said.
const OUT: &str = "weights.safetensors";
/// How many tensors that stay in the file are named.
const MOST_LEFT_OVER: usize = 8;

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
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<()> {
    let Arguments { file, prefix, allow_missing, .. } = arguments;
    let out = arguments.out()?;
    let choice = Choice { prefix: prefix.clone(), allow_missing: *allow_missing };
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
        left_over(&import.left_over);
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
    say!("weights: {}", out.display());
}

fn left_over(left_over: &[LeftOver]) {
    if left_over.is_empty() {
        return;
    }
    say!("not of the backbone, and left out: {} tensors", left_over.len());
    for LeftOver { name, shape } in left_over.iter().take(MOST_LEFT_OVER) {
        say!("  {name}  {shape:?}");
    }
    if left_over.len() > MOST_LEFT_OVER {
        say!("  … and {} more; --json has them all", left_over.len() - MOST_LEFT_OVER);
    }
}

fn as_json(import: &Import, out: &Path) -> serde_json::Value {
    let Architecture { stem, block, blocks, width, .. } = &import.architecture;
    let block = match block {
        BlockKind::Basic => "basic",
        BlockKind::Bottleneck => "bottleneck",
    };
    let mapped = import.mapped.iter().map(|mapped| {
        json!({ "theirs": mapped.theirs, "ours": mapped.ours, "shape": mapped.shape,
            "element": mapped.element.to_string() })
    });
    let left_over =
        import.left_over.iter().map(|left| json!({ "name": left.name, "shape": left.shape }));
    json!({
        "weights": out,
        "prefix": import.prefix,
        "architecture": { "stem": stem, "block": block, "blocks": blocks, "width": width },
        "mapped": mapped.collect::<Vec<_>>(),
        "missing": import.missing().collect::<Vec<_>>(),
        "left_over": left_over.collect::<Vec<_>>(),
    })
}
