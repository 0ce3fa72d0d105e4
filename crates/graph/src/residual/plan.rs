//! The shape of a residual network, and where in one flat vector its parameters lie.

use std::ops::Range;

use crate::Element;

/// A convolution and its batch norm.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnitPlan {
    /// Channels in and out.
    pub channels: [usize; 2],
    /// Side of the kernel.
    pub kernel: usize,
    /// In both directions.
    pub stride: usize,
    /// Where its weights start among all parameters: `[out, in, kernel, kernel]`, then γ, then β.
    parameters: usize,
    /// Where its means start among all statistics, followed by as many variances.
    statistics: usize,
}

impl UnitPlan {
    /// The convolution's weights among all parameters.
    pub fn weight(&self) -> Range<usize> {
        let len = self.channels[0] * self.channels[1] * self.kernel * self.kernel;
        self.parameters..self.parameters + len
    }

    /// γ among all parameters.
    pub fn gamma(&self) -> Range<usize> {
        let start = self.weight().end;
        start..start + self.channels[1]
    }

    /// β among all parameters.
    pub fn beta(&self) -> Range<usize> {
        let start = self.gamma().end;
        start..start + self.channels[1]
    }

    /// The means among all statistics.
    pub fn mean(&self) -> Range<usize> {
        self.statistics..self.statistics + self.channels[1]
    }

    /// The variances among all statistics.
    pub fn variance(&self) -> Range<usize> {
        let start = self.mean().end;
        start..start + self.channels[1]
    }
}

/// A residual block.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlockPlan {
    /// Its convolutions, ReLU between them.
    pub main: Vec<UnitPlan>,
    /// The shortcut's, where the block changes the shape.
    pub shortcut: Option<UnitPlan>,
}

/// A network: stem, max-pool where it has one, blocks, global average pooling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// Over images.
    pub stem: UnitPlan,
    /// Whether a max-pool of 3×3 with stride 2 follows the stem's ReLU.
    pub max_pool: bool,
    /// One after the other.
    pub blocks: Vec<BlockPlan>,
    /// Of the activations: [`Element::F32`] or [`Element::Bf16`].
    pub precision: Element,
    /// Over how many replicas' batches batch norm takes its statistics: 1 is each replica's own.
    pub replicas: usize,
    parameters: usize,
    statistics: usize,
}

/// `[in, out]` channels, kernel and stride of a unit to be.
pub type UnitShape = ([usize; 2], usize, usize);

impl Plan {
    /// A network that starts with `stem` and, perhaps, a max-pool. Parameters lie in the order in
    /// which units are added.
    pub fn new((channels, kernel, stride): UnitShape, max_pool: bool, precision: Element) -> Self {
        let stem = UnitPlan { channels, kernel, stride, parameters: 0, statistics: 0 };
        let (parameters, statistics) = (stem.beta().end, stem.variance().end);
        Self { stem, max_pool, blocks: vec![], precision, replicas: 1, parameters, statistics }
    }

    /// Adds a block: its main path, then its shortcut.
    pub fn block(&mut self, main: &[UnitShape], shortcut: Option<UnitShape>) {
        let main = main.iter().map(|shape| self.unit(*shape)).collect();
        let shortcut = shortcut.map(|shape| self.unit(shape));
        self.blocks.push(BlockPlan { main, shortcut });
    }

    fn unit(&mut self, (channels, kernel, stride): UnitShape) -> UnitPlan {
        let (parameters, statistics) = (self.parameters, self.statistics);
        let unit = UnitPlan { channels, kernel, stride, parameters, statistics };
        self.parameters = unit.beta().end;
        self.statistics = unit.variance().end;
        unit
    }

    /// Numbers of all parameters together.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// Numbers of all means and variances together.
    pub fn statistics(&self) -> usize {
        self.statistics
    }

    /// Every unit, in the order of the parameters.
    pub fn units(&self) -> impl Iterator<Item = &UnitPlan> {
        let blocks = self.blocks.iter().flat_map(|b| b.main.iter().chain(&b.shortcut));
        std::iter::once(&self.stem).chain(blocks)
    }

    /// Dimensions of the features.
    pub fn features(&self) -> usize {
        let last = self.blocks.last().and_then(|b| b.main.last()).unwrap_or(&self.stem);
        last.channels[1]
    }
}
