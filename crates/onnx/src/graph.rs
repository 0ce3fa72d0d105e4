use prost::Message;

use crate::element::Element;
use crate::message;

/// The version of the operators: what `torch.onnx.export` writes by default.
const OPSET: i64 = 20;
/// The version of the format that goes with it.
const IR_VERSION: i64 = 9;
/// Who a model says has written it.
const PRODUCER: &str = "logo-ssl";

/// A model in the making. Every value has a name of its own, and is made before it is taken.
#[derive(Clone, Debug)]
pub struct Graph {
    graph: message::Graph,
    metadata: Vec<message::Entry>,
}

/// The length of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim<'a> {
    /// This one.
    Fixed(usize),
    /// Any; the same wherever the name stands.
    Any(&'a str),
}

/// What a node is told beside its inputs.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A whole number.
    Int(i64),
    /// Several.
    Ints(Vec<i64>),
    /// Any number.
    Float(f32),
    /// The type that a node makes.
    Element(Element),
}

impl Graph {
    /// One of nothing.
    pub fn new(name: &str) -> Self {
        let graph = message::Graph { name: name.to_owned(), ..message::Graph::default() };
        Self { graph, metadata: Vec::new() }
    }

    /// A value of single precision that the model takes.
    pub fn input(&mut self, name: &str, shape: &[Dim<'_>]) {
        self.graph.input.push(value(name, shape));
    }

    /// The value of single precision `name`, which a node makes, as what the model gives.
    pub fn output(&mut self, name: &str, shape: &[Dim<'_>]) {
        self.graph.output.push(value(name, shape));
    }

    /// A tensor that the model holds: its numbers row by row, little-endian.
    ///
    /// # Panics
    /// If there are more or fewer bytes than its shape says, or its numbers are of a type that this crate does
    /// not know.
    pub fn tensor(&mut self, name: &str, element: Element, shape: &[usize], bytes: Vec<u8>) {
        let each = element.bytes().expect("a tensor is of a known type");
        assert_eq!(shape.iter().product::<usize>() * each, bytes.len(), "`{name}`: {shape:?}");
        self.graph.initializer.push(message::Tensor {
            dims: shape.iter().map(|&length| length as i64).collect(),
            data_type: element.code(),
            name: name.to_owned(),
            raw_data: bytes,
        });
    }

    /// A node of `operator` that makes the value `output`, after which it is named.
    pub fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[(&str, Attribute)],
    ) {
        self.graph.node.push(message::Node {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: operator.to_owned(),
            attribute: attributes.iter().map(|(name, what)| attribute(name, what)).collect(),
        });
    }

    /// A text that goes with the model.
    pub fn metadata(&mut self, key: &str, value: &str) {
        self.metadata.push(message::Entry { key: key.to_owned(), value: value.to_owned() });
    }

    /// The bytes of the whole model, which says that logo-ssl of this `version` wrote it. The same graph gives
    /// the same bytes.
    pub fn model(self, version: &str) -> Vec<u8> {
        let model = message::Model {
            ir_version: IR_VERSION,
            producer_name: PRODUCER.to_owned(),
            producer_version: version.to_owned(),
            graph: Some(self.graph),
            opset_import: vec![message::OperatorSet { version: OPSET }],
            metadata_props: self.metadata,
        };
        model.encode_to_vec()
    }
}

fn value(name: &str, shape: &[Dim<'_>]) -> message::Value {
    let dimension = |dim: &Dim<'_>| {
        let length = match *dim {
            Dim::Fixed(length) => message::Length::Fixed(length as i64),
            Dim::Any(name) => message::Length::Named(name.to_owned()),
        };
        message::Dimension { length: Some(length) }
    };
    let shape = message::Shape { dim: shape.iter().map(dimension).collect() };
    let tensor = message::TensorType { elem_type: Element::F32.code(), shape: Some(shape) };
    message::Value { name: name.to_owned(), ty: Some(message::Type { tensor: Some(tensor) }) }
}

fn attribute(name: &str, what: &Attribute) -> message::Attribute {
    // The kinds are those of `AttributeProto.AttributeType`.
    let empty = message::Attribute { name: name.to_owned(), ..message::Attribute::default() };
    match what {
        Attribute::Float(f) => message::Attribute { f: Some(*f), kind: 1, ..empty },
        Attribute::Int(i) => message::Attribute { i: Some(*i), kind: 2, ..empty },
        Attribute::Ints(ints) => message::Attribute { ints: ints.clone(), kind: 7, ..empty },
        Attribute::Element(element) => {
            message::Attribute { i: Some(i64::from(element.code())), kind: 2, ..empty }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_says_what_it_is_and_keeps_what_it_was_given() {
        let mut graph = Graph::new("doubled");
        graph.input("x", &[Dim::Any("batch"), Dim::Fixed(2)]);
        graph.node("Add", &["x", "x"], "y", &[("axis", Attribute::Int(-1))]);
        graph.output("y", &[Dim::Any("batch"), Dim::Fixed(2)]);
        graph.metadata("key", "value");
        let bytes = graph.clone().model("1.2.3");
        assert_eq!(bytes, graph.model("1.2.3"));
        // The version of the format comes first: files are told by it.
        assert_eq!(bytes[..2], [8, 9]);
        let model = message::Model::decode(&*bytes).unwrap();
        assert_eq!(model.opset_import[0].version, 20);
        let graph = model.graph.unwrap();
        assert_eq!((graph.input.len(), graph.output.len()), (1, 1));
        assert_eq!(graph.node[0].attribute[0].i, Some(-1));
    }

    #[test]
    #[should_panic(expected = "`w`")]
    fn a_tensor_of_another_length_is_a_mistake() {
        Graph::new("wrong").tensor("w", Element::F16, &[2, 3], vec![0; 24]);
    }
}
