//! Named tensors of numbers and one text of metadata, in a safetensors file.

use std::collections::HashMap;
use std::path::Path;

use half::{bf16, f16};
use logo_ssl_data::decode::Content;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::seal::{self, Seal};
use crate::model::params::{State, TensorData};
use crate::{Error, Result};
use logo_ssl_base::files::write_atomic;

/// The one metadata key used: with a single key the same contents give the same bytes.
const KEY: &str = "logo_ssl";

/// What is said of a file whose checksum is another's.
const CHANGED: &str = "is damaged: its checksum is not that of what it holds, so some of its bytes are not those that were written";

// Numbers are written as they lie in memory.
const _: () = assert!(cfg!(target_endian = "little"), "safetensors files are little-endian");

/// Writes `state` and a text to `path`, atomically, with a checksum over both.
///
/// # Errors
/// [`Error::Io`] naming the file.
pub fn write(path: &Path, state: &State, metadata: &str) -> Result<()> {
    let views = state.iter().map(|(name, TensorData { shape, values })| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values));
        (name.as_str(), view.expect("the bytes are the shape's"))
    });
    let views: Vec<_> = views.collect();
    let sealed = seal::sealed(metadata, views.iter().map(|(name, view)| (*name, view)));
    let metadata = HashMap::from([(KEY.to_owned(), sealed)]);
    let bytes = safetensors::serialize(views, Some(metadata))
        .map_err(|error| Error::io("write", path)(std::io::Error::other(error)))?;
    Ok(write_atomic(path, &bytes)?)
}

/// Reads what [`write()`] wrote, or any other safetensors file of tensors in f16, bf16, f32 or f64, whose
/// numbers become f32; the metadata is absent in a file of other origin.
///
/// # Errors
/// [`Error::Io`] when it cannot be read; [`Error::Data`] when it is damaged, which a checksum tells where it
/// bears one, is of another format, or holds another type.
pub fn read(path: &Path) -> Result<(State, Option<String>)> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let (tensors, metadata) = parsed(path, &bytes)?;
    if seal_of(&tensors, metadata.as_deref()) == Seal::Broken {
        return Err(Error::data(path, CHANGED));
    }
    let damaged = |problem: String| damaged(path, &problem);
    let mut state = State::new();
    for (name, view) in tensors.iter() {
        // PyTorch's counters of batches say nothing about the weights.
        if name.ends_with("num_batches_tracked") {
            continue;
        }
        let values = numbers(&view).ok_or_else(|| {
            damaged(format!("`{name}` is {:?}, expected F16, BF16, F32 or F64", view.dtype()))
        })?;
        state.insert(name.to_owned(), TensorData::new(values, view.shape().to_vec()));
    }
    Ok((state, metadata.as_deref().map(seal::opened).map(str::to_owned)))
}

/// Whether a file is as it was written.
///
/// # Errors
/// As [`read`], but for tensors of another type.
pub fn verify(path: &Path) -> Result<Seal> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let (tensors, metadata) = parsed(path, &bytes)?;
    match seal_of(&tensors, metadata.as_deref()) {
        Seal::Broken => Err(Error::data(path, CHANGED)),
        seal => Ok(seal),
    }
}

fn seal_of(tensors: &SafeTensors<'_>, metadata: Option<&str>) -> Seal {
    metadata.map_or(Seal::Absent, |text| seal::checked(text, tensors))
}

/// The metadata alone of what [`read`] reads, without a look at the numbers.
///
/// # Errors
/// As [`read`], but for tensors of another type.
pub fn metadata(path: &Path) -> Result<Option<String>> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let (_, metadata) = parsed(path, &bytes)?;
    Ok(metadata.as_deref().map(seal::opened).map(str::to_owned))
}

/// The tensors in `bytes`, the contents of `path`, and the metadata, where they are of this origin.
fn parsed<'a>(path: &Path, bytes: &'a [u8]) -> Result<(SafeTensors<'a>, Option<String>)> {
    // The first bytes of a sound file are a length, which may look like another format's.
    let (_, header) =
        SafeTensors::read_metadata(bytes).map_err(|error| match other_format(bytes) {
            Some(problem) => Error::data(path, problem),
            None => damaged(path, &error.to_string()),
        })?;
    let metadata = header.metadata().as_ref().and_then(|map| map.get(KEY).cloned());
    let tensors =
        SafeTensors::deserialize(bytes).map_err(|error| damaged(path, &error.to_string()))?;
    Ok((tensors, metadata))
}

fn damaged(path: &Path, problem: &str) -> Error {
    Error::data(path, format!("no usable safetensors file: {problem}"))
}

/// The numbers of a tensor as f32, where it has such.
fn numbers(view: &TensorView<'_>) -> Option<Vec<f32>> {
    fn of<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        let (numbers, _) = bytes.as_chunks::<N>();
        numbers.iter().map(|bytes| number(*bytes)).collect()
    }
    let bytes = view.data();
    match view.dtype() {
        Dtype::F16 => Some(of(bytes, |bytes| f16::from_le_bytes(bytes).to_f32())),
        Dtype::BF16 => Some(of(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32())),
        Dtype::F32 => Some(of(bytes, f32::from_le_bytes)),
        Dtype::F64 => Some(of(bytes, |bytes| f64::from_le_bytes(bytes) as f32)),
        _ => None,
    }
}

