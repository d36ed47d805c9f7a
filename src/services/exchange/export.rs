//! A bank as a list.
//!
//! Hash lists are sensitive: the file is readable by its owner alone, it can be encrypted to age recipients (<https://age-encryption.org/v1>), and the ledger
//! has an event before the first byte is written. Written are the items that lookups find; `all` adds those that are out of force, but never retired ones.

use std::io::{self, Write};

use serde::Serialize;

use super::formats::{Format, Item, Writer};
use crate::{
    domain::{
        bank::{ItemState, Purpose, Standing},
        ids::{KeyId, TenantId},
    },
    store::{ItemFilter, Store, StoreError},
};

/// Items that are read from the store at once.
const PAGE: u32 = 1000;

/// What to write.
#[derive(Clone, Debug)]
pub struct Export {
    pub bank: String,
    pub format: Format,
    /// Also items that are out of force.
    pub all: bool,
    /// age recipients, `age1…`; none leaves the list as it is.
    pub recipients: Vec<String>,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exported {
    pub bank_version: i64,
    pub items: u64,
    pub signals: u64,
    /// Signals of types that the format does not have.
    pub left_out: u64,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("recipient {place} is no age recipient (age1…): {detail}")]
    Recipient { place: usize, detail: String },
    /// What is known to be harmless would be told to be the opposite.
    #[error("bank {bank} holds what is known to be harmless, and a list in the format {} says of all of it that it is harmful; write it as lines or csv", format.as_str())]
    Negative { bank: String, format: Format },
    #[error("the list cannot be encrypted: {0}")]
    Encrypt(String),
    #[error("the list cannot be written: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An output that may encrypt.
enum Out<W: Write> {
    Plain(W),
    Sealed(age::stream::StreamWriter<W>),
}

impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Sealed(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Sealed(out) => out.flush(),
        }
    }
}

impl<W: Write> Out<W> {
    fn new(out: W, recipients: &[age::x25519::Recipient]) -> Result<Self, ExportError> {
        if recipients.is_empty() {
            return Ok(Self::Plain(out));
        }
        let all = recipients.iter().map(|recipient| -> &dyn age::Recipient { recipient });
        let encryptor = age::Encryptor::with_recipients(all).map_err(|error| ExportError::Encrypt(error.to_string()))?;
        Ok(Self::Sealed(encryptor.wrap_output(out)?))
    }

    /// Writes the last block; without it the list cannot be decrypted.
    fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Sealed(out) => out.finish(),
        }
    }
}

impl Export {
    /// Writes the list to `out`, and gives `out` back.
    ///
    /// # Errors
    /// [`ExportError::Recipient`] and [`ExportError::Negative`] before anything is written; [`StoreError::NotFound`] for the bank.
    pub async fn write<W: Write + Send>(
        &self,
        store: &Store,
        tenant: TenantId,
        out: W,
        by: Option<KeyId>,
    ) -> Result<(W, Exported), ExportError> {
        let parse = |(place, text): (usize, &String)| {
            text.trim().parse().map_err(|error: &str| ExportError::Recipient { place: place + 1, detail: error.to_owned() })
        };
        let recipients = self.recipients.iter().enumerate().map(parse).collect::<Result<Vec<age::x25519::Recipient>, _>>()?;
        let bank = store.bank(tenant, &self.bank).await?.ok_or(StoreError::NotFound("bank"))?;
        if bank.purpose == Purpose::Negative && self.format.accuses() {
            return Err(ExportError::Negative { bank: bank.name, format: self.format });
        }
        store.note_export(&bank, self.format.as_str(), recipients.len() as u64, by).await?;
        let mut writer = Writer::begin(self.format, Out::new(out, &recipients)?)?;
        let (mut after, mut items) = (0, 0);
        loop {
            let page = store.list_items(&bank, ItemFilter { after, limit: PAGE, ..ItemFilter::default() }).await?;
            let Some(last) = page.last() else { break };
            after = last.content_id;
            for item in page {
                let in_force = item.state == ItemState::Enabled && item.standing != Standing::Quarantined;
                let wanted = in_force || (self.all && item.standing != Standing::Retired);
                if !wanted {
                    continue;
                }
                items += 1;
                writer.write(&Item {
                    id: item.content_id,
                    signals: item.signals,
                    category: item.category,
                    source: item.provenance.into_iter().next().map(|from| from.source),
                    note: item.note,
                    added_on: Some(item.created_at),
                    tags: Vec::new(),
                })?;
            }
        }
        let (out, signals, left_out) = writer.finish()?;
        Ok((out.finish()?, Exported { bank_version: bank.version, items, signals, left_out }))
    }
}
