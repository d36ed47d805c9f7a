//! What the ledger records. Events are typed and versioned; they hold no direct identifier, no content and no content digest:
//! accounts and items appear as keyed pseudonyms. `engines::ledger` chains them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    bank::{ItemState, Opinion, OpinionSource, Standing},
    curation::{BankRight, BankSettings},
    decision::{Likeness, RoutingDecision, Verdict},
    evidence::Evidence,
    ids::{EventId, KeyId, ReviewItemId, TenantId},
    monitor::{DriftAlarm, StateCause, Tally},
    operating_point::{Fallback, PointKey},
    score::Technology,
    signal::SignalType,
    time::Timestamp,
};

/// HMAC-SHA-256 of an identifier under the server's pseudonym key, in hex: the same identifier gives the same pseudonym for as long
/// as the key exists, and nothing without it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pseudonym(pub String);

/// One event, before it is chained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    pub tenant: TenantId,
    pub at: Timestamp,
    pub body: EventBody,
}

/// What happened. Stored with its [name](EventBody::kind) and [version](EventBody::version); a changed shape gets a new version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventBody {
    /// An attachment was scored and routed to review.
    Scored(Box<Scored>),
    /// An attachment was scored and is a copy of what people had decided: it was put to that item, and nobody is asked again.
    KnownDecided(Box<KnownDecided>),
    ReviewClaimed {
        review_item: ReviewItemId,
        reviewer: KeyId,
        expires: Timestamp,
    },
    ReviewReleased {
        review_item: ReviewItemId,
        reviewer: KeyId,
    },
    ReviewDecided {
        review_item: ReviewItemId,
        reviewer: KeyId,
        verdict: Verdict,
        claimed_at: Timestamp,
        /// How many attachments the item stood for, when it was more than one: all of them are decided.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        count: Option<u64>,
    },
    /// Signals were added to a bank; `bank_version` is the bank's version afterwards.
    BankImported {
        bank: String,
        bank_version: i64,
        added: u64,
        already_present: u64,
    },
    /// A bank, or some of its items, went out of force or came back. `items` counts those whose state changed; `None` is the bank as a whole.
    /// Which they were, the bank's history in the store says for this version.
    BankChanged {
        bank: String,
        bank_version: i64,
        state: ItemState,
        items: Option<u64>,
    },
    /// Signals of a type take part in another share of lookups, 0..=1.
    SignalTypeChanged {
        signal_type: SignalType,
        enabled_ratio: f64,
        by: Option<KeyId>,
    },
    /// An exchange was set up, changed or removed.
    ExchangeChanged {
        exchange: String,
        api: String,
        change: ExchangeChange,
        by: Option<KeyId>,
    },
    /// The credentials for an API were replaced by others, or forgotten; written before the file is. What they are is in no event.
    ExchangeCredentialsChanged {
        api: String,
        kept: bool,
        by: Option<KeyId>,
    },
    /// A page of an exchange was read: items that were new in its bank, entries that are gone, opinions of members; and what was passed over.
    ExchangeFetched {
        exchange: String,
        api: String,
        added: u64,
        withdrawn: u64,
        opinions: u64,
        skipped: u64,
        bad: u64,
    },
    /// Opinions of people here were told to an exchange.
    ExchangeFeedbackSent {
        exchange: String,
        confirms: u64,
        disputes: u64,
    },
    /// A bank's hashes left as a list; written before the first byte does. `recipients` counts the keys that it was encrypted to; 0 is not encrypted.
    BankExported {
        bank: String,
        bank_version: i64,
        format: String,
        recipients: u64,
        by: Option<KeyId>,
    },
    /// A bank was made without an import. `by` is the key that did it, here and below; it is absent for the command line and for the server itself.
    BankCreated {
        bank: String,
        settings: BankSettings,
        by: Option<KeyId>,
    },
    /// Its settings are these now, and its name is `name`; it was `bank`.
    BankUpdated {
        bank: String,
        bank_version: i64,
        name: String,
        settings: BankSettings,
        by: Option<KeyId>,
    },
    /// It is gone, and its signals with it.
    BankDeleted {
        bank: String,
        signals: i64,
        by: Option<KeyId>,
    },
    /// Items were added, not by an import. `named_again` are those that the bank held and that a source named once more.
    BankItemsAdded {
        bank: String,
        bank_version: i64,
        items: u64,
        signals: u64,
        named_again: u64,
        first_content_id: Option<i64>,
        source: Option<String>,
        by: Option<KeyId>,
    },
    /// A source took back its word on items; `retired` of them had no other source.
    BankItemsWithdrawn {
        bank: String,
        bank_version: i64,
        source: String,
        items: u64,
        retired: u64,
    },
    /// An item's standing, times or words changed. `cause` says why: `order`, `admission`, `feedback`, `flood` or `time`.
    BankItemChanged {
        bank: String,
        bank_version: i64,
        content_id: i64,
        from: Standing,
        standing: Standing,
        state: ItemState,
        cause: String,
        by: Option<KeyId>,
    },
    /// An item matched far more often than it used to: `hits` in this hour, `before` in the `hours` before. It was quarantined, or stays in force because
    /// people here confirmed it; a person is asked to look at it.
    BankItemFlooded {
        bank: String,
        content_id: i64,
        hits: u64,
        before: u64,
        hours: u64,
        quarantined: bool,
        review_item: Option<ReviewItemId>,
    },
    /// Waiting items took the admission tests; so many have these standings now that had another one before.
    BankItemsExamined {
        bank: String,
        bank_version: i64,
        candidates: u64,
        vetted: u64,
        active: u64,
    },
    /// Somebody said something of an item.
    BankOpinion {
        bank: String,
        content_id: i64,
        source: OpinionSource,
        who: String,
        opinion: Opinion,
    },
    /// Stored signals of a bank are not those that were written.
    BankDamaged {
        bank: String,
        bank_version: i64,
        place: DamagedPlace,
    },
    /// The payload of an earlier event was erased; the chain keeps its digest.
    PayloadErased {
        event: EventId,
    },
    /// A key was put on a bank's list, or taken off it.
    BankAccessChanged {
        bank: String,
        key: KeyId,
        right: BankRight,
        allowed: bool,
        by: Option<KeyId>,
    },
    /// A key looked up so many different hashes near one item that it could find out the item's hash: its lookups of hashes were stopped
    /// for so long.
    LookupsStopped {
        key: KeyId,
        bank: String,
        content_id: i64,
        queries: u64,
        seconds: u64,
    },
    /// Live review showed that an operating point misses its target: it is not certified any more, and its fall-back is in force.
    OperatingPointDecertified(Box<Judged>),
    /// A new epoch showed that it meets its target again.
    OperatingPointRecertified(Box<Judged>),
    /// Live review showed that an operating point in force meets its target.
    OperatingPointConfirmed(Box<Judged>),
    /// A distribution of scores drifted from its certificate's data, or came back.
    DriftAlarm(DriftAlarm),
    /// An item whose right verdict is known was put into the queue.
    GoldAdded {
        review_item: ReviewItemId,
    },
    /// A claim of a certificate is in force from now on. `certified` is false, with the `reason`, when the certificate is not valid here.
    OperatingPointInstalled {
        certificate: String,
        technology: String,
        label: String,
        slice: Option<String>,
        threshold: f64,
        certified: bool,
        reason: Option<String>,
    },
    /// It is no longer in force, because somebody said so or because another one took its place.
    OperatingPointRetired {
        certificate: String,
        technology: String,
        label: String,
        slice: Option<String>,
        replaced_by: Option<String>,
    },
    /// Certificates that this key signed are believed from now on.
    CertificateKeyTrusted {
        public_key: String,
        name: String,
    },
    CertificateKeyUntrusted {
        public_key: String,
        name: String,
    },
    KeyCreated {
        key: KeyId,
        name: String,
        role: String,
        /// When it ends by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
    },
    KeyRevoked {
        key: KeyId,
    },
}

