//! The integration tests: one file per concern.

mod classify;
mod decode;
