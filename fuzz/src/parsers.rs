//! What each fuzz target does with its input. All return whether the parser took it, so that the
//! seeds can be held to it; what must hold of whatever is taken is asserted.

#![allow(unreachable_pub, reason = "the tests have this file as a module of their own")]

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use flate2::{Compression, write::GzEncoder};
use logo_ssl_checkpoints::{Backbone, Checkpoint, Head};
use logo_ssl_data::cifar::{Cifar, Format};
use logo_ssl_data::idx::{Array, read_csv};
use logo_ssl_data::pack::Pack;
use logo_ssl_data::parquet::{PageCache, Table};
use logo_ssl_data::stl10::{Part, Stl10};
use logo_ssl_data::{Dataset, Encoded, archive, pickle as python, webdataset};
use tempfile::TempDir;

/// Images of more pixels are not decoded: it takes the fuzzer's time and finds no more.
const MOST_PIXELS: usize = 1 << 22;
/// Rows and images that are looked at.
const MOST_LOOKED_AT: usize = 64;

/// An image file.
pub fn image(data: &[u8]) -> bool {
    let Ok(encoded) = Encoded::open(data) else { return false };
    let (width, height) = (encoded.width(), encoded.height());
    if width * height > MOST_PIXELS {
        return false;
    }
    let Ok(pixels) = encoded.decode() else { return false };
    assert_eq!((pixels.width, pixels.height), (width, height));
    assert_eq!(pixels.bytes.len(), width * height * 3);
    true
}

/// A pickle.
pub fn pickle(data: &[u8]) -> bool {
    let Ok(value) = python::read(data) else { return false };
    for key in ["data", "labels", "label_names"] {
        let text = value.get(key).and_then(python::Value::text).map(Cow::into_owned);
        assert!(text.is_none_or(|text| text.len() <= data.len() * 3));
    }
    true
}

/// A checkpoint of PyTorch, safetensors, or an ONNX model.
pub fn checkpoint(data: &[u8]) -> bool {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("checkpoint");
    fs::write(&path, data).expect("a temporary file");
    let Ok(checkpoint) = Checkpoint::open(&path) else { return false };
    for (name, info) in checkpoint.tensors().iter().take(MOST_LOOKED_AT) {
        let Ok(numbers) = checkpoint.numbers(name) else { continue };
        assert_eq!(info.shape.iter().product::<usize>(), numbers.len());
        assert!(numbers.len() <= data.len(), "no tensor is longer than its file");
    }
    let backbones = Backbone::find(&checkpoint);
    for backbone in &backbones {
        let tensors = backbone.tensors(&checkpoint);
        assert!(tensors.values().all(|theirs| checkpoint.tensors().contains_key(*theirs)));
    }
    for head in Head::find(&checkpoint, &backbones) {
        let mut length = head.input();
        for layer in &head.layers {
            assert_eq!(checkpoint.tensors()[&layer.weight].shape, layer.shape);
            assert_eq!(layer.shape[1], length, "what one layer makes the next one takes");
            length = layer.shape[0];
        }
    }
    true
}

/// How a batch of CIFAR is written, then one of a single row.
pub fn cifar(data: &[u8]) -> bool {
    let [format, batch @ ..] = data else { return false };
    let format = match format % 4 {
        0 => Format::Binary { before_label: 0 },
        1 => Format::Binary { before_label: 1 },
        2 => Format::Pickle { labels: "labels", class_names: "label_names" },
        _ => Format::Pickle { labels: "fine_labels", class_names: "fine_label_names" },
    };
    let mut cifar = Cifar::new(vec!["class".into(); 10], 1);
    let is_taken = cifar.append("batch".into(), batch, format).is_ok();
    assert_eq!(cifar.len(), usize::from(is_taken), "all of a batch or nothing");
    is_taken && look_at(&cifar)
}

/// An IDX file of images or of labels, gzipped or not, or both as text.
pub fn idx(data: &[u8]) -> bool {
    fn is_taken<const RANK: usize>(data: &[u8]) -> bool {
        let files = [Array::<RANK>::read(data), Array::read(MultiGzDecoder::new(data))];
        for Array { sizes, values } in files.iter().flatten() {
            assert_eq!(sizes.iter().product::<usize>(), values.len());
        }
        files.iter().any(Result::is_ok)
    }
    let text = read_csv(data);
    if let Ok((images, labels)) = &text {
        assert_eq!(images.sizes.iter().product::<usize>(), images.values.len());
        assert_eq!((images.sizes[0], labels.values.len()), (labels.sizes[0], labels.sizes[0]));
    }
    is_taken::<3>(data) || is_taken::<1>(data) || text.is_ok()
}

/// The number of STL-10's images and by how many bytes they are too long; then their labels, a zero
/// and the names of the classes.
pub fn stl10(data: &[u8]) -> bool {
    const IMAGE_BYTES: u64 = 3 * 96 * 96;
    let [count, excess, rest @ ..] = data else { return false };
    let end = rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len());
    let (labels, names) = rest.split_at(end);
    with_folder(|dir| {
        let images = File::create(dir.join("test_X.bin")).unwrap();
        images.set_len(u64::from(count % 8) * IMAGE_BYTES + u64::from(*excess)).unwrap();
        fs::write(dir.join("test_y.bin"), labels).unwrap();
        match names {
            [] => {}
            [_, names @ ..] => fs::write(dir.join("class_names.txt"), names).unwrap(),
        }
        Stl10::load(dir, Part::Test).is_ok_and(|stl10| look_at(&stl10))
    })
}

