//! A server with two banks whose names and numbers cannot be mistaken, and one key of each role.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use axum::{
    body::Body,
    http::{Request, request::Builder},
};
use nightlight::{
    domain::{
        curation::BankSettings,
        ids::{KeyId, ReviewItemId, TenantId},
        signal::Signal,
    },
    services::access::Role,
    store::{BankDefaults, NewItem},
};
use serde_json::json;

use super::table::{Body as Sent, Listing, Row};
use crate::{
    http_app::{Answer, MULTIPART, parts},
    whole_app::Whole,
};

const TENANT: TenantId = TenantId::DEFAULT;
const CONTENT_BITS: u32 = 32;

/// A bank that calls are about.
#[derive(Clone, Debug)]
pub struct Target {
    pub name: String,
    pub listing: Listing,
    pub items: i64,
    pub content_id: i64,
    /// The same as HMA's API has it.
    pub unique_id: i64,
}

/// Who calls.
pub struct Caller {
    pub key: Option<String>,
    pub cookie: Option<String>,
    token: String,
}

impl Caller {
    /// The head of a request of theirs.
    pub fn request(&self, method: &str, path: &str) -> Builder {
        let header = |request: Builder, name: &str, value: &Option<String>| match value {
            Some(value) => request.header(name, value),
            None => request,
        };
        let request = Request::builder().method(method).uri(path);
        header(header(request, "x-api-key", &self.key), "cookie", &self.cookie)
    }
}

pub struct World {
    pub whole: Whole,
    /// The second one holds the picture.
    pub banks: [Target; 2],
    /// In the order of [`Role::ALL`].
    pub keys: Vec<String>,
    ids: Vec<KeyId>,
    /// Is on every list, and asks nothing.
    other: KeyId,
    pub review_item: ReviewItemId,
    picture: Vec<u8>,
    pdq: String,
    copies: AtomicUsize,
}

fn md5(number: usize) -> String {
    format!("{number:032x}")
}

impl World {
    pub async fn new(first: Listing, second: Listing) -> Self {
        let whole = Whole::start().await;
        let (mut keys, mut ids) = (Vec::new(), Vec::new());
        for role in Role::ALL {
            let (key, stored) = whole.access.create_key(TENANT, role.as_str(), role).await.unwrap();
            keys.push(key.reveal().to_owned());
            ids.push(stored.id);
        }
        let other = whole.access.create_key(TENANT, "other", Role::Curator).await.unwrap().1.id;
        let picture = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/samples/known.jpg")).unwrap();
        let send = async |path: &str| {
            let request = Request::post(path).header("content-type", "image/jpeg").header("x-api-key", &keys[0]);
            whole.send(request.body(picture.clone().into()).unwrap()).await.ok()
        };
        let pdq = send("/match").await["hashes"]["pdq"]["hash"].as_str().unwrap().to_owned();
        let mut banks = Vec::new();
        for (name, listing, items, signal) in
            [("HIDDEN_BANK_QUAGGA", first, 1913, md5(0)), ("HIDDEN_BANK_ZEBRA", second, 4321, pdq.clone())]
        {
            let others = (1..items).map(|number| Signal::parse_line(&md5(items * 100_000 + number), None).unwrap());
            let defaults = BankDefaults { max_distance: 31, minimum_quality: 50 };
            whole.services.store.import_signals(TENANT, name, defaults, others).await.unwrap();
            banks.push((name, listing, items as i64, signal));
        }
        let mut world = Self {
            banks: [Target::none(), Target::none()],
            keys,
            ids,
            other,
            review_item: ReviewItemId::new(),
            picture,
            pdq,
            copies: AtomicUsize::default(),
            whole,
        };
        for (at, (name, listing, items, signal)) in banks.into_iter().enumerate() {
            world.banks[at] = world.filled(name, listing, items, &signal).await;
            let settings = (&json!({}), false);
            world.whole.services.store.create_exchange(TENANT, name, "sample", settings, None).await.unwrap();
        }
        let request = Request::post("/score").header("content-type", "image/jpeg").header("x-api-key", &world.keys[0]);
        let scored = world.whole.send(request.body(world.picture.clone().into()).unwrap()).await.ok();
        world.review_item = scored["review_item"].as_str().unwrap().parse().unwrap();
        world
    }

    /// Adds the item, and the list.
    async fn filled(&self, name: &str, listing: Listing, items: i64, signal: &str) -> Target {
        let (store, banks) = (&self.whole.services.store, &self.whole.services.banks);
        let item = NewItem::new(vec![Signal::parse_line(signal, None).unwrap()]);
        let content_id = store.add_items(TENANT, name, vec![item], None).await.unwrap()[0].content_id;
        for entry in listing.entries(&self.ids, self.other) {
            store.set_bank_access(TENANT, name, entry, true, None).await.unwrap();
        }
        banks.refresh(store).await.unwrap();
        let number = store.bank(TENANT, name).await.unwrap().unwrap().number;
        Target { name: name.to_owned(), listing, items, content_id, unique_id: (number - 1) << CONTENT_BITS | content_id }
    }

    /// The same under a name that no bank has.
    pub fn unmade(&self, of: &Target) -> Target {
        let number = self.copies.fetch_add(1, Ordering::Relaxed);
        Target { name: format!("COPY_{number}"), ..of.clone() }
    }

