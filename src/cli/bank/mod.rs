//! `nightlight bank`.

mod content;
mod export;
mod import;
mod items;
mod settings;

use clap::Subcommand;

use self::{
    content::{Access, Add, List, Move, Say},
    export::Export,
    import::Import,
    items::{Items, Removal},
    settings::{Create, Delete, Named, Rename, Set},
};
use super::{Failure, block_on, open_existing_store, open_store};
use crate::{
    config::Config,
    domain::{bank::ItemState, ids::TenantId},
    services::{access::Principal, banks::curation::Curation},
    store::Store,
};

#[derive(Debug, Subcommand)]
pub(super) enum Bank {
    /// Make an empty bank
    Create(Create),
    /// Show all banks, and how many items they have of each standing
    List {
        /// One JSON object a line instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Show one bank as JSON: its settings, and how many items it has of each standing
    Show(Named),
    /// Change how a bank is searched, and what gets into it
    ///
    /// What is not given stays. Items that wait take the admission tests again.
    Set(Set),
    /// Give a bank another name
    Rename(Rename),
    /// Delete a bank and its signals
    Delete(Delete),
    /// Add the signals of a file to a bank, all or none
    ///
    /// One signal a line: `signal` or `signal_type signal`, in hex. A bare signal of 32 digits is md5, of 40 sha1, of 64 pdq. Blank lines and
    /// lines that begin with # are ignored. Lists of exchanges are read too, see --format. The bank is made when it does not exist; a running server matches against it within a second.
    /// When a line cannot be read, all such lines are told by number, nothing is imported and the exit code is 2.
    Import(Import),
    /// Write the hashes of a bank as a list
    ///
    /// Hash lists are sensitive: the file is readable by its owner alone, --encrypt-to encrypts it with age, and the ledger has an event for each export.
    Export(Export),
    /// Add one item with all its signals, or name one again that is there
    ///
    /// An item keeps all its signals, whichever others have them too: a signal matches as long as one of its items is in force, and names them all. Exactly the signals of an
    /// item are that item, which gets the source as one more. In a bank with admission tests the item is a candidate until it passes them.
    Add(Add),
    /// Show the items of a bank
    Items(List),
    /// Put a bank, or items of it, into force again
    Enable(Items),
    /// Put a bank, or items of it, out of force until they are enabled again
    Disable(Items),
    /// Remove items from a bank for good
    ///
    /// Their content ids are not given again; a removed signal that is imported again gets a new one. A running server stops matching them
    /// within a second.
    Remove(Removal),
    /// Give items another standing: put back what was quarantined, quarantine what may match wrongly (its matches still go to review)
    Standing(Move),
    /// Say that an item belongs into its bank, or that it does not; or show what was said
    ///
    /// Who says something again replaces what they said. Items move by the rules of [feedback].
    Opinion(Say),
    /// Show, or change, which keys may use a bank
    ///
    /// Each right has a list of its own; an empty one admits every key whose role has the permission. Administrators are always admitted.
    Access(Access),
}

impl Bank {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(config),
            Self::List { json } => settings::list(config, *json),
            Self::Show(named) => named.show(config),
            Self::Set(set) => set.run(config),
            Self::Rename(rename) => rename.run(config),
            Self::Delete(delete) => delete.run(config),
            Self::Import(import) => import.run(config),
            Self::Export(export) => export.run(config),
            Self::Add(add) => add.run(config),
            Self::Items(list) => list.run(config),
            Self::Enable(items) => items.run(config, ItemState::Enabled),
            Self::Disable(items) => items.run(config, ItemState::Disabled),
            Self::Remove(removal) => removal.run(config),
            Self::Standing(order) => order.run(config),
            Self::Opinion(say) => say.run(config),
            Self::Access(access) => access.run(config),
        }
    }
}

/// Runs `work` as whoever runs the server.
async fn curate<T>(
    config: &Config,
    store: Store,
    work: impl AsyncFnOnce(&Curation, &Principal) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let curation = Curation::new(store.clone(), None, config.feedback.rules).with_defaults(config.matching.bank());
    let done = work(&curation, &Principal::operator()).await;
    store.close().await;
    done
}

/// The same on a database that is made when there is none.
fn with_new<T>(config: &Config, work: impl AsyncFnOnce(&Curation, &Principal) -> Result<T, Failure>) -> Result<T, Failure> {
    block_on(async { curate(config, open_store(config).await?, work).await })
}

/// The same on one that there is.
fn with_existing<T>(config: &Config, work: impl AsyncFnOnce(&Curation, &Principal) -> Result<T, Failure>) -> Result<T, Failure> {
    block_on(async { curate(config, open_existing_store(config).await?, work).await })
}

/// The same for a bank that there is; else says which there are.
fn with_curation<T>(
    config: &Config,
    bank: &str,
    work: impl AsyncFnOnce(&Curation, &Principal) -> Result<T, Failure>,
) -> Result<T, Failure> {
    block_on(async {
        let store = open_existing_store(config).await?;
        if store.bank(TenantId::DEFAULT, bank).await?.is_none() {
            let failure = unknown_bank(&store, bank).await;
            store.close().await;
            return Err(failure);
        }
        curate(config, store, work).await
    })
}

/// There is no bank of this name; says which there are.
pub(super) async fn unknown_bank(store: &Store, name: &str) -> Failure {
    match store.banks(TenantId::DEFAULT).await {
        Err(error) => error.into(),
        Ok(banks) if banks.is_empty() => {
            Failure::input(format!("there is no bank {name}, nor any other; see `nightlight bank create` and `nightlight bank import`"))
        }
        Ok(banks) => {
            let names: Vec<&str> = banks.iter().map(|bank| bank.name.as_str()).collect();
            Failure::input(format!("there is no bank {name}; the banks are {}", names.join(", ")))
        }
    }
}

/// A source's name, as `domain::bank::Provenance` has it.
fn source_name(text: &str) -> Result<String, String> {
    let sound = (1..=128).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if sound { Ok(text.to_owned()) } else { Err("a name has 1 to 128 characters and no control characters".to_owned()) }
}
