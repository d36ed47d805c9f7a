//! What a server does for its banks by itself.

use std::{collections::HashMap, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{BankError, admission, curation::Curation, flood};
use crate::{domain::time::Timestamp, store::Waiting};

/// How often items are looked for whose time is over, and hits are written down.
const SWEEP: Duration = Duration::from_millis(500);
/// How often banks are looked for whose items wait for admission: whoever adds them examines them at once, so this is for what another process left.
const ADMISSION: Duration = Duration::from_secs(2);

impl Curation {
    /// Keeps banks in order until `stop`: puts items back whose time out of force is over, within half a second, writes down what matched, quarantines what
    /// suddenly matches everywhere, and erases what deleted banks have left.
    pub async fn keep(self, stop: CancellationToken) {
        let (mut failing, mut forgotten) = (false, Timestamp::from_micros(0));
        while stop.run_until_cancelled(tokio::time::sleep(SWEEP)).await.is_some() {
            let kept = async {
                self.sweep(Timestamp::now()).await?;
                if forgotten < Timestamp::now().hour() {
                    forgotten = Timestamp::now().hour();
                    let before = forgotten.micros() - i64::try_from(self.flood.history().as_micros()).unwrap_or(i64::MAX);
                    self.store.forget_hits(Timestamp::from_micros(before)).await?;
                }
                Ok::<_, BankError>(self.store.purge_deleted_banks().await?)
            };
            // A purge of millions of rows ends at the next chunk when the server stops: the rest goes after the next start.
            let Some(kept) = stop.run_until_cancelled(kept).await else { break };
            if let Err(error) = &kept
                && !failing
            {
                tracing::error!(%error, "banks cannot be kept in order; it is tried again");
            }
            failing = kept.is_err();
        }
        if let Err(error) = self.sweep(Timestamp::now()).await {
            tracing::error!(%error, "the last hits were not written down");
        }
    }

    /// One round of [`keep`](Self::keep) without erasing.
    ///
    /// # Errors
    /// The store's; what was not done is done in the next round.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), BankError> {
        let back = self.store.end_disabled(now).await? > 0;
        if flood::round(self, self.flood, now).await? || back {
            self.in_force().await;
        }
        Ok(())
    }

    /// Examines what waits for admission until `stop`: what an import of another process brought that did not live to examine it, and what waits in banks
    /// whose tests were changed.
    pub async fn keep_admitting(self, stop: CancellationToken) {
        let (mut looked, mut failing) = (HashMap::new(), false);
        while stop.run_until_cancelled(tokio::time::sleep(ADMISSION)).await.is_some() {
            let Some(admitted) = stop.run_until_cancelled(self.admit_all(&mut looked)).await else { return };
            if let Err(error) = &admitted
                && !failing
            {
                tracing::error!(%error, "what waits for admission cannot be examined; it is tried again");
            }
            failing = admitted.is_err();
        }
    }

    /// One round of [`keep_admitting`](Self::keep_admitting); `looked` is how the banks were when they were examined. How many items moved.
    ///
    /// # Errors
    /// The store's.
    pub async fn admit_all(&self, looked: &mut HashMap<i64, Waiting>) -> Result<u64, BankError> {
        let mut moved = 0;
        for waiting in self.store.waiting_for_admission().await? {
            if looked.get(&waiting.number) != Some(&waiting) {
                moved += admission::examine_waiting(self, waiting.tenant, &waiting.bank).await?;
                looked.insert(waiting.number, waiting);
            }
        }
        if moved > 0 {
            self.in_force().await;
        }
        Ok(moved)
    }

    /// Erases what deleted banks have left; how many rows. A server does so by itself.
    ///
    /// # Errors
    /// The store's.
    pub async fn purge(&self) -> Result<u64, BankError> {
        Ok(self.store.purge_deleted_banks().await?)
    }

    /// Waits until a change is in force here. It is durable already, so a failure is only late.
    pub(super) async fn in_force(&self) {
        if let Some(banks) = &self.banks
            && let Err(error) = banks.refresh(&self.store).await
        {
            tracing::warn!(%error, "the banks could not be refreshed after a change; their next round does it");
        }
    }
}
