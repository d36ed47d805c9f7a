//! Callers who hold connections and say little: `scripts/attack/connections.py` does the same to a real server, in thousands.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use nightlight::{
    http::ServeOptions,
    services::{access::Role, scoring::Scored},
    testing::scorer::FakeScorer,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
};

use crate::{
    http_app::Setup,
    http_serve::{exchange, start, start_with_key},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const LIVEZ: &[u8] = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET path` as the HEADERS of a whole request: indexed fields, and a literal path (RFC 7541).
fn get(stream: u32, path: &str) -> Vec<u8> {
    let block = [&[0x82, 0x86, 0x04, u8::try_from(path.len()).unwrap()][..], path.as_bytes(), &[0x01, 1, b'x']].concat();
    frame(1, 0x5, stream, &block)
}

async fn connect(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Waits until the server has closed it; gives what it said.
async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut said)).await.expect("the server never closed");
    said
}

/// Whether it is still open, after what the server said was read.
fn is_open(stream: &TcpStream) -> bool {
    loop {
        match stream.try_read(&mut [0; 4096]) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

async fn alive(address: SocketAddr) {
    let answer = exchange(address, LIVEZ).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

/// So long that no test ever sees it end.
const NEVER: Duration = Duration::from_secs(3600);

fn patient() -> ServeOptions {
    ServeOptions { connections: 16, head_timeout: NEVER, idle_timeout: NEVER, write_timeout: NEVER, ..ServeOptions::default() }
}

#[tokio::test]
async fn silent_connections_make_room_the_oldest_first() {
    for opening in [b"".to_vec(), b"GET /livez HTTP/1.1\r\nX-Slow: ".to_vec(), [PREFACE, &frame(4, 0, 0, &[])].concat()] {
        let (address, _stop, _server) = start(Setup::default(), patient()).await;
        let mut silent = Vec::new();
        for _ in 0..40 {
            silent.push(connect(address, &opening).await);
        }
        alive(address).await;
        for stream in &mut silent[..25] {
            closed(stream).await;
        }
        assert!(silent[25..].iter().all(is_open), "16 connections fit, and the newcomer was one");
    }
}

#[tokio::test]
async fn one_address_has_a_share_unless_it_is_a_trusted_proxy() {
    for (trusted, gone) in [(vec![], 6), (vec!["127.0.0.0/8".parse().unwrap()], 0)] {
        let options = ServeOptions { strangers_per_address: 4, trusted, ..patient() };
        let (address, _stop, _server) = start(Setup::default(), options).await;
        let mut silent = Vec::new();
        for _ in 0..10 {
            silent.push(connect(address, b"GET").await);
        }
        for stream in &mut silent[..gone] {
            closed(stream).await;
        }
        assert!(silent[gone..].iter().all(is_open));
    }
}

#[tokio::test]
async fn work_for_a_key_is_not_cut_off_and_health_can_be_asked_beside_it() {
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let kept = (Arc::clone(&gate), Arc::clone(&begun));
    let scorer = FakeScorer::new(move |_| {
        let (gate, begun) = kept.clone();
        async move {
            begun.add_permits(1);
            gate.acquire().await.unwrap().forget();
            Ok(Scored { body: "{}".into(), replayed: false })
        }
    });
    let setup = Setup { scorer, keys: true, ..Setup::default() };
    let (address, _stop, _server, key) = start_with_key(setup, ServeOptions { connections: 2, ..patient() }, Role::Scorer).await;
    let post = format!(
        "POST /score HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
    );
    let mut working = [connect(address, post.as_bytes()).await, connect(address, post.as_bytes()).await];
    begun.acquire_many(2).await.unwrap().forget();
    let refused = exchange(address, post.as_bytes()).await;
    assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("every connection is in use"), "{refused}");
    for _ in 0..100 {
        alive(address).await;
    }
    assert!(working.iter().all(is_open));
    gate.add_permits(10);
    for stream in &mut working {
        let said = String::from_utf8(closed(stream).await).unwrap();
        assert!(said.starts_with("HTTP/1.1 200 OK"), "{said}");
    }
}

#[tokio::test]
async fn http2_without_a_request_is_closed() {
    let options = ServeOptions { idle_timeout: Duration::from_millis(100), ..patient() };
    let (address, _stop, _server) = start(Setup::default(), options).await;
    let mut stream = connect(address, &[PREFACE, &frame(4, 0, 0, &[]), &get(1, "/livez")].concat()).await;
    let said = closed(&mut stream).await;
    let contains = |needle: &[u8]| said.windows(needle.len()).any(|window| window == needle);
    assert!(contains(br#"{"status":"alive"}"#), "it was answered");
    assert!(contains(&[7, 0, 0, 0, 0, 0]), "and told to go (GOAWAY)");
}

#[tokio::test]
async fn who_never_reads_is_cut_off() {
    let options = ServeOptions { write_timeout: Duration::from_millis(100), ..patient() };
    let (address, _stop, _server) = start(Setup::default(), options).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let endless = async {
        let request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
        while stream.write_all(&request).await.is_ok() {}
    };
    tokio::time::timeout(Duration::from_secs(20), endless).await.expect("it was never cut off");
    // Who only waits hears of it too: what was not read is gone.
    let waiting = connect(address, &b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100)).await;
    let reset = async {
        while waiting.take_error().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reset).await.expect("the connection was kept");
    // A window of nothing, for ever: SETTINGS_INITIAL_WINDOW_SIZE (4) = 0.
    let settings = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let mut stream = connect(address, &[PREFACE, &settings, &get(1, "/openapi.json")].concat()).await;
    closed(&mut stream).await;
}

#[tokio::test]
async fn heads_are_bounded_each_and_together() {
    let (address, _stop, _server) = start(Setup::default(), ServeOptions { head_bytes: 100_000, ..patient() }).await;
    let long = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: {}", "x".repeat(99_000));
    let answer = exchange(address, long.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let mut slow = Vec::new();
    for _ in 0..8 {
        slow.push(connect(address, &long.as_bytes()[..30_000]).await);
    }
    // 30,000 bytes fit three times.
    while slow.iter().filter(|stream| is_open(stream)).count() > 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    alive(address).await;
    assert!(slow.iter().any(is_open), "those that fit stay");
}

#[tokio::test]
async fn what_two_servers_could_read_differently_is_refused_once_and_closed() {
    let (address, _stop, _server) = start(Setup::default(), patient()).await;
    let inner = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    for head in [
        "GET /livez HTTP/1.1\r\n\r\n",
        "POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        "GET http://y/livez HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let answer = exchange(address, format!("{head}{inner}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("connection: close"), "{head}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "what stood behind it was not answered: {answer}");
    }
}
