//! Writing a pack, record by record, so that it can go on where it was broken off.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;

use super::{
    ENTRY_BYTES, Encoding, Entry, HEADER_BYTES, Header, IndexPlace, NO_LABEL, Options, VERSION,
};
use crate::disk::read_exact_at;
use crate::{DecodeError, Images, Opened, Picture, Pixels};
use crate::{Error, Result};

/// Images that are made ready side by side, and then written.
const AT_ONCE: usize = 64;

/// What came of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// Images in it.
    pub images: usize,
    /// Images that could not be read, and are not in it.
    pub broken: usize,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Packs the train part and, where there is one, the test part of a dataset into the file `out`.
///
/// It is written as `out.part`, and goes on with what an earlier call left there. `progress` is told
/// how many images are done.
///
/// # Errors
/// [`Error::Images`] when the parts have different classes; [`Error::Data`] when `out` exists, or
/// `out.part` is of other images or options; [`Error::Broken`] when too many images cannot be read; [`Error::Io`] when the file cannot be written. What has been
/// packed stays in `out.part`.
pub fn pack(
    train: &Images,
    test: Option<&Images>,
    out: &Path,
    options: Options,
    progress: &mut dyn FnMut(usize),
) -> Result<Packing> {
    if test.is_some_and(|test| test.classes() != train.classes()) {
        let problem = "the part to test on has other classes than the part to train on";
        return Err(Error::Images(format!("{problem}: pack each by itself")));
    }
    if out.exists() {
        return Err(Error::data(out, "exists already; remove it, or choose another name"));
    }
    let parts: Vec<&Images> = std::iter::once(train).chain(test).collect();
    let header = Header {
        version: VERSION,
        options,
        images: [train.len() as u64, test.map_or(0, |test| test.len()) as u64],
        names: names(&parts),
        index: None,
    };
    let mut writer = Writer::open(out, header)?;
    let mut before = 0;
    for (part, images) in parts.iter().enumerate() {
        writer.append(part, images, &mut |done| progress(before + done))?;
        before += images.len();
    }
    let broken = parts.iter().map(|images| images.broken()).sum();
    writer.finish(out, train.classes(), broken)
}

/// What tells these images from others.
fn names(parts: &[&Images]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for images in parts {
        for index in 0..images.len() {
            hasher.update(images.name(index).as_bytes());
            hasher.update(&[0]);
        }
    }
    hasher.finalize()
}

struct Writer {
    path: PathBuf,
    file: File,
    header: Header,
    /// Of the train and of the test part.
    records: [Vec<Entry>; 2],
    /// Where the next record begins.
    end: u64,
}

impl Writer {
    /// Begins `out.part`, or goes on with it.
    fn open(out: &Path, header: Header) -> Result<Self> {
        let mut path = out.as_os_str().to_owned();
        path.push(".part");
        let path = PathBuf::from(path);
        let began = path.exists();
        let file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let file = file.map_err(Error::io("create", &path))?;
        let end = HEADER_BYTES as u64;
        let mut this = Self { path, file, header, records: [Vec::new(), Vec::new()], end };
        match began {
            true => this.take_up()?,
            false => this.write(|file, header| file.write_all(&header.to_bytes()))?,
        }
        Ok(this)
    }

    /// Finds the records of an earlier call, up to the first that is not whole.
    fn take_up(&mut self) -> Result<()> {
        let length = self.file.metadata().map_err(Error::io("read", &self.path))?.len();
        let mut bytes = vec![0; HEADER_BYTES];
        let header = read_exact_at(&self.file, &mut bytes, 0).ok();
        let header = header.and_then(|()| Header::of_bytes(&bytes).ok());
        if header.as_ref() != Some(&self.header) {
            let problem = "is of other images or options, or is damaged; remove it to begin anew";
            return Err(Error::data(&self.path, problem));
        }
        while let Some((part, entry)) = self.record_at(self.end, length)? {
            self.records[part].push(entry);
            self.end = entry.offset + u64::from(entry.len);
        }
        self.file.set_len(self.end).map_err(Error::io("write", &self.path))?;
        self.file.seek(SeekFrom::Start(self.end)).map_err(Error::io("write", &self.path))?;
        Ok(())
    }

    /// The record at `offset`, if it is whole, and the part it belongs to.
    fn record_at(&self, offset: u64, length: u64) -> Result<Option<(usize, Entry)>> {
        let mut bytes = [0; ENTRY_BYTES];
        if offset + ENTRY_BYTES as u64 > length {
            return Ok(None);
        }
        read_exact_at(&self.file, &mut bytes, offset).map_err(Error::io("read", &self.path))?;
        let entry = Entry::of_bytes(&bytes);
        let begins = offset + ENTRY_BYTES as u64;
        if entry.offset != begins || begins + u64::from(entry.len) > length {
            return Ok(None);
        }
        let mut contents = vec![0; entry.len as usize];
        read_exact_at(&self.file, &mut contents, begins).map_err(Error::io("read", &self.path))?;
        // Parts follow each other and numbers rise within one: a lower number begins the test part.
        let in_test = match (self.records[0].last(), self.records[1].is_empty()) {
            (_, false) => true,
            (Some(last), true) => entry.source <= last.source,
            (None, true) => false,
        };
        Ok((crc32fast::hash(&contents) == entry.crc).then_some((usize::from(in_test), entry)))
    }

