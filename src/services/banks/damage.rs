//! Banks whose stored signals are not those that were written.
//!
//! Two things can be damaged, and they are told apart. What lookups search may have been *read* damaged: then it is not known what they miss, and every attachment that is
//! looked up says so (`technology_failed`, which policy sends to review). Or the database is damaged on *disk* beside an index that is sound: lookups find everything, and
//! would not any more after a start without index files. Either is in the log, in `/readyz`, in a metric and in the ledger.
//!
//! A scrub reads all signals of all banks, slowly, from the start on and then every `store.scrub_interval_s`, and compares with each bank's sum.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future;
use tokio_util::sync::CancellationToken;

use super::Banks;
use crate::{
    domain::{
        event::{DamagedPlace, EventBody},
        evidence::{Unscored, UnscoredReason},
        ids::TenantId,
        score::Technology,
        signal::SignalType,
        time::Timestamp,
    },
    engines::matching::Snapshot,
    services::health::Degraded,
    store::{self, Store, StoreError},
    telemetry::metric,
};

/// Rows that are read at a time: some milliseconds.
const PAGE: u32 = 4096;
/// For each moment of reading so many are paused: a scrub takes at most a hundredth of one processor and of the disk.
const PAUSES: u32 = 99;
/// How often what was found is written down, and when the first scrub begins.
const ROUND: Duration = Duration::from_secs(2);

/// What is known of one damage.
#[derive(Clone, Debug)]
struct Damage {
    tenant: TenantId,
    name: String,
    version: i64,
    since: Timestamp,
    /// Whether the ledger has it.
    told: bool,
}

/// All known damage, by bank and place.
#[derive(Debug, Default)]
pub(super) struct Damages(Mutex<BTreeMap<(i64, DamagedPlace), Damage>>);

impl Damages {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(i64, DamagedPlace), Damage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of how a bank is in a place.
    pub fn note(&self, tenant: TenantId, (number, name, version): (i64, &str, i64), place: DamagedPlace, damaged: bool) {
        let labels = [("bank", number.to_string()), ("place", place.as_str().to_owned())];
        let mut known = self.lock();
        if !damaged {
            if known.remove(&(number, place)).is_some() {
                metrics::gauge!(metric::BANK_DAMAGED, &labels).set(0.0);
                tracing::info!(bank = name, place = place.as_str(), "the bank is sound again");
            }
            return;
        }
        metrics::gauge!(metric::BANK_DAMAGED, &labels).set(1.0);
        known.entry((number, place)).or_insert_with(|| {
            tracing::error!(bank = name, place = place.as_str(), "{}", place.text());
            Damage { tenant, name: name.to_owned(), version, since: Timestamp::now(), told: false }
        });
    }

    /// Forgets banks that are gone.
    fn retain(&self, live: &BTreeSet<i64>) {
        self.lock().retain(|(number, _), _| live.contains(number));
    }

    /// For `/readyz`, which everybody may read: numbers instead of names.
    fn degraded(&self) -> Vec<Degraded> {
        let one = |((number, place), damage): (&(i64, DamagedPlace), &Damage)| Degraded {
            what: format!("bank number {number}"),
            why: place.text().to_owned(),
            since: damage.since,
        };
        self.lock().iter().map(one).collect()
    }

    /// What the ledger does not have yet.
    fn untold(&self) -> Vec<((i64, DamagedPlace), Damage)> {
        self.lock().iter().filter(|(_, damage)| !damage.told).map(|(key, damage)| (*key, damage.clone())).collect()
    }

    fn told(&self, key: (i64, DamagedPlace)) {
        if let Some(damage) = self.lock().get_mut(&key) {
            damage.told = true;
        }
    }
}

