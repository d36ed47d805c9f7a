//! Results for people at a terminal.

use std::io::{self, Write};

use super::files::Throughput;
use crate::{
    cli::{Failure, output},
    domain::signal::Distance,
    services::evaluate::{
        Comparison, Difference, Evaluation, Measured, Point,
        files::{Flagged, Hardware, Summary},
        hashes::{HashReport, Row},
    },
};

/// Files that a table names: as many as a person reads; the rest is counted.
const MOST_NAMED: usize = 20;

/// Four digits are what intervals of a few thousand items support.
fn number(value: Option<f64>) -> String {
    value.map_or_else(
        || "-".to_owned(),
        |value| if value != 0.0 && value.abs() < 1e-3 { format!("{value:.2e}") } else { format!("{value:.4}") },
    )
}

fn interval(value: Option<[f64; 2]>) -> String {
    value.map_or_else(String::new, |[low, high]| format!("{} .. {}", number(Some(low)), number(Some(high))))
}

fn both(value: Option<f64>, around: Option<[f64; 2]>) -> String {
    if around.is_some() { format!("{} ({})", number(value), interval(around)) } else { number(value) }
}

pub(super) fn evaluation(found: &Evaluation) -> Result<(), Failure> {
    let whole = &found.whole;
    let percent = (found.confidence * 1000.0).round() / 10.0;
    let prevalence = number(whole.prevalence);
    writeln!(io::stdout(), "{} items, {} positive (prevalence {prevalence}); intervals at {percent} %\n", whole.n, whole.positives)?;
    let metric = |name: &'static str, value, around| {
        let why = whole.undefined.get(name).copied().unwrap_or_default().to_owned();
        [name.to_owned(), number(value), if value.is_some() { interval(around) } else { why }]
    };
    output::table(
        ["metric", "value", "interval (bootstrap)"],
        &[
            metric("auroc", whole.auroc, whole.intervals.auroc),
            metric("average_precision", whole.average_precision, whole.intervals.average_precision),
            metric("brier", whole.brier, whole.intervals.brier),
            metric("log_loss", whole.log_loss, whole.intervals.log_loss),
            metric("ece", whole.ece, whole.intervals.ece),
        ],
    )?;
    points(whole)?;
    if !found.slices.is_empty() {
        writeln!(io::stdout())?;
        let row = |slice: &crate::services::evaluate::SliceMeasured| {
            let (measured, point) = (&slice.measured, slice.measured.at.first());
            [
                slice.slice.clone(),
                measured.n.to_string(),
                measured.positives.to_string(),
                both(measured.auroc, measured.intervals.auroc),
                both(measured.average_precision, measured.intervals.average_precision),
                point.map_or_else(String::new, |point| both(point.precision, point.precision_interval)),
                point.map_or_else(String::new, |point| both(point.recall, point.recall_interval)),
            ]
        };
        let header = ["slice", "n", "positives", "auroc", "average_precision", "precision", "recall"];
        output::table(header, &found.slices.iter().map(row).collect::<Vec<_>>())?;
    }
    Ok(())
}

fn points(whole: &Measured) -> Result<(), Failure> {
    if whole.at.is_empty() {
        return Ok(());
    }
    writeln!(io::stdout())?;
    let rows: Vec<_> = whole
        .at
        .iter()
        .map(|point| {
            [
                point.threshold.to_string(),
                point.flagged.to_string(),
                both(point.precision, point.precision_interval),
                both(point.recall, point.recall_interval),
                both(point.fpr, point.fpr_interval),
                number(point.f1),
            ]
        })
        .collect();
    output::table(["threshold", "flagged", "precision", "recall", "fpr", "f1"], &rows)?;
    writeln!(io::stdout(), "\nprecision in traffic with another share of positives:")?;
    let rows: Vec<_> = whole
        .at
        .iter()
        .flat_map(|point| {
            point
                .at_prevalence
                .iter()
                .map(|at| [point.threshold.to_string(), at.prevalence.to_string(), number(at.precision), interval(at.interval)])
        })
        .collect();
    Ok(output::table(["threshold", "prevalence", "precision", "interval"], &rows)?)
}

