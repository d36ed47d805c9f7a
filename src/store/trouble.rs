//! What keeps the writer from writing, and what waits in memory meanwhile.
//!
//! A clean attachment leaves counters and nothing else. Nobody waits for those, so while the disk is full or another process holds the database they are
//! kept here and written with the first transaction that succeeds; a crash before it takes them. What must be durable is refused.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{counters::CounterKey, error::Hindrance};
use crate::{domain::time::Timestamp, telemetry::metric};

/// Counters that wait: some ten megabytes. A day's are a few thousand.
const MOST_WAITING: usize = 100_000;

/// Why nothing can be written, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub hindrance: Hindrance,
    pub since: Timestamp,
}

/// Sums by counter.
pub(super) type Sums = BTreeMap<CounterKey, i64>;

/// The writer's state, for whoever asks.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    current: Mutex<Option<Trouble>>,
    waiting: Mutex<Sums>,
}

impl Troubles {
    fn current(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, Sums> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What keeps the writer from writing.
    pub fn trouble(&self) -> Option<Trouble> {
        *self.current()
    }

    /// A transaction of so many units failed.
    pub fn began(&self, hindrance: Hindrance, units: u64) {
        metrics::counter!(metric::STORE_REFUSED_TOTAL, "cause" => hindrance.as_str()).increment(units);
        metrics::gauge!(metric::STORE_WRITABLE).set(0.0);
        let mut current = self.current();
        if current.is_none_or(|trouble| trouble.hindrance != hindrance) {
            tracing::error!(cause = %hindrance, "nothing can be written: what must be is refused, the rest is answered; it is tried again every second");
        }
        let since = current.map_or_else(Timestamp::now, |trouble| trouble.since);
        *current = Some(Trouble { hindrance, since });
    }

    /// A transaction was written.
    pub fn ended(&self) {
        metrics::gauge!(metric::STORE_WRITABLE).set(1.0);
        if let Some(Trouble { since, .. }) = self.current().take() {
            tracing::info!(%since, "the database is written again");
        }
    }

    /// Keeps counters for later.
    pub fn keep(&self, sums: impl IntoIterator<Item = (CounterKey, i64)>) {
        let mut waiting = self.waiting();
        let mut lost = 0;
        for (key, count) in sums {
            if waiting.len() >= MOST_WAITING && !waiting.contains_key(&key) {
                lost += count.unsigned_abs();
                continue;
            }
            let sum = waiting.entry(key).or_default();
            *sum = sum.saturating_add(count);
        }
        if lost > 0 {
            metrics::counter!(metric::COUNTS_LOST_TOTAL).increment(lost);
        }
    }

    /// Takes what waits, to write it.
    pub fn take(&self) -> Sums {
        std::mem::take(&mut *self.waiting())
    }

    /// How many counters wait.
    pub fn waits(&self) -> usize {
        self.waiting().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{ids::TenantId, score::Technology},
        store::CounterIncrement,
    };

    fn counter(bin: u32) -> (CounterKey, i64) {
        let (hour, technology) = (Timestamp::from_micros(0), Technology::named("pdq"));
        CounterKey::new(
            TenantId::DEFAULT,
            CounterIncrement { hour, technology, label: "match".into(), slice: "image".into(), bin, count: 2 },
        )
    }

    #[test]
    fn the_first_cause_keeps_its_time_until_something_is_written() {
        let troubles = Troubles::default();
        troubles.began(Hindrance::DiskFull, 1);
        let first = troubles.trouble().unwrap();
        troubles.began(Hindrance::Locked, 1);
        assert_eq!(troubles.trouble().unwrap(), Trouble { hindrance: Hindrance::Locked, since: first.since });
        troubles.ended();
        assert_eq!(troubles.trouble(), None);
    }

    #[test]
    fn counters_wait_in_bounded_memory() {
        let troubles = Troubles::default();
        troubles.keep((0..MOST_WAITING as u32 + 10).map(counter));
        troubles.keep([counter(0)]);
        let waiting = troubles.take();
        assert_eq!((waiting.len(), waiting[&counter(0).0]), (MOST_WAITING, 4));
        assert_eq!(troubles.waits(), 0);
    }
}
