//! Options of clients and of compilation.

use std::fmt;

use crate::error::Error;

/// The value of a client's option or of a plugin's attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionValue {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Several whole numbers, such as the CUDA plugin's `visible_devices`.
    Integers(Vec<i64>),
    /// A fraction, such as the CUDA plugin's `memory_fraction`.
    Float(f32),
    /// Yes or no, such as the CUDA plugin's `preallocate`.
    Flag(bool),
}

impl fmt::Display for OptionValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => formatter.write_str(text),
            Self::Integer(number) => number.fmt(formatter),
            Self::Integers(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
                formatter.write_str(&numbers.join("."))
            }
            Self::Float(number) => number.fmt(formatter),
            Self::Flag(flag) => flag.fmt(formatter),
        }
    }
}

/// How a program is compiled and where it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileOptions {
    /// How many replicas of the program run at once, each on a device of its own.
    pub replicas: usize,
    /// For each replica the index of its device among [`Client::devices`](crate::Client::devices);
    /// empty for the first ones in order.
    pub devices: Vec<usize>,
    /// XLA's flags for this program, by their names without dashes, such as
    /// `xla_gpu_deterministic_ops`. Flags that are not named keep the values that XLA and the
    /// environment variable `XLA_FLAGS` give them.
    pub overrides: Vec<(String, String)>,
}

impl Default for CompileOptions {
    /// One replica on the first device.
    fn default() -> Self {
        Self { replicas: 1, devices: Vec::new(), overrides: Vec::new() }
    }
}

impl CompileOptions {
    /// The device of each replica, among `present` devices.
    pub(crate) fn assignment(&self, present: usize) -> Result<Vec<usize>, Error> {
        let devices: Vec<usize> = if self.devices.is_empty() {
            (0..self.replicas).collect()
        } else {
            self.devices.clone()
        };
        if self.replicas == 0 || devices.len() != self.replicas {
            return Err(Error::argument(format!(
                "{} replicas cannot run on {} devices: each needs one of its own",
                self.replicas,
                devices.len()
            )));
        }
        if let Some(&wanted) = devices.iter().find(|&&device| device >= present) {
            return Err(Error::NoSuchDevice { wanted, present });
        }
        Ok(devices)
    }

    /// The options as a CompileOptionsProto, where the replicas run on the devices of these `ids`.
    ///
    /// `debug_options` is left out: it would replace every default that XLA and `XLA_FLAGS` set.
    pub(crate) fn encode(&self, ids: &[i64]) -> Vec<u8> {
        let mut build = Message::default();
        build.number(1, -1); // device_ordinal: none, so that the assignment decides.
        build.number(4, ids.len() as i64); // num_replicas
        build.number(5, 1); // num_partitions
        build.bytes(9, &device_assignment(ids));
        let mut options = Message::default();
        options.bytes(3, &build.0); // executable_build_options
        for (name, value) in &self.overrides {
            options.bytes(7, &override_entry(name, value)); // env_option_overrides
        }
        options.0
    }
}

/// A DeviceAssignmentProto of one partition.
fn device_assignment(ids: &[i64]) -> Vec<u8> {
    let mut of_partition = Message::default();
    for &id in ids {
        of_partition.number(1, id); // replica_device_ids
    }
    let mut assignment = Message::default();
    assignment.number(1, ids.len() as i64); // replica_count
    assignment.number(2, 1); // computation_count
    assignment.bytes(3, &of_partition.0); // computation_devices
    assignment.0
}

/// An entry of the map from flags to OptionOverrideProto.
///
/// XLA reads a text as the flag's own type needs it, but that of a truth value only if it is
/// written `True` or `False`; these are sent as truth values.
fn override_entry(name: &str, value: &str) -> Vec<u8> {
    let mut proto = Message::default();
    match value.to_ascii_lowercase().as_str() {
        "true" => proto.number(2, 1),
        "false" => proto.number(2, 0),
        _ => proto.bytes(1, value.as_bytes()),
    }
    let mut entry = Message::default();
    entry.bytes(1, name.as_bytes());
    entry.bytes(2, &proto.0);
    entry.0
}

/// The bytes of a protocol buffer message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value > 127 {
            self.0.push(value as u8 | 128);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, field: u64, value: i64) {
        self.varint(field << 3);
        self.varint(value as u64);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_encoded_as_protocol_buffers() {
        let overrides = vec![("a".into(), "True".into()), ("b".into(), "2".into())];
        let options = CompileOptions { replicas: 2, devices: vec![0, 1], overrides };
        let unset = [8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        let assignment = [74, 11, 8, 2, 16, 1, 26, 5, 8, 0, 8, 172, 2];
        let build = [&unset[..], &[32, 2, 40, 1], &assignment].concat();
        let flags = [58, 7, 10, 1, b'a', 18, 2, 16, 1, 58, 8, 10, 1, b'b', 18, 3, 10, 1, b'2'];
        assert_eq!(
            options.encode(&[0, 300]),
            [&[26, build.len() as u8][..], &build, &flags].concat()
        );
    }

    #[test]
    fn each_replica_needs_a_device_that_is_there() {
        let options = |replicas, devices: &[usize]| CompileOptions {
            replicas,
            devices: devices.to_vec(),
            overrides: Vec::new(),
        };
        assert_eq!(options(2, &[]).assignment(4), Ok(vec![0, 1]));
        assert_eq!(options(1, &[3]).assignment(4), Ok(vec![3]));
        let absent = Err(Error::NoSuchDevice { wanted: 1, present: 1 });
        assert_eq!(options(2, &[]).assignment(1), absent);
        assert!(matches!(options(2, &[0]).assignment(4), Err(Error::Argument { .. })));
        assert!(matches!(options(0, &[]).assignment(4), Err(Error::Argument { .. })));
    }
}
