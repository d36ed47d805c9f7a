//! The hash chain under the ledger: builds links and verifies them. Pure; `store` keeps what it makes.
//!
//! Each tenant has one chain. A [`Link`] stores an event's payload (the JSON of its [`EventBody`]) beside
//! `payload_digest = HMAC-SHA-256(payload_key, payload)`, where `payload_key` is 32 random bytes drawn for this event alone. The chain runs
//! over the digest, not over the payload:
//!
//! ```text
//! hash = SHA-256( "nightlight.ledger.v1\0"      21 bytes
//!               | previous                      32 bytes, the hash of the link before, zeros for the first
//!               | tenant                        16 bytes, UUID
//!               | seq                            8 bytes, big endian, 1 for the first
//!               | id                            16 bytes, UUID
//!               | at                             8 bytes, big endian, two's complement microseconds since 1970
//!               | length of kind                 4 bytes, big endian
//!               | kind                           UTF-8
//!               | version                        4 bytes, big endian
//!               | payload_digest                32 bytes )
//! ```
//!
//! so that payload *and* key can be erased together: what remains proves that an event of this kind stood here at this time, and the digest,
//! keyed with 256 bits that exist no more, says nothing about the payload even to somebody who guesses it. An erasure is an event of its own, so a payload that is gone
//! without one was blanked. Every field but `kind` has a fixed
//! length and `kind` carries its own, so no two links encode alike.
//!
//! A chain shows changed, removed, inserted and reordered links. It cannot show that its *end* was cut off; for that the verifier is told the
//! [`Head`] kept elsewhere, and an auditor who noted an earlier head can look for it.
//!
//! ```
//! use nightlight::domain::{event::{Event, EventBody}, ids::{EventId, KeyId, TenantId}, time::Timestamp};
//! use nightlight::engines::ledger::{self, Head, Verifier};
//!
//! let event = Event { id: EventId::new(), tenant: TenantId::DEFAULT, at: Timestamp::now(), body: EventBody::KeyRevoked { key: KeyId::new() } };
//! let link = ledger::chain(&Head::EMPTY, &event, [7; 32]).unwrap();
//! let mut verifier = Verifier::new(TenantId::DEFAULT);
//! verifier.check(&link).unwrap();
//! assert_eq!(verifier.finish(&link.head()).unwrap().events, 1);
//! ```

use std::collections::{HashMap, HashSet};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::domain::{
    event::{Event, EventBody},
    ids::{EventId, TenantId},
    time::Timestamp,
};

/// The kind of the events that say that a payload was erased.
const ERASURE: &str = "payload_erased";

/// Separates these hashes from every other use of SHA-256, and names the encoding.
const DOMAIN: &[u8; 21] = b"nightlight.ledger.v1\0";

/// Where a chain ends: the number and hash of its last link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of the last link, which is also how many there are; 0 for an empty chain.
    pub seq: i64,
    /// Hash of the last link; zeros for an empty chain.
    pub hash: [u8; 32],
}

impl Head {
    /// A chain without links.
    pub const EMPTY: Self = Self { seq: 0, hash: [0; 32] };
}

/// The erasable part of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// JSON of the event's body.
    pub json: String,
    /// Random, for this event alone; erased with the payload.
    pub key: [u8; 32],
}

/// One event in its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub tenant: TenantId,
    /// 1 for a tenant's first event; gapless.
    pub seq: i64,
    pub id: EventId,
    pub at: Timestamp,
    pub kind: String,
    pub version: u32,
    /// `None` once erased.
    pub payload: Option<Payload>,
    pub payload_digest: [u8; 32],
    /// The hash of the link before.
    pub previous: [u8; 32],
    pub hash: [u8; 32],
}

impl Link {
    /// The head of a chain that ends here.
    pub const fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }

    /// The hash that this link's fields call for.
    fn expected_hash(&self) -> [u8; 32] {
        let kind_length = u32::try_from(self.kind.len()).unwrap_or(u32::MAX); // kinds are short names in this source
        Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(self.previous)
            .chain_update(self.tenant.0.as_bytes())
            .chain_update(self.seq.to_be_bytes())
            .chain_update(self.id.0.as_bytes())
            .chain_update(self.at.micros().to_be_bytes())
            .chain_update(kind_length.to_be_bytes())
            .chain_update(self.kind.as_bytes())
            .chain_update(self.version.to_be_bytes())
            .chain_update(self.payload_digest)
            .finalize()
            .into()
    }
}

