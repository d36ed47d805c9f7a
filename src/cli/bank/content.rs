//! `nightlight bank add | items | standing | opinion | access`.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use clap::{ArgGroup, Args};
use serde::Serialize;
use serde_json::{Value, json};

use super::{source_name, with_curation};
use crate::{
    cli::{Failure, output},
    config::Config,
    domain::{
        bank::{HarmCategory, ItemState, Opinion, OpinionSource, Provenance, Standing},
        curation::{BankRight, DisableUntil, Metadata},
        ids::KeyId,
        signal::{Signal, SignalType},
        time::Timestamp,
    },
    services::{
        banks::curation::{DEFAULT_PAGE, Entry, LONGEST_PAGE},
        exchange::formats::{self, Format},
    },
    store::{Item, ItemFilter, ItemPatch, MOST_SIGNALS},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Add {
    /// Name of the bank
    #[arg(long, value_name = "NAME")]
    bank: String,
    /// Type of the lines that do not say theirs
    #[arg(long, value_name = "T")]
    signal_type: Option<SignalType>,
    /// For people: at most 255 characters
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// A1, A2, B1, B2 or other
    #[arg(long, value_name = "C")]
    category: Option<HarmCategory>,
    /// PDQ quality of the picture, 0 to 100
    #[arg(long, value_name = "Q", value_parser = clap::value_parser!(u8).range(0..=100))]
    quality: Option<u8>,
    /// Organisation that names it [default: command line]
    #[arg(long, value_name = "NAME", value_parser = source_name)]
    source: Option<String>,
    /// Who in that organisation submitted it
    #[arg(long, value_name = "NAME", value_parser = source_name, requires = "source")]
    submitter: Option<String>,
    /// What it is called where it comes from
    #[arg(long, value_name = "ID")]
    reference: Option<String>,
    /// Where it can be found
    #[arg(long, value_name = "URI")]
    uri: Option<String>,
    /// Anything else, as JSON
    #[arg(long, value_name = "JSON", value_parser = parsed)]
    metadata: Option<Value>,
    /// Out of force until then, in seconds since 1970; 1 is until somebody says otherwise
    #[arg(long, value_name = "TIME", default_value_t = 0)]
    disable_until: i64,
    /// The signals of this one item, `signal` or `signal_type signal` a line; - reads standard input
    file: PathBuf,
}

/// A value of its own would take any text for a JSON string.
fn parsed(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

#[derive(Args, Debug)]
pub(in crate::cli) struct List {
    /// Name of the bank
    #[arg(long, value_name = "NAME")]
    bank: String,
    /// Only items of this standing: candidate, vetted, active, disputed, quarantined or retired
    #[arg(long, value_name = "S")]
    standing: Option<Standing>,
    /// Only items of this category
    #[arg(long, value_name = "C")]
    category: Option<HarmCategory>,
    /// Only items that this source names
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only content ids above this one
    #[arg(long, value_name = "N", default_value_t = 0)]
    after: i64,
    /// At most so many, 1 to 500
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PAGE, value_parser = clap::value_parser!(u32).range(1..=i64::from(LONGEST_PAGE)))]
    limit: u32,
    /// Also the signals; hash lists are sensitive. Implies --json
    #[arg(long)]
    signals: bool,
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Move {
    /// Name of the bank
    #[arg(long, value_name = "NAME")]
    bank: String,
    /// Content ids of the items
    #[arg(long = "content-id", value_name = "N", num_args = 1.., required = true)]
    content_ids: Vec<i64>,
    /// candidate, vetted, active, disputed, quarantined or retired (for good)
    #[arg(long, value_name = "S")]
    to: Standing,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Say {
    /// Name of the bank
    #[arg(long, value_name = "NAME")]
    bank: String,
    /// Content id of the item
    #[arg(long, value_name = "N")]
    content_id: i64,
    /// Say that it belongs into the bank (confirm), or that it does not (dispute); without it, show what was said
    #[arg(long, value_name = "O")]
    say: Option<Opinion>,
    /// curator, or appeal for the outcome of one
    #[arg(long, value_name = "S", default_value = "curator", value_parser = ["curator", "appeal"])]
    source: String,
}

#[derive(Args, Debug)]
#[command(group(ArgGroup::new("change").args(["allow", "revoke"])))]
pub(in crate::cli) struct Access {
    /// Name of the bank
    #[arg(long, value_name = "NAME")]
    bank: String,
    /// Put a key (its id) on the list; then only keys on the list have the right
    #[arg(long, value_name = "KEY", requires = "right")]
    allow: Option<KeyId>,
    /// Take a key off the list
    #[arg(long, value_name = "KEY", requires = "right")]
    revoke: Option<KeyId>,
    /// match, or curate, which includes it
    #[arg(long, value_name = "R", requires = "change")]
    right: Option<BankRight>,
}

/// An item as it stands.
#[derive(Serialize)]
struct ItemLine<'a> {
    bank: &'a str,
    content_id: i64,
    standing: Standing,
    state: &'static str,
    disable_until: i64,
    signal_types: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signals: Option<Vec<String>>,
    note: Option<&'a str>,
    metadata: Option<&'a Metadata>,
    category: Option<HarmCategory>,
    quality: Option<u8>,
    created_at: Timestamp,
    provenance: &'a [Provenance],
    confirms: u32,
    disputes: u32,
}

impl<'a> ItemLine<'a> {
    fn of(item: &'a Item, signals: bool) -> Self {
        Self {
            bank: &item.bank,
            content_id: item.content_id,
            standing: item.standing,
            state: item.state.as_str(),
            disable_until: item.disable_until.number(),
            signal_types: item.signals.iter().map(|signal| signal.kind().as_str()).collect(),
            signals: signals.then(|| item.signals.iter().map(Signal::to_text).collect()),
            note: item.note.as_deref(),
            metadata: item.metadata.as_ref(),
            category: item.category,
            quality: item.quality,
            created_at: item.created_at,
            provenance: &item.provenance,
            confirms: item.confirms,
            disputes: item.disputes,
        }
    }
}

/// All signals of a file, which are those of one item.
fn signals(path: &Path, default: Option<SignalType>) -> Result<Vec<Signal>, Failure> {
    let input: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(BufReader::new(io::stdin()))
    } else {
        let file = File::open(path).map_err(|error| Failure::input(format!("cannot read {}: {error}", path.display())))?;
        Box::new(BufReader::new(file))
    };
    let (mut signals, mut wrong) = (Vec::new(), None);
    let ended = formats::read(Format::Lines, input, default, &mut |entry| {
        match entry {
            formats::Entry::Record(record) => signals.extend(record.signals),
            formats::Entry::Skipped(kind) => wrong = Some(format!("signals of type {kind} are not matched here")),
            formats::Entry::Bad(bad) => wrong = Some(format!("line {}: {}", bad.place.line, bad.reason)),
        }
        wrong.is_none() && signals.len() <= MOST_SIGNALS
    });
    ended.map_err(|error| Failure::failed(error.to_string()))?;
    match wrong {
        Some(wrong) => Err(Failure::input(format!("{wrong}; nothing was added"))),
        None => Ok(signals),
    }
}

