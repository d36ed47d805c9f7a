//! `nightlight operating-point`.

mod list;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use self::list::List;
use super::{Failure, block_on, open_existing_store, open_store, output};
use crate::{
    config::Config,
    domain::{certificate::Certificate, ids::TenantId, operating_point::PointKey, time::Timestamp},
    services::{
        certificates::{self, CertificateError, PublicKey, SigningKey},
        key_loss,
        operating_points::{self, InstallError, Installed, Replacing, Running, Target, Trusted},
    },
    store::Store,
};

/// Characters of a key's name; a name goes into the ledger.
const LONGEST_NAME: usize = 128;

#[derive(Debug, Subcommand)]
pub(super) enum OperatingPoint {
    /// Put the thresholds of certificates into force
    ///
    /// A certificate is what `nightlight calibrate` writes. A running server takes its thresholds over within a second; each takes the place of the one
    /// that is in force for the same model, label and slice. What can never be valid is refused with exit code 2 (a document that was changed after it
    /// was signed, a model that does not run here), and so is one without a certified threshold, with exit code 3. What is merely not certified here
    /// (another version of the model, a signer who is not trusted) is put into force and said to be uncertified, with the reason; but without --force a
    /// certificate whose signer nobody trusts does not take the place of one whose signer is trusted (exit code 2).
    Install(Install),
    /// Show the thresholds in force, and what is known of them
    List(List),
    /// Take a certificate's threshold out of force; what the configuration says holds again
    Retire {
        /// The model
        #[arg(long, value_name = "NAME")]
        model: String,
        /// The label
        #[arg(long, value_name = "L")]
        label: String,
        /// The slice; without it the threshold for everything
        #[arg(long, value_name = "S")]
        slice: Option<String>,
    },
    /// Believe certificates that a key has signed
    ///
    /// The data directory's own key is always believed. Certificates that are in force already become valid, or invalid, at once.
    Trust {
        /// Whose key it is, for people: 1 to 128 characters
        #[arg(long)]
        name: String,
        /// 64 hex digits, as `nightlight operating-point key` prints them there
        public_key: String,
    },
    /// Stop believing a key
    Untrust {
        /// The name under which it is trusted
        #[arg(long)]
        name: String,
    },
    /// Show the keys that are believed, without the data directory's own
    Trusted {
        /// One JSON object a line instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Print the public key that `nightlight calibrate` signs with; it is made at the first use
    Key,
}

#[derive(Args, Debug)]
pub(super) struct Install {
    /// Of several claims for the same population, the one for this precision [default: the first]
    #[arg(long, value_name = "P", conflicts_with = "target_recall")]
    target_precision: Option<f64>,
    /// Of several claims for the same population, the one for this recall
    #[arg(long, value_name = "R")]
    target_recall: Option<f64>,
    /// Let a certificate whose signer nobody trusts take the place of one in force whose signer is trusted
    #[arg(long)]
    force: bool,
    /// Certificates
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Serialize)]
struct InstalledLine<'a> {
    certificate: &'a str,
    #[serde(flatten)]
    key: &'a PointKey,
    installed: bool,
    threshold: Option<f64>,
    certified: bool,
    reason: Option<&'a str>,
    replaced: Option<String>,
}

#[derive(Serialize)]
struct RetiredLine<'a> {
    certificate: String,
    #[serde(flatten)]
    key: &'a PointKey,
}

#[derive(Serialize)]
struct KeyLine<'a> {
    name: &'a str,
    public_key: String,
    trusted: bool,
}

impl OperatingPoint {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        match self {
            Self::Install(install) => install.run(config),
            Self::List(list) => list.run(config),
            Self::Retire { model, label, slice } => retire(config, model, label, slice.as_deref()),
            Self::Trust { name, public_key } => trust(config, name, public_key),
            Self::Untrust { name } => untrust(config, name),
            Self::Trusted { json } => trusted(config, *json),
            Self::Key => {
                signing_key_is_there(config)?;
                println!("{}", SigningKey::of_data_dir(&config.data_dir)?.public());
                Ok(())
            }
        }
    }
}

/// Refuses to draw a new signing key beside certificates of one that is gone.
pub(super) fn signing_key_is_there(config: &Config) -> Result<(), Failure> {
    if !config.store_file().exists() {
        return Ok(());
    }
    with_store(config, async |store| Ok(key_loss::signing_key(&config.data_dir, store).await?))
}

/// Runs `work` on the store and closes it.
fn with_store<T>(config: &Config, work: impl AsyncFnOnce(&Store) -> Result<T, Failure>) -> Result<T, Failure> {
    block_on(async {
        let store = open_existing_store(config).await?;
        let done = work(&store).await;
        store.close().await;
        done
    })
}

/// Whose certificates the default tenant believes.
async fn believed(config: &Config, store: &Store) -> Result<Trusted, Failure> {
    let keys = store.certificate_keys().await?.into_iter().filter(|key| key.tenant == TenantId::DEFAULT);
    Ok(Trusted::new(&config.data_dir, keys.map(|key| (key.public_key, key.name))))
}

