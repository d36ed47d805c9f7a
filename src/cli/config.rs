//! `nightlight config`.

use clap::Subcommand;

use super::{Failure, output};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Settings {
    /// Show every setting in force, and who set it
    ///
    /// The manual of each setting is `src/config/default.toml`.
    Print {
        /// One JSON object a line instead of a table
        #[arg(long)]
        json: bool,
    },
}

impl Settings {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        let Self::Print { json } = self;
        for warning in &config.warnings {
            eprintln!("warning: {warning}");
        }
        if *json {
            config.effective().iter().try_for_each(output::json_line)?;
        } else {
            let row = |value: &crate::config::Effective| [value.key.clone(), value.value.to_string(), value.origin.to_string()];
            let rows: Vec<_> = config.effective().iter().map(row).collect();
            output::table(["key", "value", "from"], &rows)?;
        }
        Ok(())
    }
}
