//! The loop that accepts connections, and what it bounds.
//!
//! `axum::serve` has no bounds of its own, so a handful of slow callers could hold every connection. Here nobody waits behind others who are silent: a
//! newcomer is always let in, and the connection that has been quiet longest makes room for it (`crowd` has the order). A connection has to send its first
//! head within [`ServeOptions::head_timeout`], and HTTP/1 every later one as fast; HTTP/2 may stay without a request for
//! [`ServeOptions::idle_timeout`]; who reads no answer for [`ServeOptions::write_timeout`] is cut off. Heads that have begun and not ended have at
//! most [`MAX_HEAD`] bytes each and [`ServeOptions::head_bytes`] together.

mod connections;
mod crowd;
mod requests;
mod stream;

use std::{
    error::Error,
    future::Future,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(super) use self::requests::Peer;
use self::{
    connections::{Connection, Connections, Ending, SPARE, Seat},
    requests::Requests,
    stream::Stream,
};
use crate::domain::network::Network;

/// Bounds of the loop.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Connections at a time.
    pub connections: usize,
    /// Of those without a key, from one address that is not trusted.
    pub strangers_per_address: usize,
    /// Networks where one address stands for many callers.
    pub trusted: Vec<Network>,
    /// How long the head of a request may take to arrive.
    pub head_timeout: Duration,
    /// How long an HTTP/2 connection may have no request.
    pub idle_timeout: Duration,
    /// How long an answer waits for a caller who reads nothing.
    pub write_timeout: Duration,
    /// Bytes of all heads that have begun and not ended.
    pub head_bytes: usize,
    /// How long calls that are under way at shutdown may take to end.
    pub drain: Duration,
}

impl Default for ServeOptions {
    /// What `default.toml` says, and 16 MiB of heads: two thousand callers who each send a head of 8 KiB at the same moment.
    fn default() -> Self {
        Self {
            connections: 4096,
            strangers_per_address: 1024,
            trusted: Vec::new(),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            head_bytes: 16 << 20,
            drain: Duration::from_secs(30),
        }
    }
}

impl ServeOptions {
    /// Files that the loop may have open beside those that `connections` counts.
    pub const SPARE_FILES: usize = SPARE + 1;
}

/// Bytes of one head on HTTP/1; a longer one is answered 431. Holds a query with a signal of 2,500 dimensions.
const MAX_HEAD: usize = 64 << 10;
/// Bytes of one head on HTTP/2, as RFC 9113 counts them, of which a connection may have [`MAX_STREAMS`] under way.
const MAX_HEADER_LIST: u32 = 16 << 10;
/// Requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;

/// After a failed `accept` (out of file descriptors, mostly): time for connections to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a connection that was told to end may take: HTTP/2 says goodbye in a round trip.
const GOODBYE: Duration = Duration::from_secs(2);

/// Serves until `shutdown` is ready, then lets what is under way end, for at most the drain time.
pub async fn serve(listener: TcpListener, router: Router, options: ServeOptions, shutdown: impl Future<Output = ()>) {
    let builder = builder(&options);
    let (drain, write_timeout) = (options.drain, options.write_timeout);
    let connections = Connections::new(options);
    let (leaving, tasks) = (CancellationToken::new(), TaskTracker::new());
    tokio::pin!(shutdown);
    loop {
        let accepted = async {
            connections.room().await;
            listener.accept().await
        };
        let (socket, address) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accepted => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            },
        };
        // Answers are small and written at once; waiting to fill a packet only delays them. Failing to say so costs milliseconds.
        let _ = socket.set_nodelay(true);
        let seat = connections.admit(address.ip());
        let requests = Requests { router: router.clone(), connection: Arc::clone(&seat.0) };
        let stream = Stream::new(socket, Arc::clone(&seat.0), write_timeout);
        let served = builder.serve_connection(TokioIo::new(stream), requests).into_owned();
        tasks.spawn(attend(served, seat, leaving.clone()));
    }
    drop(listener); // new callers are refused, not left waiting
    leaving.cancel();
    tasks.close();
    if tokio::time::timeout(drain, tasks.wait()).await.is_err() {
        tracing::warn!("calls were still under way after the drain time and are cut off");
    }
}

fn builder(options: &ServeOptions) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(options.head_timeout).max_buf_size(MAX_HEAD);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).max_header_list_size(MAX_HEADER_LIST).max_concurrent_streams(MAX_STREAMS);
    http2.keep_alive_interval(options.head_timeout).keep_alive_timeout(options.head_timeout);
    builder
}

/// What is served on one connection.
type Served = auto::Connection<'static, TokioIo<Stream>, Requests, TokioExecutor>;

/// One connection until it ends, by itself, for its time, or because it was told to.
async fn attend(served: Served, seat: Seat, leaving: CancellationToken) {
    let connection: &Connection = &seat.0;
    tokio::pin!(served);
    let (mut look, mut goodbye) = (Instant::now(), false);
    loop {
        tokio::select! {
            ended = &mut served => {
                if ended.is_err_and(|error| timed_out(&*error)) {
                    connection.note(Ending::Quiet);
                }
                return;
            }
            () = connection.closed() => return,
            () = leaving.cancelled(), if !goodbye => {
                goodbye = true;
                served.as_mut().graceful_shutdown();
                look = Instant::now() + GOODBYE;
            }
            () = tokio::time::sleep_until(look.into()) => match connection.due(Instant::now()) {
                _ if goodbye && !connection.is_busy() => return,
                Ok(next) => look = next,
                Err(Ending::Quiet) => {
                    connection.note(Ending::Quiet);
                    goodbye = true;
                    served.as_mut().graceful_shutdown();
                    look = Instant::now() + GOODBYE;
                }
                Err(why) => return connection.note(why),
            },
        }
    }
}

/// Whether hyper gave up waiting for a head, or for the answer to a ping.
fn timed_out(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout)
}

/// A caller that left while it waited is nothing; running out of file descriptors is worth a line and a pause.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::warn!(%error, "cannot accept a connection");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}
