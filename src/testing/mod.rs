//! Fakes and fixtures for tests and benches; never part of a release binary.

pub mod certificates;
pub mod gpu;
pub mod matches;
pub mod populations;
pub mod recall;
pub mod scorer;
#[cfg(feature = "testing")]
pub mod vfs;
