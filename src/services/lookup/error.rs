//! Why there is no hash or no match.

use std::time::Duration;

use crate::{
    engines::{batch::BatchError, media::DecodeError},
    outbound::OutboundError,
};

/// Every error of a lookup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// There is no such hash of these bytes: send a sound picture of a supported type.
    #[error("{0}")]
    Picture(String),
    /// A sound picture, too small for the hash: only its digests tell.
    #[error("{0}")]
    TooSmall(String),
    /// The bytes are of no type that is decoded: there are only their digests.
    #[error("{0}")]
    UnsupportedMedia(String),
    /// The type is decoded, and not this part of it.
    #[error("{0}")]
    UnsupportedFeature(String),
    /// The picture or the attachment is over a limit that the text names.
    #[error("{0}")]
    TooLarge(String),
    /// The content at a URL was not to be had.
    #[error("Failed to fetch URL: {0}")]
    Fetch(OutboundError),
    /// Every thread is busy: try again.
    #[error("every thread for such work is busy")]
    Overloaded,
    /// The key looked up so many different hashes near one item that it is not answered any more.
    #[error(
        "this key looked up more different hashes near one item of a bank than matching needs, as somebody does who wants to find out the item's hash; lookups of hashes by this key are \
         stopped for {} s. Files are looked up and scored all the same: send the file, or have this server hash it. If you hash files yourself, ask the operator to raise \
         matching.near_queries_stop, or to let this key curate the bank", retry_after.as_secs().max(1)
    )]
    Stopped { retry_after: Duration },
    #[error("the deadline passed before this was done")]
    Deadline,
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The text is for the log.
    #[error("internal: {0}")]
    Internal(String),
}

impl From<OutboundError> for LookupError {
    fn from(error: OutboundError) -> Self {
        match error {
            OutboundError::TooLarge { .. } => Self::TooLarge(error.to_string()),
            error => Self::Fetch(error),
        }
    }
}

impl From<DecodeError> for LookupError {
    fn from(error: DecodeError) -> Self {
        let text = error.to_string();
        match error {
            DecodeError::TooManyBytes { .. }
            | DecodeError::TooLarge { .. }
            | DecodeError::TooMuchWork { .. }
            | DecodeError::TooMuchMemory { .. } => Self::TooLarge(text),
            DecodeError::Busy { .. } => Self::Overloaded,
            DecodeError::Deadline { .. } => Self::Deadline,
            DecodeError::UnsupportedType(_) => Self::UnsupportedMedia(text),
            DecodeError::UnsupportedFeature { .. } => Self::UnsupportedFeature(text),
            DecodeError::Empty | DecodeError::Malformed { .. } | DecodeError::Missing { .. } => Self::Picture(text),
        }
    }
}

impl From<BatchError> for LookupError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Full => Self::Overloaded,
            BatchError::Stopped => Self::ShuttingDown,
            BatchError::Failed => Self::Internal("a stage failed; see the log".to_owned()),
        }
    }
}
