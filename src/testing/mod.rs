//! Fakes and fixtures for tests and benches; never part of a release binary.

#[cfg(feature = "testing")]
pub mod vfs;
