//! A handful of files whose figures can be counted by hand.

use super::*;
use crate::services::{
    datasets::{Columns, Manifest, ManifestFile, read},
    evaluate::Options,
};

fn score(technology: &str, raw: f32) -> FileScore {
    FileScore { technology: technology.into(), label: "bad".into(), raw, threshold: Some(0.5), flagged: raw >= 0.5 }
}

/// (path, label, slice, hash, score)
const FILES: [(&str, bool, &str, Option<&str>, f32); 6] = [
    ("a", true, "en", Some("md5"), 0.9),
    ("b", true, "en", None, 0.8),
    ("c", true, "de", Some("pdq"), 0.1),
    ("d", false, "de", None, 0.7),
    ("e", false, "en", None, 0.1),
    ("f", true, "de", None, 0.3),
];

fn evaluated() -> (Manifest, Results) {
    let file = |(path, positive, slice, _, _): &(&str, bool, &str, Option<&str>, f32)| ManifestFile {
        path: (*path).to_owned(),
        positive: *positive,
        slices: vec![(*slice).to_owned()],
    };
    let mut files: Vec<_> = FILES.iter().map(file).collect();
    files.push(ManifestFile { path: "gone".into(), positive: true, slices: vec!["en".into()] });
    let manifest = Manifest { files, slice_columns: vec!["language".into()], sha256: String::new() };
    let mut results = Results::in_memory();
    for (path, _, _, hash, raw) in FILES {
        let fired = hash.map(str::to_owned).or_else(|| (raw >= 0.5).then(|| "net".to_owned()));
        let result = FileResult {
            path: path.into(),
            kind: Some("image".into()),
            scores: vec![score("net", raw)],
            matched: hash.iter().map(|hash| (*hash).to_owned()).collect(),
            unscored: if path == "f" { vec![("pdq".into(), crate::domain::evidence::UnscoredReason::QualityBelowMinimum)] } else { vec![] },
            review: fired.is_some(),
            fired_first: fired,
            ..FileResult::default()
        };
        results.add(result).unwrap();
    }
    results.add(FileResult::failed("gone", "unreadable", "not there".into())).unwrap();
    (manifest, results)
}

#[test]
fn every_layer_and_all_together_are_counted() {
    let (manifest, results) = evaluated();
    let options = Options { replicates: 20, ..Options::default() };
    let wanted = FilesOptions { options, slice_column: Some("language".into()) };
    let found = summarize(&manifest, &results, &wanted, hardware(None), &|| {}).unwrap();
    assert_eq!((found.files, found.scored, found.positives), (7, 6, 5));
    assert_eq!((found.errors["unreadable"], found.unscored["pdq"]["quality_below_minimum"]), (1, 1));
    let names: Vec<&str> = found.technologies.iter().map(|flagged| flagged.technology.as_str()).collect();
    assert_eq!(names, ["md5", "sha1", "sha256", "pdq", "net"]);
    let [md5, net] = [0, 4].map(|at| &found.technologies[at]);
    assert_eq!((md5.at.tp, md5.at.fp, md5.at.precision, md5.at.recall), (1, 0, Some(1.0), Some(0.25)));
    assert_eq!((net.at.tp, net.at.fp, net.at.r#fn, net.at.tn), (2, 1, 2, 1));
    assert_eq!((net.slices[0].slice.as_str(), net.slices[0].at.tp, net.slices[1].at.fp), ("en", 2, 1));
    let classifier = &found.classifiers[0];
    assert_eq!((classifier.threshold, classifier.evaluation.whole.at[0].tp), (Some(0.5), 2));
    assert_eq!(classifier.evaluation.slices.len(), 2);
    let layers = &found.layers;
    assert_eq!((layers.union.tp, layers.union.fp, layers.union.r#fn, layers.review.tp), (3, 1, 1, 3));
    let firsts: Vec<_> =
        layers.first_firing.iter().map(|first| (first.technology.as_str(), first.files, first.positives, first.share)).collect();
    assert_eq!(firsts, [("md5", 1, 1, 0.25), ("pdq", 1, 1, 0.25), ("net", 2, 1, 0.5)]);
    let pair = layers.overlap.iter().find(|pair| pair.a == "md5" && pair.b == "net").unwrap();
    assert_eq!((pair.both, pair.only_a, pair.only_b, pair.jaccard), (1, 0, 2, Some(1.0 / 3.0)));
}

#[test]
fn score_files_are_read_by_calibrate_and_give_the_same_scores() {
    let (manifest, results) = evaluated();
    let folder = tempfile::tempdir().unwrap();
    let written = score_files(&manifest, &results, &folder.path().join("new")).unwrap();
    assert_eq!(written.len(), 1);
    let columns = Columns { slice: Some("language".into()), ..Columns::default() };
    let (data, facts) = read(&written, &columns, &mut |_| {}).unwrap();
    assert_eq!((facts.rows, facts.positives), (6, 4));
    assert!(data.scores.iter().zip(FILES).all(|(score, file)| *score as f32 == file.4), "the same 32-bit floats");
}
