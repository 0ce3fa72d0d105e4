//! Every operation, with inputs.

use logo_ssl_graph::{
    Binary, Comparison, Convolution, Dot, Element, Graph, Node, Operation, Type, Window,
    concatenate, pull_back,
};

use super::Random;

/// A result, and values for the parameters that it is computed of.
pub(crate) struct Case<'g> {
    pub name: &'static str,
    pub inputs: Vec<(Node<'g>, Vec<f64>)>,
    pub output: Node<'g>,
}

/// What a case computes of its inputs.
type Function<'f> = &'f dyn for<'g> Fn(&'g Graph, &[Node<'g>]) -> Node<'g>;

struct Cases<'g> {
    graph: &'g Graph,
    random: Random,
    all: Vec<Case<'g>>,
}

impl<'g> Cases<'g> {
    /// Inputs of these types: small numbers that every precision holds exactly, indices below 4.
    fn add(&mut self, name: &'static str, types: &[Type], function: Function<'_>) {
        let inputs = types.iter().map(|ty| self.values(ty)).collect();
        self.add_with(name, types, inputs, function);
    }

    fn values(&mut self, ty: &Type) -> Vec<f64> {
        let random = &mut self.random;
        let value = |random: &mut Random| match ty.element {
            Element::F32 => random.number(0.1, 2.0) * if random.below(2) == 0 { 1.0 } else { -1.0 },
            Element::Bf16 => (random.below(64) as f64 - 31.5) / 16.0,
            Element::S32 | Element::U8 => random.below(4) as f64,
            Element::Pred => random.below(2) as f64,
        };
        (0..ty.len()).map(|_| value(random)).collect()
    }

    fn add_with(
        &mut self,
        name: &'static str,
        types: &[Type],
        inputs: Vec<Vec<f64>>,
        function: Function<'_>,
    ) {
        let number = self.all.len();
        let parameter =
            |(at, ty): (usize, &Type)| self.graph.parameter(&format!("{number}.{at}"), ty.clone());
        let nodes: Vec<Node<'g>> = types.iter().enumerate().map(parameter).collect();
        let output = function(self.graph, &nodes);
        let inputs = nodes.into_iter().zip(inputs).collect();
        self.all.push(Case { name, inputs, output });
    }
}

fn f32s(shape: &[usize]) -> Type {
    Type::f32(shape)
}

fn s32s(shape: &[usize]) -> Type {
    Type::new(Element::S32, shape)
}

/// Every operation, most of them several times.
pub(crate) fn operations(graph: &Graph) -> Vec<Case<'_>> {
    let mut cases = Cases { graph, random: Random::new(1), all: vec![] };
    element_wise(&mut cases);
    types(&mut cases);
    places(&mut cases);
    rows(&mut cases);
    sums(&mut cases);
    convolutions(&mut cases);
    cases.all
}

type Unary = for<'g> fn(Node<'g>) -> Node<'g>;

