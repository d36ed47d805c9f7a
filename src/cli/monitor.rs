//! `nightlight monitor`.

use std::sync::Arc;

use clap::Args;

use super::{Failure, block_on, open_existing_store, output};
use crate::{
    config::Config,
    domain::ids::TenantId,
    services::{
        monitor::{KeyReport, Monitor, Settings},
        operating_points::{OperatingPoints, Running},
    },
    store::Store,
};

#[derive(Args, Debug)]
pub(super) struct LiveMonitor {
    /// One JSON document with everything, as GET /monitor answers, instead of a table
    #[arg(long)]
    json: bool,
}

impl LiveMonitor {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        block_on(async {
            let store = open_existing_store(config).await?;
            let (_, monitor) = in_force(config, &store).await?;
            let report = monitor.report(TenantId::DEFAULT).await?;
            store.close().await;
            if self.json {
                return Ok(output::json_line(&report)?);
            }
            let rows: Vec<_> = report.points.iter().map(row).collect();
            let header =
                ["technology", "label", "slice", "state", "n", "errors", "precision", "bounds", "target", "decided", "recall", "certified"];
            Ok(output::table(header, &rows)?)
        })
    }
}

/// The operating points in force and what live review says of them, as the running server has it. Judging is the server's: this only reads what it left.
pub(super) async fn in_force(config: &Config, store: &Store) -> Result<(Arc<OperatingPoints>, Arc<Monitor>), Failure> {
    let points = OperatingPoints::load(config, Running::load(config), store.clone()).await?;
    let settings = Settings::new(&config.monitor, &config.audit, config.services.keys().cloned());
    let monitor = Monitor::reader(store.clone(), points.clone(), settings).await?;
    Ok((points, monitor))
}

fn row(point: &KeyReport) -> [String; 12] {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
    let certified = match &point.reason {
        _ if point.certified => "yes".to_owned(),
        Some(reason) => format!("no: {reason}"),
        None => "no".to_owned(),
    };
    [
        point.technology.clone(),
        point.label.clone(),
        point.slice.clone().unwrap_or_else(|| "all".to_owned()),
        point.state.map_or("no target", |state| state.as_str()).to_owned(),
        point.n.to_string(),
        point.errors.to_string(),
        number(point.precision_observed),
        format!("{:.4}..{:.4}", point.precision_lower, point.precision_upper),
        point.target_precision.map_or_else(|| "-".to_owned(), |target| target.to_string()),
        format!("{:.0} %", 100.0 * point.review_share),
        number(point.recall.as_ref().and_then(|recall| recall.recall)),
        certified,
    ]
}
