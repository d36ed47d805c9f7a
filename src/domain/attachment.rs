//! What a provider sends: one attachment and its context.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{text::Text, time::Timestamp};

/// What kind of thing an attachment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentKind {
    Image,
    Video,
    Text,
    Conversation,
    /// Bytes that are none of these, as far as is known.
    File,
}

impl AttachmentKind {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Text => "text",
            Self::Conversation => "conversation",
            Self::File => "file",
        }
    }
}

/// A media type that the server recognises by its first bytes, whatever the sender declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaType {
    Jpeg,
    Png,
    Webp,
    Gif,
    Bmp,
    Tiff,
}

impl MediaType {
    /// The IANA name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Webp => "image/webp",
            Self::Gif => "image/gif",
            Self::Bmp => "image/bmp",
            Self::Tiff => "image/tiff",
        }
    }
}

/// One attachment as it came in.
#[derive(Clone, Debug)]
pub enum Attachment {
    /// Untrusted bytes of some media; `declared` is the sender's Content-Type, which decides nothing.
    Media { bytes: Bytes, declared: Option<String> },
    Text {
        text: String,
        /// The bytes that it came as, where they were a body or a file of their own: their digests are looked up, and they are looked at as media where they are some.
        received: Option<Bytes>,
        /// Whether bytes that were no UTF-8, or half a surrogate, were replaced by U+FFFD.
        repaired: bool,
        /// Bytes of UTF-8 of the whole text where `text` is only its beginning: see [`Attachment::bounded_text`].
        cut_from: Option<usize>,
        /// The declared type where readers of it show something else than is written (HTML): what is scored is not what people see.
        markup: Option<String>,
    },
    Conversation {
        messages: Vec<Message>,
        /// As for a text.
        repaired: bool,
    },
}

impl Attachment {
    /// A text that came inside something else and is as it was written.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), received: None, repaired: false, cut_from: None, markup: None }
    }

    /// A text of which at most `limit` bytes of UTF-8, from its beginning, are scored. Of a longer one all bytes stay in `received`, so that their digests and the media that they
    /// may be are looked at however long the text is; and whichever way it came, it is the same attachment.
    pub fn bounded_text(Text { mut text, repaired }: Text, received: Option<Bytes>, limit: usize) -> Self {
        let whole = text.len();
        if whole <= limit {
            return Self::Text { text, received, repaired, cut_from: None, markup: None };
        }
        let beginning = text[..text.floor_char_boundary(limit)].to_owned();
        let all = std::mem::replace(&mut text, beginning);
        Self::Text { text, received: Some(received.unwrap_or_else(|| all.into())), repaired, cut_from: Some(whole), markup: None }
    }

    /// A conversation that is as it was written.
    pub const fn conversation(messages: Vec<Message>) -> Self {
        Self::Conversation { messages, repaired: false }
    }
}

/// One message of a conversation, in the order it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// A name that tells the authors of one conversation apart; never stored.
    pub author: String,
    pub time: Option<Timestamp>,
    pub text: String,
}

/// What the provider says about an attachment. Identifiers are stored only as keyed pseudonyms, except `item_id`,
/// which a review item keeps so that the provider can find its own item again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// The provider's reference of this item; drawn by the server when absent. At most 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<String>,
    /// The provider's reference of the account that sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// Which of the provider's services, for the regulator's reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Where in the service: profile, direct message, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surface: Option<String>,
    /// On what legal ground this attachment is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_basis: Option<String>,
    /// Which population the item counts in (e.g. `eu`), for the regulator's reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// What one item counts as in the reports: `item` (default) or `account`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The provider's or a clusterer's id of near-duplicates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
}

impl Context {
    /// Characters that any field may have.
    pub const LONGEST: usize = 256;

    /// The name of a field that is empty, too long or holds control characters.
    pub fn malformed_field(&self) -> Option<&'static str> {
        let fields = [
            ("item_id", &self.item_id),
            ("account_id", &self.account_id),
            ("service", &self.service),
            ("surface", &self.surface),
            ("legal_basis", &self.legal_basis),
            ("scope", &self.scope),
            ("unit", &self.unit),
            ("cluster", &self.cluster),
        ];
        let bad = |text: &String| text.is_empty() || text.chars().count() > Self::LONGEST || text.chars().any(char::is_control);
        fields.into_iter().find(|(_, value)| value.as_ref().is_some_and(bad)).map(|(name, _)| name)
    }
}

/// What the server found out about the attachment itself, for the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AttachmentFacts {
    /// `image`, `video`, `text`, `conversation`, or `file` for what is none of them as far as is known.
    #[schema(value_type = String)]
    pub kind: AttachmentKind,
    /// The sniffed type; `application/json` or `text/plain` for text.
    pub media_type: String,
    pub bytes: u64,
    /// After EXIF orientation; absent when the header could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<u32>,
    /// Frames, pages or pictures, where there are more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<u32>,
    /// Whether bytes that were no UTF-8, or half a surrogate, were replaced by U+FFFD before the text was scored. Absent when nothing was.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repaired: bool,
    /// Of the bytes as received (media), of the UTF-8 text, or of the conversation's texts joined by newlines.
    pub sha256: String,
}
