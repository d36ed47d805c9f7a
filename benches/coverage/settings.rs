//! The settings: what is drawn, what is claimed, and what is true.

use nightlight::{
    engines::calibration::{
        betting::{Against, ErrorSequence},
        binomial,
        clusters::{self, Columns},
        ltt,
        ranked::Ranked,
        recall, shift,
    },
    testing::populations::{Dice, GOOD, NOISE_AT_THE_TOP, NON_MONOTONE, Population, SATURATED, TIES, USELESS},
};

/// What came of one sample.
pub struct Draw {
    pub certified: bool,
    /// The claim was false.
    pub wrong: bool,
    /// True recall of the certified threshold.
    pub recall: Option<f64>,
}

/// One row of the table.
pub struct Setting {
    pub name: String,
    pub n: usize,
    pub target: f64,
    pub delta: f64,
    /// The best recall that a threshold with the target can have.
    pub oracle: f64,
    pub naive: bool,
    pub certified_at_least: f64,
    pub recall_at_least: f64,
    pub draw: Box<dyn Fn(u64) -> Draw + Sync>,
}

const DELTA: f64 = 0.05;

fn claim(population: Population, above: Option<Option<f64>>, target: f64, prevalence: f64) -> Draw {
    match above {
        None => Draw { certified: false, wrong: false, recall: None },
        Some(above) => Draw {
            certified: true,
            // Rounding of the truth itself.
            wrong: population.precision(above, prevalence) < target - 1e-12,
            recall: Some(above.map_or(1.0, |above| population.above(above).0)),
        },
    }
}

fn setting(name: String, n: usize, target: f64, oracle: f64, draw: impl Fn(u64) -> Draw + Sync + 'static) -> Setting {
    Setting { name, n, target, delta: DELTA, oracle, naive: false, certified_at_least: 0.0, recall_at_least: 0.0, draw: Box::new(draw) }
}

pub fn settings() -> Vec<Setting> {
    let mut all = Vec::new();
    for (population, prevalence, target) in [
        (GOOD, 0.5, 0.99),
        (GOOD, 0.1, 0.95),
        (GOOD, 0.1, 0.99),
        (SATURATED, 0.2, 0.98),
        (TIES, 0.2, 0.97),
        (NON_MONOTONE, 0.2, 0.95),
        (NON_MONOTONE, 0.5, 0.98),
        (USELESS, 0.9, 0.9),
    ] {
        for n in [1_000, 10_000, 100_000] {
            all.push(independent(population, n, prevalence, target));
        }
    }
    for n in [5_000, 10_000, 100_000] {
        // 2.5 % of what the classifier finds is labelled wrong, at every score, and the target is 95 %.
        // A thousand positives are few for that: the row of 5,000 shows it, and nothing is asked of it.
        let asked = if n > 5_000 { (0.85, 0.75) } else { (0.0, 0.0) };
        all.push(Setting { certified_at_least: asked.0, recall_at_least: asked.1, ..independent(NOISE_AT_THE_TOP, n, 0.2, 0.95) });
        all.push(naive(GOOD, n, 0.1, 0.95));
        all.push(naive(NON_MONOTONE, n, 0.2, 0.95));
        all.push(recall_setting(GOOD, n, 0.1, 0.9));
        all.push(recall_setting(TIES, n, 0.1, 0.95));
    }
    for (population, prevalence, target) in
        [(GOOD, 0.01, 0.9), (GOOD, 0.1, 0.95), (SATURATED, 0.02, 0.8), (TIES, 0.05, 0.95), (NON_MONOTONE, 0.05, 0.8)]
    {
        all.push(shifted(population, 100_000, 0.5, prevalence, target));
        all.push(shifted(population, 20_000, 0.2, prevalence, target - 0.1));
    }
    all.push(from_traffic(GOOD, 50_000, 0.05, 0.9));
    for (n, size, cap) in [(20_000, 4, Some(4.0)), (20_000, 20, Some(20.0)), (20_000, 20, None), (100_000, 20, Some(20.0))] {
        all.push(clustered(GOOD, n, 0.2, 0.95, size, cap));
    }
    all.push(clustered(NON_MONOTONE, 50_000, 0.2, 0.93, 5, Some(5.0)));
    all.push(ignoring_clusters(GOOD, 20_000, 0.2, 0.95, 20));
    all.push(cluster_level(50_000, 0.95));
    all.push(weighted(GOOD, 50_000, 0.1, 0.95));
    all.push(peeking(2_000, 0.02));
    all.push(peeking(2_000, 0.2));
    all.push(Setting { naive: true, ..peeking_at_clopper_pearson(2_000, 0.02) });
    all
}

