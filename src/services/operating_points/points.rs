//! The points in force, and what they make of a score.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::serving_threshold;
use crate::{
    config::Service,
    domain::{
        certificate::{Certificate, Claim, ClaimKind},
        operating_point::{Fallback, Live, OperatingPoint, PointKey},
        score::{NotFinite, RawScore, Score, Technology},
        time::Timestamp,
    },
    services::certificates,
};

/// The certificate behind a point.
#[derive(Clone, Debug)]
pub struct Evidence {
    pub certificate: Arc<Certificate>,
    /// Which of its claims, from 0.
    pub claim: usize,
    /// When it was installed.
    pub since: Timestamp,
    /// The name under which its signer is trusted; `None` when nobody trusts the signer.
    pub signer: Option<String>,
    /// Why the certificate is not valid here; `None` when it is.
    pub broken: Option<String>,
    /// Whether its calibrator speaks of the model that runs.
    pub(super) calibrates: bool,
}

/// One point in force.
#[derive(Clone, Debug)]
pub struct PointInForce {
    /// The population that the point is for.
    pub key: PointKey,
    /// The service whose attachments meet the point in this form; `None` for all others. A claim about everything is another one for a
    /// service with a prevalence of its own.
    pub service: Option<String>,
    pub point: OperatingPoint,
    /// `None` for a threshold from the configuration.
    pub evidence: Option<Evidence>,
    /// The prevalence that probabilities are for.
    prevalence: Option<f64>,
}

/// What live monitoring says of a key: laid over the point in force for it, whatever that is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overlay {
    pub decertified: Option<Override>,
    /// A stricter threshold that review decisions confirmed in the place of the point's own. One that is not above it changes nothing.
    pub raised_to: Option<f64>,
    pub live: Option<Live>,
}

/// The point is not certified, whatever its certificate says.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    pub reason: String,
    /// What takes the place of the threshold; `None` keeps it.
    pub threshold: Option<ThresholdOverride>,
}

/// What takes the place of a threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ThresholdOverride {
    /// Every score is flagged.
    QueueEverything,
    /// A stricter threshold. One that is not above the point's own changes nothing.
    Raise(f64),
    /// Nothing is flagged.
    Shadow,
}

/// Overlays by key. One for a service lies over what is in force for that service, be it a claim of its own or the one for everything.
pub type Overlays = HashMap<PointKey, Overlay>;

impl PointInForce {
    pub(super) fn new(key: PointKey, point: OperatingPoint, evidence: Option<Evidence>) -> Self {
        let mut new = Self { key, service: None, point, evidence, prevalence: None };
        new.prevalence = new.claim().and_then(|claim| claim.prevalence);
        new
    }

    /// The claim that is in force.
    pub fn claim(&self) -> Option<&Claim> {
        self.evidence.as_ref().and_then(|evidence| evidence.certificate.claims().nth(evidence.claim))
    }

    /// The probability of a raw score for people to read: by the certificate's calibrator, for the prevalence of the service, or of the claim where
    /// nobody said one.
    pub fn probability(&self, raw: RawScore) -> Option<f64> {
        let evidence = self.evidence.as_ref().filter(|evidence| evidence.calibrates)?;
        let calibrator = evidence.certificate.calibrator.as_ref()?;
        Some(calibrator.probability_at(f64::from(raw.get()), self.prevalence))
    }

    /// The point as it is for a score that is the highest of several looks at an attachment, or the only one. A certificate whose binding names no rule was made when there was
    /// one look only: of several it says nothing.
    fn point_for(&self, several: bool) -> OperatingPoint {
        let point = self.point.clone();
        if several && self.one_look_only().is_some() { point.uncertified(ONE_LOOK) } else { point }
    }

