//! Evaluating files: the real pipeline over labelled files, then every technology's figures, and those of the layers together.
//!
//! [`Results`] holds one [`FileResult`] a file, in memory and, where somebody wants to be able to go on after an interruption, one a line in a
//! file. [`summarize`] makes the figures of them: it does not matter in how many runs they came.

mod failed;
mod layers;
mod results;
mod stages;
mod summary;

pub use self::{
    failed::FailedFile,
    layers::{FirstFiring, Layers, Overlap},
    results::{FileError, FileResult, FileScore, FileUnscored, Results, ResultsError, Setup},
    stages::{Hardware, Latency, hardware},
    summary::{FilesOptions, FlagSlice, Flagged, NoFigures, Scored, Summary, score_files, summarize},
};

#[cfg(test)]
mod tests;
