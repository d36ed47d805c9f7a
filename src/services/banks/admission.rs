//! What an item must show before it is in force.
//!
//! A bank's [`Admission`](crate::domain::bank::Admission) says which tests its items take. They are taken when an item is added, when another source names
//! it, and when an opinion arrives; a candidate that passes all of them is vetted, and a vetted item that needs no confirmation, or has one, is active.
//!
//! * **Sources**: k different ones name it, or an item that shares a signal with it. One list's mistake is not enough then.
//! * **Quality**: the PDQ quality that its source told is at least the bank's floor. Where nobody told one the test is not passed.
//! * **Collisions**: at most n items of the benign corpus, the tenant's negative banks, lie within the bank's radius of one of its PDQ hashes. Negative banks that a curator may not see
//!   count; how many items they hold there is told to nobody who does not see all of them.
//! * **Guard**: none of its PDQ hashes is that of a featureless picture or of a grid. See [`is_degenerate`].
//! * **Confirmation**: a reviewer or curator of this server confirms it, and none disputes it.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    BankError,
    curation::{Curation, sees},
    load_bank,
};
use crate::{
    domain::{
        bank::{Opinion, OpinionSource, Purpose, Standing},
        hash::PdqHash,
        ids::TenantId,
        signal::Signal,
    },
    engines::matching,
    services::access::Principal,
    store::{Bank, Item, ItemFilter},
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

/// A bank's tests, and what they look at beside the items: read once for any number of items.
struct Examiner<'a> {
    curation: &'a Curation,
    bank: Bank,
    /// The benign corpus, where the bank asks for it.
    negatives: Vec<Arc<matching::Bank>>,
    /// Whether the corpus has a bank that whoever is told of the outcome may not see.
    veiled: bool,
}

impl<'a> Examiner<'a> {
    /// `told` is told of the outcomes; without one only standings move.
    async fn of(curation: &'a Curation, bank: Bank, told: Option<&Principal>) -> Result<Self, BankError> {
        let (mut negatives, mut veiled) = (Vec::new(), false);
        if bank.admission.benign_collisions.is_some() {
            let lists = curation.store.bank_access().await?;
            for stored in curation.store.banks(bank.tenant).await? {
                if stored.purpose == Purpose::Negative && stored.enabled {
                    negatives.push(negative(curation, &stored).await?);
                    veiled |= lists.get(&stored.id).is_some_and(|list| told.is_some_and(|who| !sees(who, list)));
                }
            }
        }
        Ok(Self { curation, bank, negatives, veiled })
    }

    /// The tests that the bank asks for.
    async fn test(&self, item: &Item) -> Result<Vec<Outcome>, BankError> {
        let rules = self.bank.admission;
        let mut outcomes = Vec::new();
        let mut say = |test, passed, detail| outcomes.push(Outcome { test, passed, detail });
        // An import that did not say where it comes from comes from somewhere.
        let named = self.sources(item).await?.len().max(1);
        say("sources", named >= usize::from(rules.sources), format!("{named} of {} different sources", rules.sources));
        if rules.minimum_quality > 0 && pdq(item).next().is_some() {
            let told = item.quality.map_or_else(|| "no quality was told".to_owned(), |quality| format!("quality {quality}"));
            let passed = item.quality.is_some_and(|quality| quality >= rules.minimum_quality);
            say("quality", passed, format!("{told}, at least {} is asked", rules.minimum_quality));
        }
        if let Some(most) = rules.benign_collisions {
            let near = self.collisions(item);
            let passed = near <= most as usize;
            let detail = match (self.veiled, passed) {
                (false, _) => format!("{near} of at most {most} items of negative banks lie within the radius"),
                (true, true) => format!("at most {most} items of negative banks lie within the radius"),
                (true, false) => format!("more than {most} items of negative banks lie within the radius"),
            };
            say("collisions", passed, detail);
        }
        if rules.guard {
            let passed = !pdq(item).any(|hash| is_degenerate(&hash));
            let detail = if passed { "its hashes have features" } else { "a hash is that of a featureless picture or of a grid" };
            say("guard", passed, detail.to_owned());
        }
        if rules.confirmation {
            let local = |source| matches!(source, OpinionSource::Review | OpinionSource::Curator);
            let said = self.curation.store.opinions(self.bank.tenant, &self.bank.name, item.content_id).await?;
            let count = |opinion| said.iter().filter(|one| local(one.source) && one.opinion == opinion).count();
            let (confirms, disputes) = (count(Opinion::Confirm), count(Opinion::Dispute));
            say("confirmation", confirms > 0 && disputes == 0, format!("{confirms} confirm it here, {disputes} dispute it"));
        }
        Ok(outcomes)
    }

