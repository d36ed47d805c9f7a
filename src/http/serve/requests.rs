//! Between a connection and the router: each request keeps its connection busy, and knows it.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, HttpBody},
    http::{Request, Response},
};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use hyper::body::{Frame, Incoming, SizeHint};
use tower::ServiceExt;

use super::connections::{Connection, Turn, Unread};

/// The connection that a request came on, among the request's extensions.
#[derive(Clone)]
pub(in crate::http) struct Peer(Arc<Connection>);

impl Peer {
    /// Says that a valid key was shown. `false` when every connection that there may be works for somebody with a key, so that this request has to be
    /// refused.
    pub(in crate::http) fn recognised(&self) -> bool {
        self.0.recognised()
    }
}

/// The router as one connection sees it.
pub(super) struct Requests {
    pub router: Router,
    pub connection: Arc<Connection>,
}

impl hyper::service::Service<Request<Incoming>> for Requests {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let turn = Turn::begin(&self.connection);
        let mut request = request.map(|body| Body::new(Upload { body, _turn: Arc::clone(&turn) }));
        request.extensions_mut().insert(Peer(Arc::clone(&self.connection)));
        let answered = self.router.clone().oneshot(request);
        async move { Ok(answered.await?.map(|body| Answer { body, unread: turn.answer() })) }.boxed()
    }
}

/// The body of a request, which is under way while somebody may read it.
struct Upload {
    body: Incoming,
    _turn: Arc<Turn>,
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer, which notes whether the caller takes it.
pub(super) struct Answer {
    body: Body,
    unread: Unread,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.unread.progressed(frame.is_ready());
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
