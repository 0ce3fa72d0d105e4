//! Every operation by itself against the evaluator.

mod common;

use std::sync::Arc;

use common::{check, check_node, doubles, engine, run};
use graph::{
    Comparison, Convolution, Dot, Element, Graph, Node, Operation, Program, Type, Window,
    concatenate, gradients,
};
use logo_ssl_cpu_executor::Tensor;
use proptest::prelude::*;

const SHAPES: [&[usize]; 10] =
    [&[], &[1], &[7], &[3, 5], &[1, 9], &[2, 3, 4], &[0, 3], &[33, 67], &[5, 1, 1030], &[70, 1001]];

#[test]
fn unary_functions() {
    let functions: [fn(Node<'_>) -> Node<'_>; 13] = [
        |x| x.abs(),
        |x| x.exp(),
        |x| x.exp_minus_one(),
        |x| (x.abs() + 0.25).log(),
        |x| x.abs().log_plus_one(),
        |x| x.logistic(),
        |x| (x.abs() + 0.25).rsqrt(),
        |x| x.sign(),
        |x| x.abs().sqrt(),
        |x| x.tanh(),
        |x| -x,
        |x| x.relu(),
        |x| x.softplus(),
    ];
    for shape in SHAPES {
        for (at, function) in functions.into_iter().enumerate() {
            for (element, tolerance) in [(Element::F32, 1e-6), (Element::Bf16, 2e-2)] {
                let graph = Graph::new();
                let x = graph.parameter("x", Type::new(element, shape));
                let y = function(x);
                println!("function {at} of {element} {shape:?}");
                check_node(y, &[x], tolerance);
            }
        }
        let graph = Graph::new();
        let x = graph.parameter("x", Type::new(Element::S32, shape));
        check_node((-x).abs() * x.sign(), &[x], 0.0);
        let x = graph.parameter("t", Type::new(Element::Pred, shape));
        check_node(x.not(), &[x], 0.0);
    }
}

#[test]
fn logarithms_of_what_has_none() {
    let graph = Graph::new();
    let x = graph.parameter("x", Type::f32([40]));
    check_node(x.log(), &[x], 1e-6);
    check_node(x.log_plus_one(), &[x], 1e-6);
    check_node(x / x, &[x], 1e-6);
}

#[test]
fn binary_functions_and_comparisons() {
    for shape in SHAPES {
        for element in [Element::F32, Element::Bf16, Element::S32, Element::U8] {
            let graph = Graph::new();
            let [a, b] = ["a", "b"].map(|name| graph.parameter(name, Type::new(element, shape)));
            let divisor = b * b + 1.0;
            // Bytes wrap, which the evaluator's do not.
            let difference =
                if element == Element::U8 { a.maximum(b) - a.minimum(b) } else { a - b };
            let results = [
                a + b,
                difference,
                a * b,
                a / divisor,
                a.maximum(b),
                a.minimum(b),
                a.remainder(divisor),
            ];
            let tolerance = if element == Element::Bf16 { 2e-2 } else { 1e-6 };
            for result in results {
                check_node(result, &[a, b], tolerance);
            }
            for comparison in [
                Comparison::Eq,
                Comparison::Ge,
                Comparison::Gt,
                Comparison::Le,
                Comparison::Lt,
                Comparison::Ne,
            ] {
                let truth = a.compare(comparison, b);
                check_node(truth, &[a, b], 0.0);
                check_node(truth.select(a, b), &[a, b], 0.0);
                check_node(truth.and(a.eq(b)).or(truth.not()), &[a, b], 0.0);
            }
        }
    }
}

#[test]
fn conversions_between_all_types() {
    let all = [Element::F32, Element::Bf16, Element::S32, Element::U8, Element::Pred];
    for from in all {
        for to in all {
            let graph = Graph::new();
            let x = graph.parameter("x", Type::new(from, [1500]));
            // Negative numbers are no bytes.
            let y = match (from, to) {
                (Element::F32 | Element::Bf16 | Element::S32, Element::U8) => x.abs(),
                _ => x,
            };
            check_node(y.convert(to), &[x], 0.0);
        }
    }
}

#[test]
fn constants_places_and_this_replica() {
    for element in [Element::F32, Element::Bf16, Element::S32, Element::U8] {
        for axis in 0..3 {
            let graph = Graph::new();
            let ty = Type::new(element, [3, 5, 7]);
            let places = graph.iota(axis, ty.clone());
            let program = Program::new(
                &graph,
                &[],
                &[
                    ("iota", places),
                    ("full", graph.full(3.0, ty)),
                    ("replica", graph.replica_id()),
                    ("again", places),
                    ("sum", places.sum(&[0, 2])),
                ],
            );
            check(&program.unwrap(), 1, 1e-2);
        }
    }
}

#[test]
fn broadcasts_of_every_kind() {
    let cases: [(&[usize], &[usize], &[usize]); 12] = [
        (&[], &[], &[4, 5]),
        (&[5], &[1], &[4, 5]),
        (&[4], &[0], &[4, 5]),
        (&[1], &[0], &[4, 5]),
        (&[1, 5], &[0, 1], &[4, 5]),
        (&[4, 1], &[0, 1], &[4, 5]),
        (&[3], &[1], &[2, 3, 4, 5]),
        (&[2, 5], &[0, 3], &[2, 3, 4, 5]),
        (&[5, 2], &[3, 0], &[2, 3, 4, 5]),
        (&[1030], &[1], &[9, 1030]),
        (&[1030], &[0], &[1030, 9]),
        (&[0], &[0], &[0, 4]),
    ];
    for (shape, axes, wide) in cases {
        for element in [Element::F32, Element::S32, Element::Pred, Element::U8, Element::Bf16] {
            let graph = Graph::new();
            let x = graph.parameter("x", Type::new(element, shape));
            check_node(x.broadcast(axes, wide), &[x], 0.0);
            if element.is_float() {
                let y = graph.parameter("y", Type::new(element, wide));
                check_node((x + 1.0).broadcast(axes, wide) * y, &[x, y], 1e-2);
            }
        }
    }
}

#[test]
fn elements_in_other_places() {
    for element in [Element::F32, Element::S32, Element::Pred, Element::U8, Element::Bf16] {
        let graph = Graph::new();
        let x = graph.parameter("x", Type::new(element, [4, 6, 5]));
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            check_node(x.transpose(&order), &[x], 0.0);
        }
        let wide = graph.parameter("w", Type::new(element, [37, 3, 50]));
        check_node(wide.transpose(&[2, 1, 0]), &[wide], 0.0);
        check_node(wide.transpose(&[0, 2, 1]).reverse(&[1]), &[wide], 0.0);
        check_node(x.reverse(&[0, 2]), &[x], 0.0);
        check_node(x.rows(1..3), &[x], 0.0);
        check_node(x.slice(1, 2..5), &[x], 0.0);
        check_node(x.rows(2..2), &[x], 0.0);
        let part =
            Operation::Slice { start: vec![1, 0, 1], limit: vec![4, 6, 5], stride: vec![2, 3, 4] };
        check_node(graph.instruction(part, &[x], None).unwrap(), &[x], 0.0);
        check_node(x.pad(&[1, 0, 2], &[0, 3, 1], &[2, 1, 0]), &[x], 0.0);
        check_node(x.pad(&[-1, 2, -3], &[-2, -1, 4], &[0, 3, 2]), &[x], 0.0);
        check_node(x.pad(&[-5, 0, 0], &[3, 0, 0], &[0, 0, 0]), &[x], 0.0);
        check_node(x.pad(&[-1, 0, 0], &[-1, 0, 0], &[0, 0, 0]), &[x], 0.0);
        let y = graph.parameter("y", Type::new(element, [4, 2, 5]));
        check_node(concatenate(&[x, y, x], 1), &[x, y], 0.0);
        check_node(concatenate(&[x, x], 0), &[x], 0.0);
        check_node(x.rows(0..4).reshape(&[24, 5]).rows(3..9).reverse(&[0]), &[x], 0.0);
    }
}

