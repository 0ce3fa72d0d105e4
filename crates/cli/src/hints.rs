//! The library's errors in the words of the command line: its flags and commands.

use logo_ssl::config::Change;
use logo_ssl::data::Remedy;
use logo_ssl::executor::Advice;
use logo_ssl::presets::{self, Layers};
use logo_ssl::{Error, RunProblem};
use logo_ssl_data::{Origin, Source};
use plugins::{Kind, NextStep};

/// Where the devices are listed.
const LIST: &str = "`logo-ssl devices` lists what is here";

/// Settings that have a flag of their own, with the flag.
const FLAGS: [(&str, &str); 8] = [
    ("compute.deterministic", "--deterministic"),
    ("compute.device", "--device"),
    ("compute.precision", "--precision"),
    ("data.dataset", "--dataset"),
    ("data.limit", "--limit"),
    ("eval.dataset", "--eval-dataset"),
    ("optimizer.batch_size", "--batch-size"),
    ("optimizer.epochs", "--epochs"),
];

/// What a person sees of `error`, with the flag or the command that is the next step.
pub(crate) fn line(error: &Error) -> String {
    match error {
        Error::Run { path, problem } => format!("{}: {}", path.display(), of_run(problem)),
        Error::Data { remedy: Some(remedy), .. } => format!("{error}{}", of_data(remedy)),
        Error::Broken { found, images, allowed, first } => format!(
            "{found} of the {images} images cannot be read, at most {allowed} may be so. Repair or remove them, or \
             raise it: --set data.max_bad_fraction=… `logo-ssl data info` lists them all; the first are\n  {first}"
        ),
        Error::NoUserFolder { of: "datasets" } => {
            "there is no user data directory here; name one with --data-dir".to_owned()
        }
        Error::Several { path, prefixes } => format!(
            "{error}: `logo-ssl import {} --prefix {}` takes the first",
            path.display(),
            prefixes[0].trim_end_matches('.')
        ),
        Error::Unmatched { .. } => format!(
            "{error}. `logo-ssl import` takes it all the same with --allow-missing, and it computes something else then"
        ),
        Error::Misfit { .. } => {
            let message = error.to_string();
            let mut typed = flags(&message);
            typed.push("--init-allow-missing".to_owned());
            format!("{message} (typed as {})", typed.join(", "))
        }
        Error::Sweep { place, problem } => format!("{place}: {}", line(problem)),
        Error::Device { problem, advice: Some(advice) } => {
            format!("{problem}. {}", of_device(advice))
        }
        Error::NonFinite { step, epoch, value, checkpoint } => format!(
            "the loss became {value} at step {step} (epoch {}); the last good checkpoint is {checkpoint}. Go on from it \
             with a lower rate: --resume --set optimizer.lr=…, or start again with that or a longer \
             --set optimizer.warmup_epochs=…",
            epoch + 1
        ),
        Error::Interrupted { step, run_dir } => format!(
            "stopped after step {step}; nothing is lost. Go on with: logo-ssl pretrain --resume --run-dir {}",
            run_dir.display()
        ),
        Error::Setting { message, .. } | Error::Images(message) => with_flags(message),
        other => other.to_string(),
    }
}

/// `message`, and how the settings that it names are typed.
fn with_flags(message: &str) -> String {
    let typed = flags(message);
    match typed.is_empty() || message.contains(" --") {
        true => message.to_owned(),
        false => format!("{message} (typed as {})", typed.join(", ")),
    }
}

/// The flags of the settings in `message`, each once.
fn flags(message: &str) -> Vec<String> {
    let Ok(settings) = Layers::preset(presets::DEFAULT) else { return Vec::new() };
    let is_of_key = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
    let mut flags = Vec::new();
    for word in message.split(|c| !is_of_key(c)) {
        let key = word.trim_matches('.');
        let flag = match FLAGS.iter().find(|(known, _)| *known == key) {
            Some((_, flag)) => (*flag).to_owned(),
            None if key.contains('.') && settings.knows(key) => format!("--set {key}=…"),
            None => continue,
        };
        if !flags.contains(&flag) {
            flags.push(flag);
        }
    }
    flags
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
        RunProblem::OtherConfig(changes) => {
            return format!(
                "was started with other settings: {}. A run keeps them; leave them out, or start another run with \
                 --run-dir. What may change on the way: {}",
                Change::list(changes),
                Change::allowed().join(", ")
            );
        }
        RunProblem::OtherImages(difference) => {
            return format!(
                "was trained on other images: {difference}. Restore them, or go on with what there is now: \
                 --accept-changed-data"
            );
        }
        RunProblem::DamagedPlaces(problem) => {
            return format!("is damaged ({problem}); remove it, and name the images by --data-dir");
        }
        RunProblem::Unbegun(file) => {
            return format!(
                "was cut off before it had the weights of {file}; remove it, and start it again by --init"
            );
        }
        RunProblem::Unmeasured => {
            "has no kNN result of the trained network yet; go on with it by `logo-ssl pretrain --resume`"
        }
        other => return other.to_string(),
    };
    line.to_owned()
}

