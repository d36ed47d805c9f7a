//! Bodies of the API that are no domain values: what callers send as JSON. Some types exist only to be
//! described in the OpenAPI document; they say so where they silence the compiler.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::json::{object, objects, optional_object};
use crate::{
    domain::{attachment::Context, decision::Verdict, text::Text, time::Timestamp},
    services::scoring::ScoreAnswer,
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

/// What the `attachment` part of a form may be in JSON: an [`AttachmentBody`], or the whole body of `POST /score` with one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartBody<'a> {
    #[serde(default, borrow, deserialize_with = "optional_object")]
    pub attachment: Option<AttachmentBody<'a>>,
    #[serde(default, deserialize_with = "optional_object")]
    pub context: Option<Context>,
    #[serde(default)]
    pub text: Option<Text>,
    #[serde(default, deserialize_with = "optional_object")]
    pub conversation: Option<ConversationBody>,
    #[serde(default)]
    pub media_type: Option<String>,
    #[serde(default, borrow)]
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
    /// The file, of any type. A part of type `text/…` is a text, one of type `application/json` is `{"text"}`, `{"conversation"}` or the whole JSON body of this call, everything else is told
    /// by its bytes.
    #[schema(value_type = String, format = Binary)]
    attachment: Vec<u8>,
    /// A JSON object; before or after the attachment. Not where the attachment is a whole JSON body that has its own.
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
