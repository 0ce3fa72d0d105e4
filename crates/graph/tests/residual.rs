//! Unfolded residual networks against the same networks written as plainly as can be, and against
//! differences; and replicas of them against one.

mod common;

use common::{Random, evaluated, networks, parameters, trained};
use logo_ssl_graph::{Convolution, Element, Graph, Node, Plan, Program, Type, UnitPlan, Window};
use logo_ssl_graph::{concatenate, evaluate, evaluate_replicas, gradients};

/// A network of images `[batch, channels, height, width]` by the textbook, its derivatives to be found
/// by the graph's rules.
struct Plain<'a, 'g> {
    parameters: Node<'g>,
    running: Option<Node<'g>>,
    plan: &'a Plan,
    statistics: Vec<Node<'g>>,
}

impl<'g> Plain<'_, 'g> {
    fn unit(&mut self, plan: &UnitPlan, x: Node<'g>) -> Node<'g> {
        let [input, output] = plan.channels;
        let shape = [output, input, plan.kernel, plan.kernel];
        let weight = self.parameters.rows(plan.weight()).reshape(&shape);
        let of = Convolution {
            lhs: [0, 1, 2, 3],
            out: [0, 1, 2, 3],
            ..Convolution::same(plan.kernel, plan.stride)
        };
        let y = x.convolution(weight, of);
        let spread = |numbers: Node<'g>| numbers.broadcast(&[1], &y.shape());
        let (mean, variance) = match self.running {
            Some(running) => (running.rows(plan.mean()), running.rows(plan.variance())),
            None => {
                let mean = y.mean(&[0, 2, 3]);
                (mean, (y - spread(mean)).square().mean(&[0, 2, 3]))
            }
        };
        let count = (y.ty().len() / output) as f64;
        self.statistics.extend([mean, variance * (count / (count - 1.0).max(1.0))]);
        let [gamma, beta] = [plan.gamma(), plan.beta()].map(|range| self.parameters.rows(range));
        (y - spread(mean)) / spread((variance + 1e-5).sqrt()) * spread(gamma) + spread(beta)
    }

    fn features(&mut self, images: Node<'g>) -> Node<'g> {
        let plan = self.plan;
        let mut x = self.unit(&plan.stem, images).relu();
        if plan.max_pool {
            let padding = vec![[0, 0], [0, 0], [1, 1], [1, 1]];
            let window = Window { lengths: vec![1, 1, 3, 3], strides: vec![1, 1, 2, 2], padding };
            x = x.max_pool(window);
        }
        for block in &plan.blocks {
            let mut y = x;
            for (at, unit) in block.main.iter().enumerate() {
                y = self.unit(unit, if at == 0 { y } else { y.relu() });
            }
            let beside = block.shortcut.as_ref().map_or(x, |unit| self.unit(unit, x));
            x = (y + beside).relu();
        }
        x.mean(&[2, 3])
    }
}

fn plainly(plan: &Plan, images: [usize; 4], by_running: bool) -> Program {
    let graph = Graph::new();
    let x = graph.parameter("images", Type::f32(images));
    let parameters = graph.parameter("parameters", Type::f32([plan.parameters()]));
    let running = graph.parameter("running", Type::f32([plan.statistics()]));
    let running = by_running.then_some(running);
    let mut plain = Plain { parameters, running, plan, statistics: vec![] };
    let features = plain.features(x);
    if let Some(running) = running {
        return Program::new(&graph, &[x, parameters, running], &[("features", features)]).unwrap();
    }
    let cotangent = graph.parameter("cotangent", features.ty());
    let gradient = gradients((features * cotangent).sum_all(), &[parameters])[0];
    let statistics = concatenate(&plain.statistics, 0);
    let outputs = [("features", features), ("statistics", statistics), ("gradient", gradient)];
    Program::new(&graph, &[x, parameters, cotangent], &outputs).unwrap()
}

#[track_caller]
fn assert_near(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let near = (found - expected).abs() <= 1e-9 * (1.0 + expected.abs());
        assert!(near, "{what}, element {at}: {found} instead of {expected}");
    }
}

/// Images, parameters and a gradient of the features.
fn inputs(plan: &Plan, images: [usize; 4], seed: u64) -> Vec<Vec<f64>> {
    let mut random = Random::new(seed);
    let pixels = random.numbers(images.iter().product(), -1.0, 2.0);
    let parameters = parameters(plan, &mut random);
    vec![pixels, parameters, random.numbers(images[0] * plan.features(), -1.0, 1.0)]
}

#[test]
fn unfolded_networks_train_as_the_plain_ones() {
    for precision in [Element::F32, Element::Bf16] {
        for (at, (name, plan)) in networks(precision).into_iter().enumerate() {
            for images in [[2, 3, 7, 8], [3, 3, 9, 7], [1, 3, 8, 8]] {
                let given = inputs(&plan, images, at as u64);
                let found = evaluate(&trained(&plan, images), &given);
                let expected = evaluate(&plainly(&plan, images, false), &given);
                for (at, what) in ["features", "statistics", "gradient"].iter().enumerate() {
                    assert_near(&found[at], &expected[at], &format!("{name} {images:?} {what}"));
                }
            }
        }
    }
}

#[test]
fn unfolded_networks_evaluate_as_the_plain_ones() {
    for (name, plan) in networks(Element::F32) {
        let images = [2, 3, 9, 7];
        let mut given = inputs(&plan, images, 3);
        given[2] = Random::new(4).numbers(plan.statistics(), 0.2, 1.0);
        let found = evaluate(&evaluated(&plan, images), &given);
        let expected = evaluate(&plainly(&plan, images, true), &given);
        assert_near(&found[0], &expected[0], name);
    }
}

