//! A copy of what people decided is put to that item instead of before another human: looking at it once more is an exposure for nothing.
//!
//! # What counts as a copy
//! - **Exact**: the same bytes of a media file. Of a text or a conversation the same words by the same authors in turn, of the same `context.account_id`: a
//!   picture stays what it is whoever sends it, but the same words of somebody else are another deed.
//! - **Near**: the nearest match is the same item of a bank as the nearest match of the decided one was.
//!
//! # When it is put there
//! - An exact copy of what was confirmed or rejected; a near copy of what was confirmed. What resembles a rejected picture may be the picture that the bank is
//!   about, so a person looks at it.
//! - Never after `uncertain`, and only if the newest two verdicts agree where there are two: while reviewers disagree, a further one decides. Verdicts of doubles
//!   and of second looks count here like first ones.
//! - Never when it says more than the decided one did: another bank matches, another label reaches its threshold, something else could not be looked at. An old
//!   verdict hides nothing that nobody had seen. A bank that was made or renamed since is another bank, and a disputed item of a bank vouches for nothing.
//! - Never for audit samples, which stand for what nothing flagged.
//!
//! The answer then says `route: review` with the reason `known_decided` and names the decided item; the ledger holds a `known_decided` event; the item lists it among
//! its attachments. It is no verdict: precision, agreement and the monitor do not hear of it.
//!
//! # Second looks
//! `review.known_second_look` is the share of copies that make an item of their own all the same, for another reviewer than the one who decided, who cannot tell it from
//! another item. Its verdict counts: in the precision as one more decision, in the agreement of reviewers if it is an exact copy. The share is its
//! `inclusion_probability` in the answer and in the ledger. The draw is keyed by the provider's reference and the newest verdict, so that one that comes day by day
//! is not looked at day by day.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::{Pseudonyms, audit};
use crate::{
    config::Review,
    domain::{
        attachment::{Attachment, AttachmentFacts, Context},
        decision::{Likeness, Reason, RoutingDecision, Verdict},
        evidence::{Evidence, UnscoredReason},
        ids::{ReviewItemId, TenantId},
    },
    store::{DecidedCopy, KnownBy, Store, StoreError},
};

/// How copies of decided items are treated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copies {
    attach: bool,
    second_look: f64,
}

/// A decided item that an attachment is a copy of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Known {
    pub review_item: ReviewItemId,
    pub verdict: Verdict,
    pub likeness: Likeness,
    /// The share of copies that people look at.
    pub second_look: f64,
    /// Whether this one was drawn for that.
    pub drawn: bool,
}

/// What would be hidden if nobody looked: a person has seen all of it before, or looks now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Flag<'a> {
    Bank(&'a str),
    Label(&'a str, &'a str),
    Unscored(&'a str, UnscoredReason),
}

fn flags(evidence: &Evidence) -> BTreeSet<Flag<'_>> {
    let banks = evidence.matches.iter().map(|hit| Flag::Bank(&hit.bank));
    let labels = evidence.scores.iter().filter(|score| score.flagged() || score.reached());
    let labels = labels.map(|score| Flag::Label(score.technology.as_str(), &score.label));
    let blind = evidence.unscored.iter().map(|one| Flag::Unscored(one.technology.as_str(), one.reason));
    banks.chain(labels).chain(blind).collect()
}

/// By what copies of the attachment will be recognised.
pub(super) fn known_by(pseudonyms: &Pseudonyms, tenant: TenantId, content: &[u8; 32], evidence: &Evidence) -> Vec<KnownBy> {
    let content = KnownBy::Content(pseudonyms.of(tenant, "content", &hex::encode(content)));
    std::iter::once(content).chain(nearest(evidence)).collect()
}

fn nearest(evidence: &Evidence) -> Option<KnownBy> {
    let nearest = evidence.matches.first()?;
    Some(KnownBy::Match { bank: nearest.bank.clone(), content_id: nearest.content_id })
}

