//! Files that are damaged or made to harm: all are refused by an error that names them.

use std::fs;
use std::io::{Cursor, Write};
use std::path::PathBuf;

use logo_ssl_checkpoints::{Checkpoint, Error, Problem};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Opcodes of a pickle: <https://github.com/python/cpython/blob/main/Lib/pickletools.py>.
#[derive(Clone, Default)]
struct Pickle(Vec<u8>);

impl Pickle {
    fn new() -> Self {
        Self(vec![0x80, 2])
    }

    fn op(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        let length = u32::try_from(text.len()).unwrap().to_le_bytes();
        self.op(b"X").op(&length).op(text.as_bytes())
    }

    fn int(self, number: i64) -> Self {
        self.op(b"\x8a\x08").op(&number.to_le_bytes())
    }

    fn tuple(self, numbers: &[i64]) -> Self {
        numbers.iter().fold(self.op(b"("), |pickle, &n| pickle.int(n)).op(b"t")
    }

    /// A tensor of f32 in a storage of so many numbers.
    fn tensor(
        self,
        storage: &str,
        length: i64,
        offset: i64,
        shape: &[i64],
        stride: &[i64],
    ) -> Self {
        let pickle = self.op(b"ctorch._utils\n_rebuild_tensor_v2\n(");
        let pickle = pickle.op(b"(").text("storage").op(b"ctorch\nFloatStorage\n").text(storage);
        let pickle = pickle.text("cpu").int(length).op(b"tQ").int(offset);
        pickle.tuple(shape).tuple(stride).op(b"\x89ccollections\nOrderedDict\n)RtR")
    }

    /// A dict of one entry, which is all there is.
    fn only(name: &str, value: impl FnOnce(Self) -> Self) -> Vec<u8> {
        value(Self::new().op(b"}").text(name)).op(b"s.").0
    }
}

/// Three numbers that a storage holds.
const NUMBERS: [f32; 3] = [1.5, -2.0, 0.25];