fn element_wise(cases: &mut Cases<'_>) {
    let all: [(&'static str, Unary); 18] = [
        ("abs", |x| x.abs()),
        ("exponential", |x| x.exp()),
        ("exponential_minus_one", |x| x.exp_minus_one()),
        ("log", |x| x.abs().log()),
        ("log_plus_one", |x| x.abs().log_plus_one()),
        ("logistic", |x| x.logistic()),
        ("negate", |x| -x),
        ("rsqrt", |x| x.abs().rsqrt()),
        ("sign", |x| x.sign()),
        ("sqrt", |x| x.abs().sqrt()),
        ("tanh", |x| x.tanh()),
        ("square", |x| x.square()),
        ("relu", |x| x.relu()),
        ("softplus", |x| (x * 20.0).softplus()),
        ("stop_gradient", |x| x.stop_gradient() + 1.0),
        ("not", |x| x.gt(x.graph().full(0.3, x.ty())).not().convert(Element::F32)),
        ("constants", |x| x * 1e-30 * 1e30 + 16_777_217.0 - 0.1),
        ("infinities", |x| (x / 0.0).maximum(x) - f64::INFINITY),
    ];
    for (name, function) in all {
        cases.add(name, &[f32s(&[3, 5])], &|_, x| function(x[0]));
    }
    let two = [f32s(&[4, 3]), f32s(&[4, 3])];
    let both: [(&'static str, Binary); 7] = [
        ("add", Binary::Add),
        ("divide", Binary::Divide),
        ("maximum", Binary::Maximum),
        ("minimum", Binary::Minimum),
        ("multiply", Binary::Multiply),
        ("remainder", Binary::Remainder),
        ("subtract", Binary::Subtract),
    ];
    for (name, function) in both {
        let make: Function<'_> =
            &move |graph, x| graph.instruction(Operation::Binary(function), x, None).unwrap();
        cases.add(name, &two, make);
        cases.add(name, &[s32s(&[5]), s32s(&[5])], &move |graph, x| {
            let seven = graph.full(7.0, s32s(&[5]));
            let both = [x[0] - 9.0, x[1] + seven];
            graph.instruction(Operation::Binary(function), &both, None).unwrap()
        });
    }
    use Comparison::{Eq, Ge, Gt, Le, Lt, Ne};
    for comparison in [Eq, Ge, Gt, Le, Lt, Ne] {
        cases.add("compare", &two, &move |_, x| x[0].compare(comparison, x[1]));
        cases.add("compare", &[s32s(&[9]), s32s(&[9])], &move |_, x| {
            (x[0] - 2.0).compare(comparison, x[1] - 2.0)
        });
    }
    let truths = [Type::new(Element::Pred, [8]), Type::new(Element::Pred, [8])];
    cases.add("and", &truths, &|_, x| x[0].and(x[1]));
    cases.add("or", &truths, &|_, x| x[0].or(x[1]));
    cases.add(
        "select",
        &[Type::new(Element::Pred, [4, 3]), two[0].clone(), two[1].clone()],
        &|_, x| x[0].select(x[1], x[2]),
    );
    cases.add("select", &two, &|graph, x| {
        graph.full(1.0, Type::new(Element::Pred, [])).select(x[0], x[1])
    });
}

fn types(cases: &mut Cases<'_>) {
    use Element::{Bf16, F32, Pred, S32, U8};
    for from in [F32, Bf16, S32, U8, Pred] {
        for to in [F32, Bf16, S32, U8, Pred] {
            // A negative number is no byte.
            cases.add("convert", &[Type::new(from, [7])], &move |_, x| {
                let x = if from.is_float() { x[0].abs() } else { x[0] };
                x.convert(to)
            });
        }
    }
    cases.add("convert", &[f32s(&[9])], &|_, x| (x[0] * 9.0).convert(S32));
    for element in [F32, Bf16, S32, U8] {
        cases.add("iota", &[], &move |graph, _| graph.iota(1, Type::new(element, [2, 3])));
    }
    for (element, value) in [(F32, -2.5), (Bf16, 0.375), (S32, -7.0), (U8, 200.0), (Pred, 1.0)] {
        cases.add("constant", &[], &move |graph, _| graph.full(value, Type::new(element, [2, 2])));
    }
    cases.add("constant", &[], &|graph, _| {
        let numbers = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e-42, -0.0, 1e300, 3.0e7];
        let all = numbers.map(|value| graph.full(value, f32s(&[1])));
        concatenate(&all, 0)
    });
    cases.add("constant", &[], &|graph, _| {
        let numbers = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 0.5];
        let all = numbers.map(|value| graph.full(value, Type::new(Bf16, [1])));
        concatenate(&all, 0)
    });
    cases.add("no elements", &[f32s(&[0, 3])], &|graph, x| {
        concatenate(&[x[0] + graph.full(1.0, f32s(&[0, 3]))], 0).sum(&[0])
    });
    cases.add("replica_id", &[], &|graph, _| graph.replica_id() + graph.full(3.0, s32s(&[])));
    cases.add("add", &[Type::new(Bf16, [6]), Type::new(Bf16, [6])], &|_, x| x[0] * x[1] + x[0]);
}

