//! Programs' text through XLA: whatever a plugin computes, the evaluator computes too.
//!
//! These tests need a plugin, whose path is in `LOGO_SSL_PJRT_PLUGIN`; without one they are skipped.

mod common;

use std::path::Path;

use common::operations::operations;
use common::{Random, evaluated, networks, parameters, trained};
use logo_ssl_graph::{Element, Graph, Program, Type, evaluate, evaluate_replicas};
use xla::{Argument, Client, CompileOptions, ElementType, OptionValue, Plugin};

/// A client of the plugin to test with, with so many devices; none where there is no plugin, or it has not
/// so many.
fn client(devices: usize) -> Option<Client> {
    let Some(path) = std::env::var_os("LOGO_SSL_PJRT_PLUGIN") else {
        eprintln!("skipped: LOGO_SSL_PJRT_PLUGIN is not set");
        return None;
    };
    let plugin = Plugin::load(Path::new(&path)).unwrap();
    if devices == 1 {
        return Some(Client::new(&plugin, &[]).unwrap());
    }
    let options = [("cpu_device_count", OptionValue::Integer(devices as i64))];
    let found = Client::new(&plugin, &options).ok().or_else(|| Client::new(&plugin, &[]).ok());
    let enough = found.filter(|client| client.devices().len() >= devices);
    if enough.is_none() {
        eprintln!("skipped: the plugin has not {devices} devices");
    }
    enough
}

fn element(of: Element) -> ElementType {
    match of {
        Element::F32 => ElementType::F32,
        Element::Bf16 => ElementType::Bf16,
        Element::S32 => ElementType::S32,
        Element::U8 => ElementType::U8,
        Element::Pred => ElementType::Pred,
    }
}

fn to_bytes(values: &[f64], element: Element) -> Vec<u8> {
    let each = |&value: &f64| match element {
        Element::F32 => (value as f32).to_le_bytes().to_vec(),
        // The test's values have few digits, so that cutting loses nothing.
        Element::Bf16 => (value as f32).to_le_bytes()[2..].to_vec(),
        Element::S32 => (value as i32).to_le_bytes().to_vec(),
        Element::U8 | Element::Pred => vec![value as u8],
    };
    values.iter().flat_map(each).collect()
}

fn to_values(bytes: &[u8], element: Element) -> Vec<f64> {
    let each = |bytes: &[u8]| match (element, bytes) {
        (Element::F32, &[a, b, c, d]) => f64::from(f32::from_le_bytes([a, b, c, d])),
        (Element::Bf16, &[a, b]) => f64::from(f32::from_le_bytes([0, 0, a, b])),
        (Element::S32, &[a, b, c, d]) => f64::from(i32::from_le_bytes([a, b, c, d])),
        (_, &[byte]) => f64::from(byte),
        _ => panic!("{bytes:?} are no {element}"),
    };
    bytes.chunks(element.bytes()).map(each).collect()
}

/// Runs a program on as many devices as there are lists of inputs.
fn run(client: &Client, program: &Program, inputs: &[Vec<Vec<f64>>]) -> Vec<Vec<Vec<f64>>> {
    let text = program.text();
    let options = CompileOptions { replicas: inputs.len(), ..CompileOptions::default() };
    let compiled =
        client.compile(&text, &options).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let upload = |device: usize| {
        let each = |(input, values): (&logo_ssl_graph::Input, &Vec<f64>)| {
            let Type { element: of, shape } = &input.ty;
            let bytes = to_bytes(values, *of);
            Argument::Donated(client.upload(bytes, element(*of), shape, device).unwrap())
        };
        program.inputs().iter().zip(&inputs[device]).map(each).collect()
    };
    let made = compiled.run((0..inputs.len()).map(upload).collect()).unwrap();
    let download = |outputs: Vec<xla::Buffer>| {
        let each = |(at, buffer): (usize, xla::Buffer)| {
            let ty = program.output_type(at);
            assert_eq!((buffer.element(), buffer.dims()), (element(ty.element), &ty.shape[..]));
            to_values(&buffer.download().unwrap(), ty.element)
        };
        outputs.into_iter().enumerate().map(each).collect()
    };
    made.into_iter().map(download).collect()
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt()
}

/// How far apart two arrays are, as part of the second.
fn distance(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let apart = norm(found.iter().zip(expected).map(|(a, b)| a - b));
    let whole = norm(expected.iter().copied());
    if apart == 0.0 { 0.0 } else { apart / whole }
}

/// Whether each number is near its like, or is the same infinity or no number.
fn near(found: &[f64], expected: &[f64], tolerance: f64) -> bool {
    let finite = expected.iter().filter(|x| x.is_finite()).map(|x| x.abs());
    let bound = tolerance * finite.fold(0.0, f64::max);
    let like = |(&found, &expected): (&f64, &f64)| {
        found == f64::from(expected as f32)
            || found.is_nan() && expected.is_nan()
            || (found - expected).abs() <= bound
    };
    found.len() == expected.len() && found.iter().zip(expected).all(like)
}

