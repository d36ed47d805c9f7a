//! Hashes and matches alone: what somebody asks who wants no score and no decision. Nothing is stored and nobody is asked to review.
//!
//! [`Lookup::hash`] makes digests and the perceptual hash of an attachment; the bytes are hashed where they lie in memory and written nowhere.

mod error;
mod search;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

pub use self::{
    error::LookupError,
    search::{Coin, Found, Scope, Sought},
};
use crate::{
    domain::{
        frame::Frame,
        hash::{Digests, PerceptualHash},
        ids::TenantId,
        signal::{Distance, Signal},
        time::Timestamp,
    },
    engines::{hashing, matching::Snapshot},
    outbound::{Media, MediaFetcher},
    services::{
        banks::{Banks, hits::Hits},
        lanes::Lanes,
        pixels::PixelProcessor,
    },
};

/// Hashes attachments and looks them up. Built by [`services::App`](crate::services::App).
pub struct Lookup {
    banks: Arc<Banks>,
    lanes: Lanes,
    pixels: Arc<PixelProcessor>,
    fetcher: MediaFetcher,
    /// What matched, if anybody wants to know.
    hits: Option<Arc<Hits>>,
}

/// What somebody wants to know of an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub md5: bool,
    pub sha1: bool,
    /// The perceptual hash; asks for a picture.
    pub pdq: bool,
}

impl Wanted {
    /// All there is.
    pub const EVERYTHING: Self = Self { md5: true, sha1: true, pdq: true };
}

/// The hashes of one attachment.
#[derive(Clone, Debug)]
pub struct Hashed {
    pub digests: Digests,
    /// `None` when nobody wanted it; the error says why there is none.
    pub pdq: Option<Result<PerceptualHash, LookupError>>,
}

impl Lookup {
    /// Over these banks and threads.
    pub const fn new(banks: Arc<Banks>, lanes: Lanes, pixels: Arc<PixelProcessor>, fetcher: MediaFetcher) -> Self {
        Self { banks, lanes, pixels, fetcher, hits: None }
    }

    /// Counts what matches, for flood protection.
    #[must_use]
    pub fn counting(self, hits: Arc<Hits>) -> Self {
        Self { hits: Some(hits), ..self }
    }

    /// The banks of `tenant` as they are now.
    pub fn banks(&self, tenant: TenantId) -> Arc<Snapshot> {
        self.banks.snapshot(tenant)
    }

    /// When the newest change was made that lookups see.
    pub fn last_change(&self) -> Option<Timestamp> {
        self.banks.changed_at()
    }

    /// Whether the banks in memory are those of the store; `false` when they could not be read again since they changed.
    pub fn up_to_date(&self) -> bool {
        self.banks.failure().is_none()
    }

    /// The content at a URL.
    ///
    /// # Errors
    /// See [`LookupError::Fetch`].
    pub async fn fetch(&self, url: &str, deadline: Instant) -> Result<Media, LookupError> {
        let fetching = tokio::time::timeout_at(deadline.into(), self.fetcher.fetch_media(url));
        Ok(fetching.await.map_err(|_| LookupError::Deadline)??)
    }

    /// Digests and hashes of an attachment.
    ///
    /// # Errors
    /// When the threads are busy or the deadline passes. What is wrong with the picture stands in [`Hashed::pdq`].
    pub async fn hash(&self, bytes: Bytes, wanted: Wanted, deadline: Instant) -> Result<Hashed, LookupError> {
        let (decoder, pixels) = (self.lanes.decoder.clone(), self.pixels.clone());
        let work = self.lanes.decode.run(move || {
            let digests = hashing::digests::digests(&bytes, wanted.md5, wanted.sha1);
            let pdq = wanted.pdq.then(|| {
                let (_, frame) = decoder.decode(&bytes)?;
                perceptual(&pixels, frame)
            });
            Hashed { digests, pdq }
        });
        tokio::time::timeout_at(deadline.into(), work).await.map_err(|_| LookupError::Deadline)?.map_err(LookupError::from)
    }

    /// How far two signals are apart; `None` for different types and for vectors of different lengths.
    pub fn distance(left: &Signal, right: &Signal) -> Option<Distance> {
        match (left, right) {
            (Signal::Pdq(left), Signal::Pdq(right)) => Some(left.distance(right).into()),
            _ => (left == right).then_some(Distance::ZERO),
        }
    }
}

fn perceptual(pixels: &PixelProcessor, frame: Frame) -> Result<PerceptualHash, LookupError> {
    let looked = pixels.look(&[Arc::new(frame)], &[]).pop();
    let looked = looked.ok_or_else(|| LookupError::Internal("no result for a picture".to_owned()))?;
    looked.hash.map_err(|error| LookupError::Picture(error.to_string()))
}
