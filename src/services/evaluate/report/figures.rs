//! The report's plots.

use maud::{Markup, html};

use super::{
    super::{CurvePoint, Evaluation, Point},
    figure,
    plot::{Axis, Plot},
    rounded,
};

/// Colours that lines of thresholds take in turn; the first is the style's default.
const COLOURS: [&str; 5] = ["s0", "s1", "s2", "s3", "s4"];

fn colour(at: usize) -> &'static str {
    COLOURS[at % COLOURS.len()]
}

/// All plots that the evaluation has data for.
pub(super) fn all(found: &Evaluation) -> Markup {
    html! {
        div class="plots" {
            @if !found.band.is_empty() { (precision_recall(found)) }
            @if found.curve.iter().any(|point| point.recall.is_some() && point.fpr.is_some()) { (roc(found)) }
            @if !found.reliability.bins.is_empty() { (reliability(found)) }
            (histogram(found))
            @if !found.whole.at.is_empty() { (prevalence(found)) }
        }
    }
}

fn framed(title: &str, plot: Markup, caption: Markup) -> Markup {
    html! { figure { h3 { (title) } (plot) figcaption { (caption) } } }
}

/// A disc for each threshold that has a place in the plot.
fn discs(plot: &mut Plot, points: &[Point], place: fn(&Point) -> Option<(f64, f64)>) {
    for (at, point) in points.iter().enumerate() {
        if let Some(place) = place(point) {
            plot.disc(colour(at), place, 5.0, &format!("threshold {}", point.threshold));
        }
    }
}

/// The thresholds in their colours.
fn key(points: &[Point]) -> Markup {
    html! { @for (at, point) in points.iter().enumerate() { span class="name" { span class={ "key " (colour(at)) } {} "threshold " (figure(Some(point.threshold))) } " " } }
}

fn precision_recall(found: &Evaluation) -> Markup {
    let mut plot = Plot::new(Axis::unit("Recall"), Axis::unit("Precision"));
    let band: Vec<_> = found.band.iter().filter_map(|point| point.interval.map(|[low, high]| (point.recall, low, high))).collect();
    plot.band("s0", &band);
    if let Some(prevalence) = found.whole.prevalence {
        plot.line("dashed", &[(0.0, prevalence), (1.0, prevalence)]);
    }
    let line = |point: &CurvePoint| point.recall.map(|recall| (recall, point.precision));
    plot.line("s0", &found.curve.iter().filter_map(line).collect::<Vec<_>>());
    discs(&mut plot, &found.whole.at, |point| point.recall.zip(point.precision));
    let caption = html! {
        "Precision for each recall; shaded, its bootstrap interval. Dashed, the precision of flagging at random." (key(&found.whole.at))
    };
    framed("Precision and recall", plot.draw("Precision-recall curve with its interval"), caption)
}

fn roc(found: &Evaluation) -> Markup {
    let ticks = [(1e-5, "0.001 %"), (1e-4, "0.01 %"), (1e-3, "0.1 %"), (1e-2, "1 %"), (1e-1, "10 %"), (1.0, "100 %")];
    let mut plot = Plot::new(Axis::log("False positive rate (logarithmic)", &ticks), Axis::unit("Recall"));
    let line: Vec<_> = found.curve.iter().filter_map(|point| point.fpr.zip(point.recall)).collect();
    plot.line("s0", &line);
    discs(&mut plot, &found.whole.at, |point| point.fpr.zip(point.recall));
    let caption = html! { "The ROC curve. False positive rates below the axis are drawn at its left end." (key(&found.whole.at)) };
    framed("Recall and false positive rate", plot.draw("ROC curve over a logarithmic false positive rate"), caption)
}

fn reliability(found: &Evaluation) -> Markup {
    let mut plot = Plot::new(Axis::unit("Score"), Axis::unit("Share of positives"));
    plot.line("dashed", &[(0.0, 0.0), (1.0, 1.0)]);
    let bins = &found.reliability.bins;
    plot.line("s0", &bins.iter().map(|bin| (bin.mean_score, bin.positive_share)).collect::<Vec<_>>());
    for bin in bins {
        let title = format!("{} items, mean score {}, share of positives {}", bin.n, rounded(bin.mean_score), rounded(bin.positive_share));
        // The area says how many items are in the bin.
        plot.disc("s0", (bin.mean_score, bin.positive_share), 2.5 + 9.0 * bin.share.sqrt(), &title);
    }
    let caption = html! { "Scores against the share of positives among items with such scores; larger discs hold more items. On the dashed line a score is a probability." };
    framed("Reliability", plot.draw("Reliability diagram"), caption)
}

fn histogram(found: &Evaluation) -> Markup {
    let bins = &found.histogram;
    let total = |of: fn(&super::super::HistogramBin) -> f64| bins.iter().map(of).sum::<f64>();
    let (positives, negatives) = (total(|bin| bin.positives), total(|bin| bin.negatives));
    let share = |part: f64, all: f64| if all > 0.0 { part / all } else { 0.0 };
    let highest = bins.iter().map(|bin| share(bin.positives, positives).max(share(bin.negatives, negatives))).fold(0.0, f64::max);
    let (low, high) = (bins.first().map_or(0.0, |bin| bin.low), bins.last().map_or(1.0, |bin| bin.high));
    let mut plot = Plot::new(Axis::linear("Score", low, high), Axis::from_zero("Share of the class", highest));
    for bin in bins {
        plot.bar("negative", bin.low, bin.high, share(bin.negatives, negatives));
        plot.bar("positive", bin.low, bin.high, share(bin.positives, positives));
    }
    let caption = html! { "How scores are spread, each class by itself." span class="name" { span class="key negative" {} "negatives" } " " span class="name" { span class="key positive" {} "positives" } };
    framed("Scores by class", plot.draw("Histograms of scores by class"), caption)
}

fn prevalence(found: &Evaluation) -> Markup {
    let ticks = [(1e-6, "1:1M"), (1e-5, "1:100k"), (1e-4, "1:10k"), (1e-3, "1:1k"), (1e-2, "1 %"), (1e-1, "10 %"), (0.5, "50 %")];
    let mut plot = Plot::new(Axis::log("Prevalence (logarithmic)", &ticks), Axis::unit("Precision"));
    for (at, point) in found.whole.at.iter().enumerate() {
        let band: Vec<_> = point.at_prevalence.iter().filter_map(|at| at.interval.map(|[low, high]| (at.prevalence, low, high))).collect();
        plot.band(colour(at), &band);
        let line: Vec<_> = point.at_prevalence.iter().filter_map(|at| at.precision.map(|precision| (at.prevalence, precision))).collect();
        plot.line(colour(at), &line);
    }
    let caption = html! { "What precision becomes where positives are rarer; shaded, its interval." (key(&found.whole.at)) };
    framed("Precision against prevalence", plot.draw("Precision against prevalence, logarithmic"), caption)
}
