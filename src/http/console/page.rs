//! What all pages look like, and the pieces that they share.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use maud::{DOCTYPE, Markup, html};

use super::{
    Visitor,
    form::{Fields, TOKEN},
};
use crate::{
    domain::{bank::Standing, ids::RequestId, time::Timestamp},
    services::access::Permission,
};

/// The style sheet; every page's only companion.
pub(super) async fn style() -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
    // A new version of the server is seen within minutes.
    let keep = (header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=300"));
    ([kind, keep], include_str!("style.css")).into_response()
}

/// Which part of the console a page belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Home,
    Banks,
    Lookup,
    Exchanges,
    Review,
}

/// Name, address and permission of the parts.
const PARTS: [(Part, &str, &str, Permission); 4] = [
    (Part::Banks, "Banks", "/console/banks", Permission::Match),
    (Part::Lookup, "Look up", "/console/lookup", Permission::Match),
    (Part::Exchanges, "Exchanges", "/console/exchanges", Permission::Curate),
    (Part::Review, "Review", "/console/review", Permission::Review),
];

/// The parts that somebody may use: name and address.
pub(super) fn parts(visitor: &Visitor) -> impl Iterator<Item = (Part, &'static str, &'static str)> {
    let role = visitor.who.role;
    PARTS.into_iter().filter(move |(.., permission)| role.allows(*permission)).map(|(part, name, path, _)| (part, name, path))
}

fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) " · Nightlight" }
                link rel="stylesheet" href="/console/style.css";
            }
            body { (body) }
        }
    };
    page.into_string()
}

/// A page for somebody who is signed in; takes the session's notice along.
pub(super) fn page(visitor: &Visitor, part: Part, title: &str, body: &Markup) -> Response {
    let whole = html! {
        a.skip href="#main" { "Skip to the content" }
        header.top {
            a.brand href="/console" { "Nightlight" }
            nav aria-label="Parts of the console" {
                @for (one, name, path) in parts(visitor) {
                    a href=(path) aria-current=[(one == part).then_some("page")] { (name) }
                }
            }
            form.leave method="post" action="/console/sign-out" {
                (token(visitor))
                span.soft { (visitor.who.name) " (" (visitor.who.role) ")" }
                button.plain { "Sign out" }
            }
        }
        main #main {
            @if let Some(notice) = visitor.session.notice() {
                p.notice.bad[!notice.good] role=(if notice.good { "status" } else { "alert" }) { (notice.text) }
            }
            @if let Some(kept) = &visitor.kept {
                div.notice.bad role="alert" {
                    p { (kept.problem.0) }
                    p.soft { "Nothing was changed; what you filled in stands below. Status " (kept.problem.1.as_u16()) ", request " code { (visitor.call) } }
                }
            }
            (body)
        }
    };
    Html(document(title, &whole)).into_response()
}

/// A page for somebody who is not signed in.
pub(super) fn outside(status: StatusCode, title: &str, body: &Markup) -> Response {
    let whole = html! {
        header.top { a.brand href="/console" { "Nightlight" } }
        main #main.narrow { h1 { (title) } (body) }
    };
    (status, Html(document(title, &whole))).into_response()
}

/// The page of an error: what to do, and the id under which the log has it.
pub(in crate::http) fn problem(status: StatusCode, message: &str, id: RequestId) -> String {
    let title = status.canonical_reason().unwrap_or("Error");
    let whole = html! {
        header.top { a.brand href="/console" { "Nightlight" } }
        main #main.narrow {
            h1 { (title) }
            p.notice.bad role="alert" { (message) }
            p { "Go back with your browser to correct what you sent, or to the " a href="/console" { "console's first page" } "." }
            p.soft { "Status " (status.as_u16()) ", request " code { (id) } }
        }
    };
    document(title, &whole)
}

/// The hidden field that every form has to bring.
pub(super) fn token(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name=(TOKEN) value=(visitor.session.token); }
}

/// Where a page stands below others: their addresses and names.
pub(super) fn trail(above: &[(String, &str)]) -> Markup {
    html! {
        nav.trail aria-label="Pages above this one" {
            @for (path, name) in above { a href=(path) { (name) } span aria-hidden="true" { "/" } }
        }
    }
}

/// An instant, to the minute; the whole of it for programs and on hovering.
pub(super) fn when(at: Timestamp) -> Markup {
    let whole = at.to_string();
    html! { time datetime=(whole) title=(whole) { (minute(at)) } }
}

/// A time to the minute, as words.
pub(super) fn minute(at: Timestamp) -> String {
    let whole = at.to_string();
    whole.get(..16).map_or_else(|| whole.clone(), |minute| format!("{} UTC", minute.replace('T', " ")))
}

/// A number with its thousands apart.
pub(super) fn count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(0).to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// A standing, told by a word and not by its colour alone.
pub(super) fn standing(standing: Standing) -> Markup {
    html! { span class=(format!("badge {standing}")) { (standing) } }
}

