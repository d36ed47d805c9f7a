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
use crate::engines::classify::{LabelScore, TextPlan};

/// What all text models say of one text, or of the beginning of one that has `whole` bytes.
pub(super) async fn look_at_text(
    models: &[TextModel],
    (text, whole): (&str, usize),
    points: &CallPoints,
    timings: &mut Timings,
) -> Result<Evidence, AnalysisError> {
    let started = Instant::now();
    let mut evidence = Evidence::default();
    if text.len() == whole && text.trim().is_empty() {
        evidence.unscored = models.iter().map(|model| empty(model, "the text is empty")).collect();
        return Ok(evidence);
    }
    for model in models {
        let text = text.to_owned();
        let (plan, scores) = match model.plan(move |classifier| classifier.plan_beginning(&text, whole)).await {
            Ok(plan) if plan.is_empty() => {
                // Of a blank beginning nothing follows for the rest.
                let blank = || empty(model, "the text has no words");
                evidence.unscored.push(if plan.is_cut() { cut(model, beginning(&plan)) } else { blank() });
                continue;
            }
            Ok(plan) => {
                let scores = async {
                    let vectors = model.embed(plan.windows()).await?;
                    let judged = model.classifier.judge_text(&plan, &vectors)?;
                    judged.labels.iter().map(|label| score(model, points, label)).collect::<Result<Vec<_>, _>>()
                };
                let scores = scores.await;
                (plan, scores)
            }
            Err(failure) => {
                take(model, Err(failure), &mut evidence)?;
                continue;
            }
        };
        take(model, scores, &mut evidence)?;
        if plan.is_cut() {
            evidence.unscored.push(cut(model, beginning(&plan)));
        }
        let unread = plan.unreadable_windows();
        if unread.count > 0 {
            evidence.unscored.push(unreadable(model, format!("of {} of {} token windows", unread.count, unread.of)));
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
        let messages = messages.to_vec();
        let plan = match model.plan(move |classifier| classifier.plan(&messages)).await {
            Ok(plan) if plan.is_empty() => {
                let blank = || empty(model, "no message has words");
                evidence.unscored.push(if plan.is_cut() { cut(model, newest(&plan)) } else { blank() });
                continue;
            }
            Ok(plan) => plan,
            Err(failure) => {
                take(model, Err(failure), &mut evidence)?;
                continue;
            }
        };
        let scores = async {
            let vectors = model.embed(plan.windows()).await?;
            // Without a threshold there is no alarm; the scores are still told.
            let threshold = points.get(&model.technology, CONVERSATION).map_or(f32::INFINITY, OperatingPoint::flags_from);
            let judged = model.classifier.judge(&plan, &vectors, threshold)?;
            let mut scores = judged.labels.iter().map(|label| score(model, points, label)).collect::<Result<Vec<_>, _>>()?;
            let mut whole = points.score(&model.technology, CONVERSATION, judged.conversation, judged.conversation_variant.is_some())?;
            let (first_alarm_message_index, windows) = (judged.first_alarm_message_index, judged.windows);
            whole.detail = Some(ConversationDetail { first_alarm_message_index, windows });
            whole.look.variant = judged.conversation_variant;
            scores.push(whole);
            Ok(scores)
        };
        let scores = scores.await;
        take(model, scores, &mut evidence)?;
        if plan.is_cut() {
            evidence.unscored.push(cut(model, newest(&plan)));
        }
        let unread = plan.unreadable_messages();
        if unread.count > 0 {
            evidence.unscored.push(unreadable(model, format!("of {} of {} messages", unread.count, unread.of)));
        }
    }
    timings.add("classify", started.elapsed());
    Ok(evidence)
}

/// A label's score with its operating point and its look.
fn score(model: &TextModel, points: &CallPoints, label: &LabelScore) -> Result<Score, ModelFailure> {
    let mut score = points.score(&model.technology, &label.label, label.score, label.variant.is_some())?;
    score.look.variant = label.variant;
    Ok(score)
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

/// What was read of a text that was cut.
fn beginning(plan: &TextPlan) -> String {
    let (bytes, tokens) = (plan.bytes(), plan.tokens());
    let within = if bytes.count < bytes.of { format!(" in the first {} of {} bytes", bytes.count, bytes.of) } else { String::new() };
    format!("only the beginning was read: {} of {} tokens{within}", tokens.count, tokens.of)
}

/// What was read of a conversation that was cut.
fn newest(plan: &TextPlan) -> String {
    let scored = plan.scored_messages();
    let cut = plan.cut_messages();
    format!("{} of {} messages were scored, the newest; {cut} of them only from their beginning", scored.count, scored.of)
}

/// The score stands, but it means little: `part` says of how much.
fn unreadable(model: &TextModel, part: String) -> Unscored {
    let detail = format!("{part} most letters or words are none that the model knows");
    Unscored { technology: model.technology.clone(), reason: UnscoredReason::UnreadableText, detail }
}
