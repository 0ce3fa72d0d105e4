//! Named tensors of numbers and one text of metadata, in a safetensors file.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use checkpoints::{Checkpoint, Problem};
use logo_ssl_data::decode::Content;
use safetensors::tensor::{Dtype, Metadata, TensorInfo, TensorView};

use super::seal::{self, Seal};
use crate::model::params::{State, TensorData};
use crate::{Error, Result};
use logo_ssl_base::files::{AtomicFile, write_atomic};

/// The one metadata key used: with a single key the same contents give the same bytes.
pub(super) const KEY: &str = "logo_ssl";
/// The numbers begin at a multiple of so many bytes.
const ALIGNMENT: usize = 8;
/// How much of a file of unknown format is looked at, in bytes.
const MOST_LOOKED_AT: u64 = 4096;

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
    let metadata = HashMap::from([(KEY.to_owned(), seal::sealed(metadata, state))]);
    let bytes = safetensors::serialize(views, Some(metadata))
        .map_err(|error| Error::io("write", path)(std::io::Error::other(error)))?;
    Ok(write_atomic(path, &bytes)?)
}

/// Writes tensors to `path`, atomically, with a key and a text of metadata at most. One tensor is in memory at
/// a time: `numbers` makes those of a name when it is its turn.
///
/// # Errors
/// [`Error::Io`] naming the file; the first error of `numbers`.
pub(super) fn write_each<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>,
    metadata: Option<[&str; 2]>,
    mut numbers: impl FnMut(&str) -> Result<Vec<f32>>,
) -> Result<()> {
    let tensors: BTreeMap<&str, &[usize]> = tensors.into_iter().collect();
    let unwritable = |error| Error::io("write", path)(error);
    let mut file = AtomicFile::create(path)?;
    let header = header(&tensors, metadata).map_err(unwritable)?;
    write_header(header, &mut file).map_err(unwritable)?;
    for name in tensors.keys() {
        file.write_all(bytemuck::cast_slice(&numbers(name)?)).map_err(unwritable)?;
    }
    Ok(file.commit()?)
}

/// The header of a file of `tensors` of f32, one behind the other, as [`safetensors::serialize`] makes it.
fn header(tensors: &BTreeMap<&str, &[usize]>, metadata: Option<[&str; 2]>) -> io::Result<Vec<u8>> {
    let mut end = 0;
    let infos = tensors.iter().map(|(name, shape)| {
        let start = end;
        end += shape.iter().product::<usize>() * size_of::<f32>();
        let data_offsets = (start, end);
        ((*name).to_owned(), TensorInfo { dtype: Dtype::F32, shape: shape.to_vec(), data_offsets })
    });
    let metadata = metadata.map(|entry| HashMap::from([entry.map(str::to_owned).into()]));
    let header = Metadata::new(metadata, infos.collect()).map_err(io::Error::other)?;
    Ok(serde_json::to_vec(&header)?)
}

/// Writes what a file begins with: the length of its header in JSON, and that, so that the numbers begin at a
/// multiple of eight bytes.
pub(crate) fn write_header(mut header: Vec<u8>, out: &mut impl Write) -> io::Result<()> {
    header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)
}

/// Reads what [`write()`] wrote, or any other file of tensors in f16, bf16, f32 or f64, whose numbers become
/// f32: safetensors, or a checkpoint of PyTorch. The metadata is absent in a file of other origin.
///
/// # Errors
/// [`Error::Io`] when it cannot be read; [`Error::Data`] when it is damaged, which a checksum tells where it
/// bears one, is of another format, or holds another type; [`Error::Later`] when a later version wrote it.
pub fn read(path: &Path) -> Result<(State, Option<String>)> {
    read_sealed(path).map(|(state, text, _)| (state, text))
}

/// The same, and whether a checksum bears it out.
///
/// # Errors
/// As [`read`].
pub fn read_sealed(path: &Path) -> Result<(State, Option<String>, Seal)> {
    let file = open(path)?;
    file.refuse_unfolding(file.tensors().keys().map(String::as_str))?;
    let mut state = State::new();
    for (name, info) in file.tensors() {
        // PyTorch's counters of batches say nothing about the weights.
        if !name.ends_with("num_batches_tracked") {
            let tensor = TensorData::new(file.numbers(name)?, info.shape.clone());
            state.insert(name.clone(), tensor);
        }
    }
    let Some(text) = own_metadata(&file) else { return Ok((state, None, Seal::Absent)) };
    let seal = seal::check(path, &text, &state)?;
    Ok((state, Some(seal::opened(&text).to_owned()), seal))
}

