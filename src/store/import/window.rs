//! A window of signals on its way into the bank: in their own order for the keys, in the order of the file for the rows.
//!
//! A chunk travels as one blob of fixed-width records and one JSON array of content ids, which SQLite takes apart: binding each value by itself
//! costs more than inserting it.

use std::collections::{BTreeMap, HashSet};

use sqlx::SqliteConnection;

use super::{CHUNK, Lease};
use crate::{
    domain::signal::{Signal, SignalType},
    store::{error::StoreError, row::blob, transaction::WriteTx},
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
}

/// Distinct signals, sorted.
pub(super) struct Window {
    entries: Vec<Entry>,
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

/// What keeps them unique.
pub(super) const KEYS: Table = Table {
    insert: "INSERT INTO bank_signal_keys (tenant_id, bank, number, signal_type, signal)
             SELECT ?1, ?2, value, ?3, substr(?4, key * ?5 + 1, ?5) FROM json_each(?6)",
    order: Order::Signal,
};

impl Window {
    /// Sorts on a thread for such work: a million signals take a noticeable part of a second.
    pub(super) async fn sorted(signals: Vec<Signal>) -> Result<Self, StoreError> {
        let sort = move || {
            let entry = |(place, signal): (usize, Signal)| Entry { signal, place: place as u32, number: 0, offset: 0 };
            let mut entries: Vec<Entry> = signals.into_iter().enumerate().map(entry).collect();
            entries.sort_unstable_by(|a, b| (&a.signal, a.place).cmp(&(&b.signal, b.place)));
            entries.dedup_by(|next, kept| next.signal == kept.signal); // the first of its kind stays
            Self { entries }
        };
        tokio::task::spawn_blocking(sort).await.map_err(|_| StoreError::Closed)
    }

    /// Takes out what the bank holds, and tells of that: places in the window, and content ids. Only this import adds to the bank, so reading needs no write lock.
    pub(super) async fn forget_held(&mut self, tx: &mut WriteTx, lease: Lease) -> Result<Vec<(usize, i64)>, StoreError> {
        let (mut held, mut items) = (HashSet::new(), Vec::new());
        for chunk in self.pieces(Order::Signal, |entry| entry.place.into()) {
            let found: Vec<(i64, i64)> = sqlx::query_as(
                // CROSS JOIN keeps SQLite from walking through all keys for each of the chunk's.
                "SELECT given.value, coalesce(signals.content_id, signals.number) FROM json_each(?1) AS given CROSS JOIN bank_signal_keys AS keys
                 ON keys.bank = ?2 AND keys.signal_type = ?3 AND keys.signal = substr(?4, given.key * ?5 + 1, ?5)
                 CROSS JOIN bank_signals AS signals ON signals.bank = keys.bank AND signals.number = keys.number",
            )
            .bind(chunk.numbers)
            .bind(lease.bank)
            .bind(chunk.kind.as_str())
            .bind(chunk.records)
            .bind(chunk.size as i64)
            .fetch_all(tx.reading().await?)
            .await?;
            for (place, content_id) in found {
                held.insert(place);
                items.push((place as usize, content_id));
            }
        }
        self.entries.retain(|entry| !held.contains(&i64::from(entry.place)));
        Ok(items)
    }

    /// Gives numbers after `last`, in the order of the file; `items` says of each place at which place its item begins. What is left of an item, where the
    /// bank holds some of its signals, is an item still.
    pub(super) fn number(&mut self, last: i64, items: &[u32]) {
        let mut places: Vec<(u32, usize)> = self.entries.iter().enumerate().map(|(at, entry)| (entry.place, at)).collect();
        places.sort_unstable();
        let mut before: Option<(u32, u32)> = None; // the item and the offset
        for (number, (place, at)) in (last + 1..).zip(places) {
            let item = items[place as usize];
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

    /// How many signals.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The window in pieces for a table.
    pub(super) fn chunks(&self, table: Table) -> Vec<Chunk> {
        self.pieces(table.order, |entry| entry.number)
    }

    fn pieces(&self, order: Order, number: fn(&Entry) -> i64) -> Vec<Chunk> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        if order == Order::Number {
            entries.sort_unstable_by_key(|entry| entry.place);
        }
        let mut pieces = Vec::new();
        let mut rest = &entries[..];
        while !rest.is_empty() {
            let (mut taken, mut bytes) = (0, 0);
            while taken < rest.len().min(CHUNK) && (taken == 0 || bytes + rest[taken].signal.size() <= CHUNK_BYTES) {
                bytes += rest[taken].signal.size();
                taken += 1;
            }
            let (piece, others) = rest.split_at(taken);
            rest = others;
            let mut alike: BTreeMap<(u32, SignalType, usize), Chunk> = BTreeMap::new();
            for entry in piece {
                let (kind, size, offset) = (entry.signal.kind(), entry.signal.size(), entry.offset);
                let empty = || Chunk { kind, size, offset, records: Vec::new(), numbers: String::from("[") };
                let chunk = alike.entry((offset, kind, size)).or_insert_with(empty);
                let comma = if chunk.records.is_empty() { "" } else { "," };
                chunk.numbers.push_str(&format!("{comma}{}", number(entry)));
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
    /// Runs [`ROWS`] or [`KEYS`].
    pub(super) async fn insert(self, connection: &mut SqliteConnection, table: Table, lease: Lease) -> Result<(), StoreError> {
        sqlx::query(table.insert)
            .bind(blob(lease.tenant.0))
            .bind(lease.bank)
            .bind(self.kind.as_str())
            .bind(self.records)
            .bind(self.size as i64)
            .bind(self.numbers)
            .bind(self.offset)
            .execute(connection)
            .await?;
        Ok(())
    }
}