#[test]
fn rows_by_number() {
    for element in [Element::F32, Element::S32, Element::Pred, Element::U8, Element::Bf16] {
        let graph = Graph::new();
        let x = graph.parameter("x", Type::new(element, [3, 2, 5]));
        let rows = graph.parameter("rows", Type::new(Element::S32, [6]));
        let at = graph.parameter("at", Type::new(Element::S32, []));
        let few = graph.parameter("few", Type::new(element, [2, 2, 5]));
        let gathered = x.gather(rows);
        check_node(gathered, &[x, rows], 0.0);
        if element != Element::Pred {
            check_node(gathered.scatter(rows, 4), &[x, rows], 0.0);
        }
        for seed in 0..6 {
            let outputs =
                [("x", x.dynamic_update_slice(few, at)), ("part", x.dynamic_slice(at, 2))];
            check(&Program::new(&graph, &[x, few, at], &outputs).unwrap(), seed, 0.0);
            let outputs = [("x", x.dynamic_update_slice(few, at))];
            check(&Program::new(&graph, &[x, few, at], &outputs).unwrap(), seed, 0.0);
        }
    }
}

#[test]
fn windows() {
    let windows = [
        Window {
            lengths: vec![1, 3, 3, 1],
            strides: vec![1, 2, 2, 1],
            padding: vec![[0, 0], [1, 1], [1, 1], [0, 0]],
        },
        Window {
            lengths: vec![2, 2, 1, 3],
            strides: vec![1, 1, 2, 3],
            padding: vec![[0, 1], [0, 0], [0, 0], [2, 3]],
        },
    ];
    for window in windows {
        for element in [Element::F32, Element::Bf16] {
            let graph = Graph::new();
            let x = graph.parameter("x", Type::new(element, [2, 5, 6, 3]));
            let y = x.max_pool(window.clone());
            check_node(y, &[x], 0.0);
            let g = graph.parameter("g", y.ty());
            let back = Operation::SelectAndScatter(window.clone());
            check_node(graph.instruction(back, &[x, g], None).unwrap(), &[x, g], 1e-2);
        }
    }
}

