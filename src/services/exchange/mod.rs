//! Hash lists that are shared with others: files in and out, and exchanges that are followed.
//!
//! An *exchange* is a list that somebody else keeps (NCMEC, StopNCII, …) and that one of our banks, which has its name, follows. [`Exchanges`] sets them up,
//! reads them page by page ([`fetch`]), and tells them what people here think of their entries.
//!
//! # In
//! Each page is applied in steps that do no harm twice: items are added with the exchange as their source, entries that are gone take that word back (an item
//! that nobody else names is retired; one that another source names stays), opinions of members become opinions of the item, and last the checkpoint moves. So a
//! crash costs one page. An entry that somebody disputes and nobody confirms is not added. An item that was retired *here* stays retired, whatever the list
//! says. One process reads an exchange at a time; a reader that died is given up after five minutes.
//!
//! # Out
//! Opinions of reviewers, appeals and curators on items that came from an exchange are put into its outbox and told from there, at least once: a word that
//! may or may not have arrived is told again, which exchanges take as once. Failures are tried again, later each time; what cannot succeed is given up and shown.
//!
//! Readers and writers of files are in [`formats`]; [`export`] writes a bank into a list, encrypted where that is asked for.

pub mod api;
mod apply;
pub mod credentials;
pub mod export;
pub mod fetch;
pub mod formats;
mod leave;
mod write_back;

use std::{path::Path, sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::{
    api::{Api, Settings, UnknownApi},
    credentials::{CredentialsError, Keychain},
    fetch::{FetchError, Fetcher, fetcher},
};
use super::banks::{BankError, Banks, curation::Curation};
use crate::{
    domain::{
        curation::{BankSettings, FeedbackRules},
        ids::{KeyId, TenantId},
        time::Timestamp,
    },
    outbound::Client,
    store::{Exchange, OutboxState, Store, StoreError},
};

/// Why something was not done. Each text can be shown to the caller; none holds a hash or a credential.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    #[error(transparent)]
    UnknownApi(#[from] UnknownApi),
    /// A field of the settings, or the name.
    #[error("{0}")]
    Invalid(String),
    #[error("there is no exchange {0}; `nightlight exchange list` shows all")]
    NotFound(String),
    #[error("there is an exchange {0} already")]
    Duplicate(String),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Another process reads it now.
    #[error("another process reads the exchange {0} now")]
    Busy(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its bank cannot be changed, or what came could not be examined and waits.
    #[error(transparent)]
    Bank(#[from] BankError),
}

/// How an exchange stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    pub last_fetch_complete: Option<Timestamp>,
    pub last_fetch_succeeded: Option<bool>,
    /// How far the list was read, in the exchange's own time.
    pub checkpoint: Option<Timestamp>,
    pub running_since: Option<Timestamp>,
    pub up_to_date: bool,
    /// Entries of the list that stand for items.
    pub entries: u64,
    pub skipped: u64,
    pub bad: u64,
    /// Why the last fetch failed.
    pub failure: Option<String>,
    pub feedback_waiting: u64,
    pub feedback_sent: u64,
    pub feedback_given_up: u64,
    pub feedback_failure: Option<String>,
}

/// What a fetch did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fetched {
    pub pages: u64,
    /// Items that were new.
    pub added: u64,
    /// Entries that are gone.
    pub withdrawn: u64,
    pub opinions: u64,
    /// Signals of types that are not matched, and entries that are disputed by all who speak of them.
    pub skipped: u64,
    pub bad: u64,
    /// Whether the list was read to its end.
    pub up_to_date: bool,
}

/// The exchanges of a store.
#[derive(Clone)]
pub struct Exchanges {
    store: Store,
    /// The banks in memory, where there are any: what a page brought is in force at once.
    banks: Option<Arc<Banks>>,
    /// Examines what a page brought into a bank with admission tests.
    curation: Curation,
    keychain: Keychain,
    client: Client,
    rules: FeedbackRules,
}

/// Bytes of one answer of an exchange: 64 times what its thousand entries usually take.
pub const LARGEST_PAGE: usize = 64 << 20;

/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);
/// How long a fetch of the background may take before others have their turn; it goes on where it ended.
const TURN: Duration = Duration::from_secs(240);
/// How often the background looks for what is due.
const TICK: Duration = Duration::from_secs(1);

impl Exchanges {
    /// Over this store; credentials are looked for in the environment and in `data_dir`.
    pub fn new(store: Store, banks: Option<Arc<Banks>>, data_dir: &Path, client: Client, rules: FeedbackRules) -> Self {
        let curation = Curation::new(store.clone(), banks.clone(), rules);
        Self { store, banks, curation, keychain: Keychain::new(data_dir), client, rules }
    }

    /// With other settings for new banks than PDQ's own recommendations.
    #[must_use]
    pub fn with_defaults(self, defaults: BankSettings) -> Self {
        Self { curation: self.curation.with_defaults(defaults), ..self }
    }

