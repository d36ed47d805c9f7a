//! The operating points in force: which threshold holds for which label, and what is known of it.
//!
//! A threshold comes from two places. Configuration sets it without evidence; a certificate that was put into force with
//! `nightlight operating-point install` sets it with evidence, and counts before the configuration. Every time a certificate is read, and not
//! only when it is installed, it is [`examine`]d: is it as it was signed, is the signer trusted, is it for the model, the preprocessing, the compute
//! dtype, the execution provider and the rule for several looks that run here? If not, its threshold stays, because a server that silently flagged something else would be
//! worse, and the answer says `certified: false` and why.
//!
//! A certificate that names no rule is from before there were several looks at an attachment: it holds for scores of one look, those of several say
//! `certified: false`, and lists of points say so by [`PointInForce::one_look_only`].
//!
//! A claim is about a population: everything, or one slice, which is a service as `context.service` names it. A call meets the claim for its service, or the one
//! for everything. A service's `prevalence` (configuration) moves the probabilities that people read, and decides whether a precision claim holds
//! there: at a higher prevalence than claimed precision is higher, at a lower one nothing is known.
//!
//! Over all that lie the [`Overlays`] of live monitoring: what review decisions say of a key, and, where they contradict the certificate, that it is not
//! certified any more and what is done instead of its threshold.
//!
//! [`OperatingPoints`] keeps one immutable [`Points`] per tenant and swaps it when the store's tail of changes has grown, whoever wrote the change. A
//! call takes [`snapshot`](OperatingPoints::snapshot) once; a change never reaches a call that is under way.
//!
//! # How to read a certificate
//! `precision_lower` is the number to look at: at the `confidence`, the precision among what is flagged is at least that, for traffic with this
//! `prevalence` or a higher one in which the model behaves as on the data of the certificate. `recall` is what was observed there, and `recall_interval`
//! says how well it is known. `assumptions` are what has to be true and cannot be seen from the data; who does not believe one of them does not have
//! the claim. `certified: false` always comes with a `reason`.

mod check;
mod install;
mod points;
#[cfg(test)]
mod tests;
mod threshold;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(in crate::services) use self::check::UNTRUSTED;
use self::points::Base;
pub use self::{
    check::{Examined, Running, Trusted, examine},
    install::{InstallError, Installed, Replacing, Target, install, retire},
    points::{Evidence, Overlay, Overlays, Override, PointInForce, Points, ThresholdOverride, Warning},
    threshold::serving_threshold,
};
#[cfg(test)]
use crate::testing::certificates as fixtures;
use crate::{
    config::{Config, Service},
    domain::{
        certificate::Certificate,
        ids::TenantId,
        operating_point::{OperatingPoint, PointKey},
        score::as_written,
        time::Timestamp,
    },
    services::{
        certificates::{self, CertificateError},
        health::Rounds,
    },
    store::{CertificateKey, Store, StoreError, StoredPoint},
    telemetry::metric,
};

/// All tenants' operating points in force.
pub struct OperatingPoints {
    store: Store,
    data_dir: PathBuf,
    services: BTreeMap<String, Service>,
    running: Running,
    /// The thresholds of the configuration, which hold for every tenant.
    configured: Vec<PointInForce>,
    current: ArcSwap<Current>,
    /// What the points in force were made of; one change at a time.
    made_of: tokio::sync::Mutex<MadeOf>,
    /// How refreshing goes, for `/readyz`.
    rounds: Rounds,
}

/// What is in force now.
#[derive(Default)]
struct Current {
    tenants: HashMap<TenantId, Arc<Points>>,
    /// Of tenants without a certificate: the configuration's.
    configured: Arc<Points>,
}

#[derive(Default)]
struct MadeOf {
    change: Option<i64>,
    tenants: HashMap<TenantId, Base>,
    overlays: HashMap<TenantId, Overlays>,
    /// Labels of the gauges that were set, so that those of a retired point can be unset.
    gauges: BTreeSet<[String; 3]>,
}