    /// Why a score that is the highest of several looks is not certified although the point is; `None` where it is, or where no score is certified at all.
    pub fn one_look_only(&self) -> Option<&'static str> {
        let evidence = self.evidence.as_ref().filter(|_| self.point.certified)?;
        let unruled = evidence.certificate.model.as_ref().is_none_or(|model| model.rule.is_none());
        unruled.then_some(ONE_LOOK)
    }

    /// The same point for a service. A precision claim holds at its own prevalence and at every higher one, because precision grows with
    /// prevalence while recall and false-positive rate stay; at a lower one it says nothing. Recall does not depend on prevalence.
    fn for_service(mut self, name: &str, service: Option<&Service>) -> Self {
        self.service = Some(name.to_owned());
        let Some(prevalence) = service.and_then(|service| service.prevalence) else { return self };
        self.prevalence = Some(prevalence);
        if let Some(claim) = self.claim().filter(|claim| claim.kind == ClaimKind::Precision)
            && let Some(claimed) = claim.prevalence.filter(|claimed| prevalence < *claimed)
        {
            let reason = format!("the precision is claimed for a prevalence of {claimed} or more, and the service {name} has {prevalence}");
            self.point = self.point.uncertified(&reason);
        }
        self
    }

    fn overlaid(mut self, overlay: Option<&Overlay>) -> Self {
        let Some(overlay) = overlay else { return self };
        if overlay.live.is_some() {
            self.point.live.clone_from(&overlay.live);
        }
        if let Some(to) = overlay.raised_to {
            self.raise(to);
            // What the certificate says of precision it says of its own threshold.
            self.point.precision_lower = None;
        }
        if let Some(over) = &overlay.decertified {
            self.point = self.point.uncertified(&over.reason);
            match over.threshold {
                None => {}
                Some(ThresholdOverride::QueueEverything) => self.point.fallback = Some(Fallback::QueueEverything),
                Some(ThresholdOverride::Shadow) => self.point.fallback = Some(Fallback::Shadow),
                Some(ThresholdOverride::Raise(to)) => self.raise(to),
            }
        }
        self
    }

    fn raise(&mut self, to: f64) {
        if let Some(raised) = serving_threshold(to).filter(|raised| *raised > self.point.threshold) {
            (self.point.threshold, self.point.fallback) = (raised, Some(Fallback::RaisedThreshold));
        }
    }
}

/// Why an older certificate says nothing of some scores.
const ONE_LOOK: &str = "the certificate is from before frames, transparency and disguised letters were looked at, and this score is the highest of several looks";

/// What points are made of, before services and overlays.
#[derive(Clone, Debug, Default)]
pub(super) struct Base {
    /// Of two with the same key the later one counts.
    pub points: Vec<PointInForce>,
    /// Installed certificates that cannot be in force, a sentence each.
    pub unusable: Vec<(PointKey, String)>,
}

/// Every point in force for a tenant, at one moment. Immutable: a call takes one and keeps it to its end.
#[derive(Clone, Debug, Default)]
pub struct Points {
    technologies: HashMap<String, HashMap<String, OfLabel>>,
    unusable: Vec<(PointKey, String)>,
}

/// The points of one label of one technology.
#[derive(Clone, Debug, Default)]
struct OfLabel {
    everything: Option<Arc<PointInForce>>,
    services: BTreeMap<String, Arc<PointInForce>>,
}

impl Points {
    /// Lays services and overlays over `base`.
    pub(super) fn new(Base { points: base, unusable }: &Base, services: &BTreeMap<String, Service>, overlays: &Overlays) -> Self {
        let mut technologies: HashMap<String, HashMap<String, OfLabel>> = HashMap::new();
        let labels: BTreeSet<_> = base.iter().map(|point| (&point.key.technology, &point.key.label)).collect();
        for (technology, label) in labels {
            let key = |slice: Option<&String>| PointKey { technology: technology.clone(), label: label.clone(), slice: slice.cloned() };
            let found = |key: &PointKey| base.iter().rev().find(|point| point.key == *key).cloned();
            let everything = key(None);
            let whole = found(&everything).map(|point| point.overlaid(overlays.get(&everything)));
            let of_label = |key: &PointKey| (&key.technology, &key.label) == (technology, label);
            let sliced = base.iter().map(|point| &point.key).chain(overlays.keys()).filter(|key| of_label(key));
            let configured = services.iter().filter(|(_, service)| service.prevalence.is_some()).map(|(name, _)| name);
            let names: BTreeSet<&String> = sliced.filter_map(|key| key.slice.as_ref()).chain(configured).collect();
            let mut points = OfLabel::default();
            for name in names {
                let key = key(Some(name));
                if let Some(point) = found(&key).or_else(|| whole.clone()) {
                    let point = point.for_service(name, services.get(name)).overlaid(overlays.get(&key));
                    points.services.insert(name.clone(), Arc::new(point));
                }
            }
            points.everything = whole.map(Arc::new);
            technologies.entry(technology.clone()).or_default().insert(label.clone(), points);
        }
        Self { technologies, unusable: unusable.clone() }
    }

