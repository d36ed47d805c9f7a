//! The way of one attachment: the only place that knows the order of the stages.

mod answer;
mod idempotency;
mod pseudonyms;
mod request;

pub use answer::{MatchAnswer, ModelVersions, OperatingPointAnswer, ScoreAnswer, ScoreEntry, UnscoredAnswer, Versions};
pub use pseudonyms::Pseudonyms;
pub use request::{ScoreError, ScoreRequest, Scored};
