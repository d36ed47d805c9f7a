//! Servers that behave as those of exchanges were seen and documented to: pages, tokens that end, entries without order, refusals, and silence.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde_json::{Value, json};

/// What the server does next instead of answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Status(u16),
    /// 429 with `Retry-After: 1`.
    Slower,
    /// No answer for longer than anybody waits.
    Silence,
    /// Half a document.
    Cut,
}

/// An entry of NCMEC's list.
#[derive(Clone)]
pub struct Entry {
    pub member: u64,
    pub id: String,
    /// Seconds since 1970.
    pub changed: i64,
    pub deleted: bool,
    pub md5: String,
}

/// What the servers hold and what they were told; tests write it and look into it.
#[derive(Default)]
pub struct Books {
    pub entries: Vec<Entry>,
    pub page: usize,
    /// Seconds for which the address of a next page holds, by the `now` that the test sets.
    pub now: i64,
    pub trouble: VecDeque<Trouble>,
    /// Paths with queries, in order.
    pub asked: Vec<String>,
    /// Path and body of each piece of feedback.
    pub told: Vec<(String, String)>,
    /// Records of the JSON lists.
    pub records: Vec<Value>,
    pub logins: usize,
}

pub type Shared = Arc<Mutex<Books>>;

/// A list of `count` entries, changed one second after another from `from` on, in an order that is not that of time.
pub fn entries(count: u64, from: i64) -> Vec<Entry> {
    let entry = |number: u64| {
        // 7919 is a prime: all numbers once, mixed.
        let number = number * 7919 % count;
        Entry {
            member: 42 + number % 2,
            id: format!("image{number}"),
            changed: from + number as i64,
            deleted: false,
            md5: format!("{number:032x}"),
        }
    };
    (0..count).map(entry).collect()
}

