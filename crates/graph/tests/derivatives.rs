//! Every operation's derivative against central differences in double precision.

mod common;

use common::{Random, check_derivatives};
use logo_ssl_graph::{Convolution, Dot, Element, Graph, Node, Operation, Program, Type, Window};
use logo_ssl_graph::{concatenate, evaluate, gradients, pull_back};
use proptest::prelude::*;

/// One to three axes of lengths 1 to 5.
fn shape() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1usize..6, 1..4)
}

fn len(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// Nodes of whole numbers, as a constant part of a graph.
fn whole<'g>(graph: &'g Graph, numbers: &[usize]) -> Node<'g> {
    let scalars: Vec<Node<'g>> = numbers
        .iter()
        .map(|&number| graph.full(number as f64, Type::new(Element::S32, [1])))
        .collect();
    concatenate(&scalars, 0)
}

type Unary = for<'g> fn(Node<'g>) -> Node<'g>;

/// Functions of one tensor that are smooth where `Random::apart` puts their operand.
const ANYWHERE: [(&str, Unary); 12] = [
    ("abs", |x| x.abs()),
    ("exp", |x| x.exp()),
    ("exp_minus_one", |x| x.exp_minus_one()),
    ("logistic", |x| x.logistic()),
    ("negate", |x| -x),
    ("sign", |x| x.sign()),
    ("tanh", |x| x.tanh()),
    ("square", |x| x.square()),
    ("relu", |x| x.relu()),
    ("softplus", |x| x.softplus()),
    ("at_least", |x| x.at_least(-0.0)),
    ("convert", |x| x.convert(Element::Bf16).convert(Element::F32)),
];

