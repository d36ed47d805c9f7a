use super::{fixtures::certificate, *};
use crate::{
    config::Sources,
    domain::{
        certificate::ClaimKind,
        operating_point::{Fallback, Live, LiveState},
        score::{RawScore, Score, Technology},
        time::Timestamp,
    },
    services::certificates::{SigningKey, sign},
    store::{CertificateDocument, NewOperatingPoint, StoreOptions},
};

const TENANT: TenantId = TenantId::DEFAULT;
const MODEL: Technology = Technology::named("open-nsfw");

/// A data directory with a store and a key, and the committed models' manifests.
struct House {
    _folder: tempfile::TempDir,
    config: Config,
    running: Running,
    store: Store,
    key: SigningKey,
}

impl House {
    async fn with(services: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
        let env = vec![("NIGHTLIGHT__SERVICES".to_owned(), services.to_owned())];
        let sources = Sources { env, ..Sources::default() }.with_flag("--models", "models.directory", models);
        let config = Config::load(&sources.with_flag("--data-dir", "data_dir", folder.path().to_string_lossy())).unwrap();
        let store = Store::open(StoreOptions::new(config.store_file())).await.unwrap();
        let key = SigningKey::of_data_dir(&config.data_dir).unwrap();
        Self { running: Running::load(&config), _folder: folder, config, store, key }
    }

    async fn new() -> Self {
        Self::with("{}").await
    }

    /// Bound to the model that runs, changed, and signed.
    fn certificate(&self, change: impl FnOnce(&mut Certificate)) -> Certificate {
        let mut new = certificate();
        new.model = Some(self.running.get("open-nsfw").unwrap().binding("nsfw"));
        change(&mut new);
        sign(&mut new, &self.key);
        new
    }

    fn trusted(&self) -> Trusted {
        Trusted::new(&self.config.data_dir, [])
    }

    async fn install(&self, certificate: &Certificate) -> Result<Vec<Installed>, InstallError> {
        self.replace(certificate, Replacing::Trusted).await
    }

    async fn replace(&self, certificate: &Certificate, replacing: Replacing) -> Result<Vec<Installed>, InstallError> {
        install(&self.store, TENANT, (&self.running, &self.trusted()), certificate, (Target::First, replacing)).await
    }

    async fn points(&self) -> Arc<OperatingPoints> {
        OperatingPoints::load(&self.config, self.running.clone(), self.store.clone()).await.unwrap()
    }

    async fn score(&self, raw: f32, service: Option<&str>) -> Score {
        self.points().await.snapshot(TENANT).score(&MODEL, "nsfw", raw, service, false).unwrap()
    }
}

fn reason(score: &Score) -> &str {
    score.operating_point.as_ref().unwrap().reason.as_deref().unwrap_or("none")
}

#[tokio::test]
async fn a_certificate_counts_before_the_configuration_until_it_is_retired() {
    let house = House::new().await;
    let configured = house.score(0.82, None).await;
    assert!(configured.flagged() && configured.probability.is_none() && reason(&configured).contains("set by configuration"));

    let first = house.certificate(|_| {});
    let installed = house.install(&first).await.unwrap();
    assert_eq!((installed.len(), installed[0].certified, installed[0].replaced), (1, true, None));
    for (raw, flagged) in [(0.83_f32.next_down(), false), (0.83, true), (0.83_f32.next_up(), true)] {
        let score = house.score(raw, None).await;
        let point = score.operating_point.as_ref().unwrap();
        assert_eq!((score.flagged(), point.certified, point.precision_lower), (flagged, true, Some(0.9902)));
        // slope -10, intercept 5: the odds at 0.83 are e^3.3; the claim's prevalence is the calibrator's.
        let expected = 1.0 / (1.0 + (5.0 - 10.0 * f64::from(raw)).exp());
        assert!((score.probability.unwrap() - expected).abs() < 1e-12);
    }
    // Sample's other labels stay as configured: never flagged.
    assert!(house.points().await.snapshot(TENANT).get("open-nsfw", "sfw", None).is_none());

    let second = house.certificate(|new| new.claim.threshold = Some(0.5));
    let replaced = house.install(&second).await.unwrap()[0].replaced;
    assert_eq!(replaced.map(|id| id.to_string()), Some(first.id.clone()));
    assert!(house.score(0.5, None).await.flagged());

    let key = PointKey { technology: "open-nsfw".into(), label: "nsfw".into(), slice: None };
    assert_eq!(retire(&house.store, TENANT, key.clone()).await.unwrap().to_string(), second.id);
    assert!(reason(&house.score(0.5, None).await).contains("set by configuration"));
    assert!(matches!(retire(&house.store, TENANT, key).await, Err(StoreError::NotFound(_))));
    let kinds: Vec<_> = house.store.ledger_events(TENANT, 0, 100).await.unwrap().into_iter().map(|entry| entry.kind).collect();
    let (installed, retired) = ("operating_point_installed", "operating_point_retired");
    assert_eq!(kinds, [installed, retired, installed, retired]);
}

