//! Evidence to decision: a pure and total function.
//!
//! Routing looks at nothing but the [`Evidence`], the [`Policy`] and a lot; the same three always give the same decision, and there is a
//! decision, with at least one reason, for every evidence. It never reports and never removes anything: `review` puts an item before
//! a human, `none` leaves only counters.
//!
//! What could not be looked at is routed by a table, reason by reason: to review, nowhere, or to review for a share of the attachments, which are drawn by their lot.
//! One reason that sends to review is enough, whatever the others say, and none hides another: the answer tells all of them.
//!
//! Order of categories when several technologies fire: `known` (a bank holds it) before `new` (a classifier of media flagged it)
//! before `solicitation` (a classifier of text flagged it) before `other` (something could not be looked at).
//!
//! Priority orders the queue, nothing else: known material by nearness (1.0 at distance 0, never below 0.9, and 0.9 for an item that is
//! quarantined), flagged scores by the probability, or the raw score clipped to 0..=1 where there is none, below 0.9; what merely could not
//! be scored gets 0.5.

use std::collections::BTreeMap;

use crate::domain::{
    attachment::AttachmentKind,
    decision::{Category, Reason, Route, RoutingDecision},
    evidence::{Evidence, MAX_MATCHES, Match, Unscored, UnscoredReason},
    operating_point::Fallback,
    score::{Score, Technology},
};

/// What an operator may choose about routing.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// `name@version`, written into every decision.
    pub name: String,
    /// The queue of everything that has no queue of its own.
    pub default_queue: String,
    /// Queues by category, where they differ.
    pub queues: Vec<(Category, String)>,
    /// Where attachments go that some technology could not judge and no other one flagged.
    pub unscored: BTreeMap<UnscoredReason, Fate>,
}

/// Where a reason of `unscored` alone sends an attachment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// To a human.
    Review,
    /// Nowhere: it is counted.
    None,
    /// To a human for this share of the attachments, in (0, 1); counted for the others.
    Share(f64),
}

impl Fate {
    /// The share of attachments that goes to a human, in 0..=1.
    pub const fn share(self) -> f64 {
        match self {
            Self::Review => 1.0,
            Self::None => 0.0,
            Self::Share(share) => share,
        }
    }

    /// `None` for what is no share.
    pub fn of_share(share: f64) -> Option<Self> {
        match share {
            0.0 => Some(Self::None),
            1.0 => Some(Self::Review),
            share if share > 0.0 && share < 1.0 => Some(Self::Share(share)),
            _ => None,
        }
    }

    /// What is done with a reason where nobody chose. What may hide something goes to a human. Three do not, or not always: a type that is not decoded
    /// (documents, archives, most videos) is a provider's daily bread and would bury the queue; an empty text hides nothing; and of a sequence most frames were
    /// looked at when some were not, so a sample is enough to see what is missed.
    pub const fn default_of(reason: UnscoredReason) -> Self {
        match reason {
            UnscoredReason::UnsupportedMedia | UnscoredReason::EmptyText => Self::None,
            UnscoredReason::FramesNotLookedAt => Self::Share(0.1),
            UnscoredReason::UndecodableMedia
            | UnscoredReason::MediaTooLarge
            | UnscoredReason::QualityBelowMinimum
            | UnscoredReason::MediaTooSmall
            | UnscoredReason::TextTruncated
            | UnscoredReason::TechnologyFailed
            | UnscoredReason::UnsupportedKind
            | UnscoredReason::UnsupportedFeature
            | UnscoredReason::UnreadableText => Self::Review,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            name: "default@1".to_owned(),
            default_queue: "default".to_owned(),
            queues: Vec::new(),
            unscored: UnscoredReason::ALL.into_iter().map(|reason| (reason, Fate::default_of(reason))).collect(),
        }
    }
}

/// A decision, and how probable it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Routed {
    pub decision: RoutingDecision,
    /// The probability with which an attachment with this evidence goes to review, over lots: 1 where a technology flagged it, a share where only sampled reasons
    /// speak for it, 0 where nothing does.
    pub inclusion_probability: f64,
}

