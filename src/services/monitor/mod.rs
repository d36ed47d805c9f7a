//! Whether what a threshold promises is true of the traffic that it meets: live precision from review decisions.
//!
//! A certificate speaks of the data it was made on. Here every review decision becomes an observation for each technology and label that had a word on
//! the item, and the books of each *key* (technology x label x slice; a slice is everything, or a configured service) say what precision the flags
//! have had since the key's *epoch* began. Banks have books too, under the label `match`.
//!
//! # What is claimed, and why looking daily costs nothing
//! The bounds of the precision are a confidence sequence (`engines::calibration::betting`): with probability 1 - delta the lower one is *never*
//! above the precision, however often somebody looks; the same for the upper one. delta is the operating point's own. So
//!
//! | state | what has been shown |
//! | --- | --- |
//! | `violated` | the upper bound of the precision fell below the target, or the detector alarmed: decertified |
//! | `confirmed` | the lower bound rose above the target, and enough of the flags have been decided |
//! | `unconfirmed` | neither |
//!
//! `unconfirmed` expires: a certified point that live review has not confirmed for `monitor.expiry_days` answers `certified: false`. After a long
//! good start a sequence over the whole epoch is slow to see a fall, so a detector runs beside it (a sum of e-values over every possible moment of the
//! change) whose false alarms come at most once in `monitor.false_alarm_every` decisions on average while precision is as wanted.
//!
//! What is *not* claimed: each key and each epoch takes its own delta; whoever watches twenty keys sees more than one wrong state in 1 / delta. A verdict
//! is about an item: if two technologies flagged it, it counts for both. And a verdict is only as good as the reviewer, which the
//! report puts beside it (gold items, double reviews, a corrected precision).
//!
//! # What counts
//! - Flags that were scored since the epoch began and reached the threshold in force, weighted by 1 / inclusion probability. Every routed flag
//!   has probability 1; others come from the audit.
//! - Of a cluster (`context.cluster`) the first decided item, once and for ever: ten thousand copies of a picture are one observation. The
//!   precision is therefore that of clusters. Further items are recorded and reported.
//! - Attachments that matched the same and were flagged by the same wait as one review item, and its decision is one observation of all of them: the precision
//!   counts it once, recall counts the attachments and lets it speak for what still waits like one decision. Audit samples never wait so.
//! - A copy of what people decided is put to that item (`review.known_decided`) and counts nowhere, neither as a verdict nor as a flag that waits for one: recall is that of what people are asked about. The share of copies that people look at all the same is one more
//!   decision each, like a further cluster: weighing it by its share would have one verdict outweigh a thousand.
//! - `uncertain` counts on neither side and is reported.
//! - Double and gold items say something of reviewers and nothing of technologies.
//!
//! Reviewers take high priorities first, and priority is probability: at any moment what is decided is surer than what waits. That makes `violated` late
//! and never wrong, but `confirmed` could be true of the decided part alone. So an epoch confirms only when
//! `monitor.min_review_share` of its flags are decided. The rest could still be worse; the share is in the report.
//!
//! # Epochs
//! A new one begins when another certificate or threshold comes into force, when a point is decertified, and when it is recertified. Its population is what is
//! scored since then, so it is not chosen by what its reviews said. While a point is decertified its fall-back is in force
//! (`monitor.fallback`): the threshold is kept, or everything the label was scored on is queued, or the certificate's stricter threshold is
//! raised, or nothing is flagged (`shadow`; then only audit samples at or above the threshold can bring it back). The first epoch that
//! confirms recertifies it; the k-th attempt in a row must do so at delta / (k (k + 1)), or a point that misses its target would come back by
//! trying for ever. A raised threshold that is confirmed stays until another certificate is installed.
//!
//! # Keeping up
//! Observations and states are append-only tables, and every process that watches follows their tails: decisions of this process at once, those of others
//! within `monitor.refresh_ms`. Each state is appended only if the key's newest one is still the one it was judged by, so of two servers one writes.
//! At the start books are rebuilt from the observations.
//!
//! ```
//! # use nightlight::{
//! #     config::{Config, Sources}, domain::ids::TenantId, store::{Store, StoreOptions},
//! #     services::{monitor::{Monitor, Settings}, operating_points::{OperatingPoints, Running}},
//! # };
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! # let folder = tempfile::tempdir()?;
//! # let config = Config::load(&Sources::default())?;
//! let store = Store::open(StoreOptions::new(folder.path().join("nightlight.db"))).await?;
//! let points = OperatingPoints::load(&config, Running::load(&config), store.clone()).await?;
//! let settings = Settings::new(&config.monitor, &config.audit, config.services.keys().cloned());
//! let monitor = Monitor::start(store, points, settings).await?;
//! let report = monitor.report(TenantId::DEFAULT).await?;
//! assert!(report.points.iter().all(|point| point.n == 0 && (point.precision_lower, point.precision_upper) == (0.0, 1.0)));
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! Sources: the papers that `engines::calibration::{betting, audit, drift, reviewers}` name.

