//! Whether a certificate is valid here: signed by somebody who is trusted, for the model that runs.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::{
    points::{Evidence, PointInForce},
    serving_threshold,
};
use crate::{
    config::Config,
    domain::{certificate::Certificate, operating_point::OperatingPoint},
    services::certificates::{self, ModelFacts, PublicKey, SigningKey},
    store::StoredPoint,
};

/// The models that run here, by the name of their folder.
#[derive(Clone, Debug, Default)]
pub struct Running(Vec<(String, ModelFacts)>);

impl Running {
    /// Those that a server with this configuration would run, as far as their manifests can be read.
    pub fn load(config: &Config) -> Self {
        let names = config.models.image.iter().chain(&config.models.conversation);
        names.filter_map(|name| Some((name.clone(), ModelFacts::load(config, name).ok()?))).collect()
    }

    /// The model whose scores have this technology.
    pub fn get(&self, technology: &str) -> Option<&ModelFacts> {
        self.0.iter().map(|(_, facts)| facts).find(|facts| facts.technology == technology)
    }

    /// The technology of the model in this folder; the name itself when there is none such.
    pub fn technology<'a>(&'a self, name: &'a str) -> &'a str {
        self.0.iter().find(|(folder, _)| folder == name).map_or(name, |(_, facts)| &facts.technology)
    }

    /// All of them.
    pub fn technologies(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(_, facts)| facts.technology.as_str())
    }
}

impl FromIterator<(String, ModelFacts)> for Running {
    fn from_iter<T: IntoIterator<Item = (String, ModelFacts)>>(models: T) -> Self {
        Self(models.into_iter().collect())
    }
}

/// Whose signatures are believed, with their names.
#[derive(Clone, Debug, Default)]
pub struct Trusted(BTreeMap<PublicKey, String>);

impl Trusted {
    /// What the data directory's own key is called.
    pub const OWN: &'static str = "this data directory";

    /// The data directory's own key, if it has one already, and `others`. Bytes that are no key are left out: they sign nothing.
    pub fn new(data_dir: &Path, others: impl IntoIterator<Item = ([u8; 32], String)>) -> Self {
        let others = others.into_iter().filter_map(|(bytes, name)| Some((PublicKey::new(bytes).ok()?, name)));
        let own = SigningKey::open(&data_dir.join(certificates::KEY_FILE)).ok();
        Self(others.chain(own.map(|key| (key.public(), Self::OWN.to_owned()))).collect())
    }

    /// Why the data directory's own key, which is there, cannot be used: then what it signed is not believed.
    pub(super) fn own_problem(data_dir: &Path) -> Option<String> {
        let path = data_dir.join(certificates::KEY_FILE);
        let error = SigningKey::open(&path).err().filter(|_| path.exists())?;
        Some(format!("{error}; until then certificates that it signed are not believed"))
    }

    /// The name under which a key is trusted.
    pub fn name(&self, key: &PublicKey) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

/// What a problem begins with where nobody believes the signer. Ledgers hold it.
pub(in crate::services) const UNTRUSTED: &str = "nobody here trusts the key that signed it";

/// What was found out about a certificate here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// Why it is not valid here; empty when it is.
    pub problems: Vec<String>,
    /// The name under which its signer is trusted; `None` when nobody trusts the signer or the document is not as it was signed.
    pub signer: Option<String>,
    /// Whether the document is as signed and its scores are those of the model that runs, so that its calibrator means something.
    pub calibrates: bool,
}

/// Checks signature, trust and binding.
pub fn examine(certificate: &Certificate, running: &Running, trusted: &Trusted) -> Examined {
    let mut problems = Vec::new();
    let verified = certificates::verify(certificate);
    let intact = verified.is_ok();
    let signer = verified.as_ref().ok().and_then(|key| trusted.name(key)).map(str::to_owned);
    match verified {
        Err(error) => problems.push(format!("the certificate {error}")),
        Ok(key) if signer.is_none() => problems.push(format!("{UNTRUSTED}, {key}")),
        Ok(_) => {}
    }
    let mut same_model = false;
    match &certificate.model {
        None => problems.push("it is bound to no model".to_owned()),
        Some(bound) => match running.get(&bound.name) {
            None => problems.push(format!("the model {} does not run here", bound.name)),
            Some(facts) => {
                same_model = bound.digest.as_ref() == Some(&facts.digest);
                problems.extend(facts.differences(bound));
            }
        },
    }
    Examined { problems, signer, calibrates: intact && same_model }
}

/// What is in force because of a stored claim.
///
/// # Errors
/// In words, when the document has no such claim or the claim no threshold that scores can reach: then it cannot be in force.
pub(super) fn installed(
    stored: &StoredPoint,
    certificate: &Arc<Certificate>,
    running: &Running,
    trusted: &Trusted,
) -> Result<PointInForce, String> {
    let claim = certificate.claims().nth(stored.claim as usize).ok_or("it has no such claim")?;
    let threshold = claim.threshold.and_then(serving_threshold).ok_or("it has no threshold that a score can reach")?;
    let Examined { problems, signer, calibrates } = examine(certificate, running, trusted);
    let claimed = OperatingPoint {
        threshold,
        target_precision: claim.target_precision,
        target_recall: claim.target_recall,
        confidence: Some(claim.confidence),
        prevalence: claim.prevalence,
        certified: claim.certified,
        precision_lower: claim.precision_lower,
        recall: claim.recall_observed,
        certificate: Some(certificate.id.clone()),
        reason: claim.reason.clone(),
        fallback: None,
        live: None,
    };
    let broken = (!problems.is_empty()).then(|| problems.join("; "));
    let point = match &broken {
        Some(reason) => OperatingPoint { recall: None, ..claimed.uncertified(reason) },
        None => claimed,
    };
    let (certificate, since) = (certificate.clone(), stored.installed_at);
    let evidence = Evidence { certificate, claim: stored.claim as usize, since, signer, broken, calibrates };
    Ok(PointInForce::new(stored.key.clone(), point, Some(evidence)))
}