fn places(cases: &mut Cases<'_>) {
    let x = [f32s(&[2, 3, 4])];
    cases.add("reshape", &x, &|_, x| x[0].reshape(&[4, 1, 6]));
    cases.add("broadcast_in_dim", &x, &|_, x| x[0].broadcast(&[3, 0, 1], &[3, 4, 5, 2]));
    cases.add("broadcast_in_dim", &[f32s(&[1, 3])], &|_, x| x[0].broadcast(&[0, 1], &[4, 3]));
    cases.add("broadcast_in_dim", &[f32s(&[])], &|_, x| x[0].spread(&[2, 3]));
    cases.add("transpose", &x, &|_, x| x[0].transpose(&[2, 0, 1]));
    cases.add("slice", &x, &|graph, x| {
        let (start, limit, stride) = (vec![0, 1, 0], vec![2, 3, 4], vec![1, 1, 3]);
        graph.instruction(Operation::Slice { start, limit, stride }, x, None).unwrap()
    });
    cases.add("pad", &x, &|_, x| x[0].pad(&[1, -1, 0], &[0, 2, -2], &[2, 0, 1]));
    cases.add("concatenate", &x, &|_, x| concatenate(&[x[0], x[0] * 2.0, x[0]], 1));
    cases.add("reverse", &x, &|_, x| x[0].reverse(&[0, 2]));
    cases.add("roll", &x, &|_, x| concatenate(&[x[0].rows(1..2), x[0].rows(0..1)], 0));
}

fn rows(cases: &mut Cases<'_>) {
    for shape in [vec![4], vec![4, 3], vec![4, 2, 3]] {
        let x = Type::f32(shape.clone());
        let mut six = shape.clone();
        six[0] = 6;
        cases.add("gather", &[x.clone(), s32s(&[6])], &|_, x| x[0].gather(x[1]));
        cases.add("scatter", &[Type::f32(six.clone()), s32s(&[6])], &|_, x| x[0].scatter(x[1], 5));
        // Places that are no rows: the nearest is gathered, and what is scattered there is left out.
        let outside = vec![-3.0, 0.0, 7.0, 3.0, 4.0, 2.0];
        let types = [x.clone(), s32s(&[6])];
        let inputs = vec![cases.values(&x), outside.clone()];
        cases.add_with("gather", &types, inputs, &|_, x| x[0].gather(x[1]));
        let types = [Type::f32(six.clone()), s32s(&[6])];
        let inputs = vec![cases.values(&types[0]), outside];
        cases.add_with("scatter", &types, inputs, &|_, x| x[0].scatter(x[1], 4));
        let mut two = shape.clone();
        two[0] = 2;
        for at in [0.0, 1.0, 3.0, -5.0] {
            let values = cases.values(&x);
            let inputs = vec![values, vec![at]];
            cases.add_with("dynamic_slice", &[x.clone(), s32s(&[])], inputs, &|_, x| {
                x[0].dynamic_slice(x[1], 2)
            });
            let new = Type::f32(two.clone());
            let inputs = vec![cases.values(&x), cases.values(&new), vec![at]];
            let types = [x.clone(), new, s32s(&[])];
            cases.add_with("dynamic_update_slice", &types, inputs, &|_, x| {
                x[0].dynamic_update_slice(x[1], x[2])
            });
        }
    }
}

