//! Putting claims of a certificate into force, and taking them out again.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{Examined, Running, Trusted, UNTRUSTED, examine, serving_threshold};
use crate::{
    domain::{
        certificate::{Certificate, Claim, ClaimKind},
        ids::TenantId,
        operating_point::PointKey,
        time::Timestamp,
    },
    services::certificates::{self, CertificateError},
    store::{CertificateDocument, NewOperatingPoint, Store, StoreError, StoredPoint},
};

/// Which of a certificate's claims are meant, where it has several for the same population.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// The first one.
    First,
    /// The one for this precision.
    Precision(f64),
    /// The one for this recall.
    Recall(f64),
}

impl Target {
    fn matches(self, claim: &Claim) -> bool {
        match self {
            Self::First => true,
            Self::Precision(target) => claim.kind == ClaimKind::Precision && claim.target_precision == Some(target),
            Self::Recall(target) => claim.kind == ClaimKind::Recall && claim.target_recall == Some(target),
        }
    }
}

/// Which certificates may take the place of one in force whose signer is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacing {
    /// Those of trusted signers: what nobody trusts is not certified, so its threshold would end a claim that holds.
    Trusted,
    /// Any: somebody means it.
    Any,
}

/// A claim of a certificate, after the attempt to put it into force.
#[derive(Clone, Debug, PartialEq)]
pub struct Installed {
    pub key: PointKey,
    /// The threshold in force; `None` when the claim has none, and then nothing was changed for this key.
    pub threshold: Option<f64>,
    pub certified: bool,
    /// Why it is not certified here, or not in force.
    pub reason: Option<String>,
    /// The certificate that was in force before.
    pub replaced: Option<Uuid>,
}

/// Why nothing of a certificate was put into force.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// See there: the document is wrong everywhere.
    #[error("the certificate {0}")]
    Certificate(#[from] CertificateError),
    /// Calibrate again with `--model` and `--label`.
    #[error("the certificate does not say for which model it is; calibrate again with --model and --label")]
    NoModel,
    /// Configure the model first, or install the certificate where it runs.
    #[error("the model {model} does not run here; the models are {known}")]
    UnknownModel { model: String, known: String },
    /// The certificate is for another model with the same name.
    #[error("the model {model} has no label {label:?}; its labels are {known}")]
    UnknownLabel { model: String, label: String, known: String },
    /// Name one of those that it has.
    #[error("the certificate has no claim for that target; it has {known}")]
    NoTarget { known: String },
    /// Label more data: the document says how much.
    #[error("there is no certified threshold to put into force: {0}")]
    Insufficient(String),
    /// Trust the signer, or say that it is meant.
    #[error(
        "{}, and for {key} a certificate of {signer} is in force, {in_force}: trust the key first (`nightlight operating-point trust`), or replace it all the \
         same with --force",
        UNTRUSTED
    )]
    WouldReplace { key: PointKey, in_force: Uuid, signer: String },
    /// See there.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Puts into force what the certificate claims for everything and for each slice. What is merely not certified here (a signer who is not trusted,
