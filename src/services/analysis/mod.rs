//! Bytes, texts and conversations to evidence: the one place where attachments are looked at.
//!
//! ```text
//! bytes ─> viewer: every distinct view (frames, pages, with and without transparency)
//!            └─> pictures: digests, hashes, tensors ─┬─> search: banks, for all views ─┐
//!                                                    └─> models, for up to 16 frames ──┴─> Evidence
//! text, conversation ─> text: tokens, encoder, heads; and the digests of the bytes it came as ─> Evidence
//! ```
//!
//! `scoring` decides on the evidence and keeps it, `lookup` and the command line want hashes and matches alone, `evaluate` measures: they all stand on this room, so that
//! what one of them sees of a file is what the others see. Nothing here stores or decides.
//!
//! **Looks.** A file may be seen in more ways than one, and hides what is in the ways that nobody looks at. [`Viewer`] goes through every distinct one; hashes
//! are made of all of them, models see all up to a number of frames, then an even spread. The highest score counts, and the answer names the look that it is of; so does every
//! match. [`image_rule`] names that rule, to which certificates are bound.
//!
//! **Nothing ends in silence.** What is no media that we decode is looked up by its digests and `unscored` for the rest; so is what limits cut off or damage hides.

mod embedders;
mod error;
mod image;
mod lanes;
mod load;
mod models;
mod pictures;
pub mod pixels;
mod search;
mod spread;
mod text;
mod timings;
pub mod viewer;

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

pub use self::{
    embedders::{EmbedError, Embedders},
    error::AnalysisError,
    pictures::Pictures,
    viewer::Viewer,
};
use self::{
    image::{ImageWay, LookedAt},
    models::TextModel,
};
pub(in crate::services) use self::{
    image::{faint, frames_left_out},
    models::CallPoints,
    pictures::{Opened, Seen, SeenView, Want},
    search::search,
    timings::Timings,
};
use crate::{
    domain::{
        attachment::{Attachment, AttachmentFacts, AttachmentKind},
        evidence::{Evidence, Unscored, UnscoredReason},
        hash::Digests,
        score::Technology,
    },
    engines::{classify::Manifest, matching::Snapshot, media},
    services::{banks::damage, certificates::ModelFacts},
};

/// Model name -> `sha256:…` over the model's files.
pub type ModelVersions = BTreeMap<String, String>;

/// How the score of an image model comes about, beside the model: which frames and variants it sees, and what becomes of their scores. A certificate made under another
/// rule says nothing of scores under this one.
pub fn image_rule() -> String {
    format!("image@2: max over dropped, on_white, on_black of {} distinct frames", spread::MOST_FRAMES)
}

/// The same of a text model: its head, and the backbone that says which looks there are.
pub fn text_rule(head: &Manifest, backbone: Option<&Manifest>) -> String {
    let messages = head.conversation.map_or_else(String::new, |shape| format!(" of {} messages", shape.window_messages));
    format!("text@1: max over windows{messages}; {}", backbone.unwrap_or(head).looks())
}

/// Looks at attachments with everything that is configured. Built by [`services::App`](crate::services::App).
pub struct Analysis {
    images: ImageWay,
    texts: Vec<TextModel>,
    /// What is said of every text and conversation, for models that were refused.
    refused_texts: Vec<Unscored>,
    versions: ModelVersions,
    running: Vec<(String, ModelFacts)>,
}

/// One attachment, and what it is held against.
pub(in crate::services) struct Ask<'a> {
    pub attachment: &'a Attachment,
    pub banks: Arc<Snapshot>,
    pub points: &'a CallPoints,
    /// When the caller stops waiting: work on further views ends then.
    pub deadline: Instant,
}

/// What looking at an attachment gave.
pub(in crate::services) struct Analysed {
    pub facts: AttachmentFacts,
    pub evidence: Evidence,
}

impl Analysis {
    /// The models that score, by digest.
    pub const fn versions(&self) -> &ModelVersions {
        &self.versions
    }

    /// What certificates are bound to, of each model that has labels.
    pub(in crate::services) fn running(&self) -> impl Iterator<Item = (String, ModelFacts)> {
        self.running.iter().cloned()
    }

    /// What makes hashes of files.
    pub const fn pictures(&self) -> &Arc<Pictures> {
        &self.images.pictures
    }

    /// Everything all technologies say of an attachment.
    ///
    /// # Errors
    /// See [`AnalysisError`]; what is wrong with the attachment is in its evidence.
    pub(in crate::services) async fn look(&self, ask: Ask<'_>, timings: &mut Timings) -> Result<Analysed, AnalysisError> {
        let unseen = damage::unseen(&ask.banks, !matches!(ask.attachment, Attachment::Media { .. }));
        let mut analysed = self.look_at(ask, timings).await?;
        analysed.evidence.unscored.extend(unseen);
        Ok(analysed)
    }

