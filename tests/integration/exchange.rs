//! Exchanges: fetchers and feedback against servers on loopback that behave as the real ones do, and worse.

mod fetchers;
mod follow;
pub mod mock;

use std::{net::SocketAddr, time::Duration};

use nightlight::{
    domain::time::Timestamp,
    outbound::{Client, Limits, Policy, Retry},
    services::exchange::{
        api::Api,
        credentials::Credentials,
        fetch::{FetchError, Fetcher, Page, fetcher},
        formats::{Change, Entry, Record},
    },
};
use serde_json::{Value, json};

/// A client that may reach loopback, and that does not wait long.
pub fn client(address: SocketAddr) -> Client {
    let policy = Policy { allow_networks: vec!["127.0.0.1".parse().unwrap()], allow_hosts: vec![], ports: vec![address.port()] };
    let limits = Limits { connect: Duration::from_secs(2), total: Duration::from_secs(2), max_bytes: 1 << 20 };
    Client::new(policy, limits, Retry { attempts: 3, first: Duration::from_millis(5), most: Duration::from_secs(2) })
}

fn open(api: Api, settings: Value, credentials: Value, address: SocketAddr) -> Box<dyn Fetcher> {
    let credentials = Credentials::from_json(api, &credentials).unwrap();
    fetcher(api, &api.settings(&settings).unwrap(), credentials, client(address)).unwrap()
}

/// The present of the tests, plus some seconds.
fn at(seconds: i64) -> Timestamp {
    let start: Timestamp = "2026-11-24T00:00:00Z".parse().unwrap();
    Timestamp::from_micros(start.micros() + seconds * 1_000_000)
}

fn records(page: &Page) -> Vec<&Record> {
    page.entries.iter().filter_map(|entry| if let Entry::Record(record) = entry { Some(&**record) } else { None }).collect()
}

/// Keys of what was shared and of what was withdrawn.
fn keys(page: &Page) -> (Vec<String>, Vec<String>) {
    let of = |wanted: Change| {
        records(page).iter().filter(|record| record.change == wanted).map(|record| record.key.clone().unwrap()).collect::<Vec<_>>()
    };
    (of(Change::Share), of(Change::Withdraw))
}

/// All pages from a checkpoint on; gives the last checkpoint.
async fn exhaust(fetcher: &dyn Fetcher, from: Option<Value>, now: Timestamp) -> Result<(Vec<Page>, Value), FetchError> {
    let (mut pages, mut checkpoint) = (Vec::new(), from);
    loop {
        let page = fetcher.page(checkpoint.as_ref(), now).await?;
        checkpoint = Some(page.checkpoint.clone());
        let more = page.more;
        pages.push(page);
        assert!(pages.len() < 1000, "no end");
        if !more {
            return Ok((pages, checkpoint.unwrap()));
        }
    }
}

fn shared(pages: &[Page]) -> Vec<String> {
    let mut all: Vec<String> = pages.iter().flat_map(|page| keys(page).0).collect();
    all.sort();
    all
}

fn ncmec_credentials(address: SocketAddr) -> Value {
    json!({"user": "u", "password": "p", "base_url_override": format!("http://{address}/hashsharing")})
}