fn storage() -> Vec<u8> {
    NUMBERS.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn archive(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// What `torch.save` writes around this pickle and one storage.
fn zipped(pickle: &[u8]) -> Vec<u8> {
    let entries = [("m/data.pkl", pickle), ("m/data/0", &storage()), ("m/version", b"3\n")];
    archive(&entries, CompressionMethod::Stored)
}

/// What it wrote before version 1.6.
fn stream(pickle: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
    let system = Pickle::new().op(b"}").text("little_endian").op(b"\x88s.").0;
    let keys = Pickle::new().op(b"]").text("0").op(b"a.").0;
    let length = (NUMBERS.len() as i64).to_le_bytes();
    [&magic[..], &system, pickle, &keys, &length, &storage()].concat()
}

fn safetensors() -> Vec<u8> {
    let header = br#"{"x":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}"#;
    [&(header.len() as u64).to_le_bytes()[..], header, &storage()].concat()
}

fn honest() -> Vec<u8> {
    Pickle::only("x", |pickle| pickle.tensor("0", 3, 0, &[3], &[1]))
}

struct File {
    _folder: TempDir,
    path: PathBuf,
}

impl File {
    fn of(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.pth");
        fs::write(&path, bytes).unwrap();
        Self { _folder: folder, path }
    }

    /// The numbers of all its tensors, one behind the other.
    fn numbers(&self) -> Result<Vec<f32>, Error> {
        let checkpoint = Checkpoint::open(&self.path)?;
        checkpoint.refuse_unfolding(checkpoint.tensors().keys().map(String::as_str))?;
        let each: Result<Vec<Vec<f32>>, Error> =
            checkpoint.tensors().keys().map(|name| checkpoint.numbers(name)).collect();
        Ok(each?.concat())
    }
}

/// Why `bytes` are refused.
#[track_caller]
fn refused(bytes: &[u8]) -> Problem {
    match File::of(bytes).numbers() {
        Err(error @ Error::Unusable { .. }) => {
            assert!(error.to_string().contains("model.pth: "), "{error}");
            let Error::Unusable { problem, .. } = error else { unreachable!() };
            problem
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[test]
fn what_is_sound_is_read() {
    for bytes in [zipped(&honest()), stream(&honest()), safetensors()] {
        assert_eq!(File::of(&bytes).numbers().unwrap(), NUMBERS);
    }
    let backwards = Pickle::only("x", |pickle| pickle.tensor("0", 3, 1, &[2, 1], &[1, 7]));
    assert_eq!(File::of(&zipped(&backwards)).numbers().unwrap(), NUMBERS[1..]);
}

#[test]
fn a_pickle_that_would_run_a_command_is_refused_wherever_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("was-run");
    let command = format!("touch {}", mark.display());
    for name in ["os\nsystem", "posix\nsystem", "subprocess\nPopen", "builtins\neval"] {
        let call = |pickle: Pickle| {
            pickle.op(b"c").op(name.as_bytes()).op(b"\n").text(&command).op(b"\x85R")
        };
        let root = call(Pickle::new()).op(b".").0;
        let beside = |pickle: Pickle| {
            let pickle = call(pickle).op(b"s").text("x");
            pickle.tensor("0", 3, 0, &[3], &[1])
        };
        let nested = |pickle: Pickle| call(pickle.op(b"]}").text("b")).op(b"sa");
        let dropped = call(Pickle::new()).op(b"0").op(&honest()[2..]).0;
        for pickle in [root, Pickle::only("a", beside), Pickle::only("a", nested), dropped] {
            for bytes in [zipped(&pickle), stream(&pickle)] {
                let problem = refused(&bytes);
                let called = name.replace('\n', ".");
                assert_eq!(problem, Problem::Hostile(called), "{problem}");
            }
        }
    }
    assert!(!mark.exists(), "nothing was run");
}

#[test]
fn what_is_not_known_is_passed_over_beside_tensors_and_refused_around_them() {
    let call = b"cargparse\nNamespace\n)\x81}";
    let beside = |pickle: Pickle| {
        let pickle = pickle.op(call).text("lr").int(3).op(b"sbs").text("x");
        pickle.tensor("0", 3, 0, &[3], &[1])
    };
    let numbers = File::of(&zipped(&Pickle::only("args", beside))).numbers().unwrap();
    assert_eq!(numbers, NUMBERS);
    let around = |pickle: Pickle| {
        pickle.op(b"csome.where\nwrapped\n").tensor("0", 3, 0, &[3], &[1]).op(b"\x85R")
    };
    let problem = refused(&zipped(&Pickle::only("x", around)));
    assert!(problem.to_string().contains("some.where.wrapped"), "{problem}");
}

#[test]
fn what_unfolds_to_more_than_the_file_is_refused() {
    let pickle = Pickle::only("x", |pickle| pickle.tensor("0", 1 << 20, 0, &[1 << 20], &[1]));
    let zeros = vec![0; 4 << 20];
    let entries = [("m/data.pkl", &pickle[..]), ("m/data/0", &zeros)];
    let bomb = archive(&entries, CompressionMethod::Deflated);
    assert!(bomb.len() < 10_000);
    assert!(matches!(refused(&bomb), Problem::Unfolds { bytes: 4_194_304.., .. }));

    let long = [&Pickle::new().op(b"}").0[..], &b"0".repeat(1 << 20)].concat();
    let bomb = archive(&[("m/data.pkl", &long)], CompressionMethod::Deflated);
    assert!(matches!(refused(&bomb), Problem::Unfolds { .. }));

    let one_number_a_million_times =
        Pickle::only("x", |pickle| pickle.tensor("0", 3, 0, &[1000, 1000], &[0, 0]));
    let problem = refused(&zipped(&one_number_a_million_times));
    assert!(matches!(problem, Problem::Unfolds { bytes: 4_000_000, .. }), "{problem}");

    let names = (0..2000).fold(Pickle::new().op(b"}"), |pickle, number| {
        let pickle = pickle.text(&format!("{number}"));
        match number {
            0 => pickle.tensor("0", 3, 0, &[3, 200], &[1, 0]).op(b"q\x01s"),
            _ => pickle.op(b"h\x01s"),
        }
    });
    let problem = refused(&zipped(&names.op(b".").0));
    assert!(matches!(problem, Problem::Unfolds { .. }), "{problem}");
}

#[test]
fn tensors_that_their_storage_does_not_hold_are_refused() {
    let billion = 1_000_000_000;
    for (length, offset, shape, stride) in [
        (3, 0, &[billion, billion][..], &[billion, 1][..]),
        (3, 0, &[billion, billion], &[0, 0]),
        (i64::MAX, 0, &[billion, billion], &[billion, 1]),
        (billion, 0, &[billion], &[1]),
        (4, 0, &[4], &[1]),
        (3, 0, &[4], &[1]),
        (3, 1, &[3], &[1]),
        (3, 0, &[2], &[3]),
        (3, 0, &[3], &[-1]),
        (3, -1, &[3], &[1]),
        (-3, 0, &[3], &[1]),
        (3, 0, &[-3], &[1]),
        (3, 0, &[3], &[1, 1]),
        (3, i64::MAX, &[3], &[1]),
        (3, 0, &[i64::MAX, 2], &[0, 0]),
    ] {
        let pickle = Pickle::only("x", |pickle| pickle.tensor("0", length, offset, shape, stride));
        for bytes in [zipped(&pickle), stream(&pickle)] {
            let problem = refused(&bytes);
            assert!(!matches!(problem, Problem::Hostile(_)), "{shape:?}: {problem}");
        }
    }
}

#[test]
fn a_storage_is_looked_for_in_the_archive_alone() {
    for key in ["../../../secret", "/etc/hostname", "..", "1", ""] {
        let pickle = Pickle::only("x", |pickle| pickle.tensor(key, 3, 0, &[3], &[1]));
        assert!(matches!(refused(&zipped(&pickle)), Problem::PyTorch(_)), "{key}");
    }
    let pickle = honest();
    let entries = [("../m/data.pkl", &pickle[..]), ("../m/data/0", &storage())];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in").join("model.pth");
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(&path, archive(&entries, CompressionMethod::Stored)).unwrap();
    let _ = Checkpoint::open(&path).and_then(|checkpoint| checkpoint.numbers("x"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is unpacked");
}

#[test]
fn cycles_depth_and_copies_without_end_are_refused() {
    let deep = b"]".repeat(100_000);
    let deep = |pickle: Pickle| pickle.op(&deep).op(&b"a".repeat(99_999));
    let cycle = |pickle: Pickle| pickle.op(b"]q\x00h\x00a").op(b"\x85R");
    let doubling =
        |pickle: Pickle| (0..60).fold(pickle.text("x"), |pickle, _| pickle.op(b"q\x00h\x00\x86"));
    for value in [&deep as &dyn Fn(Pickle) -> Pickle, &cycle, &doubling] {
        let pickle = Pickle::only("x", value);
        assert!(matches!(refused(&zipped(&pickle)), Problem::PyTorch(_)));
    }
    let itself = Pickle::only("x", |pickle| pickle.op(b"]q\x00h\x00a"));
    assert_eq!(File::of(&zipped(&itself)).numbers().unwrap(), [0.0; 0]);
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    for bytes in [zipped(&honest()), stream(&honest()), safetensors()] {
        for length in 0..bytes.len() {
            refused(&bytes[..length]);
        }
    }
}

#[test]
fn a_byte_that_is_wrong_never_panics() {
    for bytes in [zipped(&honest()), stream(&honest()), safetensors()] {
        for at in 0..bytes.len() {
            for wrong in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = wrong;
                if let Ok(numbers) = File::of(&bytes).numbers() {
                    assert!(numbers.len() <= NUMBERS.len(), "{at}: {numbers:?}");
                }
            }
        }
    }
}

#[test]
fn safetensors_that_lie_about_their_numbers_are_refused() {
    for header in [
        r#"{"x":{"dtype":"F32","shape":[1000000000,1000000000],"data_offsets":[0,12]}}"#,
        r#"{"x":{"dtype":"F32","shape":[3],"data_offsets":[12,0]}}"#,
        r#"{"x":{"dtype":"F32","shape":[3],"data_offsets":[4,16]}}"#,
        r#"{"x":{"dtype":"F32","shape":[6],"data_offsets":[0,24]}}"#,
        r#"{"x":{"dtype":"F32","shape":[9223372036854775807,3],"data_offsets":[0,12]}}"#,
        r#"{"x":{"dtype":"F99","shape":[3],"data_offsets":[0,12]}}"#,
        "{",
    ] {
        let bytes =
            [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &storage()].concat();
        assert!(matches!(refused(&bytes), Problem::Safetensors(_)), "{header}");
    }
    let counters = br#"{"x":{"dtype":"I32","shape":[3],"data_offsets":[0,12]}}"#;
    let bytes = [&(counters.len() as u64).to_le_bytes()[..], counters, &storage()].concat();
    assert!(matches!(refused(&bytes), Problem::Type { .. }));
    for bytes in
        [&b"\xff\xff\xff\xff\xff\xff\xff\xff{}"[..], b"nothing of the kind", b"", b"GIF89a"]
    {
        assert!(matches!(refused(bytes), Problem::Unknown(_)));
    }
}
