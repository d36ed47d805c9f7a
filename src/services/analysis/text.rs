//! The way of a text or a conversation: tokenise, embed, heads.

use std::time::Instant;

use super::{
    AnalysisError,
    models::{CallPoints, ModelFailure, TextModel},
    timings::Timings,
};
use crate::domain::{
    attachment::Message,
    evidence::{Evidence, Unscored, UnscoredReason},
    operating_point::OperatingPoint,
    score::{CONVERSATION, ConversationDetail, Score},
};

/// What all text models say of one text.
pub(super) async fn look_at_text(
    models: &[TextModel],
    text: &str,
    points: &CallPoints,
    timings: &mut Timings,
) -> Result<Evidence, AnalysisError> {
    let started = Instant::now();
    let mut evidence = Evidence::default();
    if text.trim().is_empty() {
        evidence.unscored = models.iter().map(|model| empty(model, "the text is empty")).collect();
        return Ok(evidence);
    }
    for model in models {
        let (read, truncated) = model.classifier.read_text(text);
        let result = async {
            let embeddings = model.embed(vec![read.to_owned()]).await?;
            let embedding = embeddings.first().ok_or_else(|| ModelFailure::Failed("the encoder gave nothing".to_owned()))?;
            if embedding.windows.is_empty() {
                // White space to the tokenizer, though not to Rust: zero-width and control characters.
                return Ok(None);
            }
            let judged = model.classifier.judge_text(embedding, truncated).map_err(|error| ModelFailure::Failed(error.to_string()))?;
            let scores = judged.labels.iter().map(|(label, raw)| points.score(&model.technology, label, *raw, false));
            scores.collect::<Result<Vec<_>, _>>().map(Some)
        };
        match result.await.transpose() {
            None => evidence.unscored.push(empty(model, "the text has no tokens")),
            Some(scores) => take(model, scores, &mut evidence)?,
        }
        if truncated {
            evidence.unscored.push(cut(model, format!("only the first {} of {} bytes were read", read.len(), text.len())));
        }
    }
    timings.add("classify", started.elapsed());
    Ok(evidence)
}

/// What all text models say of one conversation.
pub(super) async fn look_at_conversation(
    models: &[TextModel],
    messages: &[Message],
    points: &CallPoints,
    timings: &mut Timings,
) -> Result<Evidence, AnalysisError> {
    let started = Instant::now();
    let mut evidence = Evidence::default();
    if messages.iter().all(|message| message.text.trim().is_empty()) {
        evidence.unscored = models.iter().map(|model| empty(model, "the conversation has no text")).collect();
        return Ok(evidence);
    }
    for model in models {
        let point = points.get(&model.technology, CONVERSATION);
        // Without a threshold there is no alarm; the scores are still told.
        let threshold = point.map_or(f32::INFINITY, OperatingPoint::flags_from);
        let plan = model.classifier.plan(messages);
        let result = async {
            let embeddings = model.embed(plan.texts.clone()).await?;
            let judged = model.classifier.judge(&plan, &embeddings, threshold).map_err(|error| ModelFailure::Failed(error.to_string()))?;
            let mut scores: Vec<Score> = Vec::new();
            for (label, raw) in &judged.labels {
                scores.push(points.score(&model.technology, label, *raw, false)?);
            }
            let mut whole = points.score(&model.technology, CONVERSATION, judged.conversation, false)?;
            let (first_alarm_message_index, windows) = (judged.first_alarm_message_index, judged.windows);
            whole.detail = Some(ConversationDetail { first_alarm_message_index, windows });
            scores.push(whole);
            if judged.skipped_messages > 0 || judged.truncated_messages > 0 {
                let detail = format!(
                    "{} of {} messages were scored, the newest; {} of them only from their beginning",
                    judged.scored_messages,
                    messages.len(),
                    judged.truncated_messages
                );
                return Ok((scores, Some(cut(model, detail))));
            }
            Ok((scores, None))
        };
        let (scores, unread) = match result.await {
            Ok((scores, unread)) => (Ok(scores), unread),
            Err(error) => (Err(error), None),
        };
        take(model, scores, &mut evidence)?;
        evidence.unscored.extend(unread);
    }
    timings.add("classify", started.elapsed());
    Ok(evidence)
}

fn take(model: &TextModel, result: Result<Vec<Score>, ModelFailure>, evidence: &mut Evidence) -> Result<(), AnalysisError> {
    match result {
        Ok(scores) => evidence.scores.extend(scores),
        Err(ModelFailure::Overloaded) => return Err(AnalysisError::Overloaded),
        Err(ModelFailure::Failed(detail)) => {
            let technology = model.technology.clone();
            evidence.unscored.push(Unscored { technology, reason: UnscoredReason::TechnologyFailed, detail });
        }
    }
    Ok(())
}

fn empty(model: &TextModel, detail: &str) -> Unscored {
    Unscored { technology: model.technology.clone(), reason: UnscoredReason::EmptyText, detail: detail.to_owned() }
}

fn cut(model: &TextModel, detail: String) -> Unscored {
    Unscored { technology: model.technology.clone(), reason: UnscoredReason::TextTruncated, detail }
}