impl Install {
    fn run(&self, config: &Config) -> Result<(), Failure> {
        let target = match (self.target_precision, self.target_recall) {
            (Some(precision), _) => Target::Precision(precision),
            (None, Some(recall)) => Target::Recall(recall),
            (None, None) => Target::First,
        };
        let replacing = if self.force { Replacing::Any } else { Replacing::Trusted };
        // All of them, before anything is put into force: a bad one among several should change nothing.
        let certificates: Vec<(&PathBuf, Certificate)> = self
            .files
            .iter()
            .map(|path| {
                let read = certificates::read(path).and_then(|certificate| certificates::verify(&certificate).map(|_| certificate));
                read.map(|certificate| (path, certificate)).map_err(|error| Failure::input(format!("{}: it {error}", path.display())))
            })
            .collect::<Result<_, _>>()?;
        block_on(async {
            let store = open_store(config).await?;
            let done = install_all(config, &store, &certificates, (target, replacing)).await;
            store.close().await;
            done
        })
    }
}

async fn install_all(
    config: &Config,
    store: &Store,
    certificates: &[(&PathBuf, Certificate)],
    how: (Target, Replacing),
) -> Result<(), Failure> {
    let (running, trusted) = (Running::load(config), believed(config, store).await?);
    for (path, certificate) in certificates {
        let installed = operating_points::install(store, TenantId::DEFAULT, (&running, &trusted), certificate, how).await;
        let installed = installed.map_err(|error| Failure::from(error).of(path))?;
        for Installed { key, threshold, certified, reason, replaced } in &installed {
            output::json_line(&InstalledLine {
                certificate: &certificate.id,
                key,
                installed: threshold.is_some(),
                threshold: *threshold,
                certified: *certified,
                reason: reason.as_deref(),
                replaced: replaced.map(|id| id.to_string()),
            })?;
        }
    }
    Ok(())
}

fn retire(config: &Config, model: &str, label: &str, slice: Option<&str>) -> Result<(), Failure> {
    let running = Running::load(config);
    let key = PointKey { technology: running.technology(model).to_owned(), label: label.to_owned(), slice: slice.map(str::to_owned) };
    with_store(config, async |store| {
        let certificate = operating_points::retire(store, TenantId::DEFAULT, key.clone()).await.map_err(|error| match error {
            crate::store::StoreError::NotFound(_) => {
                Failure::input(format!("no certificate is in force for {key}; `nightlight operating-point list` shows those that are"))
            }
            error => error.into(),
        })?;
        Ok(output::json_line(&RetiredLine { certificate: certificate.to_string(), key: &key })?)
    })
}

fn trust(config: &Config, name: &str, public_key: &str) -> Result<(), Failure> {
    if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(Failure::input(format!("--name must have 1 to {LONGEST_NAME} characters and no control characters")));
    }
    let public_key: PublicKey = public_key.parse().map_err(|error| Failure::input(format!("{public_key:?} {error}")))?;
    block_on(async {
        let store = open_store(config).await?;
        let done = store.trust_certificate_key(TenantId::DEFAULT, public_key.bytes(), name.to_owned(), Timestamp::now()).await;
        store.close().await;
        done?;
        Ok(output::json_line(&KeyLine { name, public_key: public_key.to_string(), trusted: true })?)
    })
}

fn untrust(config: &Config, name: &str) -> Result<(), Failure> {
    with_store(config, async |store| {
        let key = store.untrust_certificate_key(TenantId::DEFAULT, name.to_owned(), Timestamp::now()).await?;
        Ok(output::json_line(&KeyLine { name, public_key: hex::encode(key.public_key), trusted: false })?)
    })
}

fn trusted(config: &Config, json: bool) -> Result<(), Failure> {
    let keys = with_store(config, async |store| Ok(store.certificate_keys().await?))?;
    let keys: Vec<_> = keys.into_iter().filter(|key| key.tenant == TenantId::DEFAULT).collect();
    if json {
        let line = |key: &crate::store::CertificateKey| {
            output::json_line(&KeyLine { name: &key.name, public_key: hex::encode(key.public_key), trusted: true })
        };
        keys.iter().try_for_each(line)?;
    } else {
        let row = |key: &crate::store::CertificateKey| [hex::encode(key.public_key), key.trusted_at.to_string(), key.name.clone()];
        output::table(["public key", "trusted since", "name"], &keys.iter().map(row).collect::<Vec<_>>())?;
    }
    Ok(())
}

impl From<CertificateError> for Failure {
    /// A document, a key file or a name that was given is wrong.
    fn from(error: CertificateError) -> Self {
        Self::input(error.to_string())
    }
}

impl From<InstallError> for Failure {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Store(error) => error.into(),
            InstallError::Insufficient(_) => Self::insufficient(error.to_string()),
            _ => Self::input(error.to_string()),
        }
    }
}