    async fn look_at(&self, ask: Ask<'_>, timings: &mut Timings) -> Result<Analysed, AnalysisError> {
        match ask.attachment {
            Attachment::Media { bytes, .. } => {
                let decoded = media::sniff(bytes).map(|known| known.as_str());
                let media_type =
                    decoded.or_else(|| media::recognise(bytes).map(|known| known.media_type)).unwrap_or("application/octet-stream");
                let LookedAt { digests, size, frames, evidence } =
                    self.images.look(bytes.clone(), ask.banks, ask.points, ask.deadline, timings).await?;
                let facts = AttachmentFacts {
                    kind: kind_of(media_type),
                    media_type: media_type.to_owned(),
                    bytes: bytes.len() as u64,
                    width: size.map(|(width, _)| width),
                    height: size.map(|(_, height)| height),
                    messages: None,
                    frames: (frames > 1).then_some(frames),
                    repaired: false,
                    sha256: hex::encode(digests.sha256),
                };
                Ok(Analysed { facts, evidence })
            }
            Attachment::Text { text, received, repaired, cut_from, markup } => {
                let whole = cut_from.unwrap_or(text.len());
                let mut evidence = text::look_at_text(&self.texts, (text, whole), ask.points, timings).await?;
                // A text in JSON has the bytes that it would have come as.
                let bytes = received.clone().unwrap_or_else(|| Bytes::copy_from_slice(text.as_bytes()));
                let (digests, of_bytes) = self.look_at_received(&bytes, &ask, timings).await?;
                put_together(&mut evidence, of_bytes);
                let told = |unscored: &Unscored| unscored.reason == UnscoredReason::UnsupportedMedia;
                if let Some(declared) = markup.as_deref().filter(|_| !evidence.unscored.iter().any(told)) {
                    let detail =
                        format!("{declared} was scored as it is written, and not as a reader of it shows it: send its text as text/plain");
                    evidence.unscored.push(Unscored {
                        technology: Technology::named("text"),
                        reason: UnscoredReason::UnsupportedMedia,
                        detail,
                    });
                }
                let facts = text_facts(AttachmentKind::Text, whole, None, *repaired, hex::encode(digests.sha256));
                Ok(self.looked_at_text(facts, evidence))
            }
            Attachment::Conversation { messages, repaired } => {
                let evidence = text::look_at_conversation(&self.texts, messages, ask.points, timings).await?;
                let bytes = messages.iter().map(|message| message.text.len()).sum();
                let count = u32::try_from(messages.len()).unwrap_or(u32::MAX);
                let facts = text_facts(AttachmentKind::Conversation, bytes, Some(count), *repaired, sha256(ask.attachment));
                Ok(self.looked_at_text(facts, evidence))
            }
        }
    }

    /// The bytes that a text came as: their digests, and everything else where they are media. A text that merely begins like a picture is none: what is sound UTF-8 is media
    /// only when its header can be read.
    async fn look_at_received(&self, bytes: &Bytes, ask: &Ask<'_>, timings: &mut Timings) -> Result<(Digests, Evidence), AnalysisError> {
        // Of the bytes, not of the text: in a charset of one byte for each letter all bytes are sound.
        let sound = std::str::from_utf8(bytes).is_ok();
        let media = media::sniff(bytes).is_some() && (!sound || self.images.pictures.viewer().header(bytes).is_ok());
        // Of a type that is not decoded, that is said too. So it is of markup, which was scored as it is written and not as a reader of it shows it.
        let recognised = media::recognise(bytes).filter(|known| !sound || MARKUP.contains(&known.media_type));
        if media || recognised.is_some() {
            let looked = self.images.look(bytes.clone(), ask.banks.clone(), ask.points, ask.deadline, timings).await?;
            return Ok((looked.digests, looked.evidence));
        }
        self.images.look_at_digests(bytes.clone(), ask.banks.clone(), ask.deadline, timings).await
    }

    fn looked_at_text(&self, facts: AttachmentFacts, mut evidence: Evidence) -> Analysed {
        evidence.unscored.extend(self.refused_texts.iter().cloned());
        if self.texts.is_empty() && self.refused_texts.is_empty() {
            let detail = "no text model is configured".to_owned();
            evidence.unscored.push(Unscored { technology: Technology::named("text"), reason: UnscoredReason::UnsupportedKind, detail });
        }
        Analysed { facts, evidence }
    }
}

fn text_facts(kind: AttachmentKind, bytes: usize, messages: Option<u32>, repaired: bool, sha256: String) -> AttachmentFacts {
    let media_type = if kind == AttachmentKind::Text { "text/plain" } else { "application/json" }.to_owned();
    AttachmentFacts { kind, media_type, bytes: bytes as u64, width: None, height: None, messages, frames: None, repaired, sha256 }
}

/// Types of sound text that readers show as something else than it is written.
const MARKUP: [&str; 4] = ["text/html", "application/xml", "image/svg+xml", "application/rtf"];

/// What kind of thing media of this type are.
fn kind_of(media_type: &str) -> AttachmentKind {
    match media_type.split_once('/') {
        Some(("image", _)) => AttachmentKind::Image,
        Some(("video", _)) => AttachmentKind::Video,
        _ => AttachmentKind::File,
    }
}

/// Adds what the bytes gave to what the text gave.
fn put_together(evidence: &mut Evidence, other: Evidence) {
    let Evidence { matches, suppressed, matches_left_out, scores, unscored } = other;
    evidence.matches.extend(matches);
    evidence.suppressed.extend(suppressed);
    evidence.matches_left_out += matches_left_out;
    evidence.scores.extend(scores);
    evidence.unscored.extend(unscored);
}

/// Of the bytes as received, of the text, or of the conversation's texts joined by newlines; in hex.
pub(in crate::services) fn sha256(attachment: &Attachment) -> String {
    let mut hasher = Sha256::new();
    match attachment {
        Attachment::Media { bytes, .. } | Attachment::Text { received: Some(bytes), .. } => hasher.update(bytes),
        Attachment::Text { text, received: None, .. } => hasher.update(text),
        Attachment::Conversation { messages, .. } => {
            for (at, message) in messages.iter().enumerate() {
                if at > 0 {
                    hasher.update(b"\n");
                }
                hasher.update(&message.text);
            }
        }
    }
    hex::encode(hasher.finalize())
}
