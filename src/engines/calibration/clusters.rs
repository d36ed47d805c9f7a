//! The lowest threshold whose precision is certified for weighted or clustered items.
//!
//! The unit is the cluster (without groups, the item). For a threshold t its payoff is the sum of w (error - alpha) over its items above t, with
//! weights scaled so that no cluster weighs more than a cap W: bounded, and independent between clusters. That its mean is at least 0
//! says that the (weighted) precision is at most 1 - alpha; [`betting`](super::betting) tests it.
//!
//! Candidates must not depend on the clusters that test them, so a tenth of the clusters, drawn by a hash and without a look at labels, places
//! candidates, starts and the default cap, and the rest tests. On fixed candidates a fixed sequence needs no further argument.

use super::{
    betting::{Against, Mixture, log_growth},
    folds::draw,
    ltt::Cut,
    ranked::Ranked,
    starts::{growing, lanes, shares},
};

/// One cluster in so many places, the others test.
const PLACES_ONE_IN: u64 = 10;
/// Candidates at most: neighbours differ by some percent of the flagged items, so more would gain nothing.
const CANDIDATES: usize = 400;
/// A bet that could lose everything would have to be forgotten when the same cluster's payoff changes; this much is kept back.
const KEPT: f64 = 1e-6;

/// Columns by row.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    pub weights: Option<&'a [f64]>,
    pub groups: Option<&'a [u32]>,
}

impl Columns<'_> {
    fn weight(&self, row: u32) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row as usize])
    }

    fn cluster(&self, row: u32) -> u32 {
        self.groups.map_or(row, |groups| groups[row as usize])
    }
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterSearch {
    /// Expected weights above the candidates at which sequences start, in caps.
    pub starts: Vec<f64>,
    /// W: what a cluster weighs at most.
    pub cap: f64,
    /// Clusters that weigh more, and are scaled down.
    pub scaled: u64,
    /// Clusters that placed, and that tested.
    pub placed: u64,
    pub tested: u64,
    pub certified: Option<Cut>,
    pub nearest: Option<(Cut, f64)>,
}

/// A cluster's items above the candidate: weights of errors and of all, in caps.
#[derive(Clone, Copy, Debug, Default)]
struct Above {
    errors: f64,
    all: f64,
}

/// Searches the lowest threshold with (capped, weighted) precision of at least 1 - `alpha`, wrong with probability at most `delta`.
///
/// `cap` is the declared W; without one, the heaviest cluster of those that place candidates. Counts in the result are of items, of all clusters.
pub fn search(ranked: &Ranked, columns: Columns, alpha: f64, delta: f64, cap: Option<f64>, seed: u64) -> ClusterSearch {
    let number = ranked.rows().iter().map(|row| columns.cluster(*row) as usize + 1).max().unwrap_or(0);
    // The weight of each cluster; `None` for codes without an item.
    let mut totals: Vec<Option<f64>> = vec![None; number];
    for &row in ranked.rows() {
        *totals[columns.cluster(row) as usize].get_or_insert(0.0) += columns.weight(row);
    }
    let places = |cluster: u32| draw(seed, u64::from(cluster)).is_multiple_of(PLACES_ONE_IN);
    let present = || (0_u32..).zip(&totals).filter_map(|(cluster, total)| total.map(|total| (cluster, total)));
    let placing = || present().filter(|(cluster, _)| places(*cluster));
    let cap = cap.unwrap_or_else(|| placing().map(|(_, total)| total).fold(0.0, f64::max));
    let share = |row: u32| {
        let total = totals[columns.cluster(row) as usize].unwrap_or(0.0);
        // An item's weight in caps; a cluster's add up to at most 1.
        if cap > 0.0 { columns.weight(row) / total.max(cap) } else { 0.0 }
    };
    let placed = placing().count() as u64;
    let mut found = ClusterSearch {
        starts: Vec::new(),
        cap,
        scaled: present().filter(|(_, total)| *total > cap).count() as u64,
        placed,
        tested: present().count() as u64 - placed,
        certified: None,
        nearest: None,
    };
    let candidates = candidates(ranked, |row| if places(columns.cluster(row)) { share(row) } else { 0.0 });
    let starts = starts(&candidates, alpha, delta);
    found.starts = starts.iter().map(|at| candidates[*at].1).collect();
    let course = Course { candidates: &candidates, starts: &starts, alpha, delta, clusters: number };
    walk(ranked, &course, &mut found, |row| {
        let cluster = columns.cluster(row);
        Some((cluster, share(row))).filter(|(cluster, share)| !places(*cluster) && *share > 0.0)
    });
    found
}