/// A digest of what makes two attachments exact copies.
pub(super) fn content(attachment: &Attachment, facts: &AttachmentFacts, context: &Context) -> [u8; 32] {
    let mut hasher = Sha256::new();
    // Each part with its length, so that no two lists of parts read the same.
    let mut part = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    match attachment {
        Attachment::Media { bytes, .. } => {
            part(b"media");
            // Taken already, where it was.
            part(if facts.sha256.is_empty() { bytes } else { facts.sha256.as_bytes() });
        }
        Attachment::Text { text, .. } => {
            part(b"text");
            part(context.account_id.as_deref().unwrap_or_default().as_bytes());
            part(text.as_bytes());
        }
        Attachment::Conversation { messages, .. } => {
            part(b"conversation");
            part(context.account_id.as_deref().unwrap_or_default().as_bytes());
            let mut authors: Vec<&str> = Vec::new();
            for message in messages {
                // Names may be drawn anew for each call; who speaks when is not.
                let known = authors.iter().position(|author| *author == message.author);
                let author = known.unwrap_or_else(|| {
                    authors.push(&message.author);
                    authors.len() - 1
                });
                part(&(author as u64).to_be_bytes());
                part(message.text.as_bytes());
            }
        }
    }
    hasher.finalize().into()
}

/// The verdict that stands, by verdicts from the newest to the oldest, and the oldest item of it that had all the `flags`.
fn settled(verdicts: &[DecidedCopy], likeness: Likeness, flags: &BTreeSet<Flag<'_>>) -> Option<(ReviewItemId, Verdict)> {
    let verdict = verdicts.first()?.verdict;
    let settles = match likeness {
        Likeness::Exact => verdict != Verdict::Uncertain,
        Likeness::Near => verdict == Verdict::Confirmed,
    };
    if !settles || verdicts.get(1).is_some_and(|before| before.verdict != verdict) {
        return None;
    }
    let agreeing = verdicts.iter().take_while(|one| one.verdict == verdict);
    let seen = agreeing.filter(|one| flags.is_subset(&self::flags(&one.evidence)));
    seen.last().map(|one| (one.review_item, verdict))
}

/// What is looked for: one attachment of a tenant.
pub(super) struct Sought<'a> {
    pub tenant: TenantId,
    pub item_id: &'a str,
    pub evidence: &'a Evidence,
    /// See [`known_by`].
    pub known_by: &'a [KnownBy],
}

impl Copies {
    pub(super) const fn new(review: &Review) -> Self {
        Self { attach: review.attach_known, second_look: review.known_second_look }
    }

    /// The decided item that the attachment is a copy of, if there is one that stands for it.
    pub(super) async fn find(&self, store: &Store, pseudonyms: &Pseudonyms, sought: &Sought<'_>) -> Result<Option<Known>, StoreError> {
        if !self.attach {
            return Ok(None);
        }
        let (flags, banks) = (flags(sought.evidence), banks(sought.evidence));
        for known in sought.known_by {
            let likeness = match known {
                KnownBy::Content(_) => Likeness::Exact,
                KnownBy::Match { .. } => Likeness::Near,
            };
            if likeness == Likeness::Near && sought.evidence.matches.first().is_some_and(|nearest| nearest.disputed) {
                continue;
            }
            let verdicts = store.decided_copies(sought.tenant, known, &banks).await?;
            let Some(newest) = verdicts.first() else { continue };
            // What people said of exactly this content counts before what they said of its like, also where it settles nothing.
            return Ok(settled(&verdicts, likeness, &flags).map(|(review_item, verdict)| {
                let draw = audit::number(pseudonyms, sought.tenant, "second look", &format!("{}\n{}", newest.review_item, sought.item_id));
                Known { review_item, verdict, likeness, second_look: self.second_look, drawn: draw < self.second_look }
            }));
        }
        Ok(None)
    }
}

fn banks(evidence: &Evidence) -> Vec<&str> {
    let names: BTreeSet<&str> = evidence.matches.iter().map(|hit| hit.bank.as_str()).collect();
    names.into_iter().collect()
}

impl Known {
    /// The decision on a copy that nobody is asked about: that of routing, with this reason before its own.
    pub(super) fn decision(&self, routed: RoutingDecision) -> RoutingDecision {
        let copy = match self.likeness {
            Likeness::Exact => "an exact copy",
            Likeness::Near => "a near copy",
        };
        let text = format!("{copy} of an item that people decided ({}); nobody is asked again", self.verdict.as_str());
        let reason = Reason { code: "known_decided".to_owned(), technology: None, text };
        RoutingDecision { reasons: std::iter::once(reason).chain(routed.reasons).collect(), ..routed }
    }
}
