//! Whole programs: chains that are fused, memory that is shared and given up, threads, mistakes.

mod common;

use std::sync::Arc;

use common::{Random, assert_close, assert_same, check, engine, inputs, run};
use graph::{Element, Graph, Node, Program, Type, concatenate, gradients};
use logo_ssl_cpu_executor::{Executable, RunError, Tensor};
use proptest::prelude::*;

/// A program of so many random operations on matrices of one of these sizes, whose results stay near 1.
fn random_program(seed: u64, operations: usize, sizes: [[usize; 4]; 2]) -> Program {
    let mut random = Random(seed);
    let graph = Graph::new();
    let [rows, columns] = sizes.map(|sizes| random.pick(&sizes));
    let matrix = vec![rows, columns];
    let names = ["a", "b", "c"];
    let parameters: Vec<Node<'_>> =
        names.iter().map(|name| graph.parameter(name, Type::f32(matrix.clone()))).collect();
    let mut pool = parameters.clone();
    let leaf = parameters.clone();
    for _ in 0..operations {
        let x = random.pick(&pool);
        let y = random.pick(&pool);
        let which = random.below(15);
        pool.push(operation(which, [x, y], [random.pick(&leaf), random.pick(&leaf)]));
    }
    let mut outputs: Vec<(&str, Node<'_>)> = vec![];
    // Some have given up inputs' names; some are inputs themselves or parts of them.
    for name in ["a", "b", "c", "d"].into_iter().take(random.below(4) + 1) {
        let node = if name == "a" { pool[pool.len() - 1] } else { random.pick(&pool) };
        outputs.push((name, node));
    }
    if random.below(3) == 0 {
        outputs.push(("part", random.pick(&pool).rows(rows / 2..rows)));
    }
    Program::new(&graph, &parameters, &outputs).unwrap()
}

/// A matrix of the same shape from two of them and two inputs, whose numbers are exact.
fn operation<'g>(which: usize, [x, y]: [Node<'g>; 2], exact: [Node<'g>; 2]) -> Node<'g> {
    let shape = x.shape();
    let [rows, columns] = [shape[0], shape[1]];
    match which {
        0 => (x + y) * 0.5,
        1 => x * y / (y.abs() + 1.0),
        2 => x - y * 0.25,
        3 => exact[0].gt(exact[1]).select(x, y),
        4 => x - x.mean(&[1]).broadcast(&[0], &shape),
        5 => x - x.mean(&[0]).broadcast(&[1], &shape),
        6 => x * (x.square().mean(&[0]) + 0.5).rsqrt().broadcast(&[1], &shape),
        7 => {
            let greatest = x.max(&[1]).broadcast(&[0], &shape);
            (x - greatest).exp() * y
        }
        8 => x.reshape(&[columns, rows]).transpose(&[1, 0]),
        9 => concatenate(&[x.rows(rows / 2..rows), y.rows(0..rows / 2)], 0),
        10 => x.matmul_transposed(y).matmul(x) / (rows.max(columns) as f64 * 8.0),
        11 => x.rows(0..rows / 2).pad(&[(rows - rows / 2) as i64, 0], &[0, 0], &[0, 0]) + y,
        12 => {
            let first = x.slice(1, 0..1).reshape(&[rows]);
            first.across_rows(&shape) * 0.5 + y * x.mean_all()
        }
        13 => x.tanh() + y.stop_gradient().softplus() * 0.5,
        _ => x.maximum(y).at_least(-1.0) * exact[0].logistic(),
    }
}

const SMALL: [[usize; 4]; 2] = [[1, 3, 17, 40], [1, 5, 64, 130]];
/// So large that several tasks share the work.
const LARGE: [[usize; 4]; 2] = [[257, 300, 512, 1030], [128, 257, 300, 1024]];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_programs_are_what_the_evaluator_says(seed: u64, operations in 1usize..30) {
        check(&random_program(seed, operations, SMALL), seed ^ 1, 2e-5);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn the_bytes_do_not_depend_on_the_threads(seed: u64, operations in 5usize..30) {
        let program = random_program(seed, operations, LARGE);
        let executable = Executable::new(&program, engine()).unwrap();
        let given = inputs(&program, &mut Random(seed));
        let first = executable.run(given.clone()).unwrap();
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| executable.run(given.clone()).unwrap());
            assert_same(&found, &first, &format!("{threads} threads"), &program);
        }
    }
}

