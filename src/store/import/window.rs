//! A window of signals on its way into the bank: in their own order for the keys, in the order of the file for the rows.
//!
//! An item that has exactly the signals of another, of the window or of the bank, is that item, and goes no further. All others keep all their signals, whoever has them too.
//!
//! A chunk travels as one blob of fixed-width records and one JSON array of content ids, which SQLite takes apart: binding each value by itself
//! costs more than inserting it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sqlx::{Row, SqliteConnection};

use super::{CHUNK, Lease};
use crate::{
    domain::signal::{Signal, SignalType},
    store::{banks, error::StoreError, row::blob, transaction::WriteTx},
};

/// Bytes of signals in one transaction: vectors are long.
const CHUNK_BYTES: usize = 4 << 20;

/// One signal of a window.
struct Entry {
    signal: Signal,
    /// Its place in the window as it was given.
    place: u32,
    /// Its number in the bank.
    number: i64,
    /// Its place among the signals of its item; so the item's content id is `number - offset`.
    offset: u32,
    /// How many signals its item has, if it is the least of them; else 0. So an item is looked for once, by this one.
    leads: u8,
}

/// Signals, sorted; those of an item are different.
pub(super) struct Window {
    entries: Vec<Entry>,
    /// Of each place in the window, at which place its item begins.
    items: Vec<u32>,
}

/// Entries of one type, length and offset for one transaction.
pub(super) struct Chunk {
    kind: SignalType,
    /// Bytes of one signal.
    size: usize,
    offset: u32,
    records: Vec<u8>,
    /// A JSON array of one number per record.
    numbers: String,
}

/// One of the two tables that a chunk goes into.
#[derive(Clone, Copy)]
pub(super) struct Table {
    insert: &'static str,
    order: Order,
}

/// In what order a table is filled without jumping about in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Number,
    Signal,
}

/// The bank's signals.
pub(super) const ROWS: Table = Table {
    insert: "INSERT INTO bank_signals (tenant_id, bank, number, content_id, signal_type, signal)
             SELECT ?1, ?2, value, iif(?7 = 0, NULL, value - ?7), ?3, substr(?4, key * ?5 + 1, ?5) FROM json_each(?6)",
    order: Order::Number,
};

/// Where they are found; a signal that stands here already comes into [`SHARED`].
pub(super) const KEYS: Table = Table {
    insert: "INSERT INTO bank_signal_keys (tenant_id, bank, number, signal_type, signal)
             SELECT ?1, ?2, value, ?3, substr(?4, key * ?5 + 1, ?5) FROM json_each(?6) WHERE true ON CONFLICT DO NOTHING",
    order: Order::Signal,
};

/// Those of a chunk that [`KEYS`] did not take.
const SHARED: &str = "INSERT INTO bank_shared_signals (tenant_id, bank, number, signal_type, signal)
     SELECT ?1, ?2, value, ?3, substr(?4, key * ?5 + 1, ?5) FROM json_each(?6) WHERE NOT EXISTS
         (SELECT 1 FROM bank_signal_keys WHERE bank = ?2 AND signal_type = ?3 AND signal = substr(?4, key * ?5 + 1, ?5) AND number = value)";

/// The bank's items that have the signal of one of ours and as many signals; a given number is a place and that many, see [`packed`]. Signals of an item follow one another, so the row
/// of its last belongs to it and the next one does not.
const CANDIDATES: &str = "WITH given AS (SELECT value >> 8 AS place, value & 255 AS size, substr(?4, key * ?5 + 1, ?5) AS signal FROM json_each(?1)),
         held AS (
             SELECT place, size, number FROM given CROSS JOIN bank_signal_keys AS keys ON keys.bank = ?2 AND keys.signal_type = ?3 AND keys.signal = given.signal
             UNION ALL
             SELECT place, size, number FROM given CROSS JOIN bank_shared_signals AS keys ON keys.bank = ?2 AND keys.signal_type = ?3 AND keys.signal = given.signal)
     SELECT place, size, item FROM
         (SELECT place, size, coalesce(content_id, signals.number) AS item FROM held CROSS JOIN bank_signals AS signals ON signals.bank = ?2 AND signals.number = held.number)
     WHERE (size = 1 OR EXISTS (SELECT 1 FROM bank_signals AS last WHERE last.bank = ?2 AND last.number = item + size - 1 AND last.content_id = item))
         AND NOT EXISTS (SELECT 1 FROM bank_signals AS next WHERE next.bank = ?2 AND next.number = item + size AND next.content_id = item)";

