//! Event files read back by a reader of their own, which knows the framing and protobuf's wire format alone.

use std::io;

use logo_ssl_tensorboard::{At, EventWriter, HParam, Histogram, Status};

/// A field of a message: its number and what it holds.
#[derive(Clone, Debug, PartialEq)]
enum Field {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(Vec<u8>),
}

/// A message, field by field.
#[derive(Clone, Debug, Default, PartialEq)]
struct Message(Vec<(u64, Field)>);

impl Message {
    fn parse(mut bytes: &[u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let field = match key & 7 {
                0 => Field::Varint(varint(&mut bytes)),
                1 => Field::Fixed64(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
                2 => {
                    let length = varint(&mut bytes) as usize;
                    Field::Bytes(take(&mut bytes, length).to_vec())
                }
                5 => Field::Fixed32(u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap())),
                wire => panic!("no wire type {wire}"),
            };
            fields.push((key >> 3, field));
        }
        Self(fields)
    }

    fn all(&self, number: u64) -> impl Iterator<Item = &Field> {
        self.0.iter().filter(move |(n, _)| *n == number).map(|(_, field)| field)
    }

    fn get(&self, number: u64) -> Option<&Field> {
        self.all(number).next()
    }

    fn message(&self, number: u64) -> Message {
        Message::parse(self.bytes(number))
    }

    fn bytes(&self, number: u64) -> &[u8] {
        match self.get(number) {
            Some(Field::Bytes(bytes)) => bytes,
            other => panic!("field {number} is {other:?}"),
        }
    }

    fn text(&self, number: u64) -> String {
        String::from_utf8(self.bytes(number).to_vec()).unwrap()
    }

    fn double(&self, number: u64) -> f64 {
        match self.get(number) {
            Some(Field::Fixed64(bits)) => f64::from_bits(*bits),
            None => 0.0,
            other => panic!("field {number} is {other:?}"),
        }
    }

    fn float(&self, number: u64) -> f32 {
        match self.get(number) {
            Some(Field::Fixed32(bits)) => f32::from_bits(*bits),
            other => panic!("field {number} is {other:?}"),
        }
    }

    fn integer(&self, number: u64) -> u64 {
        match self.get(number) {
            Some(Field::Varint(value)) => *value,
            None => 0,
            other => panic!("field {number} is {other:?}"),
        }
    }

    fn doubles(&self, number: u64) -> Vec<f64> {
        let (eights, rest) = self.bytes(number).as_chunks::<8>();
        assert!(rest.is_empty());
        eights.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()
    }

