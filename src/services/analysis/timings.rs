//! How long each stage of one attachment took.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Milliseconds per stage, for the answer; the same durations go into the histogram of stages.
#[derive(Debug)]
pub(in crate::services) struct Timings {
    started: Instant,
    stages: BTreeMap<&'static str, Duration>,
}

impl Timings {
    /// Starts the clock of the whole.
    pub(in crate::services) fn start() -> Self {
        Self { started: Instant::now(), stages: BTreeMap::new() }
    }

    /// Adds to a stage.
    pub(in crate::services) fn add(&mut self, stage: &'static str, took: Duration) {
        *self.stages.entry(stage).or_default() += took;
    }

    /// Milliseconds, rounded to microseconds, with the `total` so far.
    pub(in crate::services) fn so_far(&self) -> BTreeMap<&'static str, f64> {
        let total = std::iter::once(("total", self.started.elapsed()));
        self.stages.iter().map(|(stage, took)| (*stage, *took)).chain(total).map(|(stage, took)| (stage, milliseconds(took))).collect()
    }

    /// The same, once all stages are done; also goes into the histogram.
    pub(in crate::services) fn finish(mut self) -> BTreeMap<&'static str, f64> {
        self.add("total", self.started.elapsed());
        for (stage, took) in &self.stages {
            metrics::histogram!(crate::telemetry::metric::STAGE_SECONDS, "stage" => *stage).record(took.as_secs_f64());
        }
        self.stages.into_iter().map(|(stage, took)| (stage, milliseconds(took))).collect()
    }
}

fn milliseconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 1e6).round() / 1e3
}

/// Runs `work` within `span`, which a trace shows, and says how long it took.
pub(in crate::services) fn timed<T>(span: tracing::Span, work: impl FnOnce() -> T) -> (T, Duration) {
    let _entered = span.entered();
    let started = Instant::now();
    let result = work();
    (result, started.elapsed())
}
