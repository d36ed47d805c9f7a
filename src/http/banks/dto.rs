//! What `/banks` takes and gives. Types that exist only to be described in the OpenAPI document say so where they silence the compiler.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    domain::{
        bank::{Admission, ItemState, Opinion, OpinionSource, Purpose},
        curation::{BankSettings, DisableUntil, Metadata},
        signal::{Distance, SignalType},
        time::Timestamp,
    },
    store::{Bank, Item, OpinionRecord},
};

/// All banks.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct BankList {
    pub banks: Vec<BankBody>,
}

/// A bank.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct BankBody {
    pub name: String,
    /// Grows with each change that lookups can notice.
    pub version: i64,
    /// Items, retired ones too.
    pub items: i64,
    /// Their signals.
    pub signals: i64,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// The share of lookups that search it, 0 to 1; 0 is off.
    pub enabled_ratio: f64,
    /// `known`, or `negative`: known to be harmless, which takes matches back.
    #[schema(value_type = String)]
    pub purpose: Purpose,
    /// Radius of a PDQ match in bits, 0 to 256.
    pub max_distance: u32,
    /// Radii of `photodna` and of embeddings, by type; without one only what is equal matches.
    #[schema(value_type = BTreeMap<String, f32>)]
    pub radii: BTreeMap<SignalType, Distance>,
    /// PDQ quality below which attachments are not matched, 0 to 100.
    pub minimum_quality: u8,
    #[schema(value_type = AdmissionBody)]
    pub admission: Admission,
}

impl From<Bank> for BankBody {
    fn from(bank: Bank) -> Self {
        let BankSettings { enabled_ratio, purpose, max_distance, radii, minimum_quality, admission } = bank.settings();
        let Bank { name, version, items, signals, created_at, .. } = bank;
        Self { name, version, items, signals, created_at, enabled_ratio, purpose, max_distance, radii, minimum_quality, admission }
    }
}

/// Tests that an item must pass before it is in force. The default passes everything.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, never made")]
pub(super) struct AdmissionBody {
    /// Different sources that must name the item, 1 to 16.
    sources: u8,
    /// Least PDQ quality, where the source told one, 0 to 100; 0 asks nothing.
    minimum_quality: u8,
    /// Most items of the negative banks within the bank's radius; null asks nothing.
    benign_collisions: Option<u32>,
    /// Refuses hashes of featureless pictures and of grids.
    guard: bool,
    /// Whether a reviewer or curator here must confirm it.
    confirmation: bool,
}

/// A bank to be made: its name, and what differs from the defaults.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described; read as a patch of the defaults")]
pub(in crate::http) struct NewBank {
    /// 1 to 128 characters.
    name: String,
    enabled_ratio: Option<f64>,
    #[schema(value_type = Option<String>)]
    purpose: Option<Purpose>,
    max_distance: Option<u32>,
    #[schema(value_type = Option<BTreeMap<String, f32>>)]
    radii: Option<BTreeMap<String, f32>>,
    minimum_quality: Option<u8>,
    admission: Option<AdmissionBody>,
}

/// What is to change of a bank.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described; read as a patch")]
pub(in crate::http) struct BankChange {
    /// A new name.
    name: Option<String>,
    enabled_ratio: Option<f64>,
    #[schema(value_type = Option<String>)]
    purpose: Option<Purpose>,
    max_distance: Option<u32>,
    /// By type; null takes one away.
    #[schema(value_type = Option<BTreeMap<String, Option<f32>>>)]
    radii: Option<BTreeMap<String, Option<f32>>>,
    minimum_quality: Option<u8>,
    /// Merged with what is there, field by field.
    admission: Option<AdmissionBody>,
}

/// Items by standing.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct StandingList {
    pub standings: Vec<StandingBody>,
}

/// How many items have a standing.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct StandingBody {
    pub standing: &'static str,
    pub items: u64,
}

/// Items with hits.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct HitList {
    pub hits: Vec<HitBody>,
}

/// How often an item matched.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct HitBody {
    pub content_id: i64,
    /// Accounts, or keys that named none, that matched it: each once for a clock hour.
    pub hits: u64,
    /// Start of the hour in which it matched last.
    #[schema(value_type = String, format = DateTime)]
    pub last_hour: Timestamp,
}

/// A page of items.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ItemPage {
    pub items: Vec<ItemBody>,
    /// Send it as `after` for the next page; null on the last.
    pub next: Option<i64>,
}

/// An item of a bank.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ItemBody {
    pub content_id: i64,
    /// `candidate`, `vetted`, `active`, `disputed`, `quarantined` or `retired`.
    pub standing: &'static str,
    /// Whether lookups find it now: its standing lets them, and it is not disabled.
    pub in_force: bool,
    /// Null, `always`, or until when it is out of force.
    #[schema(value_type = Option<String>)]
    pub disable_until: Option<String>,
    /// How many signals it has of each type.
    #[schema(value_type = BTreeMap<String, usize>)]
    pub signal_types: BTreeMap<SignalType, usize>,
    /// When asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signals: Option<Vec<SignalText>>,
    pub note: Option<String>,
    #[schema(value_type = Option<MetadataBody>)]
    pub metadata: Option<Metadata>,
    /// `A1`, `A2`, `B1`, `B2` or `other`.
    pub category: Option<&'static str>,
    /// PDQ quality that its source told, 0 to 100.
    pub quality: Option<u8>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Who names it.
    pub provenance: Vec<ProvenanceBody>,
    /// People and members of exchanges whose newest word confirms it.
    pub confirms: u32,
    /// Those whose newest word disputes it.
    pub disputes: u32,
}

