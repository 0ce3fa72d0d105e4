//! The networks of a file one after the other: each is taken, or it is said why not.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use checkpoints::{Backbone, Checkpoint, Head};

use super::heads::{self, Given};
use super::origin::{Fit, Part, PartFit};
use crate::config::{Change, Config, Stem};
use crate::interop::weights::refuse_non_finite_of;
use crate::interop::{Choice, Import};
use crate::model::Architecture;
use crate::model::params::{State, TensorData};
use crate::train::{MOMENTUM, NETWORK};
use crate::{Error, Result};

/// What counts a batch norm's batches; it says nothing about the weights.
const COUNTER: &str = "num_batches_tracked";

/// A file on its way into the state of a run of `config`.
pub(super) struct Fitting<'a> {
    path: &'a Path,
    pub(super) file: Arc<Checkpoint>,
    pub(super) config: &'a Config,
    allow_missing: bool,
    heads: Vec<Head>,
    pub(super) state: State,
    parts: Vec<PartFit>,
    /// What was taken, by the names in the file.
    pub(super) taken: BTreeSet<String>,
}

impl<'a> Fitting<'a> {
    pub(super) fn new(
        path: &'a Path,
        file: Arc<Checkpoint>,
        config: &'a Config,
        allow_missing: bool,
    ) -> Self {
        let heads = Head::find(&file, &Backbone::find(&file));
        let (state, parts, taken) = Default::default();
        Self { path, file, config, allow_missing, heads, state, parts, taken }
    }

    /// The tensors that were taken, what became of each part, and how many tensors stay in the file.
    pub(super) fn finish(self) -> (State, Vec<PartFit>, usize) {
        let stays = |name: &&String| !(name.ends_with(COUNTER) || self.taken.contains(*name));
        let left_out = self.file.tensors().keys().filter(stays).count();
        (self.state, self.parts, left_out)
    }

    /// The parts that are there and do not fit.
    pub(super) fn misfits(&self) -> Vec<PartFit> {
        let misfits = self.parts.iter().filter(|part| matches!(part.fit, Fit::Misfit { .. }));
        misfits.cloned().collect()
    }

    pub(super) fn note(&mut self, part: Part, from: Option<&str>, fit: Fit) {
        let from = from.map(|from| from.trim_end_matches('.').to_owned());
        self.parts.push(PartFit { part, from, fit });
    }

    pub(super) fn has_taken(&self, part: Part) -> bool {
        self.parts.iter().any(|of| of.part == part && matches!(of.fit, Fit::Taken { .. }))
    }

    /// Takes the backbone, without which there is nothing to begin from.
    pub(super) fn backbone(&mut self, backbone: &Backbone) -> Result<()> {
        let import = self.import(backbone)?;
        self.refuse_other(&import.architecture)?;
        let fit = self.take_backbone(&import, NETWORK)?;
        self.note(Part::Backbone, Some(&backbone.prefix), fit);
        Ok(())
    }

    /// A backbone of the file. What a file does not say of its stem, the settings say.
    fn import(&self, backbone: &Backbone) -> Result<Import> {
        let choice = Choice {
            prefix: None,
            allow_missing: self.allow_missing,
            padded_stem: self.config.model.stem == Stem::CifarPadded,
        };
        Import::of(self.path, Arc::clone(&self.file), backbone, &choice)
    }

    /// Refuses a backbone that is not the config's.
    fn refuse_other(&self, found: &Architecture) -> Result<()> {
        let model = &self.config.model;
        let wanted = Architecture::from(model);
        let same = Architecture { zero_init_residual: wanted.zero_init_residual, ..*found };
        if same == wanted {
            return Ok(());
        }
        let path = self.path.display();
        let they_differ = format!("{path}: its backbone is {found}, that of the settings {wanted}");
        let Some(backbone) = found.backbone() else {
            let message = format!("{they_differ}, and no model.backbone is like it");
            return Err(Error::setting("model.backbone", message));
        };
        let changes = self.changes(|config| {
            config.model.backbone = backbone;
            (config.model.stem, config.model.width) = (found.stem, found.width);
        });
        let key = changes.first().map_or("model.backbone", |change| change.key.as_str());
        let message = format!("{they_differ}; to begin from it, set {}", Change::list(&changes));
        Err(Error::setting(key, message))
    }