/// A text as one segment of a path.
pub(super) fn segment(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    for byte in text.bytes() {
        // RFC 3986, section 2.3: what needs no encoding. A dot does here: `..` would be a step up.
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

/// A table that can be scrolled sideways, also by keyboard, where the window is narrow.
pub(super) fn table(label: &str, head: &[&str], rows: &Markup) -> Markup {
    html! {
        div.wide role="region" aria-label=(label) tabindex="0" {
            table {
                thead { tr { @for name in head { th scope="col" { (name) } } } }
                tbody { (rows) }
            }
        }
    }
}

/// One field of a form, with its label and a word of help.
pub(super) struct Field<'a> {
    /// Of the form; ids have to differ on one page.
    form: &'a str,
    name: &'a str,
    label: &'a str,
    value: String,
    help: Option<&'a str>,
    required: bool,
    /// The form as it was sent, when it could not be taken: then its content stands here, whatever the page would show.
    kept: Option<&'a Fields>,
}

impl Visitor {
    /// A field of a form of this name, with what they sent in it if the form comes again.
    pub(super) fn field<'a>(&'a self, form: &'a str, name: &'a str, label: &'a str) -> Field<'a> {
        let kept = self.kept(form);
        Field { kept, value: kept.map(|fields| fields.raw(name).to_owned()).unwrap_or_default(), ..Field::new(form, name, label) }
    }

    /// What they sent in the form of this name, if it comes again.
    pub(super) fn kept(&self, form: &str) -> Option<&Fields> {
        self.kept.as_ref().filter(|kept| kept.form == form).map(|kept| &kept.fields)
    }
}

impl<'a> Field<'a> {
    pub(super) const fn new(form: &'a str, name: &'a str, label: &'a str) -> Self {
        Self { form, name, label, value: String::new(), help: None, required: false, kept: None }
    }

    pub(super) fn value(self, value: impl ToString) -> Self {
        if self.kept.is_some() { self } else { Self { value: value.to_string(), ..self } }
    }

    pub(super) fn help(self, help: &'a str) -> Self {
        Self { help: Some(help), ..self }
    }

    pub(super) fn required(self) -> Self {
        Self { required: true, ..self }
    }

    fn id(&self) -> String {
        format!("{}-{}", self.form, self.name)
    }

    fn described(&self) -> Option<String> {
        self.help.map(|_| format!("{}-help", self.id()))
    }

    fn around(&self, control: &Markup) -> Markup {
        html! {
            div.field {
                label for=(self.id()) { (self.label) @if self.required { span.soft { " (needed)" } } }
                (control)
                @if let Some(help) = self.help { p.help id=[self.described()] { (help) } }
            }
        }
    }

    /// One line; `kind` is HTML's.
    pub(super) fn line(&self, kind: &str) -> Markup {
        self.around(&html! {
            input id=(self.id()) name=(self.name) type=(kind) value=(self.value) required[self.required]
                aria-describedby=[self.described()] autocomplete="off" spellcheck="false";
        })
    }

    /// A number from `least` to `most`; `step` is `1` or `any`.
    pub(super) fn number(&self, least: &str, most: &str, step: &str) -> Markup {
        self.around(&html! {
            input id=(self.id()) name=(self.name) type="number" min=(least) max=(most) step=(step) value=(self.value)
                required[self.required] aria-describedby=[self.described()] autocomplete="off";
        })
    }

    /// Several lines.
    pub(super) fn lines(&self, rows: u8) -> Markup {
        self.around(&html! {
            // The first line break in it is dropped, so there is one for it.
            textarea id=(self.id()) name=(self.name) rows=(rows) required[self.required] aria-describedby=[self.described()]
                autocomplete="off" spellcheck="false" { "\n" (self.value) }
        })
    }

    /// One of some values, each with its words.
    pub(super) fn choice(&self, options: &[(&str, &str)]) -> Markup {
        self.around(&html! {
            select id=(self.id()) name=(self.name) required[self.required] aria-describedby=[self.described()] {
                @for (value, words) in options { option value=(value) selected[*value == self.value] { (words) } }
            }
        })
    }

    /// A box to check.
    pub(super) fn check(&self, checked: bool) -> Markup {
        let checked = self.kept.map_or(checked, |fields| fields.checked(self.name));
        html! {
            div.field.check {
                input id=(self.id()) name=(self.name) type="checkbox" value="yes" checked[checked] required[self.required]
                    aria-describedby=[self.described()];
                label for=(self.id()) { (self.label) }
                @if let Some(help) = self.help { p.help id=[self.described()] { (help) } }
            }
        }
    }
}

/// The form that deletes something when its name is typed.
pub(super) fn deletion(visitor: &Visitor, action: &str, what: &str, name: &str, then: &str) -> Markup {
    html! {
        details.danger {
            summary { "Delete this " (what) }
            form method="post" action=(action) {
                (token(visitor))
                p { (then) }
                (Field::new("delete", "confirm", &format!("Type “{name}” to confirm")).required().line("text"))
                button.danger { "Delete for good" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_segments_and_numbers_can_be_read() {
        assert_eq!(segment("A b/ü.."), "A%20b%2F%C3%BC%2E%2E");
        assert_eq!([0, 999, 1000, 12_345_678].map(count), ["0", "999", "1,000", "12,345,678"]);
        assert_eq!(count(-1i64), "0");
    }

    #[test]
    fn what_is_told_is_escaped() {
        let page = problem(StatusCode::BAD_REQUEST, "<script>alert(1)</script>", RequestId::new());
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
        let field = Field::new("f", "n", "L").value("\"><script>").line("text").into_string();
        assert!(!field.contains("<script") && field.contains("&quot;&gt;"));
    }
}
