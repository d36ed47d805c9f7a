//! Bodies of the API that are no domain values: what callers send as JSON, and review items as they see them. Some types exist only to be
//! described in the OpenAPI document; they say so where they silence the compiler.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::json::{object, objects, optional_object};
use crate::{
    domain::{
        attachment::Context,
        decision::{Category, RoutingDecision, Verdict},
        text::Text,
        time::Timestamp,
    },
    services::scoring::{MatchAnswer, ScoreAnswer, ScoreEntry, UnscoredAnswer},
    store::{ReviewItem, ReviewState},
};

/// One attachment with its context.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScoreBody<'a> {
    #[serde(borrow, deserialize_with = "object")]
    #[schema(value_type = AttachmentBody)]
    pub attachment: AttachmentBody<'a>,
    #[serde(default, deserialize_with = "object")]
    pub context: Context,
}

/// Exactly one of `text`, `conversation` or `data_base64`.
///
/// In `text`, and in a message's `text` and `author`, bytes that are no UTF-8 and escapes that are half a surrogate are read as U+FFFD; the answer's
/// `attachment.repaired` says so. Everywhere else they are refused.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AttachmentBody<'a> {
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub text: Option<Text>,
    #[serde(default, deserialize_with = "optional_object")]
    pub conversation: Option<ConversationBody>,
    /// Of `data_base64`, as a part's Content-Type: `text/…` is a text, everything else is told by its bytes.
    #[serde(default)]
    pub media_type: Option<String>,
    /// The file in base64, standard alphabet, with padding. A raw or multipart body is a quarter smaller.
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    pub data_base64: Option<Cow<'a, str>>,
}

/// Messages in the order they were sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConversationBody {
    #[serde(deserialize_with = "objects")]
    pub messages: Vec<MessageBody>,
}

/// One message.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageBody {
    /// Tells the authors of this conversation apart; never stored.
    #[schema(value_type = String)]
    pub author: Text,
    /// RFC 3339.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub time: Option<Timestamp>,
    #[schema(value_type = String)]
    pub text: Text,
}

/// A file as it is. What it is, is told by its bytes.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "describes a body that is read as it comes")]
pub(super) struct FileBody(Vec<u8>);

/// The parts of `POST /score` as `multipart/form-data`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes parts that are read one by one")]
pub(super) struct ScoreParts {
    /// The file, of any type. A part of type `text/…` is a text, one of type `application/json` is `{"text"}` or `{"conversation"}`, everything else is told by its bytes.
    #[schema(value_type = String, format = Binary)]
    attachment: Vec<u8>,
    /// A JSON object; before or after the attachment.
    context: Option<Context>,
}

/// The parts of `POST /score/batch`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes parts that are read one by one")]
pub(super) struct BatchParts {
    /// One part per attachment, as in `POST /score`; each may have its own `Idempotency-Key` among the part's headers.
    #[schema(value_type = Vec<String>, format = Binary)]
    attachment: Vec<Vec<u8>>,
    /// A `context` part belongs to the attachment that follows it.
    context: Option<Vec<Context>>,
}

/// One element of the answer of `POST /score/batch`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "written by hand around answers that are JSON already")]
pub(super) struct BatchOutcome {
    /// What `POST /score` would have answered with.
    status: u16,
    /// With status 200.
    answer: Option<ScoreAnswer>,
    /// True when this is the stored answer of an earlier call with the same key.
    replayed: Option<bool>,
    /// With any other status.
    error: Option<super::error::ErrorDetail>,
}

/// What the human found.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionBody {
    pub verdict: Verdict,
    /// A code from the provider's own list: 1 to 64 of a-z, 0-9, `_`, `-` and `.`; never text about people.
    #[serde(default)]
    pub note_code: Option<String>,
}

/// An item whose right verdict is known.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GoldBody {
    /// The item to copy, decided or not.
    pub review_item: String,
    /// `confirmed` or `rejected`.
    pub truth: Verdict,
}

/// The copy.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GoldAdded {
    pub review_item: String,
}

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
    /// The provider's newest references of them, newest first, at most 20.
    pub item_ids: Vec<String>,
    /// The item of a bank that is to be looked at, where it is no attachment; null otherwise. `confirmed` says that it belongs into its bank.
    pub subject: Option<SubjectBody>,
    pub state: ReviewState,
    pub matches: Vec<MatchAnswer>,
    pub scores: Vec<ScoreEntry>,
    pub unscored: Vec<UnscoredAnswer>,
    /// The machine's.
    pub decision: RoutingDecision,
    /// The last claim; it may have expired.
    pub claim: Option<ClaimBody>,
    /// The human's.
    pub review_decision: Option<ReviewDecisionBody>,
    /// The probability with which it came before a human: 1 unless it was drawn for the audit.
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

impl From<ReviewItem> for ReviewItemBody {
    fn from(item: ReviewItem) -> Self {
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
            subject: item.subject.map(|subject| SubjectBody { bank: subject.bank, content_id: subject.content_id }),
            state: item.state,
            matches: item.evidence.matches.iter().map(Into::into).collect(),
            scores: item.evidence.scores.iter().map(Into::into).collect(),
            unscored: item.evidence.unscored.iter().map(Into::into).collect(),
            decision: item.decision,
            claim: item.claim.map(|claim| ClaimBody {
                reviewer: claim.reviewer.to_string(),
                claimed_at: claim.claimed_at,
                expires_at: claim.expires_at,
            }),
            review_decision: item.review_decision.map(|decision| ReviewDecisionBody {
                reviewer: decision.reviewer.to_string(),
                verdict: decision.verdict,
                note_code: decision.note_code,
                decided_at: decision.decided_at,
            }),
            inclusion_probability: item.provenance.inclusion_probability,
        }
    }
}
