//! `logo-ssl config show`

use clap::Subcommand;
use logo_ssl::presets;

use crate::error::Result;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print a preset, every value with where it comes from
    Show {
        /// Which one
        #[arg(long, default_value = "quickstart")]
        preset: String,
    },
    /// Name the presets
    List,
}

pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Show { preset } => say!("{}", presets::preset_text(preset)?.trim_end()),
        Command::List => {
            for name in presets::names() {
                let text = presets::preset_text(name)?;
                let about = text.lines().next().unwrap_or_default().trim_start_matches("# ");
                // A twin without LoGo inherits the line of the preset that it is the twin of.
                let plain = text
                    .contains("logo = false")
                    .then(|| about.replace("-LoGo", ", without LoGo,"));
                say!("{name:26}{}", plain.as_deref().unwrap_or(about));
            }
        }
    }
    Ok(())
}
