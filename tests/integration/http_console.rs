//! The console, as a browser without scripts uses it.

mod banks;
mod doors;
mod exchanges;
mod review;

use axum::{body::Body, http::Request};
use nightlight::{
    domain::{curation::BankSettings, ids::TenantId, signal::Signal},
    services::access::Role,
    store::{Item, NewItem},
};

use crate::http_app::{Answer, App, Setup};

const TENANT: TenantId = TenantId::DEFAULT;
const PDQ: &str = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22";

async fn with_keys() -> App {
    Setup { keys: true, ..Setup::default() }.start().await
}

/// An app with the bank `DEMO`, in which there is one item, and its content id.
async fn with_bank() -> (App, i64) {
    let app = with_keys().await;
    app.store.create_bank(TENANT, "DEMO", BankSettings::default(), None).await.unwrap();
    let id = add_item(&app, NewItem::new(vec![PDQ.parse().map(Signal::Pdq).unwrap()])).await;
    (app, id)
}

async fn add_item(app: &App, item: NewItem) -> i64 {
    app.store.add_items(TENANT, "DEMO", vec![item], None).await.unwrap()[0].content_id
}

async fn item(app: &App, id: i64) -> Item {
    app.store.item(TENANT, "DEMO", id).await.unwrap().unwrap()
}

/// Somebody with a cookie.
struct Browser<'a> {
    app: &'a App,
    cookie: String,
}

fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn text(answer: &Answer) -> String {
    assert!(answer.header("content-type").starts_with("text/html"), "{answer:?}");
    String::from_utf8(answer.body.to_vec()).unwrap()
}

/// The page of a 200.
#[track_caller]
fn page(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", text(answer));
    text(answer)
}

/// Checks that it is a page of an error with this status, and gives it.
#[track_caller]
fn refused(answer: &Answer, status: u16) -> String {
    let page = text(answer);
    assert_eq!(answer.status.as_u16(), status, "{page}");
    assert!(page.contains(answer.header("x-request-id")), "{page}");
    page
}

/// What a page says is wrong.
#[track_caller]
fn problem(page: &str) -> &str {
    let (_, rest) = page.split_once("role=\"alert\"").expect("nothing is wrong");
    rest.split("</div>").next().unwrap()
}

/// Where a 303 leads to.
#[track_caller]
fn leads_to(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", String::from_utf8_lossy(&answer.body));
    answer.header("location").to_owned()
}

/// The token of the forms on a page.
fn token(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"token\" value=\"").expect("no form");
    rest.split('"').next().unwrap().to_owned()
}

async fn sign_in(app: &App, fields: &[(&str, &str)]) -> Answer {
    app.post("/console/sign-in", "application/x-www-form-urlencoded", form(fields)).await
}

impl<'a> Browser<'a> {
    async fn new(app: &'a App, role: Role) -> Self {
        Self::with_key(app, &app.key(role).await).await
    }

    async fn with_key(app: &'a App, key: &str) -> Self {
        let answer = sign_in(app, &[("key", key)]).await;
        leads_to(&answer);
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        Self { app, cookie }
    }

    async fn get(&self, path: &str) -> Answer {
        self.app.send(Request::get(path).header("cookie", &self.cookie).body(Body::empty()).unwrap()).await
    }

    /// Follows a link that has to lead to a page.
    async fn page(&self, path: &str) -> String {
        page(&self.get(path).await)
    }

    /// A request of one's own making.
    async fn send(&self, path: &str, headers: &[(&str, &str)], body: String) -> Answer {
        let mut request = Request::post(path).header("cookie", &self.cookie);
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.app.send(request.body(body.into()).unwrap()).await
    }

    /// Fills a form in that stands on the page `from`, and sends it.
    async fn submit(&self, from: &str, to: &str, fields: &[(&str, &str)]) -> Answer {
        let page = self.page(from).await;
        let action = to.replace('&', "&amp;");
        assert!(from == to || page.contains(&format!("action=\"{action}\"")), "{from} has no form for {to}: {page}");
        let token = token(&page);
        let fields: Vec<(&str, &str)> = fields.iter().copied().chain([("token", token.as_str())]).collect();
        self.send(to, &[], form(&fields)).await
    }
}
