//! How long an SGD step and the heads of SimSiam take, beside what memory and multipliers allow:
//! `heads [ROUNDS]`.

use std::sync::Arc;
use std::time::Instant;

use cpu_kernels::{keep_freed_memory, peak_gflops};
use graph::{Graph, Node, Program, Type, concatenate, gradients};
use logo_ssl_cpu_executor::{Engine, Executable, Levels, Tensor};
use rayon::prelude::*;

/// Features in and out of each layer; all but the last have batch norm, and ReLU but for the embedding's.
const LAYERS: [usize; 5] = [512, 2048, 2048, 512, 2048];
/// ResNet-18's.
const PARAMETERS: usize = 11_000_000;

fn main() {
    keep_freed_memory();
    let rounds = std::env::args().nth(1).map_or(9, |n| n.parse().expect("a number of rounds"));
    let levels = Levels::chosen().expect("a level");
    let engine = Arc::new(Engine::new(levels));
    println!("{}, {} threads", levels.f32, rayon::current_num_threads());
    update(&engine, rounds);
    for batch in [512, 128] {
        heads(&engine, batch, rounds);
    }
}

/// Seconds of the shortest run, outputs by name becoming inputs again.
fn shortest(executable: &Executable, mut inputs: Vec<Arc<Tensor>>, rounds: usize) -> f64 {
    let mut shortest = f64::INFINITY;
    for _ in 0..rounds {
        let becomes: Vec<_> =
            executable.program().inputs().iter().map(|input| input.becomes).collect();
        let kept: Vec<_> = inputs
            .iter()
            .zip(&becomes)
            .map(|(x, becomes)| becomes.is_none().then(|| x.clone()))
            .collect();
        let start = Instant::now();
        let outputs = executable.run(inputs).expect("the types fit");
        shortest = shortest.min(start.elapsed().as_secs_f64());
        let next = kept.into_iter().zip(&becomes).map(|(kept, becomes)| match (kept, becomes) {
            (Some(kept), _) => kept,
            (None, becomes) => outputs[becomes.expect("not kept")].clone(),
        });
        inputs = next.collect();
    }
    shortest
}

fn tensor(ty: &Type) -> Arc<Tensor> {
    let number = |at: usize| ((at * 31) % 1009) as f32 * 1e-4 - 0.05;
    Arc::new(Tensor::f32(ty.shape.clone(), (0..ty.len()).map(number).collect::<Vec<_>>()))
}

fn zeros(program: &Program) -> Vec<Arc<Tensor>> {
    program.inputs().iter().map(|input| tensor(&input.ty)).collect()
}

/// v ← μ v + (g + w θ), θ ← θ - lr v.
fn sgd<'g>(graph: &'g Graph, value: Node<'g>, gradient: Node<'g>) -> [Node<'g>; 3] {
    let velocity = graph.parameter("velocity", value.ty());
    let next = velocity * 0.9 + (gradient + value * 5e-4);
    [velocity, next, value - next * 0.01]
}

fn update(engine: &Arc<Engine>, rounds: usize) {
    let graph = Graph::new();
    let [value, gradient] =
        ["value", "gradient"].map(|name| graph.parameter(name, Type::f32([PARAMETERS])));
    let [velocity, moved, next] = sgd(&graph, value, gradient);
    let outputs = [("value", next), ("velocity", moved)];
    let program = Program::new(&graph, &[value, velocity, gradient], &outputs).expect("complete");
    let executable = Executable::new(&program, Arc::clone(engine)).expect("supported");
    let found = shortest(&executable, zeros(&program), rounds);
    let by_hand = by_hand(rounds);
    println!(
        "SGD over {PARAMETERS}: {:.2} ms, {:.1} GB/s; a loop by hand {:.2} ms",
        found * 1e3,
        PARAMETERS as f64 * 20.0 / found / 1e9,
        by_hand * 1e3
    );
}

