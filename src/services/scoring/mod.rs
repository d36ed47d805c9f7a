//! The way of one attachment: the only place that knows the order of the stages.
//!
//! ```text
//! idempotency key ─> services::analysis ─> evidence ─> routing ─> commit ─> answer
//! ```
//!
//! What goes to review makes an entry of the queue, waits with others that matched the same (`outcome`), or is put to a decided entry that it is a copy of
//! (`known`). Some attachments are drawn by lot (`audit`).
//!
//! Looking at an attachment ends at the caller's deadline; what has been found is committed whatever the clock says, and the answer leaves
//! only after the commit is durable. A technology that fails is `unscored` in the answer; only overload, the deadline and a failing store
//! are errors of the call, and each of them leaves nothing behind.

mod answer;
mod assess;
mod audit;
mod idempotency;
mod known;
mod outcome;
mod pseudonyms;
mod request;
mod service_names;
mod told;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use uuid::Uuid;

pub use answer::{MatchAnswer, OperatingPointAnswer, ScoreAnswer, ScoreEntry, UnscoredAnswer, Versions};
pub use assess::Assessment;
pub(in crate::services) use outcome::{AUDIT, BINS, REACHED, bin};
pub use pseudonyms::Pseudonyms;
pub use request::{ScoreError, ScoreRequest, Scored};
pub(in crate::services) use service_names::ServiceNames;

use self::{
    audit::Sampler,
    idempotency::{Begun, Keys, Turn},
    outcome::Finding,
    told::Told,
};
use crate::{
    config::Config,
    domain::{
        attachment::AttachmentFacts,
        decision::Route,
        evidence::Evidence,
        ids::{ReviewItemId, TenantId},
        time::Timestamp,
    },
    engines::{
        batch::Flow,
        routing::{Policy, Routed},
    },
    services::{
        analysis::{Analysed, Analysis, AnalysisError, Ask, CallPoints, Timings, sha256},
        banks::{
            Banks, View,
            hits::{Hits, Sent},
        },
        operating_points::OperatingPoints,
    },
    store::{IdempotentResponse, Store, StoreError},
};

/// Version of the answer's contract.
const CONTRACT: &str = "1";

/// Scores attachments. Built by [`services::App`](crate::services::App).
pub struct Scoring {
    store: Store,
    banks: Arc<Banks>,
    points: Arc<OperatingPoints>,
    policy: Policy,
    pseudonyms: Pseudonyms,
    sampler: Sampler,
    copies: known::Copies,
    cluster_matches: bool,
    hits: Arc<Hits>,
    services: ServiceNames,
    keys: Arc<Keys>,
    analysis: Arc<Analysis>,
}

/// What looking at an attachment gave.
struct Looked {
    facts: AttachmentFacts,
    evidence: Evidence,
    banks: BTreeMap<String, i64>,
    /// Banks that whoever asks may not see.
    hidden: HashSet<String>,
}

/// What scoring shares with others.
pub(in crate::services) struct Parts {
    pub store: Store,
    pub pseudonyms: Pseudonyms,
    pub banks: Arc<Banks>,
    pub analysis: Arc<Analysis>,
    pub points: Arc<OperatingPoints>,
    pub hits: Arc<Hits>,
    pub services: ServiceNames,
}

impl Scoring {
    /// As the configuration wants it.
    pub(in crate::services) fn new(config: &Config, parts: Parts) -> Self {
        let Parts { store, pseudonyms, banks, analysis, points, hits, services } = parts;
        Self {
            store,
            banks,
            points,
            policy: config.routing.policy.clone(),
            pseudonyms,
            sampler: Sampler::new(&config.audit),
            copies: known::Copies::new(&config.review),
            cluster_matches: config.review.cluster_matches,
            hits,
            services,
            keys: Keys::new(config.idempotency.memory_entries, Duration::from_secs(config.idempotency.ttl_s)),
            analysis,
        }
    }

