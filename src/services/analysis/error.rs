//! Why an attachment could not be looked at. What is wrong with the attachment itself is `unscored`.

use crate::engines::batch::BatchError;

/// Overload and failing machinery; each of them leaves nothing behind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnalysisError {
    /// Some queue on the way is full: try again.
    #[error("every thread for looking at attachments is busy")]
    Overloaded,
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The text is for the log.
    #[error("internal: {0}")]
    Internal(String),
}

impl From<BatchError> for AnalysisError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Full => Self::Overloaded,
            BatchError::Stopped => Self::ShuttingDown,
            BatchError::Failed => Self::Internal("a stage failed; see the log".to_owned()),
        }
    }
}
