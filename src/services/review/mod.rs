//! The review queue, for the people who decide.
//!
//! Everything that `/score` routes to review waits here. A reviewer claims an item, which is a lease that nobody else can take while it lasts,
//! looks at it in the provider's own system by its `item_id`, and decides; the decision is final. Each step is an event in the ledger, in
//! the name of the key that took it.
//!
//! One decision can stand for many attachments: those that matched the same while the item waited, and the copies that come once it is decided
//! (`services::scoring` says what a copy is). All of them can be listed, and decisions can be followed in the order in which they were made.
//!
//! [`Review`] is thin: permission, limits and words for people are here, the transactions are the store's.
//!
//! ```
//! # use std::{sync::Arc, time::Duration};
//! # use nightlight::{services::{access::Access, review::{Listing, Review}}, store::{Store, StoreOptions}};
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! # let folder = tempfile::tempdir().unwrap();
//! # let store = Store::open(StoreOptions::new(folder.path().join("nightlight.db"))).await?;
//! let review = Review::new(store.clone(), Duration::from_secs(15 * 60));
//! let reviewer = Access::new(store, false).authenticate(None).await.unwrap();
//! let page = review.list(&reviewer, Listing::default()).await?;
//! assert!(page.items.is_empty() && page.next.is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

mod error;
mod follow;

use std::{sync::Arc, time::Duration};

pub use self::{
    error::ReviewError,
    follow::{Attachments, Decisions},
};
use super::{
    access::{Permission, Principal},
    banks::Banks,
    monitor::Monitor,
    scoring::Pseudonyms,
};
use crate::{
    domain::{
        curation::FeedbackRules,
        decision::{Category, Verdict},
        ids::{ReviewItemId, TenantId},
        time::Timestamp,
    },
    store::{NewDecision, ReviewCursor, ReviewFilter, ReviewItem, ReviewState, Store},
};

/// Items of a page when nobody says.
pub const DEFAULT_PAGE: u32 = 50;
/// Most items of a page: an item with all its evidence has some kilobytes.
pub const LONGEST_PAGE: u32 = 200;
/// Characters of a note code: a code from the provider's list, not a place for text.
const LONGEST_NOTE_CODE: usize = 64;

/// Which items to list.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// `None` for all queues.
    pub queue: Option<String>,
    pub state: ReviewState,
    pub category: Option<Category>,
    /// 1..=[`LONGEST_PAGE`]; `None` for [`DEFAULT_PAGE`].
    pub limit: Option<u32>,
    /// The `next` of the page before.
    pub after: Option<ReviewCursor>,
}

/// Some items of the queue, most urgent first.
#[derive(Clone, Debug)]
pub struct Page {
    pub items: Vec<ReviewItem>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<ReviewCursor>,
}

/// The review queue of one store.
#[derive(Clone)]
pub struct Review {
    store: Store,
    lease: Duration,
    doubles: Option<Doubles>,
    monitor: Option<Arc<Monitor>>,
    feedback: Option<(FeedbackRules, Arc<Banks>)>,
}

/// Which decided items come back for a second, blind look by another reviewer: a keyed hash draws them, so nobody can foresee which.
#[derive(Clone)]
pub struct Doubles {
    pub pseudonyms: Pseudonyms,
    /// The share that comes back, in 0..=1.
    pub rate: f64,
}

impl Doubles {
    fn draws(&self, tenant: TenantId, id: ReviewItemId) -> bool {
        self.pseudonyms.uniform(tenant, "double", id.0.as_bytes()) < self.rate
    }
}

impl Review {
    /// `lease` is how long a claim lasts; its holder may claim again to renew it.
    pub const fn new(store: Store, lease: Duration) -> Self {
        Self { store, lease, doubles: None, monitor: None, feedback: None }
    }

    /// Has a share of the decided items come back to another reviewer.
    #[must_use]
    pub fn with_doubles(self, doubles: Doubles) -> Self {
        Self { doubles: Some(doubles), ..self }
    }

    /// Lets the monitor of this process know of each decision at once; without one it is found in the monitor's next round.
    #[must_use]
    pub fn watched_by(self, monitor: Arc<Monitor>) -> Self {
        Self { monitor: Some(monitor), ..self }
    }

    /// Has verdicts move the items of banks that had matched; `banks` knows of it before the decision is answered.
    #[must_use]
    pub fn with_feedback(self, rules: FeedbackRules, banks: Arc<Banks>) -> Self {
        Self { feedback: Some((rules, banks)), ..self }
    }

