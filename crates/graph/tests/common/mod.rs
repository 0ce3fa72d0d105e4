//! What several tests of graphs share.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod operations;

use logo_ssl_graph::{Graph, Node, Plan, Program, Type, evaluate, pull_back};

/// Repeatable random numbers (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between `low` and `high`, a number that single precision holds exactly.
    pub(crate) fn number(&mut self, low: f64, high: f64) -> f64 {
        let unit = (self.bits() >> 11) as f64 / (1u64 << 53) as f64;
        f64::from((low + unit * (high - low)) as f32)
    }

    pub(crate) fn below(&mut self, count: usize) -> usize {
        (self.bits() % count as u64) as usize
    }

    pub(crate) fn numbers(&mut self, count: usize, low: f64, high: f64) -> Vec<f64> {
        (0..count).map(|_| self.number(low, high)).collect()
    }

    /// Different numbers in a random order, no two nearer than 0.1, none nearer to 0 than 0.05.
    pub(crate) fn apart(&mut self, count: usize) -> Vec<f64> {
        let mut all: Vec<f64> =
            (0..count).map(|at| (at as f64 - count as f64 / 2.0) * 0.1).collect();
        all.iter_mut().for_each(|x| *x += if *x >= 0.0 { 0.05 } else { -0.05 });
        self.shuffle(&mut all);
        all
    }

    pub(crate) fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..count).collect();
        self.shuffle(&mut all);
        all
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, self.below(at + 1));
        }
    }
}

