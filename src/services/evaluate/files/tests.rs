//! A handful of files whose figures can be counted by hand.

use super::*;
use crate::{
    domain::{clip::Look, evidence::UnscoredReason},
    services::{
        datasets::{Columns, Manifest, ManifestFile, read},
        evaluate::Options,
    },
};

fn score(technology: &str, raw: f32) -> FileScore {
    FileScore { technology: technology.into(), label: "bad".into(), raw, threshold: Some(0.5), flagged: raw >= 0.5, look: Look::default() }
}

fn unscored(technology: &str, reason: UnscoredReason) -> FileUnscored {
    FileUnscored { technology: technology.into(), reason, detail: format!("{} here", reason.as_str()) }
}

fn wanted(slice_column: Option<&str>) -> FilesOptions {
    let options = Options { replicates: 20, ..Options::default() };
    let rules = [("net".to_owned(), "image@1: max".to_owned())].into();
    FilesOptions { options, slice_column: slice_column.map(str::to_owned), rules }
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
        positive: Some(*positive),
        truths: vec![],
        slices: vec![(*slice).to_owned()],
    };
    let mut files: Vec<_> = FILES.iter().map(file).collect();
    files.push(ManifestFile { path: "gone".into(), positive: Some(true), truths: vec![], slices: vec!["en".into()] });
    let manifest = Manifest { files, labelled: true, truth_columns: vec![], slice_columns: vec!["language".into()], sha256: String::new() };
    let mut results = Results::in_memory();
    for (path, _, _, hash, raw) in FILES {
        let fired = hash.map(str::to_owned).or_else(|| (raw >= 0.5).then(|| "net".to_owned()));
        let result = FileResult {
            path: path.into(),
            kind: Some("image".into()),
            scores: vec![score("net", raw)],
            matched: hash.iter().map(|hash| (*hash).to_owned()).collect(),
            unscored: if path == "f" { vec![unscored("pdq", UnscoredReason::QualityBelowMinimum)] } else { vec![] },
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
    let found = summarize(&manifest, &results, &wanted(Some("language")), hardware(None), &|| {}).unwrap();
    assert_eq!((found.files, found.scored, found.positives), (7, 6, Some(5)));
    assert_eq!((found.errors["unreadable"], found.unscored["pdq"]["quality_below_minimum"]), (1, 1));
    let names: Vec<&str> = found.technologies.iter().map(|flagged| flagged.technology.as_str()).collect();
    assert_eq!(names, ["md5", "sha1", "sha256", "pdq", "net"]);
    let [md5, net] = [0, 4].map(|at| &found.technologies[at]);
    let at = md5.at.as_ref().unwrap();
    assert_eq!((at.tp, at.fp, at.precision, at.recall, md5.flagged), (1, 0, Some(1.0), Some(0.25), 1));
    let at = net.at.as_ref().unwrap();
    assert_eq!((at.tp, at.fp, at.r#fn, at.tn), (2, 1, 2, 1));
    assert_eq!((net.slices[0].slice.as_str(), net.slices[0].at.tp, net.slices[1].at.fp), ("en", 2, 1));
    let classifier = &found.classifiers[0];
    assert_eq!((classifier.threshold, classifier.evaluation.whole.at[0].tp), (Some(0.5), 2));
    assert_eq!(classifier.evaluation.slices.len(), 2);
    let layers = &found.layers;
    let (union, review) = (layers.union.as_ref().unwrap(), layers.review.as_ref().unwrap());
    assert_eq!((union.tp, union.fp, union.r#fn, review.tp, layers.flagged, layers.reviewed), (3, 1, 1, 3, 4, 4));
    assert_eq!((classifier.truth.as_str(), classifier.unlabelled, classifier.rule.as_deref()), ("label", 0, Some("image@1: max")));
    assert!(found.without_figures.is_empty());
    let firsts: Vec<_> =
        layers.first_firing.iter().map(|first| (first.technology.as_str(), first.files, first.positives, first.share)).collect();
    assert_eq!(firsts, [("md5", 1, Some(1), 0.25), ("pdq", 1, Some(1), 0.25), ("net", 2, Some(1), 0.5)]);
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

/// A label with a column of its own, one with an empty column, one that no column measures, and one that `label` does.
#[test]
fn each_label_is_measured_by_its_own_truth_and_one_without_is_said_to_have_none() {
    let (mut manifest, mut results) = evaluated();
    manifest.truth_columns = vec!["bad".into(), "net/blank".into()];
    // `bad` is the contrary of `label`, and of "f" nobody has said it.
    manifest
        .files
        .iter_mut()
        .for_each(|file| file.truths = vec![file.positive.filter(|_| file.path != "f").map(|positive| !positive), None]);
    for (path, _, _, _, raw) in FILES {
        let mut result = results.get(path).unwrap().clone();
        result.scores.extend(["blank", "other"].map(|label| FileScore { label: label.into(), ..score("net", raw) }));
        result.scores.push(FileScore { label: "harmless".into(), threshold: None, flagged: false, ..score("net", 1.0 - raw) });
        results.add(result).unwrap();
    }
    let of = |manifest: &Manifest| summarize(manifest, &results, &wanted(None), hardware(None), &|| {}).unwrap();
    let found = of(&manifest);
    let told: Vec<_> = found
        .classifiers
        .iter()
        .map(|one| (one.label.as_str(), one.truth.as_str(), one.unlabelled, one.evaluation.whole.n, one.evaluation.whole.at[0].tp))
        .collect();
    // At 0.5 a, b and d are flagged; of these only d is positive by its own column, a and b by `label`.
    assert_eq!(told, [("bad", "truth:bad", 1, 5, 1), ("other", "label", 0, 6, 2)]);
    let [blank, harmless] = &found.without_figures[..] else { panic!("{:?}", found.without_figures) };
    assert!(harmless.reason.contains("a column truth:harmless would say"), "{}", harmless.reason);
    assert_eq!((blank.label.as_deref(), blank.scored), (Some("blank"), 6));
    assert!(blank.reason.contains("truth:net/blank is empty"), "{}", blank.reason);
    let rows: Vec<_> = found
        .technologies
        .iter()
        .map(|one| (one.technology.as_str(), one.label.as_deref(), one.truth.as_deref(), one.measured, one.at.as_ref().map(|at| at.tp)))
        .collect();
    assert_eq!(
        rows[3..],
        [
            ("pdq", None, Some("label"), 6, Some(1)),
            ("net", Some("bad"), Some("truth:bad"), 5, Some(1)),
            ("net", Some("blank"), Some("truth:net/blank"), 0, None),
            ("net", Some("other"), Some("label"), 6, Some(2)),
        ],
        "each label by its own column, hashes and layers by `label`"
    );

    manifest.labelled = false;
    manifest.files.iter_mut().for_each(|file| file.positive = None);
    let found = of(&manifest);
    assert_eq!(found.classifiers.iter().map(|one| one.label.as_str()).collect::<Vec<_>>(), ["bad"]);
    let told: Vec<_> = found.without_figures.iter().map(|one| (one.technology.as_str(), one.label.as_deref())).collect();
    let labels = ["blank", "other", "harmless"].map(|label| ("net", Some(label)));
    assert_eq!(told, [&labels[..], &[("md5", None), ("sha1", None), ("sha256", None), ("pdq", None)]].concat());
    assert!(found.without_figures[1].reason.contains("neither a column truth:other nor a column label"));
    let (net, layers) = (&found.technologies[4], &found.layers);
    assert!(net.at.as_ref().is_some_and(|at| at.tp == 1) && net.flagged == 3 && found.positives.is_none());
    assert!(layers.union.is_none() && layers.flagged == 4 && layers.first_firing[0].positives.is_none());

    let folder = tempfile::tempdir().unwrap();
    let written = score_files(&manifest, &results, folder.path()).unwrap();
    let text = |at: usize| std::fs::read_to_string(&written[at]).unwrap();
    assert_eq!(text(0), "id,score,label,language\na,0.9,0,en\nb,0.8,0,en\nc,0.1,0,de\nd,0.7,1,de\ne,0.1,1,en\n");
    assert_eq!(text(1), "id,score,label,language\n", "nobody has said a truth of it");
    assert!(text(2).starts_with("id,score,language\na,0.9,en\n"), "{}", text(2));
}

/// A chat is no miss of what looks at pictures, nor a picture of what reads texts; what could not be decoded fired nothing.
#[test]
fn a_technology_is_measured_on_what_it_could_look_at() {
    let (mut manifest, mut results) = evaluated();
    for (path, positive) in [("chat", true), ("text", false), ("damaged", true)] {
        let file = ManifestFile { path: path.into(), positive: Some(positive), truths: vec![], slices: vec!["en".into()] };
        manifest.files.push(file);
        let mut result =
            FileResult { path: path.into(), kind: Some("text".into()), scores: vec![score("words", 0.9)], ..FileResult::default() };
        if path == "damaged" {
            result.kind = Some("image".into());
            result.scores.clear();
            result.unscored = ["pdq", "net"].map(|technology| unscored(technology, UnscoredReason::UndecodableMedia)).into();
            result.review = true;
            // As results of an earlier version have it.
            result.fired_first = Some("pdq".into());
        }
        results.add(result).unwrap();
    }
    let found = summarize(&manifest, &results, &wanted(None), hardware(None), &|| {}).unwrap();
    let rows: Vec<_> = found
        .technologies
        .iter()
        .map(|one| (one.technology.as_str(), one.looked_at, one.measured, one.at.as_ref().map_or(0, |at| at.r#fn)))
        .collect();
    assert_eq!(rows, [("md5", 9, 9, 5), ("sha1", 9, 9, 6), ("sha256", 9, 9, 6), ("pdq", 6, 6, 3), ("net", 6, 6, 2), ("words", 2, 2, 0)]);
    let fired: Vec<_> = found.layers.first_firing.iter().map(|first| (first.technology.as_str(), first.files)).collect();
    assert_eq!((fired, found.layers.reviewed_unfired), (vec![("md5", 1), ("pdq", 1), ("net", 2)], 1));
}

/// 0.7 as a 32-bit float lies below 0.7, and must be flagged by it all the same.
#[test]
fn thresholds_and_scores_are_the_decimals_that_people_write() {
    let (manifest, mut results) = evaluated();
    let mut at_the_threshold = results.get("d").unwrap().clone();
    at_the_threshold.scores = vec![FileScore { threshold: Some(0.8), ..score("net", 0.7) }];
    results.add(at_the_threshold).unwrap();
    let mut wanted = wanted(None);
    wanted.options.thresholds = vec![0.7];
    let found = summarize(&manifest, &results, &wanted, hardware(None), &|| {}).unwrap();
    let at: Vec<_> = found.classifiers[0].evaluation.whole.at.iter().map(|at| (at.threshold, at.flagged)).collect();
    assert_eq!(at[0], (0.7, 3), "0.9, 0.8 and 0.7 itself");
}

#[test]
fn files_that_were_not_looked_at_as_they_should_are_named_with_the_reason() {
    let (manifest, mut results) = evaluated();
    let mut damaged = results.get("d").unwrap().clone();
    damaged.scores.clear();
    damaged.unscored = vec![
        unscored("pdq", UnscoredReason::UndecodableMedia),
        unscored("net", UnscoredReason::UndecodableMedia),
        unscored("sscd", UnscoredReason::TechnologyFailed),
        unscored("pdq", UnscoredReason::FramesNotLookedAt),
    ];
    results.add(damaged).unwrap();
    let found = summarize(&manifest, &results, &wanted(None), hardware(None), &|| {}).unwrap();
    let told: Vec<_> = found
        .failed_files
        .iter()
        .map(|file| format!("{} {} by [{}]: {}", file.path, file.code, file.technologies.join(", "), file.reason))
        .collect();
    assert_eq!(
        told,
        [
            "d undecodable_media by [pdq, net]: undecodable_media here",
            "d technology_failed by [sscd]: technology_failed here",
            "gone unreadable by []: not there"
        ],
        "f, whose quality is low, was looked at"
    );
    assert_eq!((found.scored, found.errors.len()), (6, 1));
}
