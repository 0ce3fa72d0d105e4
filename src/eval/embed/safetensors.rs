//! Hugging Face's safetensors, written as a stream: the length of a header, the header in JSON, and the
//! tensors one behind the other.
//!
//! The crate of that name takes all tensors from memory and its metadata in no fixed order; reading is its
//! business.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::table::Table;
use super::{Chosen, Dtype};
use crate::interop::tensors::write_header;
use crate::{Error, Result};

/// Readers refuse a longer header (`MAX_HEADER_SIZE` of the crate).
const MOST_HEADER: usize = 100_000_000;
/// What a header has beside the names of images and classes, generously.
const RESERVE: usize = 1 << 16;

/// Refuses images whose names do not fit a header.
pub(super) fn check(images: &Chosen) -> Result<()> {
    let ids = (0..images.len()).map(|index| images.name(index));
    let length: usize = ids.chain(images.classes().iter().cloned()).map(|id| within(&id)).sum();
    match length + RESERVE > MOST_HEADER {
        true => Err(Error::Images(format!(
            "the names of the {} images take {} MB, and a safetensors file has place for {} MB of them; write npz or \
             parquet",
            images.len(),
            length / 1_000_000,
            MOST_HEADER / 1_000_000
        ))),
        false => Ok(()),
    }
}

/// The length of a text in a list of JSON that is itself a text of JSON, where quotes and backslashes are
/// escaped twice.
fn within(id: &str) -> usize {
    json!(json!(id).to_string()).to_string().len() - 1
}

/// Writes the tensors, labels first: theirs are the numbers of 8 bytes, which then are aligned.
pub(super) fn write(table: &Table<'_>, out: &mut impl Write) -> io::Result<()> {
    write_header(header(table).to_string().into_bytes(), out)?;
    for label in table.labels() {
        out.write_all(&label.map_or(-1, |label| label as i64).to_le_bytes())?;
    }
    io::copy(&mut table.features()?, out).map(drop)
}

fn header(table: &Table<'_>) -> Value {
    let rows = table.len();
    let dtype = match table.origin().dtype {
        Dtype::F32 => "F32",
        Dtype::F16 => "F16",
    };
    let labels = rows * size_of::<i64>();
    json!({
        "__metadata__": {
            "logo_ssl": table.metadata().to_string(),
            "classes": json!(table.classes()).to_string(),
            "ids": json!(table.ids().collect::<Vec<_>>()).to_string(),
        },
        "features": {
            "dtype": dtype,
            "shape": [rows, table.dim()],
            "data_offsets": [labels, labels + table.bytes()],
        },
        "labels": { "dtype": "I64", "shape": [rows], "data_offsets": [0, labels] },
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::{Dataset, Parts, Picture};
    use crate::eval::embed::Which;

    /// Images of long names.
    struct Long(usize);

    impl Dataset for Long {
        fn len(&self) -> usize {
            self.0
        }

        fn picture(&self, _: usize) -> logo_ssl_data::Result<Picture<'_>> {
            Ok(Picture::File(b"nonsense"[..].into()))
        }

        fn label(&self, _: usize) -> Option<usize> {
            None
        }

        fn classes(&self) -> &[String] {
            &[]
        }

        fn name(&self, _: usize) -> String {
            "n".repeat(1000)
        }
    }

    #[test]
    fn names_that_no_reader_would_take_are_refused_before_anything_is_made() {
        let check = |count| {
            let parts = Parts { train: Some(Arc::new(Long(count))), ..Parts::default() };
            check(&Chosen::of("long", parts, Which::All, 0.5).unwrap())
        };
        assert!(check(1_000).is_ok());
        let message = check(100_000).unwrap_err().to_string();
        assert!(message.contains("100000 images") && message.contains("npz"), "{message}");
    }

    #[test]
    fn a_name_is_as_long_as_it_becomes() {
        for ids in [vec!["a"], vec!["a", "b\"c", "d\\e", "ü\n"]] {
            let text = json!(json!(ids).to_string()).to_string();
            let sum: usize = ids.iter().map(|id| within(id)).sum();
            // Brackets and quotes around, and one comma less than names.
            assert!((text.len()..text.len() + 8).contains(&(sum + 4)), "{} {sum}", text.len());
        }
    }
}