impl EventBody {
    /// The name under which the body is stored.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Scored(_) => "scored",
            Self::KnownDecided(_) => "known_decided",
            Self::ReviewClaimed { .. } => "review_claimed",
            Self::ReviewReleased { .. } => "review_released",
            Self::ReviewDecided { .. } => "review_decided",
            Self::BankImported { .. } => "bank_imported",
            Self::BankChanged { .. } => "bank_changed",
            Self::ExchangeChanged { .. } => "exchange_changed",
            Self::ExchangeCredentialsChanged { .. } => "exchange_credentials_changed",
            Self::ExchangeFetched { .. } => "exchange_fetched",
            Self::ExchangeFeedbackSent { .. } => "exchange_feedback_sent",
            Self::BankExported { .. } => "bank_exported",
            Self::BankCreated { .. } => "bank_created",
            Self::BankUpdated { .. } => "bank_updated",
            Self::BankDeleted { .. } => "bank_deleted",
            Self::BankItemsAdded { .. } => "bank_items_added",
            Self::BankItemsWithdrawn { .. } => "bank_items_withdrawn",
            Self::BankItemChanged { .. } => "bank_item_changed",
            Self::BankItemFlooded { .. } => "bank_item_flooded",
            Self::BankItemsExamined { .. } => "bank_items_examined",
            Self::BankOpinion { .. } => "bank_opinion",
            Self::BankDamaged { .. } => "bank_damaged",
            Self::PayloadErased { .. } => "payload_erased",
            Self::BankAccessChanged { .. } => "bank_access_changed",
            Self::LookupsStopped { .. } => "lookups_stopped",
            Self::SignalTypeChanged { .. } => "signal_type_changed",
            Self::OperatingPointDecertified(_) => "operating_point_decertified",
            Self::OperatingPointRecertified(_) => "operating_point_recertified",
            Self::OperatingPointConfirmed(_) => "operating_point_confirmed",
            Self::DriftAlarm(_) => "drift_alarm",
            Self::GoldAdded { .. } => "gold_added",
            Self::OperatingPointInstalled { .. } => "operating_point_installed",
            Self::OperatingPointRetired { .. } => "operating_point_retired",
            Self::CertificateKeyTrusted { .. } => "certificate_key_trusted",
            Self::CertificateKeyUntrusted { .. } => "certificate_key_untrusted",
            Self::KeyCreated { .. } => "key_created",
            Self::KeyRevoked { .. } => "key_revoked",
        }
    }

    /// The version of the body's shape.
    pub const fn version(&self) -> u32 {
        1
    }
}

