//! `nightlight plan`: how much has to be labelled.

use clap::Args;

use super::{Failure, calibrate::values::share, output};
use crate::engines::calibration::plan::{Intent, Plan as Figures};

#[derive(Args, Debug)]
pub(super) struct Plan {
    /// Of what is flagged, at least this share is to be positive
    #[arg(long, value_name = "P", value_parser = share)]
    target_precision: f64,
    /// How sure the claim is to be
    #[arg(long, value_name = "C", value_parser = share, default_value = "0.95")]
    confidence: f64,
    /// Errors to allow for among the reviewed flags
    #[arg(long, value_name = "K", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=1_000_000_000))]
    errors: u64,
    /// The traffic's share of positives: what false positive rate that takes, and how many clean negatives to show it
    #[arg(long, value_name = "PI", value_parser = share)]
    prevalence: Option<f64>,
    /// The share of positives that the classifier finds at the threshold
    #[arg(long, value_name = "R", value_parser = full_share, default_value = "1")]
    recall: f64,
    /// Flags that can be reviewed: what they can show
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    budget: Option<u64>,
    /// The true error rate among flags: how likely the budget shows the target then
    #[arg(long, value_name = "E", value_parser = share, requires = "budget")]
    error_rate: Option<f64>,
    /// A recall that a random audit below the threshold is to show
    #[arg(long, value_name = "R", value_parser = share, requires = "prevalence")]
    audit_recall: Option<f64>,
    /// Items of traffic that the audit is about
    #[arg(long, value_name = "N", requires = "audit_recall")]
    audit_items: Option<u64>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Above 0, up to 1.
fn full_share(text: &str) -> Result<f64, String> {
    if text.parse() == Ok(1.0) { Ok(1.0) } else { share(text) }
}

impl Plan {
    pub fn run(&self) -> Result<(), Failure> {
        let plan = Figures::new(&Intent {
            target_precision: self.target_precision,
            confidence: self.confidence,
            errors: self.errors,
            prevalence: self.prevalence,
            recall: self.recall,
            error_rate: self.error_rate,
            budget: self.budget,
            audit_recall: self.audit_recall,
            audit_items: self.audit_items,
        });
        if self.json { Ok(output::json_line(&plan)?) } else { Ok(output::table(["what", "how much"], &rows(&plan))?) }
    }
}

fn rows(plan: &Figures) -> Vec<[String; 2]> {
    let count = |number: Option<u64>| number.map_or("more than can be counted".to_owned(), |number| number.to_string());
    let percent = |share: f64| format!("{:.4} %", 100.0 * share);
    let mut rows = vec![
        [format!("flags to review with {} errors, one declared threshold", plan.errors), count(plan.flags_needed)],
        ["the same where calibrate searches the threshold".to_owned(), count(plan.flags_needed_searching)],
    ];
    if let (Some(fpr), Some(prevalence)) = (plan.fpr_needed, plan.prevalence) {
        rows.push([format!("false positive rate needed at prevalence {prevalence}, recall {}", plan.recall), format!("{fpr:.3e}")]);
        rows.push(["labelled negatives, none flagged, that show it".to_owned(), count(plan.clean_negatives_needed)]);
        rows.push(["items of traffic until so many flags are expected".to_owned(), count(plan.items_for_flags)]);
    }
    if let Some(elsewhere) = plan.precision_if_measured_balanced {
        rows.push(["precision there of what has the target on a balanced set".to_owned(), percent(elsewhere)]);
    }
    if let Some(budget) = &plan.budget {
        rows.push([
            format!("errors allowed among {} flags", budget.flags),
            budget.errors_allowed.map_or("none is enough".to_owned(), |k| k.to_string()),
        ]);
        rows.push(["precision they show without an error".to_owned(), percent(budget.precision_lower_if_clean)]);
        if let (Some(rate), Some(power), Some(lower)) = (budget.error_rate, budget.power, budget.precision_lower_expected) {
            rows.push([format!("chance that they show the target at a true error rate of {rate}"), percent(power)]);
            rows.push(["precision they show then, in the mean".to_owned(), percent(lower)]);
        }
    }
    if let Some(audit) = &plan.audit {
        rows.push([
            format!("share of positives below the threshold at a recall of {}", audit.recall),
            format!("{:.3e}", audit.missed_rate_needed),
        ]);
        rows.push(["items below it to label, none positive, that show it".to_owned(), count(audit.labels_needed)]);
        if let Some(missed) = audit.missed_positives {
            rows.push(["positives missed at that recall".to_owned(), format!("{missed:.0}")]);
        }
    }
    rows
}
