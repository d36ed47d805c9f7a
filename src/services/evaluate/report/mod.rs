//! The report: one HTML file for people, with every picture inside and nothing from elsewhere.
//!
//! Each figure stands in a `<data value="…">` with all its digits, so that a reader can copy it and a test can hold it against the JSON. Items
//! appear by id only.

mod figures;
mod plot;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Evaluation, Example, Measured, Point};

/// Slices that the report shows; the JSON has all.
const MOST_SLICES: usize = 100;

/// The page for an evaluation that is called `title`.
pub fn page(title: &str, found: &Evaluation) -> String {
    let body = html! {
        h1 { "Evaluation of " (title) }
        p {
            (count(found.whole.n)) " items, " (count(found.whole.positives)) " of them positive (prevalence " (figure(found.whole.prevalence)) ")."
            @if let Some(clusters) = found.whole.clusters { " They belong to " (count(clusters)) " groups." }
            @if found.whole.weighted { " Items are weighted." }
            " Intervals are at a confidence of " (figure(Some(found.confidence))) "; bootstrap intervals are from "
            (count(found.bootstrap.replicates.into())) " replicates with the seed " (count(found.bootstrap.seed)) ", drawn by " (found.bootstrap.unit) "."
        }
        (cards(&found.whole))
        (figures::all(found))
        @if !found.whole.at.is_empty() {
            h2 { "At thresholds" }
            (thresholds(&found.whole.at))
            p class="soft" { "Intervals here: " (found.whole.at[0].interval_method) "." }
            h2 { "Precision in other traffic" }
            p class="soft" {
                "Recall and false positive rate belong to the classifier, precision also to the traffic: the rarer positives are, the more of what is "
                "flagged is wrong."
            }
            (prevalences(&found.whole.at))
        }
        @if !found.slices.is_empty() {
            h2 { "By slice" }
            (slices(found))
        }
        h2 { "Items at the wrong end" }
        (examples(found))
        h2 { "What the words mean" }
        (definitions())
    };
    document(&format!("Evaluation of {title}"), &body)
}

fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

/// A number with all its digits behind it; a dash for none.
fn figure(value: Option<f64>) -> Markup {
    match value {
        Some(value) => html! { data value=(value) { (rounded(value)) } },
        None => html! { "–" },
    }
}

/// Four digits are what intervals of a few thousand items support.
pub(super) fn rounded(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-3 {
        format!("{value:.2e}")
    } else {
        format!("{value:.4}").trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

fn count(value: u64) -> Markup {
    let digits = value.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    // Thin spaces, as the International System of Units groups digits.
    html! { data value=(value) { (groups.join("\u{2009}")) } }
}

fn interval(value: Option<[f64; 2]>) -> Markup {
    match value {
        Some([low, high]) => html! { (figure(Some(low))) " – " (figure(Some(high))) },
        None => html! {},
    }
}

/// A value with its interval below.
fn both(value: Option<f64>, around: Option<[f64; 2]>) -> Markup {
    html! { (figure(value)) small { (interval(around)) } }
}

fn cards(whole: &Measured) -> Markup {
    let card = |name: &str, key: &'static str, value: Option<f64>, around: Option<[f64; 2]>| {
        html! {
            div class="card" {
                (name) b { (figure(value)) }
                @match (value, whole.undefined.get(key)) {
                    (None, Some(why)) => small { (why) },
                    _ => small { (interval(around)) },
                }
            }
        }
    };
    html! {
        div class="cards" {
            (card("AUROC", "auroc", whole.auroc, whole.intervals.auroc))
            (card("Average precision", "average_precision", whole.average_precision, whole.intervals.average_precision))
            (card("Brier score", "brier", whole.brier, whole.intervals.brier))
            (card("Log-loss", "log_loss", whole.log_loss, whole.intervals.log_loss))
            (card("Calibration error", "ece", whole.ece, whole.intervals.ece))
        }
    }
}

fn table(header: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div class="scroll" tabindex="0" {
            table {
                thead { tr { @for name in header { th { (name) } } } }
                tbody { @for row in rows { tr { @for cell in row { td { (cell) } } } } }
            }
        }
    }
}

