//! Keeps the banks' indices in few long parts, beside everything else.

use std::{collections::HashSet, io, sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Banks,
    folder::{IndexFolder, LAG, Mark},
};
use crate::{
    domain::ids::BankId,
    engines::matching::{Bank, BankMerge},
    store::{Store, StoreError},
};

/// How long a part is kept that a merge replaced: longer than any lookup, so that no lookup is the last to hold it and has to give back its memory.
const KEPT: Duration = Duration::from_secs(1);

/// Why an index could not be written.
#[derive(Debug, thiserror::Error)]
enum SaveError {
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the thread that wrote: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

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
    /// Tidies up whenever something changed, and keeps the files, until `stop`.
    pub(super) async fn keep_tidy(&self, store: &Store, stop: &CancellationToken) {
        let mut failing = false;
        // Without a change, files may still be due.
        while stop.run_until_cancelled(tokio::time::timeout(LAG, self.tidier.changed.notified())).await.is_some() {
            while !stop.is_cancelled() && self.tidy_one().await {}
            if !stop.is_cancelled() {
                self.save(store, stop, false, &mut failing).await;
            }
        }
        self.save(store, stop, true, &mut failing).await;
    }

    /// Writes what is due of the files, and removes those that are of no bank any more; at the end (`last`) only what is quick.
    async fn save(&self, store: &Store, stop: &CancellationToken, last: bool, failing: &mut bool) {
        let Some(folder) = &self.folder else { return };
        let saved = self.save_to(store, folder, stop, last).await;
        if let Err(error) = &saved
            && !*failing
        {
            tracing::warn!(error = %error, "indices cannot be written; it is tried again, and without them the next start builds them anew");
        }
        *failing = saved.is_err();
    }

    async fn save_to(&self, store: &Store, folder: &Arc<IndexFolder>, stop: &CancellationToken, last: bool) -> Result<(), SaveError> {
        let (banks, complete) = {
            let seen = self.seen.lock().await;
            let banks: Vec<(BankId, Arc<Bank>)> = seen.banks.iter().map(|(id, held)| (*id, held.bank.clone())).collect();
            (banks, seen.loading.is_empty())
        };
        let live: HashSet<BankId> = banks.iter().map(|(id, _)| *id).collect();
        for (id, bank) in banks {
            if !folder.wants(id, &bank, last) {
                continue;
            }
            let Some(change) = store.newest_change_of(id, bank.version).await? else { continue };
            let (folder, stop) = (folder.clone(), stop.clone());
            let mark = Mark { bank: id, change: change.seq, at: change.at.micros(), sum: bank.sum };
            tokio::task::spawn_blocking(move || folder.save(mark, &bank, &stop)).await??;
        }
        if complete && !last && folder.is_stale(&live) {
            let folder = folder.clone();
            tokio::task::spawn_blocking(move || folder.sweep(&live)).await??;
        }
        Ok(())
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
