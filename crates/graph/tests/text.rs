//! The text of programs.

use logo_ssl_graph::{Dot, Element, Graph, Program, Type, gradients};

#[test]
fn a_training_step_is_printed_so() {
    let graph = Graph::new();
    let w = graph.parameter("w", Type::f32([3, 1]));
    let unread = graph.parameter("unread", Type::new(Element::S32, []));
    let x = graph.parameter("x", Type::f32([8, 3]));
    let loss = x.matmul(w).square().mean_all();
    let next = w - gradients(loss, &[w])[0].stop_gradient() * 0.1;
    let outputs = [("loss", loss), ("w", next)];
    let step = Program::new(&graph, &[w, unread, x], &outputs).unwrap();
    assert_eq!(step.text(), include_str!("step.mlir"));
}

#[test]
fn rounded_products_take_bfloat16_and_sum_single_precision() {
    let graph = Graph::new();
    let x = graph.parameter("x", Type::f32([4, 3]));
    let contracting = [vec![1], vec![1]];
    let y = x.dot_general(x, Dot { contracting, batch: [vec![0], vec![0]], rounded: true });
    let text = Program::new(&graph, &[x], &[("y", y)]).unwrap().text();
    assert!(text.contains("(tensor<4x3xbf16>, tensor<4x3xbf16>) -> tensor<4xf32>"), "{text}");
    assert!(text.contains("batching_dims = [0] x [0], contracting_dims = [1] x [1] :"), "{text}");
    assert!(!text.contains("HIGHEST"), "{text}");
}

#[test]
fn a_program_for_several_replicas_says_so() {
    let graph = Graph::new();
    let x = graph.parameter("x", Type::f32([2]));
    let text = Program::new(&graph, &[x], &[("y", x.all_reduce(4))]).unwrap().text();
    assert!(text.contains("mhlo.num_replicas = 4 : i32"), "{text}");
    assert!(text.contains("replica_groups = dense<[[0, 1, 2, 3]]> : tensor<1x4xi64>"), "{text}");
}

#[test]
fn numbers_are_printed_exactly() {
    let printed = |value: f64, element: Element| {
        let graph = Graph::new();
        let number = graph.full(value, Type::new(element, [2]));
        let text = Program::new(&graph, &[], &[("number", number)]).unwrap().text();
        let start = text.find("dense<").unwrap() + "dense<".len();
        text[start..].split('>').next().unwrap().to_owned()
    };
    for value in [0.1, 1.0, -2.5e-30, 1e-5, 123_456.789, f64::MIN_POSITIVE, 1.0 / 3.0, -0.0] {
        let text = printed(value, Element::F32);
        assert!(text.contains('.'), "{text}");
        assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{text}");
    }
    assert_eq!(printed(f64::INFINITY, Element::F32), "0x7F800000");
    assert_eq!(printed(f64::NEG_INFINITY, Element::F32), "0xFF800000");
    assert_eq!(printed(f64::NAN, Element::F32), "0x7FC00000");
    assert_eq!(printed(f64::NEG_INFINITY, Element::Bf16), "0xFF80");
    assert_eq!(printed(-7.0, Element::S32), "-7");
    assert_eq!(printed(255.0, Element::U8), "255");
    assert_eq!(printed(1.0, Element::Pred), "true");
}
