//! PyTorch's archive of a state dict: a zip file of stored records, one a pickle, the others numbers.
//!
//! The form is that of `torch.save` (`torch/serialization.py`, `caffe2/serialize/inline_container.cc`): the
//! numbers of each record begin at a multiple of 64 bytes, so that they can be mapped.

use std::io::{self, Cursor, Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::dtype::Dtype;
use super::pickle::Pickle;
use super::stored::{Kind, Stored};

/// The folder that all records are in. Which is no matter, but it has to be one.
const ROOT: &str = "archive";
/// Where a record's contents begin: at multiples of this.
const ALIGNMENT: u16 = 64;
/// The version of the archive that PyTorch writes.
const VERSION: &[u8] = b"3\n";

/// The bytes of the archive. The same tensors give the same bytes.
///
/// # Errors
/// Where the archive would be longer than a zip file can be.
pub(super) fn file(tensors: &[Stored]) -> io::Result<Vec<u8>> {
    let length: usize = tensors.iter().map(|tensor| tensor.bytes.len() + 256).sum();
    let mut archive = ZipWriter::new(Cursor::new(Vec::with_capacity(length)));
    record(&mut archive, "data.pkl", &state_dict(tensors))?;
    record(&mut archive, "byteorder", b"little")?;
    for (key, tensor) in tensors.iter().enumerate() {
        record(&mut archive, &format!("data/{key}"), &tensor.bytes)?;
    }
    record(&mut archive, "version", VERSION)?;
    Ok(archive.finish()?.into_inner())
}

fn record<W: Write + Seek>(
    archive: &mut ZipWriter<W>,
    name: &str,
    contents: &[u8],
) -> io::Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        // The clock must not be in the bytes.
        .last_modified_time(DateTime::default())
        .with_alignment(ALIGNMENT)
        .large_file(contents.len() > u32::MAX as usize);
    archive.start_file(format!("{ROOT}/{name}"), options)?;
    archive.write_all(contents)
}

/// The pickle of an ordered dict of tensors, each with a storage of its own: the record of its number.
fn state_dict(tensors: &[Stored]) -> Vec<u8> {
    let mut pickle = Pickle::new();
    ordered_dict(&mut pickle);
    pickle.items(|pickle| {
        for (key, tensor) in tensors.iter().enumerate() {
            pickle.text(&tensor.name);
            put(pickle, key, tensor);
        }
    });
    pickle.finish()
}

fn ordered_dict(pickle: &mut Pickle) {
    pickle.global("collections", "OrderedDict");
    pickle.tuple(|_| {});
    pickle.call();
}

/// Pushes a tensor: `_rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks)`.
fn put(pickle: &mut Pickle, key: usize, tensor: &Stored) {
    let count = tensor.shape.iter().product::<usize>() as u64;
    pickle.global("torch._utils", "_rebuild_tensor_v2");
    pickle.tuple(|p| {
        p.tuple(|p| {
            p.text("storage");
            p.global("torch", storage(tensor.kind));
            p.text(&key.to_string());
            p.text("cpu");
            p.number(count);
        });
        p.outside();
        p.number(0);
        p.tuple(|p| tensor.shape.iter().for_each(|&length| p.number(length as u64)));
        p.tuple(|p| strides(&tensor.shape).into_iter().for_each(|stride| p.number(stride)));
        p.no();
        ordered_dict(p);
    });
    pickle.call();
}

fn storage(kind: Kind) -> &'static str {
    match kind {
        Kind::Number(Dtype::F32) => "FloatStorage",
        Kind::Number(Dtype::F16) => "HalfStorage",
        Kind::Number(Dtype::Bf16) => "BFloat16Storage",
        Kind::Counter => "LongStorage",
    }
}

/// How many numbers further the next along each axis is, of numbers row by row.
fn strides(shape: &[usize]) -> Vec<u64> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis] as u64;
    }
    strides
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn tensors() -> Vec<Stored> {
        let stored = |name: &str, shape: &[usize], kind, bytes: usize| Stored {
            name: name.to_owned(),
            shape: shape.to_vec(),
            kind,
            bytes: (0..bytes).map(|byte| byte as u8).collect(),
        };
        vec![
            stored("conv1.weight", &[5, 3, 2, 1], Kind::Number(Dtype::F32), 120),
            stored("bn1.bias", &[7], Kind::Number(Dtype::F16), 14),
            stored("bn1.running_var", &[3], Kind::Number(Dtype::Bf16), 6),
            stored("bn1.num_batches_tracked", &[], Kind::Counter, 8),
        ]
    }

    #[test]
    fn every_record_is_stored_where_it_can_be_mapped() {
        let bytes = file(&tensors()).unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(&bytes)).unwrap();
        let names: Vec<String> =
            archive.file_names().map(|name| name.unwrap().into_owned()).collect();
        assert_eq!(names[0], "archive/data.pkl", "the first record says what the root is");
        assert_eq!(names.len(), 7);
        for (key, tensor) in tensors().iter().enumerate() {
            let mut record = archive.by_name(&format!("archive/data/{key}")).unwrap();
            assert_eq!(record.compression(), CompressionMethod::Stored);
            let mut contents = Vec::new();
            record.read_to_end(&mut contents).unwrap();
            assert_eq!(contents, tensor.bytes, "{}", tensor.name);
            let start = record.data_start().unwrap() as usize;
            assert_eq!(start % 64, 0, "{}", tensor.name);
            assert_eq!(bytes[start..][..contents.len()], tensor.bytes);
        }
    }

    #[test]
    fn the_same_tensors_are_the_same_bytes() {
        assert_eq!(file(&tensors()).unwrap(), file(&tensors()).unwrap());
    }

    #[test]
    fn a_scalar_has_no_axes_and_rows_lie_one_behind_the_other() {
        assert_eq!(strides(&[]), [0_u64; 0]);
        assert_eq!(strides(&[5, 3, 2, 1]), [6, 2, 1, 1]);
        let pickle = state_dict(&tensors()[3..]);
        let text = String::from_utf8_lossy(&pickle);
        assert!(text.contains("LongStorage") && text.contains("bn1.num_batches_tracked"));
        // Offset 0, shape (), strides (), no gradient.
        assert!(pickle.windows(8).any(|w| w == b"QK\x00(t(t\x89"));
    }
}
