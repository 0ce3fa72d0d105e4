//! What a convolution is: its sizes, and how its activations and weights lie in memory.

use crate::gemm::PANEL;
use crate::slab::{IMAGE_CHANNELS, Map};

/// Channels as activations store them: a whole cache line of f32, so that no kernel meets a part of
/// a vector. The channels added are zero.
pub const fn stored_channels(channels: usize) -> usize {
    channels.next_multiple_of(PANEL)
}

/// A square convolution with the padding that keeps the size at stride 1, and no bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Of the input.
    pub height: usize,
    /// Of the input.
    pub width: usize,
    /// Before padding.
    pub in_channels: usize,
    /// Before padding.
    pub out_channels: usize,
    /// Side of the kernel, odd.
    pub kernel: usize,
    /// In both directions.
    pub stride: usize,
    /// Whether the input is [`Input::Images`].
    pub images: bool,
}

impl ConvShape {
    pub(crate) fn padding(&self) -> usize {
        self.kernel / 2
    }

    pub(crate) fn input(&self) -> Map {
        let channels = match self.images {
            true => IMAGE_CHANNELS,
            false => stored_channels(self.in_channels),
        };
        Map { height: self.height, width: self.width, channels }
    }

    pub(crate) fn output(&self) -> Map {
        let [height, width] = self.output_size();
        Map { height, width, channels: stored_channels(self.out_channels) }
    }

    /// Height and width of the output.
    pub fn output_size(&self) -> [usize; 2] {
        [self.height, self.width].map(|size| (size - 1) / self.stride + 1)
    }

    /// Stored numbers of one image's input, unless it is [`Input::Images`].
    pub fn input_len(&self) -> usize {
        self.input().len()
    }

    /// Stored numbers of one image's output.
    pub fn output_len(&self) -> usize {
        self.output().len()
    }

    /// Numbers of `[out, in, kernel, kernel]`.
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.in_channels * self.kernel * self.kernel
    }

    /// Where a weight lies in `[out, in, kernel, kernel]`; none belongs to a padding channel.
    pub(crate) fn weight_index(&self, o: usize, c: usize, tap: (usize, usize)) -> Option<usize> {
        let exists = o < self.out_channels && c < self.in_channels;
        let (r, s) = tap;
        exists.then(|| ((o * self.in_channels + c) * self.kernel + r) * self.kernel + s)
    }
}