/// A place and a number of signals, for [`CANDIDATES`].
const fn packed(place: u32, size: u8) -> i64 {
    (place as i64) << 8 | size as i64
}

/// Items whose signals are read in one query.
const AT_ONCE: usize = 512;

impl Window {
    /// Sorts on a thread for such work: a million signals take a noticeable part of a second. `items` says of each place at which place its item begins.
    pub(super) async fn sorted(signals: Vec<Signal>, items: Vec<u32>) -> Result<Self, StoreError> {
        tokio::task::spawn_blocking(move || Self::new(signals, items)).await.map_err(|_| StoreError::Closed)
    }

    fn new(signals: Vec<Signal>, items: Vec<u32>) -> Self {
        let entry = |(place, signal): (usize, Signal)| Entry { signal, place: place as u32, number: 0, offset: 0, leads: 0 };
        let mut entries: Vec<Entry> = signals.into_iter().enumerate().map(entry).collect();
        entries.sort_unstable_by(|a, b| (&a.signal, a.place).cmp(&(&b.signal, b.place)));
        let item = |entry: &Entry| items[entry.place as usize] as usize;
        entries.dedup_by(|next, kept| item(next) == item(kept) && next.signal == kept.signal);
        // By the place at which an item begins: how many signals it has.
        let mut sizes = vec![0u8; items.len()]; // an item has MOST_SIGNALS at most
        entries.iter().for_each(|entry| sizes[item(entry)] += 1);
        let mut led = vec![false; items.len()];
        for entry in &mut entries {
            let item = item(entry);
            if !std::mem::replace(&mut led[item], true) {
                entry.leads = sizes[item];
            }
        }
        let mut window = Self { entries, items };
        window.forget_twins();
        window
    }

    /// Takes out what has exactly the signals of an item before it.
    fn forget_twins(&mut self) {
        let item = |entry: &Entry| self.items[entry.place as usize];
        let mut sets: HashMap<u32, Vec<&Signal>> = HashMap::new();
        for entry in self.entries.iter().filter(|entry| entry.leads != 1) {
            sets.entry(item(entry)).or_default().push(&entry.signal);
        }
        let mut twins = Vec::new();
        // Equal ones have the same leader, so they stand in one run of equal signals, in the order of the file.
        for run in self.entries.chunk_by(|a, b| a.signal == b.signal).filter(|run| run.len() > 1) {
            let (mut single, mut several) = (false, BTreeSet::new());
            for entry in run {
                let twin = match entry.leads {
                    0 => false,
                    1 => std::mem::replace(&mut single, true),
                    _ => sets.get(&item(entry)).is_some_and(|set| !several.insert(set)),
                };
                twins.extend(twin.then(|| item(entry)));
            }
        }
        self.forget(&mut twins);
    }

    /// Takes out items, by the places at which they begin.
    fn forget(&mut self, gone: &mut [u32]) {
        if gone.is_empty() {
            return;
        }
        gone.sort_unstable();
        let items = &self.items;
        self.entries.retain(|entry| gone.binary_search(&items[entry.place as usize]).is_err());
    }