fn thresholds(points: &[Point]) -> Markup {
    let row = |point: &Point| {
        vec![
            figure(Some(point.threshold)),
            both(point.precision, point.precision_interval),
            both(point.recall, point.recall_interval),
            both(point.fpr, point.fpr_interval),
            figure(point.f1),
            count(point.flagged),
            count(point.tp),
            count(point.fp),
            count(point.r#fn),
            count(point.tn),
        ]
    };
    let header =
        ["Threshold", "Precision", "Recall", "False positive rate", "F1", "Flagged", "True pos.", "False pos.", "Missed", "True neg."];
    table(&header, &points.iter().map(row).collect::<Vec<_>>())
}

fn prevalences(points: &[Point]) -> Markup {
    let row = |place: usize| {
        let first = figure(points.first().map(|point| point.at_prevalence[place].prevalence));
        let cell = |point: &Point| both(point.at_prevalence[place].precision, point.at_prevalence[place].interval);
        std::iter::once(first).chain(points.iter().map(cell)).collect()
    };
    let names: Vec<String> = points.iter().map(|point| format!("At {}", point.threshold)).collect();
    let header: Vec<&str> = std::iter::once("Prevalence").chain(names.iter().map(String::as_str)).collect();
    let places = points.first().map_or(0, |point| point.at_prevalence.len());
    table(&header, &(0..places).map(row).collect::<Vec<_>>())
}

fn slices(found: &Evaluation) -> Markup {
    let points = found.whole.at.iter().map(|point| [format!("Precision at {}", point.threshold), format!("Recall at {}", point.threshold)]);
    let names: Vec<String> = points.flatten().collect();
    let header: Vec<&str> =
        ["Slice", "Items", "Positives", "AUROC", "Average precision"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let row = |slice: &super::SliceMeasured| {
        let measured = &slice.measured;
        let mut cells = vec![
            html! { (slice.slice) },
            count(measured.n),
            count(measured.positives),
            both(measured.auroc, measured.intervals.auroc),
            both(measured.average_precision, measured.intervals.average_precision),
        ];
        let point = |point: &Point| [both(point.precision, point.precision_interval), both(point.recall, point.recall_interval)];
        cells.extend(measured.at.iter().flat_map(point));
        cells
    };
    html! {
        (table(&header, &found.slices.iter().take(MOST_SLICES).map(row).collect::<Vec<_>>()))
        @if found.slices.len() > MOST_SLICES { p class="soft" { "There are more slices than fit here; the JSON has all." } }
    }
}

fn examples(found: &Evaluation) -> Markup {
    let list = |title: &str, examples: &[Example]| {
        html! {
            figure {
                h3 { (title) }
                @if examples.is_empty() { p class="soft" { "None." } } @else {
                    div class="scroll" tabindex="0" {
                        table {
                            thead { tr { th { "Item" } th { "Score" } @if !found.slices.is_empty() { th { "Slice" } } } }
                            tbody {
                                @for example in examples {
                                    tr {
                                        td class="id" { @match &example.id { Some(id) => (id), None => { "row " (count(example.row)) } } }
                                        td { (figure(Some(example.score))) }
                                        @if let Some(slice) = &example.slice { td { (slice) } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    };
    html! {
        div class="plots" {
            (list("Negatives with the highest scores", &found.examples.negatives_scored_highest))
            (list("Positives with the lowest scores", &found.examples.positives_scored_lowest))
        }
    }
}

fn definitions() -> Markup {
    let words = [
        ("Threshold", "Items with at least this score are flagged."),
        ("Precision", "Of what is flagged, the share that is positive."),
        ("Recall", "Of what is positive, the share that is flagged."),
        ("False positive rate", "Of what is negative, the share that is flagged."),
        ("F1", "The harmonic mean of precision and recall."),
        (
            "Prevalence",
            "The share of positives in some traffic. Precision at another prevalence takes recall and false positive rate as they are here.",
        ),
        ("AUROC", "The chance that a positive item scores higher than a negative one; ties count half."),
        ("Average precision", "Precision, averaged over the steps in which recall grows: the area under the precision-recall curve."),
        ("Brier score", "The mean squared distance between score and truth, read as a probability; lower is better."),
        ("Log-loss", "The mean of minus the logarithm of the probability given to the truth; lower is better."),
        ("Calibration error", "How far scores are from the share of positives among items with such scores, on average over equal bins."),
        (
            "Interval",
            "Where the figure would lie for the population that the items were drawn from, at the confidence named above. \
                      Clopper-Pearson intervals hold at least that often for independent items; bootstrap intervals hold about that often, and \
                      are widened to exact ones where hardly any item is wrong.",
        ),
    ];
    html! { dl { @for (word, meaning) in words { dt { (word) } dd { (meaning) } } } }
}

#[cfg(test)]
mod tests;
