//! Fakes and fixtures for tests and benches; never part of a release binary.

pub mod scorer;
pub mod specs;
#[cfg(feature = "testing")]
pub mod vfs;
