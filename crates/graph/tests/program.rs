//! Graphs and programs: what is written twice, what is not needed, and what is given up.

use logo_ssl_graph::{
    Element, Graph, Program, ProgramError, Type, depends, evaluate, flat_gradient,
};

#[test]
fn what_is_written_twice_is_one_instruction() {
    let graph = Graph::new();
    let write = || {
        let x = graph.parameter("x", Type::f32([4, 3]));
        let scaled = x * 2.0 + 1.0;
        (scaled.matmul_transposed(scaled).max(&[1]) - scaled.square().mean(&[1])).softplus()
    };
    let first = write();
    let instructions = graph.len();
    let second = write();
    assert_eq!((first.id(), graph.len()), (second.id(), instructions));
}

#[test]
fn what_differs_is_not_one_instruction() {
    let graph = Graph::new();
    let x = graph.parameter("x", Type::f32([3]));
    let different = [
        x,
        graph.parameter("y", Type::f32([3])),
        graph.parameter("x", Type::f32([4])),
        graph.full(0.0, Type::f32([3])),
        graph.full(-0.0, Type::f32([3])),
        graph.full(0.0, Type::new(Element::Bf16, [3])),
        x + x,
        x * x,
        x.rows(0..2),
        x.rows(1..3),
    ];
    for (at, a) in different.iter().enumerate() {
        for b in &different[..at] {
            assert_ne!(a.id(), b.id(), "{a:?}, {b:?}");
        }
    }
}

#[test]
fn what_no_output_needs_is_not_in_a_program() {
    let graph = Graph::new();
    let [x, y, unread] = ["x", "y", "unread"].map(|name| graph.parameter(name, Type::f32([2])));
    let wanted = x + y;
    let _unwanted = (x * unread).exp().sum_all();
    let program = Program::new(&graph, &[x, unread, y], &[("sum", wanted)]).unwrap();
    let names: Vec<&str> =
        program.instructions().iter().map(|instruction| instruction.operation.name()).collect();
    assert_eq!(names, ["parameter", "parameter", "add"]);
    let ids: Vec<Option<usize>> = program.inputs().iter().map(|input| input.id).collect();
    assert_eq!(ids, [Some(0), None, Some(1)]);
    let given = [vec![1.0, 2.0], vec![f64::NAN; 2], vec![10.0, 20.0]];
    assert_eq!(evaluate(&program, &given), [vec![11.0, 22.0]]);
}

#[test]
fn a_program_has_every_derivative_in_order_of_need() {
    let graph = Graph::new();
    let x = graph.parameter("x", Type::f32([5, 2]));
    let w = graph.parameter("w", Type::f32([2, 2]));
    let loss = x.matmul(w).tanh().matmul(w).square().mean_all();
    let gradient = flat_gradient(loss, &[w, x]);
    assert_eq!(gradient.shape(), [14]);
    let program = Program::new(&graph, &[x, w], &[("gradient", gradient)]).unwrap();
    for (id, instruction) in program.instructions().iter().enumerate() {
        assert!(instruction.operands.iter().all(|&operand| operand < id), "{program}");
    }
}

#[test]
fn an_input_is_given_up_for_the_output_of_its_name_and_type_alone() {
    let graph = Graph::new();
    let [same, shorter, read, other] =
        ["same", "shorter", "read", "other"].map(|name| graph.parameter(name, Type::f32([4])));
    let outputs = [
        ("shorter", shorter.rows(0..2)),
        ("same", same * 2.0),
        ("new", read + other),
        ("other", other.convert(Element::Bf16)),
    ];
    let program = Program::new(&graph, &[same, shorter, read, other], &outputs).unwrap();
    let becomes: Vec<Option<usize>> = program.inputs().iter().map(|input| input.becomes).collect();
    assert_eq!(becomes, [Some(1), None, None, None]);
}

#[test]
fn wrong_programs_are_refused() {
    let graph = Graph::new();
    let [x, y] = ["x", "y"].map(|name| graph.parameter(name, Type::f32([2])));
    let missing = Program::new(&graph, &[x], &[("sum", x + y)]);
    assert_eq!(missing, Err(ProgramError::NoInput("y".to_owned())));
    let twice = Program::new(&graph, &[x], &[("a", x), ("a", x)]);
    assert_eq!(twice, Err(ProgramError::TwoOfAName("a".to_owned())));
    let twice = Program::new(&graph, &[x, x], &[("a", x)]);
    assert_eq!(twice, Err(ProgramError::TwoOfAName("x".to_owned())));
}

#[test]
fn a_stopped_gradient_is_no_dependence() {
    let graph = Graph::new();
    let [x, y] = ["x", "y"].map(|name| graph.parameter(name, Type::f32([2])));
    let z = x.exp() * y.stop_gradient();
    assert!(depends(z, x) && !depends(z, y) && depends(z, z) && !depends(x, z));
    assert!(!depends(x.gt(y), x));
}