#[test]
fn convolutions() {
    for (kernel, stride, element) in
        [(3, 1, Element::F32), (3, 2, Element::F32), (1, 2, Element::F32), (3, 2, Element::Bf16)]
    {
        let graph = Graph::new();
        let x = graph.parameter("x", Type::new(element, [2, 7, 6, 3]));
        let w = graph.parameter("w", Type::new(element, [4, 3, kernel, kernel]));
        let y = x.convolution(w, Convolution::same(kernel, stride));
        let tolerance = if element == Element::Bf16 { 1e-2 } else { 1e-6 };
        check_node(y, &[x, w], tolerance);
        if element == Element::F32 {
            for gradient in gradients((y * y).sum_all(), &[x, w]) {
                check_node(gradient, &[x, w], 1e-6);
            }
        }
    }
}

#[test]
fn products_in_every_order_of_axes() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for element in [Element::F32, Element::Bf16] {
        let tolerance = if element == Element::Bf16 { 1e-2 } else { 1e-6 };
        for left in orders {
            for right in orders {
                // Stacked, free and summed axes.
                let shape = |order: [usize; 3], lengths: [usize; 3]| {
                    let mut shape = [0; 3];
                    (0..3).for_each(|axis| shape[order[axis]] = lengths[axis]);
                    Type::new(element, shape)
                };
                let graph = Graph::new();
                let a = graph.parameter("a", shape(left, [2, 5, 19]));
                let b = graph.parameter("b", shape(right, [2, 33, 19]));
                let dot = Dot {
                    contracting: [vec![left[2]], vec![right[2]]],
                    batch: [vec![left[0]], vec![right[0]]],
                    rounded: false,
                };
                let product = a.dot_general(b, dot);
                check_node(product, &[a, b], tolerance);
                check_node(product.transpose(&[0, 2, 1]), &[a, b], tolerance);
                let summed = gradients(product.square().sum_all().convert(Element::F32), &[a, b]);
                if element == Element::F32 {
                    summed.into_iter().for_each(|gradient| check_node(gradient, &[a, b], 1e-6));
                }
                let both = Dot {
                    contracting: [vec![left[2], left[0]], vec![right[2], right[0]]],
                    batch: [vec![], vec![]],
                    rounded: false,
                };
                check_node(a.dot_general(b, both), &[a, b], tolerance);
            }
        }
    }
    for [m, n, k] in [[0, 3, 2], [3, 0, 2], [3, 2, 0], [1, 1, 1], [130, 70, 300]] {
        let graph = Graph::new();
        let a = graph.parameter("a", Type::f32([m, k]));
        let b = graph.parameter("b", Type::f32([k, n]));
        check_node(a.matmul(b), &[a, b], 1e-6);
        check_node(a.matmul(b).transpose(&[1, 0]), &[a, b], 1e-6);
        let turned = a.transpose(&[1, 0]);
        check_node(turned.matmul(a), &[a], 1e-6);
    }
}

