//! Engines: synchronous, a batch in and a batch out, no I/O of their own. They know only `domain` (and `gpu`).

pub mod media;
pub mod gpu;
pub mod preprocess;
pub mod hashing;
pub mod matching;
pub mod classify;
pub mod calibration;
pub mod routing;
pub mod ledger;
pub mod batch;
