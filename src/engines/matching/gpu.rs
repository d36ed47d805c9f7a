//! Brute force on the device: every hash against every query, hits compacted.
//!
//! Hashes stay on the device in shards, each one binding at most, and are only ever appended to. A recording scans one shard for as many queries as it
//! likes and brings back the pairs within each query's radius. If there are more pairs than room, the device still counts them, and the scan is repeated
//! with more room, or in halves where a binding has no more, so the answer is always complete.
//!
//! The device knows hashes and nothing else. Which of them are in force is decided by the [`PdqIndex`] that the caller searches: the device names
//! candidates, the index confirms them. So the same snapshot gives the same answer on both backends, and a device that already holds more than the
//! snapshot does no harm.

use std::sync::Arc;

use super::{Hit, PdqIndex};
use crate::{
    domain::hash::PdqHash,
    engines::gpu::{Gpu, GpuError, JOB_WORDS, Job, Recording, Resident, Stage},
};

/// Words of a hash.
const WORDS: usize = PdqHash::BITS as usize / 32;
/// Hashes whose words lie together, and queries of one job: the invocations of a workgroup.
const TILE: usize = 256;
/// Words of a query: the hash and its radius.
const QUERY_WORDS: usize = WORDS + 1;
/// Words of a pair.
const PAIR_WORDS: usize = 3;
/// Hashes of the smallest shard: 2 MiB.
const SMALLEST: usize = 1 << 16;
/// Pairs that one recording compares at most: some milliseconds of a graphics card, so that image work gets its turn, and seconds of a software adapter,
/// below its timeout.
const COMPARISONS: usize = 1 << 28;
/// Pairs that a recording first has room for, 768 KiB to bring back.
const ROOM: usize = 1 << 16;

/// A hash within the radius of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// Its number among the queries.
    pub query: u32,
    /// Its number among the hashes.
    pub hash: u32,
    /// In bits.
    pub distance: u32,
}

/// Hashes on the device.
#[derive(Debug)]
pub struct GpuScan {
    gpu: Arc<Gpu>,
    shards: Vec<Shard>,
    /// Pairs that a recording has room for.
    room: usize,
}

#[derive(Debug)]
struct Shard {
    resident: Arc<Resident>,
    content_ids: Vec<i64>,
    /// The words of the last tile, if it is not full.
    last: Vec<u32>,
}

/// A hash as the device reads it.
fn words(hash: &PdqHash) -> [u32; WORDS] {
    std::array::from_fn(|at| (hash.words()[at / 2] >> (32 * (at % 2))) as u32)
}

impl Shard {
    fn capacity(&self) -> usize {
        self.resident.words() as usize / WORDS
    }

    /// Uploads hashes, and again those of the last tile.
    fn append(&mut self, gpu: &Gpu, items: &[(i64, PdqHash)]) -> Result<(), GpuError> {
        let (held, first) = (self.content_ids.len(), self.content_ids.len() / TILE * TILE * WORDS);
        let mut tiles = std::mem::take(&mut self.last);
        tiles.resize(((held % TILE + items.len()).div_ceil(TILE)) * TILE * WORDS, 0);
        for (at, (_, hash)) in (held % TILE..).zip(items) {
            for (word, value) in words(hash).into_iter().enumerate() {
                tiles[at / TILE * TILE * WORDS + word * TILE + at % TILE] = value;
            }
        }
        gpu.write_resident(&self.resident, first as u32, &tiles)?;
        self.content_ids.extend(items.iter().map(|(content_id, _)| content_id));
        let full = self.content_ids.len() / TILE * TILE * WORDS - first;
        self.last = tiles.split_off(full);
        Ok(())
    }
}

impl GpuScan {
    /// Nothing on the device yet.
    pub fn new(gpu: Arc<Gpu>) -> Self {
        Self { gpu, shards: Vec::new(), room: ROOM }
    }

    /// The same with room for this many pairs at first; for tests, which want to see scans repeated.
    pub fn with_room(gpu: Arc<Gpu>, room: usize) -> Self {
        Self { room: room.max(1), ..Self::new(gpu) }
    }

    /// Hashes on the device.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.content_ids.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Uploads hashes; those that are there already stay where they are.
    ///
    /// # Errors
    /// Any of the device's; then some of the hashes may be missing, so drop the scan.
    pub fn extend(&mut self, mut items: &[(i64, PdqHash)]) -> Result<(), GpuError> {
        while !items.is_empty() {
            if self.shards.last().is_none_or(|shard| shard.content_ids.len() == shard.capacity()) {
                // As many again as there are: few shards, and no more than half of the memory unused.
                let most = self.gpu.limits().resident_words as usize / (TILE * WORDS) * TILE;
                let wanted = items.len().max(self.len()).max(SMALLEST).next_multiple_of(TILE).min(most);
                let resident = self.gpu.resident((wanted * WORDS) as u32)?; // at most `resident_words`
                self.shards.push(Shard { resident, content_ids: Vec::new(), last: Vec::new() });
            }
            let Some(shard) = self.shards.last_mut() else { break };
            let (now, later) = items.split_at(items.len().min(shard.capacity() - shard.content_ids.len()));
            shard.append(&self.gpu, now)?;
            items = later;
        }
        Ok(())
    }

