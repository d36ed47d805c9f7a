//! From a labelled sample and what is wanted to claims: chooses the search, shares delta among claims, and says what was assumed.

use super::{
    binomial::{clopper_pearson, lower_bound, normal_quantile, sample_size, upper_bound},
    claim,
    clusters::{self, ClusterSearch, Columns},
    grid::{self, Fwer, PValue},
    lattice::Lattice,
    ltt::{self, Cut},
    ranked::Ranked,
    recall, shift,
    starts::shares,
};
use crate::domain::{
    certificate::{Claim, ClaimKind, Needed, PrevalenceSource, Procedure},
    labelled::Labelled,
};

/// The part of delta that an interval of the prevalence from labelled traffic takes.
pub const PART_OF_PREVALENCE: f64 = 0.1;
/// Draws the clusters that place candidates, and the folds. Fixed, so that the same file gives the same certificate.
pub const SEED: u64 = 1;

/// For which share of positives precision is claimed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Prevalence {
    /// The sample's.
    Sample,
    Given(f64),
    /// Every prevalence in it.
    Interval(f64, f64),
    /// So many positives among so many labelled items of the traffic.
    Traffic {
        positives: u64,
        items: u64,
    },
}

/// Thresholds that were declared, to be compared with MAPIE.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    pub candidates: Vec<f64>,
    pub fwer: Fwer,
    pub p_value: PValue,
}

/// What is claimed.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    Precision(f64),
    Recall(f64),
}

/// Everything that has to be declared before a label is looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The first one is the document's.
    pub targets: Vec<Target>,
    /// In 0..1: no claim of the document is wrong, but for a chance of 1 - this.
    pub confidence: f64,
    pub prevalence: Prevalence,
    /// The largest weight, or weight of a cluster, that counts.
    pub cap: Option<f64>,
    pub grid: Option<Grid>,
}

/// Claims and how they were come by.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// Targets for everything, then targets for each slice.
    pub claims: Vec<Claim>,
    pub procedure: Procedure,
    pub assumptions: Vec<String>,
    pub warnings: Vec<String>,
}

/// What cannot be claimed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertifyError {
    #[error(
        "a claim for another prevalence than the sample's needs unweighted, independent items; leave out the weight and group columns, or the prevalence"
    )]
    ShiftOfClusters,
    #[error("recall is only claimed for unweighted, independent items; leave out the weight and group columns, or the target recall")]
    RecallOfClusters,
    #[error(
        "a grid of candidates is for unweighted, independent items at the sample's prevalence; leave out the weight and group columns and the prevalence"
    )]
    GridOnly,
}

/// What all claims of one document share.
pub(super) struct Terms<'a> {
    pub wanted: &'a Wanted,
    pub columns: Columns<'a>,
    pub lattice: Lattice,
    /// Of each claim.
    pub delta: f64,
    /// The prevalence that claims are made for, its interval, where it comes from; `None` is the sample's.
    pub prevalence: Option<(f64, [f64; 2], PrevalenceSource)>,
}

impl Terms<'_> {
    pub const fn clustered(&self) -> bool {
        self.columns.weights.is_some() || self.columns.groups.is_some()
    }
}

/// Makes every claim that is wanted, for all items and for each slice.
///
/// # Errors
/// See [`CertifyError`].
pub fn certify(data: &Labelled, ranked: &Ranked, wanted: &Wanted) -> Result<Findings, CertifyError> {
    let columns = Columns { weights: data.weights.as_deref(), groups: data.groups.as_ref().map(|groups| groups.codes.as_slice()) };
    let clustered = columns.weights.is_some() || columns.groups.is_some();
    let shifted = wanted.prevalence != Prevalence::Sample;
    if wanted.grid.is_some() && (clustered || shifted) {
        return Err(CertifyError::GridOnly);
    }
    if clustered && shifted {
        return Err(CertifyError::ShiftOfClusters);
    }
    if clustered && wanted.targets.iter().any(|target| matches!(target, Target::Recall(_))) {
        return Err(CertifyError::RecallOfClusters);
    }
    let slices: Vec<(String, Ranked)> = data
        .slices
        .as_ref()
        .map_or_else(Vec::new, |slices| slices.names.iter().cloned().zip(ranked.split(&slices.codes, slices.names.len())).collect());
    let whole = 1.0 - wanted.confidence;
    let (prevalence, rest) = prevalence(wanted.prevalence, whole);
    let delta = rest / (wanted.targets.len() * (1 + slices.len())) as f64;
    let terms = Terms { wanted, columns, lattice: Lattice::of(ranked), delta, prevalence };
    let populations = std::iter::once((None, ranked)).chain(slices.iter().map(|(name, part)| (Some(name.clone()), part)));
    let mut claims = Vec::new();
    let (mut procedure, mut warnings) = (None, Vec::new());
    for (slice, part) in populations {
        for target in &wanted.targets {
            let made = one(&terms, target, part, slice.clone());
            if let Some(warning) = made.warning
                && !warnings.contains(&warning)
            {
                warnings.push(warning);
            }
            claims.push(made.claim);
            procedure.get_or_insert((made.candidates, made.starts, made.alpha, made.cap));
        }
    }
    let (candidates, starts, alpha, cap) = procedure.unwrap_or_default();
    let procedure = Procedure { candidates, starts, alpha, delta: whole, delta_each: delta, cap };
    let assumptions = claim::assumptions(&terms, cap, slices.len());
    Ok(Findings { claims, procedure, assumptions, warnings })
}

