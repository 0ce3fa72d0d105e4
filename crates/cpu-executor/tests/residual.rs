//! Residual networks: the kernels against the same network written out, in f64 and on this executor.

mod common;

use std::sync::Arc;

use common::{Random, assert_close, assert_same, doubles, engine, inputs, run};
use graph::{Element, Graph, Plan, Program, Type, concatenate, pull_back};
use logo_ssl_cpu_executor::Executable;

fn plan(precision: Element, max_pool: bool) -> Arc<Plan> {
    let mut plan = Plan::new(([3, 8], 3, 1), max_pool, precision);
    plan.block(&[([8, 8], 3, 1), ([8, 8], 3, 1)], None);
    plan.block(&[([8, 16], 3, 2), ([16, 16], 3, 1)], Some(([8, 16], 1, 2)));
    Arc::new(plan)
}

/// Two passes, as global and local views take them, with other parameters around the network's.
fn program(plan: &Arc<Plan>) -> Program {
    let graph = Graph::new();
    let count = plan.parameters();
    let all = graph.parameter("parameters", Type::f32([count + 20]));
    let network = all.rows(5..count + 5);
    let running = graph.parameter("running", Type::f32([plan.statistics()]));
    let [global, local] = [("global", 12), ("local", 8)]
        .map(|(name, size)| graph.parameter(name, Type::f32([6, 3, size, size])));
    let [first, second] = [global, local].map(|images| images.residual_train(network, plan));
    let loss = first.square().mean_all() + (second * first.stop_gradient()).mean_all();
    let gradient = graph::gradients(loss, &[network])[0];
    let flat = concatenate(&[all.rows(0..5), gradient, all.rows(count + 5..count + 20)], 0);
    let outputs = [
        ("parameters", all - flat * 0.1),
        ("running", running * 0.9 + first.residual_statistics() * 0.1),
        ("statistics", second.residual_statistics()),
        ("features", first),
        ("loss", loss),
        ("gradient", gradient),
        ("evaluated", local.residual_eval(network, running.abs() + 0.5, plan)),
    ];
    Program::new(&graph, &[all, running, global, local], &outputs).unwrap()
}

#[test]
fn a_network_is_what_it_is_written_out() {
    for max_pool in [false, true] {
        let program = program(&plan(Element::F32, max_pool));
        let given = inputs(&program, &mut Random(8));
        let found = run(&program, given.clone());
        assert_close(&program, &given, &found, 2e-4);
        let plain = run(&program.unfolded(), given.clone());
        assert_close(&program, &given, &plain, 2e-4);
    }
}

#[test]
fn bfloat16_is_near_it() {
    let program = program(&plan(Element::Bf16, false));
    let given = inputs(&program, &mut Random(8));
    let [found, exact] = [&program, &self::program(&plan(Element::F32, false))]
        .map(|program| run(program, given.clone()));
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    for (at, (found, exact)) in found.iter().zip(&exact).enumerate() {
        let (found, exact) = (doubles(found), doubles(exact));
        let apart: Vec<f64> = found.iter().zip(&exact).map(|(a, b)| a - b).collect();
        assert!(
            norm(&apart) <= 0.1 * norm(&exact),
            "output {at}: {} of {}",
            norm(&apart),
            norm(&exact)
        );
    }
}

#[test]
fn the_bytes_depend_neither_on_threads_nor_on_earlier_runs() {
    for precision in [Element::F32, Element::Bf16] {
        let program = program(&plan(precision, true));
        let executable = Executable::new(&program, engine()).unwrap();
        let given = inputs(&program, &mut Random(2));
        let first = executable.run(given.clone()).unwrap();
        executable.run(inputs(&program, &mut Random(3))).unwrap();
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| executable.run(given.clone()).unwrap());
            assert_same(&found, &first, &format!("{threads} threads"), &program);
        }
    }
}

#[test]
fn a_pass_may_have_two_gradients() {
    let plan = plan(Element::F32, false);
    let graph = Graph::new();
    let parameters = graph.parameter("parameters", Type::f32([plan.parameters()]));
    let images = graph.parameter("images", Type::f32([4, 3, 8, 8]));
    let features = images.residual_train(parameters, &plan);
    let [first, second] = [features * 2.0, features.square()]
        .map(|g| pull_back(&[(features, g.stop_gradient())], &[parameters])[0]);
    let outputs = [("first", first), ("second", second)];
    let program = Program::new(&graph, &[parameters, images], &outputs).unwrap();
    let given = inputs(&program, &mut Random(8));
    assert_close(&program, &given, &run(&program, given.clone()), 2e-4);
}

#[test]
fn networks_that_no_kernel_has_are_refused() {
    let refused = |plan: Plan, batch: usize| {
        let graph = Graph::new();
        let parameters = graph.parameter("parameters", Type::f32([plan.parameters()]));
        let images = graph.parameter("images", Type::f32([batch, 3, 8, 8]));
        let features = images.residual_train(parameters, &Arc::new(plan));
        let program = Program::new(&graph, &[parameters, images], &[("y", features)]).unwrap();
        Executable::new(&program, engine()).unwrap_err().to_string()
    };
    let small = || Plan::new(([3, 4], 3, 1), false, Element::F32);
    let mut spread = small();
    spread.replicas = 2;
    assert!(refused(spread, 2).contains("one replica"));
    assert!(refused(small(), 0).contains("no images"));
    assert!(refused(Plan::new(([3, 4], 2, 1), false, Element::F32), 2).contains("odd"));
}
