//! Interactive charts for pages of our own: one script and one style sheet, which need nothing from elsewhere.

/// A classic script that defines one global, `LogoChart`.
///
/// `LogoChart.draw(element, { title, xLabel, yLabel, logarithmic, series: [{ name, points, band }] })` draws a line
/// chart, or draws it again with other data; `points` are `[x, y]`, `band` is `[x, low, high]` or absent, x ascending, and
/// `null` is a gap. The element needs [`CHART_STYLE`].
pub const CHART_SCRIPT: &str = concat!(
    "globalThis.LogoChart = (() => {\n\"use strict\";\n\n",
    include_str!("assets/chart_scales.js"),
    "\n",
    include_str!("assets/chart_series.js"),
    "\n",
    include_str!("assets/chart_picture.js"),
    "\n",
    include_str!("assets/chart.js"),
    "\nreturn { draw };\n})();\n"
);

/// How the charts of [`CHART_SCRIPT`] look, in light, in dark and on paper. All of its rules are of elements in
/// `.logo-chart`.
pub const CHART_STYLE: &str = include_str!("assets/chart.css");