    /// Scores one attachment; the answer is durable when this returns.
    ///
    /// # Errors
    /// See [`ScoreError`]; every error means that nothing was stored, except an internal one of the store, after which it is not known.
    pub async fn score(&self, request: ScoreRequest) -> Result<Scored, ScoreError> {
        let timings = Timings::start();
        // A key belongs to the API key that used it: nobody is given, or kept from, an answer of somebody else.
        let Some(key) = request.idempotency_key.as_ref().map(|key| format!("{}/{key}", request.who.key)) else {
            return Ok(Scored { body: self.answer(&request, None, timings).await?, replayed: false });
        };
        let tenant = request.who.tenant;
        // The store holds no content digests, so the body's is keyed before it goes there.
        let body_digest = self.pseudonyms.digest(tenant, &request.body_digest);
        let begun = tokio::time::timeout_at(request.deadline.into(), self.keys.begin(tenant, &key, body_digest));
        let turn = match begun.await.map_err(|_| ScoreError::Deadline)? {
            Begun::Answer(body) => return Ok(Scored { body, replayed: true }),
            Begun::Conflict => return Err(ScoreError::IdempotencyConflict),
            Begun::Turn(turn) => turn,
        };
        if let Some(stored) = self.store.idempotent_response(tenant, &key, Timestamp::now()).await? {
            if stored.body_digest != body_digest {
                return Err(ScoreError::IdempotencyConflict);
            }
            return Ok(Scored { body: with_digest(&stored.body, &sha256(&request.attachment))?, replayed: true });
        }
        self.first_answer(&request, turn, key, body_digest, timings).await
    }

    /// Scores and remembers the answer under its key: routed ones durably, clean ones in memory.
    async fn first_answer(
        &self,
        request: &ScoreRequest,
        turn: Turn,
        key: String,
        body_digest: [u8; 32],
        timings: Timings,
    ) -> Result<Scored, ScoreError> {
        let record = IdempotentResponse { key: key.clone(), body_digest, status: 200, body: Bytes::new() };
        match self.answer(request, Some((record, turn)), timings).await {
            Ok(body) => Ok(Scored { body, replayed: false }),
            // Another process answered meanwhile.
            Err(ScoreError::AlreadyAnswered) => {
                let stored = self.store.idempotent_response(request.who.tenant, &key, Timestamp::now()).await?;
                let stored = stored.ok_or_else(|| ScoreError::Internal("an idempotent answer vanished".to_owned()))?;
                Ok(Scored { body: with_digest(&stored.body, &sha256(&request.attachment))?, replayed: true })
            }
            Err(error) => Err(error),
        }
    }

