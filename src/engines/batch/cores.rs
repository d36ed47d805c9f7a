//! What everything that keeps a core busy shares.

use std::sync::Arc;

use super::turns::Turns;

/// So many things run at a time, of all lanes and batchers that were made with it. Clones are the same cores; the threads end with the last of them.
#[derive(Clone)]
pub struct Cores(Arc<Owner>);

struct Owner(Arc<Turns>);

impl Cores {
    /// So many, at least 1.
    pub fn new(count: usize) -> Self {
        Self(Arc::new(Owner(Turns::new(count))))
    }

    pub(super) fn turns(&self) -> &Arc<Turns> {
        &self.0.0
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Cores that this process may use.
pub fn count() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