    /// The point for an attachment of `service`: its own, or the one for everything.
    pub fn get(&self, technology: &str, label: &str, service: Option<&str>) -> Option<&Arc<PointInForce>> {
        let points = self.technologies.get(technology)?.get(label)?;
        service.and_then(|service| points.services.get(service)).or(points.everything.as_ref())
    }

    /// A score with its probability and its operating point; `several` says whether it is the highest of several looks at the attachment.
    ///
    /// # Errors
    /// When `raw` is not finite.
    pub fn score(&self, technology: &Technology, label: &str, raw: f32, service: Option<&str>, several: bool) -> Result<Score, NotFinite> {
        let raw = RawScore::new(raw)?;
        let point = self.get(technology.as_str(), label, service);
        Ok(Score {
            technology: technology.clone(),
            label: label.to_owned(),
            raw,
            probability: point.and_then(|point| point.probability(raw)),
            operating_point: point.map(|point| point.point_for(several)),
            detail: None,
            look: crate::domain::clip::Look::default(),
        })
    }

    /// All points, by technology, label and service, the one for everything first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<PointInForce>> {
        let mut all: Vec<_> = self
            .technologies
            .values()
            .flat_map(HashMap::values)
            .flat_map(|points| points.everything.iter().chain(points.services.values()))
            .collect();
        all.sort_by_key(|point| (point.key.technology.clone(), point.key.label.clone(), point.service.clone()));
        all.into_iter()
    }

    /// Why installed certificates are not valid here, or not even in force.
    pub fn warnings(&self) -> Vec<Warning> {
        let told = |point: &Arc<PointInForce>| {
            let evidence = point.evidence.as_ref()?;
            let reason = evidence.broken.as_ref()?;
            let text = format!("operating point {}: the certificate {} is not valid here: {reason}", point.key, evidence.certificate.id);
            Some(Warning { text, mend: mend(&point.key, evidence) })
        };
        let broken: BTreeSet<Warning> = self.iter().filter_map(told).collect();
        let unusable = self.unusable.iter().map(|(key, text)| Warning {
            text: text.clone(),
            mend: format!("install another certificate, or take it out of the list: {}", retire(key)),
        });
        unusable.chain(broken).collect()
    }
}

/// What an operator should know, and what mends it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// A sentence.
    pub text: String,
    /// A command, or what to correct.
    pub mend: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.text, self.mend)
    }
}

fn retire(key: &PointKey) -> String {
    let slice = key.slice.as_ref().map(|slice| format!(" --slice {slice}")).unwrap_or_default();
    format!("nightlight operating-point retire --model {} --label {}{slice}", key.technology, key.label)
}

/// What makes a certificate valid that is not: each reason has a mend of its own.
fn mend(key: &PointKey, evidence: &Evidence) -> String {
    match certificates::verify(&evidence.certificate) {
        Err(_) => format!("install the certificate again as it was signed, or retire it: {}", retire(key)),
        Ok(signer) if evidence.signer.is_none() => {
            format!("if you believe who signed it: nightlight operating-point trust --name NAME {signer}; else retire it: {}", retire(key))
        }
        Ok(_) => format!("calibrate again with what runs here and install that, or retire it: {}", retire(key)),
    }
}
