//! Scores and labels to calibrators and claims; pure.

pub mod betting;
pub mod binomial;