/// The prevalence, its interval and source, and what is left of delta.
fn prevalence(wanted: Prevalence, delta: f64) -> (Option<(f64, [f64; 2], PrevalenceSource)>, f64) {
    match wanted {
        Prevalence::Sample => (None, delta),
        Prevalence::Given(given) => (Some((given, [given, given], PrevalenceSource::Given)), delta),
        // Precision grows with the prevalence: the lower end is the least favourable.
        Prevalence::Interval(low, high) => (Some((low, [low, high], PrevalenceSource::Interval)), delta),
        Prevalence::Traffic { positives, items } => {
            let part = PART_OF_PREVALENCE * delta;
            // Only the lower end is part of the claim; the upper one is for people.
            let interval = [lower_bound(positives, items, part), upper_bound(positives, items, part)];
            (Some((interval[0], interval, PrevalenceSource::Traffic)), delta - part)
        }
    }
}

/// One claim, and what its search was.
struct Made {
    claim: Claim,
    candidates: String,
    starts: Vec<f64>,
    alpha: f64,
    cap: Option<f64>,
    warning: Option<String>,
}

fn one(terms: &Terms, target: &Target, ranked: &Ranked, slice: Option<String>) -> Made {
    match target {
        Target::Recall(target) => of_recall(terms, *target, ranked, slice),
        Target::Precision(target) => match (&terms.wanted.grid, terms.prevalence) {
            (Some(grid), _) => of_grid(terms, grid, *target, ranked, slice),
            (None, Some((prevalence, ..))) => of_shift(terms, *target, ranked, slice, prevalence),
            (None, None) if terms.clustered() => of_clusters(terms, *target, ranked, slice),
            (None, None) => of_sample(terms, *target, ranked, slice),
        },
    }
}

fn of_sample(terms: &Terms, target: f64, ranked: &Ranked, slice: Option<String>) -> Made {
    let alpha = 1.0 - target;
    let found = ltt::search(ranked, alpha, terms.delta);
    let half = |cut: &Cut| cut.errors as f64 <= 0.5 * alpha * cut.flagged as f64;
    let mut claim = claim::precision(terms, target, ranked, slice, found.certified, found.nearest);
    claim.method = format!(
        "learn-then-test along every distinct score, exact binomial tails, {} starts{}",
        found.starts.len(),
        if found.starts.len() > 1 { ", half of delta on the strictest" } else { "" }
    );
    claim.fallback_threshold = claim::stricter(terms, ltt::stricter(ranked, found.certified.as_ref(), half));
    if !claim.certified {
        let strictest = shares(found.starts.len(), terms.delta)[0];
        let flags = sample_size(0, alpha, strictest);
        let observed = found.nearest.and_then(|(cut, _)| claim::at_observed_rate(&cut, alpha, strictest));
        claim.needed = Some(claim::needed_flags(target, flags, observed));
    }
    Made {
        claim,
        candidates: "every distinct score, counting what scores more".to_owned(),
        starts: found.starts.iter().map(|start| *start as f64).collect(),
        alpha,
        cap: None,
        warning: None,
    }
}

fn of_shift(terms: &Terms, target: f64, ranked: &Ranked, slice: Option<String>, prevalence: f64) -> Made {
    let found = shift::search(ranked, target, terms.delta, prevalence);
    let positives = ranked.positives();
    let negatives = ranked.len() as u64 - positives;
    // Half the tolerated error rate, at the claim's prevalence.
    let half = |cut: &Cut| claim::at_prevalence(cut, positives, negatives, prevalence).is_some_and(|p| p >= 0.5 * (1.0 + target));
    let mut claim = claim::precision(terms, target, ranked, slice, found.certified, found.nearest);
    claim.method = format!(
        "exact binomial bounds of both classes at prevalence {prevalence}, along every distinct score, {} starts among negatives",
        found.starts.len()
    );
    claim.fallback_threshold = claim::stricter(terms, ltt::stricter(ranked, found.certified.as_ref(), half));
    if !claim.certified {
        let strictest = shares(found.starts.len(), terms.delta)[0];
        let recall = found.nearest.map_or(1.0, |(cut, _)| (cut.flagged - cut.errors) as f64 / positives.max(1) as f64);
        let recall = if recall > 0.0 { recall } else { 1.0 };
        claim.needed = Some(claim::needed_negatives(target, prevalence, recall, (1.0 - shift::PART_OF_RECALL) * strictest));
    }
    Made {
        claim,
        candidates: "every distinct score, counting what scores more".to_owned(),
        starts: found.starts.iter().map(|start| *start as f64).collect(),
        alpha: 1.0 - target,
        cap: None,
        warning: None,
    }
}

