//! The integration tests: one file per concern.

mod classify;
mod client;
mod decode;
mod durability;
mod hostile;
mod serving;
mod store;
