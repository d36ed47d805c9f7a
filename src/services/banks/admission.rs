//! What an item must show before it is in force.
//!
//! A bank's [`Admission`](crate::domain::bank::Admission) says which tests its items take. They are taken when an item is added, when another source names
//! it, and when an opinion arrives; a candidate that passes all of them is vetted, and a vetted item that needs no confirmation, or has one, is active.
//!
//! * **Sources**: k different ones name it. One list's mistake is not enough then.
//! * **Quality**: the PDQ quality that its source told is at least the bank's floor. Where nobody told one the test is not passed.
//! * **Collisions**: at most n items of the benign corpus, the tenant's negative banks, lie within the bank's radius of one of its PDQ hashes.
//! * **Guard**: none of its PDQ hashes is that of a featureless picture or of a grid. See [`is_degenerate`].
//! * **Confirmation**: a reviewer or curator of this server confirms it, and none disputes it.

use super::{BankError, curation::Curation, load_bank};
use crate::{
    domain::{
        bank::{Opinion, OpinionSource, Purpose, Standing},
        hash::PdqHash,
        ids::TenantId,
        signal::Signal,
    },
    store::{Bank, Change, Item, ItemFilter, ItemPatch},
};

/// Items that are examined at a time.
const PAGE: u32 = 500;

/// Bits that may be missing from or exceed one half of a hash. Each bit says whether a coefficient lies above the median of all 256, so an ordinary picture
/// sets 128 of them or, with ties, few less; a featureless one, whose coefficients are mostly equal, sets far fewer.
const UNEVEN: u32 = 32;

/// Whether a PDQ hash is that of a picture without features, or with the same feature everywhere: it lies near hashes of pictures that do not resemble it.
///
/// Two signs. *Unbalanced*: the number of set bits is farther from 128 than an ordinary picture's ever is. *Repeated*: of the 16 rows of coefficients, or of
/// the 16 columns, at most half are different, as they are where the picture varies along one axis alone or repeats itself.
pub fn is_degenerate(hash: &PdqHash) -> bool {
    let set: u32 = hash.words().iter().map(|word| word.count_ones()).sum();
    let line = |of: fn(usize, usize) -> (usize, usize)| {
        let mut lines: Vec<u16> = (0..16)
            .map(|line| {
                (0..16).fold(0, |bits, at| {
                    let (row, column) = of(line, at);
                    bits << 1 | u16::from(hash.bit(row, column))
                })
            })
            .collect();
        lines.sort_unstable();
        lines.dedup();
        lines.len()
    };
    set.abs_diff(PdqHash::BITS / 2) > UNEVEN || line(|row, column| (row, column)) <= 8 || line(|column, row| (row, column)) <= 8
}

/// One admission test of one item.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Outcome {
    /// `sources`, `quality`, `collisions`, `guard` or `confirmation`.
    pub test: &'static str,
    pub passed: bool,
    /// For people; holds no signal.
    pub detail: String,
}

fn pdq(item: &Item) -> impl Iterator<Item = PdqHash> {
    item.signals.iter().filter_map(|signal| if let Signal::Pdq(hash) = signal { Some(*hash) } else { None })
}

/// The tests that the bank asks for.
pub(super) async fn test(curation: &Curation, bank: &Bank, item: &Item) -> Result<Vec<Outcome>, BankError> {
    let rules = bank.admission;
    let mut outcomes = Vec::new();
    let mut say = |test, passed, detail| outcomes.push(Outcome { test, passed, detail });
    let mut sources: Vec<&str> = item.provenance.iter().map(|from| from.source.as_str()).collect();
    sources.sort_unstable();
    sources.dedup();
    say("sources", sources.len() >= usize::from(rules.sources), format!("{} of {} different sources", sources.len(), rules.sources));
    if rules.minimum_quality > 0 && pdq(item).next().is_some() {
        let told = item.quality.map_or_else(|| "no quality was told".to_owned(), |quality| format!("quality {quality}"));
        let passed = item.quality.is_some_and(|quality| quality >= rules.minimum_quality);
        say("quality", passed, format!("{told}, at least {} is asked", rules.minimum_quality));
    }
    if let Some(most) = rules.benign_collisions {
        let near = collisions(curation, bank, item).await?;
        say("collisions", near <= most as usize, format!("{near} of at most {most} items of negative banks lie within the radius"));
    }
    if rules.guard {
        let passed = !pdq(item).any(|hash| is_degenerate(&hash));
        let detail = if passed { "its hashes have features" } else { "a hash is that of a featureless picture or of a grid" };
        say("guard", passed, detail.to_owned());
    }
    if rules.confirmation {
        let local = |source| matches!(source, OpinionSource::Review | OpinionSource::Curator);
        let said = curation.store.opinions(bank.tenant, &bank.name, item.content_id).await?;
        let count = |opinion| said.iter().filter(|one| local(one.source) && one.opinion == opinion).count();
        let (confirms, disputes) = (count(Opinion::Confirm), count(Opinion::Dispute));
        say("confirmation", confirms > 0 && disputes == 0, format!("{confirms} confirm it here, {disputes} dispute it"));
    }
    Ok(outcomes)
}