/// What a file is that bears no weights in safetensors, and how its weights are had, where its contents
/// tell.
fn other_format(bytes: &[u8]) -> Option<String> {
    // PyTorch's archives are zip files, its older files begin with a pickle.
    match bytes {
        [b'P', b'K', 3, 4, ..] | [0x80, 2..=5, ..] => Some(
            "this is a PyTorch checkpoint (.pth, .pt or .ckpt), and weights are read from safetensors. In Python: \
             safetensors.torch.save_file(torch.load(FILE, map_location=\"cpu\", weights_only=True), OUT), of the \
             state dict where the checkpoint holds more"
                .to_owned(),
        ),
        _ => Content::of(bytes).map(|content| content.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dtype: Dtype, bytes: &[u8]) -> tempfile::NamedTempFile {
        let view = TensorView::new(dtype, vec![2], bytes).unwrap();
        let bytes = safetensors::serialize([("x", view)], None).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn numbers_of_every_precision_become_f32() {
        let [one, two] = [1.5, -2.0];
        let halves = [one, two].map(f16::from_f32).map(f16::to_le_bytes).concat();
        let brains = [one, two].map(bf16::from_f32).map(bf16::to_le_bytes).concat();
        let singles = [one, two].map(f32::to_le_bytes).concat();
        let doubles = [one, two].map(f64::from).map(f64::to_le_bytes).concat();
        for (dtype, bytes) in [
            (Dtype::F16, halves),
            (Dtype::BF16, brains),
            (Dtype::F32, singles),
            (Dtype::F64, doubles),
        ] {
            let (state, _) = read(file(dtype, &bytes).path()).unwrap();
            assert_eq!(state["x"].values, [one, two], "{dtype:?}");
        }
        let problem = read(file(Dtype::U8, &[1, 2]).path()).unwrap_err().to_string();
        assert!(problem.contains("`x` is U8"), "{problem}");
    }

    #[test]
    fn a_length_that_looks_like_another_format_is_no_harm() {
        // The header of 640 bytes begins the file as a pickle of version 2 begins.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.safetensors");
        let state = State::from([("x".to_owned(), TensorData::new(vec![1.5], [1]))]);
        let found = (400..700).any(|length| {
            write(&path, &state, &"m".repeat(length)).unwrap();
            let begins = std::fs::read(&path).unwrap().starts_with(&[0x80, 2]);
            begins && read(&path).unwrap().0 == state
        });
        assert!(found, "some length of the metadata makes such a header");
    }

    #[test]
    fn whatever_byte_is_changed_is_found_or_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.safetensors");
        let tensor = |seed: f32| TensorData::new(vec![seed, 1.5, -2.0], [3]);
        let state: State = [("b", 0.1), ("a", 7.0)].map(|(n, x)| (n.to_owned(), tensor(x))).into();
        let text = r#"{"step":17}"#;
        write(&path, &state, text).unwrap();
        assert_eq!(verify(&path).unwrap(), Seal::Whole);
        assert_eq!(read(&path).unwrap(), (state.clone(), Some(text.to_owned())));
        assert_eq!(metadata(&path).unwrap().as_deref(), Some(text));
        let whole = std::fs::read(&path).unwrap();
        let mut found = 0;
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            std::fs::write(&path, &bytes).unwrap();
            match read(&path) {
                // A checkpoint's text is JSON, and neither a key nor a checksum that is broken leaves it so.
                Ok((read, text)) => assert!(
                    read == state && text.is_none_or(|text| !text.starts_with('{')),
                    "byte {at} was not found"
                ),
                Err(_) => found += 1,
            }
        }
        assert!(found > whole.len() * 3 / 4, "{found} of {}", whole.len());
    }

    #[test]
    fn files_without_a_checksum_are_read() {
        let file = file(Dtype::F32, &[0; 8]);
        assert_eq!(verify(file.path()).unwrap(), Seal::Absent);
        assert!(read(file.path()).is_ok());
    }

    #[test]
    fn a_checkpoint_of_pytorch_is_named_as_what_it_is() {
        let beginnings: [&[u8]; 3] = [
            b"PK\x03\x04archive/data.pkl",
            b"\x80\x02\x8a\x0al\xfc",
            b"version https://git-lfs.github.com/spec/v1",
        ];
        for (bytes, said) in beginnings.into_iter().zip(["PyTorch", "PyTorch", "Git LFS"]) {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), bytes).unwrap();
            let problem = read(file.path()).unwrap_err().to_string();
            assert!(
                problem.contains(said) && problem.contains("safetensors") == (said == "PyTorch"),
                "{problem}"
            );
        }
    }
}
