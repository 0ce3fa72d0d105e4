//! The linear probe as the field trains it: by SGD on random crops of a frozen backbone's images.

use super::classifier::{Classifier, Course, Head, Heads};
use super::features::{self, FeatureSet};
use super::lessons::of_each_class;
use super::{Effort, Evaluation, Progress, Subject};
use crate::Result;
use crate::config::{Config, Features};
use crate::data::Images;
use crate::eval::Encoder;
use crate::record::{Outcome, Source};

/// Passes over the images, as SimSiam's probe (Chen and He, 2021, appendix A).
const EPOCHS: usize = 90;
/// Images of an update, and of how many the learning rates are said.
const BATCH: usize = 256;
/// The learning rates that are tried, each by a head of its own. MoCo's 30 is among them.
const RATES: [f64; 8] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];
/// The share of each class's images on which the rate is chosen.
const HELD_OUT: f64 = 0.1;

/// The accuracy of a linear classifier on the frozen backbone, trained by SGD with momentum on random crops
/// and flips for ninety epochs, the rate falling by a half cosine. Eight rates are tried at once; the best on
/// a tenth of the training images, which none is trained on, is tested.
pub struct LinearSgd;

impl Evaluation for LinearSgd {
    fn name(&self) -> &'static str {
        "linear-sgd"
    }

    fn title(&self) -> &'static str {
        "Linear probe, SGD"
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
        let [held_out, trained_on] = of_each_class(&labelled.bank, HELD_OUT, config.seed);
        let heads = Heads {
            count: RATES.len(),
            classes: labelled.bank.classes().len(),
            dim: encoder.backbone_dim(),
        };
        let mut classifier = Classifier::new(encoder, heads, false)?;
        let course = Course { epochs: EPOCHS, batch: BATCH, heads: &RATES, backbone: 0.0 };
        if !course.run(&mut classifier, (&labelled.bank, &trained_on), config, progress)? {
            return Ok(None);
        }
        let heads = classifier.heads()?;
        let Some(chosen_on) = raw(encoder, &labelled.bank.subset(held_out), config)? else {
            return Ok(None);
        };
        let Some(test) = raw(encoder, &labelled.test, config)? else { return Ok(None) };
        let right = |head: &Head| head.hits(&chosen_on).iter().filter(|hit| **hit).count();
        // Of equals, the lower rate.
        let best = (0..heads.len()).rev().max_by_key(|&at| right(&heads[at]));
        let Some(best) = best else { return Ok(None) };
        Ok(Some(Outcome::of_hits(heads[best].hits(&test), ("learning rate", RATES[best]))))
    }
}

/// What the backbone makes of images as they are evaluated.
pub(super) fn raw(
    encoder: &Encoder,
    images: &Images,
    config: &Config,
) -> Result<Option<FeatureSet>> {
    let mut config = config.clone();
    config.eval.features = Features::Backbone;
    features::of_encoder(encoder, images, &config, &mut |_| Ok(true))
}
