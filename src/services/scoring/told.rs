//! What an answer tells its caller of what was found: nothing of banks that the caller's key may not see.
//!
//! What those hold of an attachment counts like any other match: it routes, it stands in the review item and in the ledger. The caller
//! learns that the attachment goes to review and that it is known, and neither which bank holds it, nor how many do, nor how near: the
//! priority of such a decision is that of known material at the edge of its radius.

use std::collections::{BTreeMap, HashSet};

use crate::{
    domain::{
        attachment::AttachmentKind,
        decision::RoutingDecision,
        evidence::{Evidence, Match, Suppressed, keep_nearest},
    },
    engines::routing::Policy,
};

/// What a caller is told of the banks.
pub(super) struct Told {
    pub matches: Vec<Match>,
    pub suppressed: Vec<Suppressed>,
    /// How many of both they may know of and are not told, the farthest.
    pub left_out: usize,
    pub versions: BTreeMap<String, i64>,
    /// The decision in words that name no other bank; the very decision where nothing is withheld.
    pub decision: RoutingDecision,
}

impl Told {
    /// Of `evidence` by banks of these `versions`, without what the `hidden` ones hold.
    pub(super) fn new(
        policy: &Policy,
        (kind, evidence, lot): (AttachmentKind, &Evidence, f64),
        (versions, hidden): (&BTreeMap<String, i64>, &HashSet<String>),
        decision: &RoutingDecision,
    ) -> Self {
        let seen = |hit: &Match| !hidden.contains(&hit.bank);
        let mut matches: Vec<Match> = evidence.matches.iter().filter(|hit| seen(hit)).cloned().collect();
        let mut suppressed: Vec<Suppressed> =
            evidence.suppressed.iter().filter(|one| seen(&one.matched) && seen(&one.by)).cloned().collect();
        let versions =
            versions.iter().filter(|(bank, _)| !hidden.contains(*bank)).map(|(bank, version)| (bank.clone(), *version)).collect();
        let decision = if matches.len() == evidence.matches.len() {
            decision.clone()
        } else {
            let visible = Evidence { matches: matches.clone(), ..evidence.clone() };
            policy.withholding(kind, &visible, lot, decision)
        };
        let left_out = keep_nearest(&mut matches, |hit| hit) + keep_nearest(&mut suppressed, |one| &one.matched);
        Self { matches, suppressed, left_out, versions, decision }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::decision::Route;

    fn hit(bank: &str, distance: u32) -> Match {
        Match { bank: bank.to_owned(), distance: distance.into(), ..crate::testing::matches::hit() }
    }

    fn told(evidence: &Evidence) -> (Told, RoutingDecision) {
        let policy = Policy::default();
        let decision = policy.route(AttachmentKind::Image, evidence, 0.5).decision;
        let versions = [("OPEN".to_owned(), 3), ("SECRET".to_owned(), 7)].into();
        let hidden = ["SECRET".to_owned()].into();
        (Told::new(&policy, (AttachmentKind::Image, evidence, 0.5), (&versions, &hidden), &decision), decision)
    }

    #[test]
    fn a_hidden_bank_routes_without_being_named_counted_or_measured() {
        let of = |distances: &[u32]| {
            let matches = distances.iter().map(|distance| hit("SECRET", *distance)).collect();
            told(&Evidence { matches, ..Evidence::default() }).0
        };
        let (one, many) = (of(&[0]), of(&[31, 31, 31]));
        assert_eq!(one.decision, many.decision, "neither distance nor number shows");
        assert_eq!((one.decision.route, one.decision.reasons.len(), one.matches.len()), (Route::Review, 1, 0));
        assert_eq!(one.versions, [("OPEN".to_owned(), 3)].into());
        assert!(!format!("{:?}", one.decision).contains("SECRET"));
    }

    #[test]
    fn of_many_the_nearest_are_told_and_hidden_ones_are_not_counted() {
        let many = |banks: &[(&str, usize)]| {
            let matches = banks.iter().flat_map(|(bank, times)| std::iter::repeat_n(hit(bank, 4), *times)).collect();
            let (told, decision) = told(&Evidence { matches, ..Evidence::default() });
            (told.matches.len(), told.left_out, told.decision.reasons.len(), decision.reasons.len())
        };
        assert_eq!(many(&[("OPEN", 1000)]), (1000, 0, 1000, 1000));
        assert_eq!(many(&[("OPEN", 5000)]), (1000, 4000, 1000, 1000));
        assert_eq!(many(&[("SECRET", 5000)]), (0, 0, 1, 1000));
        assert_eq!(many(&[("SECRET", 5000), ("OPEN", 1001)]), (1000, 1, 1001, 1000), "what may be seen stands behind what may not");
    }

    #[test]
    fn what_may_be_seen_is_told_as_it_is() {
        let both = Evidence { matches: vec![hit("OPEN", 4), hit("SECRET", 0)], ..Evidence::default() };
        let (seen, _) = told(&both);
        assert_eq!(seen.matches, [hit("OPEN", 4)]);
        let alone = Evidence { matches: vec![hit("OPEN", 4)], ..Evidence::default() };
        let (unchanged, decision) = told(&alone);
        assert_eq!((unchanged.decision, seen.decision.priority), (decision.clone(), decision.priority));
        let by = |by: &str, matched: &str| Evidence {
            suppressed: vec![Suppressed { matched: hit(matched, 3), by: hit(by, 1) }],
            ..Evidence::default()
        };
        for (negative, known, left) in [("OPEN", "OPEN", 1), ("SECRET", "OPEN", 0), ("OPEN", "SECRET", 0)] {
            assert_eq!(told(&by(negative, known)).0.suppressed.len(), left, "{negative} {known}");
        }
    }
}
