//! Scores and labels to calibrators and claims; pure.

pub mod audit;
pub mod betting;
pub mod binomial;
pub mod calibrator;
pub mod certify;
mod claim;
pub mod clusters;
pub mod drift;
pub mod folds;
pub mod grid;
mod isotonic;
pub mod lattice;
pub mod ltt;
pub mod plan;
mod platt;
pub mod ranked;
pub mod recall;
pub mod reviewers;
pub mod shift;
pub mod starts;
