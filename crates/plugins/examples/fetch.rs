//! Plans, or fetches, a plugin: `cargo run -p plugins --example fetch -- cpu FOLDER [plan]`.

use std::env;
use std::process::ExitCode;
use std::time::Instant;

use plugins::{Event, Index, Kind, Request, Result, Surroundings, execute, plan};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let kind =
        arguments.first().and_then(|name| Kind::ALL.into_iter().find(|kind| kind.name() == name));
    let (Some(kind), Some(folder)) = (kind, arguments.get(1)) else {
        eprintln!("fetch cuda|rocm|cpu FOLDER [plan]");
        return ExitCode::from(2);
    };
    match run(kind, folder, arguments.get(2).is_some_and(|word| word == "plan")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(kind: Kind, folder: &str, only_plan: bool) -> Result<()> {
    let surroundings = Surroundings::of_this_process(folder);
    let index = Index::of(&surroundings)?;
    println!("index {index}");
    let start = Instant::now();
    let plan = plan(&Request::new(kind, index, &surroundings.plugins))?;
    for wheel in &plan.wheels {
        println!("{:>11} {} {}", wheel.size, wheel.file, wheel.url());
    }
    println!("{:>11} in all, planned in {:.1} s", plan.total_bytes, start.elapsed().as_secs_f64());
    if only_plan {
        return Ok(());
    }
    let start = Instant::now();
    let mut shown = 0;
    let installed = execute(&plan, &mut |event| match event {
        Event::Receiving { done_in_all, .. } if done_in_all * 10 / plan.total_bytes > shown => {
            shown = done_in_all * 10 / plan.total_bytes;
            println!("{}0 % after {:.1} s", shown, start.elapsed().as_secs_f64());
        }
        Event::Receiving { .. } => {}
        Event::Waiting { wheel, problem, pause } => {
            println!("{}: {problem}; again in {pause:?}", wheel.name)
        }
        Event::Unpacking { wheel } => println!("unpacking {}", wheel.name),
    })?;
    println!("{} after {:.1} s", installed.path().display(), start.elapsed().as_secs_f64());
    for candidate in surroundings.candidates(kind) {
        println!("{candidate:?} needs {:?}", surroundings.needed_environment(&candidate));
    }
    println!("{}", surroundings.next_step(kind, env::consts::OS));
    Ok(())
}