impl Add {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        let disable_until = DisableUntil::from_number(self.disable_until, Timestamp::now())
            .ok_or_else(|| Failure::input("--disable-until is 0, 1 or a time of the next five years"))?;
        let signals = signals(&self.file, self.signal_type)?;
        let metadata = Metadata { content_id: self.reference.clone(), content_uri: self.uri.clone(), json: self.metadata.clone() };
        let entry = Entry {
            note: self.note.clone(),
            metadata: Some(metadata).filter(|metadata| *metadata != Metadata::default()),
            category: self.category,
            quality: self.quality,
            source: self.source.clone(),
            submitter: self.submitter.clone(),
            disable_until,
            ..Entry::new(signals)
        };
        with_curation(config, &self.bank, async |curation, who| {
            let added = curation.add(who, &self.bank, entry).await?;
            let item = curation.item(who, &self.bank, added.content_id).await?;
            let mut line = json!({"bank": self.bank, "content_id": added.content_id, "created": added.created, "standing": item.standing});
            if !added.created {
                line["named_again"] = vec![added.content_id].into();
            }
            if !added.created && item.state != ItemState::Enabled {
                line["state"] = item.state.as_str().into();
                let id = added.content_id;
                eprintln!(
                    "note: item {id} is not in force, so nothing matches it: see `nightlight bank items --bank {}`, and `bank enable` or `bank standing`",
                    self.bank
                );
            }
            if !added.shares_with.is_empty() {
                line["shares_with"] = added.shares_with.into();
            }
            Ok(output::json_line(&line)?)
        })
    }
}

