//! From the store's rows to a bank that can be searched.

use std::sync::Arc;

use crate::{
    domain::{bank::Standing, hash::Quality, signal::Signal},
    engines::matching::Bank,
    store::{self, ItemCursor, Store, StoreError, signal_sum},
};

/// Signals read from the store at a time: a few megabytes.
const PAGE: u32 = 50_000;

/// More new signals than this are read beside the server's work, not by whoever waits for a change: reading them takes a good part of a second.
const MANY: i64 = 2 * PAGE as i64;

/// The bank at exactly its stored version, in few long parts; what `known` (an earlier one) holds already is shared, not read again. Indexing runs on the threads for such
/// work.
///
/// # Errors
/// When the store cannot be read.
pub async fn load_bank(store: &Store, stored: &store::Bank, dihedral: bool, known: Option<&Bank>) -> Result<Bank, StoreError> {
    let bank = follow(store, stored, dihedral, known).await?;
    changed(bank, Bank::settle).await
}

/// The bank with nothing in it.
pub(super) fn empty(stored: &store::Bank, dihedral: bool) -> Bank {
    Bank::new(stored.name.clone(), stored.max_distance, Quality::new(stored.minimum_quality), dihedral)
}

/// Whether so much is new that [`load_bank`] takes long.
pub(super) fn is_long(stored: &store::Bank, known: Option<&Bank>) -> bool {
    stored.signals - known.map_or(0, |known| known.last_signal) > MANY
}

/// The bank at exactly its stored version: what is new is appended, and tidied up by somebody else. What it costs depends on what is new, not on what the bank holds.
pub(super) async fn follow(store: &Store, stored: &store::Bank, dihedral: bool, known: Option<&Bank>) -> Result<Bank, StoreError> {
    let mut bank = match known {
        Some(known) => known.clone(),
        None => empty(stored, dihedral),
    };
    let states = ItemCursor::after(bank.version);
    set_up(store, stored, &mut bank).await?;
    // Signals are numbered 1..=signals and never change, so what is held is what was read.
    while bank.last_signal < stored.signals {
        let after = bank.last_signal;
        let page = store.load_signals(stored, after, PAGE).await?;
        let Some(&(last, ..)) = page.last() else {
            return Err(StoreError::Corrupt { what: "bank", detail: format!("signals end at {after} of {}", stored.signals) });
        };
        bank = changed(bank, move |bank| {
            let sum =
                |sum: i64, (number, content_id, signal): &(i64, i64, Signal)| sum.wrapping_add(signal_sum(*number, *content_id, signal));
            bank.sum = bank.sum.map(|before| page.iter().fold(before, sum));
            bank.extend(page.into_iter().map(|(_, content_id, signal)| (content_id, signal)));
            bank.last_signal = last;
        })
        .await?;
    }
    let mut bank = follow_states(store, stored, bank, states).await?;
    bank.version = stored.version;
    bank.damaged = bank.sum.zip(stored.signals_sum).is_some_and(|(read, written)| read != written);
    Ok(bank)
}

/// The bank with its present settings and the present states of what it holds, without what is new; its version stays. For as long as what is new is read beside.
pub(super) async fn follow_but_signals(store: &Store, stored: &store::Bank, known: &Bank) -> Result<Bank, StoreError> {
    let mut bank = known.clone();
    set_up(store, stored, &mut bank).await?;
    // Its version stays, so these changes are read again with what is new: applied twice in the same order they come to the same.
    follow_states(store, stored, bank, ItemCursor::after(known.version)).await
}

async fn set_up(store: &Store, stored: &store::Bank, bank: &mut Bank) -> Result<(), StoreError> {
    bank.name.clone_from(&stored.name);
    bank.number = stored.number;
    (bank.enabled, bank.enabled_ratio, bank.purpose) = (stored.enabled, stored.enabled_ratio, stored.purpose);
    (bank.max_distance, bank.minimum_quality) = (stored.max_distance, Quality::new(stored.minimum_quality));
    bank.radii.clone_from(&stored.radii);
    bank.disputed = Arc::new(store.items_of_standing(stored, Standing::Disputed).await?.into_iter().collect());
    bank.quarantined = Arc::new(store.items_of_standing(stored, Standing::Quarantined).await?.into_iter().collect());
    Ok(())
}

async fn follow_states(store: &Store, stored: &store::Bank, mut bank: Bank, mut after: ItemCursor) -> Result<Bank, StoreError> {
    loop {
        let page = store.item_changes(stored, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(bank) };
        after = last.at;
        bank = changed(bank, move |bank| {
            for change in &page {
                bank.set(change.at.content_id, change.state);
            }
        })
        .await?;
    }
}

/// Changes a bank on a thread for such work.
async fn changed(mut bank: Bank, change: impl FnOnce(&mut Bank) + Send + 'static) -> Result<Bank, StoreError> {
    let work = move || {
        change(&mut bank);
        bank
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)
}
