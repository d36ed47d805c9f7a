//! Flood protection: an item that suddenly matches everywhere is quarantined, and a person is asked to look at it.
//!
//! A hash can be wrong in a way that no admission test sees: that of a meme, of a blank page, of a popular app's splash screen. It shows by
//! matching far more often than it ever did. Twice a second the keeper adds up which accounts [matched](super::hits) it by something else
//! than an exact digest, and holds each item's clock hour against its own mean:
//!
//! With *x* hits in this hour, *h* hits in the *t* hours before (of the last `history_days`, but at least a day: an item that is younger counts as silent before
//! it came), and the rate of this hour at most `factor` times the mean, *x* given *x + h* is binomial with the chance factor / (factor + t) or less. It is a
//! flood when *x* is at least `least_hits` and that chance gives so many or more with a probability below [`SIGNIFICANCE`]. The test is the exact conditional
//! comparison of two Poisson rates (Przyborowski and Wilenski 1940), so a mean from few hits is not trusted more than it deserves. Hits only grow within an
//! hour, so looking often makes no false alarm that the hour's end would not make.
//!
//! What follows: the item is quarantined and a review item asks a person to look at it. What matches it is still found and still goes to
//! review, with the reason `quarantined_match`, where it waits as one item with a count: otherwise a hundred accounts could switch off
//! whatever they like. Whoever confirms the item, or makes it active again, puts it back, and spares it for `history_days`, after which its
//! mean is the new one; whoever rejects it disables it until somebody's order. Known material does spread, so an item that a reviewer or
//! curator here has confirmed, and none disputes, stays in force: it is only shown.

use super::{BankError, curation::Curation, hits::Counted};
use crate::{
    domain::{
        attachment::AttachmentKind,
        bank::{ItemState, Opinion, OpinionSource, Standing},
        curation::FloodRules,
        decision::{Category, Reason, Route, RoutingDecision},
        evidence::Evidence,
        ids::{ReviewItemId, TenantId},
        monitor::Provenance,
        time::Timestamp,
    },
    engines::calibration::binomial::tail,
    store::{FloodedItem, Item, ItemHits, NewReviewItem, Subject, Surge},
    telemetry::metric,
};

/// The chance of taking an hour for a flood whose rate is `factor` times the mean. There are thousands of items and 8,760 hours in a year.
pub const SIGNIFICANCE: f64 = 1e-6;
/// Hours of silence that an item is given before it came.
const SHORTEST_HISTORY: u64 = 24;
/// The queue of review items about banks.
const QUEUE: &str = "banks";
/// Before everything but what lies right on an item: known material waits behind the rest while the right ones are quarantined.
const PRIORITY: f64 = 0.99;
const HOUR: i64 = 3_600_000_000;

/// Whether `hits` in an hour are a flood for an item that had `before` in the `hours` before.
pub fn is_flood(rules: FloodRules, hits: u64, before: u64, hours: u64) -> bool {
    let chance = rules.factor / (rules.factor + hours.max(SHORTEST_HISTORY) as f64);
    hits >= rules.least_hits && tail(hits, hits + before, chance) < SIGNIFICANCE
}

/// Hours before this one in which an item could have matched.
fn hours_before(rules: FloodRules, created: Timestamp, hour: Timestamp) -> u64 {
    let lived = (hour.micros() - created.hour().micros()).max(0).unsigned_abs() / HOUR.unsigned_abs();
    lived.clamp(SHORTEST_HISTORY, u64::from(rules.history_days) * 24)
}

/// Writes down what matched since the last round, and acts on floods; whether an item was quarantined. What could not be written is counted
/// again.
pub(super) async fn round(curation: &Curation, rules: FloodRules, now: Timestamp) -> Result<bool, BankError> {
    let taken = curation.hits.take();
    if taken.is_empty() {
        return Ok(false);
    }
    let hour = now.hour();
    let mut rows = Vec::new();
    for (tenant, banks) in &taken {
        for (bank, items) in banks {
            let row = |(id, counted): (&i64, &Counted)| ItemHits {
                tenant: *tenant,
                bank: bank.clone(),
                content_id: *id,
                hour,
                hits: counted.hits,
                near: counted.near,
            };
            rows.extend(items.iter().map(row));
        }
    }
    if let Err(error) = curation.store.add_hits(rows).await {
        curation.hits.put_back(taken);
        return Err(error.into());
    }
    let mut quarantined = false;
    if rules.enabled {
        let from = Timestamp::from_micros(hour.micros() - i64::from(rules.history_days) * 24 * HOUR);
        for (tenant, banks) in &taken {
            for (bank, items) in banks {
                let ids: Vec<i64> = items.keys().copied().collect();
                for surge in curation.store.surges(*tenant, bank, &ids, (from, hour), rules.least_hits).await? {
                    quarantined |= look(curation, rules, (*tenant, bank), surge, items.get(&surge.content_id), now).await?;
                }
            }
        }
    }
    Ok(quarantined)
}

