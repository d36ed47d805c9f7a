//! The review queue: what waits, one item with its evidence, and deciding it.
//!
//! Evidence names banks and content ids; signals are not part of it, so a reviewer sees none.

use axum::{extract::State, http::Uri, response::Response};
use maud::{Markup, html};

use super::{
    super::{
        Shared,
        error::{ApiError, ErrorCode},
    },
    At, Visitor, banks,
    form::{Fields, Posted, or_again, see_other},
    page::{Field, Part, count, page, segment, table, token, trail, when},
};
use crate::{
    domain::{
        decision::{Category, Likeness, Verdict},
        evidence::{Evidence, Match},
        ids::ReviewItemId,
        score::Score,
        time::Timestamp,
    },
    services::{access::Permission, review::Listing},
    store::{Attachment, ReviewItem, ReviewState},
};

const CATEGORIES: [(&str, &str); 6] = [
    ("", "any"),
    (Category::Known.as_str(), "known"),
    (Category::New.as_str(), "new"),
    (Category::Solicitation.as_str(), "solicitation"),
    (Category::Other.as_str(), "other"),
    (Category::None.as_str(), "none"),
];

const VERDICTS: [(Verdict, &str); 3] = [
    (Verdict::Confirmed, "Confirmed: it is what the machine took it for"),
    (Verdict::Rejected, "Rejected: it is not"),
    (Verdict::Uncertain, "Uncertain: I cannot tell"),
];

fn address(id: ReviewItemId) -> String {
    format!("/console/review/{id}")
}

/// `GET /console/review`
pub(super) async fn list(State(state): State<Shared>, visitor: Visitor, uri: Uri) -> Result<Response, ApiError> {
    let query = Fields::of(&uri);
    let decided = query.raw("state") == ReviewState::Decided.as_str();
    let category = CATEGORIES.iter().find(|(name, _)| !name.is_empty() && *name == query.raw("category")).map(|(name, _)| *name);
    let listing = Listing {
        queue: query.owned("queue"),
        state: if decided { ReviewState::Decided } else { ReviewState::Open },
        category: category.and_then(category_named),
        limit: None,
        after: query.parsed("after", "after")?,
    };
    let found = state.services.review.list(&visitor.who, listing).await?;
    let body = html! {
        h1 { "Review queue" }
        form.filter method="get" role="search" aria-label="Filter the queue" {
            (Field::new("filter", "state", "State").value(query.raw("state")).choice(&[("open", "open"), ("decided", "decided")]))
            (Field::new("filter", "category", "Category").value(query.raw("category")).choice(&CATEGORIES))
            (Field::new("filter", "queue", "Queue").value(query.raw("queue")).line("text"))
            div.actions { button.plain { "Show" } }
        }
        @if found.items.is_empty() { p { "Nothing waits here." } } @else {
            (table("Items of the review queue, most urgent first", &["Item", "Attachments", "Queue", "Priority", "Category", "Kind", "Since", "State"],
                &html! { @for item in &found.items { (row(&visitor, item)) } }))
            @if let Some(next) = found.next {
                nav.pages aria-label="Pages of the queue" { a href=(elsewhere(&query, &next.to_string())) { "Next page" } }
            }
        }
    };
    Ok(page(&visitor, Part::Review, "Review queue", &body))
}

fn category_named(name: &str) -> Option<Category> {
    [Category::Known, Category::New, Category::Solicitation, Category::Other, Category::None].into_iter().find(|one| one.as_str() == name)
}

fn elsewhere(query: &Fields, after: &str) -> String {
    let mut path = format!("/console/review?after={}", segment(after));
    for name in ["state", "category", "queue"] {
        if let Some(value) = query.text(name) {
            path.push_str(&format!("&{name}={}", segment(value)));
        }
    }
    path
}

/// Who has an item, in the eyes of a visitor.
fn held(visitor: &Visitor, item: &ReviewItem) -> &'static str {
    match (&item.review_decision, &item.claim) {
        (Some(decision), _) => decision.verdict.as_str(),
        (None, Some(claim)) if claim.expires_at > Timestamp::now() && claim.reviewer == visitor.who.key => "yours",
        (None, Some(claim)) if claim.expires_at > Timestamp::now() => "with another reviewer",
        _ => "free",
    }
}

/// What is to be looked at, in some words.
fn name(item: &ReviewItem) -> String {
    match &item.subject {
        Some(subject) => format!("item {} of bank {}", subject.content_id, subject.bank),
        None => item.item_id.clone(),
    }
}

fn row(visitor: &Visitor, item: &ReviewItem) -> Markup {
    html! {
        tr {
            th scope="row" { a href=(address(item.id)) { (name(item)) } }
            td.number { (count(item.count)) }
            td { (item.queue) }
            td.number { (format!("{:.2}", item.priority)) }
            td { (item.category.as_str()) }
            td { (item.attachment_kind.as_str()) }
            td { (when(item.created_at)) }
            td { (held(visitor, item)) }
        }
    }
}