#[test]
fn only_products_that_may_be_are_rounded() {
    // Halfway between two bfloat16, of which 1 is the even one.
    let x = 1.0 + 2.0f32.powi(-8);
    let multiplies_bf16 = engine().levels().bf16.multiplies_bf16();
    for (rounded, expected) in [(false, x), (true, if multiplies_bf16 { 1.0 } else { x })] {
        let graph = Graph::new();
        let a = graph.parameter("a", Type::f32([1, 1]));
        let dot = Dot { contracting: [vec![1], vec![0]], batch: [vec![], vec![]], rounded };
        let product = a.dot_general(graph.scalar(1.0).reshape(&[1, 1]), dot);
        let program = Program::new(&graph, &[a], &[("y", product)]).unwrap();
        let outputs = run(&program, vec![Arc::new(Tensor::f32([1, 1], vec![x]))]);
        assert_eq!(doubles(&outputs[0]), [f64::from(expected)], "rounded: {rounded}");
    }
}

#[test]
fn reductions_over_all_axes() {
    let shapes: [&[usize]; 6] = [&[7], &[70, 33], &[2, 3, 4, 5], &[0, 4], &[3, 0, 2], &[40, 2050]];
    for shape in shapes {
        for choice in 1..1 << shape.len() {
            let axes: Vec<usize> =
                (0..shape.len()).filter(|axis| choice >> axis & 1 == 1).collect();
            for element in [Element::F32, Element::S32, Element::Pred, Element::Bf16] {
                let graph = Graph::new();
                let x = graph.parameter("x", Type::new(element, shape));
                let tolerance = if element == Element::Bf16 { 1e-2 } else { 1e-6 };
                check_node(x.sum(&axes), &[x], tolerance);
                check_node(x.max(&axes), &[x], tolerance);
            }
        }
    }
}

#[test]
fn a_long_sum_is_good_to_a_millionth() {
    let graph = Graph::new();
    let x = graph.parameter("x", Type::f32([1_500_000]));
    check_node((x + 2.0).sum_all(), &[x], 1e-7);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn products_of_any_size(
        m in 0usize..70,
        n in 0usize..70,
        k in 0usize..300,
        form in 0usize..8,
        rounded: bool,
    ) {
        let graph = Graph::new();
        let shape = |turned: bool, [rows, columns]: [usize; 2]| match turned {
            true => Type::f32([columns, rows]),
            false => Type::f32([rows, columns]),
        };
        let [left, right, out] = [1, 2, 4].map(|bit| form & bit != 0);
        let a = graph.parameter("a", shape(left, [m, k]));
        let b = graph.parameter("b", shape(right, [k, n]));
        let dot = Dot {
            contracting: [vec![usize::from(!left)], vec![usize::from(right)]],
            batch: [vec![], vec![]],
            rounded,
        };
        let product = a.dot_general(b, dot);
        check_node(if out { product.transpose(&[1, 0]) } else { product }, &[a, b], 1e-6);
    }

    #[test]
    fn sums_of_any_shape(shape in proptest::collection::vec(0usize..9, 1..5), choice in 1usize..31) {
        let axes: Vec<usize> = (0..shape.len()).filter(|axis| choice >> axis & 1 == 1).collect();
        prop_assume!(!axes.is_empty());
        let graph = Graph::new();
        let x = graph.parameter("x", Type::f32(shape));
        check_node(x.square().sum(&axes), &[x], 1e-6);
        check_node((-x).max(&axes), &[x], 1e-6);
    }

    #[test]
    fn pads_of_any_size(
        shape in proptest::collection::vec(0usize..6, 1..4),
        by in proptest::collection::vec((-4i64..5, -4i64..5, 0usize..3), 3),
    ) {
        let graph = Graph::new();
        let x = graph.parameter("x", Type::f32(shape.clone()));
        let by = &by[..shape.len()];
        let pad = Operation::Pad {
            low: by.iter().map(|by| by.0).collect(),
            high: by.iter().map(|by| by.1).collect(),
            interior: by.iter().map(|by| by.2).collect(),
        };
        if let Ok(padded) = graph.instruction(pad, &[x], None) {
            check_node(padded, &[x], 0.0);
        }
    }
}
