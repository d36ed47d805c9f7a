//! Evaluation.

pub mod bootstrap;
mod metrics;
mod sorted;
