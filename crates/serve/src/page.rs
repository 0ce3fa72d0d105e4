//! The page: what lies in `src/page/`, and the charts of the report.

use logo_ssl_report::assets::{CHART_SCRIPT, CHART_STYLE};

/// What is shown at `/`. Everything else is drawn by its scripts.
pub(crate) const INDEX: &str = include_str!("page/index.html");

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const ICON: &str = "image/svg+xml";

/// The content type and the text of the asset called `name`.
pub(crate) fn asset(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        "app.js" => (SCRIPT, include_str!("page/app.js")),
        "data.js" => (SCRIPT, include_str!("page/data.js")),
        "elements.js" => (SCRIPT, include_str!("page/elements.js")),
        "list.js" => (SCRIPT, include_str!("page/list.js")),
        "run.js" => (SCRIPT, include_str!("page/run.js")),
        "compare.js" => (SCRIPT, include_str!("page/compare.js")),
        "words.js" => (SCRIPT, include_str!("page/words.js")),
        "style.css" => (STYLE, include_str!("page/style.css")),
        "icon.svg" => (ICON, include_str!("page/icon.svg")),
        "chart.js" => (SCRIPT, CHART_SCRIPT),
        "chart.css" => (STYLE, CHART_STYLE),
        _ => return None,
    })
}
