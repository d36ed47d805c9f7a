//! The integration tests: one file per concern.

mod decode;
