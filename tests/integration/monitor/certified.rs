//! Points with a certificate: epochs, expiry, the raised threshold, drift.

use std::time::Duration;

use nightlight::{
    config::FallbackRule,
    domain::{
        certificate::Certificate,
        decision::Verdict,
        event::EventBody,
        monitor::{Provenance, StateCause},
        operating_point::{Fallback, LiveState},
        time::Timestamp,
    },
    services::{
        certificates::{SigningKey, sign},
        operating_points::{Replacing, Target, Trusted, install},
    },
    store::{CounterIncrement, Outcome},
    testing::certificates::certificate,
};

use super::{House, MODEL, TENANT};

impl House {
    /// Installs a certificate for 90 % at 90 %, threshold 0.83 and fall-back threshold 0.91, changed; the monitor has seen it.
    async fn install(&self, change: impl FnOnce(&mut Certificate)) {
        let key = SigningKey::of_data_dir(&self.config.data_dir).unwrap();
        let mut new = certificate();
        new.model = Some(self.running.get("open-nsfw").unwrap().binding("nsfw"));
        (new.claim.target_precision, new.claim.confidence) = (Some(0.9), 0.9);
        change(&mut new);
        sign(&mut new, &key);
        let trusted = Trusted::new(&self.config.data_dir, []);
        install(&self.store, TENANT, (&self.running, &trusted), &new, (Target::First, Replacing::Trusted)).await.unwrap();
        self.points.refresh().await.unwrap();
        self.monitor.refresh().await.unwrap();
    }

    async fn until(&self, state: LiveState, verdict: Verdict) {
        for _ in 0..200 {
            if self.point().live.unwrap().state == state {
                return;
            }
            self.review(verdict, 1).await;
        }
        panic!("never {state:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raised_threshold_that_is_confirmed_stays_until_another_certificate() {
    let house = House::new(|settings| settings.rule = FallbackRule::RaiseThreshold).await;
    house.review(Verdict::Rejected, 1).await;
    house.install(|_| {}).await;
    let report = house.report(None).await;
    assert_eq!((report.cause, report.n, report.epoch), (Some(StateCause::PointChanged), 0, 2), "a new certificate begins a new epoch");
    assert!(house.point().certified);

    house.until(LiveState::Violated, Verdict::Rejected).await;
    let point = house.point();
    assert_eq!((point.certified, point.threshold.get(), point.fallback), (false, 0.91, Some(Fallback::RaisedThreshold)));
    let between = house.points.snapshot(TENANT).score(&MODEL, "nsfw", 0.85, None, false).unwrap();
    assert!(!between.flagged());
    house.until(LiveState::Confirmed, Verdict::Confirmed).await;
    let point = house.point();
    assert_eq!((point.certified, point.threshold.get(), point.fallback), (true, 0.91, Some(Fallback::RaisedThreshold)));
    assert_eq!(point.precision_lower, None, "the certificate's bound is of its own threshold");
    let report = house.report(None).await;
    assert_eq!((report.threshold.map(|threshold| threshold as f32), report.raised_to), (Some(0.83), Some(0.91)));

    house.install(|new| new.claim.threshold = Some(0.87)).await;
    let point = house.point();
    assert_eq!((point.certified, point.threshold.get(), point.fallback), (true, 0.87, None));
    assert_eq!(point.live.unwrap().state, LiveState::Unconfirmed);
    let kinds = ["operating_point_installed", "operating_point_decertified", "operating_point_recertified"];
    let again = ["operating_point_retired", "operating_point_installed"];
    assert_eq!(house.events().await, [&kinds[..], &again[..]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_review_does_not_confirm_expires() {
    let house = House::new(|settings| settings.expiry = Duration::from_millis(1500)).await;
    house.install(|_| {}).await;
    let expires = house.point().live.unwrap().expires.expect("an unconfirmed certificate expires");
    assert!(house.point().certified && expires > Timestamp::now());
    tokio::time::sleep(Duration::from_millis(1600)).await;
    house.monitor.refresh().await.unwrap();
    let point = house.point();
    assert!(!point.certified && point.reason.as_ref().unwrap().contains("not confirmed by live review since 20"), "{point:?}");
    assert_eq!(point.fallback, None, "nothing speaks against the threshold");
    house.until(LiveState::Confirmed, Verdict::Confirmed).await;
    let point = house.point();
    assert!(point.certified && point.reason.is_none(), "{point:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_with_a_claim_of_its_own_is_a_slice() {
    let house = House::new(|_| {}).await;
    let from_photos = Provenance { service: Some("photos".into()), ..Provenance::default() };
    let id = house.flag(0.9, from_photos.clone()).await;
    house.decide(id, Verdict::Rejected).await;
    assert_eq!(house.report(Some("other")).await.n, 1);
    house
        .install(|new| {
            let photos = nightlight::domain::certificate::Claim { slice: Some("photos".into()), ..new.claim.clone() };
            new.points = vec![photos];
        })
        .await;
    let id = house.flag(0.9, from_photos).await;
    house.decide(id, Verdict::Confirmed).await;
    let report = house.report(Some("photos")).await;
    assert_eq!((report.n, report.state), (1, Some(LiveState::Unconfirmed)), "of the epoch that began with its claim");
    assert!(house.monitor.report(TENANT).await.unwrap().points.iter().all(|point| point.slice.as_deref() != Some("other") || point.n == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_that_drift_raise_one_alarm_and_end_it() {
    let house = House::new(|_| {}).await;
    house.install(|new| new.data.score_histogram = (0..20).map(|bin| if bin == 0 { 900 } else { 100 }).collect()).await;
    let count = async |bin: u32, count| {
        let (hour, label, slice) = (Timestamp::now(), "nsfw".into(), "image".into());
        let mut outcome = Outcome::new(TENANT);
        outcome.counters = vec![CounterIncrement { hour, technology: MODEL, label, slice, bin, count }];
        house.store.commit(outcome).await.unwrap();
    };
    count(19, 2000).await;
    let drift = house.report(None).await.drift.unwrap();
    assert!(drift.alarm && drift.psi > 1.0 && drift.ks > 0.5 && (drift.reference, drift.live) == (2800, 2000), "{drift:?}");
    for _ in 0..2 {
        house.monitor.slow_round().await.unwrap();
    }
    for bin in 0..20 {
        count(bin, if bin == 0 { 900_000 } else { 100_000 }).await;
    }
    for _ in 0..2 {
        house.monitor.slow_round().await.unwrap();
    }
    let alarms: Vec<_> = house.store.ledger_events(TENANT, 0, 1000).await.unwrap();
    let alarms: Vec<bool> = alarms
        .iter()
        .filter_map(|entry| match entry.body()?.unwrap() {
            EventBody::DriftAlarm(alarm) => Some(alarm.raised),
            _ => None,
        })
        .collect();
    assert_eq!(alarms, [true, false], "one event each way");
}
