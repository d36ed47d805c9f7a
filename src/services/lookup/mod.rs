//! Hashes and matches alone: what somebody asks who wants no score and no decision. Nothing is stored and nobody is asked to review.
//!
//! [`Lookup::hash`] makes digests and the perceptual hash of an attachment; the bytes are hashed where they lie in memory and written nowhere.

mod error;
mod near;
mod recent;
mod search;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

pub use self::{
    error::LookupError,
    near::NearQueries,
    recent::{RecentHashes, Views},
    search::{Coin, Found, Scope, Sought, hold_back},
};
use crate::{
    domain::{
        clip::Look,
        evidence::{Unscored, UnscoredReason},
        hash::{Digests, PerceptualHash, Quality},
        score::Technology,
        signal::{Distance, Signal, SignalType},
        time::Timestamp,
    },
    engines::matching,
    outbound::{Media, MediaFetcher},
    services::{
        access::Principal,
        analysis::{EmbedError, Opened, Pictures, Seen, SeenView, Timings, Want, faint, frames_left_out, viewer::Rest},
        banks::{Banks, damage, hits::Hits},
    },
    store::Store,
    telemetry::metric,
};

/// Hashes attachments and looks them up. Built by [`services::App`](crate::services::App).
pub struct Lookup {
    banks: Arc<Banks>,
    pictures: Arc<Pictures>,
    fetcher: MediaFetcher,
    /// What matched, if anybody wants to know.
    hits: Option<Arc<Hits>>,
    recent: Arc<RecentHashes>,
    /// Who looks up too much near one item, and where people are told of it.
    watch: Option<(NearQueries, Store)>,
}

/// What somebody wants to know of an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub md5: bool,
    pub sha1: bool,
    /// The perceptual hash; asks for a picture.
    pub pdq: bool,
    /// Vectors of these embedders; ask for a picture too. What no embedder makes is left out.
    pub embeddings: Vec<SignalType>,
}

impl Wanted {
    /// All that needs no model.
    pub const HASHES: Self = Self { md5: true, sha1: true, pdq: true, embeddings: Vec::new() };
}

/// The hashes of one attachment.
#[derive(Clone, Debug)]
pub struct Hashed {
    pub digests: Digests,
    /// `None` when nobody wanted it; the error says why there is none.
    pub pdq: Option<Result<PerceptualHash, LookupError>>,
    /// Of those that were wanted; the error says why there is none.
    pub embeddings: Vec<(SignalType, Result<Signal, LookupError>)>,
    /// Of the first view, whose hash and vectors stand above.
    pub look: Look,
    /// Every further view of a sequence or of a picture with transparency.
    pub more: Vec<HashedView>,
    /// What of the content was not looked at.
    pub rest: Option<Rest>,
    /// Why embedders gave no vector of a further view, each reason once.
    pub failed: Vec<(SignalType, LookupError)>,
    /// What embedders did not see of a long sequence.
    pub unembedded: Option<String>,
}

/// The hashes of a further view.
#[derive(Clone, Debug)]
pub struct HashedView {
    pub look: Look,
    pub pdq: Option<PerceptualHash>,
    /// Those that could be made, of the frames that models see.
    pub embeddings: Vec<Signal>,
}

impl Hashed {
    /// The PDQ hashes of all views that have one.
    fn views(&self) -> impl Iterator<Item = (Look, &PerceptualHash)> {
        let first = self.pdq.iter().flatten().map(|hash| (self.look, hash));
        first.chain(self.more.iter().filter_map(|view| Some((view.look, view.pdq.as_ref()?))))
    }

    /// Said when no view has a PDQ hash of this quality, and of views among others that show something, too faint to be matched: in the words of `/score`.
    pub fn faint(&self, minimum: Quality) -> Option<Unscored> {
        let qualities: Vec<Quality> = self.views().map(|(_, hash)| hash.quality).collect();
        faint(&qualities, self.more.len() + 1, minimum)
    }

    /// The first PDQ hash that says something: the picture's, or where its quality is too low to match, that of a further frame or of what is seen on white or black.
    pub fn telling(&self) -> Option<&PerceptualHash> {
        self.views().map(|(_, hash)| hash).find(|hash| hash.quality >= Quality::MATCHABLE)
    }
}

impl Lookup {
    /// Over these banks and threads.
    pub fn new(banks: Arc<Banks>, pictures: Arc<Pictures>, fetcher: MediaFetcher) -> Self {
        Self { banks, pictures, fetcher, hits: None, recent: Arc::default(), watch: None }
    }

