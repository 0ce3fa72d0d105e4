//! Event files for TensorBoard, as `tensorboard` from PyPI reads them: scalars, images, histograms, texts,
//! and hyper-parameters for its HParams page.
//!
//! A file is a sequence of records in TFRecord's framing, each one protobuf message `Event`, after
//! TensorFlow's `event.proto`, `summary.proto` and TensorBoard's `plugins/hparams/plugin_data.proto`. Bytes go
//! to any [`std::io::Write`]; this crate opens no file and reads no clock.
//!
//! ```
//! use logo_ssl_tensorboard::{At, EventWriter};
//!
//! let mut events = EventWriter::new(Vec::new(), 1_700_000_000.0)?;
//! events.scalars(At { step: 1, wall_time: 1_700_000_001.5 }, [("train/loss", 0.25)])?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod histogram;
mod message;
mod record;
mod writer;

pub use histogram::Histogram;
pub use writer::{At, EventWriter, HParam, Status};

/// Has the example of the README compiled and run with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
