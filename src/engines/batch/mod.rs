//! Bounded queues and dynamic batching in front of anything that works on many items at once, and whose turn it is at the processor.
//!
//! A [`Batcher`] owns worker threads, each with a function of its own (a GPU device, a model session: things that one thread must
//! own). Callers [`submit`](Batcher::submit) one item and await its result; a worker takes what waits, at most `max_batch`, and
//! calls its function once. With several workers a worker leaves the others their share, because a batch on one CPU session while
//! another idles only adds waiting. A [`Lane`] runs closures on threads of any kind. Every queue has a bound: a full one is an answer ([`BatchError::Full`]), never a growing heap.
//! Items whose caller has gone away (deadline, closed connection) are dropped before work is spent on them.
//!
//! No more of them run than there are [`Cores`]. Items are not served in the order in which they came but so that all who send them get alike, whatever they send: see [`Flow`].
//! That is worth as much as items are small, so what may be long gives way ([`pace`](crate::domain::pace)), or is submitted in slices, the next one when the last is done.
//!
//! ```
//! # use nightlight::engines::batch::{BatchOptions, Batcher, Cores};
//! # use std::time::Duration;
//! let options = BatchOptions { max_batch: 8, max_wait: Duration::ZERO, queue: 64 };
//! let squares = Batcher::spawn(&Cores::new(2), "squares", options, vec![Box::new(|items: Vec<u32>| items.iter().map(|x| x * x).collect())]).unwrap();
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! assert_eq!(squares.submit(7).await.unwrap(), 49);
//! # });
//! ```

mod batcher;
mod cores;
mod fair;
mod flow;
mod lane;
mod line;
mod memory;
mod shares;
mod turn;
mod turns;

pub use batcher::{BatchOptions, Batcher, Weight, Work};
pub use cores::{Cores, count as cores};
pub use flow::Flow;
pub use lane::Lane;
pub use memory::Memory;
pub use shares::{Shares, Size};

/// Why an item has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("the queue is full; try again later")]
    Full,
    #[error("the worker failed on this batch; see the log")]
    Failed,
    #[error("the workers have stopped")]
    Stopped,
}
