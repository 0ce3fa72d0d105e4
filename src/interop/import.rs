//! The backbone of another program's checkpoint, under torchvision's names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use checkpoints::{Backbone, Checkpoint, Element};

use super::choice::{Choice, chosen};
use super::{seal, tensors, weights};
use crate::config::{BlockKind, MOST_WIDTH, Precision, Stem};
use crate::eval::{Encoder, Extractor};
use crate::executor::Device;
use crate::model::params::{Declaration, Entry, Layout, Mismatch};
use crate::model::{Architecture, ResNet};
use crate::{Error, Result, presets};

/// The tensor that tells the stem.
const STEM: &str = "conv1.weight";
/// How weights without settings say, beside their tensors, that their stem is [`Stem::CifarPadded`].
const PADDED_STEM: [&str; 2] = ["stem", "cifar-padded"];
/// Of what the tensors that a file lacks are made, where that is allowed.
const SEED: u64 = 0;

/// A tensor of the backbone in the file and here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Its name in the file.
    pub theirs: String,
    /// Its name here, which is torchvision's.
    pub ours: String,
    /// The lengths of its axes.
    pub shape: Vec<usize>,
    /// What its numbers are in the file; they become f32.
    pub element: Element,
}

/// A tensor in the file that is not of the backbone, such as a head's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOver {
    /// Its name in the file.
    pub name: String,
    /// The lengths of its axes.
    pub shape: Vec<usize>,
}

/// A backbone found in a file, whose numbers are still to be read.
#[derive(Debug)]
pub struct Import {
    path: PathBuf,
    file: Arc<Checkpoint>,
    /// What its names begin with in the file; with a dot at its end, or empty.
    pub prefix: String,
    /// The ResNet that it is.
    pub architecture: Architecture,
    /// Its tensors, in the order of the network.
    pub mapped: Vec<Mapped>,
    /// Tensors that the file lacks, by torchvision's names, with the values that they get.
    missing: BTreeMap<String, Vec<f32>>,
    /// Tensors in the file that stay there, by their names.
    pub left_over: Vec<LeftOver>,
}

impl Import {
    /// Finds the backbone of the file at `path`: safetensors, or a checkpoint of PyTorch.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Data`] naming the file where it cannot be read, is made to harm, holds no
    /// ResNet, or one of another shape; [`Error::Several`] where it holds backbones that differ and `choice`
    /// names none of them; [`Error::Unmatched`] where tensors are missing or unknown and that is not allowed.
    pub fn open(path: &Path, choice: &Choice) -> Result<Self> {
        let file = tensors::open(path)?;
        let backbone = chosen(path, &file, choice)?;
        Self::of(path, Arc::new(file), &backbone, choice)
    }

    /// The `backbone` of the file at `path`.
    ///
    /// # Errors
    /// As [`Import::open`].
    pub(super) fn of(
        path: &Path,
        file: Arc<Checkpoint>,
        backbone: &Backbone,
        choice: &Choice,
    ) -> Result<Self> {
        let theirs = backbone.tensors(&file);
        let unusable =
            |problem: String| Error::data(path, format!("no ResNet backbone: {problem}"));
        let mut architecture = architecture_of(&theirs, &file).map_err(unusable)?;
        if choice.padded_stem || stem_of_origin(&file) == Some(Stem::CifarPadded) {
            architecture.stem = padded(architecture.stem).map_err(unusable)?;
        }
        check_sequence(backbone, architecture.stem).map_err(unusable)?;
        file.refuse_unfolding(theirs.values().copied())?;

        let layouts = network(&architecture).1;
        let entries = || layouts.iter().flat_map(|layout| layout.entries());
        let mapped: Vec<Mapped> = entries()
            .filter_map(|entry| Some(mapped(entry, theirs.get(&entry.name)?, &file)))
            .collect::<Result<_, Mismatch>>()
            .map_err(|mismatch| unusable(mismatch.to_string()))?;
        let missing: Vec<String> = entries()
            .filter(|entry| !theirs.contains_key(&entry.name))
            .map(|entry| entry.name.clone())
            .collect();
        let known = |ours: &str| entries().any(|entry| entry.name == ours);
        let unknown: Vec<String> = theirs
            .iter()
            .filter(|(ours, _)| !known(ours))
            .map(|(_, theirs)| (*theirs).to_owned())
            .collect();
        let is_whole = missing.is_empty() && unknown.is_empty();
        if !(is_whole || choice.allow_missing) {
            return Err(Error::Unmatched { path: path.to_path_buf(), missing, unknown });
        }
        let missing = first_values(&layouts, &missing);
        let left_over = left_over(&file, &mapped);
        let (path, prefix) = (path.to_path_buf(), backbone.prefix.clone());
        Ok(Self { path, file, prefix, architecture, mapped, missing, left_over })
    }

