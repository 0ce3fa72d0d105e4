//! Tensors that do not fit an operation: what is said names the operation and the tensors' types.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::networks;
use logo_ssl_graph::{
    Convolution, Dot, Element, Graph, Node, Type, Window, concatenate, gradients,
};

/// What a panic says.
fn said(mistake: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(mistake)).expect_err("a mistake panics");
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap()
}

type Call = for<'g> fn(&'g Graph, Operands<'g>) -> Node<'g>;

#[derive(Clone, Copy)]
struct Operands<'g> {
    /// f32 `[2, 3]`
    a: Node<'g>,
    /// f32 `[4, 3]`
    b: Node<'g>,
    /// bf16 `[2, 3]`
    half: Node<'g>,
    /// i32 `[2]`
    whole: Node<'g>,
    /// i1 `[2, 3]`
    truth: Node<'g>,
    /// f32 `[1, 5, 5, 2]`
    images: Node<'g>,
    /// f32 `[]`
    scalar: Node<'g>,
}

/// A wrong call, the operation that it is one of, and the types that it names.
const WRONG: &[(Call, &str, &[&str])] = &[
    (|_, x| x.a + x.b, "add", &["f32[2, 3]", "f32[4, 3]"]),
    (|_, x| x.a * x.half, "multiply", &["f32[2, 3]", "bf16[2, 3]"]),
    (|_, x| x.truth - x.truth.not(), "subtract", &["i1[2, 3]"]),
    (|_, x| x.a.and(x.a), "and", &["f32[2, 3]"]),
    (|_, x| x.whole.exp(), "exponential", &["i32[2]"]),
    (|_, x| x.truth.abs(), "abs", &["i1[2, 3]"]),
    (|_, x| x.a.not(), "not", &["f32[2, 3]"]),
    (|_, x| x.a.gt(x.b), "compare", &["f32[2, 3]", "f32[4, 3]"]),
    (|_, x| x.truth.select(x.b, x.b), "select", &["i1[2, 3]", "f32[4, 3]"]),
    (|_, x| x.truth.select(x.a, x.half), "select", &["f32[2, 3]", "bf16[2, 3]"]),
    (|_, x| x.a.select(x.a, x.a), "select", &["f32[2, 3]"]),
    (|_, x| x.a.reshape(&[5]), "reshape", &["f32[2, 3]", "f32[5]"]),
    (|_, x| x.a.broadcast(&[0], &[2, 3, 4]), "broadcast_in_dim", &["f32[2, 3]", "f32[2, 3, 4]"]),
    (|_, x| x.a.broadcast(&[0, 1], &[2, 6]), "broadcast_in_dim", &["f32[2, 3]", "f32[2, 6]"]),
    (|_, x| x.a.broadcast(&[1, 1], &[2, 2]), "broadcast_in_dim", &["f32[2, 3]", "f32[2, 2]"]),
    (|_, x| x.a.transpose(&[1]), "transpose", &["f32[2, 3]"]),
    (|_, x| x.a.transpose(&[1, 1]), "transpose", &["f32[2, 3]"]),
    (|_, x| x.a.slice(1, 1..4), "slice", &["f32[2, 3]"]),
    (|_, x| x.a.slice(2, 0..1), "slice", &["f32[2, 3]"]),
    (|_, x| x.scalar.rows(0..1), "slice", &["f32[]"]),
    (|_, x| x.a.pad(&[1], &[1], &[0]), "pad", &["f32[2, 3]"]),
    (|_, x| x.a.pad(&[-2, 0], &[-1, 0], &[0, 0]), "pad", &["f32[2, 3]"]),
    (|_, x| concatenate(&[x.a, x.b], 1), "concatenate", &["f32[2, 3]", "f32[4, 3]"]),
    (|_, x| concatenate(&[x.a, x.half], 0), "concatenate", &["f32[2, 3]", "bf16[2, 3]"]),
    (|_, x| concatenate(&[x.scalar, x.scalar], 0), "concatenate", &["f32[]"]),
    (|_, x| x.a.reverse(&[2]), "reverse", &["f32[2, 3]"]),
    (|_, x| x.a.reverse(&[1, 1]), "reverse", &["f32[2, 3]"]),
    (|_, x| x.a.sum(&[2]), "reduce", &["f32[2, 3]"]),
    (|_, x| x.a.max(&[0, 0]), "reduce", &["f32[2, 3]"]),
    (|_, x| x.a.matmul(x.b), "dot_general", &["f32[2, 3]", "f32[4, 3]"]),
    (|_, x| x.a.matmul_transposed(x.half), "dot_general", &["f32[2, 3]", "bf16[2, 3]"]),
    (|_, x| x.a.matmul(x.whole), "dot_general", &["f32[2, 3]", "i32[2]"]),
    (
        |_, x| {
            let (contracting, batch) = ([vec![0], vec![0]], [vec![0], vec![0]]);
            x.a.dot_general(x.a, Dot { contracting, batch, rounded: false })
        },
        "dot_general",
        &["f32[2, 3]"],
    ),
    (|_, x| x.a.gather(x.a), "gather", &["f32[2, 3]"]),
    (|_, x| x.scalar.gather(x.whole), "gather", &["f32[]", "i32[2]"]),
    (|_, x| x.b.scatter(x.whole, 3), "scatter", &["f32[4, 3]", "i32[2]"]),
    (|graph, x| x.a.dynamic_slice(graph.replica_id(), 3), "dynamic_slice", &["f32[2, 3]", "i32[]"]),
    (|_, x| x.a.dynamic_slice(x.whole, 1), "dynamic_slice", &["f32[2, 3]", "i32[2]"]),
    (
        |graph, x| x.a.dynamic_update_slice(x.b, graph.replica_id()),
        "dynamic_update_slice",
        &["f32[2, 3]", "f32[4, 3]", "i32[]"],
    ),
    (|_, x| x.scalar.all_gather(2), "all_gather", &["f32[]"]),
    (
        |graph, x| {
            x.images.convolution(graph.full(1.0, Type::f32([3, 3, 3, 3])), Convolution::same(3, 1))
        },
        "convolution",
        &["f32[1, 5, 5, 2]", "f32[3, 3, 3, 3]"],
    ),
    (
        |_, x| x.images.convolution(x.a, Convolution::same(1, 1)),
        "convolution",
        &["f32[1, 5, 5, 2]"],
    ),
    (
        |graph, x| {
            let of = Convolution { padding: [[0; 2]; 2], ..Convolution::same(7, 1) };
            x.images.convolution(graph.full(1.0, Type::f32([3, 2, 7, 7])), of)
        },
        "convolution",
        &["f32[1, 5, 5, 2]", "f32[3, 2, 7, 7]"],
    ),
    (
        |graph, x| {
            let of = Convolution { lhs_dilation: [0, 1], ..Convolution::same(1, 1) };
            x.images.convolution(graph.full(1.0, Type::f32([3, 2, 1, 1])), of)
        },
        "convolution",
        &["f32[1, 5, 5, 2]"],
    ),
    (
        |graph, x| {
            let of = Convolution { lhs: [0, 1, 1, 2], ..Convolution::same(1, 1) };
            x.images.convolution(graph.full(1.0, Type::f32([3, 2, 1, 1])), of)
        },
        "convolution",
        &["f32[1, 5, 5, 2]"],
    ),
    (
        |_, x| {
            let window =
                Window { lengths: vec![3, 3], strides: vec![1, 1], padding: vec![[0, 0]; 2] };
            x.a.max_pool(window)
        },
        "reduce_window",
        &["f32[2, 3]"],
    ),
    (
        |_, x| {
            let window = Window { lengths: vec![3], strides: vec![1], padding: vec![[0, 0]] };
            x.a.max_pool(window)
        },
        "reduce_window",
        &["f32[2, 3]"],
    ),
    (|graph, _| graph.iota(1, Type::f32([3])), "iota", &["f32[3]"]),
    (|graph, _| graph.iota(0, Type::new(Element::Pred, [3])), "iota", &["i1[3]"]),
    (
        |_, x| {
            let plan = std::sync::Arc::new(networks(Element::F32).remove(0).1);
            x.images.residual_train(x.a.flatten(), &plan)
        },
        "residual_train",
        &["f32[1, 5, 5, 2]", "f32[6]"],
    ),
];

