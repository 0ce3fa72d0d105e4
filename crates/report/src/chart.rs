//! Interactive line charts as data: what [`super::assets::CHART_SCRIPT`] draws, and the same as a still figure.

use serde::Serialize;

use super::figure::{Figure, Panel, Point, Series};
use super::plots::{COLORS, some_of};
use super::scores::Score;
use super::thin::{Extremes, Thinned, thin};

/// Points of a curve at most. A chart is hardly ever more than twice as many pixels wide.
pub(crate) const BUCKETS: usize = 500;
/// Points of a still curve at most.
const STILL_POINTS: usize = 100;

/// One line chart, as `LogoChart.draw` takes it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Chart {
    /// What it shows.
    pub(crate) title: String,
    /// What the x axis counts.
    pub(crate) x_label: &'static str,
    /// What the y axis measures, its unit in brackets behind it.
    pub(crate) y_label: String,
    /// Whether the y axis is logarithmic at first.
    pub(crate) logarithmic: bool,
    /// The curves.
    pub(crate) series: Vec<Curve>,
}

/// One curve of a chart.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Curve {
    name: String,
    points: Vec<(f64, Option<f64>)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    band: Vec<Extremes>,
    /// Values that are no numbers, and so are gaps.
    #[serde(skip)]
    gaps: usize,
}

impl Curve {
    /// The curve of `points`, x ascending, thinned to what a page can hold; none of no points.
    pub(crate) fn of(name: impl Into<String>, points: &[Point]) -> Option<Self> {
        let (x, y): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
        let Thinned { points, band, gaps } = thin(&x, &y, BUCKETS);
        (!points.is_empty()).then(|| Self { name: name.into(), points, band, gaps })
    }

    /// The curve of scores, x ascending, in a band of their intervals where they have any. Thinned, the band reaches
    /// from the lowest to the highest end of the intervals that a point stands for.
    pub(crate) fn of_scores(name: impl Into<String>, scores: &[(f64, Score)]) -> Option<Self> {
        let values: Vec<Point> = scores.iter().map(|(x, score)| (*x, score.value)).collect();
        let mut curve = Self::of(name, &values)?;
        let ends = |i: usize| -> Option<Vec<Point>> {
            scores.iter().map(|(x, score)| Some((*x, score.interval?[i]))).collect()
        };
        if let (Some(lows), Some(highs)) = (ends(0), ends(1)) {
            curve.band = between(&lows, &highs);
        }
        Some(curve)
    }

    /// A horizontal line, to compare other curves with.
    pub(crate) fn level(name: impl Into<String>, [from, to]: [f64; 2], value: f64) -> Option<Self> {
        value.is_finite().then_some(())?;
        Self::of(name, &[(from, value), (to, value)])
    }

    fn still(&self, index: usize) -> Series {
        let points: Vec<Point> = self.points.iter().filter_map(|&(x, y)| Some((x, y?))).collect();
        let line = some_of(&points, STILL_POINTS);
        let color = COLORS[index % COLORS.len()];
        Series { label: self.name.clone(), color, dots: Vec::new(), line, markers: false }
    }
}

/// The band between the intervals' ends, thinned as their curve is.
fn between(lows: &[Point], highs: &[Point]) -> Vec<Extremes> {
    let [lows, highs] = [lows, highs].map(|ends| {
        let (x, y): (Vec<f64>, Vec<f64>) = ends.iter().copied().unzip();
        let Thinned { points, band, .. } = thin(&x, &y, BUCKETS);
        match band.is_empty() {
            true => {
                let alone = |(x, y): (f64, Option<f64>)| Some(Extremes { x, low: y?, high: y? });
                points.into_iter().filter_map(alone).collect()
            }
            false => band,
        }
    });
    let both = lows.into_iter().zip(highs);
    both.map(|(low, high)| Extremes { x: low.x, low: low.low, high: high.high }).collect()
}

impl Chart {
    /// A chart of those of `curves` that there are; none where there are none.
    pub(crate) fn of(
        title: impl Into<String>,
        x_label: &'static str,
        y_label: impl Into<String>,
        curves: impl IntoIterator<Item = Option<Curve>>,
    ) -> Option<Self> {
        let series: Vec<Curve> = curves.into_iter().flatten().collect();
        let (title, y_label) = (title.into(), y_label.into());
        let logarithmic = false;
        (!series.is_empty()).then_some(Self { title, x_label, y_label, logarithmic, series })
    }

