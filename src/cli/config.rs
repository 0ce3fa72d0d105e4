//! `logo-ssl config show`

use clap::Subcommand;
use logo_ssl::{Result, presets};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print a preset, every value with where it comes from
    Show {
        /// Which one
        #[arg(long, default_value = "quickstart")]
        preset: String,
    },
    /// Name the presets
    List,
}

pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Show { preset } => print!("{}", presets::preset_text(preset)?),
        Command::List => {
            for (name, text) in presets::PRESETS {
                let about = text.lines().next().unwrap_or_default().trim_start_matches("# ");
                println!("{name:14}{about}");
            }
        }
    }
    Ok(())
}
