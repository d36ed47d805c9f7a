//! Nightlight: a GPU-accelerated classifier inference server for child-safety work.

pub mod domain;
pub mod engines;
pub mod http;
pub mod services;
pub mod store;
pub mod telemetry;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