fn sums(cases: &mut Cases<'_>) {
    let x = [f32s(&[2, 3, 4])];
    for axes in [vec![0], vec![1, 2], vec![2, 0], vec![0, 1, 2]] {
        cases.add("sum", &x, &|_, x| x[0].sum(&axes));
        cases.add("max", &x, &|_, x| x[0].max(&axes));
    }
    cases.add("sum", &[s32s(&[5, 2])], &|_, x| x[0].sum(&[0]));
    cases.add("max", &[s32s(&[5, 2])], &|_, x| (x[0] - 9.0).max(&[0]));
    cases.add("max", &[Type::new(Element::Pred, [5, 2])], &|_, x| x[0].max(&[0]));
    cases.add("sum", &[Type::new(Element::Pred, [2, 5])], &|_, x| x[0].sum(&[0]));
    for (side, step, around) in [(3, 2, 1), (2, 2, 0), (3, 1, 2)] {
        let window = Window {
            lengths: vec![1, side, side, 1],
            strides: vec![1, step, step, 1],
            padding: vec![[0, 0], [around, around], [around, around], [0, 0]],
        };
        let x = [f32s(&[2, 7, 6, 3])];
        cases.add("reduce_window", &x, &|_, x| x[0].max_pool(window.clone()));
        cases.add("select_and_scatter", &x, &|_, x| {
            let y = x[0].max_pool(window.clone());
            pull_back(&[(y, y.square())], &[x[0]])[0]
        });
    }
    cases.add("dot_general", &[f32s(&[5, 3]), f32s(&[3, 4])], &|_, x| x[0].matmul(x[1]));
    cases.add("dot_general", &[f32s(&[5, 3]), f32s(&[4, 3])], &|_, x| x[0].matmul_transposed(x[1]));
    cases.add("dot_general", &[f32s(&[3, 2, 4, 5]), f32s(&[5, 6, 3, 2])], &|_, x| {
        let (contracting, batch) = ([vec![3, 1], vec![0, 3]], [vec![0], vec![2]]);
        x[0].dot_general(x[1], Dot { contracting, batch, rounded: false })
    });
    cases.add("dot_general", &[f32s(&[3]), f32s(&[2])], &|_, x| {
        let none = || [vec![], vec![]];
        x[0].dot_general(x[1], Dot { contracting: none(), batch: none(), rounded: false })
    });
    // Operands that bfloat16 holds exactly lose nothing.
    let halves = [Type::new(Element::Bf16, [4, 6]), Type::new(Element::Bf16, [6, 2])];
    cases.add("dot_general", &halves, &|_, x| {
        let [a, b] = [0, 1].map(|at| x[at].convert(Element::F32));
        let (contracting, batch) = ([vec![1], vec![0]], [vec![], vec![]]);
        a.dot_general(b, Dot { contracting, batch, rounded: true })
    });
}

fn convolutions(cases: &mut Cases<'_>) {
    for (kernel, stride) in [(1, 1), (1, 2), (3, 1), (3, 2), (7, 2)] {
        let types = [f32s(&[2, 8, 7, 3]), f32s(&[4, 3, kernel, kernel])];
        let of = Convolution::same(kernel, stride);
        cases.add("convolution", &types, &|_, x| x[0].convolution(x[1], of.clone()));
        for by in [0, 1] {
            cases.add("convolution", &types, &|_, x| {
                let y = x[0].convolution(x[1], of.clone());
                pull_back(&[(y, y * 0.5)], x)[by]
            });
        }
    }
    let of = Convolution {
        stride: [2, 1],
        padding: [[1, -1], [0, 3]],
        lhs_dilation: [2, 1],
        rhs_dilation: [1, 3],
        lhs: [3, 1, 0, 2],
        rhs: [1, 3, 2, 0],
        out: [2, 0, 3, 1],
    };
    let types = [f32s(&[5, 3, 6, 2]), f32s(&[2, 4, 3, 3])];
    cases.add("convolution", &types, &|_, x| x[0].convolution(x[1], of.clone()));
    let types = [Type::new(Element::Bf16, [1, 5, 5, 2]), Type::new(Element::Bf16, [3, 2, 3, 3])];
    cases.add("convolution", &types, &|_, x| x[0].convolution(x[1], Convolution::same(3, 1)));
}
