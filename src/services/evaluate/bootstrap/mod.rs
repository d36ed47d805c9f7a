//! The cluster bootstrap: what the metrics would have been, had the clusters been drawn anew.
//!
//! A replicate draws as many clusters as there are, with replacement, and computes every metric of what it drew ([`Plan`]), in one walk over the
//! items by descending score. Items without a group are clusters of one. Replicates run on all cores; each has random numbers of its own, so a
//! seed gives the same intervals whatever the machine. Intervals are percentiles of the replicates (Efron and Tibshirani 1993, chapter 13).

mod draw;
mod pass;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

pub use self::pass::{Plan, Replicate};
use super::sorted::Sorted;

/// Draws and computes `replicates` times; `done` is called after each, from any thread.
pub(super) fn run(sorted: &Sorted, plan: &Plan<'_>, replicates: u32, seed: u64, done: &(dyn Fn() + Sync)) -> Vec<Replicate> {
    let clusters = sorted.clusters() as usize;
    (0..u64::from(replicates))
        .into_par_iter()
        .map_init(
            || vec![0; clusters],
            |drawn, number| {
                draw::draw(drawn, &mut draw::generator(seed, number));
                let replicate = plan.replicate(drawn);
                done();
                replicate
            },
        )
        .collect()
}

/// How often each cluster was drawn in a replicate.
pub(super) fn multiplicities(sorted: &Sorted, seed: u64, replicate: u64) -> Vec<u8> {
    let mut drawn = vec![0; sorted.clusters() as usize];
    draw::draw(&mut drawn, &mut draw::generator(seed, replicate));
    drawn
}

/// The interval between two percentiles that holds `confidence` of the values, those in between interpolated; `None` without values.
pub(super) fn percentiles(values: impl IntoIterator<Item = f64>, confidence: f64) -> Option<[f64; 2]> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let at = |share: f64| {
        let place = share * last as f64;
        let below = place.floor() as usize;
        let above = (below + 1).min(last);
        values[below] + (place - below as f64) * (values[above] - values[below])
    };
    let outside = (1.0 - confidence) / 2.0;
    Some([at(outside), at(1.0 - outside)])
}

#[cfg(test)]
mod tests;
