//! `nightlight operating-point list`.

use clap::Args;
use serde::Serialize;

use super::{Failure, output, with_store};
use crate::{
    cli::monitor::in_force,
    config::Config,
    domain::{ids::TenantId, operating_point::PointKey, time::Timestamp},
    services::{operating_points::PointInForce, scoring::OperatingPointAnswer},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct List {
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct PointLine<'a> {
    #[serde(flatten)]
    key: &'a PointKey,
    service: Option<&'a str>,
    threshold: f32,
    #[serde(flatten)]
    point: OperatingPointAnswer,
    /// As `GET /operating-points` has it.
    one_look_only: Option<&'static str>,
    since: Option<Timestamp>,
}

impl List {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        let points = with_store(config, async |store| {
            let (points, monitor) = in_force(config, store).await?;
            for warning in points.warning_texts().into_iter().chain(monitor.warnings()) {
                tracing::warn!("{warning}");
            }
            Ok(points.snapshot(TenantId::DEFAULT))
        })?;
        if self.json {
            points.iter().try_for_each(|point| {
                output::json_line(&PointLine {
                    key: &point.key,
                    service: point.service.as_deref(),
                    threshold: point.point.threshold.get(),
                    point: (&point.point).into(),
                    one_look_only: point.one_look_only(),
                    since: point.evidence.as_ref().map(|evidence| evidence.since),
                })
            })?;
        } else {
            let header =
                ["model", "label", "service", "threshold", "target", "certified", "precision", "recall", "since", "certificate", "why not"];
            output::table(header, &points.iter().map(|point| row(point)).collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

fn row(in_force: &PointInForce) -> [String; 11] {
    let (key, point) = (&in_force.key, &in_force.point);
    let dash = || "-".to_owned();
    let share = |value: Option<f64>| value.map_or_else(dash, |value| format!("{value:.4}"));
    let target = match (point.target_precision, point.target_recall) {
        (Some(precision), _) => format!("precision {precision}"),
        (None, Some(recall)) => format!("recall {recall}"),
        (None, None) => dash(),
    };
    [
        key.technology.clone(),
        key.label.clone(),
        in_force.service.clone().unwrap_or_else(|| "all".to_owned()),
        point.threshold.get().to_string(),
        target,
        match (point.certified, in_force.one_look_only()) {
            (false, _) => "no",
            (true, Some(_)) => "one look",
            (true, None) => "yes",
        }
        .to_owned(),
        point.precision_lower.map_or_else(dash, |lower| format!(">= {lower:.4}")),
        share(point.recall),
        in_force.evidence.as_ref().map_or_else(dash, |evidence| evidence.since.to_string()),
        point.certificate.clone().unwrap_or_else(dash),
        point.reason.clone().or_else(|| in_force.one_look_only().map(str::to_owned)).unwrap_or_else(dash),
    ]
}
