//! A copy of what people decided is put to that item instead of before another human: looking at it once more is an exposure for nothing.
//!
//! # What counts as a copy
//! - **Exact**: the same bytes of a media file. Of a text or a conversation the same words by the same authors in turn, of the same `context.account_id`: a
//!   picture stays what it is whoever sends it, but the same words of somebody else are another deed, and without an account nobody knows whose they are.
//! - **Near**: the nearest match is the same item of a bank as the nearest match of the decided one was, and neither of them shows anything else: stills without transparency. One
//!   frame of several, or what is seen on white alone, is known; the others nobody has seen, or they were what people judged.
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

use std::collections::{BTreeSet, HashMap};

use sha2::{Digest, Sha256};

use super::{Pseudonyms, audit};
use crate::{
    config::Review,
    domain::{
        attachment::{Attachment, AttachmentFacts, Context},
        clip::Look,
        decision::{Likeness, Reason, RoutingDecision, Verdict},
        evidence::{Evidence, Match, UnscoredReason},
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
pub(super) fn known_by(pseudonyms: &Pseudonyms, tenant: TenantId, content: Option<[u8; 32]>, evidence: &Evidence) -> Vec<KnownBy> {
    let content = content.map(|content| KnownBy::Content(pseudonyms.of(tenant, "content", &hex::encode(content))));
    content.into_iter().chain(nearest(evidence)).collect()
}

/// Whether what matched is a frame among others, or what shows on white alone, so that the attachment shows more.
pub(super) fn is_part(evidence: &Evidence) -> bool {
    evidence.matches.first().is_some_and(|nearest| nearest.look != Look::default())
}

fn nearest(evidence: &Evidence) -> Option<KnownBy> {
    let nearest = evidence.matches.first()?;
    Some(KnownBy::Match { bank: nearest.bank.clone(), content_id: nearest.content_id })
}

/// A digest of what makes two attachments exact copies; `None` of words whose account nobody names.
pub(super) fn content(attachment: &Attachment, facts: &AttachmentFacts, context: &Context) -> Option<[u8; 32]> {
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
        Attachment::Text { text, received, repaired, cut_from, .. } => {
            part(b"text");
            part(context.account_id.as_deref()?.as_bytes());
            // What was repaired alike need not have been alike, and what begins alike need not go on so.
            let whole = received.as_deref().filter(|_| *repaired || cut_from.is_some());
            part(match whole {
                Some(_) if cut_from.is_some() && !facts.sha256.is_empty() => facts.sha256.as_bytes(),
                Some(received) => received,
                None => text.as_bytes(),
            });
        }
        Attachment::Conversation { messages, .. } => {
            part(b"conversation");
            part(context.account_id.as_deref()?.as_bytes());
            let mut authors = HashMap::new();
            for message in messages {
                // Names may be drawn anew for each call; who speaks when is not.
                let next = authors.len() as u64;
                let author = *authors.entry(message.author.as_str()).or_insert(next);
                part(&author.to_be_bytes());
                part(message.text.as_bytes());
            }
        }
    }
    Some(hasher.finalize().into())
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
    // Of a sequence people may have judged another frame than the one that is alike.
    let stands = |one: &&DecidedCopy| likeness == Likeness::Exact || !is_part(&one.evidence);
    let seen = agreeing.filter(stands).filter(|one| flags.is_subset(&self::flags(&one.evidence)));
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
            let doubted = |nearest: &Match| nearest.disputed || nearest.quarantined;
            if likeness == Likeness::Near && (is_part(sought.evidence) || sought.evidence.matches.first().is_some_and(doubted)) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        attachment::{AttachmentKind, Message},
        evidence::Unscored,
        operating_point::OperatingPoint,
        score::{RawScore, Score, Technology},
    };

    fn hit(bank: &str, content_id: i64) -> Match {
        Match { bank: bank.to_owned(), content_id, ..crate::testing::matches::hit() }
    }

    fn score(label: &str, raw: f32) -> Score {
        Score {
            technology: Technology::named("model"),
            label: label.to_owned(),
            raw: RawScore::new(raw).unwrap(),
            probability: None,
            operating_point: Some(OperatingPoint::configured(RawScore::new(0.8).unwrap(), None, None, None)),
            detail: None,
            look: Look::default(),
        }
    }

    fn blind(reason: UnscoredReason) -> Unscored {
        Unscored { technology: Technology::named("pdq"), reason, detail: String::new() }
    }

    fn seen() -> Evidence {
        let unscored = vec![blind(UnscoredReason::MediaTooSmall)];
        Evidence { matches: vec![hit("A", 1)], scores: vec![score("one", 0.9), score("two", 0.1)], unscored, ..Evidence::default() }
    }

    fn decided(verdict: Verdict) -> DecidedCopy {
        DecidedCopy { review_item: ReviewItemId::new(), verdict, evidence: seen() }
    }

    #[test]
    fn what_settles_a_copy_is_the_newest_verdict_that_another_one_agrees_with() {
        use Likeness::{Exact, Near};
        use Verdict::{Confirmed, Rejected, Uncertain};
        let evidence = seen();
        let flags = flags(&evidence);
        let of = |verdicts: &[Verdict], likeness| {
            let verdicts: Vec<_> = verdicts.iter().copied().map(decided).collect();
            settled(&verdicts, likeness, &flags).map(|(item, verdict)| {
                let place = verdicts.iter().position(|one| one.review_item == item).unwrap();
                (place, verdict)
            })
        };
        // Newest first; the place is that of the oldest of those that agree.
        for (verdicts, exact, near) in [
            (vec![], None, None),
            (vec![Confirmed], Some((0, Confirmed)), Some((0, Confirmed))),
            (vec![Rejected], Some((0, Rejected)), None),
            (vec![Uncertain], None, None),
            (vec![Confirmed, Confirmed, Confirmed], Some((2, Confirmed)), Some((2, Confirmed))),
            (vec![Confirmed, Rejected], None, None),
            (vec![Rejected, Confirmed], None, None),
            (vec![Rejected, Rejected, Confirmed], Some((1, Rejected)), None),
            (vec![Confirmed, Confirmed, Rejected], Some((1, Confirmed)), Some((1, Confirmed))),
            (vec![Confirmed, Uncertain], None, None),
            (vec![Uncertain, Confirmed], None, None),
        ] {
            assert_eq!((of(&verdicts, Exact), of(&verdicts, Near)), (exact, near), "{verdicts:?}");
        }
    }

    #[test]
    fn an_old_verdict_hides_nothing_that_nobody_had_seen() {
        let verdicts = [decided(Verdict::Confirmed)];
        let attaches = |evidence: &Evidence| settled(&verdicts, Likeness::Exact, &flags(evidence)).is_some();
        assert!(attaches(&seen()));
        assert!(attaches(&Evidence { matches: vec![hit("A", 1)], ..Evidence::default() }), "less is no reason to look");
        assert!(attaches(&Evidence { matches: vec![hit("A", 1), hit("A", 2)], ..seen() }), "the same bank");
        for more in [
            Evidence { matches: vec![hit("A", 1), hit("B", 1)], ..seen() },
            Evidence { scores: vec![score("one", 0.9), score("two", 0.8)], ..seen() },
            Evidence { unscored: vec![blind(UnscoredReason::MediaTooSmall), blind(UnscoredReason::FramesNotLookedAt)], ..seen() },
        ] {
            assert!(!attaches(&more), "{more:?}");
        }
        // Of several that agree one must have had it all.
        let whole = DecidedCopy { evidence: Evidence { matches: vec![hit("A", 1), hit("B", 1)], ..seen() }, ..decided(Verdict::Confirmed) };
        let both = Evidence { matches: vec![hit("A", 1), hit("B", 1)], ..seen() };
        let found = settled(&[whole.clone(), decided(Verdict::Confirmed)], Likeness::Exact, &flags(&both));
        assert_eq!(found, Some((whole.review_item, Verdict::Confirmed)));
    }

    #[test]
    fn exact_is_the_same_bytes_or_the_same_words_of_the_same_account() {
        let facts = |sha256: &str| AttachmentFacts {
            kind: AttachmentKind::Image,
            media_type: "image/jpeg".into(),
            bytes: 1,
            width: None,
            height: None,
            messages: None,
            frames: None,
            repaired: false,
            sha256: sha256.to_owned(),
        };
        let by = |account: &str| Context { account_id: Some(account.to_owned()), ..Context::default() };
        let media = |sha256: &str, account: &str| {
            let attachment = Attachment::Media { bytes: bytes::Bytes::from_static(b"x"), declared: None };
            content(&attachment, &facts(sha256), &by(account))
        };
        assert_eq!(media("aa", "ann"), media("aa", "bob"), "a picture stays what it is");
        assert_ne!(media("aa", "ann"), media("ab", "ann"));
        let text = |text: &str, account: &str| content(&Attachment::text(text), &facts(""), &by(account));
        assert_eq!(text("hello", "ann"), text("hello", "ann"));
        assert_ne!(text("hello", "ann"), text("hello", "bob"), "the same words are another deed");
        let long = |text: &str, sha256: &str| {
            let text = crate::domain::text::Text { text: text.to_owned(), repaired: false };
            content(&Attachment::bounded_text(text, None, 3), &facts(sha256), &by("ann"))
        };
        assert_ne!(long("hello", "aa"), long("helium", "ab"), "what begins alike need not go on so");
        assert_ne!(long("hello", ""), long("helium", ""));
        assert_eq!(long("hello", "aa"), long("hello", "aa"));
        let chat = |messages: &[(&str, &str)]| {
            let message = |(author, text): &(&str, &str)| Message { author: (*author).to_owned(), time: None, text: (*text).to_owned() };
            content(&Attachment::conversation(messages.iter().map(message).collect()), &facts(""), &by("ann"))
        };
        assert_eq!(content(&Attachment::text("hello"), &facts(""), &Context::default()), None, "nobody knows whose words they are");
        let first = chat(&[("u1", "hi"), ("u2", "hello")]);
        assert_eq!(first, chat(&[("x", "hi"), ("y", "hello")]), "names are drawn anew");
        let others = [
            chat(&[("u1", "hi"), ("u1", "hello")]),
            chat(&[("u1", "hi\nhello")]),
            chat(&[("u1", "hih"), ("u2", "ello")]),
            text("hi\nhello", "ann"),
        ];
        assert!(others.iter().all(|other| *other != first));
    }

    #[test]
    fn the_reason_is_told_before_those_of_routing() {
        let known = Known {
            review_item: ReviewItemId::new(),
            verdict: Verdict::Rejected,
            likeness: Likeness::Exact,
            second_look: 0.1,
            drawn: false,
        };
        let routed = crate::engines::routing::Policy::default().route(AttachmentKind::Image, &seen(), 0.5).decision;
        let decision = known.decision(routed.clone());
        assert_eq!((decision.reasons[0].code.as_str(), &decision.reasons[1..]), ("known_decided", routed.reasons.as_slice()));
        assert!(decision.reasons[0].text.contains("rejected") && decision.queue == routed.queue);
    }
}