fn id_of(text: &str) -> Result<ReviewItemId, ApiError> {
    text.parse().map_err(|_| ApiError::new(ErrorCode::NotFound, "there is no such review item"))
}

/// `GET /console/review/{id}`
pub(super) async fn show(State(state): State<Shared>, visitor: Visitor, At(id): At<String>) -> Result<Response, ApiError> {
    let item = state.services.review.item(&visitor.who, id_of(&id)?).await?;
    let body = html! {
        (trail(&[("/console/review".to_owned(), "Review queue")]))
        h1 { "Review " (name(&item)) }
        dl.facts {
            div { dt { "State" } dd { (held(&visitor, &item)) } }
            div { dt { "Queue" } dd { (item.queue) } }
            div { dt { "Priority" } dd { (format!("{:.2}", item.priority)) } }
            div { dt { "Category" } dd { (item.category.as_str()) } }
            div { dt { "Kind" } dd { (item.attachment_kind.as_str()) } }
            div { dt { "Since" } dd { (when(item.created_at)) } }
            div { dt { "Attachments" } dd { (count(item.count)) } }
            @if item.attached > 0 { div { dt { "Copies since it was decided" } dd { (count(item.attached)) } } }
            @if let Some(service) = &item.provenance.service { div { dt { "Service" } dd { (service) } } }
            // What the ledger calls it; the account's own id is kept nowhere.
            @if let Some(account) = &item.provenance.account { div.whole { dt { "Account, as a pseudonym" } dd { code { (account.0) } } } }
            @if item.count > 1 || item.subject.is_some() { div.whole { dt { "The newest of them" } dd { (item.item_ids.join(", ")) } } }
        }
        @if let Some(subject) = &item.subject {
            p.soft {
                "This item of a bank matched far more than it used to and is out of force. Confirmed: it belongs into the bank; rejected: it does not. "
                @if visitor.who.role.allows(Permission::Curate) {
                    a href=(format!("{}/items/{}", banks::address(&subject.bank), subject.content_id)) { "Look at it" } "."
                }
            }
        } @else {
            p.soft { "Nightlight keeps no content: look at the attachment in your own system, under the item's id above." }
        }
        @if item.subject.is_none() && (item.count > 1 || item.attached > 0) {
            p { a href=(format!("{}/attachments", address(item.id))) { "All attachments that it stands for" } }
        }
        (decision(&visitor, &item))
        h2 { "Why it is here" }
        ul { @for reason in &item.decision.reasons { li { (reason.text) } } }
        (evidence(&item.evidence))
    };
    Ok(page(&visitor, Part::Review, "Review item", &body))
}

/// `GET /console/review/{id}/attachments`
pub(super) async fn attachments(State(state): State<Shared>, visitor: Visitor, At(id): At<String>, uri: Uri) -> Result<Response, ApiError> {
    let (id, after) = (id_of(&id)?, Fields::of(&uri).parsed("after", "after")?);
    let item = state.services.review.item(&visitor.who, id).await?;
    let found = state.services.review.attachments(&visitor.who, id, after, None).await?;
    let body = html! {
        (trail(&[("/console/review".to_owned(), "Review queue"), (address(id), &name(&item))]))
        h1 { "Attachments of " (name(&item)) }
        p.soft { "In the order in which they came. Those that came once the item was decided are copies; the decision was not about them." }
        @if found.attachments.is_empty() { p { "There are no more." } } @else {
            (table("Attachments that the item stands for", &["Item", "Scored", "Nearest match", "Distance", "Came"],
                &html! { @for one in &found.attachments { (attachment(one)) } }))
        }
        @if let Some(next) = found.next {
            nav.pages aria-label="Pages of attachments" { a href=(format!("{}/attachments?after={next}", address(id))) { "Next page" } }
        }
    };
    Ok(page(&visitor, Part::Review, "Attachments", &body))
}

fn attachment(one: &Attachment) -> Markup {
    html! {
        tr {
            th scope="row" { (one.item_id) }
            td { @if let Some(at) = one.at { (when(at)) } @else { "not known" } }
            td { @if let Some(nearest) = &one.nearest { (nearest.technology) } }
            td.number { @if let Some(nearest) = &one.nearest { (nearest.distance) } }
            td {
                @match one.likeness {
                    None => "while the item waited",
                    Some(Likeness::Exact) => "later, an exact copy",
                    Some(Likeness::Near) => "later, a near copy",
                }
            }
        }
    }
}

