//! Who may do what, written down by hand: nothing here is read from the server.

use nightlight::{
    domain::{curation::BankRight, ids::KeyId},
    services::access::Role,
};

/// What a call asks of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// No key.
    Open,
    /// Any valid key.
    Anybody,
    Scorers,
    Matchers,
    Curators,
    Reviewers,
    Monitors,
    Admins,
    /// Matchers or curators whom the bank's list lets know of it.
    Sees,
    /// Curators whom the bank's list admits.
    Curates,
}

impl Need {
    pub const fn roles(self) -> &'static [Role] {
        match self {
            Self::Open | Self::Anybody => &[Role::Admin, Role::Scorer, Role::Reviewer, Role::Metrics, Role::Curator],
            Self::Scorers => &[Role::Admin, Role::Scorer],
            Self::Matchers | Self::Sees => &[Role::Admin, Role::Scorer, Role::Curator],
            Self::Curators | Self::Curates => &[Role::Admin, Role::Curator],
            Self::Reviewers => &[Role::Admin, Role::Reviewer],
            Self::Monitors => &[Role::Admin, Role::Metrics],
            Self::Admins => &[Role::Admin],
        }
    }

    /// Whether the call is about one bank.
    pub const fn of_a_bank(self) -> bool {
        matches!(self, Self::Sees | Self::Curates)
    }
}

/// What a bank's access list says to the keys under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// There is none.
    Free,
    /// Somebody else may match; curating is free.
    NotMatch,
    /// Somebody else may curate; matching is free.
    NotCurate,
    /// Somebody else may both.
    Neither,
    /// Somebody else may both, and they may match.
    MayMatch,
    /// Somebody else may both, and they may curate, which is both.
    MayCurate,
}

impl Listing {
    pub fn entries(self, tested: &[KeyId], other: KeyId) -> Vec<(KeyId, BankRight)> {
        let both = [(other, BankRight::Match), (other, BankRight::Curate)];
        let with = |right| tested.iter().map(|key| (*key, right)).chain(both).collect();
        match self {
            Self::Free => vec![],
            Self::NotMatch => vec![both[0]],
            Self::NotCurate => vec![both[1]],
            Self::Neither => both.to_vec(),
            Self::MayMatch => with(BankRight::Match),
            Self::MayCurate => with(BankRight::Curate),
        }
    }

    /// Whether look-ups by such a key tell of the bank.
    pub const fn matches(self, role: Role) -> bool {
        match role {
            Role::Admin => true,
            Role::Scorer | Role::Curator => matches!(self, Self::Free | Self::NotCurate | Self::MayMatch | Self::MayCurate),
            Role::Reviewer | Role::Metrics => false,
        }
    }

    pub const fn curates(self, role: Role) -> bool {
        match role {
            Role::Admin => true,
            Role::Curator => matches!(self, Self::Free | Self::NotMatch | Self::MayCurate),
            Role::Scorer | Role::Reviewer | Role::Metrics => false,
        }
    }

    /// Whether such a key may know of the bank.
    pub const fn sees(self, role: Role) -> bool {
        self.matches(role) || self.curates(role)
    }
}