#[tokio::test]
async fn what_can_never_be_valid_is_refused_and_changes_nothing() {
    let house = House::new().await;
    let mut tampered = house.certificate(|_| {});
    tampered.claim.precision_lower = Some(0.9999);
    let unbound = house.certificate(|new| new.model = None);
    let elsewhere = house.certificate(|new| new.model.as_mut().unwrap().name = "other".into());
    let mislabelled = house.certificate(|new| new.model.as_mut().unwrap().label = "other".into());
    let insufficient = house.certificate(|new| {
        (new.claim.certified, new.claim.threshold) = (false, None);
        new.claim.reason = Some("12 flagged items are too few".into());
    });
    for (certificate, expected) in [
        (Certificate { signature: None, ..tampered.clone() }, "is not signed"),
        (tampered, "was changed after it was signed"),
        (unbound, "--model and --label"),
        (elsewhere, "does not run here; the models are open-nsfw, conversation-demo"),
        (mislabelled, "has no label \"other\"; its labels are sfw, nsfw"),
        (insufficient, "12 flagged items are too few"),
    ] {
        let error = house.install(&certificate).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(matches!(error, InstallError::Insufficient(_)), expected.contains("too few"));
    }
    assert!(house.store.operating_points().await.unwrap().is_empty());
    assert_eq!(house.store.last_operating_point_change().await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_not_certified_here_keeps_its_threshold_and_says_why() {
    let house = House::new().await;
    let others_key = SigningKey::of_data_dir(&house.config.data_dir.join("other")).unwrap();
    let mut untrusted = house.certificate(|_| {});
    sign(&mut untrusted, &others_key);
    let other_model = house.certificate(|new| new.model.as_mut().unwrap().digest = Some("sha256:00".into()));
    let other_provider = house.certificate(|new| new.model.as_mut().unwrap().provider = Some("cuda".into()));
    let unknown_model = house.certificate(|new| new.model.as_mut().unwrap().digest = None);
    for (certificate, expected, calibrates) in [
        (&untrusted, "nobody here trusts the key", true),
        (&other_model, "another version of the model: sha256:00 there", false),
        (&other_provider, "another execution provider: cuda there, cpu here", true),
        (&unknown_model, "bound to no digest", false),
    ] {
        let installed = house.install(certificate).await.unwrap();
        assert!(!installed[0].certified && installed[0].reason.as_ref().unwrap().contains(expected), "{installed:?}");
        let score = house.score(0.83, None).await;
        let point = score.operating_point.as_ref().unwrap();
        assert!(score.flagged() && !point.certified && point.precision_lower.is_none(), "{point:?}");
        assert!(reason(&score).contains(expected), "{}", reason(&score));
        assert_eq!(score.probability.is_some(), calibrates, "{expected}");
        let warnings = house.points().await.warning_texts();
        assert!(warnings.len() == 1 && warnings[0].contains(expected), "{warnings:?}");
        let mend = if expected.contains("trusts") { "operating-point trust --name NAME" } else { "calibrate again with what runs here" };
        assert!(warnings[0].contains(mend) && warnings[0].contains("retire --model open-nsfw --label nsfw"), "{warnings:?}");
    }

    // What somebody trusts is in force by now, and stays so until somebody means it.
    let refused = house.install(&untrusted).await.unwrap_err().to_string();
    assert!(refused.contains("nobody here trusts") && refused.contains("--force") && refused.contains(&unknown_model.id), "{refused}");
    assert_eq!(house.score(0.83, None).await.operating_point.unwrap().certificate, Some(unknown_model.id.clone()));
    // Trust is asked each time, and takes effect without a new installation.
    house.replace(&untrusted, Replacing::Any).await.unwrap();
    let points = house.points().await;
    let certified = || points.snapshot(TENANT).get("open-nsfw", "nsfw", None).unwrap().point.certified;
    assert!(!certified());
    house.store.trust_certificate_key(TENANT, others_key.public().bytes(), "partner".into(), Timestamp::now()).await.unwrap();
    points.refresh().await.unwrap();
    assert!(certified() && points.warning_texts().is_empty());
    house.store.untrust_certificate_key(TENANT, "partner".into(), Timestamp::now()).await.unwrap();
    points.refresh().await.unwrap();
    assert!(!certified());
}

/// Somebody with access to the database writes what nobody signed.
#[tokio::test]
async fn a_document_that_was_changed_in_the_database_is_found_out() {
    let house = House::new().await;
    let certificate = house.certificate(|_| {});
    let key = PointKey { technology: "open-nsfw".into(), label: "nsfw".into(), slice: None };
    let write = async |id: &str, json: String| {
        let point = NewOperatingPoint { key: key.clone(), claim: 0, threshold: 0.83, reason: None };
        let document = CertificateDocument { id: id.parse().unwrap(), json };
        house.store.install_operating_points(TENANT, document, vec![point], Timestamp::now()).await.unwrap();
    };
    let json = serde_json::to_string(&certificate).unwrap();
    write(&certificate.id, json.replace("\"threshold\":0.83", "\"threshold\":0.01")).await;
    let score = house.score(0.02, None).await;
    assert!(score.flagged() && reason(&score).contains("was changed after it was signed") && score.probability.is_none());

    // What cannot even be read leaves the configuration's threshold in force, and is told.
    write(&uuid::Uuid::now_v7().to_string(), json.replace("\"version\":1", "\"version\":7")).await;
    assert!(reason(&house.score(0.9, None).await).contains("set by configuration"));
    let warnings = house.points().await.warning_texts();
    assert!(warnings.len() == 1 && warnings[0].contains("has version 7"), "{warnings:?}");
}

#[tokio::test]
async fn a_service_with_a_lower_prevalence_than_claimed_has_no_claim() {
    let house = House::with("{ rare = { prevalence = 0.0001 }, dense = { prevalence = 0.5 }, unknown = {} }").await;
    house.install(&house.certificate(|_| {})).await.unwrap();
    let certified = async |service| house.score(0.9, service).await.operating_point.unwrap().certified;
    // Claimed for 10 %.
    assert_eq!([certified(None).await, certified(Some("dense")).await, certified(Some("elsewhere")).await], [true; 3]);
    let rare = house.score(0.9, Some("rare")).await;
    let point = rare.operating_point.as_ref().unwrap();
    assert!(rare.flagged() && !point.certified && point.precision_lower.is_none() && point.recall.is_some());
    assert!(reason(&rare).contains("a prevalence of 0.1 or more, and the service rare has 0.0001"), "{}", reason(&rare));
    assert!(house.points().await.warning_texts().is_empty(), "the certificate itself is valid here");
    // Odds e^4 at 10 % become odds e^4 * (0.0001/0.9999) / (0.1/0.9) at 0.01 %.
    let expected = |prior: f64| {
        let odds = 4f64.exp() * (prior / (1.0 - prior)) / (0.1 / 0.9);
        odds / (1.0 + odds)
    };
    for (service, prior) in [(Some("rare"), 0.0001), (Some("dense"), 0.5), (None, 0.1)] {
        let probability = house.score(0.9, service).await.probability.unwrap();
        assert!((probability - expected(prior)).abs() < 1e-6, "{service:?}: {probability}"); // 0.9 is a float of 32 bits
    }

    // Recall does not depend on prevalence.
    let recall = house.certificate(|new| {
        new.claim.kind = ClaimKind::Recall;
        (new.claim.target_precision, new.claim.target_recall) = (None, Some(0.7));
    });
    house.install(&recall).await.unwrap();
    assert!(house.score(0.9, Some("rare")).await.operating_point.unwrap().certified);
}

#[tokio::test]
async fn a_slice_has_its_own_claim_and_the_others_the_one_for_everything() {
    let house = House::with("{ chat = { prevalence = 0.2 } }").await;
    let certificate = house.certificate(|new| {
        let claim = |slice: &str, threshold| crate::domain::certificate::Claim {
            slice: Some(slice.into()),
            threshold,
            certified: threshold.is_some(),
            ..new.claim.clone()
        };
        let stricter = crate::domain::certificate::Claim { target_precision: Some(0.999), threshold: Some(0.95), ..new.claim.clone() };
        new.points = vec![stricter, claim("photos", Some(0.7)), claim("chat", None)];
    });
    let installed = house.install(&certificate).await.unwrap();
    let told: Vec<_> = installed.iter().map(|point| (point.key.slice.as_deref(), point.threshold, point.certified)).collect();
    assert_eq!(told, [(None, Some(0.83), true), (Some("photos"), Some(0.7), true), (Some("chat"), None, false)]);
    let threshold = async |service| house.score(0.9, service).await.operating_point.unwrap().threshold.get();
    assert_eq!((threshold(None).await, threshold(Some("photos")).await, threshold(Some("chat")).await), (0.83, 0.7, 0.83));

    let target =
        async |target| install(&house.store, TENANT, (&house.running, &house.trusted()), &certificate, (target, Replacing::Trusted)).await;
    assert_eq!(target(Target::Precision(0.999)).await.unwrap()[0].threshold, Some(0.95));
    assert_eq!((threshold(None).await, threshold(Some("photos")).await), (0.95, 0.7), "only what it names is replaced");
    let error = target(Target::Precision(0.5)).await.unwrap_err().to_string();
    assert!(error.contains("precision 0.99, precision 0.999"), "{error}");
}

#[tokio::test]
async fn live_monitoring_lies_over_everything_else() {
    let house = House::with("{ rare = { prevalence = 0.0001 } }").await;
    house.install(&house.certificate(|_| {})).await.unwrap();
    let points = house.points().await;
    let key = |slice: Option<&str>| PointKey { technology: "open-nsfw".into(), label: "nsfw".into(), slice: slice.map(str::to_owned) };
    let live =
        |state| Live { state, decisions: 500, precision_observed: None, precision_lower: None, precision_upper: None, expires: None };
    let decertified = |threshold| Overlay {
        decertified: Some(Override { reason: "review decisions contradict it".into(), threshold }),
        raised_to: None,
        live: Some(live(LiveState::Violated)),
    };
    let get = |service: Option<&str>| points.snapshot(TENANT).get("open-nsfw", "nsfw", service).unwrap().point.clone();
    let before = points.snapshot(TENANT);

    // For one service: the others do not notice.
    points.set_overlays(TENANT, [(key(Some("photos")), decertified(Some(ThresholdOverride::Raise(0.91))))].into()).await;
    let photos = get(Some("photos"));
    assert_eq!((photos.certified, photos.threshold.get(), photos.fallback), (false, 0.91, Some(Fallback::RaisedThreshold)));
    assert_eq!((get(None).certified, get(None).live), (true, None));

    // For everything: every service that has no claim of its own.
    for (threshold, fallback, flags_from) in [
        (None, None, 0.83),
        (Some(ThresholdOverride::Raise(0.5)), None, 0.83),
        (Some(ThresholdOverride::Shadow), Some(Fallback::Shadow), f32::INFINITY),
        (Some(ThresholdOverride::QueueEverything), Some(Fallback::QueueEverything), f32::NEG_INFINITY),
    ] {
        let confirmed = Overlay { decertified: None, raised_to: None, live: Some(live(LiveState::Confirmed)) };
        points.set_overlays(TENANT, [(key(None), decertified(threshold)), (key(Some("chat")), confirmed)].into()).await;
        for service in [None, Some("photos"), Some("rare"), Some("chat")] {
            let point = get(service);
            assert_eq!((point.certified, point.fallback, point.flags_from()), (false, fallback, flags_from), "{service:?}");
            assert!(point.reason.unwrap().contains("review decisions contradict it"));
            let expected = if service == Some("chat") { LiveState::Confirmed } else { LiveState::Violated };
            assert_eq!(point.live.unwrap().state, expected, "{service:?}");
        }
    }
    assert!(before.get("open-nsfw", "nsfw", Some("photos")).unwrap().point.certified, "what a call has taken stays as it was");

    points.set_overlays(TENANT, Overlays::new()).await;
    assert!(get(Some("photos")).certified && get(None).certified && !get(Some("rare")).certified);
}

/// A certificate of 59328be: it names no rule, because there was one look.
#[tokio::test]
async fn a_certificate_without_a_rule_holds_for_one_look_and_says_why_not_for_several() {
    let house = House::new().await;
    let ruled = house.certificate(|_| {});
    assert_eq!(ruled.model.as_ref().unwrap().rule, Some(crate::services::analysis::image_rule()));
    let old = house.certificate(|new| new.model.as_mut().unwrap().rule = None);
    assert!(!serde_json::to_string(&old).unwrap().contains("\"rule\""), "as it was signed then");
    for (certificate, several) in [(&ruled, true), (&old, false)] {
        assert!(house.install(certificate).await.unwrap()[0].certified);
        let points = house.points().await;
        assert!(points.warning_texts().iter().all(|warning| !warning.contains("certificate ")), "{:?}", points.warning_texts());
        let snapshot = points.snapshot(TENANT);
        let score = |several| snapshot.score(&MODEL, "nsfw", 0.83, None, several).unwrap();
        let (one, many) = (score(false), score(true));
        let certified = |score: &Score| score.operating_point.as_ref().unwrap().certified;
        assert_eq!((certified(&one), certified(&many)), (true, several));
        assert!(one.flagged() && many.flagged(), "the threshold stays");
        let said = snapshot.get("open-nsfw", "nsfw", None).unwrap().one_look_only();
        assert_eq!(said.is_none(), several);
        if let Some(said) = said {
            assert!(reason(&many).contains(said) && said.contains("highest of several looks"), "{}", reason(&many));
            assert_eq!(many.operating_point.as_ref().unwrap().precision_lower, None);
        }
    }
    // One that is not certified for another reason says that one.
    let broken = house.certificate(|new| {
        let model = new.model.as_mut().unwrap();
        (model.rule, model.digest) = (None, Some("sha256:00".into()));
    });
    house.install(&broken).await.unwrap();
    let points = house.points().await.snapshot(TENANT);
    assert!(points.get("open-nsfw", "nsfw", None).unwrap().one_look_only().is_none());
    let score = points.score(&MODEL, "nsfw", 0.9, None, true).unwrap();
    assert!(reason(&score).contains("another version of the model"), "{}", reason(&score));
}

#[tokio::test]
async fn tenants_have_their_own_points() {
    let house = House::new().await;
    let other = TenantId::new();
    house.store.create_tenant(other, "other".into(), Timestamp::now()).await.unwrap();
    house.install(&house.certificate(|_| {})).await.unwrap();
    let points = house.points().await;
    let raw = RawScore::new(0.82).unwrap();
    let threshold = |tenant| points.snapshot(tenant).get("open-nsfw", "nsfw", None).unwrap().point.threshold;
    assert!(threshold(TENANT) > raw && threshold(other) < raw);
}