    /// Takes out the items that the bank has, with exactly their signals, and tells of them: places in the window, and content ids. Only this import adds to the bank, so reading needs no
    /// write lock.
    pub(super) async fn forget_held(&mut self, tx: &mut WriteTx, lease: Lease) -> Result<Vec<(usize, i64)>, StoreError> {
        let mut held: BTreeMap<u32, i64> = BTreeMap::new();
        // Of items of several signals the bank's may have others: place, size, item.
        let mut candidates: Vec<(u32, u8, i64)> = Vec::new();
        for chunk in self.pieces(Order::Signal, |entry| (entry.leads > 0).then(|| packed(entry.place, entry.leads))) {
            let found: Vec<(u32, u8, i64)> = sqlx::query_as(CANDIDATES)
                .bind(chunk.numbers)
                .bind(lease.bank)
                .bind(chunk.kind.as_str())
                .bind(chunk.records)
                .bind(chunk.size as i64)
                .fetch_all(tx.reading().await?)
                .await?;
            for (place, size, item) in found {
                if size == 1 {
                    held.entry(place).and_modify(|known| *known = item.min(*known)).or_insert(item);
                } else {
                    candidates.push((place, size, item));
                }
            }
        }
        if !candidates.is_empty() {
            candidates.sort_unstable_by_key(|(place, _, item)| (*place, *item));
            self.compare(tx, lease, &candidates, &mut held).await?;
        }
        let mut gone: Vec<u32> = held.keys().map(|place| self.items[*place as usize]).collect();
        self.forget(&mut gone);
        Ok(held.into_iter().map(|(place, item)| (place as usize, item)).collect())
    }

    /// Which of the candidates have exactly the signals of our items, the first of each.
    async fn compare(
        &self,
        tx: &mut WriteTx,
        lease: Lease,
        candidates: &[(u32, u8, i64)],
        held: &mut BTreeMap<u32, i64>,
    ) -> Result<(), StoreError> {
        let mut ours: HashMap<u32, Vec<&Signal>> = HashMap::new();
        let item = |place: u32| self.items[place as usize];
        let wanted: HashSet<u32> = candidates.iter().map(|(place, ..)| item(*place)).collect();
        for entry in self.entries.iter().filter(|entry| wanted.contains(&item(entry.place))) {
            ours.entry(item(entry.place)).or_default().push(&entry.signal);
        }
        for chunk in candidates.chunks(AT_ONCE) {
            let ranges: Vec<(i64, i64)> = chunk.iter().map(|(_, size, item)| (*item, item + i64::from(*size))).collect();
            let ranges = serde_json::to_string(&ranges).map_err(|error| StoreError::Invalid(error.to_string()))?;
            let rows = sqlx::query(
                "SELECT given.key, signal_type, signal FROM json_each(?1) AS given CROSS JOIN bank_signals AS signals
                 ON signals.bank = ?2 AND signals.number >= given.value ->> 0 AND signals.number < given.value ->> 1",
            )
            .bind(ranges)
            .bind(lease.bank)
            .fetch_all(tx.reading().await?)
            .await?;
            let mut theirs: Vec<Vec<Signal>> = vec![Vec::new(); chunk.len()];
            for row in &rows {
                let signals = theirs.get_mut(row.try_get::<i64, _>(0)? as usize);
                signals.ok_or(StoreError::NotFound("candidate"))?.push(banks::signal(row.try_get(1)?, row.try_get(2)?)?);
            }
            for ((place, _, found), mut theirs) in chunk.iter().zip(theirs) {
                theirs.sort_unstable();
                if ours.get(&item(*place)).is_some_and(|ours| ours.iter().copied().eq(&theirs)) {
                    held.entry(*place).or_insert(*found);
                }
            }
        }
        Ok(())
    }

    /// Gives numbers after `last`, in the order of the file.
    pub(super) fn number(&mut self, last: i64) {
        let mut places: Vec<(u32, usize)> = self.entries.iter().enumerate().map(|(at, entry)| (entry.place, at)).collect();
        places.sort_unstable();
        let mut before: Option<(u32, u32)> = None; // the item and the offset
        for (number, (place, at)) in (last + 1..).zip(places) {
            let item = self.items[place as usize];
            let offset = before.filter(|before| before.0 == item).map_or(0, |before| before.1 + 1);
            before = Some((item, offset));
            let entry = &mut self.entries[at];
            (entry.number, entry.offset) = (number, offset);
        }
    }