    /// The values of an event's summary.
    fn values(&self) -> Vec<Message> {
        let summary = self.message(5);
        let value = |field: &Field| match field {
            Field::Bytes(bytes) => Message::parse(bytes),
            other => panic!("a value is {other:?}"),
        };
        summary.all(1).map(value).collect()
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    unreachable!("shifts do not run out")
}

/// CRC-32C, bit by bit.
fn crc_32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

fn masked(bytes: &[u8]) -> u32 {
    crc_32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The events of a file whose checksums are right.
fn events(mut bytes: &[u8]) -> Vec<Message> {
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let length = take(&mut bytes, 8);
        assert_eq!(take(&mut bytes, 4), masked(length).to_le_bytes());
        let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        let payload = take(&mut bytes, length);
        assert_eq!(take(&mut bytes, 4), masked(payload).to_le_bytes());
        events.push(Message::parse(payload));
    }
    events
}

/// What `write` wrote, without the two events that each file begins with.
fn written(write: impl FnOnce(&mut EventWriter<Vec<u8>>) -> io::Result<()>) -> Vec<Message> {
    let mut writer = EventWriter::new(Vec::new(), 7.5).unwrap();
    write(&mut writer).unwrap();
    events(&writer.into_inner()).split_off(2)
}

const AT: At = At { step: 300, wall_time: 1234.5 };

#[test]
fn a_file_begins_with_its_version_and_has_readers_forget_earlier_ones() {
    let events = events(&EventWriter::new(Vec::new(), 7.5).unwrap().into_inner());
    assert_eq!(events.len(), 2);
    assert_eq!((events[0].double(1), events[0].text(3).as_str()), (7.5, "brain.Event:2"));
    assert_eq!(events[1].message(7).integer(1), 1, "SessionLog.START");
    assert_eq!(events[1].integer(2), 0, "from the first step on");
}

#[test]
fn scalars_of_one_step_are_one_event() {
    let events = written(|w| w.scalars(AT, [("train/loss", -0.1), ("train/lr", f64::NAN)]));
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!((event.double(1), event.integer(2)), (1234.5, 300));
    let values = event.values();
    let tags: Vec<_> = values.iter().map(|value| value.text(1)).collect();
    assert_eq!(tags, ["train/loss", "train/lr"]);
    assert_eq!(values[0].float(2), -0.1_f32);
    assert!(values[1].float(2).is_nan());
}

#[test]
fn a_zero_is_written_and_not_left_out() {
    let events = written(|w| w.scalars(AT, [("zero", 0.0)]));
    assert_eq!(events[0].values()[0].float(2), 0.0);
}

#[test]
fn an_image_has_the_sides_of_its_png() {
    let header = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x02\x01\0\0\0\x03\x08\x02\0\0\0";
    let events = written(|w| w.image(AT, "views", header));
    let image = events[0].values()[0].message(4);
    assert_eq!((image.integer(1), image.integer(2), image.integer(3)), (3, 513, 3));
    assert_eq!(image.bytes(4), header);
}

#[test]
fn what_is_no_png_is_refused_and_leaves_the_file_whole() {
    for bytes in [&b""[..], b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0"] {
        let events = written(|w| {
            let error = w.image(AT, "views", bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            Ok(())
        });
        assert_eq!(events, []);
    }
}

#[test]
fn a_histogram_has_its_buckets() {
    let events = written(|w| w.histogram(AT, "weights", &Histogram::of([0.0, 1.0, 3.0, 3.0])));
    let histogram = events[0].values()[0].message(5);
    assert_eq!((histogram.double(1), histogram.double(2), histogram.double(3)), (0.0, 3.0, 4.0));
    let (limits, counts) = (histogram.doubles(6), histogram.doubles(7));
    assert_eq!((limits.len(), counts.len()), (30, 30));
    assert_eq!((counts[0], counts[10], counts[29]), (1.0, 1.0, 2.0));
    assert_eq!(counts.iter().sum::<f64>(), 4.0);
}

#[test]
fn a_text_is_a_tensor_of_one_string() {
    let events = written(|w| w.text(AT, "config", "**seed** = 7"));
    let value = &events[0].values()[0];
    assert_eq!(value.message(9).message(1).text(1), "text");
    let tensor = value.message(8);
    assert_eq!((tensor.integer(1), tensor.text(8).as_str()), (7, "**seed** = 7"));
    assert_eq!(tensor.message(2).message(2).integer(1), 1);
}

#[test]
fn a_session_has_its_hyper_parameters_and_its_end() {
    let hparams = [
        ("optimizer.lr".to_owned(), HParam::Number(0.06)),
        ("framework.name".to_owned(), HParam::Text("simsiam".to_owned())),
        ("framework.logo".to_owned(), HParam::Flag(false)),
    ];
    let events = written(|w| {
        w.session_start(10.0, "seeds", hparams)?;
        w.session_end(20.0, Status::Success)
    });
    let data = |event: &Message, tag: &str| {
        let value = &event.values()[0];
        assert_eq!(value.text(1), tag);
        assert_eq!(value.message(8).integer(1), 1, "a float without a value");
        let plugin = value.message(9).message(1);
        assert_eq!(plugin.text(1), "hparams");
        plugin.message(2)
    };
    let start = data(&events[0], "_hparams_/session_start_info").message(3);
    assert_eq!((start.text(4).as_str(), start.double(5)), ("seeds", 10.0));
    let entries: Vec<Message> = start
        .all(1)
        .map(|field| match field {
            Field::Bytes(bytes) => Message::parse(bytes),
            other => panic!("{other:?}"),
        })
        .collect();
    let named = |name: &str| {
        let entry = entries.iter().find(|entry| entry.text(1) == name);
        entry.unwrap_or_else(|| panic!("no {name}")).message(2)
    };
    assert_eq!(named("optimizer.lr").double(2), 0.06);
    assert_eq!(named("framework.name").text(3), "simsiam");
    assert_eq!(named("framework.logo").get(4), Some(&Field::Varint(0)), "false is a value too");
    let end = data(&events[1], "_hparams_/session_end_info").message(4);
    assert_eq!((end.integer(1), end.double(2)), (1, 20.0));
}

#[test]
fn the_same_events_are_the_same_bytes() {
    let write = || {
        let mut writer = EventWriter::new(Vec::new(), 1.0).unwrap();
        let hparams = ["b", "a"].map(|name| (name.to_owned(), HParam::Number(1.0)));
        writer.session_start(1.0, "", hparams).unwrap();
        writer.into_inner()
    };
    assert_eq!(write(), write());
}