/// The reason of an attachment that nothing speaks against.
const NOTHING_FOUND: &str = "nothing_found";
/// The least priority of known material, and the bound that flagged scores stay below.
const KNOWN_FLOOR: f64 = 0.9;
/// Priority of what could not be scored: a human must look, but nothing was found.
const UNSCORED_PRIORITY: f64 = 0.5;

impl Policy {
    /// Decides. Total: every evidence gets a decision with at least one reason. `lot` is the attachment's, in [0, 1): a share above it draws the attachment.
    pub fn route(&self, kind: AttachmentKind, evidence: &Evidence, lot: f64) -> Routed {
        let inclusion_probability = self.inclusion_probability(evidence);
        Routed { decision: self.decide(kind, evidence, lot), inclusion_probability }
    }

    fn inclusion_probability(&self, evidence: &Evidence) -> f64 {
        if !evidence.matches.is_empty() || evidence.scores.iter().any(Score::flagged) {
            return 1.0;
        }
        // The lot is one for all reasons, so the largest share draws whatever a smaller one would.
        evidence.unscored.iter().map(|unscored| self.fate(unscored).share()).fold(0.0, f64::max)
    }

    fn decide(&self, kind: AttachmentKind, evidence: &Evidence, lot: f64) -> RoutingDecision {
        let flagged: Vec<&Score> = evidence.scores.iter().filter(|score| score.flagged()).collect();
        let unscored: Vec<&Unscored> = evidence.unscored.iter().filter(|unscored| self.sends_to_review(unscored, lot)).collect();
        let category = if !evidence.matches.is_empty() {
            Category::Known
        } else if !flagged.is_empty() {
            match kind {
                AttachmentKind::Image | AttachmentKind::Video | AttachmentKind::File => Category::New,
                AttachmentKind::Text | AttachmentKind::Conversation => Category::Solicitation,
            }
        } else if !unscored.is_empty() {
            Category::Other
        } else {
            return self.none(evidence);
        };
        let known = evidence.matches.iter().map(match_priority);
        let scored = flagged.iter().map(|score| score_priority(score));
        let blind = unscored.iter().map(|_| UNSCORED_PRIORITY);
        // All of them decide; more than are answered need no words each.
        let mut reasons: Vec<Reason> = evidence.matches.iter().take(MAX_MATCHES).map(match_reason).collect();
        reasons.extend(flagged.iter().map(|score| score_reason(score)));
        reasons.extend(unscored.iter().map(|unscored| self.drawn_reason(unscored)));
        RoutingDecision {
            route: Route::Review,
            queue: Some(self.queue(category)),
            priority: known.chain(scored).chain(blind).fold(0.0, f64::max),
            category,
            reasons,
            policy: self.name.clone(),
        }
    }

    /// The `decision` as it is told to somebody who may not know of some matches: `visible` is the evidence without them. It is known
    /// material all the same, and what else is told of it follows from what they may see.
    pub fn withholding(&self, kind: AttachmentKind, visible: &Evidence, lot: f64, decision: &RoutingDecision) -> RoutingDecision {
        let told = self.decide(kind, visible, lot);
        let withheld = Reason {
            code: "bank_match".to_owned(),
            technology: None,
            text: "a bank holds it that this key is not admitted to; the review item says which".to_owned(),
        };
        let reasons = told.reasons.into_iter().filter(|reason| reason.code != NOTHING_FOUND);
        RoutingDecision {
            priority: told.priority.max(KNOWN_FLOOR),
            reasons: std::iter::once(withheld).chain(reasons).collect(),
            ..decision.clone()
        }
    }

    /// Which technology alone would have sent the attachment to review, earliest in the order of the layers: exact digests, perceptual
    /// hashes, classifiers (in the order they ran).
    pub fn fired_first(&self, evidence: &Evidence, lot: f64) -> Option<Technology> {
        let matched = evidence.matches.iter().map(|hit| hit.technology).min();
        matched
            .map(|kind| Technology::named(kind.as_str()))
            .or_else(|| evidence.scores.iter().find(|score| score.flagged()).map(|score| score.technology.clone()))
            .or_else(|| {
                evidence.unscored.iter().find(|unscored| self.sends_to_review(unscored, lot)).map(|unscored| unscored.technology.clone())
            })
    }

