//! `logo-ssl knn`

use clap::Args;
use logo_ssl::config::{Config, Features};
use logo_ssl::data::Labelled;
use logo_ssl::eval::{Subject, knn};
use logo_ssl::record::KnnResult;
use serde_json::json;

use super::Output;
use super::encoder::{Measured, Named, Ready};
use crate::error::{Error, Result};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    encoder: Named,
    /// Neighbours, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,20,200")]
    k: Vec<usize>,
    /// τ of the vote
    #[arg(long, value_name = "T", default_value_t = 0.07)]
    temperature: f64,
    #[command(flatten)]
    measured: Measured,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<()> {
    let at = arguments.encoder.at()?;
    let mut config = arguments.measured.config(&at)?;
    config.eval.k.clone_from(&arguments.k);
    config.eval.temperature = arguments.temperature;
    let Ready { config, labelled, encoder } = arguments.measured.open(&at, config)?;
    let mut subject = Subject::new(Some(&encoder), &labelled, &config);
    let classified = knn::of_subject(&mut subject, &mut |_, _| Ok(true))?
        .ok_or_else(|| Error::Usage("the evaluation was stopped".into()))?;
    print(&classified.results, &config, &labelled, output);
    Ok(())
}

fn print(results: &[KnnResult], config: &Config, labelled: &Labelled, output: Output) {
    let (train, test) = (labelled.bank.len(), labelled.test.len());
    let name = config.evaluated();
    if output.json {
        let knn = json!({ "dataset": name, "features": config.eval.features,
            "temperature": config.eval.temperature, "train_images": train, "test_images": test,
            "results": results });
        say!("{knn}");
        return;
    }
    let features = match config.eval.features {
        Features::Backbone => "backbone features",
        Features::Projector => "projector output",
    };
    say!("kNN on {name}: {test} test images against {train}, {features}");
    for result in results {
        let vote = if result.weighted { "weighted" } else { "nearest" };
        say!(
            "  k = {:<4} {vote:9} top-1 {:6.2} %  top-5 {:6.2} %",
            result.k,
            100.0 * result.top1,
            100.0 * result.top5
        );
    }
}
