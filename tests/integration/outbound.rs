//! Requests that the server sends, against a server on loopback that behaves badly, and a resolver that lies.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect},
    routing::{get, post},
};
use futures_util::future::BoxFuture;
use nightlight::outbound::{Client, Limits, MediaFetcher, OutboundError, Policy, Request, Resolver, Retry, Url};

/// Answers from a list, a different one each time; the last stays.
struct Scripted {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Resolver for Scripted {
    fn lookup<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let turn = self.asked.fetch_add(1, Ordering::SeqCst).min(self.answers.len() - 1);
        Box::pin(async move { Ok(self.answers[turn].clone()) })
    }
}

fn resolver(answers: &[&[&str]]) -> Arc<Scripted> {
    let parse = |list: &&[&str]| list.iter().map(|address| address.parse().unwrap()).collect();
    Arc::new(Scripted { answers: answers.iter().map(parse).collect(), asked: AtomicUsize::new(0) })
}

#[derive(Clone, Default)]
struct Seen {
    calls: Arc<AtomicUsize>,
}

async fn headers(headers: HeaderMap) -> String {
    let text = |name| headers.get(name).map_or("-", |value: &header::HeaderValue| value.to_str().unwrap()).to_owned();
    format!("{} {} {}", text("x-functions-key"), text("host"), text("user-agent"))
}

/// 503 twice, then 200.
async fn unsteady(State(seen): State<Seen>) -> impl IntoResponse {
    if seen.calls.fetch_add(1, Ordering::SeqCst) < 2 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

/// 429 with a wait, then 200.
async fn limited(State(seen): State<Seen>) -> impl IntoResponse {
    match seen.calls.fetch_add(1, Ordering::SeqCst) {
        0 => (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], "").into_response(),
        _ => "at last".into_response(),
    }
}

/// Bytes without a length and without an end.
async fn endless() -> Body {
    let piece = || std::future::ready(Some((Ok::<_, io::Error>(Bytes::from_static(&[7; 4096])), ())));
    Body::from_stream(futures_util::stream::unfold((), move |()| piece()))
}

async fn serve() -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let to = |location: &'static str| get(move || async move { Redirect::temporary(location) });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let away = format!("http://other.example:{}/headers", address.port());
    let inside = format!("http://inside.example:{}/headers", address.port());
    let router = Router::new()
        .route("/headers", get(headers))
        .route("/metadata", to("http://169.254.169.254/latest/meta-data/"))
        .route("/mapped", to("http://[::ffff:127.0.0.1]/"))
        .route("/scheme", to("file:///etc/passwd"))
        .route("/near", to("/headers"))
        .route("/away", get(move || async move { Redirect::temporary(&away) }))
        .route("/inside", get(move || async move { Redirect::temporary(&inside) }))
        .route("/loop", to("/loop"))
        .route("/nowhere", get(|| async { StatusCode::FOUND }))
        .route("/moved", post(|| async { Redirect::temporary("/headers") }))
        .route("/unsteady", get(unsteady).post(unsteady))
        .route("/limited", get(limited))
        .route("/endless", get(endless))
        .route("/large", get(|| async { vec![0u8; 5000] }))
        .route("/slow", get(|| async { tokio::time::sleep(Duration::from_secs(20)).await }))
        .route("/picture", get(|| async { ([(header::CONTENT_TYPE, "image/png")], "bytes") }))
        .route("/plain", get(|| async { axum::http::Response::new(Body::from("bytes")) }))
        .with_state(seen.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, seen)
}

const LIMITS: Limits = Limits { connect: Duration::from_secs(2), total: Duration::from_secs(3), max_bytes: 4096 };

/// Loopback is allowed by its network, so that what is refused is refused for another reason.
fn policy(address: SocketAddr) -> Policy {
    Policy { allow_networks: vec!["127.0.0.1".parse().unwrap()], allow_hosts: vec![], ports: vec![80, address.port()] }
}

fn client(address: SocketAddr) -> Client {
    Client::with_resolver(policy(address), LIMITS, Retry::NEVER, resolver(&[&["127.0.0.1"]]))
}

