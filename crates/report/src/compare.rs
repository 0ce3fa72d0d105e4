//! Runs side by side: one table with the mean and the spread over seeds, and their curves in one plot.

use std::path::{Path, PathBuf};

use super::figure::{Figure, Panel, Series};
use super::plots::{self, COLORS, Captioned};
use super::{name, required};
use logo_ssl::config::Config;
use logo_ssl::presets;
use logo_ssl::record::scalars::LOSS;
use logo_ssl::record::{self, Knn, Record, RunFiles, Source};
use logo_ssl::{Error, Result, RunProblem};
use logo_ssl_base::files::{create_folder, write_atomic};

/// Runs that differ in their seed alone.
#[derive(Clone, Debug)]
pub struct Group {
    /// What their names have in common.
    pub label: String,
    /// Runs in it.
    pub runs: usize,
    /// Epochs that the shortest of them has been evaluated after.
    pub epochs: usize,
    /// Top-1 by k in the last evaluation of each run, in percent.
    pub accuracies: Vec<Accuracy>,
    /// `(epoch, mean top-1 in percent)` at the smallest k.
    curve: Vec<(f64, f64)>,
    /// `(epoch, mean loss)`.
    losses: Vec<(f64, f64)>,
}

/// One k's accuracy over a group's runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    /// Neighbours that vote.
    pub k: usize,
    /// Mean top-1, percent.
    pub mean: f64,
    /// Standard deviation over the runs, percentage points; nothing of a single run.
    pub spread: Option<f64>,
}

/// Runs side by side.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// In the order the runs came in.
    pub groups: Vec<Group>,
}

impl Comparison {
    /// Reads the run directories `runs`; those that differ in their seed alone become one group.
    ///
    /// # Errors
    /// [`Error::Run`] when one is no run or has no kNN result yet, [`Error::Data`] when its log is
    /// broken.
    pub fn read(runs: &[PathBuf]) -> Result<Self> {
        let mut groups: Vec<(Config, Vec<Finished>)> = Vec::new();
        for path in runs {
            let run = Finished::read(path)?;
            let mut alike = run.config.clone();
            alike.seed = 0;
            match groups.iter_mut().find(|(config, _)| *config == alike) {
                Some((_, group)) => group.push(run),
                None => groups.push((alike, vec![run])),
            }
        }
        Ok(Self { groups: groups.into_iter().map(|(_, runs)| Group::of(&runs)).collect() })
    }

    /// The table in Markdown.
    pub fn table(&self) -> String {
        let mut neighbours: Vec<usize> =
            self.groups.iter().flat_map(|group| group.accuracies.iter().map(|a| a.k)).collect();
        neighbours.sort_unstable();
        neighbours.dedup();
        let heads: String = neighbours.iter().map(|k| format!(" kNN, k = {k} |")).collect();
        let rules = " --- |".repeat(neighbours.len());
        let mut table = format!("| run | seeds | epochs |{heads}\n| --- | --- | --- |{rules}\n");
        for group in &self.groups {
            let cells: String =
                neighbours.iter().map(|&k| format!(" {} |", group.cell(k))).collect();
            let Group { label, runs, epochs, .. } = group;
            table.push_str(&format!("| {label} | {runs} | {epochs} |{cells}\n"));
        }
        table
    }

    /// Writes `compare.md` and the overlaid plots into `dir`, which is made if need be; returns their
    /// paths, the table first.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        create_folder(dir)?;
        let table = dir.join("compare.md");
        write_atomic(&table, self.table().as_bytes())?;
        let mut written = vec![table];
        for plot in [self.accuracy_plot(), self.loss_plot()] {
            if !plot.figure.panels[0].series.is_empty() {
                written.push(plots::write(&plot, dir)?.svg);
            }
        }
        Ok(written)
    }

    fn accuracy_plot(&self) -> Captioned {
        let curves = self.curves(|group| &group.curve);
        let panel = plots::panel("top-1 accuracy, smallest k, mean over seeds", curves);
        let panel = Panel { unit: " %", decimals: 1, ..panel };
        Captioned {
            name: "compare-knn",
            caption: "kNN accuracy of each group of runs, averaged over its seeds.",
            figure: Figure {
                title: "kNN accuracy on the test set".to_owned(),
                x_label: "epochs",
                panels: vec![panel],
            },
        }
    }

    fn loss_plot(&self) -> Captioned {
        let panel = plots::panel("loss, mean over seeds", self.curves(|group| &group.losses));
        Captioned {
            name: "compare-loss",
            caption: "The loss of each group of runs. Losses of different frameworks are no measure \
                      of each other.",
            figure: Figure { title: "Loss".to_owned(), x_label: "epochs", panels: vec![panel] },
        }
    }

    /// One curve of each group that has it.
    fn curves(
        &self,
        curve: impl Fn(&Group) -> &Vec<(f64, f64)>,
    ) -> impl Iterator<Item = Option<Series>> {
        let groups = self.groups.iter().zip(COLORS.into_iter().cycle());
        groups.map(move |(group, color)| {
            let (label, line) = (group.label.clone(), curve(group).clone());
            let series = Series { label, color, dots: Vec::new(), line, markers: true };
            (!series.line.is_empty()).then_some(series)
        })
    }
}

/// What a comparison needs of one run.
struct Finished {
    name: String,
    config: Config,
    records: Vec<Record>,
}