#[test]
fn mistakes_name_the_operation_and_the_types() {
    for (at, (call, operation, types)) in WRONG.iter().enumerate() {
        let graph = Graph::new();
        let operands = Operands {
            a: graph.parameter("a", Type::f32([2, 3])),
            b: graph.parameter("b", Type::f32([4, 3])),
            half: graph.parameter("half", Type::new(Element::Bf16, [2, 3])),
            whole: graph.parameter("whole", Type::new(Element::S32, [2])),
            truth: graph.parameter("truth", Type::new(Element::Pred, [2, 3])),
            images: graph.parameter("images", Type::f32([1, 5, 5, 2])),
            scalar: graph.parameter("scalar", Type::f32([])),
        };
        let text = said(|| _ = call(&graph, operands));
        let start = format!("{operation} of ");
        assert!(text.starts_with(&start), "call {at}: `{text}` does not start with `{start}`");
        for ty in *types {
            assert!(text.contains(ty), "call {at}: `{text}` does not name {ty}");
        }
    }
}

#[test]
fn other_mistakes_say_what_they_are() {
    let graph = Graph::new();
    let x = graph.parameter("x", Type::f32([3]));
    assert!(said(|| _ = gradients(x, &[x])).contains("a loss is a scalar"));
    assert!(said(|| _ = x.chunk(2)).contains("3 rows are not 2 equal parts"));
    assert!(said(|| _ = x.dims::<2>()).contains("a tensor of 2 axes"));
    assert!(said(|| _ = x.residual_statistics()).contains("which is no residual_train"));
    let remainder = x.remainder(x).sum_all();
    assert!(said(|| _ = gradients(remainder, &[x])).contains("remainder has no derivative"));
}