impl OperatingPoints {
    /// Everything in force, for models that run.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn load(config: &Config, running: Running, store: Store) -> Result<Arc<Self>, StoreError> {
        let point = |((model, label), point): &((String, String), OperatingPoint)| {
            let technology = running.technology(model).to_owned();
            PointInForce::new(PointKey { technology, label: label.clone(), slice: None }, point.clone(), None)
        };
        let points = Self {
            configured: config.operating_points.iter().map(point).collect(),
            store,
            data_dir: config.data_dir.clone(),
            services: config.services.clone(),
            running,
            current: ArcSwap::default(),
            made_of: tokio::sync::Mutex::default(),
            rounds: Rounds::default(),
        };
        points.refresh().await?;
        Ok(Arc::new(points))
    }

    /// What is in force for `tenant` now.
    pub fn snapshot(&self, tenant: TenantId) -> Arc<Points> {
        let current = self.current.load();
        current.tenants.get(&tenant).unwrap_or(&current.configured).clone()
    }

    /// A certificate that is or was in force, as it was installed.
    ///
    /// # Errors
    /// The store's; [`StoreError::Corrupt`] when the document cannot be read.
    pub async fn certificate(&self, tenant: TenantId, id: Uuid) -> Result<Option<Certificate>, StoreError> {
        let Some(json) = self.store.certificate(tenant, id).await? else { return Ok(None) };
        let corrupt = |error: CertificateError| StoreError::Corrupt { what: "certificate", detail: error.to_string() };
        certificates::parse(json.as_bytes()).map(Some).map_err(corrupt)
    }

    /// Names of services that the configuration knows, with what it says of them.
    pub fn services(&self) -> &BTreeMap<String, Service> {
        &self.services
    }

    /// Since when they cannot be refreshed; `None` when they can.
    pub fn behind_since(&self) -> Option<Timestamp> {
        self.rounds.failing_since()
    }

    /// [`warnings`](Self::warnings) as text, each with its mend.
    pub fn warning_texts(&self) -> Vec<String> {
        self.warnings().iter().map(ToString::to_string).collect()
    }

    /// What an operator should know: installed certificates that are not valid here, models that nothing is in force for, and a signing key that cannot be used.
    pub fn warnings(&self) -> Vec<Warning> {
        let broken: BTreeSet<Warning> = self.current.load().tenants.values().flat_map(|points| points.warnings()).collect();
        let points = self.snapshot(TenantId::DEFAULT);
        let silent = self.running.technologies().filter(|technology| !points.iter().any(|point| point.key.technology == *technology));
        let silent = silent.map(|technology| Warning {
            text: format!("the model {technology} has no operating point: its scores are told and flag nothing"),
            mend: "set one in [[operating_points]], or install a certificate".to_owned(),
        });
        let own = Trusted::own_problem(&self.data_dir)
            .map(|text| Warning { text, mend: "put the key back from a backup, with mode 0600".to_owned() });
        broken.into_iter().chain(silent).chain(own).collect()
    }

    /// Takes over what changed in the store since the last time. Cheap when nothing did.
    ///
    /// # Errors
    /// When the store cannot be read; the points stay as they were.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let mut made_of = self.made_of.lock().await;
        let change = self.store.last_operating_point_change().await?;
        if made_of.change == Some(change) {
            return Ok(());
        }
        let (stored, keys) = (self.store.operating_points().await?, self.store.certificate_keys().await?);
        made_of.tenants = self.read(&stored, &keys);
        made_of.change = Some(change);
        self.publish(&mut made_of);
        Ok(())
    }

    /// The configuration with the certificates laid over it, for every tenant that has some.
    fn read(&self, stored: &[StoredPoint], keys: &[CertificateKey]) -> HashMap<TenantId, Base> {
        let mut tenants: HashMap<TenantId, (Trusted, Base)> = HashMap::new();
        let mut documents: HashMap<*const str, Result<Arc<Certificate>, String>> = HashMap::new();
        for stored in stored {
            let (trusted, base) = tenants.entry(stored.tenant).or_insert_with(|| {
                let of_tenant = keys.iter().filter(|key| key.tenant == stored.tenant);
                let trusted = Trusted::new(&self.data_dir, of_tenant.map(|key| (key.public_key, key.name.clone())));
                (trusted, Base { points: self.configured.clone(), unusable: Vec::new() })
            });
            // Claims of one certificate share its text.
            let certificate = documents
                .entry(Arc::as_ptr(&stored.document))
                .or_insert_with(|| certificates::parse(stored.document.as_bytes()).map(Arc::new).map_err(|error| format!("it {error}")));
            match certificate.clone().and_then(|certificate| check::installed(stored, &certificate, &self.running, trusted)) {
                Ok(point) => base.points.push(point),
                Err(reason) => {
                    let text =
                        format!("operating point {}: the certificate {} cannot be in force: {reason}", stored.key, stored.certificate);
                    tracing::error!("{text}");
                    base.unusable.push((stored.key.clone(), text));
                }
            }
        }
        tenants.into_iter().map(|(tenant, (_, base))| (tenant, base)).collect()
    }

    /// Lays what live monitoring says over the points of `tenant`, in the place of what it said before. In force when this returns.
    pub async fn set_overlays(&self, tenant: TenantId, overlays: Overlays) {
        let mut made_of = self.made_of.lock().await;
        if made_of.overlays.get(&tenant).unwrap_or(&Overlays::new()) != &overlays {
            made_of.overlays.insert(tenant, overlays);
            self.publish(&mut made_of);
        }
    }

    /// Puts what `made_of` comes to into force.
    fn publish(&self, made_of: &mut MadeOf) {
        let none = Overlays::new();
        let configured = Base { points: self.configured.clone(), unusable: Vec::new() };
        let known: BTreeSet<TenantId> = made_of.tenants.keys().chain(made_of.overlays.keys()).copied().collect();
        let points = |tenant: &TenantId| {
            let base = made_of.tenants.get(tenant).unwrap_or(&configured);
            Arc::new(Points::new(base, &self.services, made_of.overlays.get(tenant).unwrap_or(&none)))
        };
        let tenants: HashMap<_, _> = known.iter().map(|tenant| (*tenant, points(tenant))).collect();
        let configured = Arc::new(Points::new(&configured, &self.services, &none));
        gauges(tenants.get(&TenantId::DEFAULT).unwrap_or(&configured), &mut made_of.gauges);
        self.current.store(Arc::new(Current { tenants, configured }));
    }

    /// Refreshes every `every` until `stop`.
    pub async fn watch(self: Arc<Self>, every: Duration, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
            let failure = self.refresh().await.err().map(|error| error.to_string());
            if self.rounds.ended(failure.clone()) {
                tracing::error!(error = failure, "the operating points could not be refreshed; the last known ones stay in force");
            }
        }
    }
}

