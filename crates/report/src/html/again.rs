//! What the run was: how it differs from its preset, where it ran, and how it is made again.

use logo_ssl::config::{Change, ComputeConfig, Config, Precision};
use logo_ssl::presets::Layers;
use logo_ssl::record::Record;

use super::text::{Cell, Row, Table, escape};
use super::{ReportInput, Section};

const LOAD_IN_PYTORCH: &str = "\
from safetensors.torch import load_file

# model: the same ResNet, its parameters named as torchvision names them
model.load_state_dict(load_file(\"weights.safetensors\"), strict=False)";

/// The settings in which the run differs from the preset it began with.
pub(super) fn preset_section(config: &Config) -> Section {
    let preset = escape(&config.preset);
    let body = match Layers::preset(&config.preset).and_then(Layers::build) {
        Ok(of_preset) => match of_preset.changes_to(config) {
            changes if changes.is_empty() => {
                format!("<p>Nothing: every setting is that of {preset}.</p>\n")
            }
            changes => preset_table(&config.preset, changes),
        },
        Err(_) => format!(
            "<p>This version of logo-ssl has no preset {preset}; the whole config.toml is at the end \
             of this page.</p>\n"
        ),
    };
    Section::new("preset", "What differs from the preset", body)
}

fn preset_table(preset: &str, changes: Vec<Change>) -> String {
    let row = |Change { key, before, now }: Change| Row {
        class: "",
        head: key,
        cells: vec![Cell::Code(before), Cell::Code(now)],
    };
    let heads = ["setting", preset, "this run"].map(str::to_owned).to_vec();
    let caption = "Settings with another value than the preset\u{2019}s";
    let table = Table { caption, heads, rows: changes.into_iter().map(row).collect() };
    table.html()
        + "<p class=\"note\">Some settings follow from the images: a batch is no larger than there are images for, a \
           warm-up no longer than the run.</p>\n"
}

/// What is known of where the run was computed.
pub(super) fn environment_section(report: &ReportInput<'_>) -> Section {
    let ComputeConfig { precision, device, deterministic, instructions, .. } =
        &report.config.compute;
    let precision = match precision {
        Precision::F32 => "f32",
        Precision::Bf16 => "bf16",
    };
    let deterministic = if *deterministic { "asked for" } else { "not asked for" };
    let rows = vec![
        Row::pair("device", device.to_string()),
        Row::pair("activations between layers", precision),
        Row::pair("processor\u{2019}s instructions", instructions.as_str()),
        Row::pair("same bytes on a GPU", deterministic),
        Row::pair("report written by", format!("logo-ssl {}", report.version)),
    ];
    let caption = "What the run has recorded of where it was computed";
    let table = Table { caption, heads: Vec::new(), rows };
    Section::new("environment", "Environment", table.html())
}

/// The commands and settings that make the run again.
pub(super) fn section(report: &ReportInput<'_>) -> Section {
    let commands = report
        .commands
        .iter()
        .map(|(purpose, command)| format!("# {purpose}\n{command}"))
        .collect::<Vec<_>>();
    let body = format!(
        "<p>From this run\u{2019}s folder, with logo-ssl {version}:</p>\n{}{changes}\
         <p>The trained backbone in PyTorch:</p>\n{}\
         <details><summary>The whole config.toml</summary>\n{}</details>\n",
        code("Commands", &commands.join("\n\n")),
        code("Loading the weights in PyTorch", LOAD_IN_PYTORCH),
        code("config.toml", report.config_toml.trim_end()),
        version = escape(report.version),
        changes = changes(report.records),
    );
    Section::new("again", "Do it again", body)
}

/// A block of code, which can be scrolled by keys where it is too wide.
fn code(label: &str, text: &str) -> String {
    format!(
        "<pre role=\"region\" aria-label=\"{}\" tabindex=\"0\"><code>{}</code></pre>\n",
        escape(label),
        escape(text)
    )
}

/// What a run went on with that it had not begun with: its config alone does not make it again.
fn changes(records: &[Record]) -> String {
    let line = |record: &Record| match record {
        Record::Changed { step, changes } => {
            Some(format!("<li>from step {step} on, {}</li>\n", escape(&Change::list(changes))))
        }
        _ => None,
    };
    let lines: String = records.iter().filter_map(line).collect();
    match lines.is_empty() {
        true => lines,
        false => format!(
            "<p>That trains with the last settings throughout; this run went on with others on its way:</p>\n\
             <ul>\n{lines}</ul>\n"
        ),
    }
}
