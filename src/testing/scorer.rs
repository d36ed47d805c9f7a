//! A scorer that does what a test says.

use std::sync::Mutex;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::{
    domain::attachment::Attachment,
    http::Scorer,
    services::scoring::{ScoreError, ScoreRequest, Scored},
};

type Behaviour = dyn Fn(ScoreRequest) -> BoxFuture<'static, Result<Scored, ScoreError>> + Send + Sync;

/// Answers with a closure, and keeps every request.
pub struct FakeScorer {
    behaviour: Box<Behaviour>,
    seen: Mutex<Vec<ScoreRequest>>,
}

impl FakeScorer {
    /// Answers as `behaviour` says.
    pub fn new<F>(behaviour: impl Fn(ScoreRequest) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Scored, ScoreError>> + Send + 'static,
    {
        Self { behaviour: Box::new(move |request| Box::pin(behaviour(request))), seen: Mutex::default() }
    }

    /// Answers with what it understood: see [`describe`].
    pub fn echo() -> Self {
        Self::new(|request| async move { Ok(Scored { body: describe(&request).to_string().into(), replayed: false }) })
    }

    /// The requests so far, in the order in which they came.
    ///
    /// # Panics
    /// If a test panicked while it looked.
    pub fn seen(&self) -> Vec<ScoreRequest> {
        self.seen.lock().expect("no test panics while it looks").clone()
    }
}

impl Scorer for FakeScorer {
    fn score(&self, request: ScoreRequest) -> BoxFuture<'_, Result<Scored, ScoreError>> {
        self.seen.lock().expect("no test panics while it looks").push(request.clone());
        (self.behaviour)(request)
    }
}

/// A request as JSON: the attachment, the context and the key.
pub fn describe(request: &ScoreRequest) -> Value {
    let (mut attachment, repaired) = match &request.attachment {
        Attachment::Media { bytes, declared } => (json!({"media": String::from_utf8_lossy(bytes), "declared": declared}), false),
        Attachment::Text { text, repaired, .. } => (json!({"text": text}), *repaired),
        Attachment::Conversation { messages, repaired } => {
            let messages: Vec<_> = messages.iter().map(|message| json!([message.author, message.time, message.text])).collect();
            (json!({"messages": messages}), *repaired)
        }
    };
    if repaired {
        attachment["repaired"] = true.into();
    }
    json!({"attachment": attachment, "context": request.context, "key": request.idempotency_key})
}
