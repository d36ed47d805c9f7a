//! Whose work something is.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

tokio::task_local! {
    static FLOW: Flow;
}

/// Whose work an item is: queues serve callers alike, and of one caller its parties (accounts) alike, whatever each of them sends. A provider has one key, and the hostile
/// uploader sits behind it; that is why there are two levels.
///
/// It belongs to the asynchronous task that does the work, as a span does, so that every queue on the way knows it and no function in between carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    pub(super) caller: u64,
    pub(super) party: u64,
}

impl Flow {
    /// A party of this caller that has nobody beside it: a call of which no account is known.
    pub fn call(caller: impl std::hash::Hash) -> Self {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        // No account's number is one of these, but for one in 2^64.
        Self { caller: number(caller), party: CALLS.fetch_add(1, Ordering::Relaxed) }
    }

    /// All that this party of the same caller does, in however many calls.
    #[must_use]
    pub fn of(self, party: impl std::hash::Hash) -> Self {
        Self { party: number(("party", party)), ..self }
    }

    /// Runs `work` as this flow's.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        FLOW.scope(self, work).await
    }

    /// The same on a thread of its own.
    pub(super) fn scope_blocking<T>(self, work: impl FnOnce() -> T) -> T {
        FLOW.sync_scope(self, work)
    }

    /// That of the task that asks; one of its own for each item of work that nobody has named.
    pub fn current() -> Self {
        FLOW.try_with(|flow| *flow).unwrap_or_else(|_| Self::call(()))
    }
}

/// Keyed, so that nobody can choose an account's name to meet another's number.
fn number(of: impl std::hash::Hash) -> u64 {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    KEY.hash_one(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flow_is_the_tasks_and_an_unnamed_one_is_alone() {
        let account = Flow::call("key").of("account");
        assert_eq!(account, Flow::call("key").of("account"));
        assert_ne!(account, Flow::call("another key").of("account"));
        assert_ne!(Flow::call("key"), Flow::call("key"), "each call is a party");
        assert_eq!(account.scope(async { Flow::current() }).await, account);
        assert_ne!(Flow::current(), Flow::current());
    }
}
