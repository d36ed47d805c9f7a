//! The accept loop, over real sockets.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use nightlight::{
    http::{HttpOptions, ServeOptions, serve},
    services::{access::Role, scoring::Scored},
    testing::scorer::FakeScorer,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

use crate::http_app::{App, Setup};

const PATIENCE: Duration = Duration::from_millis(200);

pub async fn start(setup: Setup, options: ServeOptions) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let app = setup.start().await;
    listen(app, options).await
}

/// The same with a key for callers.
pub async fn start_with_key(setup: Setup, options: ServeOptions, role: Role) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>, String) {
    let app = setup.start().await;
    let key = app.key(role).await;
    let (address, stop, server) = listen(app, options).await;
    (address, stop, server, key)
}

async fn listen(app: App, options: ServeOptions) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        serve(listener, app.router.clone(), options, async { drop(stopped.await) }).await;
        drop(app);
    });
    (address, stop, server)
}

fn impatient() -> ServeOptions {
    ServeOptions { head_timeout: PATIENCE, ..ServeOptions::default() }
}

/// Sends and reads until the server closes.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.expect("the server never closed");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_request_is_answered_over_a_socket() {
    let (address, _stop, _server) = start(Setup::default(), impatient()).await;
    let answer = exchange(address, b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let (address, _stop, _server) = start(Setup::default(), impatient()).await;
    for bytes in [b"".as_slice(), b"P", b"PRI * HTTP/2.0\r\n", b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
        let started = Instant::now();
        exchange(address, bytes).await;
        assert!(started.elapsed() < Duration::from_secs(5), "{bytes:?} held the connection for {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_refused_upload_still_gets_its_429() {
    let options = HttpOptions { permits: 0, ..HttpOptions::default() };
    let (address, _stop, _server) = start(Setup { options, ..Setup::default() }, impatient()).await;
    let length = 8 << 20; // more than the sockets' buffers hold
    let mut bytes =
        format!("POST /score HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: image/png\r\nContent-Length: {length}\r\n\r\n")
            .into_bytes();
    bytes.resize(bytes.len() + length, b'x');
    let answer = exchange(address, &bytes).await;
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
}

#[tokio::test]
async fn shutdown_lets_what_is_under_way_end_and_refuses_what_is_new() {
    let scorer = FakeScorer::new(|_| async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        Ok(Scored { body: "{}".into(), replayed: false })
    });
    let (address, stop, server) = start(Setup { scorer, ..Setup::default() }, impatient()).await;
    let call = tokio::spawn(async move {
        exchange(address, b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi").await
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    stop.send(()).unwrap();
    server.await.unwrap();
    let answer = call.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("{}"), "{answer}");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn shutdown_ends_after_the_drain_time_whatever_is_under_way() {
    let scorer = FakeScorer::new(|_| std::future::pending());
    let (address, stop, server) = start(Setup { scorer, ..Setup::default() }, ServeOptions { drain: PATIENCE, ..impatient() }).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), server).await.expect("the drain never ended").unwrap();
}

#[tokio::test]
async fn http2_without_tls_works_by_prior_knowledge() {
    // The preface and an empty SETTINGS frame; the server's first frame is its SETTINGS (type 4).
    let (address, _stop, _server) = start(Setup::default(), impatient()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4);
}
