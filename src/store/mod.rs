//! All SQL. (essay follows)
use crate::domain::{attachment::AttachmentKind, decision::*, event::EventBody, evidence::Evidence, hash::Signal, ids::*, time::Timestamp};
use crate::engines::ledger::LedgerCheck;
use std::{path::PathBuf, time::Duration};
mod error;
mod outcome;
pub use error::StoreError;
pub use outcome::{CounterIncrement, IdempotentResponse, NewReviewItem, Outcome};

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    pub path: PathBuf,
    pub vfs: Option<String>,
    pub busy_timeout: Duration,
    pub group_limit: usize,
    pub queue: usize,
    pub idempotency_ttl: Duration,
}
impl StoreOptions {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let _ = path.into();
        todo!()
    }
}

#[derive(Clone)]
pub struct Store {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewState {
    Open,
    Decided,
}
#[derive(Clone, Debug)]
pub struct ReviewFilter {
    pub queue: Option<String>,
    pub state: Option<ReviewState>,
    pub category: Option<Category>,
    pub claimable_at: Option<Timestamp>,
    pub limit: u32,
    pub after: Option<ReviewCursor>,
}
/// opaque; Display/FromStr
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReviewCursor {
    pub priority: f64,
    pub created_at: Timestamp,
    pub id: ReviewItemId,
}
#[derive(Clone, Debug)]
pub struct ReviewItem {
    pub id: ReviewItemId,
    pub tenant: TenantId,
    pub created_at: Timestamp,
    pub queue: String,
    pub priority: f64,
    pub category: Category,
    pub attachment_kind: AttachmentKind,
    pub item_id: String,
    pub evidence: Evidence,
    pub decision: RoutingDecision,
    pub state: ReviewState,
    pub claim: Option<Claim>,
    pub review_decision: Option<ReviewDecision>,
}
impl ReviewItem {
    pub fn cursor(&self) -> ReviewCursor {
        todo!()
    }
}
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    pub reviewer: KeyId,
    pub claimed_at: Timestamp,
    pub expires_at: Timestamp,
}
#[derive(Clone, Debug)]
pub struct ReviewDecision {
    pub reviewer: KeyId,
    pub verdict: Verdict,
    pub note_code: Option<String>,
    pub decided_at: Timestamp,
}
#[derive(Clone, Debug)]
pub struct StoredKey {
    pub id: KeyId,
    pub tenant: TenantId,
    pub name: String,
    pub role: String,
    pub created_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
}
#[derive(Clone, Debug)]
pub struct NewKey {
    pub name: String,
    pub role: String,
    pub secret_sha256: [u8; 32],
}
#[derive(Clone, Copy, Debug)]
pub struct BankDefaults {
    pub max_distance: u32,
    pub minimum_quality: u8,
}
#[derive(Clone, Debug)]
pub struct Bank {
    pub id: BankId,
    pub tenant: TenantId,
    pub name: String,
    pub version: i64,
    pub enabled: bool,
    pub max_distance: u32,
    pub minimum_quality: u8,
    /** content ids are 1..=signals */
    pub signals: i64,
    pub created_at: Timestamp,
}
#[derive(Clone, Debug)]
pub struct BankChange {
    pub seq: i64,
    pub tenant: TenantId,
    pub bank: BankId,
    pub version: i64,
    pub signals: i64,
    pub at: Timestamp,
}
#[derive(Clone, Copy, Debug)]
pub struct Imported {
    pub bank_version: i64,
    pub added: u64,
    pub already_present: u64,
}
pub struct BankImport {}
impl BankImport {
    /// In the order of the file; many at a time.
    pub async fn add(&mut self, _signals: &[Signal]) -> Result<(), StoreError> {
        todo!()
    }
    /// Makes everything added visible at once.
    pub async fn finish(self) -> Result<Imported, StoreError> {
        todo!()
    }
    /// Forgets everything added. Dropping does the same, later.
    pub async fn abort(self) -> Result<(), StoreError> {
        todo!()
    }
}
#[derive(Clone, Debug)]
pub struct LedgerEntry {
    pub seq: i64,
    pub id: EventId,
    pub at: Timestamp,
    pub kind: String,
    pub version: u32,
    /** JSON of the event's body; None once erased */
    pub payload: Option<String>,
    pub hash: [u8; 32],
}
impl LedgerEntry {
    pub fn body(&self) -> Option<Result<EventBody, StoreError>> {
        todo!()
    }
}
#[derive(Clone, Copy, Debug, Default)]
pub struct WriterStats {
    pub transactions: u64,
    pub units: u64,
    pub largest_group: u64,
    pub queued: u64,
}

