//! PDQ hashes that this server answered lately, with what else the content shows: its other seven positions, its further frames, what is seen of it on white and on black.
//!
//! Programs that hash by one call and look the hash up by another give one hash, from which all this cannot be told: copies that `/score` finds were lost to them. So what a hashing call
//! saw is remembered for some minutes, and a lookup of the very hash that it answered asks for all of it.
//!
//! It is a memory of this process alone, bounded for each tenant, and nothing of it is written anywhere. A hash that is forgotten, or was made elsewhere, is looked up as it stands.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::domain::{
    clip::Look,
    hash::{PdqHash, PerceptualHash},
    ids::TenantId,
};

/// The views of content, the one whose hash was answered first.
pub type Views = Arc<[(Look, PerceptualHash)]>;

/// Hashes answered lately; the default remembers none.
#[derive(Debug, Default)]
pub struct RecentHashes {
    /// How long a hash is remembered; zero for none.
    keep: Duration,
    /// Of each tenant so many views, the newest.
    most: usize,
    /// How many are held, so that a lookup while there are none costs nothing.
    held: AtomicUsize,
    tenants: Mutex<Tenants>,
}

#[derive(Debug, Default)]
struct Tenants {
    memories: HashMap<TenantId, Memory>,
    /// Whether a task forgets what is old.
    swept: bool,
}

/// One tenant's.
#[derive(Debug, Default)]
struct Memory {
    hashes: HashMap<PdqHash, (Instant, Views)>,
    /// How many views they have together.
    views: usize,
    /// In the order in which they were answered; one that was answered again stands here twice, and the later time counts.
    order: VecDeque<(Instant, PdqHash)>,
}

impl Memory {
    /// Forgets what was answered before `oldest`, and the oldest of more than `most` views or answers.
    fn forget(&mut self, oldest: Option<Instant>, most: usize) {
        while let Some((at, hash)) = self.order.front()
            && (oldest.is_some_and(|oldest| *at < oldest) || self.order.len().max(self.views) > most)
        {
            if self.hashes.get(hash).is_some_and(|(newest, _)| newest == at) {
                self.views -= self.hashes.remove(hash).map_or(0, |(_, views)| views.len());
            }
            self.order.pop_front();
        }
    }
}

impl RecentHashes {
    /// For so long, and of each tenant so many views; none if either is zero. One takes about 400 bytes.
    pub fn new(keep: Duration, most: usize) -> Self {
        Self { keep, most, ..Self::default() }
    }

    fn tenants(&self) -> MutexGuard<'_, Tenants> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers content whose first view's hash the tenant is given. Of equal hashes the newest counts.
    pub fn remember(self: &Arc<Self>, tenant: TenantId, views: Views) {
        if self.keep.is_zero() || self.most == 0 {
            return;
        }
        let mut tenants = self.tenants();
        self.insert(&mut tenants, tenant, views, Instant::now());
        // Nobody may come any more, and then it is to be forgotten all the same.
        if !tenants.swept
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            tenants.swept = true;
            runtime.spawn(sweep(Arc::downgrade(self), self.keep));
        }
    }

    fn insert(&self, tenants: &mut Tenants, tenant: TenantId, views: Views, now: Instant) {
        let Some((_, first)) = views.first() else { return };
        let hash = first.original();
        let memory = tenants.memories.entry(tenant).or_default();
        memory.views += views.len();
        memory.views -= memory.hashes.insert(hash, (now, views)).map_or(0, |(_, before)| before.len());
        memory.order.push_back((now, hash));
        memory.forget(now.checked_sub(self.keep), self.most);
        self.count(tenants);
    }

    fn count(&self, tenants: &Tenants) {
        self.held.store(tenants.memories.values().map(|memory| memory.hashes.len()).sum(), Ordering::Relaxed);
    }

    /// The views of the content whose hash this is, if the tenant was given it lately.
    pub fn find(&self, tenant: TenantId, upright: &PdqHash) -> Option<Views> {
        if self.held.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.find_at(tenant, upright, Instant::now())
    }

    fn find_at(&self, tenant: TenantId, upright: &PdqHash, now: Instant) -> Option<Views> {
        let tenants = self.tenants();
        let (at, views) = tenants.memories.get(&tenant)?.hashes.get(upright)?;
        (now.saturating_duration_since(*at) <= self.keep).then(|| views.clone())
    }

    /// Forgets what is old; whether anything is left.
    fn forget(&self, now: Instant) -> bool {
        let mut tenants = self.tenants();
        if let Some(oldest) = now.checked_sub(self.keep) {
            for memory in tenants.memories.values_mut() {
                memory.forget(Some(oldest), self.most);
            }
        }
        tenants.memories.retain(|_, memory| !memory.order.is_empty());
        self.count(&tenants);
        tenants.swept = !tenants.memories.is_empty();
        tenants.swept
    }
}

