//! Review items as values and as rows.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use crate::{
    domain::{
        attachment::AttachmentKind,
        decision::{Category, RoutingDecision, Verdict},
        event::Pseudonym,
        evidence::Evidence,
        ids::{KeyId, ReviewItemId, TenantId},
        monitor::{MATCH, Provenance, Purpose},
        time::Timestamp,
    },
    store::{
        error::StoreError,
        outcome::NewReviewItem,
        review::attachments::Nearest,
        row::{blob, json, named, number, optional_time, optional_uuid, time, uuid},
    },
};

/// Whether a human has decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewState {
    /// Waits for a decision, claimed or not.
    #[default]
    Open,
    /// Has its decision.
    Decided,
}

impl ReviewState {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Decided => "decided",
        }
    }
}

/// Who holds an item, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub reviewer: KeyId,
    /// When the reviewer took it; renewals leave it.
    pub claimed_at: Timestamp,
    /// From this instant on others may take it.
    pub expires_at: Timestamp,
}

/// What the human decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewDecision {
    pub reviewer: KeyId,
    pub verdict: Verdict,
    /// A code from the provider's list.
    pub note_code: Option<String>,
    pub decided_at: Timestamp,
}

/// An item of a bank that a person is asked to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub bank: String,
    pub content_id: i64,
}

impl Subject {
    /// As the table holds it: JSON, [bank, content id].
    pub(in crate::store) fn text(&self) -> String {
        serde_json::json!([self.bank, self.content_id]).to_string()
    }
}

/// One entry of the review queue.
#[derive(Clone, Debug, PartialEq)]
pub struct ReviewItem {
    pub id: ReviewItemId,
    pub tenant: TenantId,
    pub created_at: Timestamp,
    pub queue: String,
    /// 0 (last) to 1 (first).
    pub priority: f64,
    pub category: Category,
    pub attachment_kind: AttachmentKind,
    /// The provider's reference.
    pub item_id: String,
    pub evidence: Evidence,
    /// The machine's.
    pub decision: RoutingDecision,
    pub state: ReviewState,
    /// The last claim; it may have expired.
    pub claim: Option<Claim>,
    /// The human's.
    pub review_decision: Option<ReviewDecision>,
    /// Says of doubles and gold items what they are: never show `purpose` to a reviewer.
    pub provenance: Provenance,
    /// How many attachments it stands for: itself, and those that matched the same and were put to it while it was open.
    pub count: u64,
    /// The provider's newest references of them, newest first, at most 20.
    pub item_ids: Vec<String>,
    /// Copies that were put to it once it was decided; the decision was not about them, and they count as no verdict.
    pub attached: u64,
    /// The item that this one repeats: of doubles and gold items the original, of a second look the decided item that it is a copy of. Never show it to a reviewer.
    pub copy_of: Option<ReviewItemId>,
    /// What is to be looked at, where it is no attachment; `item_id` is then one that matched it.
    pub subject: Option<Subject>,
}

impl ReviewItem {
    /// Whether it was drawn from the copies of what people had decided.
    pub fn is_second_look(&self) -> bool {
        self.copy_of.is_some() && self.provenance.purpose == Purpose::Routed
    }

    /// The place after this item, for the next page.
    pub const fn cursor(&self) -> ReviewCursor {
        ReviewCursor { priority: self.priority, created_at: self.created_at, id: self.id }
    }
}

/// Which items, and how many.
#[derive(Clone, Debug, Default)]
pub struct ReviewFilter {
    /// `None` for all queues.
    pub queue: Option<String>,
    pub state: ReviewState,
    /// `None` for all categories.
    pub category: Option<Category>,
    /// Only items that nobody holds at this instant.
    pub claimable_at: Option<Timestamp>,
    /// Without copies of items that this reviewer has decided.
    pub reader: Option<KeyId>,
    /// At most so many.
    pub limit: u32,
    /// Only what comes after this place.
    pub after: Option<ReviewCursor>,
}

/// A place in the queue's order: priority descending, then oldest first. Its text is a token for callers to hand back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReviewCursor {
    pub priority: f64,
    pub created_at: Timestamp,
    pub id: ReviewItemId,
}

/// The text is not a cursor that this server gave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor from this server; start again without one")]
pub struct ParseCursorError;

impl fmt::Display for ReviewCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The priority's bits, because its decimal text would have to be exact.
        write!(f, "{:016x}.{}.{}", self.priority.to_bits(), self.created_at.micros(), self.id.0.simple())
    }
}

impl FromStr for ReviewCursor {
    type Err = ParseCursorError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('.');
        let (Some(priority), Some(created_at), Some(id), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(ParseCursorError);
        };
        let priority = u64::from_str_radix(priority, 16).map(f64::from_bits).ok().filter(|priority| priority.is_finite());
        Ok(Self {
            priority: priority.ok_or(ParseCursorError)?,
            created_at: created_at.parse().map(Timestamp::from_micros).map_err(|_| ParseCursorError)?,
            id: id.parse().map_err(|_| ParseCursorError)?,
        })
    }
}