/// The metadata alone of what [`read`] reads, without a look at the numbers.
///
/// # Errors
/// As [`read`], but for tensors of another type.
pub fn metadata(path: &Path) -> Result<Option<String>> {
    open(path).map(|file| own_metadata(&file).as_deref().map(seal::opened).map(str::to_owned))
}

/// Opens a file of tensors, of which nothing but the names is read yet.
///
/// # Errors
/// As [`read`], but for the tensors' types.
pub(super) fn open(path: &Path) -> Result<Checkpoint> {
    Checkpoint::open(path).map_err(|error| match error {
        checkpoints::Error::Unusable { problem: Problem::Unknown(_), .. } => {
            other_format(path).map_or_else(|| error.into(), |problem| Error::data(path, problem))
        }
        error => error.into(),
    })
}

/// The text that [`write()`] put beside the tensors.
pub(super) fn own_metadata(file: &Checkpoint) -> Option<String> {
    file.metadata(KEY).map(str::to_owned)
}

/// What a file is that bears no weights, where its contents tell.
fn other_format(path: &Path) -> Option<String> {
    let mut first = Vec::new();
    File::open(path).ok()?.take(MOST_LOOKED_AT).read_to_end(&mut first).ok()?;
    Content::of(&first).map(|content| content.to_string())
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

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
    fn tensors_that_are_written_one_by_one_make_the_same_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.safetensors");
        let state = State::from([
            ("b.weight".to_owned(), TensorData::new(vec![1.5, -2.0, 0.0], [3, 1])),
            ("a".to_owned(), TensorData::new(vec![4.0], [1])),
            ("c".to_owned(), TensorData::new(vec![], [0])),
        ]);
        let shapes = state.iter().map(|(name, data)| (name.as_str(), &data.shape[..]));
        write_each(&path, shapes, None, |name| Ok(state[name].values.clone())).unwrap();
        let views = state.iter().map(|(name, TensorData { shape, values })| {
            let bytes = bytemuck::cast_slice(values);
            (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        });
        assert_eq!(std::fs::read(&path).unwrap(), safetensors::serialize(views, None).unwrap());

        let shapes = state.iter().map(|(name, data)| (name.as_str(), &data.shape[..]));
        let fails = |name: &str| match name {
            "a" => Ok(vec![0.0]),
            _ => Err(Error::data(&path, "no such number")),
        };
        assert!(write_each(&path, shapes, None, fails).is_err());
        assert_eq!(read(&path).unwrap().0, state, "what was there before stays");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
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
        assert_eq!(
            read_sealed(&path).unwrap(),
            (state.clone(), Some(text.to_owned()), Seal::Whole)
        );
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
    fn a_later_format_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.safetensors");
        let state = State::from([("x".to_owned(), TensorData::new(vec![1.5], [1]))]);
        write(&path, &state, "seed = 1").unwrap();
        let mut later = std::fs::read(&path).unwrap();
        let line = b"# logo-ssl format 1, crc32 ";
        let at = later.windows(line.len()).position(|bytes| bytes == line).unwrap();
        later[at + "# logo-ssl format ".len()] = b'7';
        std::fs::write(&path, later).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("is of format 7") && error.contains("reads up to 1"), "{error}");
    }

    #[test]
    fn files_without_a_checksum_are_read() {
        let file = file(Dtype::F32, &[0; 8]);
        assert_eq!(read_sealed(file.path()).unwrap().2, Seal::Absent);
    }

    #[test]
    fn what_is_no_file_of_tensors_is_named_as_what_it_is() {
        let beginnings: [&[u8]; 3] = [
            b"PK\x03\x04archive/data.pkl",
            b"\x80\x02\x8a\x0al\xfc",
            b"version https://git-lfs.github.com/spec/v1",
        ];
        for (bytes, said) in
            beginnings.into_iter().zip(["PyTorch checkpoint", "PyTorch checkpoint", "Git LFS"])
        {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), bytes).unwrap();
            let problem = read(file.path()).unwrap_err().to_string();
            assert!(problem.contains(said), "{problem}");
        }
    }
}