    /// What `change` does to the settings.
    pub(super) fn changes(&self, change: impl FnOnce(&mut Config)) -> Vec<Change> {
        let mut wanted = self.config.clone();
        change(&mut wanted);
        self.config.changes_to(&wanted)
    }

    fn take_backbone(&mut self, import: &Import, module: &str) -> Result<Fit> {
        for mapped in &import.mapped {
            let tensor = TensorData::new(import.numbers(&mapped.ours)?, mapped.shape.clone());
            self.state.insert(format!("{module}.backbone.{}", mapped.ours), tensor);
            self.taken.insert(mapped.theirs.clone());
        }
        Ok(Fit::Taken { tensors: import.mapped.len(), missing: import.missing().count() })
    }

    fn take_head(&mut self, given: Vec<Given>, module: &str) -> Result<Fit> {
        let mut tensors = 0;
        for Given { ours, theirs, shape } in given {
            let values = match theirs {
                Some(theirs) => {
                    tensors += 1;
                    self.numbers(&theirs)?
                }
                None => vec![0.0; shape.iter().product()],
            };
            self.state.insert(format!("{module}.{ours}"), TensorData::new(values, shape));
        }
        Ok(Fit::Taken { tensors, missing: 0 })
    }

    /// The numbers of the tensor that the file calls `theirs`, which are taken.
    pub(super) fn numbers(&mut self, theirs: &str) -> Result<Vec<f32>> {
        let numbers = self.file.numbers(theirs)?;
        refuse_non_finite_of(self.path, theirs, &numbers)?;
        self.taken.insert(theirs.to_owned());
        Ok(numbers)
    }

    /// The head that stands nearest to `backbone` among those that follow as it does and are `meant`.
    fn nearest(
        &self,
        backbone: &Backbone,
        is_meant: impl Fn(&Head) -> bool,
    ) -> Result<Option<Head>, Fit> {
        let follows = backbone.is_momentum();
        let meant =
            self.heads.iter().filter(|head| head.is_momentum() == follows && is_meant(head));
        let mut meant: Vec<&Head> = meant.collect();
        let most = meant.iter().map(|head| head.nearness(backbone)).max();
        meant.retain(|head| Some(head.nearness(backbone)) == most);
        match meant[..] {
            [] => Ok(None),
            [only] => Ok(Some(only.clone())),
            [one, other, ..] => {
                Err(misfit(format!("could be `{}` as well as `{}`", one.prefix, other.prefix)))
            }
        }
    }

    /// What may be the projector on `backbone`. A single layer is a classifier, unless the projector is one too.
    fn projector_on(&self, backbone: &Backbone) -> Result<Option<Head>, Fit> {
        let model = &self.config.model;
        self.nearest(backbone, |head| {
            !head.is_predictor()
                && head.input() == model.feature_dim()
                && (head.layers.len() > 1 || model.projector.layers == 1)
        })
    }

    /// Takes the projector on `backbone`.
    pub(super) fn projector(&mut self, backbone: &Backbone) -> Result<()> {
        let (from, fit) = match self.projector_on(backbone) {
            Ok(None) => (None, Fit::Absent),
            Err(fit) => (None, fit),
            Ok(Some(head)) => {
                let fit = self.fit_projector(&head)?;
                (Some(head.prefix), fit)
            }
        };
        self.note(Part::Projector, from.as_deref(), fit);
        Ok(())
    }

    fn fit_projector(&mut self, head: &Head) -> Result<Fit> {
        let Some(theirs) = heads::as_projector(head, &self.config.model.projector) else {
            return Ok(misfit("has layers that no setting of model.projector makes".to_owned()));
        };
        let changes = self.changes(|config| config.model.projector = theirs);
        match changes.is_empty() {
            true => self.take_head(heads::of_projector(head), NETWORK),
            false => Ok(needs(&changes)),
        }
    }

