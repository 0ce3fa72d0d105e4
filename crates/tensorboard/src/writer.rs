//! Events, one after another.

use std::collections::BTreeMap;
use std::io::{self, Write};

use prost::Message;

use crate::message::{
    Content, DataType, Dim, Event, HParamKind, HParamValue, HParamsPluginData, Image, Metadata,
    PluginData, Session, SessionEnd, SessionLog, SessionStart, SessionStatus, Shape, Summary,
    Tensor, Value, What,
};
use crate::{Histogram, record};

/// The version of the format, which a file's first event names.
const VERSION: &str = "brain.Event:2";
/// The tags under which the HParams page looks for a session's beginning and end.
const SESSION_START: &str = "_hparams_/session_start_info";
const SESSION_END: &str = "_hparams_/session_end_info";
/// What a PNG begins with; behind it come four bytes of length and the name of its header.
const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// When something was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct At {
    /// Optimiser steps done.
    pub step: u64,
    /// Seconds since the Unix epoch.
    pub wall_time: f64,
}

/// The value of a hyper-parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum HParam {
    /// A number.
    Number(f64),
    /// A word.
    Text(String),
    /// Whether something is so.
    Flag(bool),
}

/// How a session of training ended, with the numbers of TensorBoard's `Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It came to its end.
    Success = 1,
    /// It failed.
    Failure = 2,
}

/// Writes the events of one file. Nothing is buffered here: give it a [`io::BufWriter`] where `W` is a file.
#[derive(Debug)]
pub struct EventWriter<W> {
    out: W,
}

impl<W: Write> EventWriter<W> {
    /// Begins a file at `wall_time` (seconds since the Unix epoch). A TensorBoard that showed an earlier file of
    /// the same folder forgets what it read there, so that a run that is written anew has no step twice.
    ///
    /// # Errors
    /// Those of `out`, as with all other methods.
    pub fn new(out: W, wall_time: f64) -> io::Result<Self> {
        let mut writer = Self { out };
        let at = At { step: 0, wall_time };
        writer.event(at, What::FileVersion(VERSION.to_owned()))?;
        writer.event(at, What::SessionLog(SessionLog { status: SessionStatus::Start.into() }))?;
        Ok(writer)
    }

    /// Numbers by tag. TensorBoard groups tags by what stands before the first `/`, and has one kind of value
    /// for each tag. They are stored as f32, as its scalars are.
    ///
    /// # Errors
    /// Those of the underlying writer.
    pub fn scalars<T: Into<String>>(
        &mut self,
        at: At,
        values: impl IntoIterator<Item = (T, f64)>,
    ) -> io::Result<()> {
        let value = |(tag, value): (T, f64)| value_of(tag, Content::SimpleValue(value as f32));
        self.summary(at, values.into_iter().map(value).collect())
    }

    /// A picture, as the bytes of a PNG file.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when it is no PNG; else those of the underlying writer.
    pub fn image(&mut self, at: At, tag: impl Into<String>, png: &[u8]) -> io::Result<()> {
        let no_png = || io::Error::new(io::ErrorKind::InvalidData, "the picture is no PNG");
        let image = image_of(png).ok_or_else(no_png)?;
        self.summary(at, vec![value_of(tag, Content::Image(image))])
    }

    /// How numbers are distributed.
    ///
    /// # Errors
    /// Those of the underlying writer.
    pub fn histogram(
        &mut self,
        at: At,
        tag: impl Into<String>,
        histogram: &Histogram,
    ) -> io::Result<()> {
        self.summary(at, vec![value_of(tag, Content::Histogram(histogram.message()))])
    }