pub(super) fn comparison(found: &Comparison) -> Result<(), Failure> {
    let percent = (found.confidence * 1000.0).round() / 10.0;
    writeln!(io::stdout(), "{} items, {} positive; differences are B less A, intervals at {percent} %\n", found.n, found.positives)?;
    let row = |(name, of): (&&'static str, &Difference)| {
        [(*name).to_owned(), number(of.a), number(of.b), number(of.difference), interval(of.interval)]
    };
    output::table(["metric", "a", "b", "difference", "interval"], &found.metrics.iter().map(row).collect::<Vec<_>>())?;
    for point in &found.at {
        writeln!(io::stdout(), "\nthresholds {} and {}:", point.threshold_a, point.threshold_b)?;
        output::table(["metric", "a", "b", "difference", "interval"], &point.metrics.iter().map(row).collect::<Vec<_>>())?;
        for (items, test) in point.mcnemar.iter().flatten() {
            let (a, b, p) = (test.only_a, test.only_b, number(Some(test.p_value)));
            writeln!(io::stdout(), "{items}: only A right {a}, only B right {b}, p = {p} (McNemar, exact)")?;
        }
    }
    Ok(())
}

pub(super) fn files(found: &Summary, throughput: Throughput) -> Result<(), Failure> {
    let mut out = io::stdout();
    let positives = found.positives.map_or_else(String::new, |positives| format!(", {positives} positive"));
    writeln!(out, "{} files{positives}; {} scored\n", found.files, found.scored)?;
    for (code, count) in &found.errors {
        writeln!(out, "{count} without a result: {code}")?;
    }
    for (technology, reasons) in &found.unscored {
        for (reason, count) in reasons {
            writeln!(out, "{count} not looked at by {technology}: {reason}")?;
        }
    }
    failed(found)?;
    let row = |name: String, truth: Option<&str>, measured: u64, flagged: u64, point: Option<&Point>| {
        let cell = |of: fn(&Point) -> String| point.map_or_else(|| "-".to_owned(), of);
        [
            name,
            truth.unwrap_or("-").to_owned(),
            measured.to_string(),
            flagged.to_string(),
            cell(|point| both(point.precision, point.precision_interval)),
            cell(|point| both(point.recall, point.recall_interval)),
            cell(|point| both(point.fpr, point.fpr_interval)),
        ]
    };
    let technology = |one: &Flagged| {
        let name = one.label.as_ref().map_or_else(|| one.technology.clone(), |label| format!("{} {label}", one.technology));
        row(name, one.truth.as_deref(), one.measured, one.flagged, one.at.as_ref())
    };
    let mut rows: Vec<_> = found.technologies.iter().map(technology).collect();
    let together = |name: &str, flagged: u64, point: Option<&Point>| {
        let (truth, measured) = if point.is_some() { (Some("label"), found.scored) } else { (None, 0) };
        row(name.to_owned(), truth, measured, flagged, point)
    };
    rows.push(together("any of them", found.layers.flagged, found.layers.union.as_ref()));
    rows.push(together("routed to review", found.layers.reviewed, found.layers.review.as_ref()));
    output::table(["technology", "truth", "measured on", "flagged", "precision", "recall", "fpr"], &rows)?;
    writeln!(out, "\neach is measured on the files that it could look at and whose truth is said")?;
    for classifier in &found.classifiers {
        writeln!(out, "\n{} {}, by the column {}:", classifier.technology, classifier.label, classifier.truth)?;
        if let Some(rule) = &classifier.rule {
            writeln!(out, "rule: {rule}")?;
        }
        if classifier.unlabelled > 0 {
            writeln!(out, "{} scored files are left out: {} is empty for them", classifier.unlabelled, classifier.truth)?;
        }
        evaluation(&classifier.evaluation)?;
    }
    if !found.without_figures.is_empty() {
        writeln!(out, "\nno figures:")?;
        for none in &found.without_figures {
            let label = none.label.as_ref().map_or_else(String::new, |label| format!(" {label}"));
            writeln!(out, "{}{label}, {} files scored: {}", none.technology, none.scored, none.reason)?;
        }
    }
    writeln!(out)?;
    let first = |first: &crate::services::evaluate::files::FirstFiring| {
        let positives = first.positives.map_or_else(|| "-".to_owned(), |positives| positives.to_string());
        [first.technology.clone(), first.files.to_string(), number(Some(first.share)), positives]
    };
    output::table(["fired first", "files", "share", "positives"], &found.layers.first_firing.iter().map(first).collect::<Vec<_>>())?;
    if found.layers.reviewed_unfired > 0 {
        let (unfired, files) = (found.layers.reviewed_unfired, if found.layers.reviewed_unfired == 1 { "file" } else { "files" });
        writeln!(out, "{unfired} {files} more to review although nothing fired: something could not look at them")?;
    }
    writeln!(out)?;
    let stage = |(stage, took): (&String, &crate::services::evaluate::files::Latency)| {
        [stage.clone(), took.files.to_string(), number(Some(took.p50)), number(Some(took.p95)), number(Some(took.p99))]
    };
    output::table(["stage (ms)", "files", "p50", "p95", "p99"], &found.latency_ms.iter().map(stage).collect::<Vec<_>>())?;
    let Hardware { cpu, cores, gpu } = &found.hardware;
    let (cpu, gpu) = (cpu.as_deref().unwrap_or("unknown processor"), gpu.as_deref().unwrap_or("no GPU"));
    if let Some(rate) = throughput.files_per_second {
        writeln!(out, "\n{} files in {:.1} s: {rate:.1} files/s", throughput.files, throughput.seconds)?;
    }
    Ok(writeln!(out, "on {cpu}, {cores} cores, {gpu}")?)
}

