//! `nightlight exchange`.

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::{Failure, block_on, open_existing_store, open_store, output};
use crate::{
    config::Config,
    domain::ids::TenantId,
    services::{
        self,
        exchange::{ExchangeError, Exchanges, Status, api::Api},
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum Exchange {
    /// Follow an exchange with the bank of this name, which is made when there is none
    ///
    /// A running server fetches it within seconds, and then every exchange.interval_s. Credentials are looked for in the environment (TX_NCMEC_CREDENTIALS,
    /// TX_STOPNCII_KEYS, TX_ACCESS_TOKEN, PYTX_TAT_CREDENTIALS) and in exchanges/API.json of the data directory; see `exchange credentials`.
    Add(Add),
    /// Show all exchanges
    List {
        /// One JSON object a line instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Fetch an exchange now, to its end
    Fetch(Named),
    /// Show how an exchange stands: checkpoint, last fetch, entries, feedback
    Status(Named),
    /// Send what people here think of an exchange's entries
    ///
    /// A running server does so by itself. Words that were not taken are tried again later; see `exchange status`.
    Feedback(Named),
    /// Stop following an exchange; its bank stays
    Remove(Named),
    /// Write the credentials of an API, read as JSON from standard input, to a file that only its owner can read
    ///
    /// For example {"user": …, "password": …} for ncmec. `exchange apis` names the fields.
    Credentials {
        #[arg(value_parser = PossibleValuesParser::new(Api::ALL.map(Api::as_str)))]
        api: String,
    },
    /// Show the APIs, their settings and the fields of their credentials, as JSON lines
    Apis,
}

#[derive(Args, Debug)]
pub(super) struct Add {
    /// Name of the exchange and of its bank
    name: String,
    #[arg(long, value_parser = PossibleValuesParser::new(Api::ALL.map(Api::as_str)))]
    api: String,
    /// A setting of the API, for example environment=NGO or privacy_group=123; the value is read as JSON if it is any
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, Value)>,
}

#[derive(Args, Debug)]
pub(super) struct Named {
    /// Name of the exchange
    name: String,
}

fn setting(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is wanted")?;
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
}

#[derive(Serialize)]
struct StatusLine<'a> {
    exchange: &'a str,
    api: &'a str,
    enabled: bool,
    #[serde(flatten)]
    status: &'a Status,
}

impl Exchange {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        if matches!(self, Self::Apis) {
            return Api::ALL.into_iter().try_for_each(apis_line);
        }
        block_on(async {
            let store = match self {
                Self::Add(_) | Self::Credentials { .. } => open_store(config).await?,
                _ => open_existing_store(config).await?,
            };
            let exchanges = services::exchanges(config, store.clone(), None);
            let done = self.with(&exchanges).await;
            store.close().await;
            done
        })
    }

    async fn with(&self, exchanges: &Exchanges) -> Result<(), Failure> {
        let tenant = TenantId::DEFAULT;
        match self {
            Self::Add(Add { name, api, settings }) => {
                let settings: Map<String, Value> = settings.iter().cloned().collect();
                exchanges.create(tenant, name, api, &settings.into(), None).await?;
                let known: Api = api.parse().map_err(ExchangeError::from)?;
                if exchanges.has_credentials(known) == Some(false) {
                    eprintln!("there are no credentials for {api} yet; see `nightlight exchange credentials {api}`");
                }
                output::json_line(&json!({"exchange": name, "api": api, "bank": name}))?;
            }
            Self::List { json } => list(exchanges, tenant, *json).await?,
            Self::Fetch(Named { name }) => {
                let fetched = exchanges.fetch(tenant, name, &CancellationToken::new()).await?;
                output::json_line(&fetched)?;
            }
            Self::Status(Named { name }) => {
                let (exchange, status) = (exchanges.get(tenant, name).await?, exchanges.status(tenant, name).await?);
                output::json_line(&StatusLine { exchange: name, api: &exchange.api, enabled: exchange.enabled, status: &status })?;
            }
            Self::Feedback(Named { name }) => output::json_line(&exchanges.feedback(tenant, name).await?)?,
            Self::Remove(Named { name }) => {
                exchanges.remove(tenant, name, None).await?;
                output::json_line(&json!({"exchange": name, "removed": true}))?;
            }
            Self::Credentials { api } => {
                let known: Api = api.parse().map_err(ExchangeError::from)?;
                let given: Value =
                    serde_json::from_reader(std::io::stdin()).map_err(|_| Failure::input("standard input is not a JSON object"))?;
                exchanges.set_credentials(tenant, known, Some(&given), None).await?;
                output::json_line(&json!({"api": api, "credentials": true}))?;
            }
            Self::Apis => {} // needs no store; answered above
        }
        Ok(())
    }
}

async fn list(exchanges: &Exchanges, tenant: TenantId, json: bool) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for exchange in exchanges.list(tenant).await? {
        let status = exchanges.status(tenant, &exchange.name).await?;
        if json {
            output::json_line(&StatusLine { exchange: &exchange.name, api: &exchange.api, enabled: exchange.enabled, status: &status })?;
            continue;
        }
        let last = match (status.last_fetch_succeeded, status.last_fetch_complete) {
            (Some(true), Some(at)) => at.to_string(),
            (_, Some(at)) => format!("failed {at}"),
            _ => "-".to_owned(),
        };
        let waiting = status.feedback_waiting.to_string();
        rows.push([exchange.name.clone(), exchange.api.clone(), status.entries.to_string(), last, waiting]);
    }
    if !json {
        output::table(["exchange", "api", "entries", "last fetch", "feedback waiting"], &rows)?;
    }
    Ok(())
}

fn apis_line(api: Api) -> Result<(), Failure> {
    let mut line = json!({"api": api.as_str()});
    if let (Value::Object(line), Value::Object(schema)) = (&mut line, api.schema()) {
        line.extend(schema);
    }
    Ok(output::json_line(&line)?)
}