/// A head of two layers with batch norm, its loss and an SGD step by one flat vector, as programs have it.
fn head([batch, input, hidden]: [usize; 3]) -> Program {
    let graph = Graph::new();
    let sizes = [hidden * input, hidden, hidden, input * hidden, input];
    let all = Type::f32([sizes.iter().sum::<usize>()]);
    let [values, velocity] = ["values", "velocity"].map(|name| graph.parameter(name, all.clone()));
    let lr = graph.parameter("lr", Type::f32([]));
    let x = graph.parameter("x", Type::f32([batch, input]));
    let mut start = 0;
    let pieces = sizes.map(|len| {
        start += len;
        values.rows(start - len..start)
    });
    let [weight, gamma, beta, output, bias] = pieces;
    let y = x.matmul_transposed(weight.reshape(&[hidden, input]));
    let wide = y.shape();
    let mean = y.mean(&[0]);
    let centred = y - mean.broadcast(&[1], &wide);
    let variance = centred.square().mean(&[0]);
    let scale = (variance + 1e-5).rsqrt();
    let normalised = centred * scale.broadcast(&[1], &wide);
    let y = (normalised * gamma.broadcast(&[1], &wide) + beta.broadcast(&[1], &wide)).relu();
    let z = y.matmul_transposed(output.reshape(&[input, hidden]));
    let z = z + bias.broadcast(&[1], &z.shape());
    let loss = (z - x).square().mean_all();
    let flat: Vec<_> = gradients(loss, &pieces).into_iter().map(Node::flatten).collect();
    let gradient = concatenate(&flat, 0);
    let velocity_next = velocity * 0.9 + (gradient + values * 1e-4);
    let next = values - velocity_next * lr.spread(&all.shape);
    let outputs = [
        ("values", next),
        ("velocity", velocity_next),
        ("loss", loss),
        ("norm", gradient.square().sum_all().sqrt()),
        ("mean", mean),
    ];
    Program::new(&graph, &[values, velocity, lr, x], &outputs).unwrap()
}

#[test]
fn a_head_learns_in_place() {
    for sizes in [[4, 3, 5], [33, 40, 70], [7, 1, 1]] {
        check(&head(sizes), 3, 1e-4);
    }
}

#[test]
fn updates_by_several_tasks() {
    let graph = Graph::new();
    let ty = Type::f32([100_003]);
    let names = ["values", "first", "second", "gradient"];
    let [values, first, second, gradient] = names.map(|name| graph.parameter(name, ty.clone()));
    // AdamW, and the norm of the gradient beside it.
    let first_next = first * 0.9 + gradient * 0.1;
    let second_next = second.abs() * 0.999 + gradient.square() * 0.001;
    let direction = first_next / (second_next.sqrt() + 1e-8);
    let next = values * 0.99 - direction * 1e-3;
    let outputs = [
        ("values", next),
        ("first", first_next),
        ("second", second_next),
        ("norm", gradient.square().sum_all()),
        ("moved", (values - next).abs().max(&[0])),
    ];
    check(&Program::new(&graph, &[values, first, second, gradient], &outputs).unwrap(), 6, 1e-6);
}

#[test]
fn an_update_is_one_pass_in_the_memory_given_up() {
    let program = head([8, 32, 64]);
    let executable = Executable::new(&program, engine()).unwrap();
    let given = inputs(&program, &mut Random(5));
    let own: Vec<Arc<Tensor>> = given.iter().map(|x| Arc::new(Tensor::clone(x))).collect();
    let place = |tensor: &Tensor| tensor.as_f32().unwrap().as_ptr();
    let places = [place(&own[0]), place(&own[1])];
    let outputs = executable.run(own).unwrap();
    assert_eq!([place(&outputs[0]), place(&outputs[1])], places);
    assert_close(&program, &given, &outputs, 1e-4);
    // Every piece of the gradient is computed where it is needed, and nothing else is as large.
    assert!(executable.bytes() < 2 * given[0].ty().bytes(), "{}", executable.bytes());
}

#[test]
fn a_piece_of_a_gradient_may_be_read_while_others_are_written() {
    let graph = Graph::new();
    let x = graph.parameter("x", Type::f32([4, 3]));
    let first = x.transpose(&[1, 0]).flatten();
    let second = (first * 2.0).reverse(&[0]);
    let third = first + second;
    let whole = concatenate(&[first, second, third, first], 0);
    let outputs = [("whole", whole), ("again", whole * 1.5), ("third", third)];
    check(&Program::new(&graph, &[x], &outputs).unwrap(), 1, 1e-6);
}

