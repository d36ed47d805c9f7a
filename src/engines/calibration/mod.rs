//! Scores and labels to calibrators and claims; pure.

pub mod binomial;