fn independent(population: Population, n: usize, prevalence: f64, target: f64) -> Setting {
    let name = format!("{}, prevalence {prevalence}", population.name);
    setting(name, n, target, population.oracle_recall(target, prevalence), move |seed| {
        let (scores, positive) = population.sample(n, prevalence, &mut Dice::new(seed));
        let found = ltt::search(&Ranked::new(&scores, &positive), 1.0 - target, DELTA);
        claim(population, found.certified.map(|cut| cut.above), target, prevalence)
    })
}

/// The lowest threshold whose precision in the sample is the target.
fn naive(population: Population, n: usize, prevalence: f64, target: f64) -> Setting {
    let name = format!("naive: {}, prevalence {prevalence}", population.name);
    let oracle = population.oracle_recall(target, prevalence);
    Setting {
        naive: true,
        ..setting(name, n, target, oracle, move |seed| {
            let (scores, positive) = population.sample(n, prevalence, &mut Dice::new(seed));
            let met = |cut: &ltt::Cut| cut.errors as f64 <= (1.0 - target) * cut.flagged as f64;
            let found = ltt::stricter(&Ranked::new(&scores, &positive), None, met);
            claim(population, found.map(|cut| cut.above), target, prevalence)
        })
    }
}

fn recall_setting(population: Population, n: usize, prevalence: f64, target: f64) -> Setting {
    setting(format!("recall, {}, prevalence {prevalence}", population.name), n, target, 1.0, move |seed| {
        let (scores, positive) = population.sample(n, prevalence, &mut Dice::new(seed));
        let found = recall::search(&Ranked::new(&scores, &positive), target, DELTA);
        // At least the threshold is flagged: more than whatever lies just below it.
        let reached = found.map(|cut| population.above(cut.threshold - population.grid.unwrap_or(0.0)).0);
        Draw { certified: reached.is_some(), wrong: reached.is_some_and(|recall| recall < target - 1e-12), recall: reached }
    })
}

fn shifted(population: Population, n: usize, of_sample: f64, prevalence: f64, target: f64) -> Setting {
    let name = format!("shift {of_sample} to {prevalence}, {}", population.name);
    setting(name, n, target, population.oracle_recall(target, prevalence), move |seed| {
        let (scores, positive) = population.sample(n, of_sample, &mut Dice::new(seed));
        let found = shift::search(&Ranked::new(&scores, &positive), target, DELTA, prevalence);
        claim(population, found.certified.map(|cut| cut.above), target, prevalence)
    })
}

/// The prevalence from 20,000 labelled items of traffic, whose interval takes a tenth of delta.
fn from_traffic(population: Population, n: usize, prevalence: f64, target: f64) -> Setting {
    let name = format!("shift 0.5 to {prevalence} of labelled traffic, {}", population.name);
    setting(name, n, target, population.oracle_recall(target, prevalence), move |seed| {
        let mut dice = Dice::new(seed);
        let (scores, positive) = population.sample(n, 0.5, &mut dice);
        let positives = (0..20_000).filter(|_| dice.uniform() < prevalence).count() as u64;
        let low = binomial::lower_bound(positives, 20_000, 0.1 * DELTA);
        let found = shift::search(&Ranked::new(&scores, &positive), target, 0.9 * DELTA, low);
        claim(population, found.certified.map(|cut| cut.above), target, prevalence)
    })
}