const POSITIVE: [(&str, Unary); 4] = [
    ("log", |x| x.log()),
    ("log_plus_one", |x| x.log_plus_one()),
    ("rsqrt", |x| x.rsqrt()),
    ("sqrt", |x| x.sqrt()),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn of_one_operand(shape in shape(), seed: u64) {
        let mut random = Random::new(seed);
        for (_, function) in ANYWHERE {
            let x = random.apart(len(&shape));
            check_derivatives(&[(shape.clone(), x)], &|_, x| function(x[0]));
        }
        for (_, function) in POSITIVE {
            let x = random.numbers(len(&shape), 0.3, 3.0);
            check_derivatives(&[(shape.clone(), x)], &|_, x| function(x[0]));
        }
    }

    #[test]
    fn of_two_operands(shape in shape(), seed: u64) {
        let mut random = Random::new(seed);
        let both = random.apart(2 * len(&shape));
        let (a, b) = both.split_at(len(&shape));
        let inputs = [(shape.clone(), a.to_vec()), (shape.clone(), b.to_vec())];
        check_derivatives(&inputs, &|_, x| x[0] + x[1]);
        check_derivatives(&inputs, &|_, x| x[0] - x[1] * 3.0);
        check_derivatives(&inputs, &|_, x| x[0] * x[1]);
        check_derivatives(&inputs, &|_, x| x[0].maximum(x[1]));
        check_derivatives(&inputs, &|_, x| x[0].minimum(x[1]));
        check_derivatives(&inputs, &|_, x| x[0].gt(x[1]).select(x[0].square(), x[1]));
        let divisor = random.numbers(len(&shape), 0.5, 2.0);
        let inputs = [(shape.clone(), a.to_vec()), (shape.clone(), divisor)];
        check_derivatives(&inputs, &|_, x| x[0] / x[1]);
        check_derivatives(&inputs, &|_, x| 2.0 / x[1] - x[0].stop_gradient() * 0.0 - x[0]);
        let scalar = (vec![], random.numbers(1, 0.5, 2.0));
        check_derivatives(&[inputs[0].clone(), scalar], &|_, x| x[0] / x[1] + x[1] * x[0]);
    }

    #[test]
    fn of_places(shape in shape(), seed: u64) {
        let mut random = Random::new(seed);
        let x = [(shape.clone(), random.apart(len(&shape)))];
        let rank = shape.len();
        let permutation = random.permutation(rank);
        check_derivatives(&x, &|_, x| x[0].transpose(&permutation));
        check_derivatives(&x, &|_, x| x[0].reshape(&[1, len(&shape)]));
        let axes: Vec<usize> = (0..rank).filter(|_| random.below(2) == 0).collect();
        check_derivatives(&x, &|_, x| x[0].reverse(&axes));
        check_derivatives(&x, &|_, x| x[0].sum(&axes));
        check_derivatives(&x, &|_, x| x[0].mean(&axes));
        check_derivatives(&x, &|_, x| x[0].max(&axes));
        // Into other axes, in another order, two more around them.
        let to: Vec<usize> = random.permutation(rank + 2)[..rank].to_vec();
        let mut long = vec![2; rank + 2];
        to.iter().zip(&shape).for_each(|(&to, &length)| long[to] = length);
        // Axes of length 1 are repeated.
        long[to[0]] = if shape[0] == 1 { 3 } else { shape[0] };
        check_derivatives(&x, &|_, x| x[0].broadcast(&to, &long));
        let start: Vec<usize> = shape.iter().map(|&length| random.below(length)).collect();
        let limit: Vec<usize> = start.iter().zip(&shape)
            .map(|(&start, &length)| start + 1 + random.below(length - start)).collect();
        let stride: Vec<usize> = shape.iter().map(|_| 1 + random.below(3)).collect();
        check_derivatives(&x, &|graph, x| {
            let (start, limit, stride) = (start.clone(), limit.clone(), stride.clone());
            graph.instruction(Operation::Slice { start, limit, stride }, x, None).unwrap()
        });
        let interior: Vec<usize> = shape.iter().map(|_| random.below(3)).collect();
        let [low, high] = [0, 1].map(|_| -> Vec<i64> {
            shape.iter().map(|_| random.below(4) as i64).collect()
        });
        check_derivatives(&x, &|_, x| x[0].pad(&low, &high, &interior));
        // Cutting, too, as far as an element is left.
        let cut: Vec<i64> = shape.iter().map(|&length| -(random.below(length) as i64)).collect();
        check_derivatives(&x, &|_, x| x[0].pad(&cut, &high, &interior));
        check_derivatives(&x, &|_, x| x[0].pad(&high, &cut, &interior));
        check_derivatives(&x, &|_, x| concatenate(&[x[0], x[0].square(), x[0]], rank - 1));
    }

    #[test]
    fn of_rows(rows in 1usize..6, columns in 1usize..4, count in 1usize..7, seed: u64) {
        let mut random = Random::new(seed);
        let named: Vec<usize> = (0..count).map(|_| random.below(rows)).collect();
        let x = (vec![rows, columns], random.apart(rows * columns));
        check_derivatives(std::slice::from_ref(&x), &|graph, x| x[0].gather(whole(graph, &named)));
        let picked = (vec![count, columns], random.apart(count * columns));
        check_derivatives(&[picked], &|graph, x| x[0].scatter(whole(graph, &named), rows));
    }

    #[test]
    fn of_max_pools(height in 1usize..8, width in 1usize..8, seed: u64) {
        let shape = vec![2, height, width, 2];
        let x = [(shape.clone(), Random::new(seed).apart(len(&shape)))];
        for (side, step, around) in [(3, 2, 1), (2, 2, 1), (1, 1, 0), (3, 1, 2)] {
            let window = Window {
                lengths: vec![1, side, side, 1],
                strides: vec![1, step, step, 1],
                padding: vec![[0, 0], [around, around], [around, around], [0, 0]],
            };
            check_derivatives(&x, &|_, x| x[0].max_pool(window.clone()));
        }
    }

    #[test]
    fn of_dot_generals(
        stacked in prop::collection::vec(1usize..3, 0..3),
        summed in prop::collection::vec(1usize..4, 0..3),
        left in prop::collection::vec(1usize..4, 0..2),
        right in prop::collection::vec(1usize..4, 0..3),
        seed: u64,
    ) {
        let mut random = Random::new(seed);
        let mut sides = [left, right].map(|free| side(&mut random, [&stacked, &summed, &free]));
        let dot = Dot {
            batch: [0, 1].map(|at| std::mem::take(&mut sides[at].1)),
            contracting: [0, 1].map(|at| std::mem::take(&mut sides[at].2)),
            rounded: seed % 2 == 0,
        };
        let inputs = sides.map(|(shape, _, _)| {
            let values = random.apart(len(&shape));
            (shape, values)
        });
        check_derivatives(&inputs, &|_, x| x[0].dot_general(x[1], dot.clone()));
    }
}