    /// What `PdqIndex::search_many` answers, found by the device. It must hold at least the hashes of the index.
    ///
    /// # Errors
    /// Any of the device's; the index gives the same answer without it.
    pub fn search_many(&self, index: &PdqIndex, queries: &[(PdqHash, u32)]) -> Result<Vec<Vec<Hit>>, GpuError> {
        let mut candidates = vec![Vec::new(); queries.len()];
        for shard in &self.shards {
            for pair in self.pairs(shard, queries)? {
                candidates[pair.query as usize].push(shard.content_ids[pair.hash as usize]);
            }
        }
        let confirm = |(mut content_ids, (hash, radius)): (Vec<i64>, &(PdqHash, u32))| {
            content_ids.sort_unstable();
            content_ids.dedup();
            let mut hits: Vec<Hit> = content_ids.into_iter().filter_map(|content_id| index.nearest(content_id, hash, *radius)).collect();
            hits.sort_unstable();
            hits
        };
        Ok(candidates.into_iter().zip(queries).map(confirm).collect())
    }

    /// Every pair of a hash (numbered over all shards) and a query within its radius, by query, then hash.
    ///
    /// # Errors
    /// Any of the device's.
    pub fn hamming_scan(&self, queries: &[(PdqHash, u32)]) -> Result<Vec<Pair>, GpuError> {
        let (mut pairs, mut first) = (Vec::new(), 0);
        for shard in &self.shards {
            pairs.extend(self.pairs(shard, queries)?.into_iter().map(|pair| Pair { hash: pair.hash + first, ..pair }));
            first += shard.content_ids.len() as u32;
        }
        pairs.sort_unstable();
        Ok(pairs)
    }

    /// All pairs of a shard, in slices.
    fn pairs(&self, shard: &Shard, queries: &[(PdqHash, u32)]) -> Result<Vec<Pair>, GpuError> {
        let (mut pairs, len) = (Vec::new(), shard.content_ids.len());
        let most_room = (self.gpu.limits().binding_words as usize - 1) / PAIR_WORDS;
        // So few queries that all pairs of one tile fit, and halving ends.
        let asked = (most_room.min(COMPARISONS) / TILE).max(1);
        for (group, queries) in queries.chunks(asked).enumerate() {
            let most = (COMPARISONS / queries.len() / TILE).max(1) * TILE;
            // Slices still to scan, the next one last: first hash (of a tile) and number.
            let mut slices: Vec<(usize, usize)> = (0..len).step_by(most).map(|first| (first, most.min(len - first))).rev().collect();
            let mut room = self.room;
            while let Some((first, count)) = slices.pop() {
                let (found, got) = self.slice(shard, (first, count), queries, room)?;
                if found <= got.len() {
                    pairs.extend(got.into_iter().map(|pair| Pair { query: pair.query + (group * asked) as u32, ..pair }));
                } else if found <= most_room {
                    room = found;
                    slices.push((first, count));
                } else {
                    let half = (count / 2).next_multiple_of(TILE);
                    slices.extend([(first + half, count - half), (first, half)]);
                }
            }
        }
        Ok(pairs)
    }

    /// How many pairs a slice has, and as many of them as there is room for.
    fn slice(
        &self,
        shard: &Shard,
        (first, count): (usize, usize),
        queries: &[(PdqHash, u32)],
        room: usize,
    ) -> Result<(usize, Vec<Pair>), GpuError> {
        let mut recording = Recording::over(self.gpu.limits(), &shard.resident);
        let table: Vec<u32> = queries.iter().flat_map(|(hash, radius)| words(hash).into_iter().chain([*radius])).collect();
        let table = recording.table(&table)?;
        let hits = recording.work((1 + room * PAIR_WORDS) as u64)?;
        let job = |number: usize, hashes: usize| -> Job {
            let asked = TILE.min(queries.len() - number);
            let mut job = [0; JOB_WORDS];
            let queries_at = table + (number * QUERY_WORDS) as u32;
            job[..7].copy_from_slice(&[
                (first / TILE) as u32,
                hashes as u32,
                queries_at,
                asked as u32,
                number as u32,
                hits.first,
                room as u32,
            ]);
            job
        };
        recording.dispatch(Stage::HammingScan, &[job(0, 0)], 1)?;
        let jobs: Vec<Job> = (0..queries.len()).step_by(TILE).map(|number| job(number, count)).collect();
        recording.dispatch(Stage::HammingScan, &jobs, count as u64)?;
        let download = recording.download(hits);
        let finished = self.gpu.run(&recording)?;
        let words = finished.words(download);
        let found = words[0] as usize;
        let pair = |words: &[u32]| Pair { hash: words[0], query: words[1], distance: words[2] };
        Ok((found, words[1..].chunks_exact(PAIR_WORDS).take(found).map(pair).collect()))
    }
}