/// A new item with its JSON made, before it waits for the writer.
pub(in crate::store) struct NewRow {
    id: ReviewItemId,
    created_at: Timestamp,
    queue: String,
    priority: f64,
    category: Category,
    attachment_kind: AttachmentKind,
    item_id: String,
    evidence: String,
    decision: String,
    flags: String,
    provenance: Provenance,
    /// JSON.
    item_ids: String,
    subject: Option<Subject>,
    nearest: Option<Nearest>,
    copy_of: Option<ReviewItemId>,
}

/// An attachment that is put to an item.
pub(super) struct Joining {
    pub item_id: String,
    pub priority: f64,
    pub at: Timestamp,
    pub nearest: Option<Nearest>,
}

/// What reached its threshold or was matched, as JSON: `[["pdq","match"],["open-nsfw","nsfw"]]`.
fn flags(evidence: &Evidence) -> Result<String, serde_json::Error> {
    let matched: BTreeSet<_> = evidence.matches.iter().map(|hit| hit.technology).collect();
    let matched = matched.iter().map(|kind| (kind.as_str(), MATCH));
    let scored = evidence.scores.iter().filter(|score| score.reached()).map(|score| (score.technology.as_str(), score.label.as_str()));
    serde_json::to_string(&matched.chain(scored).collect::<Vec<_>>())
}

impl NewRow {
    /// Refuses a decision without a queue and a priority that is not a number.
    pub(in crate::store) fn new(item: NewReviewItem) -> Result<Self, StoreError> {
        let invalid = |error: serde_json::Error| StoreError::Invalid(error.to_string());
        let NewReviewItem { id, created_at, attachment_kind, item_id, evidence, decision, provenance } = item;
        if !decision.priority.is_finite() {
            return Err(StoreError::Invalid("a priority must be a finite number".into()));
        }
        if !(provenance.inclusion_probability > 0.0 && provenance.inclusion_probability <= 1.0) {
            return Err(StoreError::Invalid("an inclusion probability lies in (0, 1]".into()));
        }
        Ok(Self {
            id,
            created_at,
            queue: decision.queue.clone().ok_or_else(|| StoreError::Invalid("a review item's decision must name a queue".into()))?,
            priority: decision.priority,
            category: decision.category,
            attachment_kind,
            item_id,
            evidence: serde_json::to_string(&evidence).map_err(invalid)?,
            decision: serde_json::to_string(&decision).map_err(invalid)?,
            flags: flags(&evidence).map_err(invalid)?,
            provenance,
            item_ids: "[]".to_owned(),
            subject: None,
            nearest: Nearest::of(&evidence),
            copy_of: None,
        })
    }

    /// A second look at a decided item, for another reviewer than the one who decided it.
    pub(in crate::store) fn again(self, decided: Option<ReviewItemId>) -> Self {
        Self { copy_of: decided, ..self }
    }

    /// About an item of a bank; `item_ids` are attachments that matched it, newest first.
    pub(in crate::store) fn about(self, subject: Subject, item_ids: &[String]) -> Result<Self, StoreError> {
        let item_ids = serde_json::to_string(item_ids).map_err(|error| StoreError::Invalid(error.to_string()))?;
        Ok(Self { item_ids, subject: Some(subject), ..self })
    }

    pub(in crate::store) const fn id(&self) -> ReviewItemId {
        self.id
    }

    /// What a further attachment brings to an item that it is put to.
    pub(super) fn joining(self) -> Joining {
        Joining { item_id: self.item_id, priority: self.priority, at: self.created_at, nearest: self.nearest }
    }

    /// Adds the item, open and unclaimed.
    pub(in crate::store) async fn insert(self, connection: &mut SqliteConnection, tenant: TenantId) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO review_items (tenant_id, id, created_at, queue, priority, category, attachment_kind, item_id, evidence, decision,
             flags, purpose, inclusion_probability, service, cluster, account, item_ids, subject, copy_of)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(blob(tenant.0))
        .bind(blob(self.id.0))
        .bind(self.created_at.micros())
        .bind(self.queue)
        .bind(self.priority)
        .bind(self.category.as_str())
        .bind(self.attachment_kind.as_str())
        .bind(self.item_id)
        .bind(self.evidence)
        .bind(self.decision)
        .bind(self.flags)
        .bind(self.provenance.purpose.as_str())
        .bind(self.provenance.inclusion_probability)
        .bind(self.provenance.service)
        .bind(self.provenance.cluster.map(|cluster| cluster.0))
        .bind(self.provenance.account.map(|account| account.0))
        .bind(self.item_ids)
        .bind(self.subject.map(|subject| subject.text()))
        .bind(self.copy_of.map(|decided| blob(decided.0)))
        .execute(connection)
        .await
        .map_err(|error| StoreError::constraint(error, "review item"))?;
        Ok(())
    }
}

