//! What an attachment leaves behind: counters always; for what goes to review also the review item and its ledger event, or for a copy of what people decided
//! its place among that item's attachments.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Pseudonyms,
    known::{self, Known},
};
use crate::{
    domain::{
        attachment::{AttachmentFacts, Context},
        decision::{Route, RoutingDecision},
        event::{Event, EventBody, KnownDecided, Pseudonym, Scored},
        evidence::Evidence,
        ids::{EventId, ReviewItemId, TenantId},
        monitor::{Provenance, Purpose},
        score::Technology,
        signal::SignalType,
        time::Timestamp,
    },
    engines::routing::Policy,
    services::analysis::ModelVersions,
    store::{CounterIncrement, KnownBy, Nearest, NewAttachment, NewReviewItem, Outcome},
};

/// Score bins of the counters: 0..=1 in steps of 0.05; what lies outside goes to the first or last bin.
pub const BINS: f32 = 20.0;

/// What follows a label in the counters of scores that reached its threshold and that people decide on, not those of copies that are put to a decided item.
pub const REACHED: &str = ":reached";

/// What follows a label, before the rate, in the counters of what the audit draws from.
pub const AUDIT: &str = ":audit:";

/// Everything the outcome is made of.
pub(super) struct Finding<'a> {
    pub tenant: TenantId,
    pub at: Timestamp,
    pub facts: &'a AttachmentFacts,
    pub context: &'a Context,
    /// The provider's reference, or the one that was drawn.
    pub item_id: &'a str,
    pub evidence: &'a Evidence,
    pub decision: &'a RoutingDecision,
    pub models: &'a ModelVersions,
    pub banks: &'a BTreeMap<String, i64>,
    /// The audit's rate for it, if nothing flagged it and the audit covers it.
    pub audit_rate: Option<f64>,
    /// The same, if it was drawn.
    pub drawn: Option<f64>,
    /// The item's lot in routing.
    pub lot: f64,
    /// See [`Scored`].
    pub inclusion_probability: f64,
    /// The decided item that it is a copy of.
    pub known: Option<Known>,
    /// By what its own copies will be recognised.
    pub known_by: &'a [KnownBy],
    /// Whether attachments that matched the same wait as one review item.
    pub cluster_matches: bool,
}

