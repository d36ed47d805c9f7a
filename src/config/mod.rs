//! Settings: what was typed, where, and what it comes to.
//!
//! A configuration is read in two steps. First the sources are laid over one another, key by key, and each key remembers who had the last
//! word: the embedded `default.toml`, the file of `--config`, the environment, the flags. A key that `default.toml` does not have stops the
//! start, and so does a value of another type: `default.toml` is the list of keys, their types, their defaults and their manual in one.
//! Then each section checks its values and turns them into what the rest of the program uses: durations, addresses, enums and numbers
//! within their range. A [`Config`] is valid as a whole; nobody behind it checks again.
//!
//! Errors ([`ConfigError`]) name the source, the key and what is allowed, because an operator sees them at three in the morning.
//!
//! ```
//! use nightlight::config::{Config, Origin, Sources};
//! let sources = Sources::default().with_flag("--listen", "server.listen", "0.0.0.0:80");
//! let config = Config::load(&sources)?;
//! assert_eq!(config.server.listen.port(), 80);
//! assert!(config.effective().iter().any(|value| value.key == "server.listen" && value.origin == Origin::Flag("--listen")));
//!
//! let wrong = Sources { env: vec![("NIGHTLIGHT__SERVER__PORT".into(), "80".into())], ..Sources::default() };
//! assert!(Config::load(&wrong).unwrap_err().to_string().contains("unknown key `server.port`"));
//! # Ok::<(), nightlight::config::ConfigError>(())
//! ```

mod curation;
mod engine;
mod error;
mod exchange;
mod layers;
mod limits;
mod log;
mod machine;
mod matching;
mod models;
mod monitor;
mod operating_points;
mod outbound;
mod routing;
mod server;
mod services;
mod store;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::PathBuf};

use serde::Serialize;

pub use self::{
    curation::{Feedback, Flood},
    engine::{Backend, Batching, Engine},
    error::{ConfigError, Origin},
    exchange::Exchange,
    layers::Sources,
    limits::Limits,
    log::{Log, LogFormat, LogLevel},
    matching::Matching,
    models::Models,
    monitor::{Audit, FallbackRule, Monitor, Stratum},
    outbound::Outbound,
    routing::{Review, Routing},
    server::{Auth, Server},
    services::Service,
    store::{Idempotency, Store},
};
use self::{layers::Layers, operating_points::ConfiguredPoint, services::ConfiguredService};

use crate::domain::{network::Network, operating_point::OperatingPoint, score::as_written};

/// Every setting, checked. One field per section of `default.toml`, which says what each does.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything lives that the server keeps.
    pub data_dir: PathBuf,
    pub server: Server,
    pub auth: Auth,
    pub limits: Limits,
    pub engine: Engine,
    pub batching: Batching,
    pub models: Models,
    pub matching: Matching,
    pub routing: Routing,
    pub review: Review,
    pub feedback: Feedback,
    pub flood: Flood,
    pub monitor: Monitor,
    pub audit: Audit,
    pub outbound: Outbound,
    pub exchange: Exchange,
    pub store: Store,
    pub idempotency: Idempotency,
    pub log: Log,
    /// Thresholds by (model, label); at most one each.
    pub operating_points: Vec<((String, String), OperatingPoint)>,
    /// What is known of the provider's services, by the name in `context.service`.
    pub services: BTreeMap<String, Service>,
    /// What is read and should be written otherwise.
    pub warnings: Vec<String>,
    effective: Vec<Effective>,
}

/// One key as it is in force.
#[derive(Clone, Debug, Serialize)]
pub struct Effective {
    /// `section.name`; for thresholds `operating_points.model.label`, for services `services.name.key`.
    pub key: String,
    /// As typed.
    pub value: toml::Value,
    #[serde(serialize_with = "displayed")]
    pub origin: Origin,
}

fn displayed<S: serde::Serializer>(origin: &Origin, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(origin)
}

impl Config {
    /// Reads and checks all sources.
    ///
    /// # Errors
    /// The first key or value that is not allowed; see [`ConfigError`].
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut layers = Layers::read(sources)?;
        let warnings = routing::read_old_forms(&mut layers)?.into_iter().collect();
        let data_dir = layers.path("data_dir")?;
        let server = Server::read(&layers)?;
        let models = Models::read(&layers, &data_dir)?;
        let points = operating_points::read(&layers, &models)?;
        let services = services::read(&layers)?;
        Ok(Self {
            auth: Auth::read(&layers, &server)?,
            limits: Limits::read(&layers)?,
            engine: Engine::read(&layers)?,
            batching: Batching::read(&layers)?,
            matching: Matching::read(&layers)?,
            routing: Routing::read(&layers)?,
            review: Review::read(&layers)?,
            feedback: Feedback::read(&layers)?,
            flood: Flood::read(&layers)?,
            monitor: Monitor::read(&layers)?,
            audit: Audit::read(&layers)?,
            outbound: Outbound::read(&layers)?,
            exchange: Exchange::read(&layers)?,
            store: Store::read(&layers)?,
            idempotency: Idempotency::read(&layers)?,
            log: Log::read(&layers)?,
            warnings,
            effective: effective(&layers, &models, &points, &services),
            data_dir,
            server,
            models,
            services: services
                .into_iter()
                .map(|entry| (entry.name, Service { prevalence: entry.prevalence.map(|(value, _)| value) }))
                .collect(),
            operating_points: points.into_iter().map(|entry| ((entry.model, entry.label), entry.point)).collect(),
        })
    }

    /// Every key, its value and who set it, in the order of `default.toml`.
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// The database file.
    pub fn store_file(&self) -> PathBuf {
        self.data_dir.join(&self.store.file)
    }

    /// The file that holds the bootstrap key after the first start.
    pub fn admin_key_file(&self) -> PathBuf {
        self.data_dir.join("admin.key")
    }
}

fn effective(layers: &Layers, models: &Models, points: &[ConfiguredPoint], services: &[ConfiguredService]) -> Vec<Effective> {
    let plain = layers.iter().map(|(key, leaf)| {
        // A place that was looked for is more use than the empty text that says so.
        let found = models.found(key).filter(|_| leaf.value.as_str() == Some(""));
        let value = found.map_or_else(|| leaf.value.clone(), |path| path.to_string_lossy().into_owned().into());
        Effective { key: key.to_owned(), value, origin: leaf.origin.clone() }
    });
    let points = points.iter().map(|entry| Effective {
        key: format!("operating_points.{}.{}", entry.model, entry.label),
        value: as_written(entry.point.threshold.get()).into(),
        origin: entry.origin.clone(),
    });
    let services = services.iter().filter_map(|entry| {
        let (value, origin) = entry.prevalence.clone()?;
        Some(Effective { key: format!("services.{}.prevalence", entry.name), value: value.into(), origin })
    });
    plain.chain(points).chain(services).collect()
}

/// Milliseconds, from `least` to an hour.
fn millis(layers: &Layers, key: &str, least: i64) -> Result<u64, ConfigError> {
    layers.number(key, least..=3_600_000)
}

/// Networks in CIDR notation.
fn networks(layers: &Layers, key: &str) -> Result<Vec<Network>, ConfigError> {
    const ALLOWED: &str = "a list of networks such as 10.0.0.0/8, fd00::/8 or 192.0.2.7; bits behind the prefix must be zero";
    let written: Vec<String> = layers.raw(key, ALLOWED)?;
    written.iter().map(|network| network.parse()).collect::<Result<_, _>>().map_err(|_| layers.invalid(key, ALLOWED))
}

/// Names of models, queues and policies: they stand in paths, metrics and URLs.
fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}