/// Items of the tenant's negative banks within the bank's PDQ radius of the item.
async fn collisions(curation: &Curation, bank: &Bank, item: &Item) -> Result<usize, BankError> {
    let mut near = 0;
    for stored in
        curation.store.banks(bank.tenant).await?.into_iter().filter(|stored| stored.purpose == Purpose::Negative && stored.enabled)
    {
        let held = curation.banks.as_ref().and_then(|banks| {
            banks.snapshot(bank.tenant).banks().iter().find(|held| held.number == stored.number && held.version == stored.version).cloned()
        });
        let negative = match held {
            Some(held) => held,
            None => std::sync::Arc::new(load_bank(&curation.store, &stored, false, None).await?),
        };
        let mut ids: Vec<i64> =
            pdq(item).flat_map(|hash| negative.pdq().search(&[hash], bank.max_distance)).map(|hit| hit.content_id).collect();
        ids.sort_unstable();
        ids.dedup();
        near += ids.len();
    }
    Ok(near)
}

/// Has items take the tests, and moves those that pass; how many moved.
pub(super) async fn examine(curation: &Curation, tenant: TenantId, name: &str, content_ids: Vec<i64>) -> Result<u64, BankError> {
    let Some(bank) = curation.store.bank(tenant, name).await? else { return Err(BankError::NotFound("bank")) };
    let wanted: Vec<_> = content_ids.into_iter().map(|id| (name.to_owned(), id)).collect();
    let mut moved = 0;
    for item in curation.store.items(tenant, &wanted).await? {
        moved += u64::from(advance(curation, &bank, &item).await?);
    }
    Ok(moved)
}

async fn advance(curation: &Curation, bank: &Bank, item: &Item) -> Result<bool, BankError> {
    if !matches!(item.standing, Standing::Candidate | Standing::Vetted) {
        return Ok(false);
    }
    let failed: Vec<&'static str> = test(curation, bank, item).await?.into_iter().filter(|one| !one.passed).map(|one| one.test).collect();
    let standing = match failed[..] {
        [] => Standing::Active,
        ["confirmation"] => Standing::Vetted,
        _ => Standing::Candidate,
    };
    if standing == item.standing {
        return Ok(false);
    }
    let patch = ItemPatch { standing: Some(standing), ..ItemPatch::default() };
    let change = Change::rule("admission", item.standing);
    Ok(curation.store.change_item(bank.tenant, &bank.name, item.content_id, patch, change).await?.1)
}

/// Examines all candidates and vetted items of a bank.
pub(super) async fn examine_waiting(curation: &Curation, tenant: TenantId, name: &str) -> Result<u64, BankError> {
    let Some(bank) = curation.store.bank(tenant, name).await? else { return Err(BankError::NotFound("bank")) };
    let mut moved = 0;
    for standing in [Standing::Vetted, Standing::Candidate] {
        let mut after = 0;
        loop {
            let filter = ItemFilter { standing: Some(standing), after, limit: PAGE, ..ItemFilter::default() };
            let page = curation.store.list_items(&bank, filter).await?;
            let Some(last) = page.last() else { break };
            after = last.content_id;
            for item in &page {
                moved += u64::from(advance(curation, &bank, item).await?);
            }
        }
    }
    Ok(moved)
}
