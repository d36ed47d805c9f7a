//! Results for people at a terminal.

use std::io::{self, Write};

use crate::{
    cli::{Failure, output},
    services::evaluate::{Comparison, Difference, Evaluation, Measured},
};

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
