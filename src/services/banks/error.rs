//! Why a bank or an item was not changed, or is not shown.

use crate::{domain::time::Timestamp, services::access::AccessError, store::StoreError};

/// Every error of curation. No text holds a signal.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BankError {
    /// Use a key with the role `curator` (to match: `scorer`) or `admin`.
    #[error(transparent)]
    Forbidden(#[from] AccessError),
    /// The bank has a list of keys, and this one is not on it. Ask whoever looks after the bank.
    #[error("this key is not on the list of the bank {0}")]
    NotAdmitted(String),
    /// There is none of this name or id for this tenant; what is missing.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Another bank has the name.
    #[error("there is a bank of this name already")]
    Duplicate,
    /// Correct the request.
    #[error("{0}")]
    Malformed(String),
    /// An import holds the bank. Try again when it is finished; one that died is given up at this time.
    #[error("an import into this bank is under way; try again later (at {until} at the latest, unless it goes on)")]
    Busy { until: Timestamp },
    /// The store failed otherwise.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for BankError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(what) => Self::NotFound(what),
            StoreError::Duplicate(_) => Self::Duplicate,
            StoreError::Invalid(text) => Self::Malformed(text),
            StoreError::ImportInProgress { until } => Self::Busy { until },
            error => Self::Store(error),
        }
    }
}
