//! Looking and deciding as `score` does, without leaving anything behind: for evaluation.

use std::collections::BTreeMap;

use super::{Looked, ScoreError, ScoreRequest, Scoring};
use crate::{
    domain::{attachment::AttachmentFacts, decision::RoutingDecision, evidence::Evidence, score::Technology},
    services::{
        analysis::{ModelVersions, Timings},
        certificates::ModelFacts,
    },
};

/// The lot that no share below 1 draws.
const NEVER_DRAWN: f64 = 1.0 - f64::EPSILON;

/// What an attachment would have been answered.
#[derive(Clone, Debug)]
pub struct Assessment {
    pub facts: AttachmentFacts,
    pub evidence: Evidence,
    pub decision: RoutingDecision,
    /// The technology that alone would have sent it to review, earliest in the order of the layers.
    pub fired_first: Option<Technology>,
    /// Milliseconds per stage.
    pub timings_ms: BTreeMap<&'static str, f64>,
}

impl Scoring {
    /// Scores one attachment by the same stages as [`Scoring::score`], but no queue, ledger or counter hears of it, and no idempotency key is
    /// read.
    ///
    /// # Errors
    /// See [`ScoreError`].
    pub async fn assess(&self, request: &ScoreRequest) -> Result<Assessment, ScoreError> {
        let mut timings = Timings::start();
        let looking = tokio::time::timeout_at(request.deadline.into(), self.look(request, &mut timings));
        let Looked { facts, evidence, .. } = looking.await.map_err(|_| ScoreError::Deadline)??;
        // Nothing is drawn that has no reference to draw by: an evaluation counts what surely goes to review.
        let lot = request.context.item_id.as_deref().map_or(NEVER_DRAWN, |item_id| self.lot(request.who.tenant, item_id));
        let decision = self.policy.route(facts.kind, &evidence, lot).decision;
        let fired_first = self.policy.fired_first(&evidence, lot);
        Ok(Assessment { facts, evidence, decision, fired_first, timings_ms: timings.so_far() })
    }

    /// The models that score, by digest.
    pub fn models(&self) -> &ModelVersions {
        self.analysis.versions()
    }

    /// What certificates are bound to, of each model that scores: its technology, its labels, its rule.
    pub fn running(&self) -> impl Iterator<Item = ModelFacts> {
        self.analysis.running().map(|(_, facts)| facts)
    }

    /// `name@version` of the routing policy.
    pub fn policy(&self) -> &str {
        &self.policy.name
    }
}
