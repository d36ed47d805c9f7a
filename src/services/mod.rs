//! Use cases and their transactions. Below HTTP and the command line, above engines and store.
//!
//! [`App`] is one running instance: it opens the store, loads banks and models, starts the queues, and ends in the reverse order. The
//! server, `nightlight score` and the tests all use this one way to start.

pub mod access;
pub mod analysis;
pub mod banks;
pub mod calibrate;
pub mod certificates;
pub mod datasets;
pub mod evaluate;
pub mod exchange;
pub mod health;
mod key_file;
pub mod key_loss;
pub mod lookup;
pub mod models;
pub mod monitor;
pub mod operating_points;
pub mod permits;
pub mod review;
pub mod scoring;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::{
    analysis::{
        Analysis,
        pixels::{PixelProcessor, Wanted},
    },
    banks::{Banks, curation::Curation, hits::Hits},
    exchange::Exchanges,
    lookup::{Lookup, NearQueries, RecentHashes},
    models::{Models, Refused},
    monitor::{Monitor, Settings},
    operating_points::OperatingPoints,
    scoring::{Pseudonyms, Scoring, ServiceNames},
};
use crate::{
    config::{Backend, Config},
    domain::{ids::TenantId, time::Timestamp},
    engines::{
        classify::ClassifyError,
        gpu::{GpuError, GpuOptions},
    },
    outbound::{Client, Limits, MediaFetcher, Retry},
    store::{Store, StoreError, StoreOptions},
};

/// Microseconds for which a service is remembered over a restart that the configuration does not name: a week.
const SERVICES_KNOWN_FOR: i64 = 7 * 24 * 3_600_000_000;
/// Where indices of banks are kept in the data directory.
const INDEX_FOLDER: &str = "index";

/// One running instance. Call [`App::stop`] to end it in order.
pub struct App {
    pub store: Store,
    pub banks: Arc<Banks>,
    /// What people do with them.
    pub curation: Curation,
    /// The operating points in force.
    pub points: Arc<OperatingPoints>,
    /// What review decisions say of them.
    pub monitor: Arc<Monitor>,
    pub scoring: Arc<Scoring>,
    /// Hashes and matches without a decision.
    pub lookup: Arc<Lookup>,
    /// The keyed pseudonyms of this data directory.
    pub pseudonyms: Pseudonyms,
    /// What works on pixels.
    pub pixels: Arc<PixelProcessor>,
    /// What does not stop the server but should be known: a fallback that was taken, a model that is refused.
    pub warnings: Vec<String>,
    /// Models in service, and models that are configured.
    pub models: (usize, usize),
    /// The exchanges that banks follow.
    pub exchanges: Exchanges,
    stop: CancellationToken,
    watchers: Vec<JoinHandle<()>>,
}

/// Why an instance did not start. Each names what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the data folder {} cannot be used: {source}; choose another with --data-dir", path.display())]
    DataDir { path: PathBuf, source: std::io::Error },
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Classify(#[from] ClassifyError),
    #[error("model {model}: {detail}")]
    Model { model: String, detail: String },
    /// ONNX Runtime cannot be opened; the text says what mends it.
    #[error("{0}")]
    Library(String),
    /// A key that the database was used with is gone.
    #[error("{} is missing beside a database that was used with it. {lost}. Put it back from a backup; {otherwise}", path.display())]
    KeyLost { path: PathBuf, lost: &'static str, otherwise: String },
    /// The database is gone, and what was used with it is not.
    #[error(
        "{} is missing beside {}, which was used with it. Put it back from a backup (README, \"Backup and restore\"); to begin anew, deliberately, move the whole data folder away",
        path.display(), beside.display()
    )]
    DatabaseLost { path: PathBuf, beside: PathBuf },
    #[error("{0}")]
    Gpu(#[from] GpuError),
    #[error("no threads: {0}")]
    Threads(#[from] std::io::Error),
}

impl App {
    /// Opens everything that `config` names.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let data_dir = |source| StartError::DataDir { path: config.data_dir.clone(), source };
        create_private(&config.data_dir).map_err(data_dir)?;
        let store = open_store(config).await?;
        key_loss::check(config, &store).await?;
        let pseudonyms = Pseudonyms::open(&config.data_dir).map_err(data_dir)?;
        let indices = config.matching.index_files.then(|| config.data_dir.join(INDEX_FOLDER));
        let banks = Banks::open(&store, config.matching.dihedral, indices).await?;
        let (pixels, note) = open_pixels(config.engine.backend, config)?;
        let pixels = Arc::new(pixels);
        let hits = Arc::<Hits>::default();
        let models = Models::load(config)?;
        models.gauges();
        let (in_service, refused) = (models.in_service(), models.refused.clone());
        let of_models: Vec<String> = models.warnings().collect();
        let analysis = Arc::new(Analysis::start(config, pixels.clone(), models)?);
        let missing = analysis.pictures().embedders().missing(&banks.snapshot(TenantId::DEFAULT));
        let lookup = Lookup::new(banks.clone(), analysis.pictures().clone(), fetcher(config))
            .remembering(RecentHashes::new(config.matching.recent_hashes_for, config.matching.recent_hashes))
            .counting(hits.clone())
            .watching(NearQueries::new(config.matching.near_queries), store.clone());
        let points = OperatingPoints::load(config, analysis.running().collect(), store.clone()).await?;
        let parts = scoring::Parts {
            store: store.clone(),
            pseudonyms: pseudonyms.clone(),
            banks: banks.clone(),
            analysis,
            points: points.clone(),
            hits: hits.clone(),
            services: service_names(config, &store).await?,
        };
        let scoring = Scoring::new(config, parts);
        let mut warnings: Vec<String> = config.warnings.iter().cloned().chain(note).chain(of_models).collect();
        for Refused { name, trouble, .. } in &refused {
            tracing::error!(model = name, error = trouble.error, mend = trouble.mend, "a model is refused; the others serve");
            warnings.push(format!("the model {name} is refused: {}", trouble.reason));
        }
        for kind in missing {
            let model = kind.as_str();
            warnings.push(format!("banks hold {model}, which models.embedding does not name: pictures are not matched against it"));
        }
        if store.mark_was_damaged() {
            warnings.push("the high-water mark was damaged: whether the database lost something before this start is not known; run `nightlight audit verify`".to_owned());
        }
        if !config.auth.enabled {
            warnings.push("keys are turned off: whoever reaches the port is an administrator".to_owned());
        }
        let curation = Curation::new(store.clone(), Some(banks.clone()), config.feedback.rules)
            .with_defaults(config.matching.bank())
            .watching(hits, config.flood.rules);
        let stop = CancellationToken::new();
        let poll = Duration::from_millis(config.store.bank_poll_ms);
        let settings = Settings::new(&config.monitor, &config.audit, config.services.keys().cloned());
        let monitor = Monitor::start(store.clone(), points.clone(), settings).await?;
        let refresh = Duration::from_millis(config.monitor.refresh_ms);
        let exchanges = exchanges(config, store.clone(), Some(banks.clone()));
        let mut watchers = vec![
            tokio::spawn(banks.clone().watch(store.clone(), poll, stop.clone())),
            tokio::spawn(banks.clone().keep_sound(store.clone(), config.store.scrub_interval, stop.clone())),
            tokio::spawn(points.clone().watch(poll, stop.clone())),
            tokio::spawn(curation.clone().keep(stop.clone())),
            tokio::spawn(curation.clone().keep_admitting(stop.clone())),
            tokio::spawn(monitor.clone().watch(refresh, stop.clone())),
        ];
        if let Some(every) = config.exchange.interval {
            watchers.push(tokio::spawn(exchanges.clone().watch(every, stop.clone())));
        }
        Ok(Self {
            store,
            banks,
            curation,
            points,
            monitor,
            pseudonyms,
            scoring: Arc::new(scoring),
            exchanges,
            lookup: Arc::new(lookup),
            pixels,
            warnings,
            models: in_service,
            stop,
            watchers,
        })
    }

    /// Ends the watchers and closes the store; what was acknowledged is durable already.
    pub async fn stop(self) {
        self.stop.cancel();
        for watcher in self.watchers {
            // What watchers write they write through the store, whole; if one panicked there is nothing to save.
            let _ = watcher.await;
        }
        self.store.close().await;
    }
}