    /// The tensors that the file lacks, by torchvision's names.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        self.missing.keys().map(String::as_str)
    }

    /// The backbone in evaluation mode on `device`.
    ///
    /// # Errors
    /// [`Error::Data`] naming the file where it is damaged or a number is not finite; [`Error::Io`] where it
    /// cannot be read; [`Error::Device`] where the device has no place.
    pub fn encoder(&self, device: &Device) -> Result<Encoder> {
        let (backbone, layouts) = network(&self.architecture);
        let on_device = |layout: &Layout| {
            let mut flat = Vec::with_capacity(layout.len());
            for entry in layout.entries() {
                flat.extend(self.numbers(&entry.name)?);
            }
            device.f32(flat, &[layout.len()])
        };
        let [trained, running] = layouts.each_ref().map(on_device);
        let weights = [trained?, running?];
        let [trained, running] = layouts;
        let mut declaration = Declaration::default();
        (declaration.trained, declaration.running) = (trained, running);
        let extractor = Extractor::of_backbone(backbone, declaration, device);
        Ok(Encoder::new(Arc::new(extractor), weights))
    }

    /// Writes the backbone as safetensors under torchvision's names, atomically. One tensor at a time is in
    /// memory beside the file.
    ///
    /// # Errors
    /// [`Error::Data`] where the file that it is from is damaged or a number is not finite; [`Error::Io`]
    /// naming the file that could not be read or written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let layouts = network(&self.architecture).1;
        let entries = layouts.iter().flat_map(|layout| layout.entries());
        let tensors = entries.map(|entry| (entry.name.as_str(), &entry.shape[..]));
        let metadata = stem_metadata(self.architecture.stem);
        tensors::write_each(path, tensors, metadata, |ours| self.numbers(ours))
    }

    /// The numbers of the tensor that torchvision calls `ours`.
    pub(super) fn numbers(&self, ours: &str) -> Result<Vec<f32>> {
        let Some(mapped) = self.mapped.iter().find(|mapped| mapped.ours == ours) else {
            return Ok(self.missing[ours].clone());
        };
        let numbers = self.file.numbers(&mapped.theirs)?;
        weights::refuse_non_finite_of(&self.path, &mapped.theirs, &numbers)?;
        Ok(numbers)
    }
}

/// The network of `architecture`, and where its trained tensors and its running statistics lie.
fn network(architecture: &Architecture) -> (ResNet, [Layout; 2]) {
    let mut declare = Declaration::default();
    let backbone = ResNet::new(architecture, Precision::F32, &mut declare);
    (backbone, [declare.trained, declare.running])
}