/// All columns of an item and its review decision.
const SELECT: &str =
    "SELECT items.tenant_id, id, created_at, queue, priority, category, attachment_kind, item_id, evidence, decision, state,
    claimed_by, claimed_at, claim_expires_at, reviewer, verdict, note_code, decided_at, purpose, inclusion_probability, service, cluster, account, count, item_ids,
    attached, copy_of, subject FROM review_items AS items
    LEFT JOIN review_decisions AS decisions ON decisions.tenant_id = items.tenant_id AND decisions.review_item = items.id
    WHERE items.tenant_id = ";

/// Whether the reviewer whose id follows has decided the item that `items` is a copy of.
pub(super) const DECIDED_ORIGINAL: &str = "EXISTS (SELECT 1 FROM review_decisions AS original
    WHERE original.tenant_id = items.tenant_id AND original.review_item = items.copy_of AND original.reviewer = ";

/// One item.
pub(super) async fn read(connection: &mut SqliteConnection, tenant: TenantId, id: ReviewItemId) -> Result<Option<ReviewItem>, StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new(SELECT);
    query.push_bind(blob(tenant.0)).push(" AND id = ").push_bind(blob(id.0));
    query.build().fetch_optional(connection).await?.as_ref().map(item).transpose()
}

/// A page of the queue. Both orders have their index, so a page costs its own length.
pub(super) async fn list(readers: &SqlitePool, tenant: TenantId, filter: ReviewFilter) -> Result<Vec<ReviewItem>, StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new(SELECT);
    query.push_bind(blob(tenant.0)).push(" AND state = ").push_bind(filter.state.as_str());
    if let Some(queue) = filter.queue {
        query.push(" AND queue = ").push_bind(queue);
    }
    if let Some(category) = filter.category {
        query.push(" AND category = ").push_bind(category.as_str());
    }
    if let Some(now) = filter.claimable_at {
        query.push(" AND (claim_expires_at IS NULL OR claim_expires_at <= ").push_bind(now.micros()).push(")");
    }
    if let Some(reader) = filter.reader {
        query.push(" AND (copy_of IS NULL OR NOT ").push(DECIDED_ORIGINAL).push_bind(blob(reader.0)).push("))");
    }
    if let Some(ReviewCursor { priority, created_at, id }) = filter.after {
        query.push(" AND priority <= ").push_bind(priority);
        query.push(" AND (priority < ").push_bind(priority);
        query.push(" OR (created_at, id) > (").push_bind(created_at.micros()).push(", ").push_bind(blob(id.0)).push("))");
    }
    query.push(" ORDER BY priority DESC, created_at, id LIMIT ").push_bind(i64::from(filter.limit));
    query.build().fetch_all(readers).await?.iter().map(item).collect()
}

fn item(row: &SqliteRow) -> Result<ReviewItem, StoreError> {
    let claim = match (optional_uuid(row, "claimed_by")?, optional_time(row, "claimed_at")?, optional_time(row, "claim_expires_at")?) {
        (Some(reviewer), Some(claimed_at), Some(expires_at)) => Some(Claim { reviewer: KeyId(reviewer), claimed_at, expires_at }),
        _ => None, // the table's CHECK allows all or none
    };
    let review_decision = match (optional_uuid(row, "reviewer")?, optional_time(row, "decided_at")?) {
        (Some(reviewer), Some(decided_at)) => Some(ReviewDecision {
            reviewer: KeyId(reviewer),
            verdict: named(row, "verdict")?,
            note_code: row.try_get("note_code")?,
            decided_at,
        }),
        _ => None,
    };
    let item_id: String = row.try_get("item_id")?;
    let mut item_ids: Vec<String> = json(row, "item_ids")?;
    if item_ids.is_empty() {
        item_ids.push(item_id.clone());
    }
    Ok(ReviewItem {
        id: ReviewItemId(uuid(row, "id")?),
        tenant: TenantId(uuid(row, "tenant_id")?),
        created_at: time(row, "created_at")?,
        queue: row.try_get("queue")?,
        priority: row.try_get("priority")?,
        category: named(row, "category")?,
        attachment_kind: named(row, "attachment_kind")?,
        item_id,
        evidence: json(row, "evidence")?,
        decision: json(row, "decision")?,
        state: named(row, "state")?,
        claim,
        review_decision,
        provenance: Provenance {
            purpose: named(row, "purpose")?,
            inclusion_probability: row.try_get("inclusion_probability")?,
            service: row.try_get("service")?,
            cluster: row.try_get::<Option<String>, _>("cluster")?.map(Pseudonym),
            account: row.try_get::<Option<String>, _>("account")?.map(Pseudonym),
        },
        count: number(row, "count")?,
        item_ids,
        attached: number(row, "attached")?,
        copy_of: optional_uuid(row, "copy_of")?.map(ReviewItemId),
        subject: subject(row)?,
    })
}

/// What an item is about, where that is no attachment.
pub(super) fn subject(row: &SqliteRow) -> Result<Option<Subject>, StoreError> {
    let subject: Option<(String, i64)> = if row.try_get::<Option<&str>, _>("subject")?.is_some() { json(row, "subject")? } else { None };
    Ok(subject.map(|(bank, content_id)| Subject { bank, content_id }))
}
