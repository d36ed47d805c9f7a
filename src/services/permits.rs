//! Who may have something scored now.
//!
//! There are so many places. A key that has several leaves a third as many free, so that no other key finds the server full because of it, and an account as many as it has of those that its
//! key may have. What is long has no more than three quarters of the places, so that what is quickly answered finds one
//! where no accounts are named. A batch counts as its call's, whatever accounts its parts name; what it
//! takes beyond its first place, so as to go faster, leaves half of what its key may have.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engines::batch::{Flow, Shares, Size};

/// The places.
#[derive(Debug)]
pub struct Permits(Mutex<Shares>);

/// One of them, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    of: Arc<Permits>,
    flow: Flow,
    size: Size,
}

/// Bytes of a text above which it is long: some two slices of a text model's work.
const SHORT_TEXT: usize = 1 << 10;
/// Bytes of a file above which it is long. A smaller one may still hold many pixels; that is known only when it is read.
const SHORT_FILE: usize = 1 << 20;

/// What somebody wants to have looked at, by what is known of it before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Text,
    File,
}

impl Work {
    fn size(self, bytes: usize) -> Size {
        let short = match self {
            Self::Text => SHORT_TEXT,
            Self::File => SHORT_FILE,
        };
        if bytes <= short { Size::Small } else { Size::Large }
    }
}

impl Permits {
    /// Of so many places.
    pub fn new(places: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Shares::new(places as u64))))
    }

    fn lock(&self) -> MutexGuard<'_, Shares> {
        // Sums that are changed together, in code that cannot panic between them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Places that nobody has.
    pub fn free(&self) -> u64 {
        self.lock().free()
    }

    /// A place for the current [`Flow`], now or not at all: a queue would only hide the overload.
    pub fn enter(self: &Arc<Self>, work: Work, bytes: usize) -> Option<Permit> {
        self.take(work.size(bytes), Shares::fits)
    }

    /// One more for a call that has one, so that it goes faster: it leaves half of what its key may have.
    pub fn enter_beside(self: &Arc<Self>, work: Work, bytes: usize) -> Option<Permit> {
        self.take(work.size(bytes), Shares::fits_beside)
    }

    fn take(self: &Arc<Self>, size: Size, fits: impl Fn(&Shares, Flow, u64, Size) -> bool) -> Option<Permit> {
        let (mut shares, flow) = (self.lock(), Flow::current());
        fits(&shares, flow, 1, size).then(|| {
            shares.take(flow, 1, size);
            Permit { of: self.clone(), flow, size }
        })
    }
}

impl Permit {
    /// The same place, as this account's of the same caller; `None` where the account has as many as it leaves of those that its key may have.
    #[must_use]
    pub fn of_account(mut self, account: &str) -> Option<Self> {
        let of = self.of.clone();
        let mut shares = of.lock();
        // Under one lock, so that nobody takes the place meanwhile.
        shares.give_back(self.flow, 1, self.size);
        let account = self.flow.of(account);
        let fits = shares.fits(account, 1, self.size);
        self.flow = if fits { account } else { self.flow };
        shares.take(self.flow, 1, self.size);
        drop(shares);
        fits.then_some(self)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.of.lock().give_back(self.flow, 1, self.size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls of one key that find a place, each with this account.
    async fn enter(permits: &Arc<Permits>, account: Option<&str>, bytes: usize) -> Vec<Permit> {
        let mut all = Vec::new();
        loop {
            let permit = Flow::call("key").scope(async { permits.enter(Work::Text, bytes) }).await;
            let permit = permit.and_then(|permit| match account {
                Some(account) => permit.of_account(account),
                None => Some(permit),
            });
            match permit {
                Some(permit) => all.push(permit),
                None => return all,
            }
        }
    }

    #[tokio::test]
    async fn an_account_leaves_room_for_another_one() {
        let permits = Permits::new(64);
        let hostile = enter(&permits, Some("hostile"), 10).await;
        assert_eq!(hostile.len(), 24);
        let others: Vec<_> = [enter(&permits, Some("another"), 10).await, enter(&permits, Some("third"), 10).await].into();
        assert_eq!([others[0].len(), others[1].len()], [12, 6]);
        assert!(!enter(&permits, Some("ordinary"), 10).await.is_empty());
        drop((hostile, others));
        assert_eq!(permits.free(), 64);
    }

    #[tokio::test]
    async fn batches_leave_room_for_calls_of_their_key() {
        let permits = Permits::new(64);
        let mut batches = Vec::new();
        for _ in 0..8 {
            Flow::call("key")
                .scope(async {
                    batches.push(permits.enter(Work::File, 10).unwrap());
                    batches.extend(std::iter::from_fn(|| permits.enter_beside(Work::File, 10)).take(7));
                })
                .await;
        }
        assert_eq!(batches.len(), 29);
        assert!(enter(&permits, Some("ordinary"), 10).await.len() > 8);
    }

    #[tokio::test]
    async fn long_texts_leave_room_for_short_ones_where_no_account_is_named() {
        let permits = Permits::new(64);
        let long = enter(&permits, None, 100_000).await;
        assert_eq!(long.len(), 36);
        let short = enter(&permits, None, 100).await;
        assert_eq!((short.len(), permits.free()), (12, 16), "some are left for other keys");
    }
}