/// A WebDataset shard, as it is and with its checksums put right.
pub fn tar(data: &[u8]) -> bool {
    let is_taken = |shard: &[u8]| match webdataset::index(Cursor::new(shard)) {
        Ok(index) => {
            let images = index.samples.len() + index.left_out;
            assert!(images <= shard.len() / 512, "an image takes a header at least");
            true
        }
        Err(_) => false,
    };
    is_taken(data) | is_taken(&with_checksums(data))
}

/// An archive as it is fetched, its checksums put right: what it holds must end up in its folder.
pub fn archive(data: &[u8]) -> bool {
    with_folder(|dir| {
        let (file, outside) = (dir.join("archive.tar.gz"), dir.join("outside"));
        let inside = outside.join("inside");
        fs::create_dir_all(&inside).unwrap();
        let mut gzip = GzEncoder::new(File::create(&file).unwrap(), Compression::none());
        gzip.write_all(&with_checksums(data)).unwrap();
        gzip.finish().unwrap();
        let is_taken = archive::unpack(&file, &inside, "folder").is_ok();
        assert_eq!(names(dir), ["archive.tar.gz", "outside"]);
        assert_eq!(names(&outside), ["inside"]);
        assert_eq!(names(&inside), if is_taken { vec!["folder"] } else { Vec::new() });
        is_taken
    })
}

/// A Parquet file.
pub fn parquet(data: &[u8]) -> bool {
    let Ok(mut table) = Table::read(&data, 0) else { return false };
    let labels = table.take_labels();
    assert_eq!(labels.len(), table.len());
    let cache = PageCache::default();
    let mut images =
        (0..table.len().min(MOST_LOOKED_AT)).map(|row| table.image(&data, row, &cache));
    images.all(|image| image.is_ok())
}

/// 0 and a pack; or 1, how many images are said to be in each of its parts, the length of its
/// records in two bytes, these and the index, whose checksums are put right.
pub fn pack(data: &[u8]) -> bool {
    let forged = match data {
        [kind, pack @ ..] if kind % 2 == 0 => Cow::Borrowed(pack),
        [_, train, test, low, high, rest @ ..] => {
            let records = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
            let (records, index) = rest.split_at(records);
            Cow::Owned(with_header([*train, *test], records, index))
        }
        _ => return false,
    };
    with_folder(|dir| {
        let path = dir.join("a.pack");
        fs::write(&path, forged).unwrap();
        Pack::open(&path).is_ok_and(|parts| parts.iter().flatten().all(|part| look_at(part)))
    })
}

/// Whether the first images of `dataset` can be had.
fn look_at(dataset: &dyn Dataset) -> bool {
    (0..dataset.len().min(MOST_LOOKED_AT)).all(|index| {
        assert!(!dataset.name(index).is_empty());
        assert!(dataset.label(index).is_none_or(|label| label < dataset.classes().len()));
        let picture = dataset.picture(index);
        picture.is_ok_and(|picture| picture.open().and_then(|opened| opened.pixels()).is_ok())
    })
}

/// Calls `look` with an empty folder.
fn with_folder<T>(look: impl FnOnce(&Path) -> T) -> T {
    let dir = TempDir::new().unwrap();
    look(dir.path())
}

/// What lies in `dir`, sorted.
fn names(dir: &Path) -> Vec<String> {
    let listed = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// `tar` with the right checksum in each header, found as the sizes before it say.
fn with_checksums(tar: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 512;
    let mut tar = tar.to_vec();
    let mut at = 0;
    while let Some(header) = tar.get_mut(at..at + BLOCK) {
        if header.iter().any(|&byte| byte != 0) {
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let digits: String = header[124..136]
            .iter()
            .map(|&byte| char::from(byte))
            .filter(char::is_ascii_digit)
            .collect();
        let size = usize::from_str_radix(&digits, 8).unwrap_or(0).min(tar.len());
        at += BLOCK + size.next_multiple_of(BLOCK);
    }
    tar
}

/// A pack of `records` and `index`, in which each image has the checksum of its bytes.
fn with_header([train, test]: [u8; 2], records: &[u8], index: &[u8]) -> Vec<u8> {
    const HEADER: usize = 1024;
    let mut pack = vec![b' '; HEADER];
    pack.extend(records);
    let mut index = index.to_vec();
    let images = usize::from(train) + usize::from(test);
    for entry in index.as_chunks_mut::<28>().0.iter_mut().take(images) {
        let offset = u64::from_le_bytes(*entry.first_chunk().unwrap()) as usize;
        let length = u32::from_le_bytes(*entry[8..].first_chunk().unwrap()) as usize;
        let bytes = pack.get(offset..).and_then(|rest| rest.get(..length)).unwrap_or_default();
        entry[20..24].copy_from_slice(&crc32fast::hash(bytes).to_le_bytes());
    }
    let (offset, crc) = (pack.len(), crc32fast::hash(&index));
    let header = format!(
        r#"LOGOPACK{{"version":1,"options":{{"side":0,"encoding":"raw"}},"images":[{train},{test}],"names":0,"index":{{"offset":{offset},"records":[{train},{test}],"crc":{crc}}}}}"#
    );
    pack[..header.len()].copy_from_slice(header.as_bytes());
    pack.extend(index);
    pack
}