fn of_device(advice: &Advice) -> String {
    match advice {
        Advice::CorrectPath => {
            format!("Correct --device, compute.device or LOGO_SSL_PJRT_PLUGIN; {LIST}")
        }
        Advice::NamePlugin => format!("Name the shared library of a PJRT plugin; {LIST}"),
        Advice::AnotherPlugin(kind @ (Kind::Cuda | Kind::Rocm | Kind::Cpu)) => {
            format!("`logo-ssl devices fetch {kind}` gets a plugin that suits, with its libraries")
        }
        Advice::AnotherPlugin(_) => LIST.to_owned(),
        Advice::ChooseIndex => format!("Choose by --device, as in cuda:0; {LIST}"),
        Advice::FreeMemory => {
            "End what else uses the device, or choose another by --device".to_owned()
        }
        Advice::FreeMemoryOrLowerBatch => {
            "End what else uses the device, choose another by --device, or lower the batch"
                .to_owned()
        }
        Advice::LowerBatch(memory) => memory.advice("--batch-size "),
        Advice::Resume => "A run goes on from its last checkpoint by --resume".to_owned(),
        Advice::UseCpu => "--device cpu computes the same on the processor".to_owned(),
        Advice::ListOrUseCpu => format!("{LIST}; --device cpu computes on the processor"),
        Advice::Machine(step) => next_step(step).trim_end_matches('.').to_owned(),
        other => other.to_string(),
    }
}

/// A device's next step, with the command that takes it.
pub(crate) fn next_step(step: &NextStep) -> String {
    match step {
        NextStep::FetchPlugin(kind) => format!("Fetch the plugin: logo-ssl devices fetch {kind}"),
        other => other.to_string(),
    }
}

/// What follows the message of a dataset that is missing or damaged.
fn of_data(remedy: &Remedy) -> String {
    match remedy {
        Remedy::Fetch { dataset, folder } => {
            format!(" with `logo-ssl data fetch {dataset} --data-dir {}`", folder.display())
        }
        Remedy::ByHand { dataset } => format!(", which `logo-ssl data fetch {dataset}` tells"),
        Remedy::Pack => ", as `logo-ssl data pack DIR NAME.pack` writes it".to_owned(),
        _ => String::new(),
    }
}

/// How a person gets a dataset that the program does not download.
pub(crate) fn by_hand(source: &Source) -> String {
    let name = source.name;
    match source.origin {
        Origin::Person { why, download, folder } => {
            // A preset that is the dataset's own names it already.
            let dataset = match source.preset.starts_with(name) {
                true => String::new(),
                false => format!(" --dataset {name}"),
            };
            format!(
                "{why}. Two steps:\n  1. {download};\n  2. name the folder: logo-ssl pretrain --preset {}{dataset} \
                 --data-dir {}",
                source.preset,
                folder.unwrap_or("FOLDER")
            )
        }
        Origin::Own(note) => {
            format!("{note}: name the folder, --dataset {name} --data-dir FOLDER")
        }
        Origin::Packed => {
            "a pack is made of what is there already: `logo-ssl data pack`".to_owned()
        }
        Origin::Embedded => format!("{name} is embedded: there is nothing to fetch"),
        Origin::Archive(archive) => format!("{name} is downloaded from {}", archive.url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_in_a_message_are_followed_by_how_they_are_typed() {
        for (message, typed) in [
            (
                "set eval.resize and eval.crop, for example 256",
                "--set eval.resize=…, --set eval.crop=…",
            ),
            ("optimizer.epochs = 0: at least 1", "--epochs"),
            (
                "views.global.size = 16 contradicts model.stem",
                "--set views.global.size=…, --set model.stem=…",
            ),
        ] {
            assert_eq!(with_flags(message), format!("{message} (typed as {typed})"));
        }
        for message in
            ["unknown key `optimizer.lrr` in x", "there is nothing, e.g. here", "say --set a.b=1"]
        {
            assert_eq!(with_flags(message), message);
        }
    }
}
