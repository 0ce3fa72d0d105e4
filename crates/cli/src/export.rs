//! `logo-ssl export`

use std::path::PathBuf;

use clap::Args;
use logo_ssl::data::DatasetName;
use logo_ssl::interop::EncoderAt;
use logo_ssl::interop::export::{Dtype, Export, Format, Parts, Written};
use logo_ssl_base::words::grouped;
use serde_json::json;

use super::Output;
use super::encoder::config_on;
use crate::error::{Error, Result};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A run directory, or a file of weights
    #[arg(value_name = "RUN|WEIGHTS")]
    encoder: PathBuf,
    /// safetensors, pth, onnx, hf or stablehlo
    ///
    /// hf is a folder for timm and transformers, with a model card.
    #[arg(long, value_name = "NAME", hide_possible_values = true)]
    #[arg(value_parser = ["safetensors", "pth", "onnx", "hf", "stablehlo"])]
    format: String,
    /// Type of the stored numbers: f32, f16 or bf16
    #[arg(long, value_name = "TYPE", default_value_t = Dtype::F32)]
    dtype: Dtype,
    /// Where to [default: RUN/export/NAME, or beside the weights]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Overwrite what lies there
    #[arg(long)]
    overwrite: bool,
    /// Also write projector, predictor and f_d
    ///
    /// Into ONNX and StableHLO goes the projector, as a second output.
    #[arg(long)]
    heads: bool,
    /// Of ONNX: make batch norms part of the convolutions
    #[arg(long)]
    fold_batch_norm: bool,
    /// Whose normalisation and crop go along [default: the encoder's]
    #[arg(long, value_name = "NAME")]
    dataset: Option<DatasetName>,
    /// Of StableHLO: images that the program takes [default: 1]
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Of StableHLO: their side in pixels [default: as evaluated]
    ///
    /// That is the side of the evaluation's crop, or of the views.
    #[arg(long, value_name = "PIXELS")]
    size: Option<usize>,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<()> {
    let format = arguments.format()?;
    let at = EncoderAt::path(&arguments.encoder);
    let mut export = Export::open(&at)?;
    if let Some(dataset) = arguments.dataset {
        export = export.seen_by(config_on(&at, Some(dataset))?);
    }
    arguments.refuse_unknown_images(format, &export)?;
    let parts = Parts { dtype: arguments.dtype, heads: arguments.heads };
    let out = arguments.out.clone().unwrap_or_else(|| format.default_path(&export, parts));
    let written = export.write(format, parts, &out, arguments.overwrite)?;
    print(&written, format, output);
    Ok(())
}

impl Arguments {
    /// The format with what it alone takes.
    fn format(&self) -> Result<Format> {
        let Self { fold_batch_norm, batch_size, size, .. } = self;
        let format = match self.format.as_str() {
            "safetensors" => Format::Safetensors,
            "pth" => Format::Pth,
            "onnx" => Format::Onnx { fold_batch_norm: *fold_batch_norm },
            "hf" => Format::HuggingFace,
            _ => Format::StableHlo { images: batch_size.unwrap_or(1), size: *size },
        };
        let is_text = matches!(format, Format::StableHlo { .. });
        let alone = [
            ("--fold-batch-norm", *fold_batch_norm, matches!(format, Format::Onnx { .. }), "onnx"),
            ("--batch-size", batch_size.is_some(), is_text, "stablehlo"),
            ("--size", size.is_some(), is_text, "stablehlo"),
        ];
        for (flag, is_given, is_taken, of) in alone {
            if is_given && !is_taken {
                return Err(Error::Usage(format!("{flag} is for --format {of} alone")));
            }
        }
        for (flag, number) in [("--batch-size", batch_size), ("--size", size)] {
            if *number == Some(0) {
                return Err(Error::Usage(format!("{flag} 0: at least 1 is needed")));
            }
        }
        Ok(format)
    }

    /// Refuses what needs to know the encoder's images, of weights that do not say.
    fn refuse_unknown_images(&self, format: Format, export: &Export) -> Result<()> {
        let flags = match format {
            Format::HuggingFace => "--dataset",
            Format::StableHlo { size: None, .. } => "--dataset or --size",
            _ => return Ok(()),
        };
        match export.config() {
            Some(_) => Ok(()),
            None => Err(Error::Usage(format!(
                "the file does not say what it was trained on; --format {} needs {flags}",
                format.name()
            ))),
        }
    }
}

fn print(written: &Written, format: Format, output: Output) {
    if output.json {
        say!("{}", json!({ "format": format.name(), "written": written }));
        return;
    }
    for file in &written.files {
        say!("{}", file.display());
    }
    if !output.quiet {
        remark!(
            "{} bytes; docs/howto/export.md has how each library opens them",
            grouped(written.bytes)
        );
    }
}