/// Where signals of a bank are damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DamagedPlace {
    /// In what lookups search: it was read damaged.
    Searched,
    /// In the database, while lookups search what is sound.
    Stored,
}

impl DamagedPlace {
    /// The name in the ledger and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Searched => "searched",
            Self::Stored => "stored",
        }
    }

    /// What it means, and what to do.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Searched => {
                "stored signals are not those that were written, and lookups search them: what they miss is not known, so attachments are said to be unscored by them; restore the \
                 database from a backup, or delete the bank and import its lists again"
            }
            Self::Stored => {
                "stored signals are not those that were written; lookups search an index that is sound, and a start without it would not: restore the database from a backup, or \
                 delete the bank and import its lists again"
            }
        }
    }
}

/// What became of how an exchange is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExchangeChange {
    Created,
    Updated,
    Removed,
}

/// What live review found of an operating point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    #[serde(flatten)]
    pub key: PointKey,
    pub cause: StateCause,
    /// The epoch that begins, or the one that was confirmed.
    pub epoch: i64,
    pub certificate: Option<String>,
    /// Before any fall-back.
    pub threshold: f64,
    pub target_precision: f64,
    pub confidence: f64,
    /// What is done in its place.
    pub fallback: Option<Fallback>,
    pub raised_to: Option<f64>,
    pub tally: Tally,
}

/// Everything a later report, audit or error rate needs of one routed attachment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    pub review_item: ReviewItemId,
    /// `image`, `video`, `text` or `conversation`.
    pub attachment_kind: String,
    pub bytes: u64,
    pub item: Pseudonym,
    pub account: Option<Pseudonym>,
    pub service: Option<String>,
    pub surface: Option<String>,
    pub legal_basis: Option<String>,
    pub scope: Option<String>,
    /// What one item counts as in reports: `item` or `account`.
    pub unit: String,
    pub cluster: Option<Pseudonym>,
    /// Model name -> `sha256:…` of its files.
    pub models: BTreeMap<String, String>,
    /// Bank name -> version that was searched.
    pub banks: BTreeMap<String, i64>,
    /// Every technology's result.
    pub evidence: Evidence,
    /// The technology that alone would have sent it to review, earliest in the order of the layers.
    pub fired_first: Option<Technology>,
    pub decision: RoutingDecision,
    /// The probability with which an attachment like this one comes before a human: 1 for routed items, the rate for what is drawn (audit samples, sampled reasons
    /// of `unscored`, second looks at copies of what was decided).
    pub inclusion_probability: f64,
}

/// A copy of what people had decided. Never a verdict of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownDecided {
    /// `review_item` is the decided one.
    #[serde(flatten)]
    pub scored: Scored,
    pub likeness: Likeness,
    /// What people had decided of it.
    pub verdict: Verdict,
}
