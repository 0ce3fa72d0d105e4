//! Several evaluations of one encoder and of its floors, as one table.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;
use std::str::FromStr;

use logo_ssl_base::files::write_atomic;
use logo_ssl_base::suggest;
use measures::interval::RESAMPLES;
use measures::paired::{Comparison, compare};
use serde::{Deserialize, Serialize};

use super::{Encoder, EvaluationName, Subject};
use crate::config::Config;
use crate::data::{DatasetName, Labelled};
use crate::record::{Confusion, NamedScores, Outcome, Source};
use crate::{Error, Result};

/// The version of [`Findings`] as JSON.
pub const VERSION: u32 = 1;

/// Which evaluations are made together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// What features tell at once: seconds after they are made.
    Quick,
    /// What the field reports of frozen features.
    Standard,
    /// Everything, trainings of a classifier among it.
    Full,
}

impl Suite {
    /// Every suite, the shortest first.
    pub const ALL: [Self; 3] = [Self::Quick, Self::Standard, Self::Full];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Standard => "standard",
            Self::Full => "full",
        }
    }

    /// Its evaluations, in order.
    pub fn evaluations(self) -> Vec<EvaluationName> {
        let within = |name: &EvaluationName| match self {
            Self::Quick => name.evaluation().effort() == Effort::Features,
            Self::Standard => name.evaluation().effort() <= Effort::Fit,
            Self::Full => true,
        };
        EvaluationName::all().filter(within).collect()
    }
}

/// What an evaluation takes beside the features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Next to nothing.
    Features,
    /// Something is fitted to them: a minute.
    Fit,
    /// A training, with views of its own.
    Training,
}

impl FromStr for Suite {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let names = || Self::ALL.into_iter().map(Self::name);
        let found = Self::ALL.into_iter().find(|suite| suite.name() == name);
        found.ok_or_else(|| Error::name("suite", name, suggest(name, names())))
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What evaluations found of an encoder and of its floors. The same weights and images give the same
/// findings, bit by bit: nothing in them is of a clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// The version of this form: [`VERSION`].
    pub version: u32,
    /// What was classified.
    pub dataset: DatasetName,
    /// Labelled images that could be learned from.
    pub train_images: usize,
    /// Images that it was tested on.
    pub test_images: usize,
    /// How many classes they are of.
    pub classes: usize,
    /// One for each evaluation of each source.
    pub results: Vec<Finding>,
}

/// What one evaluation found of one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The evaluation's name.
    pub evaluation: String,
    /// What was measured.
    pub source: Source,
    /// What came of it, the leading score first.
    pub scores: NamedScores,
    /// Which classes were taken for which, where that is what it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Confusion>,
    /// For each test image whether the leading score counts it as right, where it counts images.
    #[serde(skip)]
    pub hits: Option<Vec<bool>>,
}

/// Told of the evaluation under way, of what, and of its steps done and in all; says whether to go on.
pub type Progress<'a> = dyn FnMut(EvaluationName, Source, usize, usize) -> Result<bool> + 'a;

/// What is evaluated.
#[derive(Clone, Copy)]
pub struct Examined<'a> {
    /// The trained encoder.
    pub encoder: &'a Encoder,
    /// Its dataset, as it is called.
    pub dataset: DatasetName,
    /// Its images.
    pub labelled: &'a Labelled,
    /// How they are seen; the seed of everything that is drawn.
    pub config: &'a Config,
}

