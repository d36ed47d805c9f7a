//! `nightlight doctor`: one row per check, each failing one with the command that mends it.

mod checks;
mod deep;

use clap::Args;
use serde::Serialize;

use super::{Failure, output};
use crate::config::{Config, ConfigError};

#[derive(Args, Debug)]
pub(super) struct Doctor {
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
    /// Also read everything that is stored: pages of the database, signals of banks against their sums, the ledger and what is made from it; takes seconds for each million signals
    #[arg(long)]
    deep: bool,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    /// It works, but worse than it could.
    Warning,
    /// The server would not start or not do its work.
    Failed,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    check: String,
    status: Status,
    detail: String,
    /// What mends it: a command, or what to correct.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Check {
    fn ok(check: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { check: check.into(), status: Status::Ok, detail: detail.into(), mend: None }
    }

    fn bad(status: Status, check: impl Into<String>, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        let mend = Some(mend.into()).filter(|mend| !mend.is_empty());
        Self { check: check.into(), status, detail: detail.into(), mend }
    }
}

impl Doctor {
    /// # Errors
    /// When something that the server needs is missing.
    pub fn run(&self, config: Result<Config, ConfigError>) -> Result<(), Failure> {
        let checks = match &config {
            Ok(config) => {
                let mut checks = checks::all(config);
                if self.deep {
                    checks.extend(deep::all(config));
                }
                checks
            }
            Err(error) => vec![Check::bad(Status::Failed, "config", error.to_string(), "correct the setting; see `nightlight --help`")],
        };
        if self.json {
            checks.iter().try_for_each(output::json_line)?;
        } else {
            let row = |check: &Check| {
                let status = match check.status {
                    Status::Ok => "ok",
                    Status::Warning => "warning",
                    Status::Failed => "FAILED",
                };
                let mend = check.mend.as_ref().map(|mend| format!(" -> {mend}")).unwrap_or_default();
                [check.check.clone(), status.to_owned(), format!("{}{mend}", check.detail)]
            };
            output::table(["check", "status", "detail"], &checks.iter().map(row).collect::<Vec<_>>())?;
        }
        if checks.iter().any(|check| check.status == Status::Failed) { Err(Failure::told()) } else { Ok(()) }
    }
}
