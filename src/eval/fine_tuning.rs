//! Fine-tuning: backbone and a linear classifier trained together on a part of the labels.

use super::classifier::{Classifier, Course, Heads};
use super::lessons::of_each_class;
use super::linear_sgd::raw;
use super::{Effort, Evaluation, Progress, Subject};
use crate::Result;
use crate::record::{Outcome, Source};

/// Passes over the images, and the least number of updates that few images make.
const EPOCHS: usize = 20;
const LEAST_UPDATES: usize = 1000;
/// Images of an update.
const BATCH: usize = 64;
/// Learning rates of backbone and classifier, which fall to zero by a half cosine.
const BACKBONE_RATE: f64 = 0.01;
const HEAD_RATE: f64 = 0.1;

/// The accuracy of a network that is trained on from the encoder's weights with a share of the labels, as
/// SimCLR (Chen et al., 2020, section 4.2) and its followers report it for 1 % and 10 % of ImageNet: SGD with
/// momentum and without weight decay, random crops and flips, twenty epochs and at least a thousand updates.
pub struct FineTuning {
    /// As settings and commands have it.
    pub(super) name: &'static str,
    /// For people.
    pub(super) title: &'static str,
    /// The share of each class's labels.
    pub(super) share: f64,
}

/// With one in a hundred of the labels.
pub static ONE_PERCENT: FineTuning =
    FineTuning { name: "fine-tune-1", title: "Fine-tuned, 1 % of labels", share: 0.01 };
/// With one in ten.
pub static TEN_PERCENT: FineTuning =
    FineTuning { name: "fine-tune-10", title: "Fine-tuned, 10 % of labels", share: 0.1 };
/// With all of them.
pub static ALL_LABELS: FineTuning =
    FineTuning { name: "fine-tune-100", title: "Fine-tuned, all labels", share: 1.0 };

impl Evaluation for FineTuning {
    fn name(&self) -> &'static str {
        self.name
    }

    fn title(&self) -> &'static str {
        self.title
    }

    fn effort(&self) -> Effort {
        Effort::Training
    }

    fn measures(&self, source: Source) -> bool {
        source != Source::Pixels
    }

    fn run(
        &self,
        subject: &mut Subject<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Outcome>> {
        let (config, labelled) = (subject.config(), subject.labelled());
        let Some(encoder) = subject.encoder() else { return Ok(None) };
        let [chosen, _] = of_each_class(&labelled.bank, self.share, config.seed);
        let classes = labelled.bank.classes().len();
        let heads = Heads { count: 1, classes, dim: encoder.backbone_dim() };
        let mut classifier = Classifier::new(encoder, heads, true)?;
        let batch = BATCH.min(chosen.len());
        let epochs = EPOCHS.max(LEAST_UPDATES.div_ceil(chosen.len() / batch));
        let course = Course { epochs, batch, heads: &[HEAD_RATE], backbone: BACKBONE_RATE };
        if !course.run(&mut classifier, (&labelled.bank, &chosen), config, progress)? {
            return Ok(None);
        }
        let Some(test) = raw(&classifier.encoder(), &labelled.test, config)? else {
            return Ok(None);
        };
        let hits = classifier.heads()?[0].hits(&test);
        Ok(Some(Outcome::of_hits(hits, ("labelled images", chosen.len() as f64))))
    }
}
