//! Files that the figures do not speak of, or not as they should: what could not be read or decoded, and what a technology failed on.

use std::collections::BTreeMap;

use serde::Serialize;

use super::results::{FileResult, FileUnscored, Results};
use crate::{domain::evidence::UnscoredReason, services::datasets::Manifest};

/// A file, and why it was not looked at as it should have been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedFile {
    /// As the manifest writes it.
    pub path: String,
    /// A code of the API: an error's, or what is `unscored`.
    pub code: String,
    /// What did not look at it; empty where nothing did and there is no result.
    pub technologies: Vec<String>,
    /// For people; holds no content.
    pub reason: String,
}

/// Whether a file with this reason was not looked at as one that is whole would have been. The others are what a technology finds in files that it did read, what
/// limits cut off, and what no technology of this server is for.
const fn is_failure(reason: UnscoredReason) -> bool {
    match reason {
        UnscoredReason::UndecodableMedia
        | UnscoredReason::UnsupportedMedia
        | UnscoredReason::UnsupportedFeature
        | UnscoredReason::MediaTooLarge
        | UnscoredReason::TechnologyFailed => true,
        UnscoredReason::QualityBelowMinimum
        | UnscoredReason::MediaTooSmall
        | UnscoredReason::TextTruncated
        | UnscoredReason::EmptyText
        | UnscoredReason::UnsupportedKind
        | UnscoredReason::FramesNotLookedAt
        | UnscoredReason::UnreadableText => false,
    }
}

/// Whether a hash technology could not look at a file of its kind. What is too faint for a hash it did look at: a miss, if it is positive.
pub(super) fn not_seen(result: &FileResult, technology: &str) -> bool {
    let of_it = |unscored: &&FileUnscored| unscored.technology == technology;
    result.unscored.iter().filter(of_it).any(|unscored| is_failure(unscored.reason) || unscored.reason == UnscoredReason::MediaTooSmall)
}

/// All of them in the manifest's order: one entry for each file and reason.
pub(super) fn failed_files(manifest: &Manifest, results: &Results) -> Vec<FailedFile> {
    manifest.files.iter().flat_map(|file| of_file(&file.path, results.get(&file.path))).collect()
}

fn of_file(path: &str, result: Option<&FileResult>) -> Vec<FailedFile> {
    let whole = |code: &str, reason: &str| FailedFile {
        path: path.to_owned(),
        code: code.to_owned(),
        technologies: vec![],
        reason: reason.to_owned(),
    };
    let Some(result) = result else { return vec![whole(super::summary::NOT_SCORED_YET, "no run has come to it")] };
    if let Some(error) = &result.error {
        return vec![whole(&error.code, &error.message)];
    }
    let mut by_reason: BTreeMap<UnscoredReason, FailedFile> = BTreeMap::new();
    for unscored in result.unscored.iter().filter(|unscored| is_failure(unscored.reason)) {
        let entry = by_reason.entry(unscored.reason).or_insert_with(|| whole(unscored.reason.as_str(), &unscored.detail));
        if !entry.technologies.contains(&unscored.technology) {
            entry.technologies.push(unscored.technology.clone());
        }
    }
    by_reason.into_values().collect()
}
