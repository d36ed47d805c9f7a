//! Why a step of review was not taken.

use crate::{domain::time::Timestamp, services::access::AccessError, store::StoreError};

/// Every error of review.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReviewError {
    /// Use a key with the role `reviewer` or `admin`.
    #[error(transparent)]
    Forbidden(#[from] AccessError),
    /// Correct the request.
    #[error("{0}")]
    Malformed(String),
    /// There is no such item for this tenant.
    #[error("there is no such review item")]
    NotFound,
    /// Take another item, or wait.
    #[error("the item is held by another reviewer until {until}")]
    ClaimedByAnother { until: Timestamp },
    /// Take another item: a second look is another reviewer's.
    #[error("this item is for another reviewer; take another one")]
    Reserved,
    /// Claim the item first.
    #[error("you do not hold this item, or your claim has expired; claim it first")]
    NotClaimed,
    /// Decisions are final here; an objection is an appeal.
    #[error("the item is already decided; an objection is an appeal")]
    AlreadyDecided,
    /// The store failed otherwise.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for ReviewError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(_) => Self::NotFound,
            StoreError::ClaimedByAnother { until } => Self::ClaimedByAnother { until },
            StoreError::Reserved => Self::Reserved,
            StoreError::NotClaimed => Self::NotClaimed,
            StoreError::AlreadyDecided => Self::AlreadyDecided,
            error => Self::Store(error),
        }
    }
}
