//! Engines: synchronous, a batch in and a batch out, no I/O of their own. They know only `domain` (and `gpu`).

pub mod batch;
pub mod calibration;
pub mod classify;
pub mod gpu;
pub mod hashing;
pub mod ledger;
pub mod matching;
pub mod media;
pub mod preprocess;
pub mod routing;