#[test]
fn operations_do_as_they_are_defined() {
    let Some(client) = client(1) else { return };
    let graph = Graph::new();
    let cases = operations(&graph);
    let (nodes, inputs): (Vec<_>, Vec<_>) =
        cases.iter().flat_map(|case| case.inputs.iter().cloned()).unzip();
    let names: Vec<String> = (0..cases.len()).map(|at| at.to_string()).collect();
    let outputs: Vec<_> = names.iter().zip(&cases).map(|(name, of)| (&**name, of.output)).collect();
    let program = Program::new(&graph, &nodes, &outputs).unwrap();
    let expected = evaluate(&program, &inputs);
    let found = run(&client, &program, &[inputs]).remove(0);
    for (case, (found, expected)) in cases.iter().zip(found.iter().zip(&expected)) {
        let tolerance = match case.output.ty().element {
            Element::F32 => 2e-6,
            Element::Bf16 => 1e-2,
            _ => 0.0,
        };
        assert!(
            near(found, expected, tolerance),
            "{} {:?}: {found:?} instead of {expected:?}",
            case.name,
            case.output,
        );
    }
}

fn images(random: &mut Random, shape: [usize; 4]) -> Vec<f64> {
    random.numbers(shape.iter().product(), -1.0, 2.0)
}

#[test]
fn networks_do_as_they_are_defined() {
    let Some(client) = client(1) else { return };
    // Rounded to bfloat16, some activations fall on the other side of zero, and their whole gradient with
    // them; networks as narrow as these feel each one.
    for (precision, bound) in [(Element::F32, [1e-5; 3]), (Element::Bf16, [0.03, 0.03, 0.4])] {
        for (name, plan) in networks(precision) {
            let shape = [6, 3, 9, 8];
            let mut random = Random::new(2);
            let (pixels, parameters) = (images(&mut random, shape), parameters(&plan, &mut random));
            let cotangent = random.numbers(shape[0] * plan.features(), -1.0, 1.0);
            let program = trained(&plan, shape);
            let inputs = vec![pixels.clone(), parameters.clone(), cotangent];
            let expected = evaluate(&program, &inputs);
            let found = run(&client, &program, &[inputs]).remove(0);
            for (at, output) in program.outputs().iter().enumerate() {
                let apart = distance(&found[at], &expected[at]);
                eprintln!("{precision} {name} {}: {apart:.1e}", output.name);
                assert!(apart <= bound[at], "{precision} {name} {}: {apart}", output.name);
            }
            let inputs = vec![pixels, parameters, random.numbers(plan.statistics(), 0.2, 1.0)];
            let program = evaluated(&plan, shape);
            let expected = evaluate(&program, &inputs);
            let apart = distance(&run(&client, &program, &[inputs])[0][0], &expected[0]);
            assert!(apart <= bound[0], "{precision} {name} by running statistics: {apart}");
        }
    }
}

#[test]
fn given_up_inputs_and_unread_ones_are_arguments() {
    let Some(client) = client(1) else { return };
    let graph = Graph::new();
    let [w, unread, x] = ["w", "unread", "x"].map(|name| graph.parameter(name, Type::f32([3])));
    let outputs = [("sum", (w * x).sum_all()), ("w", w - x), ("same", x)];
    let program = Program::new(&graph, &[w, unread, x], &outputs).unwrap();
    assert!(program.text().contains("%arg0: tensor<3xf32> {tf.aliasing_output = 1 : i32}"));
    let inputs = vec![vec![1.0, 2.0, 3.0], vec![0.0; 3], vec![4.0, 5.0, 6.0]];
    let found = run(&client, &program, &[inputs]).remove(0);
    assert_eq!(found, [vec![32.0], vec![-3.0; 3], vec![4.0, 5.0, 6.0]]);
}

#[test]
fn replicas_sum_and_gather() {
    let Some(client) = client(2) else { return };
    let graph = Graph::new();
    let x = graph.parameter("x", Type::f32([2, 3]));
    let w = graph.parameter("w", Type::f32([2, 3]));
    let own = graph.replica_id().convert(Element::F32);
    let outputs = [
        ("sum", (x * w).all_reduce(2)),
        ("rows", x.all_gather(2)),
        ("own", (x.sum_all() + own).all_reduce(2)),
        ("gradient", logo_ssl_graph::gradients(x.all_gather(2).square().sum_all(), &[x])[0]),
    ];
    let program = Program::new(&graph, &[x, w], &outputs).unwrap();
    let mut random = Random::new(3);
    let inputs = [0, 1].map(|_| [0, 1].map(|_| random.numbers(6, -1.0, 1.0)).to_vec());
    let expected = evaluate_replicas(&program, &inputs);
    for (found, expected) in run(&client, &program, &inputs).iter().zip(&expected) {
        for (found, expected) in found.iter().zip(expected) {
            assert!(near(found, expected, 2e-6), "{found:?} instead of {expected:?}");
        }
    }
}

#[test]
fn replicas_share_a_networks_statistics() {
    let Some(client) = client(2) else { return };
    for (name, mut plan) in networks(Element::F32) {
        plan.replicas = 2;
        let shape = [3, 3, 8, 8];
        let program = trained(&plan, shape);
        let mut random = Random::new(4);
        let parameters = parameters(&plan, &mut random);
        let inputs = [0, 1].map(|_| {
            let cotangent = random.numbers(shape[0] * plan.features(), -1.0, 1.0);
            vec![images(&mut random, shape), parameters.clone(), cotangent]
        });
        let expected = evaluate_replicas(&program, &inputs);
        for (found, expected) in run(&client, &program, &inputs).iter().zip(&expected) {
            for (found, expected) in found.iter().zip(expected) {
                let apart = distance(found, expected);
                assert!(apart <= 1e-5, "{name}: {apart}");
            }
        }
    }
}