    /// Looks, decides and commits.
    ///
    /// Once the commit has begun it goes on without the caller, and an idempotency key's turn ends only after it: a caller who left and comes
    /// again meets either the turn or the answer.
    async fn answer(
        &self,
        request: &ScoreRequest,
        idempotency: Option<(IdempotentResponse, Turn)>,
        mut timings: Timings,
    ) -> Result<Bytes, ScoreError> {
        let looking = tokio::time::timeout_at(request.deadline.into(), self.look(request, &mut timings));
        let Looked { facts, evidence, banks, hidden } = looking.await.map_err(|_| ScoreError::Deadline)??;
        let tenant = request.who.tenant;
        let (context, warning) = self.services.counted(tenant, request.context.clone());
        let item_id = context.item_id.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
        let lot = self.lot(tenant, &item_id);
        let Routed { mut decision, mut inclusion_probability } = self.policy.route(facts.kind, &evidence, lot);
        let mut told = Told::new(&self.policy, (facts.kind, &evidence, lot), (&banks, &hidden), &decision);
        // What routing lets go may be drawn for the audit.
        let audit_rate = if decision.route == Route::None { self.sampler.rate(&evidence) } else { None };
        let drawn = audit_rate.filter(|rate| audit::draws(&self.pseudonyms, tenant, &item_id, *rate));
        let (mut known, mut known_by) = (None, Vec::new());
        if decision.route == Route::Review {
            let content = known::content(&request.attachment, &facts, &context);
            known_by = known::known_by(&self.pseudonyms, tenant, content, &evidence);
            let sought = known::Sought { tenant, item_id: &item_id, evidence: &evidence, known_by: &known_by };
            known = self.copies.find(&self.store, &self.pseudonyms, &sought).await?;
        }
        if let Some(rate) = drawn {
            (decision, inclusion_probability) = (audit::sampled(decision), rate);
            told.decision = audit::sampled(told.decision);
        }
        if let Some(known) = known {
            inclusion_probability *= known.second_look;
            if !known.drawn {
                (decision, told.decision) = (known.decision(decision), known.decision(told.decision));
            }
        }
        let review_item = match known {
            Some(known) if !known.drawn => Some(known.review_item),
            _ => (decision.route == Route::Review).then(ReviewItemId::new),
        };
        // Everything decided and is counted; the nearest are kept and told.
        let kept = evidence.clone().bound();
        let finding = Finding {
            tenant,
            at: Timestamp::now(),
            facts: &facts,
            context: &context,
            item_id: &item_id,
            evidence: &kept,
            decision: &decision,
            models: self.analysis.versions(),
            banks: &banks,
            audit_rate,
            drawn,
            lot,
            inclusion_probability,
            known,
            known_by: &known_by,
            cluster_matches: self.cluster_matches,
        };
        let mut outcome = finding.outcome(&self.policy, &self.pseudonyms, review_item);
        let mut answer = ScoreAnswer {
            contract: CONTRACT,
            request_id: request.request_id.to_string(),
            item_id: item_id.clone(),
            matches: told.matches.iter().map(Into::into).collect(),
            suppressed: told.suppressed.iter().map(Into::into).collect(),
            matches_left_out: told.left_out,
            scores: evidence.scores.iter().map(Into::into).collect(),
            unscored: evidence.unscored.iter().map(Into::into).collect(),
            review_item: review_item.map(|id| id.to_string()),
            inclusion_probability: review_item.map(|_| inclusion_probability),
            versions: Versions {
                nightlight: env!("CARGO_PKG_VERSION"),
                models: self.analysis.versions().clone(),
                banks: told.versions,
                policy: decision.policy.clone(),
            },
            warnings: warning.into_iter().collect(),
            timings_ms: BTreeMap::new(),
            attachment: facts,
            decision: told.decision,
        };
        let (record, turn) = idempotency.unzip();
        let durable = review_item.is_some() && record.is_some();
        if let Some(record) = record.filter(|_| durable) {
            answer.timings_ms = timings.so_far();
            outcome.idempotency = Some(IdempotentResponse { body: without_digest(&answer)?, ..record });
        }
        let (store, hits, sender) = (self.store.clone(), self.hits.clone(), self.sender(request));
        let commit = tokio::spawn(async move {
            let committing = std::time::Instant::now();
            let stands_for_it = store.commit(outcome).await?;
            timings.add("commit", committing.elapsed());
            answer.review_item = stands_for_it.map(|id| id.to_string());
            hits.count(Sent { tenant, by: &sender, item_id: Some(&item_id), at: Timestamp::now() }, &evidence.matches);
            count(&answer);
            let body = finish(answer, timings)?;
            if let Some(turn) = turn.filter(|_| !durable) {
                turn.remember(body.clone());
            }
            Ok(body)
        });
        commit.await.map_err(|error| ScoreError::Internal(error.to_string()))?
    }

    /// Who sent the attachment, as far as hits tell senders apart: the account, or the key that named none.
    fn sender(&self, request: &ScoreRequest) -> String {
        match &request.context.account_id {
            Some(account) => self.pseudonyms.of(request.who.tenant, "account", account).0,
            None => request.who.key.to_string(),
        }
    }