/// What a lookup in damaged banks does not see, by technology; of a text only its digests are looked up. Banks are not named: not everybody may see them.
pub(in crate::services) fn unseen(banks: &Snapshot, only_digests: bool) -> Vec<Unscored> {
    let damaged = banks.banks().iter().filter(|bank| bank.enabled && bank.damaged);
    let kinds: BTreeSet<_> = damaged.flat_map(|bank| bank.held()).map(|(kind, _)| kind).collect();
    let unscored = |kind: SignalType| Unscored {
        technology: Technology::named(kind.as_str()),
        reason: UnscoredReason::TechnologyFailed,
        detail: "stored signals of a bank are damaged: what a match with them would have found is not known".to_owned(),
    };
    kinds.into_iter().filter(|kind| !only_digests || kind.is_exact()).map(unscored).collect()
}

/// Whether all signals of a bank are stored as they were written, or `None` when its sum is not known yet; and the sum that was found. For each moment of reading it
/// pauses for `pauses` of them.
///
/// # Errors
/// When the store cannot be read.
pub async fn is_sound(store: &Store, bank: &store::Bank, pauses: u32) -> Result<(Option<bool>, i64), StoreError> {
    let (mut after, mut sum) = (0, 0_i64);
    loop {
        let started = Instant::now();
        let Some(part) = store.sum_signals(bank, after, PAGE).await? else { break };
        (after, sum) = (part.last, sum.wrapping_add(part.sum));
        tokio::time::sleep(started.elapsed() * pauses).await;
    }
    Ok((bank.signals_sum.map(|expected| expected == sum), sum))
}

/// Does `work` after a round, and then `every` after it ended, or a round after it failed.
async fn again<F: Future<Output = Result<(), StoreError>>>(every: Duration, trouble: &str, mut work: impl FnMut() -> F) {
    let (mut pause, mut failing) = (ROUND, false);
    loop {
        tokio::time::sleep(pause).await;
        let done = work().await;
        if let Err(error) = &done
            && !failing
        {
            tracing::error!(%error, "{trouble}");
        }
        failing = done.is_err();
        pause = if failing { ROUND } else { every };
    }
}

impl Banks {
    /// What is damaged.
    pub fn damaged(&self) -> Vec<Degraded> {
        self.damages.degraded()
    }

    /// Scrubs from now on and every `every`, and writes damage down, until `stop`. `None` does not scrub.
    pub async fn keep_sound(self: Arc<Self>, store: Store, every: Option<Duration>, stop: CancellationToken) {
        let scrubbed = async {
            if let Some(every) = every {
                again(every, "banks cannot be scrubbed for damage; it is tried again", || self.scrub(&store)).await;
            }
        };
        // Also while a scrub goes on, which may take hours.
        let written = again(ROUND, "the ledger cannot be told of damage; it is tried again", || self.write_down(&store));
        stop.run_until_cancelled(future::join(scrubbed, written)).await;
    }

    /// Reads all signals of all banks once, and compares.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn scrub(&self, store: &Store) -> Result<(), StoreError> {
        let banks = store.all_banks().await?;
        self.damages.retain(&banks.iter().map(|bank| bank.number).collect());
        for bank in banks {
            let (sound, sum) = is_sound(store, &bank, PAUSES).await?;
            // Renamed or deleted meanwhile: a deleted one loses its signals, and the next scrub looks at the others.
            if store.bank(bank.tenant, &bank.name).await?.is_none_or(|now| now.number != bank.number) {
                continue;
            }
            match sound {
                None => store.begin_sum(&bank, sum).await?,
                Some(sound) => self.damages.note(bank.tenant, (bank.number, &bank.name, bank.version), DamagedPlace::Stored, !sound),
            }
        }
        Ok(())
    }

    /// Writes into the ledger what it does not have.
    async fn write_down(&self, store: &Store) -> Result<(), StoreError> {
        for ((number, place), damage) in self.damages.untold() {
            let body = EventBody::BankDamaged { bank: damage.name, bank_version: damage.version, place };
            store.record(damage.tenant, body, damage.since).await?;
            self.damages.told((number, place));
        }
        Ok(())
    }
}
