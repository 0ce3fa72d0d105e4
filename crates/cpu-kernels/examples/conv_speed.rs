//! Times a convolution's forward and backward passes by every algorithm, in GFLOP/s of the direct
//! method: `conv_speed SIZE IN OUT BATCH [KERNEL STRIDE]`.

use std::time::Instant;

use logo_ssl_cpu_kernels::*;

fn main() {
    let args: Vec<usize> = std::env::args().skip(1).map(|a| a.parse().expect("a number")).collect();
    let (size, cin, cout, batch) = (args[0], args[1], args[2], args[3]);
    let (kernel, stride) = (*args.get(4).unwrap_or(&3), *args.get(5).unwrap_or(&1));
    let shape = ConvShape {
        height: size,
        width: size,
        in_channels: cin,
        out_channels: cout,
        kernel,
        stride,
        images: cin == 3,
    };
    let level = Level::chosen().expect("a level");
    use Algorithm::*;
    let all = [Direct, Winograd2, Winograd4, Winograd4Strided, Bf16Dot];
    for algorithm in all.into_iter().filter(|algorithm| algorithm.suits(&shape)) {
        if algorithm != Bf16Dot {
            time::<f32>(algorithm, shape, batch, level, "f32");
        }
        time::<bf16>(algorithm, shape, batch, level, "bf16");
    }
}

fn time<E: Element>(
    algorithm: Algorithm,
    shape: ConvShape,
    batch: usize,
    level: Level,
    name: &str,
) {
    let workspace = Workspace::default();
    let conv = Conv::with(algorithm, shape, level);
    let images = vec![0.5f32; batch * 3 * shape.height * shape.width];
    let mut x = workspace.zeroed::<E>(batch * shape.input_len());
    for (at, x) in x.iter_mut().enumerate() {
        *x = E::from_f32((at % 17) as f32 * 0.1 - 0.7);
    }
    let input = if shape.images { Input::Images(&images) } else { Input::Plain(&x) };
    let weight: Vec<f32> = (0..shape.weight_len()).map(|i| (i % 13) as f32 * 0.01 - 0.05).collect();
    let mut y = workspace.zeroed::<E>(batch * shape.output_len());
    let mut dx = workspace.zeroed::<E>(batch * shape.input_len());
    let mut dw = vec![0.0; weight.len()];
    let channels = shape.out_channels;
    let mut times = [vec![], vec![]];
    for _ in 0..7 {
        let start = Instant::now();
        let moments = conv.forward(input, &weight, &mut y, &workspace);
        times[0].push(start.elapsed().as_secs_f64());
        let norm = Normalisation::of_batch(&moments, &vec![1.0; channels], &vec![0.0; channels]);
        let sums = GradientSums {
            sum: vec![0.1; stored_channels(channels)],
            dots: [vec![0.1; stored_channels(channels)], vec![]],
        };
        let through = norm.gradient(&sums, 0, channels).through;
        let gradient = OutputGradient { g: &y, y: &y, through: &through };
        let wanted = (!shape.images).then_some(InputGradient {
            epilogue: BackwardEpilogue {
                residual: None,
                gate: Gate::Output(&x),
                norms: [None, None],
            },
            to: &mut dx,
        });
        let start = Instant::now();
        conv.backward(input, gradient, &weight, wanted, &mut dw, &workspace);
        times[1].push(start.elapsed().as_secs_f64());
    }
    let [h, w] = shape.output_size();
    let flop = 2.0 * (batch * h * w * shape.weight_len()) as f64;
    let median = times.map(|mut t| {
        t.sort_by(f64::total_cmp);
        t[t.len() / 2]
    });
    println!(
        "{algorithm:?} {name}: forward {:.2} ms {:.0} GFLOP/s, backward {:.2} ms {:.0} GFLOP/s",
        median[0] * 1e3,
        flop / median[0] / 1e9,
        median[1] * 1e3,
        if shape.images { 1.0 } else { 2.0 } * flop / median[1] / 1e9
    );
}
