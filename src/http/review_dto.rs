//! Review items, their attachments and decisions as callers of the API see them.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{
        decision::{Category, Likeness, RoutingDecision, Verdict},
        evidence::is_zero,
        time::Timestamp,
    },
    services::{
        review::{Attachments, Decisions},
        scoring::{MatchAnswer, ScoreEntry, UnscoredAnswer},
    },
    store::{Attachment, MadeDecision, ReviewDecision, ReviewItem, ReviewState, Subject},
};

/// A page of the queue, most urgent first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReviewPage {
    pub items: Vec<ReviewItemBody>,
    /// Send it as `after` for the next page; null on the last.
    pub next: Option<String>,
}

/// One entry of the review queue.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReviewItemBody {
    pub id: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    pub queue: String,
    /// 0 (last) to 1 (first).
    pub priority: f64,
    pub category: Category,
    /// `image`, `video`, `text` or `conversation`.
    pub attachment_kind: &'static str,
    /// The provider's reference; the attachment itself is not here. With a `subject`, that of an attachment that matched it.
    pub item_id: String,
    /// How many attachments it stands for: those that matched the same while it was open were put to it, and one decision is for all.
    pub count: u64,
    /// The provider's newest references of them, newest first, at most 20; `GET /review/items/{id}/attachments` lists all.
    pub item_ids: Vec<String>,
    /// Copies that were put to it once it was decided. The decision was not about them, and they are no verdicts.
    pub attached: u64,
    /// The item of a bank that is to be looked at, where it is no attachment; null otherwise. `confirmed` says that it belongs into its bank.
    pub subject: Option<SubjectBody>,
    pub state: ReviewState,
    pub matches: Vec<MatchAnswer>,
    /// Matches that were not kept, as in the answer of `/score`. Absent when there are none.
    #[serde(skip_serializing_if = "is_zero")]
    pub matches_left_out: usize,
    pub scores: Vec<ScoreEntry>,
    pub unscored: Vec<UnscoredAnswer>,
    /// The machine's.
    pub decision: RoutingDecision,
    /// The last claim; it may have expired.
    pub claim: Option<ClaimBody>,
    /// The human's.
    pub review_decision: Option<ReviewDecisionBody>,
    /// The probability with which it came before a human: 1 unless it was drawn, for the audit or by a share in `routing.unscored`. A reviewer cannot tell a second
    /// look from another item, so it says 1 there too.
    pub inclusion_probability: f64,
}

/// An item of a bank.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SubjectBody {
    pub bank: String,
    pub content_id: i64,
}

/// Who holds an item, and until when.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClaimBody {
    /// Id of the reviewer's key.
    pub reviewer: String,
    #[schema(value_type = String, format = DateTime)]
    pub claimed_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// What a human decided.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReviewDecisionBody {
    /// Id of the reviewer's key.
    pub reviewer: String,
    pub verdict: Verdict,
    pub note_code: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub decided_at: Timestamp,
}

/// All attachments of an item, in the order in which they came.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AttachmentsPage {
    pub attachments: Vec<ReviewAttachmentBody>,
    /// Send it as `after` for the next page; null on the last.
    pub next: Option<String>,
}

/// One attachment that an item stands for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReviewAttachmentBody {
    /// Send it as `after` to list what came after this one.
    pub cursor: String,
    /// The provider's reference.
    pub item_id: String,
    /// When it was scored; null for attachments of a version that did not write it down.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub time: Option<Timestamp>,
    /// Of its nearest match; null where nothing matched.
    pub technology: Option<String>,
    /// Of its nearest match, in the technology's unit.
    pub distance: Option<f32>,
    /// Whether it came once the item was decided: then the decision was not about it.
    pub after_decision: bool,
    /// How it resembles the decided item; null for those that the decision was about.
    pub likeness: Option<Likeness>,
}

/// Decisions in the order in which they were made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DecisionsPage {
    pub decisions: Vec<FollowedDecision>,
    /// Where to go on, now or later: send it as `after`.
    pub next: String,
    /// Whether there are more by now.
    pub more: bool,
}

