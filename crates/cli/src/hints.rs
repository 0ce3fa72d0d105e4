//! The library's errors in the words of the command line: its flags and commands.

use logo_ssl::{Error, RunProblem};

/// What a person sees of `error`, with the flag or the command that is the next step.
pub fn line(error: &Error) -> String {
    match error {
        Error::Run { path, problem } => format!("{}: {}", path.display(), of_run(problem)),
        Error::Interrupted { step, run_dir } => format!(
            "stopped by a signal after step {step}; nothing is lost. Go on with: logo-ssl pretrain --resume --run-dir {}",
            run_dir.display()
        ),
        other => other.to_string(),
    }
}

fn of_run(problem: &RunProblem) -> String {
    let line = match problem {
        RunProblem::Taken => {
            "already holds a run; go on with it by --resume, or choose another --run-dir"
        }
        RunProblem::Absent => "holds no run to resume; start one without --resume",
        RunProblem::InUse => {
            "is in use by another logo-ssl; wait for it, stop it, or choose another --run-dir"
        }
        RunProblem::OtherConfig => {
            "is not the config this run was started with; restore it, or start another run with --run-dir"
        }
        RunProblem::DamagedPlaces(problem) => {
            return format!("is damaged ({problem}); remove it, and name the images by --data-dir");
        }
        RunProblem::Unmeasured => {
            "has no kNN result of the trained network yet; go on with it by `logo-ssl pretrain --resume`"
        }
        other => return other.to_string(),
    };
    line.to_owned()
}