    /// Places in the window with their numbers, in the order of the file.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (usize, i64)> {
        let mut numbered: Vec<(usize, i64)> = self.entries.iter().map(|entry| (entry.place as usize, entry.number)).collect();
        numbered.sort_unstable();
        numbered.into_iter()
    }

    /// How many signals are not the first of their item.
    pub(super) fn further(&self) -> usize {
        self.entries.iter().filter(|entry| entry.offset > 0).count()
    }

    /// What they add to the bank's sum.
    pub(super) fn sum(&self) -> i64 {
        let one = |entry: &Entry| banks::signal_sum(entry.number, entry.number - i64::from(entry.offset), &entry.signal);
        self.entries.iter().map(one).fold(0, i64::wrapping_add)
    }

    /// How many signals.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The window in pieces for a table.
    pub(super) fn chunks(&self, table: Table) -> Vec<Chunk> {
        self.pieces(table.order, |entry| Some(entry.number))
    }

    /// Entries that have a number, with it.
    fn pieces(&self, order: Order, number: fn(&Entry) -> Option<i64>) -> Vec<Chunk> {
        let mut entries: Vec<(&Entry, i64)> = self.entries.iter().filter_map(|entry| Some((entry, number(entry)?))).collect();
        if order == Order::Number {
            entries.sort_unstable_by_key(|(entry, _)| entry.place);
        }
        let mut pieces = Vec::new();
        let mut rest = &entries[..];
        while !rest.is_empty() {
            let (mut taken, mut bytes) = (0, 0);
            while taken < rest.len().min(CHUNK) && (taken == 0 || bytes + rest[taken].0.signal.size() <= CHUNK_BYTES) {
                bytes += rest[taken].0.signal.size();
                taken += 1;
            }
            let (piece, others) = rest.split_at(taken);
            rest = others;
            let mut alike: BTreeMap<(u32, SignalType, usize), Chunk> = BTreeMap::new();
            for (entry, number) in piece {
                let (kind, size, offset) = (entry.signal.kind(), entry.signal.size(), entry.offset);
                let empty = || Chunk { kind, size, offset, records: Vec::new(), numbers: String::from("[") };
                let chunk = alike.entry((offset, kind, size)).or_insert_with(empty);
                let comma = if chunk.records.is_empty() { "" } else { "," };
                chunk.numbers.push_str(&format!("{comma}{number}"));
                chunk.records.extend_from_slice(&entry.signal.to_bytes());
            }
            pieces.extend(alike.into_values().map(|mut chunk| {
                chunk.numbers.push(']');
                chunk
            }));
        }
        pieces
    }
}

impl Chunk {
    /// Runs [`ROWS`], or [`KEYS`] and where that did not take all [`SHARED`].
    pub(super) async fn insert(self, connection: &mut SqliteConnection, table: Table, lease: Lease) -> Result<(), StoreError> {
        let given = (self.records.len() / self.size) as u64;
        if self.run(&mut *connection, table.insert, lease).await? < given {
            self.run(connection, SHARED, lease).await?;
        }
        Ok(())
    }

    /// Runs a statement on all of it; how many rows it made.
    async fn run(&self, connection: &mut SqliteConnection, statement: &'static str, lease: Lease) -> Result<u64, StoreError> {
        let done = sqlx::query(statement)
            .bind(blob(lease.tenant.0))
            .bind(lease.bank)
            .bind(self.kind.as_str())
            .bind(self.records.clone())
            .bind(self.size as i64)
            .bind(self.numbers.clone())
            .bind(self.offset)
            .execute(connection)
            .await?;
        Ok(done.rows_affected())
    }
}