    /// Takes the predictor that goes with `backbone`.
    pub(super) fn predictor(&mut self, backbone: &Backbone) -> Result<()> {
        let is_wanted = self.config.model.predictor.hidden > 0;
        let (from, fit) = match (self.nearest(backbone, Head::is_predictor), is_wanted) {
            (Ok(None), false) => return Ok(()),
            (Ok(None), true) => (None, Fit::Absent),
            (Ok(Some(head)), false) => (Some(head.prefix), Fit::Unused),
            (Err(_), false) => (None, Fit::Unused),
            (Err(fit), true) => (None, fit),
            (Ok(Some(head)), true) => {
                let fit = self.fit_predictor(&head)?;
                (Some(head.prefix), fit)
            }
        };
        self.note(Part::Predictor, from.as_deref(), fit);
        Ok(())
    }

    fn fit_predictor(&mut self, head: &Head) -> Result<Fit> {
        let Some(hidden) = heads::as_predictor(head) else {
            return Ok(misfit("has layers that no setting of model.predictor makes".to_owned()));
        };
        if !self.has_taken(Part::Projector) {
            return Ok(of_another_projector());
        }
        if head.input() != self.config.model.projector.dim {
            return Ok(misfit(format!(
                "takes {} dimensions, and the projector makes {}",
                head.input(),
                self.config.model.projector.dim
            )));
        }
        let changes = self.changes(|config| config.model.predictor.hidden = hidden);
        match changes.is_empty() {
            true => self.take_head(heads::of_predictor(head), NETWORK),
            false => Ok(needs(&changes)),
        }
    }

    /// Takes the momentum encoder, which has the backbone `follower`, where one is wanted.
    pub(super) fn momentum(&mut self, follower: Option<&Backbone>, is_wanted: bool) -> Result<()> {
        let fit = match (follower, is_wanted) {
            (None, false) => return Ok(()),
            (None, true) => Fit::Absent,
            (Some(_), false) => Fit::Unused,
            (Some(follower), true) => self.fit_momentum(follower)?,
        };
        self.note(Part::MomentumEncoder, follower.map(|backbone| &*backbone.prefix), fit);
        Ok(())
    }

    fn fit_momentum(&mut self, follower: &Backbone) -> Result<Fit> {
        let import = self.import(follower)?;
        if self.refuse_other(&import.architecture).is_err() {
            return Ok(misfit(format!("is {}", import.architecture)));
        }
        // Its projector goes with the encoder's, or starts as that does.
        let head = match self.has_taken(Part::Projector) {
            false => None,
            true => match self.projector_on(follower) {
                Ok(Some(head)) if self.is_projector(&head) => Some(head),
                _ => return Ok(misfit("lacks a projector like the encoder's".to_owned())),
            },
        };
        let fit = self.take_backbone(&import, MOMENTUM)?;
        let of_head =
            head.map(|head| self.take_head(heads::of_projector(&head), MOMENTUM)).transpose()?;
        Ok(match (fit, of_head) {
            (Fit::Taken { tensors, missing }, Some(Fit::Taken { tensors: more, .. })) => {
                Fit::Taken { tensors: tensors + more, missing }
            }
            (fit, _) => fit,
        })
    }

    fn is_projector(&self, head: &Head) -> bool {
        let projector = &self.config.model.projector;
        heads::as_projector(head, projector).as_ref() == Some(projector)
    }
}

pub(super) fn misfit(why: String) -> Fit {
    Fit::Misfit { why }
}

/// What fits once these settings are changed.
pub(super) fn needs(changes: &[Change]) -> Fit {
    misfit(format!("needs {}", Change::list(changes)))
}

pub(super) fn of_another_projector() -> Fit {
    misfit("goes with a projector that is not taken".to_owned())
}