/// another version of the model) is put into force with its threshold, and the result says why it is not certified; but what nobody trusts takes the place of nothing
/// that somebody does, unless it is to be [replaced by any](Replacing::Any).
///
/// # Errors
/// See [`InstallError`]; nothing was changed then.
pub async fn install(
    store: &Store,
    tenant: TenantId,
    (running, trusted): (&Running, &Trusted),
    certificate: &Certificate,
    (target, replacing): (Target, Replacing),
) -> Result<Vec<Installed>, InstallError> {
    certificates::verify(certificate)?;
    let bound = certificate.model.as_ref().ok_or(InstallError::NoModel)?;
    let model = running.get(&bound.name).ok_or_else(|| InstallError::UnknownModel {
        model: bound.name.clone(),
        known: running.technologies().collect::<Vec<_>>().join(", "),
    })?;
    if !model.labels.contains(&bound.label) {
        let (model, label, known) = (bound.name.clone(), bound.label.clone(), model.labels.join(", "));
        return Err(InstallError::UnknownLabel { model, label, known });
    }
    let claims = chosen(certificate, target)?;
    let Examined { problems, signer, .. } = examine(certificate, running, trusted);
    let broken = (!problems.is_empty()).then(|| problems.join("; "));
    let key = |claim: &Claim| PointKey { technology: bound.name.clone(), label: bound.label.clone(), slice: claim.slice.clone() };
    let mut results: Vec<Installed> = Vec::new();
    let mut points = Vec::new();
    for (at, claim) in claims {
        let threshold = claim.threshold.filter(|threshold| claim.certified && serving_threshold(*threshold).is_some());
        let reason = if threshold.is_some() { broken.clone() } else { Some(insufficient(claim)) };
        results.push(Installed {
            key: key(claim),
            threshold,
            certified: threshold.is_some() && broken.is_none(),
            reason: reason.clone(),
            replaced: None,
        });
        if let Some(threshold) = threshold {
            points.push(NewOperatingPoint { key: key(claim), claim: at, threshold, reason });
        }
    }
    if points.is_empty() {
        let reasons: Vec<&str> = results.iter().filter_map(|result| result.reason.as_deref()).collect();
        return Err(InstallError::Insufficient(reasons.join("; ")));
    }
    if signer.is_none() && replacing == Replacing::Trusted {
        replaces_nothing_trusted(store, tenant, (running, trusted), &points).await?;
    }
    let id = certificate.id.parse().map_err(|error: uuid::Error| CertificateError::Malformed(format!("id: {error}")))?;
    let json = serde_json::to_string(certificate).map_err(|error| CertificateError::Malformed(error.to_string()))?;
    let replaced = store.install_operating_points(tenant, CertificateDocument { id, json }, points, Timestamp::now()).await?;
    for (result, replaced) in results.iter_mut().filter(|result| result.threshold.is_some()).zip(replaced) {
        result.replaced = replaced;
    }
    Ok(results)
}

/// # Errors
/// [`InstallError::WouldReplace`].
async fn replaces_nothing_trusted(
    store: &Store,
    tenant: TenantId,
    (running, trusted): (&Running, &Trusted),
    points: &[NewOperatingPoint],
) -> Result<(), InstallError> {
    for StoredPoint { key, certificate, .. } in store.operating_points().await?.into_iter().filter(|point| point.tenant == tenant) {
        if !points.iter().any(|point| point.key == key) {
            continue;
        }
        // One that cannot be read is not in force.
        let document = store.certificate(tenant, certificate).await?.and_then(|json| certificates::parse(json.as_bytes()).ok());
        if let Some(signer) = document.and_then(|document| examine(&document, running, trusted).signer) {
            return Err(InstallError::WouldReplace { key, in_force: certificate, signer });
        }
    }
    Ok(())
}

/// For each population the first claim for the target, with its place in the document.
fn chosen(certificate: &Certificate, target: Target) -> Result<Vec<(u32, &Claim)>, InstallError> {
    let mut slices = BTreeSet::new();
    let claims: Vec<_> =
        (0..).zip(certificate.claims()).filter(|(_, claim)| target.matches(claim) && slices.insert(&claim.slice)).collect();
    if claims.is_empty() {
        let mut known: Vec<String> = certificate.claims().map(target_text).collect();
        known.dedup();
        return Err(InstallError::NoTarget { known: known.join(", ") });
    }
    Ok(claims)
}

fn target_text(claim: &Claim) -> String {
    let text = |target: Option<f64>| target.map_or_else(|| "none".to_owned(), |target| target.to_string());
    match claim.kind {
        ClaimKind::Precision => format!("precision {}", text(claim.target_precision)),
        ClaimKind::Recall => format!("recall {}", text(claim.target_recall)),
    }
}

fn insufficient(claim: &Claim) -> String {
    let of = claim.slice.as_ref().map(|slice| format!("{slice}: ")).unwrap_or_default();
    let reason = claim.reason.as_deref().unwrap_or("no score of 32 bits reaches the threshold");
    let needed = claim.needed.as_ref().map(|needed| format!(" ({})", needed.text)).unwrap_or_default();
    format!("{of}{reason}{needed}")
}

/// Takes the claim for exactly this key out of force; the id of its certificate. What is then in force is the claim for everything, or the
/// configuration's threshold.
///
/// # Errors
/// The store's `NotFound` when no certificate is in force for it.
pub async fn retire(store: &Store, tenant: TenantId, key: PointKey) -> Result<Uuid, StoreError> {
    store.retire_operating_point(tenant, key, Timestamp::now()).await
}
