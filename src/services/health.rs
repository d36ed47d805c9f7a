//! Whether this server can do its work: what `/readyz` and `nightlight doctor` show.
//!
//! A [`Check`] that is not `ok` takes the server out of rotation; a warning does not: it names something that works worse than configured (a
//! model on the CPU although a GPU was asked for, keys turned off).
//!
//! ```
//! use nightlight::services::health::{Check, Health};
//! let health = Health::of(vec![Check::ok("store", "answers"), Check::failed("models", "open-nsfw is not loaded")], vec![]);
//! assert!(!health.ready());
//! ```

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;

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

/// The state of the server at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Health {
    /// True when every check is `ok`.
    ready: bool,
    pub checks: Vec<Check>,
    /// What works, but worse than configured.
    pub warnings: Vec<String>,
}

impl Health {
    /// Ready when all `checks` are.
    pub fn of(checks: Vec<Check>, warnings: Vec<String>) -> Self {
        Self { ready: checks.iter().all(|check| check.ok), checks, warnings }
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