    /// The same with a y axis that is logarithmic at first.
    pub(crate) fn logarithmic(self) -> Self {
        Self { logarithmic: true, ..self }
    }

    /// How many values of all curves are no numbers.
    pub(crate) fn gaps(&self) -> usize {
        self.series.iter().map(|curve| curve.gaps).sum()
    }

    /// The same as a figure that needs no script.
    pub(crate) fn still(&self) -> Figure {
        let series: Vec<Series> =
            self.series.iter().enumerate().map(|(i, curve)| curve.still(i)).collect();
        let panel = super::plots::panel(self.y_label.clone(), series.into_iter().map(Some));
        let panels = vec![Panel { decimals: 4, ..panel }];
        Figure { title: self.title.clone(), x_label: self.x_label, panels }
    }
}

/// `charts` as JSON that may stand in a script element: whatever a name holds, it ends no element and begins none.
pub(crate) fn script_json(charts: &[Chart]) -> String {
    let json = serde_json::to_string(charts).expect("a chart is plain data");
    json.replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(count: usize) -> Vec<Point> {
        (0..count).map(|i| (i as f64, (i as f64).sin())).collect()
    }

    #[test]
    fn the_json_is_what_the_script_takes() {
        let points = [(1.0, 0.5), (2.0, f64::NAN)];
        let curves = [Curve::of("a", &points), None, Curve::level("floor", [1.0, 2.0], 0.25)];
        let chart = Chart::of("Loss", "steps", "loss", curves).unwrap();
        assert_eq!(chart.gaps(), 1);
        assert_eq!(
            script_json(&[chart.logarithmic()]),
            r#"[{"title":"Loss","xLabel":"steps","yLabel":"loss","logarithmic":true,"series":["#
                .to_owned()
                + r#"{"name":"a","points":[[1.0,0.5],[2.0,null]]},"#
                + r#"{"name":"floor","points":[[1.0,0.25],[2.0,0.25]]}]}]"#
        );
    }

    #[test]
    fn a_name_ends_no_script() {
        let name = "</script><script>alert(1)</script><!--";
        let chart = Chart::of(name, "x", name, [Curve::of(name, &[(0.0, 1.0)])]).unwrap();
        let json = script_json(&[chart]);
        assert!(!json.contains('<'), "{json}");
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read[0]["series"][0]["name"], name);
    }

    #[test]
    fn a_band_of_intervals_is_thinned_to_its_outermost_ends() {
        for count in [1, BUCKETS, BUCKETS + 1, 3 * BUCKETS] {
            let scores: Vec<(f64, Score)> = long(count)
                .into_iter()
                .map(|(x, value)| (x, Score { value, interval: Some([value - 1.0, value + 2.0]) }))
                .collect();
            let curve = Curve::of_scores("a", &scores).unwrap();
            assert_eq!(
                (curve.points.len(), curve.band.len()),
                (count.min(BUCKETS), count.min(BUCKETS))
            );
            for ((x, value), band) in curve.points.iter().zip(&curve.band) {
                assert_eq!(*x, band.x);
                assert!(
                    band.low <= value.unwrap() - 1.0 + 1e-9
                        && band.high >= value.unwrap() + 2.0 - 1e-9
                );
            }
        }
        let without = [(0.0, Score { value: 1.0, interval: None })];
        assert!(Curve::of_scores("a", &without).unwrap().band.is_empty());
    }

    #[test]
    fn a_still_curve_is_short_and_ends_where_the_curve_does() {
        let chart = Chart::of("A", "x", "y", [Curve::of("a", &long(10_000))]).unwrap();
        let last = chart.series[0].points.last().unwrap().0;
        let figure = chart.still();
        let line = &figure.panels[0].series[0].line;
        assert!(line.len() <= STILL_POINTS && line.last().unwrap().0 == last);
        assert!(line.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn nothing_makes_no_chart() {
        assert!(Chart::of("A", "x", "y", [Curve::of("a", &[]), None]).is_none());
        assert!(Curve::level("a", [0.0, 1.0], f64::NAN).is_none());
    }
}
