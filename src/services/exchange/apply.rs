//! A page of an exchange becomes items of its bank.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{
    ExchangeError, Exchanges, Fetched,
    fetch::{Fetcher, Page},
    formats::{Change, Entry, Record},
};
use crate::{
    domain::{
        bank::{Admission, HarmCategory, Opinion, OpinionSource, Provenance, Standing},
        signal::Signal,
        time::Timestamp,
    },
    store::{Change as ItemOrder, EntryItems, Exchange, ExchangeLease, ExchangePage, Item, ItemPatch, NewItem, NewOpinion, StoreError},
};

/// Items that the store takes at once.
const CHUNK: usize = 1000;
/// Opinions on their way to the store at the same time: they share its transactions.
const TOGETHER: usize = 64;

/// What a page says of each entry, the last word counting.
type Said = BTreeMap<String, Record>;

impl Exchanges {
    pub(super) async fn read_pages(
        &self,
        exchange: &Exchange,
        lease: ExchangeLease,
        enough: &CancellationToken,
    ) -> Result<Fetched, ExchangeError> {
        let fetcher: Box<dyn Fetcher> = self.fetcher(exchange)?;
        let (mut checkpoint, mut fetched) = (exchange.checkpoint.clone(), Fetched::default());
        loop {
            let page = enough.run_until_cancelled(fetcher.page(checkpoint.as_ref(), Timestamp::now())).await;
            // Between two pages everything is written.
            let Some(page) = page else { return Ok(fetched) };
            let page = page?;
            checkpoint = Some(page.checkpoint.clone());
            let (more, full) = (page.more, page.full);
            let said = self.apply(exchange, lease, page).await?;
            fetched.pages += 1;
            fetched.added += said.added;
            fetched.withdrawn += said.withdrawn;
            fetched.opinions += said.opinions;
            fetched.skipped += said.skipped;
            fetched.bad += said.bad;
            if full {
                fetched.withdrawn += self.forget_unnamed(exchange, lease, checkpoint.as_ref()).await?;
            }
            if let Some(banks) = &self.banks {
                banks.refresh(&self.store).await?;
            }
            if !more {
                fetched.up_to_date = true;
                return Ok(fetched);
            }
        }
    }

    async fn apply(&self, exchange: &Exchange, lease: ExchangeLease, page: Page) -> Result<Fetched, ExchangeError> {
        let mut done = Fetched::default();
        let mut said = Said::new();
        for entry in page.entries {
            match entry {
                Entry::Record(record) => drop(said.insert(key(&record), *record)),
                Entry::Skipped(_) => done.skipped += 1,
                Entry::Bad(_) => done.bad += 1,
            }
        }
        let keys: Vec<String> = said.keys().cloned().collect();
        let known = self.store.entry_items(exchange, &keys).await?;
        let (kept, categories) = self.kept(exchange, &said, &known).await?;
        for (content_id, category) in categories {
            let patch = ItemPatch { category: Some(Some(category)), ..ItemPatch::default() };
            self.store.change_item(exchange.tenant, &exchange.name, content_id, patch, ItemOrder::order(None)).await?;
        }
        let (mut items, mut adding) = (BTreeMap::<String, Vec<i64>>::new(), Vec::new());
        for (key, record) in &said {
            let before = known.get(key);
            match (record.change, before) {
                (Change::Withdraw, _) => drop(items.insert(key.clone(), Vec::new())),
                (Change::Share, Some(ids)) if record.is_opposed() || kept.contains(key) => drop(items.insert(key.clone(), ids.clone())),
                (Change::Share, None) if record.is_opposed() => done.skipped += 1,
                (Change::Share, _) => adding.push((key.clone(), record)),
            }
        }
        let shared;
        (done.added, shared) = self.add(exchange, &adding, &mut items).await?;
        done.withdrawn = self.withdraw(exchange, &known, &items).await?;
        done.opinions = self.opine(exchange, &said, &items).await?;
        let touched: BTreeSet<i64> = items.values().flatten().copied().chain(shared).collect();
        let entries = items.into_iter().map(|(key, content_ids)| {
            let reference = said.get(&key).and_then(|record| record.reference.clone());
            EntryItems { key, reference, content_ids }
        });
        let Fetched { added, withdrawn, opinions, skipped, bad, .. } = done;
        let page = ExchangePage {
            entries: entries.collect(),
            checkpoint: page.checkpoint,
            progress: page.progress,
            starts_over: page.starts_over,
            added,
            withdrawn,
            opinions,
            skipped,
            bad,
        };
        self.store.commit_exchange_page(lease, page).await?;
        self.curation.examine(exchange.tenant, &exchange.name, touched.into_iter().collect()).await?;
        Ok(done)
    }