/// What network has the tensors `theirs`, which are by torchvision's names.
fn architecture_of(
    theirs: &BTreeMap<String, &str>,
    file: &Checkpoint,
) -> Result<Architecture, String> {
    let stem = theirs.get(STEM).ok_or("its stem is not the one convolution `conv1.weight`")?;
    let (width, stem) = match file.tensors()[*stem].shape[..] {
        [width, ..] if width > MOST_WIDTH => {
            return Err(format!(
                "its stem has {width} channels, at most {MOST_WIDTH} are possible"
            ));
        }
        [width, 3, 3, 3] => (width, Stem::Cifar),
        [width, 3, 7, 7] => (width, Stem::Imagenet),
        ref shape => {
            let expected = "[width, 3, 3, 3] or [width, 3, 7, 7]";
            return Err(format!("its stem has shape {shape:?}, expected {expected}"));
        }
    };
    let blocks = [1, 2, 3, 4].map(|stage| {
        (0..).take_while(|b| theirs.contains_key(&format!("layer{stage}.{b}.conv1.weight"))).count()
    });
    if blocks.contains(&0) {
        return Err("it lacks one of layer1 to layer4".to_owned());
    }
    let block = match theirs.contains_key("layer1.0.conv3.weight") {
        true => BlockKind::Bottleneck,
        false => BlockKind::Basic,
    };
    Ok(Architecture { stem, block, blocks, width, zero_init_residual: false })
}

/// What is to stand beside weights without settings, so that their stem is known again.
pub(super) fn stem_metadata(stem: Stem) -> Option<[&'static str; 2]> {
    (stem == Stem::CifarPadded).then_some(PADDED_STEM)
}

/// The stem that this program wrote beside the weights: in the settings that they were trained by, or alone.
fn stem_of_origin(file: &Checkpoint) -> Option<Stem> {
    let [key, value] = PADDED_STEM;
    if file.metadata(key) == Some(value) {
        return Some(Stem::CifarPadded);
    }
    let settings = tensors::own_metadata(file)?;
    Some(presets::config_of_text(seal::opened(&settings)).ok()?.model.stem)
}

/// The stem that pads by two pixels where `stem` pads by one.
fn padded(stem: Stem) -> Result<Stem, String> {
    match stem {
        Stem::Cifar | Stem::CifarPadded => Ok(Stem::CifarPadded),
        Stem::Imagenet => Err("its stem is 7×7, and not the 3×3 that may pad by two".to_owned()),
    }
}

/// Refuses an `nn.Sequential` of a ResNet's parts that is another network than the ResNet: what a ResNet
/// computes between its parts is no part, and such a sequence leaves it out.
fn check_sequence(backbone: &Backbone, stem: Stem) -> Result<(), String> {
    let lacks = match (backbone.modules_between(), stem) {
        (Some(0), _) => "ReLU",
        (Some(1), Stem::Imagenet) => "max-pool",
        _ => return Ok(()),
    };
    Err(format!(
        "its nn.Sequential at `{}` has no {lacks} between the stem and the first layer, so its features are not \
         those of a ResNet",
        backbone.prefix
    ))
}

fn mapped(entry: &Entry, theirs: &str, file: &Checkpoint) -> Result<Mapped, Mismatch> {
    let info = &file.tensors()[theirs];
    if info.shape != entry.shape {
        let (found, expected) = (info.shape.clone(), entry.shape.clone());
        return Err(Mismatch::Shape { name: theirs.to_owned(), found, expected });
    }
    let (theirs, ours) = (theirs.to_owned(), entry.name.clone());
    Ok(Mapped { theirs, ours, shape: entry.shape.clone(), element: info.element })
}

/// The first values of the tensors `names`.
fn first_values(layouts: &[Layout; 2], names: &[String]) -> BTreeMap<String, Vec<f32>> {
    if names.is_empty() {
        return BTreeMap::new();
    }
    let first = layouts.iter().flat_map(|layout| layout.split(&layout.first_values(SEED), ""));
    let wanted = first.filter(|(name, _)| names.contains(name));
    wanted.map(|(name, tensor)| (name, tensor.values)).collect()
}

/// The tensors of `file` that are not `mapped`, but for counters of batches.
fn left_over(file: &Checkpoint, mapped: &[Mapped]) -> Vec<LeftOver> {
    let is_mapped = |name: &str| mapped.iter().any(|mapped| mapped.theirs == name);
    let names = file
        .tensors()
        .iter()
        .filter(|(name, _)| !name.ends_with("num_batches_tracked") && !is_mapped(name));
    names.map(|(name, info)| LeftOver { name: name.clone(), shape: info.shape.clone() }).collect()
}