/// Clusters of 1 to `size` items that share score and label: as dependent as can be.
fn clusters_of(population: Population, n: usize, prevalence: f64, size: usize, dice: &mut Dice) -> (Vec<f64>, Vec<bool>, Vec<u32>) {
    let (mut scores, mut positive, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    let mut cluster = 0;
    while scores.len() < n {
        let label = dice.uniform() < prevalence;
        let score = population.draw(label, dice);
        let items = 1 + (dice.uniform() * size as f64) as usize;
        for _ in 0..items {
            // A hair apart, so that they are no ties.
            scores.push(score - 1e-9 * dice.uniform());
            positive.push(label);
            groups.push(cluster);
        }
        cluster += 1;
    }
    (scores, positive, groups)
}

fn clustered(population: Population, n: usize, prevalence: f64, target: f64, size: usize, cap: Option<f64>) -> Setting {
    let of = cap.map_or("by the placing clusters".to_owned(), |cap| cap.to_string());
    let name = format!("clusters of 1 to {size} equal items, cap {of}, {}", population.name);
    setting(name, n, target, population.oracle_recall(target, prevalence), move |seed| {
        let (scores, positive, groups) = clusters_of(population, n, prevalence, size, &mut Dice::new(seed));
        let columns = Columns { weights: None, groups: Some(&groups) };
        let found = clusters::search(&Ranked::new(&scores, &positive), columns, 1.0 - target, DELTA, cap, seed);
        claim(population, found.certified.map(|cut| cut.above), target, prevalence)
    })
}

/// The same data as if the items were independent.
fn ignoring_clusters(population: Population, n: usize, prevalence: f64, target: f64, size: usize) -> Setting {
    let name = format!("naive: clusters of 1 to {size} equal items taken as independent, {}", population.name);
    let oracle = population.oracle_recall(target, prevalence);
    Setting {
        naive: true,
        ..setting(name, n, target, oracle, move |seed| {
            let (scores, positive, _) = clusters_of(population, n, prevalence, size, &mut Dice::new(seed));
            let found = ltt::search(&Ranked::new(&scores, &positive), 1.0 - target, DELTA);
            claim(population, found.certified.map(|cut| cut.above), target, prevalence)
        })
    }
}

/// One cluster in fifty is viral, with 50 copies that are all right; a cluster counts once (cap 1), so it is the precision of clusters that is claimed.
fn cluster_level(n: usize, target: f64) -> Setting {
    let (population, prevalence) = (GOOD, 0.2);
    let name = "clusters with copies, each counted once (cap 1), good".to_owned();
    setting(name, n, target, population.oracle_recall(target, prevalence), move |seed| {
        let mut dice = Dice::new(seed);
        let (mut scores, mut positive, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        let mut cluster = 0;
        while scores.len() < n {
            let label = dice.uniform() < prevalence;
            let score = population.draw(label, &mut dice);
            let copies = if label && dice.uniform() < 0.02 { 50 } else { 1 };
            scores.extend((0..copies).map(|_| score));
            positive.extend((0..copies).map(|_| label));
            groups.extend((0..copies).map(|_| cluster));
            cluster += 1;
        }
        let columns = Columns { weights: None, groups: Some(&groups) };
        let found = clusters::search(&Ranked::new(&scores, &positive), columns, 1.0 - target, DELTA, Some(1.0), seed);
        claim(population, found.certified.map(|cut| cut.above), target, prevalence)
    })
}

/// Items with a score above 1.5 are always in the sample, others one time in four, with the weight 4.
fn weighted(population: Population, n: usize, prevalence: f64, target: f64) -> Setting {
    let name = format!("weights 1 and 4 by score, {}", population.name);
    setting(name, n, target, population.oracle_recall(target, prevalence), move |seed| {
        let mut dice = Dice::new(seed);
        let (scores, positive) = population.sample(n, prevalence, &mut dice);
        let (mut some, mut labels, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for (score, positive) in scores.into_iter().zip(positive) {
            let weight = if score > 1.5 { 1.0 } else { 4.0 };
            if dice.uniform() < 1.0 / weight {
                some.push(score);
                labels.push(positive);
                weights.push(weight);
            }
        }
        let columns = Columns { weights: Some(&weights), groups: None };
        let found = clusters::search(&Ranked::new(&some, &labels), columns, 1.0 - target, DELTA, Some(4.0), seed);
        claim(population, found.certified.map(|cut| cut.above), target, prevalence)
    })
}

/// A monitor that looks after every review: the true error rate must never be outside its bounds (delta / 2 for each). `certified` counts the runs whose
/// upper bound came below twice the rate.
fn peeking(n: usize, rate: f64) -> Setting {
    setting(format!("monitor at error rate {rate}, looking after every review"), n, 1.0 - rate, 1.0, move |seed| {
        let mut dice = Dice::new(seed);
        let mut sequence = ErrorSequence::new(1.0);
        let mut wrong = false;
        for _ in 0..n {
            sequence.add(dice.uniform() < rate, 1.0).expect("the weight is the cap");
            wrong |= [Against::AtMost, Against::AtLeast].iter().any(|against| sequence.evidence(*against, rate) >= -(DELTA / 2.0).ln());
        }
        Draw { certified: sequence.upper(DELTA / 2.0) < 2.0 * rate, wrong, recall: None }
    })
}

fn peeking_at_clopper_pearson(n: usize, rate: f64) -> Setting {
    setting(format!("naive: Clopper-Pearson after every review, error rate {rate}"), n, 1.0 - rate, 1.0, move |seed| {
        let mut dice = Dice::new(seed);
        let (mut errors, mut wrong) = (0, false);
        for n in 1..=n as u64 {
            errors += u64::from(dice.uniform() < rate);
            wrong |= binomial::cdf(errors, n, rate) <= DELTA / 2.0 || binomial::tail(errors, n, rate) <= DELTA / 2.0;
        }
        Draw { certified: binomial::upper_bound(errors, n as u64, DELTA / 2.0) < 2.0 * rate, wrong, recall: None }
    })
}