    /// Entries that keep the items they stand for: where nothing changed, or where somebody here retired the item (the list cannot bring it back). And the items among them whose category the list says otherwise now.
    async fn kept(
        &self,
        exchange: &Exchange,
        said: &Said,
        known: &HashMap<String, Vec<i64>>,
    ) -> Result<(BTreeSet<String>, Vec<(i64, HarmCategory)>), ExchangeError> {
        let ids: BTreeSet<i64> = known.values().flatten().copied().collect();
        let wanted: Vec<(String, i64)> = ids.into_iter().map(|id| (exchange.name.clone(), id)).collect();
        let items: HashMap<i64, Item> =
            self.store.items(exchange.tenant, &wanted).await?.into_iter().map(|item| (item.content_id, item)).collect();
        let same = |key: &String, ids: &Vec<i64>| {
            let of_entry: Vec<&Item> = ids.iter().filter_map(|id| items.get(id)).collect();
            let held: BTreeSet<&Signal> = of_entry.iter().flat_map(|item| &item.signals).collect();
            let wanted: BTreeSet<&Signal> = said.get(key).iter().flat_map(|record| &record.signals).collect();
            // Before items shared signals, an entry stood for all that held some of its own, which had others too.
            let whole = of_entry.len() > 1 || of_entry.iter().all(|item| item.standing == Standing::Retired);
            wanted.is_subset(&held) && (whole || wanted == held)
                // An item whose other entries all went may have been retired for the list's own reason, and comes back as a new one.
                && of_entry.iter().all(|item| item.standing == Standing::Retired || item.provenance.iter().any(|from| from.source == exchange.name))
        };
        let kept: BTreeSet<String> = known.iter().filter(|(key, ids)| same(key, ids)).map(|(key, _)| key.clone()).collect();
        let mut categories = BTreeMap::new();
        for key in &kept {
            let Some(category) = said.get(key).and_then(|record| record.category) else { continue };
            let of_entry = known.get(key).into_iter().flatten().filter_map(|id| items.get(id));
            let changed = of_entry.filter(|item| item.standing != Standing::Retired && item.category != Some(category));
            categories.extend(changed.map(|item| (item.content_id, category)));
        }
        Ok((kept, categories.into_iter().collect()))
    }

    /// Adds what is new and notes which item each entry stands for; how many items are new, and which others share signals with what the entries stand for.
    async fn add(
        &self,
        exchange: &Exchange,
        adding: &[(String, &Record)],
        items: &mut BTreeMap<String, Vec<i64>>,
    ) -> Result<(u64, BTreeSet<i64>), ExchangeError> {
        let (mut added, mut shared) = (0, BTreeSet::new());
        if adding.is_empty() {
            return Ok((added, shared));
        }
        let bank = self.store.bank(exchange.tenant, &exchange.name).await?.ok_or(StoreError::NotFound("bank of the exchange's name"))?;
        // Who fills a bank by hand vouches for it; here a bank with admission tests has them run on what the list brings.
        let standing = if bank.admission == Admission::default() { Standing::Active } else { Standing::Candidate };
        for chunk in adding.chunks(CHUNK) {
            let new = chunk.iter().map(|(_, record)| new_item(exchange, record, standing)).collect();
            let results = self.store.add_items(exchange.tenant, &exchange.name, new, None).await?;
            for ((key, _), result) in chunk.iter().zip(results) {
                added += u64::from(result.created);
                shared.extend(result.shares_with);
                items.insert(key.clone(), vec![result.content_id]);
            }
        }
        Ok((added, shared))
    }

