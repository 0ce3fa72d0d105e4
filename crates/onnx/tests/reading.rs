//! Models in the form that other programs give them, sound ones and hostile ones.

use logo_ssl_onnx::{Attribute, Dim, Element, Error, Graph, Weights};
use proptest::prelude::*;

/// A field of a message, after protobuf's encoding.
fn field(number: u64, contents: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(contents.len() as u64), contents.to_vec()].concat()
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A tensor with these dimensions and type and whatever else.
fn tensor(name: &str, dims: &[u64], element: u64, rest: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|&length| number(1, length)).collect();
    [dims, number(2, element), field(8, name.as_bytes()), rest.to_vec()].concat()
}

/// A model of these tensors and nodes.
fn model(tensors: &[Vec<u8>], nodes: &[Vec<u8>]) -> Vec<u8> {
    let tensors: Vec<u8> = tensors.iter().flat_map(|tensor| field(5, tensor)).collect();
    let nodes: Vec<u8> = nodes.iter().flat_map(|node| field(1, node)).collect();
    [number(1, 9), field(7, &[nodes, tensors].concat())].concat()
}

fn node(operator: &str, name: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|input| field(1, input.as_bytes())).collect();
    let rest = [field(2, output.as_bytes()), field(3, name.as_bytes())].concat();
    [inputs, rest, field(4, operator.as_bytes())].concat()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn raw(values: &[f32]) -> Vec<u8> {
    field(9, &floats(values))
}