    /// The item's lot: which of the shares of `routing.unscored` draw it.
    fn lot(&self, tenant: TenantId, item_id: &str) -> f64 {
        audit::number(&self.pseudonyms, tenant, "unscored", item_id)
    }

    /// The operating points that it judges by.
    pub const fn points(&self) -> &Arc<OperatingPoints> {
        &self.points
    }

    async fn look(&self, request: &ScoreRequest, timings: &mut Timings) -> Result<Looked, ScoreError> {
        // Once for the whole call: a change meanwhile is for the next one.
        let points = CallPoints::new(self.points.snapshot(request.who.tenant), request.context.service.clone());
        let View { banks: snapshot, hidden } = self.banks.view_for(&request.who);
        let banks = snapshot.versions();
        let ask = Ask { attachment: &request.attachment, banks: snapshot, points: &points, deadline: request.deadline };
        // Of one caller's accounts none gets more of the lanes than another, whatever it sends.
        let flow = Flow::current();
        let flow = request.context.account_id.as_ref().map_or(flow, |account| flow.of(account));
        let Analysed { facts, evidence } = flow.scope(self.analysis.look(ask, timings)).await?;
        Ok(Looked { facts, evidence, banks, hidden })
    }
}

/// One more attachment answered.
fn count(answer: &ScoreAnswer) {
    let route = if answer.review_item.is_some() { "review" } else { "none" };
    let (kind, category) = (answer.attachment.kind.as_str(), answer.decision.category.as_str());
    metrics::counter!(crate::telemetry::metric::SCORED_TOTAL, "kind" => kind, "route" => route, "category" => category).increment(1);
    for unscored in &answer.unscored {
        let labels = [("technology", unscored.technology.clone()), ("reason", unscored.reason.to_owned())];
        metrics::counter!(crate::telemetry::metric::UNSCORED_TOTAL, &labels).increment(1);
    }
}

fn finish(mut answer: ScoreAnswer, timings: Timings) -> Result<Bytes, ScoreError> {
    answer.timings_ms = timings.finish();
    serde_json::to_vec(&answer).map(Bytes::from).map_err(|error| ScoreError::Internal(error.to_string()))
}

/// The answer as the store may hold it: without the content digest. The quoted key cannot stand inside a JSON string, where quotes are
/// escaped, so the text can be cut and mended without reading numbers and writing them again.
fn without_digest(answer: &ScoreAnswer) -> Result<Bytes, ScoreError> {
    let json = serde_json::to_string(answer).map_err(|error| ScoreError::Internal(error.to_string()))?;
    Ok(json.replacen(&format!(r#""sha256":"{}""#, answer.attachment.sha256), NO_DIGEST, 1).into())
}

/// The stored answer with the digest of the repeated attachment put in again.
fn with_digest(stored: &[u8], sha256: &str) -> Result<Bytes, ScoreError> {
    let json = std::str::from_utf8(stored).map_err(|error| ScoreError::Internal(error.to_string()))?;
    Ok(json.replacen(NO_DIGEST, &format!(r#""sha256":"{sha256}""#), 1).into())
}

/// Where the digest was.
const NO_DIGEST: &str = r#""sha256":"""#;

impl From<AnalysisError> for ScoreError {
    fn from(error: AnalysisError) -> Self {
        match error {
            AnalysisError::Overloaded => Self::overloaded(),
            AnalysisError::ShuttingDown => Self::ShuttingDown,
            AnalysisError::Internal(text) => Self::Internal(text),
        }
    }
}

impl From<StoreError> for ScoreError {
    fn from(error: StoreError) -> Self {
        if let Some(hindrance) = error.hindrance() {
            return Self::Unavailable(hindrance);
        }
        match error {
            StoreError::Overloaded => Self::overloaded(),
            StoreError::Closed => Self::ShuttingDown,
            StoreError::IdempotencyConflict => Self::IdempotencyConflict,
            StoreError::AlreadyAnswered => Self::AlreadyAnswered,
            error => Self::Internal(error.to_string()),
        }
    }
}