impl Finished {
    fn read(dir: &Path) -> Result<Self> {
        required(dir, "config.toml")?;
        let mut config = presets::read_run_config(&dir.join("config.toml"))?;
        // Runs of one experiment may come from several machines.
        config.compute.instructions = String::new();
        let records = record::read(&RunFiles::of(dir).metrics_path())
            .map_err(|error| super::no_metrics(dir, error))?;
        let run = Self { name: name(dir), config, records };
        match run.last().is_some() {
            true => Ok(run),
            false => Err(Error::run(dir, RunProblem::Unmeasured)),
        }
    }

    fn evaluations(&self) -> impl Iterator<Item = &Knn> {
        self.records.iter().filter_map(|record| match record {
            Record::Knn(knn) if knn.source == Source::Trained => Some(knn),
            _ => None,
        })
    }

    fn losses(&self) -> impl Iterator<Item = (usize, f64)> {
        self.records.iter().filter_map(|record| match record {
            Record::Epoch { epoch, scalars, .. } => Some((*epoch, scalars.get(LOSS)?)),
            _ => None,
        })
    }

    fn last(&self) -> Option<&Knn> {
        self.evaluations().last()
    }
}

impl Group {
    fn of(runs: &[Finished]) -> Self {
        let last = || runs.iter().filter_map(Finished::last);
        let neighbours = last().next().map_or(&[][..], |knn| &knn.results);
        let accuracies = neighbours.iter().map(|result| {
            let values: Vec<f64> =
                last().filter_map(|knn| Some(100.0 * knn.at(result.k)?.top1)).collect();
            Accuracy { k: result.k, mean: mean(&values), spread: spread(&values) }
        });
        let nearest = runs.iter().flat_map(|run| {
            run.evaluations().filter_map(|knn| Some((knn.epoch, 100.0 * knn.nearest()?.top1)))
        });
        Self {
            label: label(runs),
            runs: runs.len(),
            epochs: last().map(|knn| knn.epoch).min().unwrap_or(0),
            accuracies: accuracies.collect(),
            curve: means_by_epoch(nearest),
            losses: means_by_epoch(runs.iter().flat_map(Finished::losses)),
        }
    }

    fn cell(&self, k: usize) -> String {
        match self.accuracies.iter().find(|accuracy| accuracy.k == k) {
            Some(Accuracy { mean, spread: Some(spread), .. }) => {
                format!("{mean:.2} ± {spread:.2} %")
            }
            Some(Accuracy { mean, spread: None, .. }) => format!("{mean:.2} %"),
            None => "–".to_owned(),
        }
    }
}

/// What the names of a group's runs begin with, without a trailing `-seed-`.
fn label(runs: &[Finished]) -> String {
    let Some((first, others)) = runs.split_first() else {
        return String::new();
    };
    if others.is_empty() {
        return first.name.clone();
    }
    let common = others.iter().fold(first.name.as_str(), |common, run| {
        let same = common.chars().zip(run.name.chars()).take_while(|(a, b)| a == b);
        &common[..same.map(|(c, _)| c.len_utf8()).sum()]
    });
    let common = common.trim_end_matches(['-', '_']);
    let common = common.strip_suffix("seed").unwrap_or(common).trim_end_matches(['-', '_']);
    if common.is_empty() { first.name.clone() } else { common.to_owned() }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard deviation of the runs as a sample of all seeds.
fn spread(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

fn means_by_epoch(points: impl Iterator<Item = (usize, f64)>) -> Vec<(f64, f64)> {
    let mut by_epoch = std::collections::BTreeMap::<usize, Vec<f64>>::new();
    for (epoch, value) in points.filter(|(_, value)| value.is_finite()) {
        by_epoch.entry(epoch).or_default().push(value);
    }
    by_epoch.into_iter().map(|(epoch, values)| (epoch as f64, mean(&values))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use logo_ssl::presets::Layers;
    use logo_ssl::record::synthetic;

    fn run(dir: &Path, seed: u64, logo: bool) {
        std::fs::create_dir_all(dir).unwrap();
        let layers = Layers::preset("quickstart").unwrap();
        let layers = layers.set(&format!("framework.logo={logo}")).unwrap();
        let config = layers.set(&format!("seed={seed}")).unwrap().build().unwrap();
        std::fs::write(dir.join("config.toml"), presets::to_toml(&config)).unwrap();
        let lines: Vec<_> = synthetic::records(2, logo)
            .iter()
            .map(|record| serde_json::to_string(record).unwrap())
            .collect();
        std::fs::write(dir.join("metrics.jsonl"), lines.join("\n") + "\n").unwrap();
    }

    #[test]
    fn seeds_of_one_setting_are_one_row() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["plain-seed-0", "plain-seed-1", "logo-seed-0"];
        let paths = names.map(|name| dir.path().join(name));
        for (path, name) in paths.iter().zip(names) {
            run(path, u64::from(name.ends_with('1')), name.starts_with("logo"));
        }
        let comparison = Comparison::read(&paths).unwrap();
        assert_eq!(comparison.groups.len(), 2);
        assert_eq!((comparison.groups[0].label.as_str(), comparison.groups[0].runs), ("plain", 2));
        assert_eq!(comparison.groups[1].label, "logo-seed-0");
        assert!(comparison.table().contains("| plain | 2 | 2 |"), "{}", comparison.table());
        let written = comparison.write(&dir.path().join("out")).unwrap();
        assert_eq!(written.len(), 3);
        assert!(written.iter().all(|path| path.is_file()));
    }

    #[test]
    fn the_spread_is_that_of_a_sample() {
        assert_eq!(spread(&[1.0]), None);
        assert_eq!(spread(&[1.0, 3.0]), Some(2.0_f64.sqrt()));
    }
}
