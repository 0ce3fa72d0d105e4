//! Charts as HTML: interactive where scripts run, and a still plot on paper and where none does.

use std::collections::HashMap;

use super::Section;
use super::text::escape;
use crate::assets::CHART_SCRIPT;
use crate::chart::{self, Chart};
use crate::curves::{self, Block, Caption};
use crate::figure::{self, Figure};
use crate::plots::Captioned;
use logo_ssl_base::words::counted;

/// Draws each chart into the place that has its number.
const DRAW_ALL: &str = "\
const charts = JSON.parse(document.getElementById(\"charts\").textContent);
for (const place of document.querySelectorAll(\"[data-chart]\")) LogoChart.draw(place, charts[place.dataset.chart]);
";

/// The charts of a page, in the order in which they stand there.
#[derive(Default)]
pub(super) struct Curves {
    charts: Vec<Chart>,
}

impl Curves {
    /// All curves of the run's metrics. `plots` are what stands for some of them without a script.
    ///
    /// # Errors
    /// When a plot cannot be drawn.
    pub(super) fn section(
        &mut self,
        groups: Vec<curves::Group>,
        plots: Vec<Captioned>,
    ) -> std::io::Result<Section> {
        let mut plots: HashMap<&str, Captioned> =
            plots.into_iter().map(|plot| (plot.name, plot)).collect();
        let mut body = String::new();
        for curves::Group { title, blocks } in groups {
            body += &format!("<h3>{}</h3>\n", escape(&title));
            for block in blocks {
                body += &self.block(block, &mut plots)?;
            }
        }
        if !body.is_empty() {
            body.insert_str(
                0,
                "<p class=\"note live\">Point at a chart, or move its crosshair by the arrow keys, to read values; drag \
                 to zoom in, double-click or press Escape to see everything again; a name in the legend hides its \
                 curve. Long curves are drawn as means in a band from the least to the greatest value, so that \
                 no extreme is lost.</p>\n",
            );
        }
        Ok(Section::new("curves", "Curves", body))
    }

    /// One block of charts with its caption.
    ///
    /// # Errors
    /// When a plot cannot be drawn.
    pub(super) fn block(
        &mut self,
        Block { charts, caption }: Block,
        plots: &mut HashMap<&str, Captioned>,
    ) -> std::io::Result<String> {
        let (caption, stills) = match caption {
            Caption::Text(text) => (text, charts.iter().map(Chart::still).collect()),
            Caption::Plot(name) => match plots.remove(name) {
                Some(Captioned { caption, figure, .. }) => (caption, vec![figure]),
                None => ("", charts.iter().map(Chart::still).collect()),
            },
        };
        let stills = stills.iter().map(still).collect::<std::io::Result<String>>()?;
        let gaps: usize = charts.iter().map(Chart::gaps).sum();
        let gaps = match gaps {
            0 => String::new(),
            gaps => format!(" {} no finite number: the curves have gaps there.", are(gaps)),
        };
        let places: String = (self.charts.len()..self.charts.len() + charts.len())
            .map(|number| format!("<div class=\"chart\" data-chart=\"{number}\"></div>\n"))
            .collect();
        self.charts.extend(charts);
        Ok(format!(
            "<figure>\n<div class=\"charts live\">\n{places}</div>\n{stills}<figcaption>{}{gaps}</figcaption></figure>\n",
            escape(caption)
        ))
    }

    /// The data of all charts and what draws them; nothing where there are none.
    pub(super) fn script(&self) -> String {
        if self.charts.is_empty() {
            return String::new();
        }
        format!(
            "<script type=\"application/json\" id=\"charts\">{}</script>\n<script>\n{CHART_SCRIPT}{DRAW_ALL}</script>\n",
            chart::script_json(&self.charts)
        )
    }
}

fn are(values: usize) -> String {
    let verb = if values == 1 { "is" } else { "are" };
    format!("{} {verb}", counted(values, "value"))
}

fn still(figure: &Figure) -> std::io::Result<String> {
    Ok(format!(
        "<div class=\"plot still\" role=\"img\" aria-label=\"{}\">\n{}</div>\n",
        escape(&figure.title),
        figure::svg(figure)?
    ))
}