impl List {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        with_curation(config, &self.bank, async |curation, who| {
            let filter = ItemFilter {
                standing: self.standing,
                category: self.category,
                source: self.source.clone(),
                after: self.after,
                limit: self.limit,
            };
            let page = curation.items(who, &self.bank, filter).await?;
            if self.json || self.signals {
                page.items.iter().try_for_each(|item| output::json_line(&ItemLine::of(item, self.signals)))?;
            } else {
                let header = ["content id", "standing", "state", "types", "category", "confirm", "dispute", "sources", "note"];
                output::table(header, &page.items.iter().map(row).collect::<Vec<_>>())?;
            }
            if let Some(next) = page.next {
                eprintln!("there are more; go on with --after {next}");
            }
            Ok(())
        })
    }
}

fn row(item: &Item) -> [String; 9] {
    let dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let mut types: Vec<_> = item.signals.iter().map(|signal| signal.kind().as_str()).collect();
    types.dedup();
    let sources: Vec<_> = item.provenance.iter().map(|from| from.source.as_str()).collect();
    [
        item.content_id.to_string(),
        item.standing.to_string(),
        item.state.to_string(),
        types.join(", "),
        dash(item.category.map(|category| category.to_string()).unwrap_or_default()),
        item.confirms.to_string(),
        item.disputes.to_string(),
        dash(sources.join(", ")),
        dash(item.note.clone().unwrap_or_default()),
    ]
}

impl Move {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        with_curation(config, &self.bank, async |curation, who| {
            for content_id in &self.content_ids {
                let patch = ItemPatch { standing: Some(self.to), ..ItemPatch::default() };
                let item = curation.change(who, &self.bank, *content_id, patch).await?;
                output::json_line(&json!({"bank": self.bank, "content_id": content_id, "standing": item.standing, "state": item.state}))?;
            }
            Ok(())
        })
    }
}

impl Say {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        let source = if self.source == "appeal" { OpinionSource::Appeal } else { OpinionSource::Curator };
        with_curation(config, &self.bank, async |curation, who| {
            let Some(opinion) = self.say else {
                for said in curation.opinions(who, &self.bank, self.content_id).await? {
                    let line = json!({"content_id": said.content_id, "source": said.source, "who": said.who, "opinion": said.opinion, "at": said.at});
                    output::json_line(&line)?;
                }
                return Ok(());
            };
            let item = curation.opine(who, &self.bank, self.content_id, (source, opinion), None).await?;
            Ok(output::json_line(&ItemLine::of(&item, false))?)
        })
    }
}

impl Access {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        with_curation(config, &self.bank, async |curation, who| {
            if let Some(right) = self.right {
                let change = self.allow.map(|key| (key, true)).or_else(|| self.revoke.map(|key| (key, false)));
                if let Some((key, allowed)) = change {
                    curation.set_access(who, &self.bank, (key, right), allowed).await?;
                }
            }
            for (key, right) in curation.access(who, &self.bank).await?.entries {
                output::json_line(&json!({"bank": self.bank, "key": key, "right": right}))?;
            }
            Ok(())
        })
    }
}
