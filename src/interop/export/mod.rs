//! Weights for other programs: one file a format.
//!
//! ```
//! use logo_ssl::interop::EncoderAt;
//! use logo_ssl::interop::export::{Export, Format, Parts};
//!
//! # fn export(run: &std::path::Path) -> logo_ssl::Result<()> {
//! let export = Export::open(&EncoderAt::path(run))?;
//! let format = Format::Onnx { fold_batch_norm: true };
//! export.write(format, Parts::default(), "backbone.onnx".as_ref(), false)?;
//! # Ok(())
//! # }
//! ```

mod dtype;
mod format;
mod hugging_face;
mod onnx;
mod pickle;
mod pth;
mod safe;
mod source;
mod stable_hlo;
mod stored;
mod written;

pub use dtype::Dtype;
pub use format::{Format, Parts};
pub use source::Export;
pub use written::Written;