/// A shape whose axes of these three kinds come in a random order, and where those of the first and the
/// second kind went.
fn side(random: &mut Random, kinds: [&[usize]; 3]) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
    let all = kinds.concat();
    let places = random.permutation(all.len());
    let mut shape = vec![0; all.len()];
    all.iter().zip(&places).for_each(|(&length, &place)| shape[place] = length);
    let (stacked, rest) = places.split_at(kinds[0].len());
    (shape, stacked.to_vec(), rest[..kinds[1].len()].to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn of_convolutions(
        (batch, features, outputs) in (1usize..3, 1usize..3, 1usize..3),
        size in [1usize..6, 1usize..6],
        kernel in [1usize..4, 1usize..4],
        stride in [1usize..4, 1usize..4],
        dilations in [[1usize..3, 1usize..3], [1usize..3, 1usize..3]],
        padding in [[-1i64..4, -1i64..4], [-1i64..4, -1i64..4]],
        seed: u64,
    ) {
        let mut random = Random::new(seed);
        let mut order = || <[usize; 4]>::try_from(random.permutation(4)).unwrap();
        let [lhs, rhs, out] = [order(), order(), order()];
        let [lhs_dilation, rhs_dilation] = dilations;
        let of = Convolution { stride, padding, lhs_dilation, rhs_dilation, lhs, rhs, out };
        let (mut x, mut w) = (vec![0; 4], vec![0; 4]);
        for at in 0..4 {
            x[lhs[at]] = [batch, features, size[0], size[1]][at];
            w[rhs[at]] = [outputs, features, kernel[0], kernel[1]][at];
        }
        // Windows must fit, and cutting must leave something.
        let graph = Graph::new();
        let nodes = [graph.parameter("x", Type::f32(x.clone())), graph.parameter("w", Type::f32(w.clone()))];
        let made = graph.instruction(Operation::Convolution(Box::new(of.clone())), &nodes, None);
        prop_assume!(made.is_ok());
        let inputs = [x, w].map(|shape| {
            let values = random.numbers(len(&shape), -1.0, 1.0);
            (shape, values)
        });
        check_derivatives(&inputs, &|_, x| x[0].convolution(x[1], of.clone()));
    }

    #[test]
    fn of_composed_functions(rows in 2usize..6, columns in 1usize..6, seed: u64) {
        let mut random = Random::new(seed);
        let shape = vec![rows, columns];
        let x = (shape.clone(), random.apart(rows * columns));
        let w = (vec![3, columns], random.numbers(3 * columns, -1.0, 1.0));
        let affine = |random: &mut Random| (vec![columns], random.numbers(columns, 0.5, 1.5));
        let (gamma, beta) = (affine(&mut random), affine(&mut random));
        check_derivatives(std::slice::from_ref(&x), &|_, x| log_softmax(x[0]));
        check_derivatives(std::slice::from_ref(&x), &|_, x| normalised(x[0]));
        check_derivatives(&[x.clone(), w], &|_, x| {
            let logits = normalised(x[0]).matmul_transposed(x[1]);
            (logits / 0.2).softplus().mean_all() + log_softmax(logits * 2.0).sum_all()
        });
        check_derivatives(&[x, gamma, beta], &|_, x| batch_norm(x[0], x[1], x[2]));
    }
}

fn log_softmax(x: Node<'_>) -> Node<'_> {
    let shape = x.shape();
    let shifted = x - x.max(&[1]).stop_gradient().across_rows(&shape);
    shifted - shifted.exp().sum(&[1]).log().across_rows(&shape)
}

fn normalised(x: Node<'_>) -> Node<'_> {
    x * (x.square().sum(&[1]) + 1e-3).rsqrt().across_rows(&x.shape())
}

fn batch_norm<'g>(x: Node<'g>, gamma: Node<'g>, beta: Node<'g>) -> Node<'g> {
    let spread = |numbers: Node<'g>| numbers.broadcast(&[1], &x.shape());
    let centred = x - spread(x.mean(&[0]));
    let variance = centred.square().mean(&[0]);
    centred * spread((variance + 0.1).rsqrt() * gamma) + spread(beta)
}

#[test]
fn equal_operands_and_kinks_have_the_documented_derivatives() {
    let graph = Graph::new();
    let [a, b] = ["a", "b"].map(|name| graph.parameter(name, Type::f32([2])));
    let of = |y: Node<'_>, by: Node<'_>| {
        let program =
            Program::new(&graph, &[a, b], &[("g", gradients(y.sum_all(), &[by])[0])]).unwrap();
        evaluate(&program, &[vec![1.0, 0.0], vec![1.0, 2.0]]).remove(0)
    };
    assert_eq!(of(a.maximum(b), a), [0.5, 0.0]);
    assert_eq!(of(a.maximum(b), b), [0.5, 1.0]);
    assert_eq!(of(a.minimum(b), a), [0.5, 1.0]);
    assert_eq!(of(a.relu(), a), [1.0, 0.0]);
    assert_eq!(of(a.stop_gradient() * b, a), [0.0, 0.0]);
    assert_eq!(of((a - a).max(&[0]), a), [0.0, 0.0]);
    assert_eq!(of((b - b + a * 0.0).max(&[0]) + a.sum_all(), a), [1.0, 1.0]);
}

#[test]
fn several_outputs_are_pulled_back_together() {
    let graph = Graph::new();
    let x = graph.parameter("x", Type::f32([3]));
    let y = graph.parameter("y", Type::f32([3]));
    let back = pull_back(&[(x.square(), y), (x.exp(), y * 2.0), (x, y)], &[x, y]);
    let program = Program::new(&graph, &[x, y], &[("x", back[0]), ("y", back[1])]).unwrap();
    let found = evaluate(&program, &[vec![0.0, 1.0, -1.0], vec![1.0, 2.0, 3.0]]);
    let expected = |x: f64, y: f64| y * (2.0 * x + 2.0 * x.exp() + 1.0);
    assert_eq!(found[0], [expected(0.0, 1.0), expected(1.0, 2.0), expected(-1.0, 3.0)]);
    assert_eq!(found[1], [0.0; 3]);
}
