//! Small numbers in runs or packed bit by bit, as levels and the numbers of values in a dictionary are
//! written: <https://parquet.apache.org/docs/file-format/data-pages/encodings/>, "RLE/bit-packing hybrid".

/// A number that says how long a run is has 32 bits, seven to a byte.
const MOST_VARINT_BYTES: u32 = 5;
/// Numbers are packed eight at a time.
const GROUP: usize = 8;

/// The numbers in some bytes. It ends where these do, which may be after some that fill the last group
/// of eight.
pub(super) struct Hybrid<'a> {
    rest: &'a [u8],
    bits: usize,
    run: Run<'a>,
}

enum Run<'a> {
    Same { number: u32, left: usize },
    Packed { bytes: &'a [u8], next: usize, count: usize },
}

impl<'a> Hybrid<'a> {
    /// The numbers of `bits` bits, 32 at most, in `bytes`.
    pub(super) fn new(bytes: &'a [u8], bits: u8) -> Self {
        Self { rest: bytes, bits: bits.min(32).into(), run: Run::Same { number: 0, left: 0 } }
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<usize> {
        let mut number = 0_u64;
        for place in 0..MOST_VARINT_BYTES {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return number.try_into().ok();
            }
        }
        None
    }

    fn begin_run(&mut self) -> Option<Run<'a>> {
        let head = self.varint()?;
        let (count, is_packed) = (head >> 1, head & 1 == 1);
        if is_packed {
            // Some writers leave out bytes at the end that would not be looked at.
            let length = count.saturating_mul(self.bits).min(self.rest.len());
            return Some(Run::Packed {
                bytes: self.take(length)?,
                next: 0,
                count: count.saturating_mul(GROUP),
            });
        }
        let number = self.take(self.bits.div_ceil(8))?;
        Some(Run::Same { number: little_endian(number) as u32, left: count })
    }
}

impl Iterator for Hybrid<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        loop {
            match &mut self.run {
                Run::Same { number, left } if *left > 0 => {
                    *left -= 1;
                    return Some(*number);
                }
                Run::Packed { bytes, next, count } if *next < *count => {
                    *next += 1;
                    return unpack(bytes, self.bits, *next - 1);
                }
                _ => self.run = self.begin_run()?,
            }
        }
    }
}

/// Number `index` of those of `bits` bits in `bytes`.
fn unpack(bytes: &[u8], bits: usize, index: usize) -> Option<u32> {
    let start = index.checked_mul(bits)?;
    let end = start.checked_add(bits)?;
    let number = little_endian(bytes.get(start / 8..end.div_ceil(8))?) >> (start % 8);
    Some((number & ((1 << bits) - 1)) as u32)
}

/// At most eight bytes as a number, the lowest first.
fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(bytes: &[u8], bits: u8) -> Vec<u32> {
        Hybrid::new(bytes, bits).take(100).collect()
    }

    #[test]
    fn runs_and_packed_groups_follow_each_other() {
        // The example of the format: 0 to 7 in three bits each.
        let packed = [1 << 1 | 1, 0b1000_1000, 0b1100_0110, 0b1111_1010];
        let bytes = [&[3 << 1, 5][..], &packed, &[0, 1], &[2 << 1, 4]].concat();
        assert_eq!(numbers(&bytes, 3), [5, 5, 5, 0, 1, 2, 3, 4, 5, 6, 7, 4, 4]);
    }

    #[test]
    fn wide_numbers_and_those_of_no_bits_at_all() {
        assert_eq!(numbers(&[1 << 1, 0xef, 0xbe, 0xad, 0xde], 32), [0xdead_beef]);
        assert_eq!(numbers(&[2 << 1, 0x34, 0x12], 13), [0x1234; 2]);
        assert_eq!(numbers(&[1 << 1 | 1, 6 << 1], 0), [0; 14]);
        let packed = [&[3_u8][..], &[0xff; 32]].concat();
        assert_eq!(numbers(&packed, 32), [u32::MAX; 8]);
    }

    #[test]
    fn it_ends_where_the_bytes_do() {
        assert_eq!(numbers(&[], 3), [0; 0]);
        assert_eq!(numbers(&[6], 3), [0; 0]);
        assert_eq!(numbers(&[0xff; 5], 1), [0; 0]);
        // One group of 16-bit numbers, of which two are there.
        assert_eq!(numbers(&[3, 1, 0, 2, 0], 16), [1, 2]);
        // A run of 2³¹ - 1 numbers takes no memory.
        assert_eq!(Hybrid::new(&[0xfe, 0xff, 0xff, 0xff, 0xf, 1], 1).nth(1 << 20), Some(1));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for head in 0..=u8::MAX {
            for bits in 0..=u8::MAX {
                let bytes = [head, bits, !head, 0xff, head, 0, 7];
                assert!(Hybrid::new(&bytes, bits).take(1000).count() <= 1000);
            }
        }
    }
}