/// The function of single-precision inputs whose derivatives are checked.
pub(crate) type Function<'f> = &'f dyn for<'g> Fn(&'g Graph, &[Node<'g>]) -> Node<'g>;

/// Compares a function's derivatives by each element of each input with central differences.
#[track_caller]
pub(crate) fn check_derivatives(inputs: &[(Vec<usize>, Vec<f64>)], function: Function<'_>) {
    let graph = Graph::new();
    let nodes: Vec<Node<'_>> = inputs
        .iter()
        .enumerate()
        .map(|(at, (shape, _))| graph.parameter(&format!("x{at}"), Type::f32(shape.clone())))
        .collect();
    let output = function(&graph, &nodes);
    let cotangent = graph.parameter("cotangent", output.ty());
    let gradients = pull_back(&[(output, cotangent)], &nodes);
    let named: Vec<(String, Node<'_>)> =
        gradients.into_iter().enumerate().map(|(at, g)| (format!("g{at}"), g)).collect();
    let named: Vec<(&str, Node<'_>)> = named.iter().map(|(name, g)| (&**name, *g)).collect();
    let taken = [&nodes[..], &[cotangent]].concat();
    let back = Program::new(&graph, &taken, &named).unwrap();
    let there = Program::new(&graph, &nodes, &[("output", output)]).unwrap();

    let weights = Random::new(7).numbers(output.ty().len(), -1.0, 1.0);
    let values: Vec<Vec<f64>> = inputs.iter().map(|(_, values)| values.clone()).collect();
    let found = evaluate(&back, &[&values[..], std::slice::from_ref(&weights)].concat());
    let loss = |values: &[Vec<f64>]| -> f64 {
        evaluate(&there, values)[0].iter().zip(&weights).map(|(x, weight)| x * weight).sum()
    };
    let step = 1e-5;
    for (input, of_input) in found.iter().enumerate() {
        assert_eq!(of_input.len(), values[input].len(), "length of derivative {input}");
        for (element, derivative) in of_input.iter().enumerate() {
            let at = |distance: f64| {
                let mut moved = values.clone();
                moved[input][element] += distance;
                loss(&moved)
            };
            let difference = (at(step) - at(-step)) / (2.0 * step);
            assert!(
                (difference - derivative).abs() <= 1e-6 * (1.0 + derivative.abs()),
                "by element {element} of input {input}: {derivative}, but difference {difference}\n{back}",
            );
        }
    }
}

/// The network `plan` with images of this shape: features, statistics and the parameters' gradient for a
/// given one of the features, from `images`, `parameters` and `cotangent`.
pub(crate) fn trained(plan: &Plan, images: [usize; 4]) -> Program {
    let graph = Graph::new();
    let plan = std::sync::Arc::new(plan.clone());
    let x = graph.parameter("images", Type::f32(images));
    let parameters = graph.parameter("parameters", Type::f32([plan.parameters()]));
    let features = x.residual_train(parameters, &plan);
    let cotangent = graph.parameter("cotangent", features.ty());
    let gradient = pull_back(&[(features, cotangent)], &[parameters])[0];
    let outputs = [
        ("features", features),
        ("statistics", features.residual_statistics()),
        ("gradient", gradient),
    ];
    Program::new(&graph, &[x, parameters, cotangent], &outputs).unwrap()
}

/// The network `plan` by running statistics, from `images`, `parameters` and `running`.
pub(crate) fn evaluated(plan: &Plan, images: [usize; 4]) -> Program {
    let graph = Graph::new();
    let plan = std::sync::Arc::new(plan.clone());
    let x = graph.parameter("images", Type::f32(images));
    let parameters = graph.parameter("parameters", Type::f32([plan.parameters()]));
    let running = graph.parameter("running", Type::f32([plan.statistics()]));
    let features = x.residual_eval(parameters, running, &plan);
    Program::new(&graph, &[x, parameters, running], &[("features", features)]).unwrap()
}

/// Weights near 0, γ near 1, β near 0.
pub(crate) fn parameters(plan: &Plan, random: &mut Random) -> Vec<f64> {
    let mut all = vec![0.0; plan.parameters()];
    for unit in plan.units() {
        let bound = (3.0 / (unit.channels[0] * unit.kernel * unit.kernel) as f64).sqrt();
        all[unit.weight()].iter_mut().for_each(|x| *x = random.number(-bound, bound));
        all[unit.gamma()].iter_mut().for_each(|x| *x = random.number(0.5, 1.5));
        all[unit.beta()].iter_mut().for_each(|x| *x = random.number(-0.3, 0.3));
    }
    all
}

/// Small networks of every kind: what they are called, and their plans.
pub(crate) fn networks(precision: logo_ssl_graph::Element) -> Vec<(&'static str, Plan)> {
    let mut basic = Plan::new(([3, 3], 3, 1), false, precision);
    basic.block(&[([3, 3], 3, 1), ([3, 3], 3, 1)], None);
    basic.block(&[([3, 4], 3, 2), ([4, 4], 3, 1)], Some(([3, 4], 1, 2)));
    basic.block(&[([4, 4], 3, 1), ([4, 4], 3, 1)], None);
    let mut pooled = Plan::new(([3, 2], 7, 2), true, precision);
    pooled.block(&[([2, 2], 3, 1), ([2, 2], 3, 1)], None);
    pooled.block(&[([2, 4], 3, 2), ([4, 4], 3, 1)], Some(([2, 4], 1, 2)));
    let mut bottleneck = Plan::new(([3, 2], 3, 1), false, precision);
    bottleneck.block(&[([2, 2], 1, 1), ([2, 2], 3, 1), ([2, 8], 1, 1)], Some(([2, 8], 1, 1)));
    bottleneck.block(&[([8, 2], 1, 1), ([2, 2], 3, 1), ([2, 8], 1, 1)], None);
    bottleneck.block(&[([8, 4], 1, 1), ([4, 4], 3, 2), ([4, 16], 1, 1)], Some(([8, 16], 1, 2)));
    let mut deep = Plan::new(([3, 4], 7, 2), true, precision);
    deep.block(&[([4, 2], 1, 1), ([2, 2], 3, 1), ([2, 8], 1, 1)], Some(([4, 8], 1, 1)));
    vec![
        ("basic", basic),
        ("basic, max-pool", pooled),
        ("bottleneck", bottleneck),
        ("bottleneck, max-pool", deep),
        ("stem", Plan::new(([3, 4], 3, 1), false, precision)),
    ]
}