/// What is sent. `{bank}`, `{key}`, `{pdq}` and `{md5}` are filled in.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    Nothing,
    Json(&'static str),
    /// A form of the console; its session's token is added.
    Form(&'static str),
    /// The picture that one bank holds.
    Picture,
    /// The same as the file of a form, in a field of this name.
    File(&'static str),
}

/// Whose keys an answer has to tell of a bank, beside telling no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tells {
    Nobody,
    WhoSees,
    /// Of the bank that holds the picture.
    WhoMatches,
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Method and path as the server's table has it.
    pub call: &'static str,
    pub need: Need,
    /// The status for who is let in.
    pub let_in: u16,
    pub body: Body,
    pub query: &'static str,
    /// What stands for `{action}`.
    pub action: &'static str,
    /// Who is let in does it to a bank that was made for this call, with the same list.
    pub on_a_copy: bool,
    pub tells: Tells,
}

const fn row(call: &'static str, need: Need, let_in: u16) -> Row {
    Row { call, need, let_in, body: Body::Nothing, query: "", action: "", on_a_copy: false, tells: Tells::Nobody }
}

impl Row {
    /// With a body that means nothing, unless it says which bank the call is about.
    pub fn spoilt(self) -> Self {
        match self.body {
            Body::Json(json) if !json.contains("{bank}") => self.json("{"),
            _ => self,
        }
    }

    const fn json(self, json: &'static str) -> Self {
        Self { body: Body::Json(json), ..self }
    }

    const fn form(self, fields: &'static str) -> Self {
        Self { body: Body::Form(fields), ..self }
    }

    const fn sends(self, body: Body) -> Self {
        Self { body, ..self }
    }

    const fn asks(self, query: &'static str) -> Self {
        Self { query, ..self }
    }

    const fn does(self, action: &'static str) -> Self {
        Self { action, ..self }
    }

    const fn on_a_copy(self) -> Self {
        Self { on_a_copy: true, ..self }
    }

    const fn tells(self, tells: Tells) -> Self {
        Self { tells, ..self }
    }
}

/// Every call, in an order in which each can be made: who claims an item gives it back.
pub const ROWS: &[Row] = &[
    row("POST /score", Need::Scorers, 200).sends(Body::Picture).tells(Tells::WhoMatches),
    row("POST /score/batch", Need::Scorers, 200).sends(Body::File("attachment")).tells(Tells::WhoMatches),
    row("POST /match", Need::Matchers, 200).json(LOOKED_UP).tells(Tells::WhoMatches),
    row("GET /review/items", Need::Reviewers, 200),
    row("GET /review/items/{id}", Need::Reviewers, 200),
    row("GET /review/items/{id}/attachments", Need::Reviewers, 200),
    row("POST /review/items/{id}/claim", Need::Reviewers, 200),
    row("POST /console/review/{id}/{action}", Need::Reviewers, 303).does("claim").form(""),
    row("POST /review/items/{id}/decision", Need::Reviewers, 400).json("{}"),
    row("POST /review/items/{id}/release", Need::Reviewers, 200),
    row("GET /review/decisions", Need::Reviewers, 200),
    row("POST /review/gold", Need::Admins, 400).json(r#"{"review_item":"none","truth":"rejected"}"#),
    row("GET /monitor", Need::Monitors, 200),
    row("GET /operating-points", Need::Anybody, 200),
    row("GET /operating-points/{certificate}", Need::Anybody, 404),
    row("GET /livez", Need::Open, 200),
    row("GET /readyz", Need::Open, 200),
    row("GET /metrics", Need::Monitors, 200),
    row("GET /openapi.json", Need::Open, 200),
    row("GET /banks", Need::Matchers, 200).tells(Tells::WhoSees),
    row("POST /banks", Need::Curators, 400).json("{}"),
    row("GET /banks/{bank}", Need::Sees, 200),
    row("PATCH /banks/{bank}", Need::Curates, 200).json("{}").on_a_copy(),
    row("DELETE /banks/{bank}", Need::Curates, 204).on_a_copy(),
    row("GET /banks/{bank}/standings", Need::Sees, 200),
    row("GET /banks/{bank}/hits", Need::Curates, 200),
    row("GET /banks/{bank}/items", Need::Curates, 200),
    row("POST /banks/{bank}/items", Need::Curates, 200).json(ADDED).on_a_copy(),
    row("GET /banks/{bank}/items/{content_id}", Need::Curates, 200),
    row("PATCH /banks/{bank}/items/{content_id}", Need::Curates, 200).json("{}").on_a_copy(),
    row("DELETE /banks/{bank}/items/{content_id}", Need::Curates, 204).on_a_copy(),
    row("GET /banks/{bank}/items/{content_id}/opinions", Need::Curates, 200),
    row("POST /banks/{bank}/items/{content_id}/opinions", Need::Curates, 200).json(r#"{"opinion":"confirm"}"#).on_a_copy(),
    row("GET /banks/{bank}/items/{content_id}/admission", Need::Curates, 200),
    row("GET /banks/{bank}/access", Need::Curates, 200),
    row("PUT /banks/{bank}/access/{key}/{right}", Need::Curates, 200).on_a_copy(),
    row("DELETE /banks/{bank}/access/{key}/{right}", Need::Curates, 200).on_a_copy(),
    // The drop-in for HMA.
    row("GET /h/hash", Need::Matchers, 400),
    row("POST /h/hash", Need::Matchers, 200).sends(Body::File("photo")),
    row("GET /m/lookup", Need::Matchers, 200).asks("?signal_type=pdq&signal={pdq}").tells(Tells::WhoMatches),
    row("POST /m/lookup", Need::Matchers, 200).sends(Body::File("photo")).tells(Tells::WhoMatches),
    row("GET /m/raw_lookup", Need::Matchers, 200).asks("?signal_type=pdq&signal={pdq}"),
    row("POST /m/compare", Need::Matchers, 200).json(r#"{"pdq":["{pdq}","{pdq}"]}"#),
    row("GET /m/index/status", Need::Matchers, 200),
    row("GET /c/banks", Need::Matchers, 200).tells(Tells::WhoSees),
    row("POST /c/banks", Need::Curators, 400).json(r#"{"name":"no name"}"#),
    row("GET /c/bank/{bank}", Need::Sees, 200),
    row("PUT /c/bank/{bank}", Need::Curates, 200).json("{}").on_a_copy(),
    row("DELETE /c/bank/{bank}", Need::Curates, 200).on_a_copy(),
    row("POST /c/bank/{bank}/content", Need::Curates, 200).sends(Body::File("photo")).on_a_copy(),
    row("GET /c/bank/{bank}/content/{id}", Need::Curates, 200),
    row("PUT /c/bank/{bank}/content/{id}", Need::Curates, 200).json(r#"{"disable_until_ts":0}"#).on_a_copy(),
    row("DELETE /c/bank/{bank}/content/{id}", Need::Curates, 200).on_a_copy(),
    row("POST /c/bank/{bank}/signal", Need::Curates, 200).json(r#"{"video_md5":"{md5}"}"#).on_a_copy(),
    row("GET /c/exchanges", Need::Curators, 200),
    row("POST /c/exchanges", Need::Curates, 201).json(FOLLOWED).on_a_copy(),
    row("GET /c/exchange/{exchange}", Need::Curates, 200),
    row("PUT /c/exchange/{exchange}", Need::Curates, 200).json("{}"),
    row("DELETE /c/exchange/{exchange}", Need::Curates, 200).on_a_copy(),
    row("GET /c/exchange/{exchange}/status", Need::Curates, 200).asks("?details=1"),
    row("GET /c/exchanges/apis", Need::Curators, 200),
    row("GET /c/exchanges/api/{api}", Need::Curators, 200),
    row("POST /c/exchanges/api/{api}", Need::Admins, 200).json("{}"),
    row("GET /c/exchanges/api/{api}/schema", Need::Curators, 200),
    row("GET /c/content_type", Need::Matchers, 200),
    row("GET /c/signal_type", Need::Matchers, 200),
    row("GET /c/signal_type/index", Need::Matchers, 200),
    row("PUT /c/signal_type/{name}", Need::Admins, 204).json(r#"{"enabled_ratio":1.0}"#),
    row("GET /", Need::Open, 302),
    row("GET /openapi/openapi.json", Need::Open, 200),
    row("GET /status", Need::Open, 200),
    row("GET /status/live", Need::Open, 200),
    row("GET /site-map", Need::Open, 200),
    // The console.
    row("GET /console/banks", Need::Matchers, 200).tells(Tells::WhoSees),
    row("POST /console/banks", Need::Curators, 400).form("name=%00&purpose=known&max_distance=31&minimum_quality=50"),
    row("GET /console/banks/{bank}", Need::Sees, 200),
    row("GET /console/banks/{bank}/settings", Need::Curates, 200),
    row("POST /console/banks/{bank}/settings", Need::Curates, 303).form(SETTINGS).on_a_copy(),
    row("POST /console/banks/{bank}/delete", Need::Curates, 303).form("confirm={bank}").on_a_copy(),
    row("POST /console/banks/{bank}/items", Need::Curates, 303).form("signals={md5}").on_a_copy(),
    row("GET /console/banks/{bank}/items/{id}", Need::Curates, 200),
    row("POST /console/banks/{bank}/items/{id}/{action}", Need::Curates, 303).does("confirm").form("").on_a_copy(),
    row("GET /console/banks/{bank}/keys", Need::Curates, 200),
    row("POST /console/banks/{bank}/keys", Need::Curates, 303).form("key={key}&right=match").on_a_copy(),
    row("GET /console/lookup", Need::Matchers, 200),
    row("POST /console/lookup", Need::Matchers, 200).form("signal={pdq}").tells(Tells::WhoMatches),
    row("GET /console/exchanges", Need::Curators, 200),
    row("POST /console/exchanges", Need::Curates, 303).form("name={bank}&api=sample").on_a_copy(),
    row("GET /console/new-exchange/{api}", Need::Curators, 200),
    row("GET /console/exchanges/{name}", Need::Curates, 200),
    row("POST /console/exchanges/{name}/{action}", Need::Curates, 303).does("off").form(""),
    row("GET /console/review", Need::Reviewers, 200),
    row("GET /console/review/{id}", Need::Reviewers, 200),
    row("GET /console/review/{id}/attachments", Need::Reviewers, 200),
    row("GET /console/style.css", Need::Open, 200),
    row("GET /console/{*other}", Need::Open, 404),
    // Who shows no key; a key is shown by the test's own sign-in.
    row("POST /console/sign-in", Need::Open, 401).form(""),
    row("POST /console/sign-out", Need::Anybody, 303).form(""),
];

/// Where each role is led to, which no status tells: by a test of its own.
pub const LEADING: [&str; 2] = ["GET /console", "GET /console/sign-in"];

const LOOKED_UP: &str = r#"{"signals":[{"signal_type":"pdq","signal":"{pdq}"},{"signal_type":"md5","signal":"{md5}"}]}"#;
const ADDED: &str = r#"{"items":[{"signals":[{"signal_type":"md5","signal":"{md5}"}]}]}"#;
const FOLLOWED: &str = r#"{"bank":"{bank}","api":"sample","api_json":{"enabled":false}}"#;
const SETTINGS: &str = "name={bank}&enabled_ratio=1&purpose=known&max_distance=31&minimum_quality=50&sources=1&admission_quality=0";
