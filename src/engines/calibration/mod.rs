//! Scores and labels to calibrators and claims; pure. What a claim says, and why it is true.
//!
//! # The question
//!
//! Items are independent draws (S, Y) of a score and a label. Flagging what scores more than t has the precision P(Y = 1 | S > t). We are given a
//! sample, a target such as 99 %, and a confidence 1 - delta, and want the *lowest* threshold, because it finds most, that has the target: with
//! the promise that, whatever the distribution is, a sample leads us to a threshold without it with probability at most delta. The sample's own
//! precision promises nothing of the kind: the lowest threshold at which it reaches the target is wrong about every second time
//! (`benches/coverage`, rows `naive`).
//!
//! ```
//! use nightlight::engines::calibration::{ltt, ranked::Ranked};
//! // 1,000 positives above 1,000 negatives, no two scores alike.
//! let scores: Vec<f64> = (0..2000).map(|i| f64::from(i) / 2000.0).collect();
//! let positive: Vec<bool> = (0..2000).map(|i| i >= 1000).collect();
//! let found = ltt::search(&Ranked::new(&scores, &positive), 0.01, 0.05);
//! let cut = found.certified.unwrap();
//! // Five errors among 1,000 and some flagged items still show 99 % at 95 %; the next one does not.
//! assert_eq!((cut.errors, cut.flagged > 1000), (cut.flagged - 1000, true));
//! ```
//!
//! # One threshold
//!
//! Write alpha for 1 - target and call t bad when P(Y = 0 | S > t) > alpha. If t is given beforehand, then among N flagged items the number of errors is
//! binomial with a rate above alpha, so that P(Bin(N, alpha) <= errors) <= delta happens with probability at most delta: an exact test ([`ltt::ErrorTest`]).
//! With no error it takes ln(delta) / ln(1 - alpha) flagged items, 299 for 99 % at 95 %. The tail is computed exactly for any n ([`binomial`]).
//!
//! # Many thresholds: sequences
//!
//! Testing from strict to lax and stopping at the first test that fails costs nothing (Learn then Test with a fixed sequence: Angelopoulos et al. 2021): to
//! certify something bad, the *first* bad candidate has to pass, and that is one test. But the strictest candidates have too few items above
//! them to pass, and one error near the top ends the sequence for good. So there are several starts, at ranks that follow from n, alpha and delta alone, and delta
//! is divided among them ([`starts`]). The result is the lowest candidate that any start reached. Candidates are **all** distinct scores
//! of the sample; the test at the candidate v counts the items that score *more* than v. The served threshold is the next score above v ([`lattice`]).
//!
//! Candidates are themselves data. Why may they be?
//!
//! *Start.* The start of rank m begins at v = S(m+1), the score with m items above it (fewer when v is tied). Given v, what scores more is a sample of
//! S > v, drawn independently: if v is bad, the test there is wrong with probability at most its delta.
//!
//! *Walk.* Let v be good. The set B of bad thresholds is fixed, if unknown; let b be the first of it below v, the boundary. To certify anything
//! bad the sequence has to get past b. Let s be the highest score at or below b. Because *every* score is a candidate, s is one, and because no score lies between s and b, the test at s
//! counts exactly the items above b. It is the test of the fixed threshold b, where the error rate is at least alpha (more inside of B, and by
//! continuity on its edge; with an atom on the edge, take "at least b" for "above b"). This holds whether s itself is bad or lies in a
//! good stretch below.
//!
//! *Selection.* We only get to that test if the start lies between b and the next boundary c above it, and that is an event about the sample: more
//! than m items above b, at most m above c. Given the number above b, does it make few errors likelier? Items above c have an error rate of at most alpha
//! (c ends a good stretch: alpha exactly, or less with an atom at c) and those between c and b, since all above b together have at least alpha, one of at least alpha. Fewer
//! items above c then means stochastically *more* errors, so the condition only lowers the chance of a rejection. Sum over the stretches in which v can lie:
//! at most the start's delta. Sum over starts: at most delta.
//!
//! That argument needs every score as a candidate. On a coarse grid of ranks the first bad candidate is not at the boundary but somewhere below, at a place that
//! depends on the sample, and the test there is not the test of a fixed threshold; with a precision that falls and rises again, such a grid can be wrong
//! more often than delta. There is none here.
//!
//! *The top block.* Saturated classifiers give many items the same highest score a. No rank starts right below such a block, so it has a start of its own, used if the
//! block holds at least r = max(300, fewest flagged items) items. Let a1 be the highest score with P(S >= a1) >= r / 2n. No item reaches a1 with probability at most
//! exp(-r / 2); a top block of r items above a1 would be a binomial at twice its mean or more, which has probability at most (e / 4)^(r / 2), below 10^-25. Otherwise the
//! highest score is a1, a fixed one, and the first boundary below it is a fixed threshold: the argument of the walk holds without any selection.
//!
//! What is *not* claimed: the lower bound of the precision at the chosen threshold is the target. An interval computed at a threshold that was chosen by looking is
//! too narrow. Without a certified threshold, the bounds of all starts hold together, and the best of them is reported.
//!
//! # Another prevalence
//!
//! Let positives and negatives each score as in the sample, but let their ratio be another: precision is pi T / (pi T + (1 - pi) F). [`shift`] bounds F from above (nine tenths of
//! a start's delta) and T from below (one tenth). A sequence starts at the score of negative k + 1, k = 0, 1, 2, …, and again walks every score.
//!
//! *Through F.* Let U(j) be the upper bound for j flagged negatives, g(F) the largest j with U(j) < F, and x the least F with g(F) >= k. Let b be the first bad threshold
//! at or below the point where F is x: it is fixed. Suppose that the walk certifies something bad because F was bounded too low. At the boundary b' below its start it then counted N(b') >= k
//! negatives (ties at the start are counted as k), with U(N(b')) < F(b'), so g(F(b')) >= k, F(b') >= x and b' <= b. Either b' = b, or the start itself lies
//! below b and N(b) <= k <= g(F(b)). In both cases N(b) <= g(F(b)): the bound at the fixed threshold b is wrong, which has probability at most its part of delta.
//! *Through T.* Negatives fix the start and so b'; positives are independent of them, and T at a fixed threshold is bounded too high with at most the other part.
//! Precision grows with the prevalence, so the lower end of an interval is the least favourable; an interval from labelled traffic is exact and takes its own part of delta.
//! SLD and BBSE ([`diagnostics`]) estimate a prevalence without saying how wrong they are, and enter no claim.
//!
//! # Weights and clusters
//!
//! Copies, users and conversations make items dependent, and weights make a count of errors no binomial. [`clusters`] tests the mean of w (error - alpha), summed over each cluster
//! and bounded by a cap, by betting ([`betting`]): if the claim is true, capital has no reason to grow, so it exceeds 1 / delta with probability at most delta. A tenth of the clusters places the
//! candidates and is not tested on, so that candidates are fixed for the others. The same capital, looked at after every observation, is the monitor's confidence sequence.
//!
//! # Recall
//!
//! [`recall`] takes an order statistic of the positives as the threshold: a binomial tolerance limit, exact, no search.
//!
//! # Calibrators
//!
//! [`calibrator`] fits Platt's sigmoid and isotonic regression, cross-fitted, and keeps the better one, for people to read. No threshold and no claim depends on it.
//!
//! # In production
//!
//! [`betting`]'s sequences watch live precision, [`audit`] estimates recall from a sample below the threshold, [`drift`] compares distributions of scores, and
//! [`reviewers`] says how far labels are to be believed.
//!
//! # What could still be wrong
//!
//! Everything in a certificate's `assumptions`: items that are not like the traffic, labels that are wrong, a prevalence that was guessed, a sample that was used before. The
//! arithmetic is held against `benches/coverage` (claims against populations whose precision is known) and `scripts/conformance/calibration.py` (other programs).

pub mod audit;
pub mod betting;
pub mod binomial;
pub mod calibrator;
pub mod certify;
mod claim;
pub mod clusters;
pub mod diagnostics;
pub mod drift;
pub mod folds;
pub mod grid;
mod isotonic;
pub mod lattice;
pub mod ltt;
pub mod plan;
mod platt;
pub mod ranked;
pub mod recall;
pub mod reviewers;
pub mod shift;
pub mod starts;
#[cfg(test)]
mod tests;

#[cfg(test)]
use crate::testing::populations;