    /// What the table says of it; a reason that it lacks goes to review.
    fn fate(&self, unscored: &Unscored) -> Fate {
        self.unscored.get(&unscored.reason).copied().unwrap_or(Fate::Review)
    }

    fn sends_to_review(&self, unscored: &Unscored, lot: f64) -> bool {
        lot < self.fate(unscored).share()
    }

    /// The reason of what sends to review; a share says that it drew.
    fn drawn_reason(&self, unscored: &Unscored) -> Reason {
        let reason = unscored_reason(unscored);
        match self.fate(unscored) {
            Fate::Share(share) => Reason { text: format!("{}; drawn as one of a share of {share}", reason.text), ..reason },
            Fate::Review | Fate::None => reason,
        }
    }

    fn queue(&self, category: Category) -> String {
        let own = self.queues.iter().find(|(of, _)| *of == category).map(|(_, queue)| queue);
        own.unwrap_or(&self.default_queue).clone()
    }

    fn none(&self, evidence: &Evidence) -> RoutingDecision {
        let mut reasons = vec![Reason {
            code: NOTHING_FOUND.to_owned(),
            technology: None,
            text: "no bank matched and no score reached its threshold".to_owned(),
        }];
        reasons.extend(evidence.unscored.iter().map(unscored_reason));
        RoutingDecision { route: Route::None, queue: None, priority: 0.0, category: Category::None, reasons, policy: self.name.clone() }
    }
}

fn match_priority(hit: &Match) -> f64 {
    if hit.quarantined {
        return KNOWN_FLOOR; // behind everything that no one doubts
    }
    // What lies on the radius itself still counts for a thirty-second, whatever the unit.
    let radius = f64::from(hit.max_distance.max(hit.distance).get());
    let nearness = if radius == 0.0 { 1.0 } else { 1.0 - f64::from(hit.distance.get()) / (radius * 32.0 / 31.0) };
    KNOWN_FLOOR + (1.0 - KNOWN_FLOOR) * nearness
}

fn score_priority(score: &Score) -> f64 {
    let likely = score.probability.unwrap_or(f64::from(score.raw.get())).clamp(0.0, 1.0);
    likely * (KNOWN_FLOOR - f64::EPSILON)
}

fn match_reason(hit: &Match) -> Reason {
    let Match { bank, content_id, distance, max_distance, .. } = hit;
    let held = format!("bank {bank} holds it as content {content_id} at distance {distance} (radius {max_distance})");
    let (code, text) = if hit.quarantined {
        ("quarantined_match", format!("{held}; that item is quarantined, so a person has to say whether it matches rightly"))
    } else {
        ("bank_match", held)
    };
    Reason { code: code.to_owned(), technology: Some(Technology::named(hit.technology.as_str())), text }
}

fn score_reason(score: &Score) -> Reason {
    let point = score.operating_point.as_ref();
    let threshold = point.map_or(f32::NAN, |point| point.threshold.get());
    let certified = if point.is_some_and(|point| point.certified) { "certified" } else { "uncertified" };
    let technology = Some(score.technology.clone());
    let scored = format!("{} scored {:.4}", score.label, score.raw.get());
    if point.and_then(|point| point.fallback) == Some(Fallback::QueueEverything) {
        let text = format!("{scored}; everything is queued, because review decisions contradict its threshold");
        return Reason { code: "everything_queued".to_owned(), technology, text };
    }
    let text = format!("{scored}, at or above the {certified} threshold {threshold:.4}");
    Reason { code: "score_at_or_above_threshold".to_owned(), technology, text }
}