    /// Appends what is missing of a part.
    fn append(
        &mut self,
        part: usize,
        images: &Images,
        progress: &mut dyn FnMut(usize),
    ) -> Result<()> {
        let next = self.records[part].last().map_or(0, |last| last.source as usize + 1);
        // The train part is whole when the test part has begun.
        let next = if part == 0 && !self.records[1].is_empty() { images.len() } else { next };
        let options = self.header.options;
        let missing: Vec<usize> = (next..images.len()).collect();
        progress(next);
        for chunk in missing.chunks(AT_ONCE) {
            let ready: Vec<Option<Stored>> = chunk
                .par_iter()
                .map(|&index| images.read(index, |picture| Stored::of(picture, options)))
                .collect::<Result<_>>()?;
            for (&index, stored) in chunk.iter().zip(&ready) {
                if let Some(stored) = stored {
                    self.write_record(part, index, images.label(index), stored)?;
                }
            }
            progress(chunk.last().map_or(next, |last| last + 1));
        }
        Ok(())
    }

    fn write_record(
        &mut self,
        part: usize,
        index: usize,
        label: Option<usize>,
        stored: &Stored,
    ) -> Result<()> {
        let [width, height] = stored.size;
        let entry = Entry {
            offset: self.end + ENTRY_BYTES as u64,
            len: stored.bytes.len() as u32,
            width,
            height,
            label: label.map_or(NO_LABEL, |label| label as u32),
            crc: crc32fast::hash(&stored.bytes),
            source: index as u32,
        };
        self.write(|file, _| {
            file.write_all(&entry.to_bytes())?;
            file.write_all(&stored.bytes)
        })?;
        self.end = entry.offset + u64::from(entry.len);
        self.records[part].push(entry);
        Ok(())
    }

    /// Writes index and header, and gives the file its name.
    fn finish(mut self, out: &Path, classes: &[String], broken: usize) -> Result<Packing> {
        let [train, test] = &self.records;
        let mut index: Vec<u8> =
            train.iter().chain(test).flat_map(|entry| entry.to_bytes()).collect();
        index.extend(serde_json::to_vec(classes).expect("names are JSON"));
        self.header.index = Some(IndexPlace {
            offset: self.end,
            records: [train.len() as u64, test.len() as u64],
            crc: crc32fast::hash(&index),
        });
        let images = train.len() + test.len();
        self.write(|file, header| {
            file.write_all(&index)?;
            // What the header speaks of is there before it does.
            file.sync_all()?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&header.to_bytes())?;
            file.sync_all()
        })?;
        fs::rename(&self.path, out).map_err(Error::io("write", out))?;
        Ok(Packing { images, broken, bytes: self.end + index.len() as u64 })
    }

    fn write(&mut self, write: impl FnOnce(&mut File, &Header) -> io::Result<()>) -> Result<()> {
        write(&mut self.file, &self.header).map_err(Error::io("write", &self.path))
    }
}

/// An image as it is stored.
struct Stored {
    /// Width and height of raw pixels; zeros for a file.
    size: [u16; 2],
    bytes: Vec<u8>,
}

/// The longest side that raw pixels may have.
const LONGEST: usize = u16::MAX as usize;

impl Stored {
    fn of(picture: &Picture<'_>, options: Options) -> Result<Self, DecodeError> {
        let opened = picture.open()?;
        let [width, height] = opened.size();
        let shorter = width.min(height);
        let small = options.side == 0 || shorter <= options.side;
        match (picture, options.encoding) {
            (Picture::File(bytes), Encoding::Jpeg { .. }) if small => {
                // Read once, for a pack holds nothing that is broken.
                opened.pixels()?;
                Ok(Self { size: [0, 0], bytes: bytes.to_vec() })
            }
            (_, encoding) => {
                let side = if small { shorter } else { options.side };
                Ok(Self::encoded(&resized(opened, side)?, encoding))
            }
        }
    }

    fn encoded(pixels: &Pixels<'_>, encoding: Encoding) -> Self {
        let [width, height] = [pixels.width, pixels.height].map(|side| side as u16);
        match encoding {
            Encoding::Raw => Self { size: [width, height], bytes: pixels.bytes.to_vec() },
            Encoding::Jpeg { quality } => {
                let mut bytes = Vec::new();
                JpegEncoder::new_with_quality(&mut bytes, quality)
                    .encode(&pixels.bytes, width.into(), height.into(), ExtendedColorType::Rgb8)
                    .expect("pixels of this size, written to memory");
                Self { size: [0, 0], bytes }
            }
        }
    }
}

/// The image with its shorter side brought to `side` pixels, by the filter that views are made with.
fn resized(opened: Opened<'_>, side: usize) -> Result<Pixels<'static>, DecodeError> {
    let [width, height] = opened.size();
    let shorter = width.min(height);
    let scaled = |pixels: usize| ((pixels * side + shorter / 2) / shorter).clamp(1, LONGEST);
    let [new_width, new_height] = [scaled(width), scaled(height)];
    let whole = opened.pixels()?;
    if [whole.width, whole.height] == [new_width, new_height] {
        let bytes = Cow::Owned(whole.bytes.into_owned());
        return Ok(Pixels { width: new_width, height: new_height, bytes });
    }
    let [columns, rows] = [whole.width, whole.height].map(|side| side as u32);
    let mut bytes = vec![0; 3 * new_width * new_height];
    // Of one kind of pixel alone: code for every kind would be more than half of this crate's.
    let source = TypedImageRef::<U8x3>::from_buffer(columns, rows, &whole.bytes)
        .expect("three bytes a pixel");
    let mut canvas =
        TypedImage::<U8x3>::from_buffer(new_width as u32, new_height as u32, &mut bytes)
            .expect("three bytes a pixel");
    let bilinear = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new()
        .resize_typed(&source, &mut canvas, &bilinear)
        .expect("nothing is cut off the source");
    Ok(Pixels { width: new_width, height: new_height, bytes: bytes.into() })
}