/// A decision, and what it was about.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FollowedDecision {
    /// Send it as `after` for what was decided after this one.
    pub cursor: String,
    pub review_item: String,
    pub queue: String,
    pub decision: ReviewDecisionBody,
    /// The provider's reference of the first attachment. With a `subject`, that of an attachment that matched it.
    pub item_id: String,
    /// How many attachments the decision was about.
    pub count: u64,
    /// How many copies of them came since.
    pub attached: u64,
    /// The decided item that this was a second look at. Verdicts are final and none is taken back: while the newest two on the same thing differ, its copies come
    /// before people again; the newest of two that agree stands. Null for first looks.
    pub second_look_of: Option<String>,
    /// The item of a bank that was looked at, where it was no attachment; null otherwise.
    pub subject: Option<SubjectBody>,
}

impl From<Subject> for SubjectBody {
    fn from(subject: Subject) -> Self {
        Self { bank: subject.bank, content_id: subject.content_id }
    }
}

impl From<ReviewDecision> for ReviewDecisionBody {
    fn from(decision: ReviewDecision) -> Self {
        Self {
            reviewer: decision.reviewer.to_string(),
            verdict: decision.verdict,
            note_code: decision.note_code,
            decided_at: decision.decided_at,
        }
    }
}

impl From<Attachments> for AttachmentsPage {
    fn from(page: Attachments) -> Self {
        Self { attachments: page.attachments.into_iter().map(Into::into).collect(), next: page.next.map(|next| next.to_string()) }
    }
}

impl From<Attachment> for ReviewAttachmentBody {
    fn from(attachment: Attachment) -> Self {
        let (technology, distance) = attachment.nearest.map(|nearest| (nearest.technology, nearest.distance)).unzip();
        Self {
            cursor: attachment.number.to_string(),
            item_id: attachment.item_id,
            time: attachment.at,
            technology,
            distance,
            after_decision: attachment.likeness.is_some(),
            likeness: attachment.likeness,
        }
    }
}

impl From<Decisions> for DecisionsPage {
    fn from(page: Decisions) -> Self {
        Self { decisions: page.decisions.into_iter().map(Into::into).collect(), next: page.next.to_string(), more: page.more }
    }
}

impl From<MadeDecision> for FollowedDecision {
    fn from(made: MadeDecision) -> Self {
        Self {
            cursor: made.number.to_string(),
            review_item: made.review_item.to_string(),
            queue: made.queue,
            decision: made.decision.into(),
            item_id: made.item_id,
            count: made.count,
            attached: made.attached,
            second_look_of: made.second_look_of.map(|id| id.to_string()),
            subject: made.subject.map(Into::into),
        }
    }
}

impl From<ReviewItem> for ReviewItemBody {
    fn from(item: ReviewItem) -> Self {
        let inclusion_probability = if item.is_second_look() { 1.0 } else { item.provenance.inclusion_probability };
        Self {
            id: item.id.to_string(),
            created_at: item.created_at,
            queue: item.queue,
            priority: item.priority,
            category: item.category,
            attachment_kind: item.attachment_kind.as_str(),
            item_id: item.item_id,
            count: item.count,
            item_ids: item.item_ids,
            attached: item.attached,
            subject: item.subject.map(Into::into),
            state: item.state,
            matches: item.evidence.matches.iter().map(Into::into).collect(),
            matches_left_out: item.evidence.matches_left_out,
            scores: item.evidence.scores.iter().map(Into::into).collect(),
            unscored: item.evidence.unscored.iter().map(Into::into).collect(),
            decision: item.decision,
            claim: item.claim.map(|claim| ClaimBody {
                reviewer: claim.reviewer.to_string(),
                claimed_at: claim.claimed_at,
                expires_at: claim.expires_at,
            }),
            review_decision: item.review_decision.map(Into::into),
            inclusion_probability,
        }
    }
}