/// Names files that could not be read or decoded: the first ones, and how many more.
fn failed(found: &Summary) -> Result<(), Failure> {
    let mut out = io::stdout();
    if found.failed_files.is_empty() {
        return Ok(());
    }
    writeln!(out, "not looked at as they should be:")?;
    for file in found.failed_files.iter().take(MOST_NAMED) {
        let by = if file.technologies.is_empty() { String::new() } else { format!(" ({})", file.technologies.join(", ")) };
        writeln!(out, "  {}: {}{by}: {}", file.path, file.code, file.reason)?;
    }
    if let Some(more) = found.failed_files.len().checked_sub(MOST_NAMED).filter(|more| *more > 0) {
        writeln!(out, "  and {more} more, which --json names")?;
    }
    Ok(writeln!(out)?)
}

pub(super) fn hashes(found: &HashReport) -> Result<(), Failure> {
    let mut out = io::stdout();
    let percent = (found.setup.confidence * 1000.0).round() / 10.0;
    writeln!(out, "{} pictures, each altered in every way; intervals at {percent} %", found.pictures)?;
    for left in &found.left_out {
        writeln!(out, "left out: {} ({})", left.name, left.reason)?;
    }
    for copy in &found.copies {
        writeln!(out, "left out: {} matches {} as it is, distance {}: a copy, or a wrong match", copy.name, copy.of, copy.distance)?;
    }
    let mut tables: Vec<&[Row]> = found.rows.chunk_by(|a, b| a.technology == b.technology && a.all_positions == b.all_positions).collect();
    tables.retain(|rows| !rows.is_empty());
    for rows in tables {
        let first = &rows[0];
        let positions = if first.all_positions { ", all eight positions of the picture" } else { "" };
        writeln!(out, "\n{}, radius {}{positions}:", first.technology, first.max_distance)?;
        let cells = |row: &Row| {
            let distance = row.distance.as_ref();
            [
                row.alteration.to_owned(),
                format!("{:.3} ({:.3} .. {:.3})", row.recall, row.recall_interval[0], row.recall_interval[1]),
                distance.map_or_else(|| "-".to_owned(), |distance| short(distance.median)),
                distance.map_or_else(|| "-".to_owned(), |distance| short(distance.p95)),
                row.quality_median.map_or_else(|| "-".to_owned(), |quality| quality.to_string()),
                row.unusable.to_string(),
                row.wrong.to_string(),
                row.what.to_owned(),
            ]
        };
        let header = ["alteration", "recall", "median", "95 %", "quality", "unusable", "wrong", "what"];
        output::table(header, &rows.iter().map(cells).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Bits as they are, cosines with three digits.
fn short(distance: Distance) -> String {
    if distance.get().fract() == 0.0 { distance.to_string() } else { format!("{:.3}", distance.get()) }
}
