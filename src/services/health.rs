//! Whether this server can do its work: what `/readyz` and `nightlight doctor` show.
//!
//! A [`Check`] that is not `ok` takes the server out of rotation: nothing can be answered. What is [`Degraded`] does not, because the rest is answered: the disk is full,
//! so that what must be written is refused, or a bank cannot be kept up to date. A warning names something that works worse than configured (a model on
//! the CPU although a GPU was asked for, keys turned off).
//!
//! ```
//! use nightlight::services::health::{Check, Health};
//! let health = Health::of(vec![Check::ok("store", "answers"), Check::failed("models", "open-nsfw is not loaded")], vec![]);
//! assert!(!health.ready());
//! ```

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::time::Timestamp;

/// One thing without which the server cannot answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Check {
    /// `store`, `models`, `banks`, …
    pub name: String,
    pub ok: bool,
    /// For people; holds no path, secret or content.
    pub detail: String,
}

impl Check {
    /// A check that passed.
    pub fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), ok: true, detail: detail.into() }
    }

    /// A check that failed; `detail` says what to do.
    pub fn failed(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), ok: false, detail: detail.into() }
    }
}

/// Something that does not work while the rest does. Somebody should look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Degraded {
    /// `store`, `banks`, `operating_points`, …
    pub what: String,
    /// For people; says what is refused or old meanwhile, and holds no path, secret or content.
    pub why: String,
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

/// Something that is done again and again, and since when it fails.
#[derive(Debug, Default)]
pub struct Rounds(Mutex<Option<(String, Timestamp)>>);

impl Rounds {
    /// Notes how a round ended; whether that is a failure that was not known.
    pub fn ended(&self, failure: Option<String>) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = failure.is_some() && failure.as_ref() != last.as_ref().map(|(known, _)| known);
        let since = last.as_ref().map_or_else(Timestamp::now, |(_, since)| *since);
        *last = failure.map(|failure| (failure, since));
        new
    }

    /// Since when every round failed; `None` when the last one did not.
    pub fn failing_since(&self) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(_, since)| *since)
    }
}

/// The state of the server at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Health {
    /// True when every check is `ok`.
    ready: bool,
    pub checks: Vec<Check>,
    /// What does not work, while the rest does.
    pub degraded: Vec<Degraded>,
    /// What works, but worse than configured.
    pub warnings: Vec<String>,
}

impl Health {
    /// Ready when all `checks` are.
    pub fn of(checks: Vec<Check>, warnings: Vec<String>) -> Self {
        Self { ready: checks.iter().all(|check| check.ok), checks, degraded: Vec::new(), warnings }
    }

    /// The same with what does not work.
    #[must_use]
    pub fn degraded(self, degraded: Vec<Degraded>) -> Self {
        Self { degraded, ..self }
    }

    /// Whether every check passed.
    pub const fn ready(&self) -> bool {
        self.ready
    }
}

/// Asks for the present state. Called for each `/readyz`, so it must be cheap; HTTP gives up on it after two seconds.
pub type HealthProbe = Arc<dyn Fn() -> BoxFuture<'static, Health> + Send + Sync>;

/// A probe that always gives the same answer.
pub fn constant(health: Health) -> HealthProbe {
    Arc::new(move || Box::pin(std::future::ready(health.clone())))
}