    /// Who names the item or, where these are too few, one that shares a signal with it.
    async fn sources(&self, item: &Item) -> Result<BTreeSet<String>, BankError> {
        let named = |items: &[Item]| -> BTreeSet<String> {
            items.iter().flat_map(|item| &item.provenance).map(|from| from.source.clone()).collect()
        };
        let own = named(std::slice::from_ref(item));
        if own.len() >= usize::from(self.bank.admission.sources) {
            return Ok(own);
        }
        let (store, bank) = (&self.curation.store, &self.bank);
        let holders: BTreeSet<i64> = store.find_items(bank.tenant, &bank.name, &item.signals).await?.into_iter().flatten().collect();
        let others: Vec<_> = holders.into_iter().filter(|id| *id != item.content_id).map(|id| (bank.name.clone(), id)).collect();
        let mut all = named(&store.items(bank.tenant, &others).await?);
        all.extend(own);
        Ok(all)
    }

    /// Items of the tenant's negative banks within the bank's PDQ radius of the item.
    fn collisions(&self, item: &Item) -> usize {
        let near = |negative: &matching::Bank| {
            let mut ids: Vec<i64> =
                pdq(item).flat_map(|hash| negative.pdq().search(&[hash], self.bank.max_distance)).map(|hit| hit.content_id).collect();
            ids.sort_unstable();
            ids.dedup();
            ids.len()
        };
        self.negatives.iter().map(|negative| near(negative)).sum()
    }

    /// The standing that an item gets; `None` when it stays.
    async fn next(&self, item: &Item) -> Result<Option<Standing>, BankError> {
        if !matches!(item.standing, Standing::Candidate | Standing::Vetted) {
            return Ok(None);
        }
        let failed: Vec<&'static str> = self.test(item).await?.into_iter().filter(|one| !one.passed).map(|one| one.test).collect();
        let standing = match failed[..] {
            [] => Standing::Active,
            ["confirmation"] => Standing::Vetted,
            _ => Standing::Candidate,
        };
        Ok(Some(standing).filter(|standing| *standing != item.standing))
    }

    /// Moves the items that get another standing; how many.
    async fn advance(&self, items: &[Item]) -> Result<u64, BankError> {
        let mut examined = Vec::new();
        for item in items {
            if let Some(standing) = self.next(item).await? {
                examined.push((item.content_id, item.standing, standing));
            }
        }
        if examined.is_empty() {
            return Ok(0);
        }
        Ok(self.curation.store.admit(self.bank.tenant, &self.bank.name, examined).await?)
    }
}

/// A negative bank as it is now: the replica's where it has it.
async fn negative(curation: &Curation, stored: &Bank) -> Result<Arc<matching::Bank>, BankError> {
    let held = curation.banks.as_ref().and_then(|banks| {
        banks.snapshot(stored.tenant).banks().iter().find(|held| held.number == stored.number && held.version == stored.version).cloned()
    });
    match held {
        Some(held) => Ok(held),
        None => Ok(Arc::new(load_bank(&curation.store, stored, false, None).await?)),
    }
}

/// The tests that the bank asks for, and how the item does, as `who` may know it.
pub(super) async fn test(curation: &Curation, who: &Principal, bank: Bank, item: &Item) -> Result<Vec<Outcome>, BankError> {
    Examiner::of(curation, bank, Some(who)).await?.test(item).await
}

/// Has items take the tests, and moves those that pass; how many moved.
pub(super) async fn examine(curation: &Curation, tenant: TenantId, name: &str, content_ids: Vec<i64>) -> Result<u64, BankError> {
    let Some(bank) = curation.store.bank(tenant, name).await? else { return Err(BankError::NotFound("bank")) };
    if bank.admission.asks_nothing() {
        return Ok(0);
    }
    let examiner = Examiner::of(curation, bank, None).await?;
    let mut moved = 0;
    for ids in content_ids.chunks(PAGE as usize) {
        let wanted: Vec<_> = ids.iter().map(|id| (name.to_owned(), *id)).collect();
        moved += examiner.advance(&curation.store.items(tenant, &wanted).await?).await?;
    }
    Ok(moved)
}

/// Examines all candidates and vetted items of a bank. One that asks nothing any more takes them all.
pub(super) async fn examine_waiting(curation: &Curation, tenant: TenantId, name: &str) -> Result<u64, BankError> {
    let Some(bank) = curation.store.bank(tenant, name).await? else { return Err(BankError::NotFound("bank")) };
    let examiner = Examiner::of(curation, bank, None).await?;
    let mut moved = 0;
    for standing in [Standing::Vetted, Standing::Candidate] {
        let mut after = 0;
        loop {
            let filter = ItemFilter { standing: Some(standing), after, limit: PAGE, ..ItemFilter::default() };
            let page = curation.store.list_items(&examiner.bank, filter).await?;
            let Some(last) = page.last() else { break };
            after = last.content_id;
            moved += examiner.advance(&page).await?;
        }
    }
    Ok(moved)
}
