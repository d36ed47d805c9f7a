//! The loop that accepts connections.
//!
//! `axum::serve` has no time limit for a request's head, so a handful of slow callers could hold every connection. Here a connection has to send
//! its first whole head within [`ServeOptions::head_timeout`] and every later one as fast, and there are at most
//! [`ServeOptions::connections`] at a time; more wait in the kernel's backlog.

use std::{
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tower::ServiceExt;

/// Bounds of the loop.
#[derive(Clone, Copy, Debug)]
pub struct ServeOptions {
    /// Connections at a time.
    pub connections: usize,
    /// How long the head of a request may take to arrive.
    pub head_timeout: Duration,
    /// How long calls that are under way at shutdown may take to end.
    pub drain: Duration,
}

impl Default for ServeOptions {
    /// 4096 connections, 10 s for a head, 30 s to drain.
    fn default() -> Self {
        Self { connections: 4096, head_timeout: Duration::from_secs(10), drain: Duration::from_secs(30) }
    }
}

/// After a failed `accept` (out of file descriptors, mostly): time for connections to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` is ready, then lets what is under way end, for at most the drain time.
pub async fn serve(listener: TcpListener, router: Router, options: ServeOptions, shutdown: impl Future<Output = ()>) {
    let slots = Arc::new(Semaphore::new(options.connections.min(Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(options.head_timeout);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(options.head_timeout).max_concurrent_streams(128);
    tokio::pin!(shutdown);
    loop {
        let accepted = async {
            // Closed by nobody; if it were, there would be no bound to keep.
            let slot = Arc::clone(&slots).acquire_owned().await.ok();
            (listener.accept().await, slot)
        };
        let (stream, slot) = tokio::select! {
            () = &mut shutdown => break,
            (accepted, slot) = accepted => match accepted {
                Ok((stream, _)) => (stream, slot),
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            },
        };
        let connection = connection(&builder, &graceful, stream, router.clone(), options.head_timeout);
        tokio::spawn(async move {
            connection.await;
            drop(slot);
        });
    }
    drop(listener); // new callers are refused, not left waiting
    if tokio::time::timeout(options.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("calls were still under way after the drain time and are cut off");
    }
}

/// One connection until it ends. Who sends no request within `patience` is cut off.
fn connection(
    builder: &auto::Builder<TokioExecutor>,
    graceful: &GracefulShutdown,
    stream: TcpStream,
    router: Router,
    patience: Duration,
) -> impl Future<Output = ()> + Send + 'static {
    // Answers are small and written at once; waiting to fill a packet only delays them. Failing to say so costs milliseconds.
    let _ = stream.set_nodelay(true);
    let spoke = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&spoke);
    let service = router.map_request(move |request: axum::http::Request<hyper::body::Incoming>| {
        heard.store(true, Ordering::Relaxed);
        request
    });
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
    let served = graceful.watch(served);
    async move {
        tokio::pin!(served);
        tokio::select! {
            _ = &mut served => return, // how a connection ended is its caller's business
            () = tokio::time::sleep(patience) => {}
        }
        if spoke.load(Ordering::Relaxed) {
            let _ = served.await;
        }
    }
}

/// A caller that left while it waited is nothing; running out of file descriptors is worth a line and a pause.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::warn!(%error, "cannot accept a connection");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}