/// The same update as one loop that the compiler sees whole.
fn by_hand(rounds: usize) -> f64 {
    let [mut value, mut velocity, gradient] = [0.1f32, 0.0, 0.2].map(|x| vec![x; PARAMETERS]);
    let mut shortest = f64::INFINITY;
    for _ in 0..rounds {
        let start = Instant::now();
        let tasks = value.par_chunks_mut(1 << 15).zip(velocity.par_chunks_mut(1 << 15));
        tasks.zip(gradient.par_chunks(1 << 15)).for_each(|((value, velocity), gradient)| {
            for ((x, v), g) in value.iter_mut().zip(velocity).zip(gradient) {
                *v = *v * 0.9 + (*g + *x * 5e-4);
                *x -= *v * 0.01;
            }
        });
        shortest = shortest.min(start.elapsed().as_secs_f64());
    }
    shortest
}

struct Layer<'g> {
    weight: Node<'g>,
    bias: Node<'g>,
    norm: [Node<'g>; 2],
}

fn linear<'g>(layer: &Layer<'g>, x: Node<'g>) -> Node<'g> {
    let y = x.matmul_transposed(layer.weight);
    y + layer.bias.broadcast(&[1], &y.shape())
}

fn batch_norm<'g>([gamma, beta]: [Node<'g>; 2], x: Node<'g>) -> Node<'g> {
    let shape = x.shape();
    let wide = |row: Node<'g>| row.broadcast(&[1], &shape);
    let centred = x - wide(x.mean(&[0]));
    let scale = (centred.square().mean(&[0]) + 1e-5).rsqrt();
    centred * wide(scale * gamma) + wide(beta)
}

fn normalised(z: Node<'_>) -> Node<'_> {
    z / z.square().sum(&[1]).at_least(1e-16).sqrt().across_rows(&z.shape())
}

fn heads(engine: &Arc<Engine>, batch: usize, rounds: usize) {
    let graph = Graph::new();
    let sizes: Vec<[usize; 2]> = LAYERS.windows(2).map(|pair| [pair[0], pair[1]]).collect();
    let count = sizes.iter().map(|[input, output]| output * input + 3 * output).sum();
    let value = graph.parameter("value", Type::f32([count]));
    let mut start = 0;
    let mut take = |shape: &[usize]| {
        let len: usize = shape.iter().product();
        start += len;
        value.rows(start - len..start).reshape(shape)
    };
    let layers: Vec<Layer<'_>> = sizes
        .iter()
        .map(|&[input, output]| Layer {
            weight: take(&[output, input]),
            bias: take(&[output]),
            norm: [take(&[output]), take(&[output])],
        })
        .collect();
    let features = graph.parameter("features", Type::f32([batch, LAYERS[0]]));
    let hidden = batch_norm(layers[0].norm, linear(&layers[0], features)).relu();
    let z = batch_norm(layers[1].norm, linear(&layers[1], hidden));
    let p = linear(&layers[3], batch_norm(layers[2].norm, linear(&layers[2], z)).relu());
    let loss = -(normalised(p) * normalised(z.reverse(&[0]).stop_gradient())).sum(&[1]).mean_all();
    let pieces: Vec<Node<'_>> = layers
        .iter()
        .flat_map(|layer| [layer.weight, layer.bias, layer.norm[0], layer.norm[1]])
        .collect();
    let mut of = pieces.clone();
    of.push(features);
    let mut found = gradients(loss, &of);
    let of_features = found.pop().expect("one for each");
    let flat: Vec<_> = found.into_iter().map(Node::flatten).collect();
    let [velocity, moved, next] = sgd(&graph, value, concatenate(&flat, 0));
    let outputs =
        [("value", next), ("velocity", moved), ("loss", loss), ("of_features", of_features)];
    let program = Program::new(&graph, &[value, velocity, features], &outputs).expect("complete");
    let planned = Instant::now();
    let executable = Executable::new(&program, Arc::clone(engine)).expect("supported");
    let planned = planned.elapsed().as_secs_f64();
    let found = shortest(&executable, zeros(&program), rounds);
    let multiplied: usize = sizes.iter().map(|[input, output]| 6 * batch * input * output).sum();
    let rate = peak_gflops(engine.levels().f32);
    println!(
        "heads of {batch} rows, {} instructions: {:.2} ms, {:.0} GFLOP/s of {rate:.0}; {:.1} MB beside the inputs; planned in {:.2} ms",
        program.instructions().len(),
        found * 1e3,
        multiplied as f64 / found / 1e9,
        executable.bytes() as f64 / 1e6,
        planned * 1e3
    );
}