    /// Counts what matches, for flood protection.
    #[must_use]
    pub fn counting(self, hits: Arc<Hits>) -> Self {
        Self { hits: Some(hits), ..self }
    }

    /// Remembers hashes that are answered, so that lookups of them find what `/score` finds of the content.
    #[must_use]
    pub fn remembering(self, recent: RecentHashes) -> Self {
        Self { recent: Arc::new(recent), ..self }
    }

    /// Watches who looks up near items; whoever is stopped stands in the store's ledger.
    #[must_use]
    pub fn watching(self, near: NearQueries, store: Store) -> Self {
        Self { watch: Some((near, store)), ..self }
    }

    /// Reads a long body, or writes a long answer, in turn with everything else that keeps a core busy.
    ///
    /// # Errors
    /// When the threads are busy, the deadline passes, or `work` panicked.
    pub async fn read<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static, deadline: Instant) -> Result<T, LookupError> {
        let reading = self.pictures.reading().run(work);
        Ok(tokio::time::timeout_at(deadline.into(), reading).await.map_err(|_| LookupError::Deadline)??)
    }

    /// Takes note that somebody is given the hash of this content, and may look it up: see [`sought`](Self::sought).
    pub fn answered(&self, who: &Principal, hashed: &Hashed) {
        // Some calls answer the first hash, some the first that says something.
        let first = hashed.views().next().map(|(_, hash)| hash);
        let telling = hashed.telling().filter(|telling| first.is_none_or(|first| !std::ptr::eq(first, *telling)));
        for answered in first.into_iter().chain(telling) {
            let (answered, others): (Vec<_>, Vec<_>) = hashed.views().partition(|(_, hash)| std::ptr::eq(*hash, answered));
            self.recent.remember(who.tenant, answered.into_iter().chain(others).map(|(look, hash)| (look, hash.clone())).collect());
        }
    }

    /// What a lookup of this signal looks for: the signal, and where it is a PDQ hash that the tenant was given lately, all that the content shows.
    pub fn sought(&self, who: &Principal, signal: Signal) -> Sought {
        let Signal::Pdq(upright) = &signal else { return Sought::Signal(signal) };
        match self.recent.find(who.tenant, upright) {
            Some(views) => {
                metrics::counter!(metric::RECENT_HASH_LOOKUPS_TOTAL).increment(1);
                Sought::Answered(signal, views)
            }
            None => Sought::Signal(signal),
        }
    }

    /// The embeddings that this server makes.
    pub fn embeddings(&self) -> Vec<SignalType> {
        self.pictures.embedders().kinds()
    }

    /// The same, of those that some bank of theirs holds.
    pub fn embeddings_held(&self, who: &Principal) -> Vec<SignalType> {
        self.pictures.embedders().kinds_held(&self.banks.snapshot_for(who))
    }

    /// What lookups by all their banks do not see of hashed content, beside what the hashes' own errors say: as `/score` says it.
    pub fn unseen(&self, who: &Principal, hashed: &Hashed) -> Vec<Unscored> {
        let banks = self.banks.snapshot_for(who);
        let mut unseen: Vec<Unscored> = hashed.faint(banks.pdq_minimum_quality().unwrap_or(Quality::MATCHABLE)).into_iter().collect();
        let pdq = hashed.pdq.as_ref().map(|_| SignalType::Pdq);
        let embedded = || hashed.embeddings.iter().map(|(kind, _)| *kind);
        let unscored = |kind: SignalType, reason, detail: &String| Unscored {
            technology: Technology::named(kind.as_str()),
            reason,
            detail: detail.clone(),
        };
        if let Some(Rest { reason, detail }) = &hashed.rest {
            unseen.extend(pdq.into_iter().chain(embedded()).map(|kind| unscored(kind, *reason, detail)));
        }
        if let Some(detail) = &hashed.unembedded {
            unseen.extend(embedded().map(|kind| unscored(kind, UnscoredReason::FramesNotLookedAt, detail)));
        }
        if hashed.pdq.as_ref().is_some_and(|pdq| !matches!(pdq, Err(LookupError::UnsupportedMedia(_)))) {
            unseen.extend(self.pictures.embedders().refused(&banks));
        }
        unseen
    }

    /// What no lookup by all their banks sees, because stored signals are damaged.
    pub fn damaged(&self, who: &Principal) -> Vec<Unscored> {
        damage::unseen(&self.banks.snapshot_for(who), false)
    }

    /// When the newest change was made that lookups see.
    pub fn last_change(&self) -> Option<Timestamp> {
        self.banks.changed_at()
    }

    /// Whether the banks in memory are those of the store; `false` when they could not be read again since they changed.
    pub fn up_to_date(&self) -> bool {
        self.banks.behind_since().is_none()
    }

    /// The content at a URL.
    ///
    /// # Errors
    /// See [`LookupError::Fetch`].
    pub async fn fetch(&self, url: &str, deadline: Instant) -> Result<Media, LookupError> {
        let fetching = tokio::time::timeout_at(deadline.into(), self.fetcher.fetch_media(url));
        Ok(fetching.await.map_err(|_| LookupError::Deadline)??)
    }

    /// Digests and hashes of an attachment, of every view of it.
    ///
    /// # Errors
    /// When the threads are busy or the deadline passes. What is wrong with the picture stands in [`Hashed`].
    pub async fn hash(&self, bytes: Bytes, wanted: Wanted, deadline: Instant) -> Result<Hashed, LookupError> {
        let all = self.hash_views(bytes, wanted, deadline);
        tokio::time::timeout_at(deadline.into(), all).await.map_err(|_| LookupError::Deadline)?
    }

    async fn hash_views(&self, bytes: Bytes, wanted: Wanted, deadline: Instant) -> Result<Hashed, LookupError> {
        let embedders = self.pictures.embedders();
        let kinds = wanted.embeddings;
        let pixels = (wanted.pdq || !kinds.is_empty()).then(|| embedders.needs(&kinds));
        let want = Want { md5: wanted.md5, sha1: wanted.sha1, pixels };
        let Opened { digests, seen } = self.pictures.open(bytes, want, deadline, &mut Timings::start()).await?;
        let mut hashed = Hashed {
            digests,
            pdq: None,
            embeddings: Vec::new(),
            look: Look::default(),
            more: Vec::new(),
            rest: None,
            failed: Vec::new(),
            unembedded: None,
        };
        let Seen { sequence, views, for_models } = match seen {
            None => return Ok(hashed),
            // Nothing of the picture can be had.
            Some(Err(error)) => {
                let error = LookupError::from(error);
                hashed.embeddings = kinds.iter().map(|kind| (*kind, Err(error.clone()))).collect();
                hashed.pdq = wanted.pdq.then_some(Err(error));
                return Ok(hashed);
            }
            Some(Ok(seen)) => seen,
        };
        hashed.unembedded = frames_left_out(for_models, sequence.distinct);
        hashed.rest = sequence.rest;
        for (at, SeenView { look, for_models, mut prepared }) in views.into_iter().enumerate() {
            let embedded = if for_models { embedders.run(&kinds, &mut prepared).await } else { Vec::new() };
            if at == 0 {
                let hash = prepared.hash.map_err(|error| LookupError::TooSmall(error.to_string()));
                (hashed.look, hashed.pdq) = (look, wanted.pdq.then_some(hash));
                hashed.embeddings = embedded.into_iter().map(|(kind, result)| (kind, result.map_err(LookupError::from))).collect();
                continue;
            }
            let pdq = prepared.hash.ok().filter(|_| wanted.pdq);
            let mut embeddings = Vec::new();
            for (kind, result) in embedded {
                match result.map_err(LookupError::from) {
                    Ok(signal) => embeddings.push(signal),
                    Err(error) if !hashed.failed.contains(&(kind, error.clone())) => hashed.failed.push((kind, error)),
                    Err(_) => {}
                }
            }
            hashed.more.push(HashedView { look, pdq, embeddings });
        }
        Ok(hashed)
    }

    /// How far two signals are apart; `None` for different types, for vectors of different lengths, and for digests that are not equal.
    pub fn distance(left: &Signal, right: &Signal) -> Option<Distance> {
        matching::distance(left, right)
    }

    /// The widest radius in which a bank that somebody may search finds signals of this type; 0 where there is none.
    pub fn widest_radius(&self, who: &Principal, kind: SignalType) -> Distance {
        let banks = self.banks.snapshot_for(who);
        banks.banks().iter().filter(|bank| bank.enabled).map(|bank| bank.radius(kind)).max().unwrap_or_default()
    }

    /// The share of the tenant's lookups in which signals of this type take part, 0..=1.
    pub fn share(&self, who: &Principal, kind: SignalType) -> f64 {
        self.banks.snapshot(who.tenant).share(kind)
    }
}

impl From<EmbedError> for LookupError {
    fn from(error: EmbedError) -> Self {
        match error {
            EmbedError::Overloaded => Self::Overloaded,
            EmbedError::TooLarge(detail) => Self::TooLarge(detail),
            EmbedError::Failed(detail) => Self::Internal(detail),
        }
    }
}