    /// A small bank with the same list.
    pub async fn copy(&self, of: &Target) -> Target {
        let Target { name, .. } = self.unmade(of);
        let number = self.copies.load(Ordering::Relaxed);
        self.whole.services.store.create_bank(TENANT, &name, BankSettings::default(), None).await.unwrap();
        self.filled(&name, of.listing, 1, &md5(1_000_000 + number)).await
    }

    pub async fn forget(&self, copy: &Target) {
        let (store, banks) = (&self.whole.services.store, &self.whole.services.banks);
        if store.bank(TENANT, &copy.name).await.unwrap().is_some() {
            store.delete_bank(TENANT, &copy.name, None).await.unwrap();
        }
        banks.refresh(store).await.unwrap();
    }

    /// The banks that a row is tried on; one of them where it is about none.
    pub fn targets(&self, row: &Row) -> &[Target] {
        if row.need.of_a_bank() { &self.banks } else { &self.banks[..1] }
    }

    /// What refusals have to leave as it is.
    pub async fn state(&self) -> (i64, usize, String) {
        let store = &self.whole.services.store;
        let change = store.last_bank_change().await.unwrap();
        let exchanges = store.exchanges(TENANT).await.unwrap();
        let review = store.review_item(TENANT, self.review_item).await.unwrap();
        (change, exchanges.len(), format!("{exchanges:?} {:?}", review.map(|item| (item.claim, item.review_decision))))
    }

    /// Somebody with a valid key, signed in.
    pub async fn caller(&self, key: String) -> Caller {
        let answer = self.sign_in(&key).await;
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        let get = async |path: &str| self.whole.send(Request::get(path).header("cookie", &cookie).body(Body::empty()).unwrap()).await;
        let mut page = get("/console").await;
        if page.status == 303 {
            page = get(page.header("location")).await;
        }
        let page = String::from_utf8(page.body.to_vec()).unwrap();
        let token = page.split_once("name=\"token\" value=\"").expect("a form to sign out").1.split('"').next().unwrap().to_owned();
        Caller { key: Some(key), cookie: Some(cookie), token }
    }

    /// Somebody with a key that is none, whom the console does not let in.
    pub async fn stranger(&self, key: Option<&str>) -> Caller {
        let answer = self.sign_in(key.unwrap_or_default()).await;
        assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (401, ""), "{key:?}");
        Caller { key: key.map(str::to_owned), cookie: Some("nightlight_session=none".to_owned()), token: "none".to_owned() }
    }

    async fn sign_in(&self, key: &str) -> Answer {
        let request = Request::post("/console/sign-in").header("content-type", "application/x-www-form-urlencoded");
        self.whole.send(request.body(format!("key={key}").into()).unwrap()).await
    }

    /// Makes a call; the answer, and what was sent as text.
    pub async fn call(&self, caller: &Caller, row: &Row, target: &Target) -> (Answer, String) {
        let (method, path) = row.call.split_once(' ').unwrap();
        let path = self.filled_in(path, row, target) + &self.filled_in(row.query, row, target);
        let request = caller.request(method, &path);
        let (kind, body, words) = match row.body {
            Sent::Nothing => ("application/octet-stream", Vec::new(), String::new()),
            Sent::Json(json) => {
                let json = self.filled_in_json(json, target);
                ("application/json", json.clone().into_bytes(), json)
            }
            Sent::Form(fields) => {
                let fields = format!("{}&token={}", self.filled_in(fields, row, target), caller.token);
                ("application/x-www-form-urlencoded", fields.clone().into_bytes(), fields)
            }
            Sent::Picture => ("image/jpeg", self.picture.clone(), String::new()),
            Sent::File(name) => {
                let head = format!("name=\"{name}\"; filename=\"picture.jpg\"\r\nContent-Type: image/jpeg");
                (MULTIPART, parts(&[(&head, &self.picture)]), String::new())
            }
        };
        let request = if body.is_empty() { request } else { request.header("content-type", kind) };
        let answer = self.whole.send(request.body(body.into()).unwrap()).await;
        (answer, path + &words)
    }

    /// Of a bank that is not there an id of its items is as good as any.
    fn filled_in(&self, text: &str, row: &Row, target: &Target) -> String {
        let id = match row.call.split_once(' ').unwrap().1 {
            path if path.contains("/review/") => self.review_item.to_string(),
            path if path.starts_with("/c/") => target.unique_id.to_string(),
            _ => target.content_id.to_string(),
        };
        let name = if row.call.contains("signal_type") { "pdq" } else { &target.name };
        let text = text.replace("{id}", &id).replace("{content_id}", &target.content_id.to_string());
        let text = text.replace("{bank}", &target.name).replace("{exchange}", &target.name).replace("{name}", name);
        let text = text.replace("{key}", &self.other.to_string()).replace("{right}", "match").replace("{api}", "sample");
        let text = text.replace("{action}", row.action).replace("{certificate}", "00000000-0000-7000-8000-000000000000");
        text.replace("{pdq}", &self.pdq).replace("{md5}", &md5(0)).replace("{*other}", "nothing")
    }

    /// JSON has braces of its own.
    fn filled_in_json(&self, json: &str, target: &Target) -> String {
        json.replace("{bank}", &target.name).replace("{pdq}", &self.pdq).replace("{md5}", &md5(0))
    }
}

impl Target {
    /// Of a bank that is yet to be made.
    fn none() -> Self {
        Self { name: String::new(), listing: Listing::Free, items: 0, content_id: 0, unique_id: 0 }
    }
}