impl Examined<'_> {
    /// Makes `evaluations` of the encoder, and with `floors` of the untrained one and of the pixels. None
    /// are returned when `progress` says no.
    ///
    /// # Errors
    /// As [`Subject::features`], and those of `progress`.
    pub fn run(
        self,
        evaluations: &[EvaluationName],
        floors: bool,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Findings>> {
        let Self { encoder, dataset, labelled, config } = self;
        let mut sources = vec![(Source::Trained, Some(encoder.clone()))];
        if floors {
            sources.push((Source::Untrained, Some(encoder.untrained(config.seed)?)));
            sources.push((Source::Pixels, None));
        }
        let mut results = vec![];
        for (source, encoder) in &sources {
            let mut subject = Subject::new(encoder.as_ref(), labelled, config);
            for &name in evaluations {
                let evaluation = name.evaluation();
                if evaluation.measures(*source) {
                    // Each is told of, whether it has steps to tell of or not.
                    if !progress(name, *source, 0, 1)? {
                        return Ok(None);
                    }
                    let mut told = |done, total| progress(name, *source, done, total);
                    let Some(outcome) = evaluation.run(&mut subject, &mut told)? else {
                        return Ok(None);
                    };
                    results.push(Finding::of(name, *source, outcome, labelled.test.len()));
                }
            }
        }
        let [train_images, test_images] = [labelled.bank.len(), labelled.test.len()];
        let classes = labelled.bank.classes().len();
        Ok(Some(Findings {
            version: VERSION,
            dataset,
            train_images,
            test_images,
            classes,
            results,
        }))
    }
}

impl Finding {
    fn of(name: EvaluationName, source: Source, outcome: Outcome, test_images: usize) -> Self {
        let scores = outcome.scores(test_images);
        let Outcome { confusion, hits, .. } = outcome;
        Self { evaluation: name.as_str().to_owned(), source, scores, confusion, hits }
    }
}

/// Two encoders on the same test images: how one evaluation tells them apart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// The evaluation's name.
    pub evaluation: String,
    /// The leading scores, the first encoder's and the second's.
    pub scores: [f64; 2],
    /// The first's accuracy less the second's, and what the images say of it that one alone has right.
    #[serde(flatten)]
    pub paired: Comparison,
}

impl Findings {
    /// Writes them to `path` as JSON, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::other);
        let mut text = text.map_err(Error::io("write", path))?;
        text.push(b'\n');
        Ok(write_atomic(path, &text)?)
    }

    /// Reads what [`Findings::write`] wrote; none where there is no such file.
    ///
    /// # Errors
    /// [`Error::Data`] where it is damaged or a later version's, [`Error::Io`] where it cannot be read.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        let unusable =
            |problem: String| Error::data(path, format!("{problem}; remove it and evaluate again"));
        let found: Self = serde_json::from_slice(&text)
            .map_err(|error| unusable(format!("is damaged ({error})")))?;
        match found.version {
            VERSION => Ok(Some(found)),
            other => Err(unusable(format!("is of version {other}, this program reads {VERSION}"))),
        }
    }

    /// What `evaluation` found of `source`.
    pub fn of(&self, evaluation: &str, source: Source) -> Option<&Finding> {
        let mut results = self.results.iter();
        results.find(|result| result.evaluation == evaluation && result.source == source)
    }

    /// A paired test against `other`, which was tested on the same images, for each evaluation that counts
    /// images in both. What is resampled is drawn by `seed`.
    ///
    /// # Errors
    /// [`Error::Images`] where the images are others.
    pub fn compare(&self, other: &Self, seed: u64) -> Result<Vec<Compared>> {
        if self.test_images != other.test_images || self.dataset != other.dataset {
            return Err(Error::Images(format!(
                "a paired test needs the same images: {} of {} were classified here, {} of {} there",
                self.test_images, self.dataset, other.test_images, other.dataset
            )));
        }
        let mut compared = vec![];
        for ours in self.results.iter().filter(|result| result.source == Source::Trained) {
            let Some(theirs) = other.of(&ours.evaluation, Source::Trained) else { continue };
            let scores = [ours, theirs].map(|finding| finding.scores.leading());
            if let ([Some(first), Some(second)], Some(a), Some(b)) =
                (scores, &ours.hits, &theirs.hits)
            {
                compared.push(Compared {
                    evaluation: ours.evaluation.clone(),
                    scores: [first.value, second.value],
                    paired: compare(b, a, RESAMPLES, seed)?,
                });
            }
        }
        Ok(compared)
    }
}
