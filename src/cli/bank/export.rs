//! `nightlight bank export`.

use std::{
    fs,
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::{Args, builder::PossibleValuesParser};
use serde::Serialize;

use crate::{
    cli::{Failure, block_on, open_existing_store, output},
    config::Config,
    domain::ids::TenantId,
    services::exchange::{
        export::{self, ExportError, Exported},
        formats::{Format, UnknownFormat},
    },
    store::StoreError,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Export {
    /// Name of the bank
    #[arg(long, value_name = "NAME")]
    bank: String,
    /// What to write
    #[arg(long, value_name = "F", default_value = "lines", value_parser = PossibleValuesParser::new(Format::ALL.map(Format::as_str)))]
    format: String,
    /// Encrypt to this age recipient (age1…); may be given several times
    ///
    /// Whoever has the identity of one of them decrypts it with `age --decrypt`.
    #[arg(long = "encrypt-to", value_name = "RECIPIENT")]
    encrypt_to: Vec<String>,
    /// Also items that are out of force; retired ones are never written
    #[arg(long)]
    all: bool,
    /// Write to this new file, readable by its owner alone, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Serialize)]
struct ExportedLine<'a> {
    bank: &'a str,
    format: &'a str,
    encrypted: bool,
    #[serde(flatten)]
    exported: Exported,
}

impl Export {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        block_on(async {
            let store = open_existing_store(config).await?;
            let done = self.export(&store).await;
            store.close().await;
            done
        })
    }

    async fn export(&self, store: &crate::store::Store) -> Result<(), Failure> {
        let format: Format = self.format.parse().map_err(|error: UnknownFormat| Failure::input(error.to_string()))?;
        let export = export::Export { bank: self.bank.clone(), format, all: self.all, recipients: self.encrypt_to.clone() };
        let Some(path) = &self.out else {
            // The list is all that goes to standard output.
            let written = export.write(store, TenantId::DEFAULT, BufWriter::new(io::stdout()), None).await;
            return match written {
                Ok((mut out, _)) => Ok(out.flush()?),
                Err(error) => Err(self.failure(store, error).await),
            };
        };
        let failed = |error: io::Error| Failure::input(format!("cannot write {}: {error}", path.display()));
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        let written = export.write(store, TenantId::DEFAULT, BufWriter::new(file), None).await;
        let finished = match written {
            Ok((out, exported)) => out
                .into_inner()
                .map_err(io::IntoInnerError::into_error)
                .and_then(|file| file.sync_all())
                .map(|()| exported)
                .map_err(ExportError::Io),
            Err(error) => Err(error),
        };
        match finished {
            Ok(exported) => {
                output::json_line(&ExportedLine {
                    bank: &self.bank,
                    format: format.as_str(),
                    encrypted: !self.encrypt_to.is_empty(),
                    exported,
                })?;
                Ok(())
            }
            Err(error) => {
                discard(path);
                Err(self.failure(store, error).await)
            }
        }
    }

    async fn failure(&self, store: &crate::store::Store, error: ExportError) -> Failure {
        match error {
            ExportError::Store(StoreError::NotFound(_)) => super::unknown_bank(store, &self.bank).await,
            error => error.into(),
        }
    }
}

/// Half a list is none. The first error is the one to tell.
fn discard(path: &Path) {
    let _ = fs::remove_file(path);
}