fn decision(visitor: &Visitor, item: &ReviewItem) -> Markup {
    let action = |verb: &str| format!("{}/{verb}", address(item.id));
    html! {
        @if let Some(made) = &item.review_decision {
            p.notice {
                "Decided " (when(made.decided_at)) ": " (made.verdict.as_str())
                @if let Some(code) = &made.note_code { " (" (code) ")" }
            }
        } @else if held(visitor, item) == "yours" {
            section.card aria-labelledby="decide" {
                h2 #decide { "Decide" }
                form method="post" action=(action("decide")) {
                    (token(visitor))
                    fieldset {
                        legend { "Verdict; it is final" }
                        @for (verdict, words) in VERDICTS {
                            div.field.check {
                                input id=(format!("decide-{}", verdict.as_str())) type="radio" name="verdict" value=(verdict.as_str()) required
                                    checked[visitor.kept("decide").is_some_and(|fields| fields.raw("verdict") == verdict.as_str())];
                                label for=(format!("decide-{}", verdict.as_str())) { (words) }
                            }
                        }
                    }
                    (visitor.field("decide", "note_code", "Note code").help("A code from your house's list: a-z, 0-9, '_', '-' and '.'; no sentences.").line("text"))
                    div.actions { button { "Decide" } }
                }
                form method="post" action=(action("release")) { (token(visitor)) button.plain { "Give it back" } }
            }
        } @else {
            form.actions method="post" action=(action("claim")) { (token(visitor)) button { "Take it" } }
        }
    }
}

fn evidence(evidence: &Evidence) -> Markup {
    html! {
        @if !evidence.matches.is_empty() {
            h2 { "Matches" }
            (table("Matches in banks", &["Technology", "Bank", "Item", "Distance", "Radius", "Variant", "Category", ""],
                &html! { @for one in &evidence.matches { (matched(one)) } }))
            @if evidence.matches_left_out > 0 { p { (count(evidence.matches_left_out)) " more matches, farther away, were not kept." } }
        }
        @if !evidence.scores.is_empty() {
            h2 { "Scores" }
            (table("Scores of classifiers", &["Technology", "Label", "Score", "Threshold", "Certificate", "First alarm"],
                &html! { @for score in &evidence.scores { (scored(score)) } }))
        }
        @if !evidence.unscored.is_empty() {
            h2 { "Not scored" }
            ul { @for one in &evidence.unscored { li { (one.technology) ": " (one.detail) } } }
        }
    }
}

/// What a classifier said, by which threshold it was judged, and what that threshold rests on.
fn scored(score: &Score) -> Markup {
    let point = score.operating_point.as_ref();
    html! {
        tr {
            th scope="row" { (score.technology) }
            td { (score.label) }
            td.number { (format!("{:.4}", score.raw.get())) @if score.flagged() { " " span.badge { "flagged" } } }
            td.number { @match point { Some(point) => (format!("{:.4}", point.threshold.get())), None => "none" } }
            td {
                @if let Some(point) = point {
                    @match &point.certificate { Some(certificate) => code { (certificate) }, None => "none" }
                    @if !point.certified { " " span.badge.off { "not certified" } }
                    @if let Some(reason) = &point.reason { p.help { (reason) } }
                    @if let Some(fallback) = point.fallback { p.help { "In its place: " (fallback.as_str().replace('_', " ")) } }
                }
            }
            // People count from one.
            td { @if let Some(first) = score.detail.and_then(|detail| detail.first_alarm_message_index) { "message " (count(u64::from(first) + 1)) " (index " (first) ")" } }
        }
    }
}

fn matched(one: &Match) -> Markup {
    html! {
        tr {
            th scope="row" { (one.technology) }
            td { (one.bank) }
            td.number { (one.content_id) }
            td.number { (one.distance) }
            td.number { (one.max_distance) }
            td { (one.transform.map_or("", |transform| transform.as_str())) }
            td { (one.category.map_or("", |category| category.as_str())) }
            td {
                @if one.disputed { span.badge.disputed { "disputed" } }
                @if one.quarantined { span.badge.quarantined { "quarantined" } }
            }
        }
    }
}

/// `POST /console/review/{id}/{action}`
pub(super) async fn act(State(state): State<Shared>, At((id, action)): At<(String, String)>, posted: Posted) -> Result<Response, ApiError> {
    let result = acted(&state, &id, &action, &posted).await;
    or_again(result, posted, "decide", |visitor| show(State(state), visitor, At(id))).await
}

async fn acted(state: &Shared, id: &str, action: &str, Posted { visitor, fields }: &Posted) -> Result<Response, ApiError> {
    visitor.who.require(Permission::Review)?;
    let (id, review, who) = (id_of(id)?, &state.services.review, &visitor.who);
    let text = match action {
        "claim" => {
            let until = review.claim(who, id).await?.claim.map_or_else(String::new, |claim| format!(" until {}", claim.expires_at));
            format!("The item is yours{until}.")
        }
        "release" => {
            review.release(who, id).await?;
            "The item is free again.".to_owned()
        }
        "decide" => {
            let verdict = VERDICTS.into_iter().map(|(verdict, _)| verdict).find(|verdict| verdict.as_str() == fields.raw("verdict"));
            let verdict = verdict.ok_or_else(|| ApiError::malformed("Verdict: please choose one"))?;
            review.decide(who, id, verdict, fields.owned("note_code")).await?;
            "Your decision is written down.".to_owned()
        }
        _ => return Err(ApiError::new(ErrorCode::NotFound, "the console has no such page")),
    };
    visitor.session.notify(true, text);
    Ok(see_other(&if action == "decide" { "/console/review".to_owned() } else { address(id) }))
}