fn url(address: SocketAddr, path: &str) -> Url {
    format!("http://{address}{path}").parse().unwrap()
}

fn refused<T: std::fmt::Debug>(result: Result<T, OutboundError>, expected: &str) {
    match result {
        Err(OutboundError::Refused { reason }) => assert!(reason.contains(expected), "{reason}"),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn redirects_are_checked_like_the_first_url() {
    let (address, _) = serve().await;
    let client = client(address);
    let get = async |path: &str| client.send(&Request::get(url(address, path))).await;
    refused(get("/metadata").await, "link-local");
    refused(get("/scheme").await, "scheme file");
    assert_eq!(get("/near").await.unwrap().status, 200);
    assert_eq!(get("/loop").await.unwrap_err(), OutboundError::Redirects { most: 5 });
    assert!(matches!(get("/nowhere").await, Err(OutboundError::Redirected { .. })));
    let moved = client.send(&Request::post(url(address, "/moved"), "text/plain", "x")).await;
    assert!(matches!(moved, Err(OutboundError::Redirected { .. })), "a change is not repeated elsewhere: {moved:?}");
    // The mapped form of loopback is loopback: refused where loopback is not allowed. The first hop is a name that is.
    let policy = Policy { allow_networks: vec![], allow_hosts: vec!["start.example".into()], ports: vec![80, address.port()] };
    let strict = Client::with_resolver(policy, LIMITS, Retry::NEVER, resolver(&[&["127.0.0.1"]]));
    let start = |path: &str| Request::get(format!("http://start.example:{}{path}", address.port()).parse().unwrap());
    refused(strict.send(&start("/mapped")).await, "loopback");
    refused(strict.send(&start("/inside")).await, "loopback");
    assert_eq!(strict.send(&start("/near")).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_name_is_judged_by_all_its_addresses_and_resolved_once() {
    let (address, _) = serve().await;
    let named = |port: u16| Request::get(format!("http://rebound.example:{port}/headers").parse().unwrap());
    let with = |answers: &[&[&str]], allow: &[&str]| {
        let policy = Policy {
            allow_networks: allow.iter().map(|network| network.parse().unwrap()).collect(),
            ports: vec![address.port()],
            ..Policy::default()
        };
        let resolver = resolver(answers);
        (Client::with_resolver(policy, LIMITS, Retry::NEVER, resolver.clone()), resolver)
    };
    refused(with(&[&["127.0.0.1"]], &[]).0.send(&named(address.port())).await, "loopback");
    refused(with(&[&["8.8.8.8", "10.0.0.1"]], &[]).0.send(&named(address.port())).await, "private");
    refused(with(&[&["::ffff:169.254.169.254"]], &[]).0.send(&named(address.port())).await, "link-local");
    refused(with(&[&["64:ff9b::a9fe:a9fe"]], &[]).0.send(&named(address.port())).await, "link-local");
    // A second answer would be forbidden: nobody asks for it.
    let (client, asked) = with(&[&["127.0.0.1"], &["10.0.0.1"]], &["127.0.0.1"]);
    assert_eq!(client.send(&named(address.port())).await.unwrap().status, 200);
    assert_eq!(asked.asked.load(Ordering::SeqCst), 1);
    refused(client.send(&named(address.port())).await, "private");
    let (nobody, _) = with(&[&[]], &[]);
    assert!(matches!(nobody.send(&named(address.port())).await, Err(OutboundError::Unresolved { .. })));
}

#[tokio::test]
async fn headers_stay_at_their_origin() {
    let (address, _) = serve().await;
    let client = client(address);
    let asked = async |path: &str| {
        let request = Request::get(url(address, path)).header("x-functions-key", "secret").unwrap();
        assert!(!format!("{request:?}").contains("secret"));
        String::from_utf8(client.send(&request).await.unwrap().body.to_vec()).unwrap()
    };
    assert_eq!(asked("/near").await, format!("secret {address} nightlight/{}", env!("CARGO_PKG_VERSION")));
    assert!(asked("/away").await.starts_with(&format!("- other.example:{} ", address.port())));
    assert!(Request::get(url(address, "/")).header("x-functions-key", "a\r\nb").is_err());
}

#[tokio::test]
async fn bodies_and_time_have_limits() {
    let (address, _) = serve().await;
    let client = client(address);
    for path in ["/large", "/endless"] {
        let answer = client.send(&Request::get(url(address, path))).await;
        assert!(matches!(answer, Err(OutboundError::TooLarge { most: 4096, .. })), "{path}: {answer:?}");
    }
    let hasty = client.with_limits(Limits { total: Duration::from_millis(200), ..LIMITS }, Retry::NEVER);
    let started = Instant::now();
    assert!(matches!(hasty.send(&Request::get(url(address, "/slow"))).await, Err(OutboundError::TimedOut { .. })));
    assert!(started.elapsed() < Duration::from_secs(2));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let policy = Policy { ports: vec![closed.port()], ..policy(address) };
    let nobody = Client::new(policy, LIMITS, Retry::NEVER).send(&Request::get(url(closed, "/"))).await;
    assert!(matches!(nobody, Err(OutboundError::Unreachable { .. })), "{nobody:?}");
}

#[tokio::test]
async fn only_what_may_be_repeated_is_and_as_late_as_asked() {
    let retry = Retry { attempts: 4, first: Duration::from_millis(10), most: Duration::from_secs(5) };
    let (address, seen) = serve().await;
    let client = client(address).with_limits(LIMITS, retry);
    assert_eq!(client.send(&Request::get(url(address, "/unsteady"))).await.unwrap().status, 200);
    assert_eq!(seen.calls.swap(0, Ordering::SeqCst), 3);
    assert_eq!(client.send(&Request::post(url(address, "/unsteady"), "text/plain", "")).await.unwrap().status, 503);
    assert_eq!(seen.calls.swap(0, Ordering::SeqCst), 1);
    assert_eq!(client.send(&Request::post(url(address, "/unsteady"), "text/plain", "").idempotent()).await.unwrap().status, 200);
    seen.calls.store(0, Ordering::SeqCst);
    let started = Instant::now();
    assert_eq!(client.send(&Request::get(url(address, "/limited"))).await.unwrap().body, "at last");
    assert!(started.elapsed() >= Duration::from_secs(1));
    seen.calls.store(0, Ordering::SeqCst);
    let impatient = client.with_limits(LIMITS, Retry { most: Duration::from_millis(500), ..retry });
    let answer = impatient.send(&Request::get(url(address, "/limited"))).await.unwrap().success();
    assert_eq!(
        answer.unwrap_err(),
        OutboundError::Status { host: "127.0.0.1".into(), status: 429, retry_after: Some(Duration::from_secs(1)) }
    );
}

#[tokio::test]
async fn media_are_fetched_only_where_that_is_turned_on() {
    let (address, _) = serve().await;
    let text = |path: &str| url(address, path).to_string();
    assert_eq!(MediaFetcher::off().fetch_media(&text("/picture")).await.unwrap_err(), OutboundError::FetchOff);
    let fetcher = MediaFetcher::with_client(client(address));
    let media = fetcher.fetch_media(&text("/picture")).await.unwrap();
    assert_eq!((media.bytes.as_ref(), media.content_type.as_deref()), (&b"bytes"[..], Some("image/png")));
    assert_eq!(fetcher.fetch_media(&text("/plain")).await.unwrap().content_type, None, "HMA answers 500 here");
    assert!(matches!(fetcher.fetch_media(&text("/absent")).await, Err(OutboundError::Status { status: 404, .. })));
    assert!(matches!(fetcher.fetch_media(&text("/large")).await, Err(OutboundError::TooLarge { .. })));
    assert!(matches!(fetcher.fetch_media("not a url").await, Err(OutboundError::Malformed { .. })));
    let guarded = MediaFetcher::new(Policy { ports: vec![address.port()], ..Policy::default() }, LIMITS.connect, LIMITS.total, 4096);
    refused(guarded.fetch_media(&text("/picture")).await, "loopback");
}