/// A signal of an item.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct SignalText {
    /// `md5`, `sha1`, `sha256`, `pdq`, `photodna` or `embedding:MODEL`.
    #[schema(value_type = String)]
    pub signal_type: SignalType,
    /// Hex, or base64 for vectors.
    pub signal: String,
}

/// What a curator keeps of an item; nothing here is looked at. 64 KiB at most.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, never made")]
pub(super) struct MetadataBody {
    content_id: Option<String>,
    content_uri: Option<String>,
    #[schema(value_type = Option<Object>)]
    json: Option<serde_json::Value>,
}

/// Who names an item.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ProvenanceBody {
    /// An organisation, an exchange, or a key's name.
    pub source: String,
    pub submitter: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// How a time out of force is written: null, `always`, or until when.
pub(super) fn disable_until_text(until: DisableUntil) -> Option<String> {
    match until {
        DisableUntil::Never => None,
        DisableUntil::Always => Some("always".to_owned()),
        DisableUntil::Time(seconds) => Some(Timestamp::from_micros(seconds.saturating_mul(1_000_000)).to_string()),
    }
}

impl ItemBody {
    /// `with_signals` shows them.
    pub(super) fn of(item: Item, with_signals: bool) -> Self {
        let mut signal_types = BTreeMap::new();
        for signal in &item.signals {
            *signal_types.entry(signal.kind()).or_default() += 1;
        }
        let text = |signal: &crate::domain::signal::Signal| SignalText { signal_type: signal.kind(), signal: signal.to_text() };
        Self {
            content_id: item.content_id,
            standing: item.standing.as_str(),
            in_force: item.state == ItemState::Enabled,
            disable_until: disable_until_text(item.disable_until),
            signal_types,
            signals: with_signals.then(|| item.signals.iter().map(text).collect()),
            note: item.note,
            metadata: item.metadata,
            category: item.category.map(crate::domain::bank::HarmCategory::as_str),
            quality: item.quality,
            created_at: item.created_at,
            provenance: item
                .provenance
                .into_iter()
                .map(|from| ProvenanceBody { source: from.source, submitter: from.submitter, at: from.at })
                .collect(),
            confirms: item.confirms,
            disputes: item.disputes,
        }
    }
}

/// What became of items that were added, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct AddedItems {
    pub items: Vec<AddedItemBody>,
    /// The bank's afterwards.
    pub bank_version: i64,
}

/// What became of one.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct AddedItemBody {
    /// The new item's, or that of the item of exactly these signals.
    pub content_id: i64,
    /// Whether it is new.
    pub created: bool,
    /// The item, if it is not new: it has the provenance now as one more.
    pub named_again: Vec<i64>,
    /// Other items that have some of the signals too, at most 100; each matches for itself.
    pub shares_with: Vec<i64>,
    /// Only of an item that was there and is not in force: `disabled`. It matches nothing until somebody enables it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub state: Option<ItemState>,
}

/// What is said of an item, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct OpinionList {
    pub opinions: Vec<OpinionBody>,
}

/// What somebody says of an item.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct OpinionBody {
    /// `review`, `appeal`, `curator` or `exchange`.
    pub source: &'static str,
    /// A key's id, or an exchange's member.
    pub who: String,
    /// `confirm` or `dispute`.
    pub opinion: &'static str,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

impl From<OpinionRecord> for OpinionBody {
    fn from(record: OpinionRecord) -> Self {
        Self { source: record.source.as_str(), who: record.who, opinion: record.opinion.as_str(), at: record.at }
    }
}

/// Something to say of an item. Of each who speaks the newest word counts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewOpinionBody {
    /// `confirm` or `dispute`.
    #[schema(value_type = String)]
    pub opinion: Opinion,
    /// `curator` (this key speaks), `appeal` or `exchange`.
    #[serde(default = "curator")]
    #[schema(value_type = Option<String>, default = "curator")]
    pub source: OpinionSource,
    /// For the source `exchange`: who of it.
    #[serde(default)]
    pub member: Option<String>,
}

const fn curator() -> OpinionSource {
    OpinionSource::Curator
}

/// The admission tests of an item.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct AdmissionOutcome {
    pub standing: &'static str,
    /// Whether all are passed.
    pub passed: bool,
    pub tests: Vec<TestBody>,
}

/// One admission test.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct TestBody {
    /// `sources`, `quality`, `collisions`, `guard` or `confirmation`.
    pub test: &'static str,
    pub passed: bool,
    /// For people.
    pub detail: String,
}

/// Which keys may use a bank.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct AccessBody {
    /// Each right has a list of its own; an empty one lets every key whose role has the permission.
    pub entries: Vec<AccessEntry>,
}

/// A key's right to a bank.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct AccessEntry {
    /// The key's id.
    pub key: String,
    /// `match` or `curate`, which is both.
    pub right: &'static str,
}
