//! Following what was decided: decisions in their order, and all attachments that an item stands for.

use super::{Permission, Principal, Review, ReviewError, page_size};
use crate::{
    domain::ids::ReviewItemId,
    store::{Attachment, MadeDecision, Nearest, ReviewItem},
};

/// Some of the attachments that an item stands for, in the order in which they came.
#[derive(Clone, Debug)]
pub struct Attachments {
    pub attachments: Vec<Attachment>,
    /// The number of the last one, where more follow.
    pub next: Option<i64>,
}

/// Some decisions, in the order in which they were made.
#[derive(Clone, Debug)]
pub struct Decisions {
    pub decisions: Vec<MadeDecision>,
    /// The number to go on after: that of the last one, or the one that was asked with.
    pub next: i64,
    /// Whether there are more by now.
    pub more: bool,
}

impl Review {
    /// The attachments that an item stands for, after the one with number `after`; `None` begins with the first. Whoever has come to the end can ask again with the
    /// number of the last one for those that came since.
    ///
    /// # Errors
    /// [`ReviewError::Forbidden`], [`ReviewError::Malformed`], [`ReviewError::NotFound`], or the store's.
    pub async fn attachments(
        &self,
        who: &Principal,
        id: ReviewItemId,
        after: Option<i64>,
        limit: Option<u32>,
    ) -> Result<Attachments, ReviewError> {
        who.require(Permission::Review)?;
        let limit = page_size(limit)?;
        let item = self.store.review_item(who.tenant, id).await?.ok_or(ReviewError::NotFound)?;
        let mut attachments = if after.is_none() { first(&item) } else { Vec::new() };
        // One more than asked for tells whether there is a next page.
        attachments.extend(self.store.review_attachments(who.tenant, id, after.unwrap_or(0), limit + 1).await?);
        let more = attachments.len() > limit as usize;
        attachments.truncate(limit as usize);
        let next = attachments.last().filter(|_| more).map(|last| last.number);
        Ok(Attachments { attachments, next })
    }

    /// The decisions after number `after`, 0 for all.
    ///
    /// # Errors
    /// [`ReviewError::Forbidden`], [`ReviewError::Malformed`], or the store's.
    pub async fn decisions(&self, who: &Principal, after: i64, limit: Option<u32>) -> Result<Decisions, ReviewError> {
        who.require(Permission::Review)?;
        let limit = page_size(limit)?;
        let mut decisions = self.store.review_decisions(who.tenant, after, limit + 1).await?;
        let more = decisions.len() > limit as usize;
        decisions.truncate(limit as usize);
        let next = decisions.last().map_or(after, |last| last.number);
        Ok(Decisions { decisions, next, more })
    }
}

/// The attachment that made the item, which has no row of its own. Where an item of a bank is looked at there is none: the references are of what had matched it.
fn first(item: &ReviewItem) -> Vec<Attachment> {
    if item.subject.is_some() {
        return Vec::new();
    }
    vec![Attachment {
        number: 0,
        item_id: item.item_id.clone(),
        at: Some(item.created_at),
        nearest: Nearest::of(&item.evidence),
        likeness: None,
    }]
}
