//! How long stages took, and on what.

use std::collections::BTreeMap;

use serde::Serialize;

use super::results::FileResult;

/// Milliseconds of one stage over all files that went through it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Latency {
    pub files: u64,
    pub mean: f64,
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
}

/// What the figures were measured on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hardware {
    /// As the processor calls itself; `null` where the system does not tell.
    pub cpu: Option<String>,
    /// Threads that this process may run at once.
    pub cores: usize,
    /// The adapter; `null` on the CPU path.
    pub gpu: Option<String>,
}

/// This machine, with the adapter that does the pixels' work.
pub fn hardware(gpu: Option<&str>) -> Hardware {
    let facts = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = facts.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned()));
    Hardware { cpu: model, cores: crate::engines::batch::cores(), gpu: gpu.map(str::to_owned) }
}

/// Each stage's latency.
pub(super) fn latencies<'a>(results: impl Iterator<Item = &'a FileResult>) -> BTreeMap<String, Latency> {
    let mut stages: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (stage, took) in results.flat_map(|result| &result.timings_ms) {
        stages.entry(stage).or_default().push(*took);
    }
    let latency = |(stage, mut took): (&str, Vec<f64>)| {
        took.sort_unstable_by(f64::total_cmp);
        // The smallest value that at least this share does not exceed.
        let rank = |share: f64| took[((share * took.len() as f64).ceil() as usize).clamp(1, took.len()) - 1];
        let latency = Latency {
            files: took.len() as u64,
            mean: took.iter().sum::<f64>() / took.len() as f64,
            p50: rank(0.5),
            p95: rank(0.95),
            p99: rank(0.99),
        };
        (stage.to_owned(), latency)
    };
    stages.into_iter().map(latency).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let result = |took: f64| FileResult { timings_ms: [("decode".to_owned(), took)].into(), ..FileResult::default() };
        let results: Vec<_> = (1..=100).rev().map(|took| result(f64::from(took))).collect();
        let found = latencies(results.iter());
        assert_eq!(found["decode"], Latency { files: 100, mean: 50.5, p50: 50.0, p95: 95.0, p99: 99.0 });
        assert_eq!(latencies(results[..1].iter())["decode"].p99, 100.0);
        assert!(hardware(None).cores > 0);
    }
}
