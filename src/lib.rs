//! Nightlight: a GPU-accelerated classifier inference server for child-safety work.

pub mod config;
pub mod domain;
pub mod engines;
pub mod services;