    /// All exchanges of the tenant, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self, tenant: TenantId) -> Result<Vec<Exchange>, ExchangeError> {
        Ok(self.store.exchanges(tenant).await?)
    }

    /// One exchange.
    ///
    /// # Errors
    /// [`ExchangeError::NotFound`].
    pub async fn get(&self, tenant: TenantId, name: &str) -> Result<Exchange, ExchangeError> {
        self.store.exchange(tenant, name).await?.ok_or_else(|| ExchangeError::NotFound(name.to_owned()))
    }

    /// Sets an exchange up, and makes the bank of its name if there is none. The first fetch follows in the background, unless the settings say
    /// `"enabled": false`.
    ///
    /// # Errors
    /// [`ExchangeError::UnknownApi`], [`ExchangeError::Invalid`] for a wrong setting or name, [`ExchangeError::Duplicate`].
    pub async fn create(&self, tenant: TenantId, name: &str, api: &str, settings: &Value, by: Option<KeyId>) -> Result<(), ExchangeError> {
        let api: Api = api.parse()?;
        let (settings, enabled) = switched(settings)?;
        let settings = api.new_settings(&settings).map_err(ExchangeError::Invalid)?;
        // As for banks: the name is shown, and stands in paths.
        if name.is_empty() || name.chars().count() > 128 || name.chars().any(char::is_control) {
            return Err(ExchangeError::Invalid("an exchange's name must have 1 to 128 characters and no control characters".to_owned()));
        }
        if self.store.exchange(tenant, name).await?.is_some() {
            return Err(ExchangeError::Duplicate(name.to_owned()));
        }
        match self.store.create_bank(tenant, name, self.curation.defaults().clone(), by).await {
            Ok(_) | Err(StoreError::Duplicate(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let settings = serde_json::to_value(&settings).unwrap_or_default(); // plain structs
        match self.store.create_exchange(tenant, name, api.as_str(), (&settings, enabled), by).await {
            Err(StoreError::Duplicate(_)) => Err(ExchangeError::Duplicate(name.to_owned())),
            done => Ok(done?),
        }
    }

    /// Changes what an exchange is told, or turns it on or off. Other settings name another list, which is read from its beginning.
    ///
    /// # Errors
    /// [`ExchangeError::NotFound`], [`ExchangeError::Invalid`].
    pub async fn update(
        &self,
        tenant: TenantId,
        name: &str,
        settings: Option<&Value>,
        enabled: Option<bool>,
        by: Option<KeyId>,
    ) -> Result<(), ExchangeError> {
        let exchange = self.get(tenant, name).await?;
        let api: Api = exchange.api.parse()?;
        let settings = match settings {
            None => None,
            Some(json) => Some(serde_json::to_value(api.new_settings(json).map_err(ExchangeError::Invalid)?).unwrap_or_default()),
        };
        Ok(self.store.update_exchange(tenant, name, settings.as_ref(), enabled, by).await?)
    }

    /// Forgets an exchange. Its bank and what it brought stay.
    ///
    /// # Errors
    /// [`ExchangeError::NotFound`].
    pub async fn remove(&self, tenant: TenantId, name: &str, by: Option<KeyId>) -> Result<(), ExchangeError> {
        match self.store.remove_exchange(tenant, name, by).await {
            Err(StoreError::NotFound(_)) => Err(ExchangeError::NotFound(name.to_owned())),
            done => Ok(done?),
        }
    }

    /// How an exchange stands.
    ///
    /// # Errors
    /// [`ExchangeError::NotFound`].
    pub async fn status(&self, tenant: TenantId, name: &str) -> Result<Status, ExchangeError> {
        let exchange = self.get(tenant, name).await?;
        let OutboxState { waiting, sent, given_up, failure } = self.store.outbox(&exchange).await?;
        Ok(Status {
            entries: self.store.count_entries(&exchange).await?,
            last_fetch_complete: exchange.completed_at,
            last_fetch_succeeded: exchange.succeeded,
            checkpoint: exchange.progress,
            running_since: exchange.started_at,
            up_to_date: exchange.up_to_date,
            skipped: exchange.skipped,
            bad: exchange.bad,
            failure: exchange.failure,
            feedback_waiting: waiting,
            feedback_sent: sent,
            feedback_given_up: given_up,
            feedback_failure: failure,
        })
    }

    /// The entries of the exchange of this name that stand for an item of its bank, by key; none when there is no such exchange.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn entries_of(&self, tenant: TenantId, name: &str, content_id: i64) -> Result<Vec<String>, ExchangeError> {
        match self.store.exchange(tenant, name).await? {
            Some(exchange) => Ok(self.store.entries_of_item(&exchange, content_id).await?),
            None => Ok(Vec::new()),
        }
    }

    /// Whether an API has the credentials that it needs; `None` when it needs none.
    pub fn has_credentials(&self, api: Api) -> Option<bool> {
        (!api.credential_fields().is_empty()).then(|| self.keychain.has(api))
    }

    /// Keeps credentials in a file of the data directory that only its owner can read, or forgets them (`None`), with a ledger event. Those of the environment count before,
    /// and stay.
    ///
    /// # Errors
    /// [`ExchangeError::Credentials`], or the store's.
    pub async fn set_credentials(&self, tenant: TenantId, api: Api, json: Option<&Value>, by: Option<KeyId>) -> Result<(), ExchangeError> {
        let credentials = json.map(|json| Keychain::check(api, json)).transpose()?;
        self.store.record_credentials(tenant, api.as_str(), credentials.is_some(), by).await?;
        let keychain = self.keychain.clone();
        // Written through to the disk.
        let written = tokio::task::spawn_blocking(move || match credentials {
            Some(credentials) => keychain.set(api, &credentials),
            None => keychain.remove(api),
        });
        // The thread was stopped: the server ends.
        Ok(written.await.map_err(|_| StoreError::Closed)??)
    }

    fn fetcher(&self, exchange: &Exchange) -> Result<Box<dyn Fetcher>, ExchangeError> {
        let api: Api = exchange.api.parse()?;
        let settings: Settings = api.settings(&exchange.settings).map_err(ExchangeError::Invalid)?;
        Ok(fetcher(api, &settings, self.keychain.get(api)?, self.client.clone())?)
    }

    /// Reads an exchange to its end, or until `enough` is cancelled.
    ///
    /// # Errors
    /// [`ExchangeError::Busy`] while another process reads it; what goes wrong on the way is noted in the exchange's status too.
    pub async fn fetch(&self, tenant: TenantId, name: &str, enough: &CancellationToken) -> Result<Fetched, ExchangeError> {
        let exchange = self.get(tenant, name).await?;
        let lease = self.store.lease_exchange(tenant, name).await?.ok_or_else(|| ExchangeError::Busy(name.to_owned()))?;
        // Read again under the lease: another process may have moved the checkpoint in between.
        let fetched = match self.get(tenant, name).await {
            Ok(exchange) => self.read_pages(&exchange, lease, enough).await,
            Err(error) => Err(error),
        };
        let outcome = fetched.as_ref().map(|fetched| fetched.up_to_date).map_err(ToString::to_string);
        self.store.end_exchange_fetch(lease, outcome).await?;
        if let Err(error) = &fetched {
            tracing::warn!(exchange = exchange.name, api = exchange.api, %error, "an exchange was not read to its end");
        }
        fetched
    }

    /// Follows all exchanges until `stop`: fetches each every `every`, and tells them what is to be told.
    pub async fn watch(self, every: Duration, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
            let exchanges = match self.store.all_exchanges().await {
                Ok(exchanges) => exchanges,
                Err(error) => {
                    tracing::error!(%error, "the exchanges cannot be read from the store");
                    continue;
                }
            };
            let now = Timestamp::now();
            let turns = exchanges.iter().filter(|exchange| exchange.enabled).map(|exchange| self.turn(exchange, every, now, &stop));
            futures_util::future::join_all(turns).await;
        }
    }

    /// What is due at one exchange. Failures are in its status and in the log.
    async fn turn(&self, exchange: &Exchange, every: Duration, now: Timestamp, stop: &CancellationToken) {
        if is_due(exchange, every, now) {
            let enough = stop.child_token();
            let clock = enough.clone();
            let timer = tokio::spawn(async move {
                tokio::time::sleep(TURN).await;
                clock.cancel();
            });
            // Busy elsewhere is no failure, and failures were told.
            let _ = self.fetch(exchange.tenant, &exchange.name, &enough).await;
            timer.abort();
        }
        if let Err(error) = self.write_back(exchange, now).await {
            tracing::warn!(exchange = exchange.name, %error, "feedback could not be sent");
        }
    }
}

/// Settings without the switch that HMA's clients put among them, and how it stands.
fn switched(settings: &Value) -> Result<(Value, bool), ExchangeError> {
    let mut settings = settings.clone();
    match settings.as_object_mut().and_then(|fields| fields.remove("enabled")) {
        None => Ok((settings, true)),
        Some(Value::Bool(enabled)) => Ok((settings, enabled)),
        Some(_) => Err(ExchangeError::Invalid("api_json: enabled must be true or false".to_owned())),
    }
}

/// Whether an exchange is to be read now: never before, not to its end the last time, or long ago; after failures later each time.
fn is_due(exchange: &Exchange, every: Duration, now: Timestamp) -> bool {
    let Some(last) = exchange.completed_at.filter(|_| exchange.started_at.is_none()) else { return exchange.started_at.is_none() };
    let pause = match exchange.failures {
        0 if !exchange.up_to_date => Duration::ZERO,
        0 => every,
        failures => every.saturating_mul(1 << failures.min(16)).min(LONGEST_PAUSE.max(every)),
    };
    last.plus(pause) <= now
}