fn of_clusters(terms: &Terms, target: f64, ranked: &Ranked, slice: Option<String>) -> Made {
    let alpha = 1.0 - target;
    let found = clusters::search(ranked, terms.columns, alpha, terms.delta, terms.wanted.cap, SEED);
    let mut claim = claim::precision(terms, target, ranked, slice, found.certified, found.nearest);
    let ClusterSearch { placed, tested, cap, .. } = found;
    claim.method = format!(
        "betting on {tested} clusters with a cap of {cap}, candidates placed by {placed} others, {} starts; recall: linearised ratio of clusters, normal",
        found.starts.len()
    );
    let above = found.certified.map_or_else(|| found.nearest.map(|(cut, _)| cut.above), |cut| Some(cut.above));
    let z = normal_quantile(0.5 + terms.wanted.confidence / 2.0);
    let recall = above.and_then(|above| clusters::recall(ranked, terms.columns, above, z));
    claim.recall_observed = recall.map(|(ratio, _)| ratio);
    claim.recall_interval = recall.map(|(_, interval)| interval);
    let half = |cut: &Cut| cut.errors as f64 <= 0.5 * alpha * cut.flagged as f64;
    claim.fallback_threshold = claim::stricter(terms, ltt::stricter(ranked, found.certified.as_ref(), half));
    if !claim.certified {
        let strictest = shares(found.starts.len(), terms.delta)[0];
        claim.needed = Some(claim::needed_clusters(target, cap, strictest));
    }
    let warning = (found.scaled > 0).then(|| format!("{} clusters weigh more than the cap of {cap} and count as {cap}", found.scaled));
    Made {
        claim,
        candidates: "up to 400 scores placed by a tenth of the clusters".to_owned(),
        starts: found.starts,
        alpha,
        cap: Some(cap),
        warning,
    }
}

fn of_recall(terms: &Terms, target: f64, ranked: &Ranked, slice: Option<String>) -> Made {
    let found = recall::search(ranked, target, terms.delta);
    let positives = ranked.positives();
    let mut claim = claim::empty(terms, slice);
    claim.kind = ClaimKind::Recall;
    claim.target_recall = Some(target);
    claim.method = "binomial tolerance limit on the order statistics of the positives".to_owned();
    claim.prevalence = (!ranked.is_empty()).then(|| positives as f64 / ranked.len() as f64);
    if let Some(cut) = found {
        claim.certified = true;
        claim.threshold = Some(cut.threshold);
        (claim.n_flagged, claim.n_errors) = (cut.flagged, cut.flagged - cut.hits);
        claim.precision_observed = Some(cut.hits as f64 / cut.flagged as f64);
        claim.recall_observed = Some(cut.hits as f64 / positives as f64);
        claim.recall_interval = Some(clopper_pearson(cut.hits, positives, terms.wanted.confidence));
    } else {
        let needed = recall::positives_needed(target, terms.delta);
        claim.reason = Some(format!("{positives} positives cannot show a recall of {target}, even if every one of them is flagged"));
        let text = format!("{needed} labelled positives, if all are flagged");
        claim.needed = Some(Needed { positives: Some(needed), text, ..Needed::default() });
    }
    Made { claim, candidates: "scores of positives".to_owned(), starts: Vec::new(), alpha: 1.0 - target, cap: None, warning: None }
}

fn of_grid(terms: &Terms, wanted: &Grid, target: f64, ranked: &Ranked, slice: Option<String>) -> Made {
    let alpha = 1.0 - target;
    let found = grid::search(ranked, alpha, terms.delta, &wanted.candidates, wanted.fwer, wanted.p_value);
    let as_cut = |cut: grid::GridCut| Cut { above: None, flagged: cut.flagged, errors: cut.errors };
    let share = terms.delta / wanted.candidates.len().max(1) as f64;
    let nearest = found.nearest.map(|cut| (as_cut(cut), 1.0 - upper_bound(cut.errors, cut.flagged, share)));
    let mut claim = claim::precision(terms, target, ranked, slice, found.certified.map(as_cut), nearest);
    claim.threshold = found.certified.map(|cut| cut.threshold);
    let fwer = match wanted.fwer {
        Fwer::Bonferroni => "Bonferroni",
        Fwer::Holm => "Holm",
        Fwer::FixedSequence => "fixed sequence",
    };
    let p_value = match wanted.p_value {
        PValue::Exact => "exact binomial tails",
        PValue::HoeffdingBentkus => "Hoeffding-Bentkus",
    };
    claim.method = format!("learn-then-test on {} declared thresholds, {p_value}, {fwer}", wanted.candidates.len());
    if !claim.certified {
        let flags = sample_size(0, alpha, share);
        let observed = nearest.and_then(|(cut, _)| claim::at_observed_rate(&cut, alpha, share));
        claim.needed = Some(claim::needed_flags(target, flags, observed));
    }
    let warning = found.ascending.then(|| {
        "precision falls with the threshold in this sample, so the sequence went from lax to strict as MAPIE's does; that order was taken from labels, which the claim does not account for".to_owned()
    });
    Made {
        claim,
        candidates: "a declared grid, counting what scores at least".to_owned(),
        starts: wanted.candidates.clone(),
        alpha,
        cap: None,
        warning,
    }
}
