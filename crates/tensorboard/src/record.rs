//! TFRecord's framing, after TensorFlow's `record_writer.cc`.

use std::io::{self, Write};

use crc::{CRC_32_ISCSI, Crc};

/// CRC-32C, which the CRC catalogue knows as iSCSI's.
const CRC_32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// What TensorFlow adds to a rotated checksum, so that the checksum of bytes that hold checksums is no
/// weaker.
const MASK: u32 = 0xa282_ead8;

/// Writes `payload` as one record: its length, the length's checksum, itself, its checksum.
pub(crate) fn write(out: &mut impl Write, payload: &[u8]) -> io::Result<()> {
    let length = (payload.len() as u64).to_le_bytes();
    out.write_all(&length)?;
    out.write_all(&masked_crc(&length).to_le_bytes())?;
    out.write_all(payload)?;
    out.write_all(&masked_crc(payload).to_le_bytes())
}

fn masked_crc(bytes: &[u8]) -> u32 {
    CRC_32C.checksum(bytes).rotate_right(15).wrapping_add(MASK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_framed_as_tensorflow_frames_it() {
        // What TensorFlow writes of an empty record.
        let mut framed = Vec::new();
        write(&mut framed, b"").unwrap();
        let length_crc = [0x29, 0x03, 0x98, 0x07];
        let payload_crc = [0xd8, 0xea, 0x82, 0xa2];
        assert_eq!(framed, [&[0; 8][..], &length_crc, &payload_crc].concat());
    }

    #[test]
    fn the_checksum_is_crc_32c() {
        // RFC 3720, section B.4.
        assert_eq!(CRC_32C.checksum(&[0; 32]), 0x8a91_36aa);
        assert_eq!(CRC_32C.checksum(&[0xff; 32]), 0x62a8_ab43);
    }
}
