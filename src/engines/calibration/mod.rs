//! Scores and labels to calibrators and claims; pure.

pub mod audit;
pub mod betting;
pub mod binomial;
pub mod drift;
pub mod reviewers;
