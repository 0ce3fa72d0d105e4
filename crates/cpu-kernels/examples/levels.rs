//! What the trial of levels finds on this processor in either precision, of all the levels that it has, and
//! how long it takes: `levels [REPETITIONS]`.

use std::time::Instant;

use logo_ssl_cpu_kernels::*;

fn main() {
    let repetitions = std::env::args().nth(1).map_or(1, |n| n.parse().expect("a number"));
    println!("{}", processor());
    for _ in 0..repetitions {
        show::<f32>();
        show::<bf16>();
    }
}

fn show<E: Element>() {
    let mut levels = Level::available();
    levels.retain(|level| *level != Level::Portable);
    let rates = trial::<E>(&levels);
    let start = Instant::now();
    let chosen = Level::for_element::<E>(None).expect("a level");
    let time = start.elapsed();
    let rates: Vec<String> =
        rates.iter().map(|(level, rate)| format!("{level} {rate:.0}")).collect();
    println!("{}: {} GFLOP/s; {}, in {time:.0?}", E::NAME, rates.join(", "), chosen.level());
}