/// The services that count for themselves: those of the configuration, and those that were counted lately.
async fn service_names(config: &Config, store: &Store) -> Result<ServiceNames, StoreError> {
    let since = Timestamp::from_micros(Timestamp::now().micros() - SERVICES_KNOWN_FOR);
    let known = store.services_since(since).await?;
    Ok(ServiceNames::new(config.services.keys().cloned(), config.limits.max_services, known))
}

/// The exchanges as the configuration wants them; the CLI uses them the same way.
pub fn exchanges(config: &Config, store: Store, banks: Option<Arc<Banks>>) -> Exchanges {
    let outbound = &config.outbound;
    let limits = Limits { connect: outbound.connect_timeout, total: outbound.timeout, max_bytes: exchange::LARGEST_PAGE };
    let client = Client::new(outbound.policy.clone(), limits, Retry::STANDARD);
    Exchanges::new(store, banks, &config.data_dir, client, config.feedback.rules).with_defaults(config.matching.bank())
}

/// What `backend` names, on the adapter that the configuration wants, and what an operator should know of the choice.
///
/// # Errors
/// The GPU is wanted and there is none.
pub fn open_pixels(backend: Backend, config: &Config) -> Result<(PixelProcessor, Option<String>), GpuError> {
    let wanted = match backend {
        Backend::Auto => Wanted::Auto,
        Backend::Gpu => Wanted::Gpu,
        Backend::Cpu => Wanted::Cpu,
    };
    PixelProcessor::open(wanted, gpu_options(config))
}

/// What fetches attachments by URL, if the configuration wants that.
fn fetcher(config: &Config) -> MediaFetcher {
    let outbound = &config.outbound;
    if !outbound.url_fetch {
        return MediaFetcher::off();
    }
    MediaFetcher::new(outbound.policy.clone(), outbound.connect_timeout, outbound.timeout, config.server.body_limit_bytes)
}

/// The GPU as the configuration wants it.
pub fn gpu_options(config: &Config) -> GpuOptions {
    let timeout = Duration::from_millis(config.engine.gpu_timeout_ms);
    GpuOptions { adapter: config.engine.gpu_adapter.clone(), timeout, ..GpuOptions::default() }
}

/// Opens the database, which is made in a new data directory and missed in one that was used.
///
/// # Errors
/// [`StartError::DatabaseLost`]; the store's.
pub async fn open_store(config: &Config) -> Result<Store, StartError> {
    key_loss::check_database(config)?;
    Ok(Store::open(store_options(config)).await?)
}

/// How the configuration wants the store.
fn store_options(config: &Config) -> StoreOptions {
    StoreOptions {
        busy_timeout: Duration::from_millis(config.store.busy_timeout_ms),
        group_limit: config.store.group_limit,
        queue: config.store.queue,
        idempotency_ttl: Duration::from_secs(config.idempotency.ttl_s),
        ..StoreOptions::new(config.data_dir.join(&config.store.file))
    }
}

/// Makes the folder and its parents, readable by this user only.
fn create_private(path: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