    /// Takes the exchange's word on items back that no entry stands for any more; how many entries changed so.
    async fn withdraw(
        &self,
        exchange: &Exchange,
        known: &HashMap<String, Vec<i64>>,
        items: &BTreeMap<String, Vec<i64>>,
    ) -> Result<u64, ExchangeError> {
        let now_named: BTreeSet<i64> = items.values().flatten().copied().collect();
        let before = items.keys().filter_map(|key| known.get(key)).flatten();
        let mut leaving: BTreeSet<i64> = before.copied().filter(|id| !now_named.contains(id)).collect();
        if !leaving.is_empty() {
            let keys: Vec<String> = items.keys().cloned().collect();
            let ids: Vec<i64> = leaving.iter().copied().collect();
            for id in self.store.items_of_other_entries(exchange, &ids, &keys).await? {
                leaving.remove(&id);
            }
            let ids: Vec<i64> = leaving.into_iter().collect();
            for chunk in ids.chunks(CHUNK) {
                self.store.withdraw_items(exchange.tenant, &exchange.name, chunk.to_vec(), &exchange.name).await?;
            }
        }
        Ok(items.iter().filter(|(key, ids)| ids.is_empty() && known.contains_key(*key)).count() as u64)
    }

    async fn opine(&self, exchange: &Exchange, said: &Said, items: &BTreeMap<String, Vec<i64>>) -> Result<u64, ExchangeError> {
        let mut opinions = Vec::new();
        for (key, ids) in items {
            let Some(record) = said.get(key).filter(|record| record.change == Change::Share) else { continue };
            for stated in &record.opinions {
                // Who shares an entry says by that what it is: their word is its provenance.
                if stated.opinion == Opinion::Confirm && Some(&stated.member) == record.member.as_ref() {
                    continue;
                }
                let who = if stated.member.is_empty() { exchange.name.clone() } else { format!("{}: {}", exchange.name, stated.member) };
                let who: String = who.chars().take(128).collect();
                opinions.extend(
                    ids.iter().map(|id| (*id, NewOpinion { source: OpinionSource::Exchange, who: who.clone(), opinion: stated.opinion })),
                );
            }
        }
        let count = opinions.len() as u64;
        let write = |(id, opinion): (i64, NewOpinion)| self.store.add_opinion(exchange.tenant, &exchange.name, id, opinion, self.rules);
        stream::iter(opinions).map(write).buffer_unordered(TOGETHER).try_for_each(|_| std::future::ready(Ok(()))).await?;
        Ok(count)
    }

    /// After the whole list was read: entries that it did not name are gone.
    async fn forget_unnamed(
        &self,
        exchange: &Exchange,
        lease: ExchangeLease,
        checkpoint: Option<&serde_json::Value>,
    ) -> Result<u64, ExchangeError> {
        let mut gone = 0;
        loop {
            let keys = self.store.unnamed_entries(exchange, CHUNK as u32).await?;
            if keys.is_empty() {
                return Ok(gone);
            }
            let known = self.store.entry_items(exchange, &keys).await?;
            let items: BTreeMap<String, Vec<i64>> = keys.into_iter().map(|key| (key, Vec::new())).collect();
            let withdrawn = self.withdraw(exchange, &known, &items).await?;
            gone += withdrawn;
            let entries = items.into_keys().map(|key| EntryItems { key, reference: None, content_ids: Vec::new() }).collect();
            let page = ExchangePage {
                entries,
                checkpoint: checkpoint.cloned().unwrap_or_default(),
                progress: None,
                starts_over: false,
                added: 0,
                withdrawn,
                opinions: 0,
                skipped: 0,
                bad: 0,
            };
            self.store.commit_exchange_page(lease, page).await?;
        }
    }
}

/// The record's name, or its signals where the list gives none.
fn key(record: &Record) -> String {
    let signals = || record.signals.iter().map(|signal| format!("{} {}", signal.kind(), signal.to_text())).collect::<Vec<_>>().join(" ");
    record.key.clone().unwrap_or_else(signals)
}

fn new_item(exchange: &Exchange, record: &Record, standing: Standing) -> NewItem {
    let at = record.added_on.unwrap_or_else(Timestamp::now);
    NewItem {
        standing,
        category: record.category,
        note: record.note.clone(),
        provenance: Some(Provenance { source: exchange.name.clone(), submitter: record.member.clone(), at }),
        ..NewItem::new(record.signals.clone())
    }
}