/// Looks at an item that matched often in this hour; whether it was quarantined.
async fn look(
    curation: &Curation,
    rules: FloodRules,
    (tenant, bank): (TenantId, &str),
    surge: Surge,
    counted: Option<&Counted>,
    now: Timestamp,
) -> Result<bool, BankError> {
    let Surge { content_id, hits, before } = surge;
    let Some(item) = curation.store.item(tenant, bank, content_id).await? else { return Ok(false) };
    let hours = hours_before(rules, item.created_at, now.hour());
    let spared = item.released_at.is_some_and(|at| at.plus(rules.history()) > now);
    let in_force = item.state == ItemState::Enabled && item.standing != Standing::Quarantined;
    if !in_force || spared || !is_flood(rules, hits, before, hours) {
        return Ok(false);
    }
    let confirmed = confirmed_here(curation, tenant, &item).await?;
    let review = review_item(&item, (hits, before, hours), confirmed, counted, now);
    let flood = FloodedItem {
        subject: Subject { bank: bank.to_owned(), content_id },
        standing: item.standing,
        quarantine: !confirmed,
        surge,
        hours,
        item_ids: counted.map(|counted| counted.newest.iter().cloned().collect()).unwrap_or_default(),
    };
    if !curation.store.flooded(tenant, flood, review).await? {
        return Ok(false);
    }
    let outcome = if confirmed { "shown" } else { "quarantined" };
    metrics::counter!(metric::BANK_FLOODS_TOTAL, "outcome" => outcome).increment(1);
    tracing::warn!(
        bank,
        content_id,
        hits,
        before,
        hours,
        outcome,
        "an item of a bank suddenly matches everywhere; a review item asks a person to look"
    );
    Ok(!confirmed)
}

/// Whether a person here says that the item belongs into its bank, and none that it does not.
async fn confirmed_here(curation: &Curation, tenant: TenantId, item: &Item) -> Result<bool, BankError> {
    let said = curation.store.opinions(tenant, &item.bank, item.content_id).await?;
    let here = |opinion| said.iter().any(|one| one.source != OpinionSource::Exchange && one.opinion == opinion);
    Ok(here(Opinion::Confirm) && !here(Opinion::Dispute))
}

fn review_item(
    item: &Item,
    (hits, before, hours): (u64, u64, u64),
    confirmed: bool,
    counted: Option<&Counted>,
    now: Timestamp,
) -> NewReviewItem {
    let (bank, content_id) = (&item.bank, item.content_id);
    let fate =
        if confirmed { "it stays in force, because it was confirmed here" } else { "it was quarantined: its matches still go to review" };
    let text = format!(
        "item {content_id} of bank {bank} matched attachments of {hits} accounts in this hour and of {before} in the {hours} hours before; {fate}"
    );
    let newest = counted.and_then(|counted| counted.newest.front()).cloned();
    NewReviewItem {
        id: ReviewItemId::new(),
        created_at: now,
        // What matches items of banks are pictures; none of them is at hand here.
        attachment_kind: AttachmentKind::Image,
        item_id: newest.unwrap_or_else(|| format!("{bank}/{content_id}")),
        evidence: Evidence::default(),
        decision: RoutingDecision {
            route: Route::Review,
            queue: Some(QUEUE.to_owned()),
            priority: PRIORITY,
            category: Category::Other,
            reasons: vec![Reason { code: "bank_item_flood".to_owned(), technology: None, text }],
            policy: "flood@1".to_owned(),
        },
        provenance: Provenance::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: FloodRules = FloodRules { enabled: true, least_hits: 100, factor: 10.0, history_days: 7 };

    #[test]
    fn a_flood_is_judged_by_the_item_s_own_past() {
        assert!(is_flood(RULES, 100, 0, 0), "new, and at once everywhere");
        assert!(!is_flood(RULES, 99, 0, 168), "too few to be one");
        assert!(is_flood(RULES, 100, 0, 168));
        // 20 an hour for a week.
        assert!(!is_flood(RULES, 200, 3360, 168), "ten times the mean is allowed");
        assert!(!is_flood(RULES, 240, 3360, 168), "and chance on top of it");
        assert!(is_flood(RULES, 320, 3360, 168));
        // The same mean, known from one day only, must be exceeded further.
        let least = |before, hours| (100..).find(|hits| is_flood(RULES, *hits, before, hours)).unwrap();
        println!("least hits of a flood at 20 an hour: {} after a week, {} after a day", least(3360, 168), least(480, 24));
        assert!(least(480, 24) > least(3360, 168));
        assert!(!is_flood(FloodRules { factor: 1e6, ..RULES }, 1000, 1, 168), "an operator can allow everything");
    }

    /// The oracle: the tail by summing the binomial's terms.
    #[test]
    fn the_tail_is_the_exact_one() {
        let sum = |least: u64, n: u64, p: f64| -> f64 {
            let mut term = (1.0 - p).powi(i32::try_from(n).unwrap());
            let mut all = 0.0;
            for k in 0..=n {
                if k >= least {
                    all += term;
                }
                term *= (n - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
            }
            all
        };
        let p = RULES.factor / (RULES.factor + 168.0);
        for (hits, before) in [(100, 0), (100, 500), (120, 900), (110, 1200)] {
            let (ours, exact) = (tail(hits, hits + before, p), sum(hits, hits + before, p));
            assert!((ours - exact).abs() <= 1e-9 * exact.max(1e-300), "{hits} {before}: {ours} {exact}");
            assert_eq!(is_flood(RULES, hits, before, 168), exact < SIGNIFICANCE, "{hits} {before}");
        }
    }

    #[test]
    fn the_past_is_at_least_a_day_and_at_most_the_history() {
        let at = |hours: i64| Timestamp::from_micros(hours * HOUR + 5);
        assert_eq!(hours_before(RULES, at(1000), at(1000).hour()), 24);
        assert_eq!(hours_before(RULES, at(900), at(1000).hour()), 100);
        assert_eq!(hours_before(RULES, at(0), at(1000).hour()), 168);
    }
}
