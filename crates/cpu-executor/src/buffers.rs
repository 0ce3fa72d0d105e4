//! The buffers of one run, and how a step gets at several parts of them at once.

use std::ops::Range;
use std::sync::Arc;

use crate::plan::Region;
use crate::tensor::{Data, Slice, SliceMut, Tensor, each};

/// A buffer's elements.
#[derive(Debug)]
pub(crate) enum Held {
    Own(Data),
    /// An input that is only read.
    Shared(Arc<Tensor>),
}

impl Default for Held {
    fn default() -> Self {
        Held::Own(Data::default())
    }
}

impl Held {
    pub(crate) fn data(&self) -> &Data {
        match self {
            Held::Own(data) => data,
            Held::Shared(tensor) => tensor.data(),
        }
    }
}

/// Does `with` what it does with parts that are read and parts that are written. They do not overlap.
pub(crate) fn with_parts(
    buffers: &mut [Held],
    reads: &[Region],
    writes: &[Region],
    with: impl FnOnce(&[Slice<'_>], Vec<SliceMut<'_>>),
) {
    let mut order: Vec<usize> = (0..writes.len()).collect();
    order.sort_by_key(|&at| (writes[at].buffer, writes[at].offset, writes[at].len));
    let mut taken: Vec<(usize, Data)> = vec![];
    for &at in &order {
        let buffer = writes[at].buffer;
        if taken.last().map(|taken| taken.0) != Some(buffer) {
            match std::mem::take(&mut buffers[buffer]) {
                Held::Own(data) => taken.push((buffer, data)),
                Held::Shared(_) => unreachable!("a written buffer is this run's own"),
            }
        }
    }
    {
        let mut written: Vec<Option<SliceMut<'_>>> = writes.iter().map(|_| None).collect();
        let mut between: Vec<(usize, usize, Slice<'_>)> = vec![];
        for (buffer, data) in &mut taken {
            let own: Vec<usize> =
                order.iter().copied().filter(|&at| writes[at].buffer == *buffer).collect();
            let ranges: Vec<Range<usize>> = own
                .iter()
                .map(|&at| writes[at].offset..writes[at].offset + writes[at].len)
                .collect();
            let (parts, gaps) = carve_data(data, &ranges);
            own.iter().zip(parts).for_each(|(&at, part)| written[at] = Some(part));
            between.extend(gaps.into_iter().map(|(start, gap)| (*buffer, start, gap)));
        }
        let read = |region: &Region| match writes.iter().any(|w| w.buffer == region.buffer) {
            true => within(&between, region),
            false => buffers[region.buffer].data().part(region.offset..region.offset + region.len),
        };
        let reads: Vec<Slice<'_>> = reads.iter().map(read).collect();
        with(&reads, written.into_iter().flatten().collect());
    }
    for (buffer, data) in taken {
        buffers[buffer] = Held::Own(data);
    }
}

/// A region of a buffer that is written in other places.
fn within<'a>(between: &[(usize, usize, Slice<'a>)], region: &Region) -> Slice<'a> {
    let found = between.iter().find_map(|&(buffer, start, gap)| {
        let from = region.offset.checked_sub(start).filter(|_| buffer == region.buffer)?;
        gap.part(from..from + region.len)
    });
    found.expect("what is read is not written in the same step")
}

/// The parts to be written, and what lies between them, each with its start.
type Carved<Part, Gap> = (Vec<Part>, Vec<(usize, Gap)>);

fn carve_data<'a>(data: &'a mut Data, ranges: &[Range<usize>]) -> Carved<SliceMut<'a>, Slice<'a>> {
    each!(Data, data, x => {
        let (parts, gaps) = carve(x, ranges);
        (
            parts.into_iter().map(SliceMut::from).collect(),
            gaps.into_iter().map(|(start, gap)| (start, Slice::from(gap))).collect(),
        )
    })
}

fn carve<'a, T>(mut rest: &'a mut [T], ranges: &[Range<usize>]) -> Carved<&'a mut [T], &'a [T]> {
    let (mut parts, mut gaps, mut at) = (vec![], vec![], 0);
    for range in ranges {
        let (gap, behind) = rest.split_at_mut(range.start - at);
        let (part, behind) = behind.split_at_mut(range.len());
        gaps.push((at, &*gap));
        parts.push(part);
        (rest, at) = (behind, range.end);
    }
    gaps.push((at, &*rest));
    (parts, gaps)
}