    /// A page of the queue.
    ///
    /// # Errors
    /// [`ReviewError::Forbidden`], [`ReviewError::Malformed`], or the store's.
    pub async fn list(&self, who: &Principal, listing: Listing) -> Result<Page, ReviewError> {
        who.require(Permission::Review)?;
        let limit = page_size(listing.limit)?;
        let Listing { queue, state, category, after, .. } = listing;
        // One more than asked for tells whether there is a next page.
        let filter = ReviewFilter { queue, state, category, claimable_at: None, reader: Some(who.key), limit: limit + 1, after };
        let mut items = self.store.review_items(who.tenant, filter).await?;
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = if more { items.last().map(ReviewItem::cursor) } else { None };
        Ok(Page { items, next })
    }

    /// One item.
    ///
    /// # Errors
    /// [`ReviewError::Forbidden`], [`ReviewError::NotFound`], or the store's.
    pub async fn item(&self, who: &Principal, id: ReviewItemId) -> Result<ReviewItem, ReviewError> {
        who.require(Permission::Review)?;
        self.store.review_item(who.tenant, id).await?.ok_or(ReviewError::NotFound)
    }

    /// Takes an item for the lease's time, or renews one's own claim.
    ///
    /// # Errors
    /// [`ReviewError::ClaimedByAnother`], [`ReviewError::AlreadyDecided`], and those of [`item`](Self::item).
    pub async fn claim(&self, who: &Principal, id: ReviewItemId) -> Result<ReviewItem, ReviewError> {
        who.require(Permission::Review)?;
        Ok(self.store.claim(who.tenant, id, who.key, Timestamp::now(), self.lease).await?)
    }

    /// Gives one's own claim back.
    ///
    /// # Errors
    /// [`ReviewError::NotClaimed`], and those of [`claim`](Self::claim).
    pub async fn release(&self, who: &Principal, id: ReviewItemId) -> Result<ReviewItem, ReviewError> {
        who.require(Permission::Review)?;
        Ok(self.store.release(who.tenant, id, who.key, Timestamp::now()).await?)
    }

    /// Decides an item that one holds. Final.
    ///
    /// # Errors
    /// [`ReviewError::Malformed`] for a note code that is none, and those of [`release`](Self::release).
    pub async fn decide(
        &self,
        who: &Principal,
        id: ReviewItemId,
        verdict: Verdict,
        note_code: Option<String>,
    ) -> Result<ReviewItem, ReviewError> {
        who.require(Permission::Review)?;
        if note_code.as_deref().is_some_and(|code| !is_code(code)) {
            return Err(ReviewError::Malformed(format!("note_code must be 1 to {LONGEST_NOTE_CODE} of a-z, 0-9, '_', '-' and '.'")));
        }
        let again = self.doubles.as_ref().is_some_and(|doubles| doubles.draws(who.tenant, id)).then(ReviewItemId::new);
        let rules = self.feedback.as_ref().map(|(rules, _)| *rules);
        let decision = NewDecision { reviewer: who.key, verdict, note_code, again, feedback: rules };
        let decided = self.store.decide(who.tenant, id, decision, Timestamp::now()).await?;
        if let Some((_, banks)) = &self.feedback
            && let Err(error) = banks.refresh(&self.store).await
        {
            tracing::warn!(%error, "the banks could not be refreshed after a decision; their next round does it");
        }
        if let Some(monitor) = &self.monitor {
            // The decision stands, whatever becomes of this: the monitor's next round finds it too.
            monitor.look().await;
        }
        Ok(decided)
    }
}

impl Review {
    /// Puts a copy of an item into the queue whose right verdict is known, to measure reviewers. They cannot tell it from another item, and
    /// whoever decided the original does not get it.
    ///
    /// # Errors
    /// [`ReviewError::Malformed`] for the truth `uncertain`, and those of [`item`](Self::item).
    pub async fn add_gold(&self, who: &Principal, original: ReviewItemId, truth: Verdict) -> Result<ReviewItemId, ReviewError> {
        who.require(Permission::Administer)?;
        if truth == Verdict::Uncertain {
            return Err(ReviewError::Malformed("the truth of a gold item is confirmed or rejected".to_owned()));
        }
        Ok(self.store.add_gold(who.tenant, original, truth, Timestamp::now()).await?)
    }
}

/// How many entries of a page are asked for.
fn page_size(limit: Option<u32>) -> Result<u32, ReviewError> {
    let limit = limit.unwrap_or(DEFAULT_PAGE);
    if (1..=LONGEST_PAGE).contains(&limit) {
        Ok(limit)
    } else {
        Err(ReviewError::Malformed(format!("limit must lie in 1..={LONGEST_PAGE}")))
    }
}

/// Whether it can be an entry of a list and cannot be a sentence: free text about people must not come in by this door.
fn is_code(text: &str) -> bool {
    let of_a_code = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.');
    (1..=LONGEST_NOTE_CODE).contains(&text.len()) && text.bytes().all(of_a_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_code_is_a_code() {
        assert!(is_code("age_unclear-2.1"));
        for text in ["", "two words", "Grüße", "UPPER", &"a".repeat(65)] {
            assert!(!is_code(text), "{text:?}");
        }
    }
}