/// Candidates, strict to lax, from the items that place: the score, and how much weight to expect above it among those that test.
fn candidates(ranked: &Ranked, weight: impl Fn(u32) -> f64) -> Vec<(Option<f64>, f64)> {
    let scale = (PLACES_ONE_IN - 1) as f64;
    let mut all: Vec<(Option<f64>, f64)> = Vec::new();
    let mut sum = 0.0;
    for block in ranked.blocks() {
        let here: f64 = ranked.rows()[block.start..block.end].iter().map(|row| weight(*row)).sum();
        if here > 0.0 {
            all.push((Some(block.score), scale * sum));
        }
        sum += here;
    }
    // Evenly in the logarithm of the weight above: the first always, then whenever it has grown by a factor.
    let least = all.iter().map(|(_, above)| *above).find(|above| *above > 0.0).unwrap_or(1.0);
    let factor = (scale * sum / least).powf(1.0 / CANDIDATES as f64);
    let mut next = least;
    let mut some: Vec<_> = all
        .into_iter()
        .filter(|(_, above)| {
            let wanted = *above >= next;
            while wanted && next <= *above {
                next *= factor.max(1.0 + 1e-6);
            }
            wanted
        })
        .collect();
    if ranked.in_unit_interval() && sum > 0.0 {
        some.push((None, scale * sum));
    }
    some
}

/// Where sequences start: at the first candidate above which enough weight may be expected to refute with the start's share of delta if nothing is wrong,
/// and twice for each doubling of that.
fn starts(candidates: &[(Option<f64>, f64)], alpha: f64, delta: f64) -> Vec<usize> {
    let most = candidates.last().map_or(0.0, |(_, above)| *above);
    let from = |first: f64| {
        let wanted = growing(first).take_while(|wanted| *wanted <= most);
        let mut starts: Vec<usize> = wanted.map(|wanted| candidates.partition_point(|(_, above)| *above < wanted)).collect();
        starts.dedup();
        starts
    };
    for share in [shares(2, delta)[0], delta] {
        let starts = from(share.ln() / (-alpha).ln_1p());
        if !starts.is_empty() {
            return starts;
        }
    }
    // Too little to certify anything: the laxest candidate, to say what is near.
    candidates.len().checked_sub(1).into_iter().collect()
}

/// What is declared before the walk.
struct Course<'a> {
    /// Strict to lax: the score, and the weight to expect above it.
    candidates: &'a [(Option<f64>, f64)],
    /// Indices of candidates.
    starts: &'a [usize],
    alpha: f64,
    delta: f64,
    /// Codes of clusters lie below this.
    clusters: usize,
}