mod book;
mod books;
mod overlay;
mod people;
mod recall;
mod report;
mod scores;
mod settings;

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use self::books::Books;
pub use self::{
    people::{AgreementReport, GoldReport, People},
    recall::RecallReport,
    report::{KeyReport, MonitorReport},
    scores::DriftReport,
    settings::{OTHER, Settings},
};
use crate::{
    domain::time::Timestamp,
    services::{health::Rounds, operating_points::OperatingPoints},
    store::{Store, StoreError},
};

/// How often the slower figures (recall, drift) are worked out for the gauges and alarms.
const SLOW_ROUND: Duration = Duration::from_secs(60);

/// The books of one store, and what follows from them.
pub struct Monitor {
    store: Store,
    points: Arc<OperatingPoints>,
    settings: Settings,
    /// Whether states are written; a mere reader only looks.
    judges: bool,
    books: tokio::sync::Mutex<Books>,
    /// What an operator should know, for `/readyz`.
    warnings: std::sync::Mutex<Vec<String>>,
    rounds: Rounds,
}

impl Monitor {
    /// The monitor of a server: rebuilds the books, judges, and overlays the operating points.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn start(store: Store, points: Arc<OperatingPoints>, settings: Settings) -> Result<Arc<Self>, StoreError> {
        Self::open(store, points, settings, true).await
    }

    /// One that only reads, for a command beside a running server. It too lays what it read over `points`, which are that command's own: whoever shows
    /// operating points without it shows what certificates say, and not what is in force.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn reader(store: Store, points: Arc<OperatingPoints>, settings: Settings) -> Result<Arc<Self>, StoreError> {
        Self::open(store, points, settings, false).await
    }

    async fn open(store: Store, points: Arc<OperatingPoints>, settings: Settings, judges: bool) -> Result<Arc<Self>, StoreError> {
        let monitor = Self {
            store,
            points,
            settings,
            judges,
            books: tokio::sync::Mutex::default(),
            warnings: std::sync::Mutex::default(),
            rounds: Rounds::default(),
        };
        monitor.refresh().await?;
        Ok(Arc::new(monitor))
    }

    /// Takes over what was decided since the last time, judges, and puts what follows into force. Cheap when nothing happened.
    ///
    /// # Errors
    /// When the store cannot be read or written; what was in force stays.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let mut books = self.books.lock().await;
        books.follow(&self.store, &self.points, &self.settings).await?;
        if self.judges {
            books.judge(&self.store, &self.points, &self.settings).await?;
        }
        let now = Timestamp::now();
        for (tenant, overlays) in books.overlays(&self.settings, now) {
            self.points.set_overlays(tenant, overlays).await;
        }
        books.gauges();
        *self.warnings.lock().unwrap_or_else(PoisonError::into_inner) = books.warnings(&self.settings, now);
        Ok(())
    }

    /// The same, with a failure logged once: for callers whose own work is done.
    pub async fn look(&self) {
        let failure = self.refresh().await.err().map(|error| error.to_string());
        if self.rounds.ended(failure.clone()) {
            tracing::error!(error = failure, "the live monitor could not be brought up to date; what it last said stays in force");
        }
    }

    /// Since when looking fails; `None` when it does not.
    pub fn behind_since(&self) -> Option<Timestamp> {
        self.rounds.failing_since()
    }

    /// Decertified points and drifted scores, a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks every `every` until `stop`, and at the slower figures every minute.
    pub async fn watch(self: Arc<Self>, every: Duration, stop: CancellationToken) {
        let mut slow = tokio::time::Instant::now();
        while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
            self.look().await;
            if slow.elapsed() >= SLOW_ROUND {
                slow = tokio::time::Instant::now();
                if let Err(error) = self.slow_round().await {
                    tracing::error!(%error, "recall and drift could not be worked out");
                }
            }
        }
    }
}
