//! Which items of the banks lie within their radius of an attachment's hashes. Exact: recall is 1.0 by construction.
//!
//! A [`Snapshot`] is one tenant's banks as they were at one moment; a search never waits for a change of a bank and never sees half of
//! one. A changed bank is a new snapshot that shares all but its newest hashes with the old one.
//!
//! Exact digests are looked up in a hash table. PDQ hashes are searched by [`PdqIndex`], on the processor, or by [`GpuScan`], on the device. [`linear`]
//! is the plain oracle that both are held against.
//!
//! ```
//! use nightlight::{domain::hash::PdqHash, engines::matching::PdqIndex};
//! let (far, near) = (PdqHash::from_words([u64::MAX; 4]), PdqHash::from_words([0, 0, 0, 0b111]));
//! let index: PdqIndex = [(1, far), (2, near)].into_iter().collect();
//! let hits = index.search(&[PdqHash::default()], 31);
//! assert_eq!((hits.len(), hits[0].content_id, hits[0].distance), (1, 2, 3));
//! ```
//!
//! # Multi-index hashing
//! Every hash is cut into keys, 16 of 16 bits in short segments, 12 of 21 or 11 of 23 bits in long ones, and for each key a table tells which hashes have which value (Norouzi, Punjani, Fleet: Fast exact
//! search in Hamming space with multi-index hashing, PAMI 2014). A search opens some buckets of some tables and compares the query with what is in them.
//!
//! **Why nothing escapes.** Let a query have radius R, and give key i a threshold t(i) >= -1 such that the sum of all t(i) + 1 is at least R + 1. For each
//! key the search opens every bucket whose value differs from the query's in at most t(i) bits (none for -1). Suppose a hash is in none of them. Then it
//! differs from the query in at least t(i) + 1 bits of every key i. Keys are disjoint parts of the hash, so it differs in at least the sum of t(i) + 1, that is
//! in at least R + 1 bits: it is outside the radius. Hence every hash within the radius is a candidate, and each candidate is compared in full (Qin et al.,
//! GPH, ICDE 2018, call this the general pigeonhole principle). Nothing is asked of the data, of the cut, or of how the thresholds were chosen; a small
//! segment may use some bits of its keys only, because then the keys are still disjoint.
//!
//! So the thresholds are free to follow the data. At R = 31, threshold 1 for all of 16 keys is one choice, 272 buckets; 2 for ten of 11 keys and 1 for the last is another, 2,794 buckets, but of ten
//! million hashes they hold 3,300 where those 272 would hold 41,500. Each segment takes the cheapest plan for each query, by the sizes of the buckets around it, and scans instead where
//! that is cheaper still (large radii, featureless pictures whose hashes fill one bucket): a search never costs much more than a scan.
//!
//! **The cut** takes the bits of a key from all over the 16 x 16 coefficients, which makes the buckets more even than whole rows do: searches in correlated, clustered banks take 0.65 of the time with a
//! million hashes, half of it with ten.
//!
//! # Changes
//! New hashes go to a tail that is scanned. When the tail is long enough it becomes an indexed segment, and segments of similar length are merged, so that
//! there are few and each hash is moved a logarithmic number of times: a merge is made of a snapshot, beside the updates, and taken over in a moment ([`Bank::merge`]). Disabling and removing set a bit beside a segment, which is asked for hits only. All
//! parts are shared between snapshots until they change.
//!
//! # On disk
//! A segment can be written and read as it stands ([`Bank::write_segment`], [`StoredBank`]), so that a server starts without building anything. [`conformance`] holds every type of
//! signals to one set of laws, this one included.

mod bank;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod digests;
mod embedding;
mod gpu;
mod heads;
mod hit;
mod ids;
mod index;
mod keys;
mod kind;
mod lookup;
mod merge;
mod packed;
mod pages;
mod pdq;
mod photodna;
pub mod plain;
mod plan;
mod rows;
mod segment;
mod signals;
mod simd;
mod snapshot;
mod states;
mod stored;
mod stored_bank;
#[cfg(test)]
mod stored_tests;
#[cfg(test)]
mod tests;

pub use bank::{Bank, BankMerge};
pub use gpu::{GpuScan, Pair};
pub use hit::{Hit, linear};
pub use index::{Reach, Sizes};
pub use lookup::{BankMask, Draw, Found, Lookup, Refusals};
pub use pdq::PdqIndex;
pub use signals::{AnyMerge, SignalHit, SignalIndex, distance, index_for, sized_index_for};
pub use snapshot::{Slice, Snapshot};
pub use stored::{Output, SegmentId, Unreadable};
pub use stored_bank::{Open, StoredBank};
