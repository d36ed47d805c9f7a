//! Operating points: at most one in force for each key, whoever installs, and every change in the ledger.

use std::collections::BTreeMap;

use nightlight::{
    domain::operating_point::PointKey,
    store::{CertificateDocument, NewOperatingPoint},
};
use uuid::Uuid;

use super::*;

fn key(slice: Option<&str>) -> PointKey {
    PointKey { technology: "open-nsfw".into(), label: "nsfw".into(), slice: slice.map(str::to_owned) }
}

fn point(slice: Option<&str>, claim: u32) -> NewOperatingPoint {
    NewOperatingPoint { key: key(slice), claim, threshold: 0.5, reason: None }
}

fn document(id: Uuid) -> CertificateDocument {
    CertificateDocument { id, json: format!("{{\"id\":\"{id}\"}}") }
}

/// Two processes install for the same key at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_installs_last_is_in_force_alone() {
    let (folder, store) = new_store().await;
    let other = again(folder.path()).await;
    let installs: Vec<_> = (0..40)
        .map(|number| {
            let (store, id) = (if number % 2 == 0 { store.clone() } else { other.clone() }, Uuid::now_v7());
            tokio::spawn(async move {
                let replaced = store.install_operating_points(TENANT, document(id), vec![point(None, 0)], Timestamp::now()).await.unwrap();
                (id, replaced[0])
            })
        })
        .collect();
    let mut replaced = BTreeMap::new();
    for install in installs {
        let (id, before) = install.await.unwrap();
        assert!(replaced.insert(before, id).is_none(), "{before:?} was replaced twice");
    }
    let in_force = store.operating_points().await.unwrap();
    assert_eq!(in_force.len(), 1);
    // From the first, which replaced nothing, each replaced the one before it.
    let (mut last, mut length) = (None, 0);
    while let Some(next) = replaced.get(&last) {
        (last, length) = (Some(*next), length + 1);
    }
    assert_eq!((last, length), (Some(in_force[0].certificate), 40));
    assert_eq!(store.last_operating_point_change().await.unwrap(), 40);
    assert_eq!(store.verify_ledger(TENANT).await.unwrap().events, 79, "40 installed, 39 retired");
}

#[tokio::test]
async fn slices_and_tenants_are_apart_and_documents_stay() {
    let (_folder, store) = new_store().await;
    let (first, second, now) = (Uuid::now_v7(), Uuid::now_v7(), Timestamp::now());
    store.install_operating_points(TENANT, document(first), vec![point(None, 0), point(Some("0"), 1)], now).await.unwrap();
    store.install_operating_points(TENANT, document(second), vec![point(Some("0"), 2)], now).await.unwrap();
    let tenant = TenantId::new();
    store.create_tenant(tenant, "other".into(), now).await.unwrap();
    store.install_operating_points(tenant, document(first), vec![point(None, 0)], now).await.unwrap();
    let in_force = store.operating_points().await.unwrap();
    let told: Vec<_> = in_force.iter().map(|point| (point.tenant, point.key.slice.as_deref(), point.certificate, point.claim)).collect();
    assert_eq!(told, [(TENANT, None, first, 0), (TENANT, Some("0"), second, 2), (tenant, None, first, 0)]);

    // Another text under an id that is taken; nothing of the unit stays.
    let forged = CertificateDocument { json: "{}".into(), ..document(first) };
    let error = store.install_operating_points(TENANT, forged, vec![point(None, 0)], now).await.unwrap_err();
    assert!(matches!(error, StoreError::Duplicate("certificate")), "{error}");
    assert_eq!(store.operating_points().await.unwrap(), in_force);
    let stranger = store.install_operating_points(TenantId::new(), document(first), vec![point(None, 0)], now).await.unwrap_err();
    assert!(matches!(stranger, StoreError::NotFound("tenant")), "{stranger}");

    assert_eq!(store.retire_operating_point(TENANT, key(Some("0")), now).await.unwrap(), second);
    assert!(matches!(store.retire_operating_point(TENANT, key(Some("0")), now).await, Err(StoreError::NotFound(_))));
    assert_eq!(store.certificate(TENANT, second).await.unwrap(), Some(document(second).json), "the evidence for what was in force");
    assert_eq!(store.certificate(tenant, second).await.unwrap(), None);
    // The same certificate can be put into force again.
    store.install_operating_points(TENANT, document(second), vec![point(Some("0"), 2)], now).await.unwrap();
    let events = store.ledger_events(TENANT, 0, 100).await.unwrap();
    let last = events.last().unwrap().body().unwrap().unwrap();
    let expected = EventBody::OperatingPointInstalled {
        certificate: second.to_string(),
        technology: "open-nsfw".into(),
        label: "nsfw".into(),
        slice: Some("0".into()),
        threshold: 0.5,
        certified: true,
        reason: None,
    };
    assert_eq!(last, expected);
}

#[tokio::test]
async fn trust_has_a_name_and_a_history() {
    let (_folder, store) = new_store().await;
    let now = Timestamp::now();
    let trust = async |key: u8, name: &str| store.trust_certificate_key(TENANT, [key; 32], name.into(), now).await;
    trust(1, "a").await.unwrap();
    assert!(matches!(trust(1, "b").await, Err(StoreError::Duplicate(_))), "the key");
    assert!(matches!(trust(2, "a").await, Err(StoreError::Duplicate(_))), "the name");
    assert_eq!(store.untrust_certificate_key(TENANT, "a".into(), now).await.unwrap().public_key, [1; 32]);
    assert!(matches!(store.untrust_certificate_key(TENANT, "a".into(), now).await, Err(StoreError::NotFound(_))));
    trust(1, "b").await.unwrap();
    let keys = store.certificate_keys().await.unwrap();
    assert_eq!((keys.len(), keys[0].name.as_str(), keys[0].public_key), (1, "b", [1; 32]));
    let kinds: Vec<_> = store.ledger_events(TENANT, 0, 100).await.unwrap().into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["certificate_key_trusted", "certificate_key_untrusted", "certificate_key_trusted"]);
    assert_eq!(store.last_operating_point_change().await.unwrap(), 3);
}