    /// A text, which TensorBoard shows as Markdown.
    ///
    /// # Errors
    /// Those of the underlying writer.
    pub fn text(&mut self, at: At, tag: impl Into<String>, markdown: &str) -> io::Result<()> {
        let tensor = Tensor {
            dtype: DataType::String.into(),
            shape: Some(Shape { dim: vec![Dim { size: 1 }] }),
            string_val: vec![markdown.as_bytes().to_vec()],
        };
        let metadata = plugin("text", Vec::new());
        let content = Some(Content::Tensor(tensor));
        self.summary(at, vec![Value { tag: tag.into(), metadata: Some(metadata), content }])
    }

    /// The hyper-parameters that the file's run was begun with, for the HParams page. Runs of one `group`, for
    /// example of several seeds, are one row there; an empty one is a row by itself.
    ///
    /// # Errors
    /// Those of the underlying writer.
    pub fn session_start(
        &mut self,
        wall_time: f64,
        group: impl Into<String>,
        hparams: impl IntoIterator<Item = (String, HParam)>,
    ) -> io::Result<()> {
        let value = |(name, value)| (name, HParamValue { kind: Some(kind(value)) });
        let hparams: BTreeMap<_, _> = hparams.into_iter().map(value).collect();
        let start = SessionStart { hparams, group_name: group.into(), start_time_secs: wall_time };
        self.session(wall_time, SESSION_START, Session::Start(start))
    }

    /// That the run ended.
    ///
    /// # Errors
    /// Those of the underlying writer.
    pub fn session_end(&mut self, wall_time: f64, status: Status) -> io::Result<()> {
        let end = SessionEnd { status: status as i32, end_time_secs: wall_time };
        self.session(wall_time, SESSION_END, Session::End(end))
    }

    /// Hands everything on that the underlying writer holds back.
    ///
    /// # Errors
    /// Those of the underlying writer.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// What was written to.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn session(&mut self, wall_time: f64, tag: &str, session: Session) -> io::Result<()> {
        let data = HParamsPluginData { version: 0, session: Some(session) };
        // The page reads the metadata alone, but a value has to be there: a scalar without a value.
        let shape = Some(Shape::default());
        let nothing = Tensor { dtype: DataType::Float.into(), shape, string_val: Vec::new() };
        let value = Value {
            tag: tag.to_owned(),
            metadata: Some(plugin("hparams", data.encode_to_vec())),
            content: Some(Content::Tensor(nothing)),
        };
        self.summary(At { step: 0, wall_time }, vec![value])
    }

    fn summary(&mut self, at: At, value: Vec<Value>) -> io::Result<()> {
        self.event(at, What::Summary(Summary { value }))
    }

    fn event(&mut self, At { step, wall_time }: At, what: What) -> io::Result<()> {
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        let event = Event { wall_time, step, what: Some(what) };
        record::write(&mut self.out, &event.encode_to_vec())
    }
}

fn value_of(tag: impl Into<String>, content: Content) -> Value {
    Value { tag: tag.into(), metadata: None, content: Some(content) }
}

fn plugin(name: &str, content: Vec<u8>) -> Metadata {
    Metadata { plugin_data: Some(PluginData { plugin_name: name.to_owned(), content }) }
}

fn kind(value: HParam) -> HParamKind {
    match value {
        HParam::Number(number) => HParamKind::Number(number),
        HParam::Text(text) => HParamKind::String(text),
        HParam::Flag(flag) => HParamKind::Bool(flag),
    }
}

/// A PNG with what its header says of it.
fn image_of(png: &[u8]) -> Option<Image> {
    let header = png.strip_prefix(PNG_SIGNATURE)?.get(4..)?.strip_prefix(b"IHDR")?;
    let side = |bytes: &[u8]| i32::try_from(u32::from_be_bytes(bytes.try_into().ok()?)).ok();
    let colorspace = match header.get(9)? {
        // A palette's colours are RGB.
        2 | 3 => 3,
        4 => 2,
        6 => 4,
        _ => 1,
    };
    Some(Image {
        width: side(header.get(..4)?)?,
        height: side(header.get(4..8)?)?,
        colorspace,
        encoded_image_string: png.to_vec(),
    })
}