#[test]
fn unfolded_networks_have_the_gradient_that_differences_show() {
    for (name, plan) in networks(Element::F32) {
        let images = [2, 3, 8, 7];
        let given = inputs(&plan, images, 5);
        let program = trained(&plan, images);
        let gradient = &evaluate(&program, &given)[2];
        let mut random = Random::new(6);
        for _ in 0..40 {
            let element = random.below(plan.parameters());
            let at = |distance: f64| -> f64 {
                let mut moved = given.clone();
                moved[1][element] += distance;
                let features = evaluate(&program, &moved).remove(0);
                features.iter().zip(&given[2]).map(|(x, weight)| x * weight).sum()
            };
            let step = 1e-6;
            let (difference, found) = ((at(step) - at(-step)) / (2.0 * step), gradient[element]);
            let near = (difference - found).abs() <= 1e-6 * (1.0 + found.abs());
            assert!(near, "{name}, element {element}: {found}, but difference {difference}");
        }
    }
}

#[test]
fn replicas_that_share_statistics_train_as_one_with_all_images() {
    for (name, plan) in networks(Element::F32) {
        let whole = [4, 3, 7, 8];
        let given = inputs(&plan, whole, 8);
        let expected = evaluate(&trained(&plan, whole), &given);
        let mut shared = plan.clone();
        shared.replicas = 2;
        let program = trained(&shared, [2, 3, 7, 8]);
        assert_eq!((program.replicas(), program.unfolded().replicas()), (2, 2));
        let halves = [0, 1].map(|replica| {
            let half = |values: &[f64]| {
                let len = values.len() / 2;
                values[replica * len..(replica + 1) * len].to_vec()
            };
            vec![half(&given[0]), given[1].clone(), half(&given[2])]
        });
        let found = evaluate_replicas(&program, &halves);
        let features = [&found[0][0][..], &found[1][0]].concat();
        assert_near(&features, &expected[0], name);
        for replica in &found {
            assert_near(&replica[1], &expected[1], name);
        }
        let gradient: Vec<f64> = found[0][2].iter().zip(&found[1][2]).map(|(a, b)| a + b).collect();
        assert_near(&gradient, &expected[2], name);
    }
}

/// A loss over the gathered features, its gradient summed over replicas.
fn gathered(replicas: usize, rows: usize) -> Program {
    let graph = Graph::new();
    let x = graph.parameter("x", Type::f32([rows, 3]));
    let w = graph.parameter("w", Type::f32([2, 3]));
    let z = x.matmul_transposed(w).tanh().all_gather(replicas);
    let similar = z.matmul_transposed(z);
    let loss = similar.exp().sum(&[1]).log().mean_all();
    let gradient = gradients(loss, &[w])[0].all_reduce(replicas);
    Program::new(&graph, &[x, w], &[("loss", loss), ("gradient", gradient)]).unwrap()
}

#[test]
fn gathered_rows_give_each_replica_its_own_part_of_the_gradient() {
    let mut random = Random::new(9);
    let (x, w) = (random.numbers(12, -1.0, 1.0), random.numbers(6, -1.0, 1.0));
    let expected = evaluate(&gathered(1, 4), &[x.clone(), w.clone()]);
    let halves = x.chunks(6).map(|half| vec![half.to_vec(), w.clone()]).collect::<Vec<_>>();
    for found in evaluate_replicas(&gathered(2, 2), &halves) {
        assert_near(&found[0], &expected[0], "loss");
        assert_near(&found[1], &expected[1], "gradient");
    }
}

#[test]
fn equal_maxima_of_a_pool_send_the_gradient_to_the_first() {
    // Weights at one place and pixels of two values: windows have ties.
    let plan = Plan::new(([3, 2], 7, 2), true, Element::F32);
    let images = [1, 3, 8, 9];
    let mut given = inputs(&plan, images, 10);
    let mut random = Random::new(11);
    given[0].iter_mut().for_each(|x| *x = random.below(2) as f64);
    for (at, weight) in given[1][plan.stem.weight()].iter_mut().enumerate() {
        *weight = if at % 49 == 24 { *weight } else { 0.0 };
    }
    let found = evaluate(&trained(&plan, images), &given);
    let expected = evaluate(&plainly(&plan, images, false), &given);
    assert_near(&found[2], &expected[2], "gradient");
}

#[test]
fn programs_without_networks_unfold_to_themselves() {
    let program = gathered(2, 2);
    assert_eq!(program.unfolded(), program);
}

#[test]
fn an_unfolded_program_keeps_its_inputs_and_outputs() {
    let (_, plan) = networks(Element::F32).remove(0);
    let program = trained(&plan, [2, 3, 8, 8]);
    let unfolded = program.unfolded();
    let names = |program: &Program| -> Vec<(String, Type)> {
        program.inputs().iter().map(|input| (input.name.clone(), input.ty.clone())).collect()
    };
    assert_eq!(names(&program), names(&unfolded));
    for (at, output) in program.outputs().iter().enumerate() {
        assert_eq!(output.name, unfolded.outputs()[at].name);
        assert_eq!(program.output_type(at), unfolded.output_type(at));
    }
    assert!(!unfolded.to_string().contains("residual"));
}

/// Two sums for each unit forward and two back, of which a shortcut and the unit beside it share one, and
/// the features' mean: nothing else brings activations down.
#[test]
fn batch_norm_takes_two_sums_each_way() {
    for (name, plan) in networks(Element::Bf16) {
        let text = trained(&plan, [2, 3, 8, 8]).unfolded().to_string();
        let sums = text.matches(" = reduce(").count();
        let shortcuts = plan.blocks.iter().filter(|block| block.shortcut.is_some()).count();
        assert_eq!(sums, 4 * plan.units().count() + 1 - shortcuts, "{name}");
    }
}