/// The numbers of a tensor of single precision.
fn read(weights: &Weights, name: &str) -> Vec<f32> {
    let bytes = weights.numbers(name).unwrap();
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[test]
fn what_the_crate_writes_it_reads() {
    let mut graph = Graph::new("small");
    graph.input("x", &[Dim::Any("batch"), Dim::Fixed(3), Dim::Any("height"), Dim::Any("width")]);
    graph.tensor("conv1.weight", Element::F32, &[2, 3, 1, 1], floats(&[1., 2., 3., 4., 5., 6.]));
    graph.tensor("bn1.running_mean", Element::F16, &[2], vec![0, 60, 0, 192]);
    graph.tensor("count", Element::I64, &[], 7_i64.to_le_bytes().to_vec());
    let attributes = [("strides", Attribute::Ints(vec![2, 2])), ("alpha", Attribute::Float(0.5))];
    graph.node("Conv", &["x", "conv1.weight"], "y", &attributes);
    graph.output("y", &[Dim::Any("batch"), Dim::Fixed(2), Dim::Any("height"), Dim::Any("width")]);
    let bytes = graph.model("0.1.0");
    assert!(Weights::may_be(&bytes));
    let weights = Weights::read(bytes).unwrap();
    assert_eq!(read(&weights, "conv1.weight"), [1., 2., 3., 4., 5., 6.]);
    let half = &weights.tensors()["bn1.running_mean"];
    assert_eq!((half.element, &half.shape[..], half.bytes), (Element::F16, &[2][..], 4));
    assert_eq!(weights.numbers("count").unwrap()[0], 7);
    assert_eq!(weights.numbers("absent").unwrap_err(), Error::Absent("absent".to_owned()));
}

#[test]
fn every_form_of_numbers_is_read() {
    let half =
        tensor("half", &[3], 10, &field(5, &[varint(0x3c00), varint(1), varint(0xc000)].concat()));
    let packed = field(1, &[varint(2), varint(1)].concat());
    let single =
        [packed, number(2, 1), field(8, b"single"), field(4, &floats(&[1.5, -2.0]))].concat();
    let double = tensor("double", &[1], 11, &field(10, &0.25_f64.to_le_bytes()));
    let whole = tensor("whole", &[2], 7, &field(7, &[varint(300), varint(u64::MAX)].concat()));
    let mask = tensor("mask", &[5], 9, &field(5, &[1]));
    let weights = Weights::read(model(&[half, single, double, whole, mask], &[])).unwrap();
    assert_eq!(*weights.numbers("half").unwrap(), [0, 0x3c, 1, 0, 0, 0xc0]);
    assert_eq!(weights.tensors()["single"].shape, [2, 1]);
    assert_eq!(read(&weights, "single"), [1.5, -2.0]);
    assert_eq!(*weights.numbers("double").unwrap(), 0.25_f64.to_le_bytes());
    let whole = [300_i64, -1].map(i64::to_le_bytes).concat();
    assert_eq!(*weights.numbers("whole").unwrap(), whole);
    assert_eq!(weights.tensors()["mask"].element, Element::Other(9));
}

#[test]
fn a_folded_batch_norm_is_one_that_adds_the_bias_alone() {
    // As PyTorch's older exporter names what it folds.
    let tensors = [
        tensor("onnx::Conv_1", &[2, 1, 1, 1], 1, &raw(&[1., 2.])),
        tensor("onnx::Conv_2", &[2], 1, &raw(&[3., 4.])),
        tensor("onnx::Conv_3", &[1, 2, 1, 1], 1, &raw(&[5., 6.])),
        tensor("onnx::Conv_4", &[1], 1, &raw(&[7.])),
    ];
    let nodes = [
        node("Identity", "Identity_0", &["onnx::Conv_2"], "shared"),
        node("Conv", "/layer1/layer1.0/conv2/Conv", &["x", "onnx::Conv_1", "shared"], "y"),
        node("Relu", "/layer1/layer1.0/relu/Relu", &["y"], "z"),
        node(
            "Conv",
            "/layer1/layer1.0/downsample/downsample.0/Conv",
            &["z", "onnx::Conv_3", "onnx::Conv_4"],
            "w",
        ),
    ];
    let weights = Weights::read(model(&tensors, &nodes)).unwrap();
    let names: Vec<&str> = weights.tensors().keys().map(String::as_str).collect();
    let of = |conv: &str, norm: &str| {
        let norm =
            ["bias", "running_mean", "running_var", "weight"].map(|part| format!("{norm}.{part}"));
        [norm.to_vec(), vec![format!("{conv}.weight")]].concat()
    };
    let mut expected = of("layer1.0.conv2", "layer1.0.bn2");
    expected.extend(of("layer1.0.downsample.0", "layer1.0.downsample.1"));
    expected.sort();
    assert_eq!(names, expected);
    assert_eq!(read(&weights, "layer1.0.bn2.bias"), [3., 4.]);
    assert_eq!(read(&weights, "layer1.0.bn2.weight"), [1., 1.]);
    assert_eq!(read(&weights, "layer1.0.bn2.running_mean"), [0., 0.]);
    let variance = read(&weights, "layer1.0.bn2.running_var")[0];
    assert_eq!(variance + 1e-5, 1.0, "the batch norm divides by one");
    assert_eq!(read(&weights, "layer1.0.downsample.0.weight"), [5., 6.]);
}

#[test]
fn modules_are_told_by_their_tensors_where_nodes_have_no_scopes() {
    // As PyTorch's exporter names what it folds since 2.9.
    let tensors = [
        tensor("layer1.0.conv1.weight", &[1, 1, 1, 1], 1, &raw(&[2.])),
        tensor("layer1.0.conv1.weight_bias", &[1], 1, &raw(&[3.])),
    ];
    let inputs = ["x", "layer1.0.conv1.weight", "layer1.0.conv1.weight_bias"];
    let weights = Weights::read(model(&tensors, &[node("Conv", "node_Conv_1", &inputs, "y")]));
    let weights = weights.unwrap();
    assert_eq!(read(&weights, "layer1.0.conv1.weight"), [2.]);
    assert_eq!(read(&weights, "layer1.0.bn1.bias"), [3.]);
    assert_eq!(weights.tensors().len(), 5);
}

#[test]
fn a_batch_norm_that_stands_is_taken_as_it_is() {
    let ones = |name: &str, value: f32| tensor(name, &[1], 1, &raw(&[value]));
    let weight = tensor("conv1.weight", &[1, 1, 1, 1], 1, &raw(&[2.]));
    let tensors =
        [weight, ones("a", 1.), ones("b", 2.), ones("c", 3.), ones("d", 4.), ones("e", 5.)];
    let nodes = [
        node("Conv", "node_1", &["x", "conv1.weight", "e"], "y"),
        node("BatchNormalization", "/bn1/BatchNormalization", &["y", "a", "b", "c", "d"], "z"),
    ];
    let weights = Weights::read(model(&tensors, &nodes)).unwrap();
    for (name, value) in [("weight", 1.), ("bias", 2.), ("running_mean", 3.), ("running_var", 4.)] {
        assert_eq!(read(&weights, &format!("bn1.{name}")), [value]);
    }
    assert_eq!(read(&weights, "e"), [5.], "a bias that a batch norm follows stays what it is");
    assert!(!weights.tensors().contains_key("a"));
}

#[test]
fn copies_in_a_circle_end() {
    let nodes = [
        node("Identity", "", &["b"], "a"),
        node("Identity", "", &["a"], "b"),
        node("Conv", "/conv1/Conv", &["x", "a"], "y"),
    ];
    assert!(Weights::read(model(&[], &nodes)).unwrap().tensors().is_empty());
}

#[test]
fn what_is_no_model_or_a_hostile_one_is_refused() {
    let external = field(13, &field(1, b"location"));
    let huge = u64::from(u32::MAX);
    let cases: [(&str, Vec<u8>, &str); 12] = [
        ("nothing", vec![], "no graph"),
        ("a text", b"version https://git-lfs".to_vec(), "no usable ONNX model"),
        ("no graph", number(1, 9), "no graph"),
        ("two graphs", [field(7, &[]), field(7, &[])].concat(), "two graphs"),
        ("elsewhere", model(&[tensor("w", &[1], 1, &external)], &[]), "`w` lie in a file beside"),
        (
            "placed elsewhere",
            model(&[tensor("w", &[1], 1, &number(14, 1))], &[]),
            "beside the model",
        ),
        (
            "short",
            model(&[tensor("w", &[2, 2], 1, &raw(&[1.]))], &[]),
            "[2, 2] takes 16 bytes, and 4",
        ),
        ("no numbers", model(&[tensor("w", &[2], 1, &[])], &[]), "takes 8 bytes, and 0"),
        (
            "10^38 numbers",
            model(&[tensor("w", &[huge; 4], 1, &raw(&[1.]))], &[]),
            "takes 18446744073709551615",
        ),
        (
            "a negative axis",
            model(&[tensor("w", &[u64::MAX], 1, &raw(&[1.]))], &[]),
            "impossible length",
        ),
        ("many axes", model(&[tensor("w", &[1; 17], 1, &raw(&[1.]))], &[]), "more than 16 axes"),
        (
            "in pieces",
            model(&[tensor("w", &[2], 1, &[raw(&[1.]), raw(&[2.])].concat())], &[]),
            "several pieces",
        ),
    ];
    for (what, bytes, said) in cases {
        let problem = Weights::read(bytes).unwrap_err().to_string();
        assert!(problem.contains(said), "{what}: {problem}");
    }
    let twice = model(&[tensor("w", &[0], 1, &[]), tensor("w", &[0], 1, &[])], &[]);
    assert!(Weights::read(twice).unwrap_err().to_string().contains("two tensors `w`"));
    let many = field(7, &field(1, &[]).repeat(100_001));
    assert!(matches!(Weights::read(many), Err(Error::Most { .. })));
}

#[test]
fn other_files_are_no_models() {
    for first in
        [&b"PK\x03\x04"[..], b"\x80\x02}q", b"\x89PNG", b"", &[8], &[8, 0, 0x12], &[8, 9, 0x15]]
    {
        assert!(!Weights::may_be(first), "{first:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Weights::read(bytes.clone());
        let _ = Weights::read(field(7, &bytes));
        let parts = std::slice::from_ref(&bytes);
        let _ = Weights::read(model(parts, parts));
    }

    #[test]
    fn a_model_that_is_cut_or_changed_is_read_or_refused(at in 0..220_usize, byte: u8) {
        let tensors = [tensor("onnx::1", &[2, 1], 1, &raw(&[1., 2.])), tensor("b", &[2], 1, &raw(&[1., 2.]))];
        let sound = model(&tensors, &[node("Conv", "/conv1/Conv", &["x", "onnx::1", "b"], "y")]);
        let at = at % sound.len();
        let _ = Weights::read(sound[..at].to_vec());
        let mut changed = sound;
        changed[at] = byte;
        if let Ok(weights) = Weights::read(changed) {
            for name in weights.tensors().keys() {
                let _ = weights.numbers(name);
            }
        }
    }

    #[test]
    fn tensors_come_back_as_they_were(values in proptest::collection::vec(any::<f32>(), 0..50), ones in 0..4_usize) {
        let shape: Vec<usize> = std::iter::repeat_n(1, ones).chain([values.len()]).collect();
        let mut graph = Graph::new("");
        graph.tensor("w", Element::F32, &shape, floats(&values));
        let weights = Weights::read(graph.model("")).unwrap();
        prop_assert_eq!(&weights.tensors()["w"].shape, &shape);
        prop_assert_eq!(&*weights.numbers("w").unwrap(), &floats(&values)[..]);
    }
}