#[expect(unused_variables, clippy::unused_async, reason = "signatures first")]
impl Store {
    pub async fn open(options: StoreOptions) -> Result<Self, StoreError> {
        todo!()
    }
    pub async fn commit(&self, outcome: Outcome) -> Result<(), StoreError> {
        todo!()
    }
    pub async fn idempotent_response(&self, tenant: TenantId, key: &str, now: Timestamp) -> Result<Option<IdempotentResponse>, StoreError> {
        todo!()
    }
    pub async fn counters(&self, tenant: TenantId, from: Timestamp, until: Timestamp) -> Result<Vec<CounterIncrement>, StoreError> {
        todo!()
    }
    pub async fn ping(&self) -> Result<(), StoreError> {
        todo!()
    }
    pub async fn close(self) {
        todo!()
    }
    pub fn writer_stats(&self) -> WriterStats {
        todo!()
    }

    pub async fn review_items(&self, tenant: TenantId, filter: ReviewFilter) -> Result<Vec<ReviewItem>, StoreError> {
        todo!()
    }
    pub async fn review_item(&self, tenant: TenantId, id: ReviewItemId) -> Result<Option<ReviewItem>, StoreError> {
        todo!()
    }
    pub async fn claim(
        &self,
        tenant: TenantId,
        id: ReviewItemId,
        reviewer: KeyId,
        now: Timestamp,
        lease: Duration,
    ) -> Result<ReviewItem, StoreError> {
        todo!()
    }
    pub async fn release(&self, tenant: TenantId, id: ReviewItemId, reviewer: KeyId, now: Timestamp) -> Result<ReviewItem, StoreError> {
        todo!()
    }
    pub async fn decide(
        &self,
        tenant: TenantId,
        id: ReviewItemId,
        reviewer: KeyId,
        verdict: Verdict,
        note_code: Option<String>,
        now: Timestamp,
    ) -> Result<ReviewItem, StoreError> {
        todo!()
    }

    pub async fn create_tenant(&self, id: TenantId, name: String, now: Timestamp) -> Result<(), StoreError> {
        todo!()
    }
    pub async fn create_key(&self, tenant: TenantId, key: NewKey, now: Timestamp) -> Result<StoredKey, StoreError> {
        todo!()
    }
    /// Only when the store holds no key at all (bootstrap; safe between processes).
    pub async fn create_first_key(&self, tenant: TenantId, key: NewKey, now: Timestamp) -> Result<Option<StoredKey>, StoreError> {
        todo!()
    }
    /// Unrevoked.
    pub async fn find_key(&self, secret_sha256: [u8; 32]) -> Result<Option<StoredKey>, StoreError> {
        todo!()
    }
    pub async fn keys(&self, tenant: TenantId) -> Result<Vec<StoredKey>, StoreError> {
        todo!()
    }
    pub async fn revoke_key(&self, tenant: TenantId, id: KeyId, now: Timestamp) -> Result<StoredKey, StoreError> {
        todo!()
    }
    pub async fn count_keys(&self) -> Result<u64, StoreError> {
        todo!()
    }

    pub async fn begin_import(&self, tenant: TenantId, bank: &str, defaults: BankDefaults) -> Result<BankImport, StoreError> {
        todo!()
    }
    pub async fn import_signals(
        &self,
        tenant: TenantId,
        bank: &str,
        defaults: BankDefaults,
        signals: impl IntoIterator<Item = Signal>,
    ) -> Result<Imported, StoreError> {
        todo!()
    }
    pub async fn banks(&self, tenant: TenantId) -> Result<Vec<Bank>, StoreError> {
        todo!()
    }
    pub async fn all_banks(&self) -> Result<Vec<Bank>, StoreError> {
        todo!()
    }
    pub async fn last_bank_change(&self) -> Result<i64, StoreError> {
        todo!()
    }
    pub async fn bank_changes_since(&self, seq: i64) -> Result<Vec<BankChange>, StoreError> {
        todo!()
    }
    /// Signals of exactly this version of the bank, by content id; start with `after = 0`.
    pub async fn load_signals(&self, bank: &Bank, after: i64, limit: u32) -> Result<Vec<(i64, Signal)>, StoreError> {
        todo!()
    }

    pub async fn verify_ledger(&self, tenant: TenantId) -> Result<LedgerCheck, StoreError> {
        todo!()
    }
    pub async fn ledger_events(&self, tenant: TenantId, after_seq: i64, limit: u32) -> Result<Vec<LedgerEntry>, StoreError> {
        todo!()
    }
    pub async fn erase_payload(&self, tenant: TenantId, event: EventId) -> Result<(), StoreError> {
        todo!()
    }
}
