//! One line of a log, read quickly: nearly all are steps or timings, which are flat objects of numbers.

use std::fmt;

use logo_ssl::record::{Record, is_kind};
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// What a line says.
#[derive(Debug, PartialEq)]
pub(crate) enum Line<'a> {
    /// A [`Record::Step`] or [`Record::Timing`], as it stands in the log.
    Numbers(Numbers<'a>),
    /// Any other record.
    Record(Record),
    /// A record of a kind that this version does not know.
    Unknown(String),
}

/// The numbers of a step or of a timing.
#[derive(Debug, PartialEq)]
pub(crate) struct Numbers<'a> {
    /// Optimiser steps done.
    pub(crate) step: u64,
    /// All others by name, in the log's order; NaN stands for null.
    pub(crate) others: Vec<(&'a str, f64)>,
}

impl<'a> Line<'a> {
    /// Reads `line`, with or without its newline; none of what is no record.
    ///
    /// A step is read without [`Record`], which has to keep an object whole before it knows its kind. That
    /// makes a log of a million steps some five times as quick to read.
    pub(crate) fn read(line: &'a [u8]) -> Option<Self> {
        match serde_json::from_slice::<Flat<'_>>(line) {
            Ok(Flat { kind: "step" | "timing", step: Some(step), epoch: Some(_), others }) => {
                Some(Self::Numbers(Numbers { step, others }))
            }
            Ok(Flat { kind, .. }) => match serde_json::from_slice(line) {
                Ok(record) => Some(Self::Record(record)),
                Err(_) if is_kind(kind) => None,
                Err(_) => Some(Self::Unknown(kind.to_owned())),
            },
            // Names with escapes cannot be borrowed from the line.
            Err(_) => serde_json::from_slice(line).ok().map(Self::Record),
        }
    }
}

/// An object's kind and numbers; what else it holds is passed over.
struct Flat<'a> {
    kind: &'a str,
    step: Option<u64>,
    epoch: Option<u64>,
    others: Vec<(&'a str, f64)>,
}

impl<'de> Deserialize<'de> for Flat<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Flat<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Flat<'de>, A::Error> {
        let mut flat = Flat { kind: "", step: None, epoch: None, others: Vec::with_capacity(16) };
        while let Some(name) = map.next_key::<&'de str>()? {
            match name {
                "kind" => flat.kind = map.next_value()?,
                "step" => flat.step = map.next_value()?,
                "epoch" => flat.epoch = map.next_value()?,
                _ => {
                    if let Number(Some(value)) = map.next_value()? {
                        flat.others.push((name, value));
                    }
                }
            }
        }
        Ok(flat)
    }
}

/// A number; NaN of a null, which is what JSON has for it; none of any other value.
struct Number(Option<f64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Number;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Number, E> {
        Ok(Number(Some(value)))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Number, E> {
        Ok(Number(Some(value as f64)))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Number, E> {
        Ok(Number(Some(value as f64)))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Number, E> {
        Ok(Number(Some(f64::NAN)))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Number, E> {
        Ok(Number(None))
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Number, E> {
        Ok(Number(None))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Number, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Number(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Number, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Number(None))
    }
}

#[cfg(test)]
mod tests {
    use logo_ssl::record::synthetic;

    use super::*;

    #[test]
    fn every_record_is_read_as_the_library_reads_it() {
        let records = synthetic::records(2, true).into_iter().chain(synthetic::timings(2));
        for record in records {
            let text = serde_json::to_string(&record).unwrap() + "\n";
            match (Line::read(text.as_bytes()).unwrap(), &record) {
                (Line::Numbers(read), Record::Step { step, scalars, .. }) => {
                    assert_eq!(read.step, *step);
                    assert_eq!(read.others, scalars.iter().collect::<Vec<_>>());
                }
                (Line::Numbers(read), Record::Timing { step, images_per_second, .. }) => {
                    assert_eq!(read.step, *step);
                    assert_eq!(read.others[0], ("images_per_second", *images_per_second));
                }
                (Line::Record(read), _) => assert_eq!(read, record),
                (other, _) => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_number_is_nan_or_passed_over() {
        let text = br#"{"kind":"step","step":3,"epoch":0,"loss":null,"note":"x","list":[1,{"a":2}],"map":{"b":[]},"on":true,"n":-2}"#;
        let Some(Line::Numbers(numbers)) = Line::read(text) else { panic!() };
        assert!(numbers.others[0].0 == "loss" && numbers.others[0].1.is_nan());
        assert_eq!(numbers.others[1..], [("n", -2.0)]);
    }

    #[test]
    fn a_name_with_an_escape_is_read_too() {
        let text = br#"{"kind":"step","step":3,"epoch":0,"my\u0041":1.5}"#;
        assert!(matches!(Line::read(text), Some(Line::Record(Record::Step { step: 3, .. }))));
    }

    #[test]
    fn a_kind_of_a_later_version_is_told_from_a_broken_line() {
        let later = Line::read(br#"{"kind":"probe","step":1}"#);
        assert_eq!(later, Some(Line::Unknown("probe".to_owned())));
        for broken in
            ["", "\n", "1", "{", "{\"kind\":\"knn\"}", "{\"kind\":\"step\"}", "[]", "\u{0}"]
        {
            assert_eq!(Line::read(broken.as_bytes()), None, "{broken:?}");
        }
    }
}