/// Walks down the candidates and keeps, for each bet, the logarithm of its capital, cluster by cluster.
fn walk(ranked: &Ranked, course: &Course, found: &mut ClusterSearch, tests: impl Fn(u32) -> Option<(u32, f64)>) {
    let &Course { candidates, starts, alpha, delta, clusters: number } = course;
    let mut lanes = lanes(starts.len(), delta);
    // Errors expected at alpha above the laxest candidate; bets much smaller than one by the square root of that never win anything.
    let expected = alpha * candidates.last().map_or(0.0, |(_, above)| *above);
    let mixture = Mixture::down_to(0.5 / expected.max(1.0).sqrt());
    let bets: Vec<f64> = mixture.bets().map(|bet| bet * (1.0 - KEPT)).collect();
    let mut logs = vec![0.0; bets.len()];
    let mut clusters = vec![Above::default(); number];
    // What the items between two candidates add, by cluster, and which clusters they are of.
    let (mut changes, mut touched) = (vec![Above::default(); number], Vec::new());
    let (mut at, mut errors) = (0, 0);
    for (index, &(above, _)) in candidates.iter().enumerate() {
        let end = above.map_or(ranked.len(), |score| ranked.above(score));
        for (row, positive) in ranked.rows()[at..end].iter().zip(&ranked.positive()[at..end]) {
            errors += u64::from(!positive);
            if let Some((cluster, share)) = tests(*row) {
                let change = &mut changes[cluster as usize];
                if change.all == 0.0 {
                    touched.push(cluster as usize);
                }
                change.all += share;
                change.errors += if *positive { 0.0 } else { share };
            }
        }
        at = end;
        for cluster in touched.drain(..) {
            let (known, change) = (&mut clusters[cluster], std::mem::take(&mut changes[cluster]));
            let next = Above { errors: known.errors + change.errors, all: known.all + change.all };
            for (log, bet) in logs.iter_mut().zip(&bets) {
                let growth = |above: &Above| log_growth(Against::AtLeast, alpha, *bet, above.errors - alpha * above.all);
                *log += growth(&next) - growth(known);
            }
            *known = next;
        }
        let cut = Cut { above, flagged: end as u64, errors };
        let capital = mixture.combine(logs.iter().copied());
        for (number, lane) in lanes.iter_mut().enumerate() {
            let begins = starts.iter().position(|start| *start == index).is_some_and(|position| usize::from(position > 0) == number);
            lane.alive = (lane.alive || begins) && capital >= -lane.delta.ln();
            if begins && cut.flagged > 0 {
                let lower = 1.0 - upper(&clusters, &mixture, lane.delta);
                if found.nearest.is_none_or(|(_, best)| lower >= best) {
                    found.nearest = Some((cut, lower));
                }
            }
        }
        if lanes.iter().any(|lane| lane.alive) {
            found.certified = Some(cut);
        }
    }
}

/// The upper bound of the error rate above a candidate.
fn upper(clusters: &[Above], mixture: &Mixture, delta: f64) -> f64 {
    // Clusters that look alike are counted, so that unweighted ones cost little.
    let mut looks: Vec<[u64; 2]> = clusters.iter().map(|above| [above.errors.to_bits(), above.all.to_bits()]).collect();
    looks.sort_unstable();
    let alike: Vec<(f64, f64, f64)> =
        looks.chunk_by(|a, b| a == b).map(|same| (f64::from_bits(same[0][0]), f64::from_bits(same[0][1]), same.len() as f64)).collect();
    let refuted = |m: f64| {
        let logs = mixture.bets().map(|bet| {
            let log = |&(errors, all, times): &(f64, f64, f64)| times * log_growth(Against::AtLeast, m, bet, errors - m * all);
            alike.iter().map(log).sum::<f64>()
        });
        mixture.combine(logs) >= -delta.ln()
    };
    let (mut low, mut high) = (0.0, 1.0);
    // To a millionth: for people.
    for _ in 0..20 {
        let middle = 0.5 * (low + high);
        if refuted(middle) { high = middle } else { low = middle }
    }
    high
}

/// Recall of what scores more than `above`, with an interval: linearised ratio of cluster sums, normal, at a confidence. For people, not for a claim.
pub fn recall(ranked: &Ranked, columns: Columns, above: Option<f64>, z: f64) -> Option<(f64, [f64; 2])> {
    let end = above.map_or(ranked.len(), |score| ranked.above(score));
    // Flagged positives and all positives of each cluster.
    let mut sums: Vec<[f64; 2]> = Vec::new();
    for (at, (&row, _)) in ranked.rows().iter().zip(ranked.positive()).enumerate().filter(|(_, (_, positive))| **positive) {
        let cluster = columns.cluster(row) as usize;
        if sums.len() <= cluster {
            sums.resize(cluster + 1, [0.0; 2]);
        }
        sums[cluster][0] += if at < end { columns.weight(row) } else { 0.0 };
        sums[cluster][1] += columns.weight(row);
    }
    sums.retain(|sum| sum[1] > 0.0);
    let [hits, all] = sums.iter().fold([0.0, 0.0], |total, sum| [total[0] + sum[0], total[1] + sum[1]]);
    if all <= 0.0 {
        return None;
    }
    let (ratio, number) = (hits / all, sums.len() as f64);
    let variance = sums.iter().map(|sum| (sum[0] - ratio * sum[1]).powi(2)).sum::<f64>() / (all * all) * number / (number - 1.0).max(1.0);
    let width = z * variance.sqrt();
    Some((ratio, [(ratio - width).max(0.0), (ratio + width).min(1.0)]))
}
