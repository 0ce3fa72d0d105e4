//! `report.html`: one run on one page, in one file that needs nothing from elsewhere. Without scripts it shows the same
//! in still plots.

mod accuracy;
mod again;
mod curves;
mod health;
mod pictures;
mod speed;
mod suite;
mod summary;
#[cfg(test)]
mod tests;
mod text;

use std::path::Path;

use logo_ssl::config::Config;
use logo_ssl::eval::Findings;
use logo_ssl::record::Record;
use logo_ssl::{Error, Result};
use logo_ssl_base::files::write_atomic;

use self::curves::Curves;
use self::summary::Facts;
use self::text::escape;
use crate::Illustration;
use crate::assets::CHART_STYLE;
use crate::{curves as curves_of, plots};

const STYLE: &str = include_str!("report.css");

/// Says to the style sheet that scripts run, before anything is shown.
const SCRIPTS_RUN: &str = "document.documentElement.classList.add(\"scripted\");";

/// Nothing is fetched, whatever the page may come to hold: its styles, scripts and pictures are in it.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// What a report is made of.
#[derive(Clone, Debug)]
pub struct ReportInput<'a> {
    /// What the run is called.
    pub name: &'a str,
    /// All settings of the run.
    pub config: &'a Config,
    /// The whole `config.toml`.
    pub config_toml: &'a str,
    /// `metrics.jsonl`
    pub records: &'a [Record],
    /// `timings.jsonl`; may be empty.
    pub timings: &'a [Record],
    /// The version of logo-ssl.
    pub version: &'a str,
    /// What evaluations found of the trained encoder and its floors, where they were made.
    pub findings: Option<&'a Findings>,
    /// A PNG that shows images and their views.
    pub preview: Option<&'a [u8]>,
    /// Pictures of what it learned, as PNG.
    pub pictures: &'a [(Illustration, Vec<u8>)],
    /// What can be done with the run, and the command line that does it.
    pub commands: &'a [(&'a str, &'a str)],
}

/// Writes the report to `path`.
///
/// # Errors
/// [`Error::Io`] when a plot cannot be drawn or the file cannot be written.
pub fn write(report: &ReportInput<'_>, path: &Path) -> Result<()> {
    let page = page(report).map_err(Error::io("draw the plots of", path))?;
    Ok(write_atomic(path, page.as_bytes())?)
}

/// A part of the page under a heading of its own.
struct Section {
    /// What links to it name.
    anchor: String,
    title: String,
    /// HTML; a section without any is left out.
    body: String,
}

impl Section {
    fn new(anchor: impl Into<String>, title: impl Into<String>, body: String) -> Self {
        Self { anchor: anchor.into(), title: title.into(), body }
    }

    fn html(&self) -> String {
        let Self { anchor, title, body } = self;
        let title = escape(title);
        format!(
            "<section aria-labelledby=\"{anchor}\">\n<h2 id=\"{anchor}\">{title}</h2>\n{body}</section>\n"
        )
    }

    fn link(&self) -> String {
        format!("<li><a href=\"#{}\">{}</a></li>\n", self.anchor, escape(&self.title))
    }
}

fn page(report: &ReportInput<'_>) -> std::io::Result<String> {
    let facts = Facts::of(report);
    let embedding_dim = report.config.model.projector.dim;
    let mut curves = Curves::default();
    let mut sections = vec![accuracy::knn_section(&facts)];
    sections.push(suite::section(report.findings));
    sections.extend(accuracy::other_sections(report.records));
    sections.push(health::section(&facts));
    sections.push(pictures::learned_section(report.pictures));
    sections.push(pictures::preview_section(report.preview));
    sections.push(curves.section(
        curves_of::groups(report.records, embedding_dim),
        plots::all(report.records, embedding_dim),
    )?);
    sections.push(speed::section(report.timings, &mut curves)?);
    sections.push(again::preset_section(report.config));
    sections.push(again::environment_section(report));
    sections.push(again::section(report));
    sections.retain(|section| !section.body.is_empty());

    let links: String = sections.iter().map(Section::link).collect();
    let body: String = sections.iter().map(Section::html).collect();
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} \u{b7} logo-ssl</title>\n<style>\n{STYLE}{CHART_STYLE}</style>\n\
         <script>{SCRIPTS_RUN}</script>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">Skip to the results</a>\n{header}\
         <nav aria-label=\"Sections\"><ul>\n{links}</ul></nav>\n\
         <main id=\"main\" tabindex=\"-1\">\n{body}</main>\n\
         <footer>Written by logo-ssl {version}. Metrics and plots follow from the config and the seed; timings are the \
         machine\u{2019}s.</footer>\n{script}</body>\n</html>\n",
        title = escape(report.name),
        header = summary::header(report, &facts),
        version = escape(report.version),
        script = curves.script(),
    ))
}
