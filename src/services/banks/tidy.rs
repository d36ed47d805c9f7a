//! Keeps the banks' indices in few long parts, beside everything else.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Banks;
use crate::{
    domain::ids::BankId,
    engines::matching::{Bank, BankMerge},
};

/// How long a part is kept that a merge replaced: longer than any lookup, so that no lookup is the last to hold it and has to give back its memory.
const KEPT: Duration = Duration::from_secs(1);

/// What tidying up needs.
pub(super) struct Tidier {
    changed: Notify,
    /// Threads of its own, a quarter of the processors, so that lookups have the others; `None` where there are no threads to be had.
    threads: Option<Arc<rayon::ThreadPool>>,
}

impl Tidier {
    pub(super) fn new() -> Self {
        let count = std::thread::available_parallelism().map_or(1, |count| count.get().div_ceil(4));
        let threads = rayon::ThreadPoolBuilder::new().num_threads(count).thread_name(|at| format!("tidy-{at}")).build();
        Self { changed: Notify::new(), threads: threads.ok().map(Arc::new) }
    }

    /// There may be something to do.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    /// The next merge of a bank; `None` when it is tidy.
    async fn merge(&self, bank: Arc<Bank>) -> Option<BankMerge> {
        let threads = self.threads.clone();
        let work = move || match threads {
            Some(threads) => threads.install(|| bank.merge()),
            None => bank.merge(),
        };
        // A panic there is told by its own hook, and the bank stays as it is.
        tokio::task::spawn_blocking(work).await.unwrap_or(None)
    }
}

impl Banks {
    /// Tidies up whenever something changed, until `stop`.
    pub(super) async fn keep_tidy(&self, stop: &CancellationToken) {
        while stop.run_until_cancelled(self.tidier.changed.notified()).await.is_some() {
            while !stop.is_cancelled() && self.tidy_one().await {}
        }
    }

    /// Makes the next merge and takes it over; false when all banks are tidy.
    async fn tidy_one(&self) -> bool {
        let banks: Vec<(BankId, Arc<Bank>)> = self.seen.lock().await.banks.iter().map(|(id, held)| (*id, held.bank.clone())).collect();
        for (id, old) in banks {
            if let Some(merge) = self.tidier.merge(old.clone()).await {
                self.adopt(id, merge).await;
                tokio::spawn(async move {
                    tokio::time::sleep(KEPT).await;
                    tokio::task::spawn_blocking(move || drop(old));
                });
                return true;
            }
        }
        false
    }

    /// Puts a merge into force. One that came too late is dropped: the next is made of what is there by now.
    async fn adopt(&self, id: BankId, merge: BankMerge) {
        let mut seen = self.seen.lock().await;
        let Some(held) = seen.banks.get_mut(&id) else { return };
        let mut bank = (*held.bank).clone();
        if bank.adopt(merge) {
            held.bank = Arc::new(bank);
            self.publish(&seen);
        }
    }
}