fn unscored_reason(unscored: &Unscored) -> Reason {
    Reason { code: unscored.reason.as_str().to_owned(), technology: Some(unscored.technology.clone()), text: unscored.detail.clone() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{operating_point::OperatingPoint, score::RawScore};

    /// A lot that a share draws at 1 only.
    const LOT: f64 = 0.999_999;

    fn score(raw: f32, threshold: Option<f32>) -> Score {
        let point = threshold.map(|value| OperatingPoint::configured(RawScore::new(value).unwrap(), None, None, None));
        Score {
            technology: Technology::named("open-nsfw"),
            label: "nsfw".to_owned(),
            raw: RawScore::new(raw).unwrap(),
            probability: None,
            operating_point: point,
            detail: None,
            look: crate::domain::clip::Look::default(),
        }
    }

    fn hit(distance: u32) -> Match {
        Match { bank: "DEMO".to_owned(), distance: distance.into(), quality: Some(90), ..crate::testing::matches::hit() }
    }

    fn unscored(reason: UnscoredReason) -> Unscored {
        Unscored { technology: Technology::named("pdq"), reason, detail: "why".to_owned() }
    }

    #[test]
    fn the_threshold_itself_is_flagged() {
        for (raw, route) in [(0.79, Route::None), (0.8, Route::Review), (0.81, Route::Review)] {
            let evidence = Evidence { scores: vec![score(raw, Some(0.8))], ..Evidence::default() };
            assert_eq!(Policy::default().route(AttachmentKind::Image, &evidence, LOT).decision.route, route, "{raw}");
        }
    }

    #[test]
    fn a_fallback_takes_the_place_of_the_threshold() {
        for (fallback, routes) in [
            (None, [Route::None, Route::Review]),
            (Some(Fallback::RaisedThreshold), [Route::None, Route::Review]),
            (Some(Fallback::QueueEverything), [Route::Review, Route::Review]),
            (Some(Fallback::Shadow), [Route::None, Route::None]),
        ] {
            let routed = [-1e30, 0.8].map(|raw| {
                let mut score = score(raw, Some(0.8));
                score.operating_point.as_mut().unwrap().fallback = fallback;
                Policy::default().route(AttachmentKind::Image, &Evidence { scores: vec![score], ..Evidence::default() }, LOT).decision
            });
            assert_eq!(routed.each_ref().map(|decision| decision.route), routes, "{fallback:?}");
            let everything = fallback == Some(Fallback::QueueEverything);
            assert_eq!(routed[1].reasons[0].code == "everything_queued", everything);
        }
    }

    #[test]
    fn known_comes_before_new_before_other() {
        let mut evidence = Evidence { unscored: vec![unscored(UnscoredReason::QualityBelowMinimum)], ..Evidence::default() };
        let route = |evidence: &Evidence| Policy::default().route(AttachmentKind::Image, evidence, LOT).decision;
        assert_eq!((route(&evidence).category, route(&evidence).priority), (Category::Other, 0.5));
        evidence.scores.push(score(0.99, Some(0.8)));
        assert_eq!(route(&evidence).category, Category::New);
        evidence.matches.push(hit(31));
        assert_eq!(route(&evidence).category, Category::Known);
        assert!(route(&evidence).priority >= KNOWN_FLOOR);
        assert_eq!(route(&evidence).reasons.len(), 3);
        assert_eq!(Policy::default().fired_first(&evidence, LOT).unwrap().as_str(), "pdq");
    }

    #[test]
    fn a_quarantined_item_sends_to_review_behind_those_in_force() {
        let quarantined = Match { quarantined: true, ..hit(0) };
        let route = |matches: Vec<Match>| {
            let routed = Policy::default().route(AttachmentKind::Image, &Evidence { matches, ..Evidence::default() }, LOT);
            assert_eq!(routed.inclusion_probability, 1.0);
            routed.decision
        };
        let doubted = route(vec![quarantined.clone()]);
        assert_eq!((doubted.route, doubted.category, doubted.priority), (Route::Review, Category::Known, KNOWN_FLOOR));
        assert_eq!(doubted.reasons[0].code, "quarantined_match");
        let both = route(vec![hit(31), quarantined]);
        assert!(both.priority > KNOWN_FLOOR && both.reasons[0].code == "bank_match", "{both:?}");
    }

    #[test]
    fn text_is_solicitation_and_exempt_reasons_stay_quiet() {
        let flagged = Evidence { scores: vec![score(0.9, Some(0.8))], ..Evidence::default() };
        assert_eq!(Policy::default().route(AttachmentKind::Conversation, &flagged, LOT).decision.category, Category::Solicitation);
        let policy = Policy { unscored: [(UnscoredReason::QualityBelowMinimum, Fate::None)].into(), ..Policy::default() };
        let blank = Evidence { unscored: vec![unscored(UnscoredReason::QualityBelowMinimum)], ..Evidence::default() };
        let routed = policy.route(AttachmentKind::Image, &blank, 0.0);
        assert_eq!((routed.decision.route, routed.decision.reasons.len()), (Route::None, 2), "the reason is still told");
        assert_eq!((policy.fired_first(&blank, 0.0), routed.inclusion_probability), (None, 0.0));
    }

    #[test]
    fn a_share_draws_by_the_lot_and_hides_no_other_reason() {
        let policy = Policy::default();
        assert_eq!(policy.unscored.len(), UnscoredReason::ALL.len());
        let evidence =
            |reasons: &[UnscoredReason]| Evidence { unscored: reasons.iter().copied().map(unscored).collect(), ..Evidence::default() };
        let route = |evidence: &Evidence, lot: f64| {
            let routed = policy.route(AttachmentKind::Image, evidence, lot);
            let codes: Vec<_> = routed.decision.reasons.iter().map(|reason| reason.code.clone()).collect();
            (routed.decision.route, codes.join(" "), routed.inclusion_probability)
        };
        use UnscoredReason::{FramesNotLookedAt, UndecodableMedia, UnsupportedMedia};
        let frames = evidence(&[FramesNotLookedAt]);
        for (lot, expected) in [(0.0, Route::Review), (0.099, Route::Review), (0.1, Route::None), (0.999, Route::None)] {
            let (routed, codes, probability) = route(&frames, lot);
            assert_eq!((routed, probability), (expected, 0.1), "{lot}");
            assert!(codes.contains("frames_not_looked_at"), "{lot}: the reason is told either way");
            assert_eq!(policy.fired_first(&frames, lot).is_some(), expected == Route::Review);
        }
        let drawn = policy.route(AttachmentKind::Image, &frames, 0.05).decision;
        assert_eq!(drawn.reasons[0].text, "why; drawn as one of a share of 0.1");
        // Not drawn, but another reason or another technology sends it: then surely.
        assert_eq!(route(&evidence(&[FramesNotLookedAt, UndecodableMedia]), 0.9), (Route::Review, "undecodable_media".into(), 1.0));
        assert_eq!(
            route(&evidence(&[UndecodableMedia, FramesNotLookedAt]), 0.05),
            (Route::Review, "undecodable_media frames_not_looked_at".into(), 1.0)
        );
        assert_eq!(
            route(&evidence(&[UnsupportedMedia, FramesNotLookedAt]), 0.9),
            (Route::None, "nothing_found unsupported_media frames_not_looked_at".into(), 0.1)
        );
        let matched = Evidence { matches: vec![hit(3)], ..frames };
        assert_eq!(route(&matched, 0.9), (Route::Review, "bank_match".into(), 1.0));
        assert_eq!(route(&evidence(&[]), 0.0), (Route::None, "nothing_found".into(), 0.0));
    }

    proptest! {
        #[test]
        fn routing_is_total(
            raws in prop::collection::vec((-1e9f32..1e9, prop::option::of(-2f32..2.0)), 0..4),
            distances in prop::collection::vec(0u32..=256, 0..3),
            reasons in prop::collection::vec(prop::sample::select(UnscoredReason::ALL.to_vec()), 0..3),
            lot in 0.0f64..1.0,
        ) {
            let evidence = Evidence {
                scores: raws.iter().map(|&(raw, threshold)| score(raw, threshold)).collect(),
                matches: distances.iter().map(|&distance| hit(distance)).collect(),
                suppressed: Vec::new(),
                matches_left_out: 0,
                unscored: reasons.iter().map(|&reason| unscored(reason)).collect(),
            };
            let policy = Policy::default();
            let Routed { decision, inclusion_probability } = policy.route(AttachmentKind::Image, &evidence, lot);
            prop_assert_eq!(decision.route == Route::Review, lot < inclusion_probability);
            prop_assert!(!decision.reasons.is_empty());
            prop_assert!((0.0..=1.0).contains(&decision.priority));
            prop_assert_eq!(decision.route == Route::Review, decision.queue.is_some());
            prop_assert_eq!(decision.route == Route::None, decision.category == Category::None);
            prop_assert_eq!(decision.route == Route::Review, policy.fired_first(&evidence, lot).is_some());
        }
    }
}
