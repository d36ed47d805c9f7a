//! `nightlight score`.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use futures_util::StreamExt;
use serde::Deserialize;

use super::{Failure, block_on, files, hash::ErrorLine, output};
use crate::{
    config::Config,
    domain::{
        attachment::{Attachment, Context, Message},
        ids::RequestId,
        text::{self, Text},
        time::Timestamp,
    },
    engines::media,
    services::{
        App,
        access::Principal,
        scoring::{ScoreError, ScoreRequest, Scored},
    },
};

#[derive(Args, Debug)]
pub(super) struct Score {
    /// What is known of all files: item_id, account_id, service, surface, legal_basis, scope, unit, cluster
    #[arg(long = "context", value_name = "KEY=VALUE")]
    context: Vec<String>,
    /// Files to score; folders stand for all files below them
    ///
    /// .txt is a text; .json is {"text": …} or {"conversation": {"messages": [{"author","time","text"}]}}, or the same within
    /// {"attachment": …} as POST /score takes it; everything else is told by its bytes. Each file gives one line: the answer of POST /score, or
    /// {"file","error":{"code","message"}}, in the order of the files. What is routed to review is put into the queue of --data-dir.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// A `.json` file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRequest {
    attachment: Option<RawAttachment>,
    context: Option<Context>,
    text: Option<Text>,
    conversation: Option<RawConversation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawAttachment {
    Text(Text),
    Conversation(RawConversation),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConversation {
    messages: Vec<RawMessage>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMessage {
    author: Text,
    time: Option<Timestamp>,
    text: Text,
}

impl Score {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        let context = context(&self.context)?;
        let files = files::expand(&self.files);
        if context.item_id.is_some() && files.len() > 1 {
            return Err(Failure::input("item_id names one item, but there are several files"));
        }
        block_on(async {
            let app = App::start(config).await?;
            for warning in &app.warnings {
                tracing::warn!("{warning}");
            }
            let scored = score_all(config, &app, &files, &context).await;
            app.stop().await;
            if scored? { Ok(()) } else { Err(Failure::told()) }
        })
    }
}

/// Prints a line for each file; whether all were scored.
async fn score_all(config: &Config, app: &App, files: &[PathBuf], context: &Context) -> Result<bool, Failure> {
    // As many at a time as keep every core busy; more would only wait in the queues.
    let at_once = std::thread::available_parallelism().map_or(1, usize::from).saturating_add(1);
    let bar = output::progress(Some(files.len() as u64), "files");
    let mut answers = futures_util::stream::iter(files).map(|path| score(config, app, path, context)).buffered(at_once);
    let mut all_scored = true;
    while let Some(answer) = answers.next().await {
        all_scored &= answer.is_ok();
        bar.suspend(|| match &answer {
            Ok(scored) => {
                let mut out = io::stdout().lock();
                out.write_all(&scored.body).and_then(|()| out.write_all(b"\n"))
            }
            Err(line) => output::json_line(line),
        })?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(all_scored)
}

async fn score(config: &Config, app: &App, path: &Path, context: &Context) -> Result<Scored, ErrorLine> {
    let (attachment, own) = read(config, path)?;
    loop {
        let request = ScoreRequest {
            who: Principal::operator(),
            request_id: RequestId::new(),
            attachment: attachment.clone(),
            context: own.clone().unwrap_or_else(|| context.clone()),
            idempotency_key: None,
            body_digest: [0; 32], // only read when there is a key
            deadline: Instant::now() + Duration::from_millis(config.server.deadline_ms),
        };
        match app.scoring.score(request).await {
            // Nobody waits here but this loop.
            Err(ScoreError::Overloaded { retry_after }) => tokio::time::sleep(retry_after).await,
            Err(error) => return Err(ErrorLine::new(path, code(&error), error)),
            Ok(scored) => return Ok(scored),
        }
    }
}

/// The file's attachment, and its own context if it brings one.
pub(super) fn read(config: &Config, path: &Path) -> Result<(Attachment, Option<Context>), ErrorLine> {
    let malformed = |message: String| ErrorLine::new(path, "malformed", message);
    let bytes = files::read(path, config.server.body_limit_bytes).map_err(|error| ErrorLine::new(path, error.code(), error))?;
    let (attachment, context) = match path.extension().and_then(|extension| extension.to_str()) {
        Some("txt") => {
            let text = Text::from_bytes(bytes.clone(), None);
            (Attachment::bounded_text(text, Some(bytes.into()), config.limits.max_text_bytes), None)
        }
        Some("json") => match parse(&bytes, config.limits.max_text_bytes) {
            Ok(read) => read,
            // A file under a name that is not its own.
            Err(_) if media::sniff(&bytes).is_some() || media::recognise(&bytes).is_some() => {
                return Ok((Attachment::Media { bytes: bytes.into(), declared: None }, None));
            }
            Err(message) => return Err(malformed(message)),
        },
        _ => return Ok((Attachment::Media { bytes: bytes.into(), declared: None }, None)),
    };
    let (length, messages) = match &attachment {
        Attachment::Conversation { messages, .. } => {
            (messages.iter().map(|message| message.author.len() + message.text.len()).sum(), messages.len())
        }
        Attachment::Text { .. } | Attachment::Media { .. } => (0, 0), // a long text is cut, and says so
    };
    let too_large =
        |what: String| Err(ErrorLine::new(path, "too_large", format!("the conversation has more than {what}; give the newest")));
    if length > config.limits.max_text_bytes {
        return too_large(format!("{} bytes in its texts and authors", config.limits.max_text_bytes));
    }
    if messages > config.limits.max_messages {
        return too_large(format!("{} messages", config.limits.max_messages));
    }
    if let Some(field) = context.as_ref().and_then(Context::malformed_field) {
        return Err(malformed(format!("context.{field} must have 1 to {} characters, none of them a control character", Context::LONGEST)));
    }
    Ok((attachment, context))
}

fn parse(bytes: &[u8], max_text_bytes: usize) -> Result<(Attachment, Option<Context>), String> {
    let json = text::unmarked(bytes);
    let raw: RawRequest =
        serde_json::from_slice(json).map_err(|error| format!("{error}; a file that is no JSON of the API needs another extension"))?;
    if let Some(at) = text::bare_control(json) {
        return Err(format!("byte {at} is a control character inside a string; JSON wants it escaped"));
    }
    from_json(raw, max_text_bytes).map_err(str::to_owned)
}

fn from_json(raw: RawRequest, max_text_bytes: usize) -> Result<(Attachment, Option<Context>), &'static str> {
    let attachment = match (raw.attachment, raw.text, raw.conversation) {
        (Some(attachment), None, None) => attachment,
        (None, Some(text), None) => RawAttachment::Text(text),
        (None, None, Some(conversation)) => RawAttachment::Conversation(conversation),
        _ => return Err("a .json file is {\"text\"}, {\"conversation\"} or {\"attachment\", \"context\"}"),
    };
    let attachment = match attachment {
        RawAttachment::Text(text) => Attachment::bounded_text(text, None, max_text_bytes),
        RawAttachment::Conversation(RawConversation { messages }) => {
            let repaired = messages.iter().any(|message| message.author.repaired || message.text.repaired);
            let message = |RawMessage { author, time, text }| Message { author: author.text, time, text: text.text };
            Attachment::Conversation { messages: messages.into_iter().map(message).collect(), repaired }
        }
    };
    Ok((attachment, raw.context))
}

/// The codes of the API.
pub(super) const fn code(error: &ScoreError) -> &'static str {
    match error {
        ScoreError::Malformed(_) => "malformed",
        ScoreError::TooLarge(_) => "too_large",
        ScoreError::IdempotencyConflict | ScoreError::AlreadyAnswered => "idempotency_conflict",
        ScoreError::Overloaded { .. } => "overloaded",
        ScoreError::Deadline => "deadline",
        ScoreError::ShuttingDown => "not_ready",
        ScoreError::Unavailable(_) => "store_unavailable",
        ScoreError::Internal(_) => "internal",
    }
}

fn context(pairs: &[String]) -> Result<Context, Failure> {
    let mut fields = serde_json::Map::new();
    for pair in pairs {
        let (key, value) = pair.split_once('=').ok_or_else(|| Failure::input(format!("--context {pair}: write KEY=VALUE")))?;
        if fields.insert(key.to_owned(), value.into()).is_some() {
            return Err(Failure::input(format!("--context: {key} stands twice")));
        }
    }
    let context: Context = serde_json::from_value(fields.into()).map_err(|error| Failure::input(format!("--context: {error}")))?;
    match context.malformed_field() {
        Some(field) => Err(Failure::input(format!("--context {field}: 1 to {} characters without control characters", Context::LONGEST))),
        None => Ok(context),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_files_are_read_bare_or_as_the_api_takes_them() {
        let read = |text: &str| parse(text.as_bytes(), 9).map(|(attachment, _)| attachment);
        assert!(matches!(read(r#"{"text":"a"}"#), Ok(Attachment::Text { text, .. }) if text == "a"));
        assert!(matches!(read(r#"{"attachment":{"text":"a"},"context":{"service":"s"}}"#), Ok(Attachment::Text { .. })));
        assert!(
            matches!(read(r#"{"text":"longer than nine"}"#), Ok(Attachment::Text { text, cut_from: Some(16), .. }) if text == "longer th")
        );
        let chat = r#"{"conversation":{"messages":[{"author":"a","text":"b"}]}}"#;
        assert!(matches!(read(chat), Ok(Attachment::Conversation { messages, .. }) if messages.len() == 1));
        let cut = r#"{"conversation":{"messages":[{"author":"a","text":"b"},{"author":"a","text":"ok \ud83d"}]}}"#;
        assert!(
            matches!(read(cut), Ok(Attachment::Conversation { messages, repaired: true }) if messages[1].text == "ok \u{fffd}"),
            "nobody shields a chat by half an emoji"
        );
        for wrong in ["{}", r#"{"text":"a","conversation":{"messages":[]}}"#, r#"{"txt":"a"}"#, "{\"text\":\"a\nb\"}"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn context_is_checked_before_anything_starts() {
        let given = |pairs: &[&str]| context(&pairs.iter().map(|&pair| pair.to_owned()).collect::<Vec<_>>());
        assert_eq!(given(&["service=photos", "scope=eu"]).unwrap().scope.as_deref(), Some("eu"));
        for wrong in [&["service"][..], &["servce=a"], &["service="], &["unit=a", "unit=b"]] {
            assert!(given(wrong).is_err(), "{wrong:?}");
        }
    }
}