/// The gauges of the default tenant's points. `slice` is the service, or `all` for attachments of every other one. What is no longer in force keeps
/// its series, because a series that ends looks like a server that is gone: not certified, and without numbers.
fn gauges(points: &Points, set: &mut BTreeSet<[String; 3]>) {
    let mut known = std::mem::take(set);
    let mut tell = |labels: [String; 3], certified: bool, numbers: [Option<f64>; 3]| {
        let of = |name: &'static str| {
            let [technology, label, slice] = labels.clone();
            metrics::gauge!(name, "technology" => technology, "label" => label, "slice" => slice)
        };
        of(metric::OPERATING_POINT_CERTIFIED).set(f64::from(u8::from(certified)));
        let names = [metric::OPERATING_POINT_THRESHOLD, metric::OPERATING_POINT_TARGET_PRECISION, metric::OPERATING_POINT_PRECISION_LOWER];
        for (name, number) in names.into_iter().zip(numbers) {
            of(name).set(number.unwrap_or(f64::NAN));
        }
        set.insert(labels);
    };
    for point in points.iter() {
        let slice = point.service.clone().unwrap_or_else(|| "all".to_owned());
        let labels = [point.key.technology.clone(), point.key.label.clone(), slice];
        known.remove(&labels);
        let OperatingPoint { threshold, target_precision, precision_lower, certified, .. } = &point.point;
        tell(labels, *certified, [Some(as_written(threshold.get())), *target_precision, *precision_lower]);
    }
    known.into_iter().for_each(|labels| tell(labels, false, [None; 3]));
}