/// Forgets what is old until nothing is left.
async fn sweep(recent: Weak<RecentHashes>, keep: Duration) {
    let every = (keep / 8).max(Duration::from_millis(100));
    loop {
        tokio::time::sleep(every).await;
        if recent.upgrade().is_none_or(|recent| !recent.forget(Instant::now())) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::hash::Quality;

    const KEEP: Duration = Duration::from_secs(60);

    fn hash(seed: u64) -> PerceptualHash {
        let hashes = std::array::from_fn(|at| PdqHash::from_words([seed, at as u64, 0, 0]));
        PerceptualHash { hashes, quality: Quality::new(80) }
    }

    fn views(seeds: impl IntoIterator<Item = u64>) -> Views {
        seeds.into_iter().map(|seed| (Look::default(), hash(seed))).collect()
    }

    fn insert(recent: &RecentHashes, tenant: TenantId, seed: u64, at: Instant) {
        recent.insert(&mut recent.tenants(), tenant, views([seed]), at);
    }

    #[test]
    fn hashes_are_found_by_their_tenant_for_their_time() {
        let (recent, start) = (RecentHashes::new(KEEP, 10), Instant::now());
        let (a, b) = (TenantId::new(), TenantId::new());
        let found = |tenant, seed, after| recent.find_at(tenant, &hash(seed).original(), start + after);
        assert_eq!(recent.find(a, &hash(1).original()), None);
        insert(&recent, a, 1, start);
        assert_eq!(found(a, 1, KEEP), Some(views([1])));
        assert_eq!((found(b, 1, KEEP), found(a, 2, KEEP)), (None, None));
        assert_eq!(recent.find_at(a, &hash(1).hashes[3], start), None, "only what was answered leads there");
        assert_eq!(found(a, 1, KEEP + Duration::from_millis(1)), None);
        // Answered again it stays for as long again.
        insert(&recent, a, 1, start + KEEP / 2);
        insert(&recent, b, 1, start);
        assert!(recent.forget(start + KEEP + Duration::from_millis(1)));
        assert_eq!((found(a, 1, KEEP), found(b, 1, Duration::ZERO), recent.held.load(Ordering::Relaxed)), (Some(views([1])), None, 1));
        assert!(!recent.forget(start + 2 * KEEP) && recent.tenants().memories.is_empty(), "and then nothing is left");
    }

    #[test]
    fn no_tenant_takes_more_than_its_share() {
        let (recent, start) = (RecentHashes::new(KEEP, 10), Instant::now());
        let (many, few) = (TenantId::new(), TenantId::new());
        insert(&recent, few, 1, start);
        for seed in 0..1000 {
            insert(&recent, many, seed / 2, start);
        }
        let tenants = recent.tenants();
        let memory = &tenants.memories[&many];
        assert_eq!((memory.order.len(), memory.hashes.len()), (10, 5));
        assert!(memory.hashes.contains_key(&hash(499).original()) && tenants.memories[&few].hashes.len() == 1);
        drop(tenants);
        // Many frames are many.
        recent.insert(&mut recent.tenants(), many, views(600..607), start);
        let tenants = recent.tenants();
        assert_eq!((tenants.memories[&many].views, tenants.memories[&many].hashes.len()), (10, 4));
        assert_eq!(tenants.memories[&many].hashes[&hash(600).original()].1.len(), 7);
        drop(tenants);
        recent.insert(&mut recent.tenants(), many, views(700..711), start);
        assert_eq!(recent.tenants().memories[&many].views, 0, "more than all that may be remembered");
    }

    #[tokio::test]
    async fn what_nobody_asks_for_is_forgotten_too() {
        let recent = Arc::new(RecentHashes::new(Duration::from_millis(1), 10));
        recent.remember(TenantId::DEFAULT, views([1]));
        let give_up = Instant::now() + Duration::from_secs(60);
        while !recent.tenants().memories.is_empty() || recent.tenants().swept {
            assert!(Instant::now() < give_up, "it is kept");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for off in [RecentHashes::new(Duration::ZERO, 10), RecentHashes::new(KEEP, 0), RecentHashes::default()] {
            let off = Arc::new(off);
            off.remember(TenantId::DEFAULT, views([1]));
            assert_eq!(off.find(TenantId::DEFAULT, &hash(1).original()), None);
        }
    }
}
