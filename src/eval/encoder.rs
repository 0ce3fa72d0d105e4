//! A trained network as evaluations see it: images in, features out, on any device.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use graph::{Graph, Node, Program, Type};

use crate::Result;
use crate::config::Features;
use crate::executor::{Array, Compiled, Device};
use crate::model::params::{Declaration, Layout, State, TensorData, Weights};
use crate::model::{Architecture, Network, Phase, ResNet};

/// A network's features as programs, each compiled once for all weights it is run with.
pub struct Extractor {
    network: Part,
    layouts: [Layout; 2],
    device: Device,
    programs: Mutex<HashMap<Key, Arc<Compiled>>>,
}

/// A network with its weights on a device, in evaluation mode. Clones share them.
#[derive(Clone)]
pub struct Encoder {
    pub(super) extractor: Arc<Extractor>,
    /// What is trained, and the running statistics.
    pub(super) weights: [Array; 2],
}

/// What of a network there is.
enum Part {
    Whole(Box<Network>),
    Backbone(ResNet),
}

/// What a program depends on.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    images: Vec<usize>,
    projected: bool,
}

impl Encoder {
    /// With a device's arrays for the two layouts of the extractor's network.
    pub fn new(extractor: Arc<Extractor>, weights: [Array; 2]) -> Self {
        Self { extractor, weights }
    }

    /// The same network as it is initialised under `seed`: a floor of what training makes of it.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the weights find no place.
    pub fn untrained(&self, seed: u64) -> Result<Self> {
        let Extractor { layouts: [trained, running], device, .. } = &*self.extractor;
        let first = |layout: &Layout| device.f32(layout.first_values(seed), &[layout.len()]);
        Ok(Self::new(Arc::clone(&self.extractor), [first(trained)?, first(running)?]))
    }

    /// The length of the backbone's features.
    pub fn backbone_dim(&self) -> usize {
        self.extractor.backbone().plan().features()
    }

    /// Whether it has a projector behind the backbone; one that was read from a weights file has none.
    pub fn has_projector(&self) -> bool {
        matches!(self.extractor.network, Part::Whole(_))
    }

    /// The length of the vectors that [`Encoder::features`] makes.
    pub fn dim(&self, of: Features) -> usize {
        match (&self.extractor.network, of) {
            (Part::Whole(network), Features::Projector) => network.dim(),
            _ => self.backbone_dim(),
        }
    }

    /// The backbone in words: `resnet18 of width 64 with a stem of 3 × 3`. Its number counts layers with
    /// weights, a classifier's among them, as the names of He et al. (2016) do.
    pub fn architecture(&self) -> String {
        let backbone = self.extractor.backbone();
        let (name, side) = (backbone.architecture().name(), backbone.plan().stem.kernel);
        let width = backbone.architecture().width;
        format!("{name} of width {width} with a stem of {side} × {side}")
    }

    /// What the backbone is made of.
    pub(crate) fn backbone_architecture(&self) -> Architecture {
        self.extractor.backbone().architecture()
    }

    /// All tensors of the network by name: those of a backbone alone by torchvision's names, those of a whole
    /// network behind `backbone.`, `projector.` and `predictor.`.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the device fails.
    pub(crate) fn state(&self) -> Result<State> {
        let mut state = State::new();
        for (layout, array) in self.extractor.layouts.iter().zip(&self.weights) {
            state.extend(layout.split(&array.read()?, ""));
        }
        Ok(state)
    }

    /// CRC-32 of all numbers of the network, little-endian: what is trained, then the running statistics.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the device fails.
    pub fn checksum(&self) -> Result<u32> {
        let mut hasher = crc32fast::Hasher::new();
        for array in &self.weights {
            for number in array.read()? {
                hasher.update(&number.to_le_bytes());
            }
        }
        Ok(hasher.finalize())
    }

    /// The features of images `[batch, 3, height, width]`, `[batch, features]` row by row. A backbone
    /// alone has no projector, so its features are the backbone's whatever is asked for.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the device fails.
    pub fn features(&self, images: TensorData, of: Features) -> Result<Vec<f32>> {
        let Self { extractor, weights } = self;
        let projected = of == Features::Projector && self.has_projector();
        let TensorData { shape, values } = images;
        let program = extractor.program(Key { images: shape.clone(), projected })?;
        let [trained, running] = weights.clone();
        let images = extractor.device.f32(values, &shape)?;
        program.run(vec![trained, running, images])?[0].read()
    }
}

impl Extractor {
    /// Of a whole network.
    pub(crate) fn of_network(network: Network, device: &Device) -> Self {
        let layouts = network.layouts().map(Clone::clone);
        Self::new(Part::Whole(Box::new(network)), layouts, device)
    }

    /// Of a backbone alone, with the tensors that `declaration` has of it.
    pub fn of_backbone(backbone: ResNet, declaration: Declaration, device: &Device) -> Self {
        let Declaration { trained, running, .. } = declaration;
        Self::new(Part::Backbone(backbone), [trained, running], device)
    }

    fn new(network: Part, layouts: [Layout; 2], device: &Device) -> Self {
        Self { network, layouts, device: device.clone(), programs: Mutex::default() }
    }

    pub(super) fn layouts(&self) -> &[Layout; 2] {
        &self.layouts
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    pub(super) fn backbone(&self) -> &ResNet {
        match &self.network {
            Part::Whole(network) => &network.backbone,
            Part::Backbone(backbone) => backbone,
        }
    }

    fn program(&self, key: Key) -> Result<Arc<Compiled>> {
        let mut known = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = known.get(&key) {
            return Ok(Arc::clone(program));
        }
        let compiled = Arc::new(self.device.compile(&self.build(&key))?);
        known.insert(key, Arc::clone(&compiled));
        Ok(compiled)
    }

    fn build(&self, key: &Key) -> Program {
        let graph = Graph::new();
        let [trained, running] = ["trained", "running"]
            .into_iter()
            .zip(&self.layouts)
            .map(|(name, layout)| graph.parameter(name, Type::f32([layout.len()])))
            .collect::<Vec<_>>()[..]
        else {
            unreachable!("two layouts give two parameters")
        };
        let images = graph.parameter("images", Type::f32(key.images.clone()));
        let weights = Weights::of(self.layouts.each_ref(), [Some(trained), Some(running)]);
        let features: Node<'_> = match &self.network {
            Part::Whole(network) if key.projected => network.embed(images, &weights),
            Part::Whole(network) => network.backbone.forward(images, &weights, Phase::Eval),
            Part::Backbone(backbone) => backbone.forward(images, &weights, Phase::Eval),
        };
        Program::new(&graph, &[trained, running, images], &[("features", features)])
            .expect("every parameter was listed, each once")
    }
}