impl Finding<'_> {
    /// The unit of work for the store; its review item has the id `review_item`, which is `Some` exactly when the route is `review`. For a copy that is put to a
    /// decided item it is that one's.
    pub(super) fn outcome(&self, policy: &Policy, pseudonyms: &Pseudonyms, review_item: Option<ReviewItemId>) -> Outcome {
        let mut outcome = Outcome::new(self.tenant);
        outcome.counters = self.counters();
        let Some(id) = review_item else { return outcome };
        let scored = self.scored(policy, pseudonyms, id);
        if let Some(known) = self.known.filter(|known| !known.drawn) {
            let body = EventBody::KnownDecided(Box::new(KnownDecided { scored, likeness: known.likeness, verdict: known.verdict }));
            outcome.event = Some(self.event(body));
            outcome.attachment = Some(NewAttachment {
                review_item: id,
                item_id: self.item_id.to_owned(),
                at: self.at,
                nearest: Nearest::of(self.evidence),
                likeness: known.likeness,
            });
            return outcome;
        }
        outcome.cluster = self.review_cluster(pseudonyms);
        outcome.event = Some(self.event(EventBody::Scored(Box::new(scored))));
        outcome.known_by = self.known_by.to_vec();
        outcome.second_look_of = self.known.map(|known| known.review_item);
        outcome.review_item = Some(NewReviewItem {
            id,
            created_at: self.at,
            attachment_kind: self.facts.kind,
            item_id: self.item_id.to_owned(),
            evidence: self.evidence.clone(),
            decision: self.decision.clone(),
            provenance: Provenance {
                purpose: if self.drawn.is_some() { Purpose::Audit } else { Purpose::Routed },
                inclusion_probability: self.inclusion_probability,
                service: self.context.service.clone(),
                cluster: self.cluster(pseudonyms),
                account: self.account(pseudonyms),
            },
        });
        outcome
    }

    /// What the attachment has in common with those that it can wait with: the nearest match, and everything that its decision will be an observation of, so that
    /// the books of technologies, services and clusters stay right; and all that a person has to know of it: other banks, what was not looked at. One that shows more than
    /// what matched waits with its exact copies alone. Audit samples and second looks stand for themselves.
    fn review_cluster(&self, pseudonyms: &Pseudonyms) -> Option<String> {
        let waits = self.cluster_matches && self.drawn.is_none() && self.known.is_none();
        let nearest = self.evidence.matches.first().filter(|_| waits)?;
        let flags = self.evidence.scores.iter().filter(|score| score.reached()).filter_map(|score| {
            let point = score.operating_point.as_ref()?;
            Some((score.technology.as_str(), &score.label, point.threshold.get(), &point.certificate))
        });
        let matched: BTreeSet<&str> = self.evidence.matches.iter().map(|hit| hit.technology.as_str()).collect();
        let key = serde_json::json!({
            "queue": self.decision.queue,
            "bank": nearest.bank,
            "content_id": nearest.content_id,
            "nearest": nearest.technology.as_str(),
            "matched": matched,
            "flags": flags.collect::<Vec<_>>(),
            "banks": self.evidence.matches.iter().map(|hit| hit.bank.as_str()).collect::<BTreeSet<_>>(),
            "unscored": self.evidence.unscored.iter().map(|one| (one.technology.as_str(), one.reason.as_str())).collect::<BTreeSet<_>>(),
            "content": known::is_part(self.evidence).then(|| self.content()),
            "service": self.context.service,
            "cluster": self.cluster(pseudonyms),
        });
        Some(key.to_string())
    }

    /// By what its exact copies are recognised.
    fn content(&self) -> Option<&str> {
        self.known_by.iter().find_map(|known| match known {
            KnownBy::Content(content) => Some(content.0.as_str()),
            KnownBy::Match { .. } => None,
        })
    }

    fn account(&self, pseudonyms: &Pseudonyms) -> Option<Pseudonym> {
        self.context.account_id.as_deref().map(|id| pseudonyms.of(self.tenant, "account", id))
    }

    fn cluster(&self, pseudonyms: &Pseudonyms) -> Option<Pseudonym> {
        self.context.cluster.as_deref().map(|id| pseudonyms.of(self.tenant, "cluster", id))
    }

    fn event(&self, body: EventBody) -> Event {
        Event { id: EventId::new(), tenant: self.tenant, at: self.at, body }
    }

    fn scored(&self, policy: &Policy, pseudonyms: &Pseudonyms, review_item: ReviewItemId) -> Scored {
        let context = self.context;
        let pseudonym = |kind, text: &str| pseudonyms.of(self.tenant, kind, text);
        Scored {
            review_item,
            attachment_kind: self.facts.kind.as_str().to_owned(),
            bytes: self.facts.bytes,
            item: pseudonym("item", self.item_id),
            account: self.account(pseudonyms),
            service: context.service.clone(),
            surface: context.surface.clone(),
            legal_basis: context.legal_basis.clone(),
            scope: context.scope.clone(),
            unit: context.unit.clone().unwrap_or_else(|| "item".to_owned()),
            cluster: self.cluster(pseudonyms),
            models: self.models.clone(),
            banks: self.banks.clone(),
            evidence: self.evidence.clone(),
            fired_first: if self.drawn.is_some() { None } else { policy.fired_first(self.evidence, self.lot) },
            decision: self.decision.clone(),
            inclusion_probability: self.inclusion_probability,
        }
    }

    /// One count for each technology and label: scores by bin, and those that reached their threshold once more; matches by signal type, unscored by
    /// reason, the route, copies of what was decided, and what the audit draws from.
    fn counters(&self) -> Vec<CounterIncrement> {
        let slice = match &self.context.service {
            Some(service) => format!("{}/{service}", self.facts.kind.as_str()),
            None => self.facts.kind.as_str().to_owned(),
        };
        let count = |technology: Technology, label: &str, bin: u32| CounterIncrement {
            hour: self.at.hour(),
            technology,
            label: label.to_owned(),
            slice: slice.clone(),
            bin,
            count: 1,
        };
        let route = if self.decision.route == Route::Review { "review" } else { "none" };
        let mut counters = vec![count(Technology::named("routing"), route, 0)];
        // A copy that is put to a decided item waits for nobody, so it is none of the flags of which the decided ones tell.
        let attached = self.known.is_some_and(|known| !known.drawn);
        if attached {
            counters.push(count(Technology::named("routing"), "known_decided", 0));
        }
        counters.extend(self.evidence.scores.iter().map(|score| count(score.technology.clone(), &score.label, bin(score.raw.get()))));
        let reached = self.evidence.scores.iter().filter(|score| score.reached() && !attached);
        counters.extend(reached.map(|score| count(score.technology.clone(), &format!("{}{REACHED}", score.label), bin(score.raw.get()))));
        if let Some(rate) = self.audit_rate {
            let judged = self.evidence.scores.iter().filter(|score| score.operating_point.is_some());
            counters.extend(
                judged.map(|score| count(score.technology.clone(), &format!("{}{AUDIT}{rate}", score.label), bin(score.raw.get()))),
            );
        }
        let hits = self.evidence.matches.iter();
        let hit: BTreeSet<SignalType> = hits.map(|hit| hit.technology).collect();
        counters.extend(hit.into_iter().map(|kind| count(Technology::named(kind.as_str()), "match", 0)));
        let blind = self.evidence.unscored.iter();
        counters.extend(blind.map(|unscored| count(unscored.technology.clone(), unscored.reason.as_str(), 0)));
        counters
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=19 before the cast")]
pub fn bin(raw: f32) -> u32 {
    (raw * BINS).floor().clamp(0.0, BINS - 1.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        attachment::AttachmentKind,
        decision::{Category, Likeness, Reason, Verdict},
        evidence::Match,
        operating_point::OperatingPoint,
        score::{RawScore, Score},
    };

    #[test]
    fn bins_cover_every_finite_score() {
        assert_eq!([bin(-3.0), bin(0.0), bin(0.049), bin(0.05), bin(0.999), bin(1.0), bin(7.0)], [0, 0, 0, 1, 19, 19, 19]);
    }

    fn hit(technology: SignalType, content_id: i64, distance: u32) -> Match {
        Match { technology, content_id, distance: distance.into(), ..crate::testing::matches::hit() }
    }

    fn score(raw: f32, threshold: f32) -> Score {
        Score {
            technology: Technology::named("model"),
            label: "label".into(),
            raw: RawScore::new(raw).unwrap(),
            probability: None,
            operating_point: Some(OperatingPoint::configured(RawScore::new(threshold).unwrap(), None, None, None)),
            detail: None,
            look: crate::domain::clip::Look::default(),
        }
    }

    /// The key under which an attachment waits.
    fn key(matches: Vec<Match>, scores: Vec<Score>, context: &Context, drawn: Option<f64>) -> Option<String> {
        found((matches, scores), context, (drawn, None), |finding, pseudonyms| finding.review_cluster(pseudonyms))
    }

    /// Asks what was found of such an attachment.
    fn found<T>(
        (matches, scores): (Vec<Match>, Vec<Score>),
        context: &Context,
        (drawn, known): (Option<f64>, Option<Known>),
        ask: impl FnOnce(&Finding<'_>, &Pseudonyms) -> T,
    ) -> T {
        let folder = tempfile::tempdir().unwrap();
        // The same pseudonyms for every call of one test are those of one key file.
        std::fs::write(folder.path().join("pseudonym.key"), [7; 32]).unwrap();
        let pseudonyms = Pseudonyms::open(folder.path()).unwrap();
        let facts = AttachmentFacts {
            kind: AttachmentKind::Image,
            media_type: "image/jpeg".into(),
            bytes: 1,
            width: None,
            height: None,
            messages: None,
            frames: None,
            repaired: false,
            sha256: String::new(),
        };
        let decision = RoutingDecision {
            route: Route::Review,
            queue: Some("default".into()),
            priority: 0.9,
            category: Category::Known,
            reasons: vec![Reason { code: "bank_match".into(), technology: None, text: String::new() }],
            policy: "default@1".into(),
        };
        let finding = Finding {
            tenant: TenantId::DEFAULT,
            at: Timestamp::now(),
            facts: &facts,
            context,
            item_id: "x",
            evidence: &Evidence { matches, scores, ..Evidence::default() },
            decision: &decision,
            models: &ModelVersions::new(),
            banks: &BTreeMap::new(),
            audit_rate: drawn,
            drawn,
            lot: 0.5,
            inclusion_probability: drawn.unwrap_or(1.0),
            known,
            known_by: &[],
            cluster_matches: true,
        };
        ask(&finding, &pseudonyms)
    }

    /// Recall takes flags without a decision for ones that wait and may be like those that have one. A copy of what was decided is neither, or a harmless picture
    /// that a thousand people post would be a thousand finds.
    #[test]
    fn a_copy_that_is_put_to_a_decided_item_is_no_flag_that_waits() {
        let known = |drawn| Known {
            review_item: ReviewItemId::new(),
            verdict: Verdict::Rejected,
            likeness: Likeness::Exact,
            second_look: 0.1,
            drawn,
        };
        let labels = |known| {
            found((vec![], vec![score(0.9, 0.8)]), &Context::default(), (None, known), |finding, _| {
                finding.counters().into_iter().map(|counter| counter.label).collect::<Vec<_>>()
            })
        };
        assert_eq!(labels(None), ["review", "label", "label:reached"]);
        assert_eq!(labels(Some(known(false))), ["review", "known_decided", "label"]);
        assert_eq!(labels(Some(known(true))), ["review", "label", "label:reached"], "people look at it all the same");
    }

    #[test]
    fn what_waits_together_is_one_observation() {
        use SignalType::{Md5, Pdq};
        let plain = Context::default();
        let first = key(vec![hit(Pdq, 1, 3), hit(Pdq, 2, 9)], vec![score(0.9, 0.8)], &plain, None);
        assert!(first.is_some());
        // Another copy: other distances, another second match, another raw score that reaches the same threshold.
        assert_eq!(first, key(vec![hit(Pdq, 1, 12)], vec![score(0.81, 0.8)], &plain, None));
        let others = [
            key(vec![hit(Pdq, 2, 3)], vec![score(0.9, 0.8)], &plain, None),
            key(vec![hit(Md5, 1, 0), hit(Pdq, 1, 0)], vec![score(0.9, 0.8)], &plain, None),
            key(vec![hit(Pdq, 1, 3)], vec![score(0.79, 0.8)], &plain, None),
            key(vec![hit(Pdq, 1, 3)], vec![score(0.9, 0.7)], &plain, None),
            key(vec![hit(Pdq, 1, 3)], vec![score(0.9, 0.8)], &Context { service: Some("chat".into()), ..Context::default() }, None),
            key(vec![hit(Pdq, 1, 3)], vec![score(0.9, 0.8)], &Context { cluster: Some("c".into()), ..Context::default() }, None),
        ];
        assert!(others.iter().all(|other| other.is_some() && *other != first), "{others:?}");
        let account = Context { account_id: Some("a".into()), item_id: Some("i".into()), ..Context::default() };
        assert_eq!(key(vec![hit(Pdq, 1, 3)], vec![score(0.9, 0.8)], &account, None), first, "whoever sends it");
        assert_eq!(key(vec![], vec![score(0.9, 0.8)], &plain, None), None, "nothing matched");
        assert_eq!(key(vec![hit(Pdq, 1, 3)], vec![], &plain, Some(0.1)), None, "audit samples stand for themselves");
    }
}