/// The next trouble, if one is due.
async fn trouble(shared: &Shared) -> Option<Response> {
    let next = shared.lock().unwrap().trouble.pop_front();
    match next? {
        Trouble::Status(status) => Some(StatusCode::from_u16(status).unwrap().into_response()),
        Trouble::Slower => Some((StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")]).into_response()),
        Trouble::Silence => {
            tokio::time::sleep(Duration::from_secs(20)).await;
            None
        }
        Trouble::Cut => Some("<queryResult><images><image>".into_response()),
    }
}

fn authorised(headers: &HeaderMap, expected: &str) -> Option<Response> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    (given != Some(expected)).then(|| StatusCode::UNAUTHORIZED.into_response())
}

/// `u:p`.
const BASIC: &str = "Basic dTpw";

type Pairs = Query<std::collections::BTreeMap<String, String>>;

fn seconds(text: &str) -> i64 {
    text.parse::<nightlight::domain::time::Timestamp>().unwrap().micros() / 1_000_000
}

async fn ncmec_entries(State(shared): State<Shared>, headers: HeaderMap, uri: axum::http::Uri, Query(query): Pairs) -> Response {
    if let Some(refusal) = authorised(&headers, BASIC) {
        return refusal;
    }
    shared.lock().unwrap().asked.push(uri.path_and_query().unwrap().to_string());
    if let Some(trouble) = trouble(&shared).await {
        return trouble;
    }
    let books = shared.lock().unwrap();
    let (from, to) = (seconds(&query["from"]), seconds(&query["to"]));
    let start: usize = query.get("start").map_or(0, |start| start.parse().unwrap());
    if query.get("given").is_some_and(|given| books.now - given.parse::<i64>().unwrap() > 12 * 3600) {
        return StatusCode::GONE.into_response();
    }
    // Both ends count, as a list whose seconds are not over may do it.
    let found: Vec<&Entry> = books.entries.iter().filter(|entry| (from..=to).contains(&entry.changed)).collect();
    let page = found.iter().skip(start).take(books.page);
    let at = |seconds: i64| nightlight::domain::time::Timestamp::from_micros(seconds * 1_000_000).to_string();
    let (mut images, mut newest) = (String::new(), 0);
    for entry in page {
        newest = newest.max(entry.changed);
        let Entry { member, id, md5, changed, .. } = entry;
        let (tag, fingerprints) = match entry.deleted {
            true => ("deletedImage", String::new()),
            false => ("image", format!("<classification>A1</classification><fingerprints><md5>{md5}</md5></fingerprints>")),
        };
        images.push_str(&format!(
            "<{tag}><member id=\"{member}\">M</member><timestamp>{}</timestamp><id>{id}</id>{fingerprints}</{tag}>",
            at(*changed)
        ));
    }
    let next = if start + books.page < found.len() {
        let (from, to) = (query["from"].replace(':', "%3A"), query["to"].replace(':', "%3A"));
        format!(
            "<paging><next>/v2/entries?from={from}&amp;to={to}&amp;start={}&amp;given={}</next></paging>",
            start + books.page,
            books.now
        )
    } else {
        String::new()
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><queryResult xmlns=\"https://hashsharing.ncmec.org/hashsharing/v2\">\
         <images count=\"{}\" maxTimestamp=\"{}\">{images}</images>{next}</queryResult>",
        found.len(),
        at(newest)
    )
    .into_response()
}

async fn ncmec_reasons(headers: HeaderMap) -> Response {
    authorised(&headers, BASIC).unwrap_or_else(|| {
        "<availableFeedbackReasons xmlns=\"x\"><reason guid=\"g-0\" name=\"Low quality\" type=\"Md5\"/>\
         <reason guid=\"g-1\" name=\"Not CSAM\" type=\"Md5\"/></availableFeedbackReasons>"
            .into_response()
    })
}

async fn ncmec_feedback(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Path(path): Path<(String, String, String)>,
    body: String,
) -> Response {
    if let Some(refusal) = authorised(&headers, BASIC) {
        return refusal;
    }
    if let Some(trouble) = trouble(&shared).await {
        return trouble;
    }
    shared.lock().unwrap().told.push((format!("{}/{}/{}", path.0, path.1, path.2), body));
    "<submissionResult/>".into_response()
}

async fn stopncii(State(shared): State<Shared>, headers: HeaderMap, uri: axum::http::Uri, Query(query): Pairs) -> Response {
    let has = |name: &str, value: &str| headers.get(name).is_some_and(|given| given == value);
    if !has("x-functions-key", "f") || !has("ocp-apim-subscription-key", "s") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    shared.lock().unwrap().asked.push(uri.path_and_query().unwrap().to_string());
    if let Some(trouble) = trouble(&shared).await {
        return trouble;
    }
    let books = shared.lock().unwrap();
    let since: i64 = query["startTimestamp"].parse().unwrap();
    assert_eq!(query["pageSize"], "800");
    let start: usize = query.get("nextPageToken").map_or(0, |token| token.strip_prefix("token-").unwrap().parse().unwrap());
    let found: Vec<&Value> = books.records.iter().filter(|record| record["lastModtimestamp"].as_i64().unwrap() > since).collect();
    let page: Vec<_> = found.iter().skip(start).take(books.page).collect();
    let newest = page.iter().map(|record| record["lastModtimestamp"].as_i64().unwrap()).max().unwrap_or(since);
    let more = start + books.page < found.len();
    axum::Json(json!({
        "count": page.len(), "nextSetTimestamp": newest, "hasMoreRecords": more,
        "nextPageToken": if more { json!(format!("token-{}", start + books.page)) } else { Value::Null }, "hashRecords": page,
    }))
    .into_response()
}

async fn stopncii_feedback(State(shared): State<Shared>, headers: HeaderMap, body: String) -> Response {
    if headers.get("x-functions-key").is_none_or(|key| key != "feedback") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if let Some(trouble) = trouble(&shared).await {
        return trouble;
    }
    shared.lock().unwrap().told.push(("SubmitFeedback".to_owned(), body));
    axum::Json(json!({})).into_response()
}

/// Pages by an offset in `after`; the address of the next one carries the token, as the real one does.
async fn updates(
    State(shared): State<Shared>,
    Path(group): Path<u64>,
    headers: HeaderMap,
    uri: axum::http::Uri,
    Query(query): Pairs,
) -> Response {
    if query.get("access_token").is_none_or(|token| token != "123|secret") {
        return StatusCode::BAD_REQUEST.into_response();
    }
    shared.lock().unwrap().asked.push(uri.path_and_query().unwrap().to_string());
    if let Some(trouble) = trouble(&shared).await {
        return trouble;
    }
    let books = shared.lock().unwrap();
    let since: i64 = query.get("start_time").map_or(0, |since| since.parse().unwrap());
    let start: usize = query.get("after").map_or(0, |after| after.parse().unwrap());
    let found: Vec<&Value> = books.records.iter().filter(|record| record["last_updated"].as_i64().unwrap() >= since).collect();
    let page: Vec<_> = found.iter().skip(start).take(books.page).collect();
    let host = headers[header::HOST].to_str().unwrap();
    let end = start + books.page;
    let paging = if end < found.len() {
        json!({"next": format!("http://{host}/te/{group}/threat_updates/?access_token=123%7Csecret&start_time={since}&after={end}")})
    } else {
        json!({})
    };
    axum::Json(json!({"data": page, "paging": paging})).into_response()
}

async fn react(State(shared): State<Shared>, Path(descriptor): Path<u64>, Query(query): Pairs, body: String) -> Response {
    if query.get("access_token").is_none_or(|token| token != "123|secret") {
        return StatusCode::BAD_REQUEST.into_response();
    }
    shared.lock().unwrap().told.push((descriptor.to_string(), body));
    axum::Json(json!({"success": true})).into_response()
}

async fn tat_login(State(shared): State<Shared>, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap();
    if body["username"] != "u" || body["password"] != "p" {
        return StatusCode::BAD_REQUEST.into_response();
    }
    shared.lock().unwrap().logins += 1;
    axum::Json(json!({"user": {}, "token": "jwt"})).into_response()
}

async fn tat_list(State(shared): State<Shared>, headers: HeaderMap, Query(query): Pairs) -> Response {
    if let Some(refusal) = authorised(&headers, "Bearer jwt") {
        return refusal;
    }
    if let Some(trouble) = trouble(&shared).await {
        return trouble;
    }
    let books = shared.lock().unwrap();
    let after: i64 = query["after"].split_once(',').map_or(0, |(_, id)| id.parse().unwrap());
    assert_eq!(query["order"], "asc");
    let found: Vec<&Value> = books.records.iter().filter(|record| record["id"].as_i64().unwrap() > after).collect();
    let page: Vec<_> = found.iter().take(books.page).collect();
    let checkpoint = page.last().map(|last| format!("{},{}", last["updated_on"], last["id"]));
    let next = (found.len() > page.len()).then_some("https://elsewhere.example/?limit=1&offset=1");
    axum::Json(json!({"count": found.len(), "next": next, "previous": null, "checkpoint": checkpoint, "results": page})).into_response()
}

/// All of them on one port.
pub async fn serve(books: Books) -> (SocketAddr, Shared) {
    let shared = Arc::new(Mutex::new(books));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/hashsharing/v2/entries", get(ncmec_entries))
        .route("/hashsharing/v2/feedback/{kind}/reasons", get(ncmec_reasons))
        .route("/hashsharing/v2/entries/{member}/{id}/{kind}/feedback", put(ncmec_feedback))
        .route("/v1/FetchHashes", get(stopncii))
        .route("/v1/SubmitFeedback", post(stopncii_feedback))
        .route("/te/{group}/threat_updates/", get(updates))
        .route("/te/{descriptor}/", post(react))
        .route("/tat/token-auth/tcap/", post(tat_login))
        .route("/tat/api/hash-list/v2/all", get(tat_list))
        .with_state(shared.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, shared)
}