fn payload_digest(payload: &Payload) -> [u8; 32] {
    let keyed = Hmac::<Sha256>::new_from_slice(&payload.key).expect("HMAC takes a key of any length");
    keyed.chain_update(payload.json.as_bytes()).finalize().into_bytes().into()
}

/// Puts `event` after `head`. `payload_key` must be fresh random bytes: with a guessable key an erased payload could be guessed too.
///
/// # Errors
/// When the body holds what JSON cannot (a NaN): the event is wrong and must not be recorded.
pub fn chain(head: &Head, event: &Event, payload_key: [u8; 32]) -> Result<Link, serde_json::Error> {
    let payload = Payload { json: serde_json::to_string(&event.body)?, key: payload_key };
    let mut link = Link {
        tenant: event.tenant,
        seq: head.seq + 1,
        id: event.id,
        at: event.at,
        kind: event.body.kind().to_owned(),
        version: event.body.version(),
        payload_digest: payload_digest(&payload),
        payload: Some(payload),
        previous: head.hash,
        hash: [0; 32],
    };
    link.hash = link.expected_hash();
    Ok(link)
}

/// What a chain's verification found wrong. The ledger was changed behind the server's back, or the disk lost something: keep a copy of the
/// file before anything else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("event {expected} is missing: event {found} follows event {}", expected - 1)]
    Gap { expected: i64, found: i64 },
    #[error("event {seq} belongs to another tenant")]
    Tenant { seq: i64 },
    #[error("event {seq} does not follow the event before it")]
    Previous { seq: i64 },
    #[error("event {seq} was changed: its fields do not give its hash")]
    Hash { seq: i64 },
    #[error("the payload of event {seq} was changed: it does not give its digest")]
    Payload { seq: i64 },
    #[error("the payload of event {seq} is blank, and no event says that it was erased")]
    Blank { seq: i64 },
    #[error("the chain ends at event {found}, but event {expected} was recorded as its end")]
    Head { expected: i64, found: i64 },
}

/// What a verified chain holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerCheck {
    /// Events in the chain.
    pub events: u64,
    /// Of these, events whose payload was erased.
    pub erased: u64,
    /// Hash of the last event in hex; zeros when there is none. Note it elsewhere: a later chain that does not contain it was rewritten.
    pub head: String,
}

/// Checks links in the order of their numbers.
#[derive(Clone, Debug)]
pub struct Verifier {
    tenant: TenantId,
    head: Head,
    /// Events without a payload, by id, with their numbers.
    blank: HashMap<EventId, i64>,
    /// Those of which an event says that they were erased.
    erased: HashSet<EventId>,
}

impl Verifier {
    /// Before the first link of a tenant's chain.
    pub fn new(tenant: TenantId) -> Self {
        Self { tenant, head: Head::EMPTY, blank: HashMap::new(), erased: HashSet::new() }
    }

    /// Checks the next link.
    pub fn check(&mut self, link: &Link) -> Result<(), Broken> {
        let seq = link.seq;
        if seq != self.head.seq + 1 {
            return Err(Broken::Gap { expected: self.head.seq + 1, found: seq });
        }
        if link.tenant != self.tenant {
            return Err(Broken::Tenant { seq });
        }
        if link.previous != self.head.hash {
            return Err(Broken::Previous { seq });
        }
        if link.hash != link.expected_hash() {
            return Err(Broken::Hash { seq });
        }
        match &link.payload {
            Some(payload) if payload_digest(payload) != link.payload_digest => return Err(Broken::Payload { seq }),
            Some(payload) if link.kind == ERASURE => {
                if let Ok(EventBody::PayloadErased { event }) = serde_json::from_str(&payload.json) {
                    self.erased.insert(event);
                }
            }
            Some(_) => {}
            None => drop(self.blank.insert(link.id, seq)),
        }
        self.head = link.head();
        Ok(())
    }

    /// Compares the end that was reached with the end that was recorded.
    pub fn finish(self, recorded: &Head) -> Result<LedgerCheck, Broken> {
        if self.head != *recorded {
            return Err(Broken::Head { expected: recorded.seq, found: self.head.seq });
        }
        let blanked = self.blank.iter().filter(|(id, _)| !self.erased.contains(id)).map(|(_, seq)| *seq);
        if let Some(seq) = blanked.min() {
            return Err(Broken::Blank { seq });
        }
        Ok(LedgerCheck { events: self.head.seq.unsigned_abs(), erased: self.blank.len() as u64, head: hex::encode(self.head.hash) })
    }
}

#[cfg(test)]
mod tests;
