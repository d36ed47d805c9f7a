//! Every single change of a chain is found; erasure is not a change.

use super::*;
use crate::domain::{event::EventBody, ids::KeyId};

/// A chain of `length` events and its head.
fn chain_of(length: u8) -> (Vec<Link>, Head) {
    let mut head = Head::EMPTY;
    let links = (0..length)
        .map(|number| {
            let body = EventBody::KeyCreated { key: KeyId::new(), name: format!("key {number}"), role: "scorer".into(), expires_at: None };
            let event = Event { id: EventId::new(), tenant: TenantId::DEFAULT, at: Timestamp::from_micros(i64::from(number)), body };
            let link = chain(&head, &event, [number; 32]).unwrap();
            head = link.head();
            link
        })
        .collect();
    (links, head)
}

fn verify(links: &[Link], head: &Head) -> Result<LedgerCheck, Broken> {
    let mut verifier = Verifier::new(TenantId::DEFAULT);
    links.iter().try_for_each(|link| verifier.check(link))?;
    verifier.finish(head)
}

#[test]
fn an_untouched_chain_verifies() {
    let (links, head) = chain_of(5);
    assert_eq!(verify(&links, &head).unwrap(), LedgerCheck { events: 5, erased: 0, head: hex::encode(head.hash) });
    assert_eq!(verify(&[], &Head::EMPTY).unwrap().events, 0);
}

#[test]
fn any_changed_field_is_found() {
    type Change = fn(&mut Link);
    let changes: [(&str, Change); 10] = [
        ("tenant", |link| link.tenant = TenantId::new()),
        ("seq", |link| link.seq += 1),
        ("id", |link| link.id = EventId::new()),
        ("at", |link| link.at = Timestamp::from_micros(link.at.micros() + 1)),
        ("kind", |link| link.kind.push('x')),
        ("version", |link| link.version += 1),
        ("payload", |link| link.payload.as_mut().unwrap().json.push(' ')),
        ("payload key", |link| link.payload.as_mut().unwrap().key[31] ^= 1),
        ("payload digest", |link| link.payload_digest[0] ^= 1),
        ("hash", |link| link.hash[0] ^= 1),
    ];
    for at in 0..5 {
        for (name, change) in changes {
            let (mut links, head) = chain_of(5);
            change(&mut links[at]);
            assert!(verify(&links, &head).is_err(), "a changed {name} of link {at} went unnoticed");
        }
    }
}

/// Somebody who changes a link and recomputes its hash breaks the link after it, or the recorded head.
#[test]
fn a_recomputed_hash_breaks_what_follows() {
    for at in 0..5 {
        let (mut links, head) = chain_of(5);
        links[at].at = Timestamp::from_micros(99);
        links[at].hash = links[at].expected_hash();
        let expected = if at == 4 { Broken::Head { expected: 5, found: 5 } } else { Broken::Previous { seq: at as i64 + 2 } };
        assert_eq!(verify(&links, &head), Err(expected));
    }
}

#[test]
fn removed_and_reordered_links_are_found() {
    for at in 0..5 {
        let (mut links, head) = chain_of(5);
        links.remove(at);
        assert!(verify(&links, &head).is_err(), "link {at} could be removed");
        let (mut links, head) = chain_of(5);
        links.swap(at, (at + 1) % 5);
        assert!(verify(&links, &head).is_err(), "link {at} could be moved");
    }
}

#[test]
fn erasure_leaves_the_chain_whole_where_an_event_says_so() {
    let (mut links, head) = chain_of(5);
    links[2].payload = None;
    assert_eq!(verify(&links, &head), Err(Broken::Blank { seq: 3 }), "blanked by nobody knows whom");
    let body = EventBody::PayloadErased { event: links[2].id };
    let event = Event { id: EventId::new(), tenant: TenantId::DEFAULT, at: Timestamp::from_micros(9), body };
    links.push(chain(&head, &event, [7; 32]).unwrap());
    let head = links[5].head();
    assert_eq!(verify(&links, &head).unwrap().erased, 1);
    links[4].payload = None;
    assert_eq!(verify(&links, &head), Err(Broken::Blank { seq: 5 }));
    links[5].payload = None;
    assert_eq!(verify(&links, &head), Err(Broken::Blank { seq: 3 }), "what records an erasure cannot be erased");
}

/// The encoding is a promise to auditors with their own tools: this value, computed by a few lines of Python, must never change.
#[test]
fn the_encoding_is_fixed() {
    let event = Event {
        id: EventId(uuid::Uuid::from_u128(2)),
        tenant: TenantId::DEFAULT,
        at: Timestamp::from_micros(1_763_942_400_000_000),
        body: EventBody::KeyRevoked { key: KeyId(uuid::Uuid::from_u128(3)) },
    };
    let link = chain(&Head::EMPTY, &event, [9; 32]).unwrap();
    assert_eq!(link.payload.unwrap().json, r#"{"kind":"key_revoked","key":"00000000-0000-0000-0000-000000000003"}"#);
    assert_eq!(hex::encode(link.hash), "a5e3b6927da2b5c3358619b7672023935d71ff7ae92ce2527681c9f9530a186d");
}