#[test]
fn an_input_that_is_an_output_is_not_written() {
    let graph = Graph::new();
    let x = graph.parameter("x", Type::f32([6]));
    let y = graph.parameter("y", Type::f32([6]));
    let cases: [&[(&str, Node<'_>)]; 8] = [
        &[("x", x * 2.0), ("before", x)],
        &[("x", x * 2.0), ("before", x.rows(1..3))],
        &[("x", x * 2.0), ("before", x.reshape(&[2, 3]))],
        &[("x", x * 2.0), ("twice", x * 2.0), ("part", (x * 2.0).rows(2..4))],
        &[("x", y), ("y", x)],
        &[("x", y + 1.0), ("y", x + 1.0)],
        &[("x", x), ("y", x + y)],
        &[("x", x.reverse(&[0])), ("y", x + y.reverse(&[0]))],
    ];
    for outputs in cases {
        check(&Program::new(&graph, &[x, y], outputs).unwrap(), 2, 1e-6);
    }
}

#[test]
fn one_tensor_may_be_two_inputs() {
    let graph = Graph::new();
    let [x, y] = ["x", "y"].map(|name| graph.parameter(name, Type::f32([3])));
    let outputs = [("x", x + y), ("y", x * y)];
    let program = Program::new(&graph, &[x, y], &outputs).unwrap();
    let both = Arc::new(Tensor::f32([3], [1.0, 2.0, 3.0]));
    let found = run(&program, vec![both.clone(), both]);
    assert_eq!(found[0].as_f32(), Some(&[2.0, 4.0, 6.0][..]));
    assert_eq!(found[1].as_f32(), Some(&[1.0, 4.0, 9.0][..]));
}

#[test]
fn readers_of_what_is_written_over_come_first() {
    let graph = Graph::new();
    let x = graph.parameter("x", Type::f32([4, 4]));
    let next = x * 0.5;
    let outputs =
        [("x", next), ("turned", x.transpose(&[1, 0])), ("sum", x.sum_all() + next.max(&[0, 1]))];
    let program = Program::new(&graph, &[x], &outputs).unwrap();
    check(&program, 9, 1e-6);
    // Here the value before is needed after the one that would be written over it.
    let again = x.transpose(&[1, 0]) * next.sum_all().spread(&[4, 4]);
    let outputs = [("x", next), ("again", again)];
    check(&Program::new(&graph, &[x], &outputs).unwrap(), 9, 1e-6);
}

#[test]
fn a_queue_takes_rows_in_place() {
    let graph = Graph::new();
    let queue = graph.parameter("queue", Type::f32([8, 3]));
    let keys = graph.parameter("keys", Type::f32([2, 3]));
    let at = graph.parameter("at", Type::new(Element::S32, []));
    let next = (at + graph.full(2.0, at.ty())).remainder(graph.full(8.0, at.ty()));
    let outputs = [
        ("queue", queue.dynamic_update_slice(keys * 2.0, at)),
        ("at", next),
        ("logits", keys.matmul_transposed(queue)),
    ];
    let program = Program::new(&graph, &[queue, keys, at], &outputs).unwrap();
    let given = inputs(&program, &mut Random(4));
    let own: Vec<Arc<Tensor>> = given.iter().map(|x| Arc::new(Tensor::clone(x))).collect();
    let place = own[0].as_f32().unwrap().as_ptr();
    let found = run(&program, own);
    assert_eq!(found[0].as_f32().unwrap().as_ptr(), place);
    assert_close(&program, &given, &found, 1e-6);
}

#[test]
fn programs_without_inputs_or_elements() {
    let graph = Graph::new();
    let program = Program::new(&graph, &[], &[("one", graph.scalar(1.0))]).unwrap();
    assert_eq!(run(&program, vec![])[0].as_f32(), Some(&[1.0][..]));
    let x = graph.parameter("x", Type::f32([0, 4]));
    let unused = graph.parameter("unused", Type::f32([2]));
    let outputs = [("x", x * 2.0 + 1.0), ("sum", x.sum(&[0])), ("part", x.reshape(&[4, 0]))];
    check(&Program::new(&graph, &[x, unused], &outputs).unwrap(), 1, 0.0);
}

#[test]
fn runs_at_the_same_time_do_not_meet() {
    let program = head([16, 24, 40]);
    let executable = Executable::new(&program, engine()).unwrap();
    let expected: Vec<_> =
        (0..4).map(|seed| executable.run(inputs(&program, &mut Random(seed))).unwrap()).collect();
    std::thread::scope(|scope| {
        for (seed, expected) in expected.iter().enumerate() {
            let (executable, program) = (&executable, &program);
            scope.spawn(move || {
                for _ in 0..20 {
                    let given = inputs(program, &mut Random(seed as u64));
                    assert_same(&executable.run(given).unwrap(), expected, "at once", program);
                }
            });
        }
    });
}

#[test]
fn mistakes_name_the_input() {
    let program = head([4, 3, 5]);
    let executable = Executable::new(&program, engine()).unwrap();
    let mut given = inputs(&program, &mut Random(1));
    let few = given[..3].to_vec();
    assert_eq!(executable.run(few), Err(RunError::Count { expected: 4, found: 3 }));
    given[2] = Arc::new(Tensor::f32([1], [0.1]));
    let error = executable.run(given.clone()).unwrap_err();
    assert_eq!(error.to_string(), "input `lr` is f32[], not f32[1]");
    given[2] = Arc::new(Tensor::index(3));
    let error = executable.run(given).unwrap_err();
    assert_eq!(error.to_string(), "input `lr` is f32[], not i32[]");
}

#[test]
fn several_replicas_are_refused() {
    let graph = Graph::new();
    let x = graph.parameter("x", Type::f32([2]));
    for node in [x.all_reduce(2), x.all_gather(4)] {
        let program = Program::new(&graph, &[x], &[("y", node)]).unwrap();
        let error = Executable::new(&program, engine()).unwrap_err();
        assert!(error.to_string().contains("one replica"), "{error}");
    }
}
