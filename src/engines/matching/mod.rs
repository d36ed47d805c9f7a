//! Which items of the banks lie within their radius of an attachment's hashes. Exact: recall is 1.0 by construction.
//!
//! A [`Snapshot`] is one tenant's banks as they were at one moment; a search never waits for a change of a bank and never sees half of
//! one. A changed bank is a new snapshot that shares all full chunks with the old one, so adding a hash copies at most one chunk.
//!
//! Exact digests are looked up in a hash table. PDQ hashes are scanned ([`PdqIndex`]): every hash of a bank is compared with all
//! variants of the attachment. [`linear`] is the plain oracle that the scan is held against.
//!
//! ```
//! use nightlight::{domain::hash::PdqHash, engines::matching::PdqIndex};
//! let (far, near) = (PdqHash::from_words([u64::MAX; 4]), PdqHash::from_words([0, 0, 0, 0b111]));
//! let index: PdqIndex = [(1, far), (2, near)].into_iter().collect();
//! let hits = index.search(&[PdqHash::default()], 31);
//! assert_eq!((hits.len(), hits[0].content_id, hits[0].distance), (1, 2, 3));
//! ```

mod pdq_index;
mod snapshot;

pub use pdq_index::{Hit, PdqIndex, linear};
pub use snapshot::{Bank, Snapshot};
