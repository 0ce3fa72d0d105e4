//! Convolutions over a batch, forward and back, each by the algorithm that suits it.

use crate::bf16_dot::Bf16Dot;
use crate::element::Element;
use crate::f32_path::F32Path;
use crate::level::Level;
use crate::norm::{GradientSums, Moments};
use crate::shape::ConvShape;
use crate::slab::{Input, InputGradient, OutputGradient};
use crate::winograd::Tile;
use crate::workspace::Workspace;

/// An algorithm for convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Implicit GEMM in f32.
    Direct,
    /// Winograd's F(2×2, 3×3), for kernels of 3×3 and stride 1.
    Winograd2,
    /// Winograd's F(4×4, 3×3), for kernels of 3×3 and stride 1.
    Winograd4,
    /// Winograd's method for 4×4 outputs of kernels of 3×3 and stride 2.
    Winograd4Strided,
    /// Implicit GEMM whose operands are pairs of bfloat16: each instruction adds the dot products of such
    /// pairs to sums in f32.
    Bf16Dot,
}

impl Algorithm {
    /// The algorithm that measurements (docs/results/cpu.md) found the fastest for a shape and for activations stored
    /// as `E`.
    pub fn of<E: Element>(shape: &ConvShape, level: Level) -> Self {
        let in_f32 = Self::in_f32(shape);
        match level {
            _ if !E::IS_BF16 => in_f32,
            Level::Amx => Algorithm::Bf16Dot,
            // A vector of pairs does at most twice what one of f32 does; F(4×4, 3×3) spares more.
            Level::Avx512Bf16 if in_f32 != Algorithm::Winograd4 => Algorithm::Bf16Dot,
            _ => in_f32,
        }
    }

    /// What is fastest for a shape where all numbers are multiplied in f32.
    fn in_f32(shape: &ConvShape) -> Self {
        let [height, width] = shape.output_size();
        match (shape.kernel, shape.stride, height.min(width)) {
            _ if shape.images => Algorithm::Direct,
            (3, 1, 0..=2) => Algorithm::Winograd2,
            (3, 1, _) => Algorithm::Winograd4,
            (3, 2, 4..) if shape.in_channels >= 128 => Algorithm::Winograd4Strided,
            (3, 2, 8..) if shape.in_channels >= 64 => Algorithm::Winograd4Strided,
            _ => Algorithm::Direct,
        }
    }

    /// Whether this algorithm can compute convolutions of that shape.
    pub fn suits(self, shape: &ConvShape) -> bool {
        match self {
            Algorithm::Direct | Algorithm::Bf16Dot => true,
            _ => shape.kernel == 3 && shape.stride == self.stride() && !shape.images,
        }
    }

    fn stride(self) -> usize {
        if self == Algorithm::Winograd4Strided { 2 } else { 1 }
    }

    fn tile(self) -> Option<Tile> {
        match self {
            Algorithm::Direct | Algorithm::Bf16Dot => None,
            Algorithm::Winograd2 => Some(Tile::Two),
            Algorithm::Winograd4 => Some(Tile::Four),
            Algorithm::Winograd4Strided => Some(Tile::Strided),
        }
    }
}

/// A convolution with its tables, good for any batch.
#[derive(Debug)]
pub struct Conv {
    shape: ConvShape,
    path: Path,
}

#[derive(Debug)]
enum Path {
    F32(Box<F32Path>),
    Bf16Dot(Box<Bf16Dot>),
}

impl Conv {
    /// A convolution by the algorithm that is fastest for its shape and for activations stored as `E`.
    pub fn new<E: Element>(shape: ConvShape, level: Level) -> Self {
        Self::with(Algorithm::of::<E>(&shape, level), shape, level)
    }

    /// A convolution by the algorithm given.
    ///
    /// # Panics
    /// If the algorithm does not suit the shape, or the kernel is even.
    pub fn with(algorithm: Algorithm, shape: ConvShape, level: Level) -> Self {
        assert!(shape.kernel % 2 == 1 && shape.stride > 0, "odd kernels only");
        assert!(shape.height > 0 && shape.width > 0, "an empty image");
        assert!(algorithm.suits(&shape), "{algorithm:?} for {shape:?}");
        let path = match algorithm {
            Algorithm::Bf16Dot => Path::Bf16Dot(Box::new(Bf16Dot::new(shape, level))),
            _ => Path::F32(Box::new(F32Path::new(shape, algorithm.tile(), level))),
        };
        Self { shape, path }
    }

    /// The convolution's shape.
    pub fn shape(&self) -> &ConvShape {
        &self.shape
    }

    fn assert_input<E>(&self, input: &Input<'_, E>, batch: usize) {
        let (len, images) = match input {
            Input::Plain(x) => (x.len(), false),
            Input::Normalised(y, _) => (y.len(), false),
            Input::Images(x) => (x.len(), true),
        };
        assert_eq!(images, self.shape.images, "images where activations belong, or vice versa");
        let one = match images {
            true => self.shape.in_channels * self.shape.height * self.shape.width,
            false => self.shape.input_len(),
        };
        assert!(!images || self.shape.in_channels == 3, "images have three channels");
        assert_eq!(len, batch * one, "the input is of another size");
    }

    /// The forward pass: stores outputs `[batch, height, width, stored channels]` to `y`, and returns their moments.
    /// `weight` is `[out, in, kernel, kernel]`.
    ///
    /// # Panics
    /// If a slice's length does not fit the shape.
    pub fn forward<E: Element>(
        &self,
        input: Input<'_, E>,
        weight: &[f32],
        y: &mut [E],
        workspace: &Workspace,
    ) -> Moments {
        let len = self.shape.output_len();
        assert_eq!(weight.len(), self.shape.weight_len(), "weights of another shape");
        assert!(y.len().is_multiple_of(len), "whole images");
        self.assert_input(&input, y.len() / len);
        match &self.path {
            Path::F32(m) => m.forward(input, weight, y, workspace),
            Path::Bf16Dot(m) => m.forward(input, weight, y, workspace),
        }
    }

    /// The backward pass: stores the gradient of the weights, `[out, in, kernel, kernel]`, and that of the input
    /// where it is `wanted`. Returns the sums of the latter for the normalisations before it.
    ///
    /// # Panics
    /// If a slice's length does not fit the shape, or the gradient of [`Input::Images`] is wanted.
    pub fn backward<E: Element>(
        &self,
        input: Input<'_, E>,
        gradient: OutputGradient<'_, E>,
        weight: &[f32],
        wanted: Option<InputGradient<'_, E>>,
        weight_gradient: &mut [f32],
        workspace: &Workspace,
    ) -> Option<GradientSums> {
        let batch = gradient.g.len() / self.shape.output_len();
        assert_eq!(weight.len(), self.shape.weight_len(), "weights of another shape");
        assert_eq!(weight_gradient.len(), weight.len(), "the weights' gradient");
        assert_eq!(gradient.g.len(), batch * self.shape.output_len(), "whole images");
        assert_eq!(gradient.g.len(), gradient.y.len(), "gradient and output differ in size");
        self.assert_input(&input, batch);
        if let Some(wanted) = &wanted {
            assert!(!self.shape.images, "images receive no gradient");
            assert_eq!(wanted.to.len(), batch * self.shape.input_len(), "the input's gradient");
        }
        match &self.path {
            Path::F32(m) => m.backward(input, gradient, weight, wanted, weight_gradient, workspace),
            Path::Bf16Dot(m) => {
                m.backward(input, gradient, weight, wanted, weight_gradient, workspace)
            }
        }
    }
}
