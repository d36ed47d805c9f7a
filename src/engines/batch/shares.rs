//! What there is of something, and who has how much of it.

use std::collections::HashMap;

use super::flow::Flow;

/// Something that is limited (bytes of memory, places), shared between callers and their parties.
///
/// A caller that has some may have, all together, about three times as much as it leaves free, and a party of it as much as it leaves of what its caller may have, so that there is
/// always room for another one (dynamic thresholds: A. K. Choudhury, E. L. Hahne, IEEE/ACM Transactions on Networking 6(2), 1998). What is large may have three quarters of all;
/// what is small, all.
#[derive(Debug)]
pub struct Shares {
    all: u64,
    used: u64,
    used_by_large: u64,
    callers: HashMap<u64, Held>,
    parties: HashMap<Flow, Held>,
}

/// Whether something is large among its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Small,
    Large,
}

#[derive(Debug, Default)]
struct Held {
    amount: u64,
    pieces: usize,
}

impl Shares {
    /// Of so much.
    pub fn new(all: u64) -> Self {
        Self { all, used: 0, used_by_large: 0, callers: HashMap::new(), parties: HashMap::new() }
    }

    /// The most that what is large can ever have.
    pub fn most(&self) -> u64 {
        self.all - self.all / 4
    }

    /// That is not taken.
    pub fn free(&self) -> u64 {
        self.all.saturating_sub(self.used)
    }

    /// Whether so much is free for this flow now.
    pub fn fits(&self, flow: Flow, amount: u64, size: Size) -> bool {
        let free = match size {
            Size::Small => self.free(),
            Size::Large => self.free().min(self.most().saturating_sub(self.used_by_large)),
        };
        let within = |held: Option<&Held>, share: u64| held.is_none_or(|held| held.amount + amount <= share);
        let caller = self.callers.get(&flow.caller);
        let of_caller = free.saturating_mul(3);
        // What the caller may have yet, until it has three times as much as is free then.
        let room = of_caller.saturating_sub(caller.map_or(0, |held| held.amount)) / 4;
        amount <= free && within(self.parties.get(&flow), room) && within(caller, of_caller)
    }

    /// The same of something that its caller can do without: it leaves half of what its caller may have to what the caller needs.
    pub fn fits_beside(&self, flow: Flow, amount: u64, size: Size) -> bool {
        let held = self.callers.get(&flow.caller).map_or(0, |held| held.amount);
        // Three times as much as it leaves free.
        let may_have = (self.free() + held) - (self.free() + held) / 4;
        self.fits(flow, amount, size) && held + amount <= may_have / 2
    }

    /// What fits is taken.
    pub fn take(&mut self, flow: Flow, amount: u64, size: Size) {
        self.used += amount;
        self.used_by_large += if size == Size::Large { amount } else { 0 };
        for held in [self.callers.entry(flow.caller).or_default(), self.parties.entry(flow).or_default()] {
            held.amount += amount;
            held.pieces += 1;
        }
    }

    /// What was taken is given back, in the same pieces.
    pub fn give_back(&mut self, flow: Flow, amount: u64, size: Size) {
        self.used -= amount;
        self.used_by_large -= if size == Size::Large { amount } else { 0 };
        leave(&mut self.callers, flow.caller, amount);
        leave(&mut self.parties, flow, amount);
    }
}

fn leave<K: std::hash::Hash + Eq>(all: &mut HashMap<K, Held>, key: K, amount: u64) {
    if let Some(held) = all.get_mut(&key) {
        held.amount -= amount;
        held.pieces -= 1;
        if held.pieces == 0 {
            all.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(caller: u64, party: u64) -> Flow {
        Flow { caller, party }
    }

    /// How many pieces fit, one after the other.
    fn fill(shares: &mut Shares, flow: Flow, amount: u64, size: Size) -> usize {
        let mut pieces = 0;
        while shares.fits(flow, amount, size) {
            shares.take(flow, amount, size);
            pieces += 1;
        }
        pieces
    }

    #[test]
    fn a_party_leaves_as_much_as_it_has() {
        let mut shares = Shares::new(12);
        assert_eq!(fill(&mut shares, flow(1, 1), 1, Size::Large), 3, "half of three quarters of nine");
        assert_eq!(fill(&mut shares, flow(1, 2), 1, Size::Large), 2, "half of what is left of those");
        assert_eq!(fill(&mut shares, flow(1, 3), 1, Size::Large), 1);
        assert!(shares.fits(flow(2, 1), 3, Size::Large) && !shares.fits(flow(2, 1), 4, Size::Large));
        assert_eq!(fill(&mut shares, flow(2, 1), 1, Size::Small), 2, "half of three quarters of six");
        shares.give_back(flow(2, 1), 1, Size::Small);
        assert_eq!(shares.free(), 5);
    }

    #[test]
    fn a_caller_leaves_a_third_of_what_it_has() {
        let mut shares = Shares::new(16);
        let begun: usize = (0..20).map(|party| fill(&mut shares, flow(1, party), 1, Size::Small)).sum();
        assert_eq!(begun, 12);
        assert!(shares.fits(flow(2, 0), 4, Size::Small));
    }

    #[test]
    fn what_a_caller_can_do_without_leaves_half_of_what_it_may_have() {
        let mut shares = Shares::new(64);
        let mut beside = 0;
        for party in 0..8 {
            shares.take(flow(1, party), 1, Size::Small);
            while shares.fits_beside(flow(1, party), 1, Size::Small) {
                shares.take(flow(1, party), 1, Size::Small);
                beside += 1;
            }
        }
        assert_eq!((beside, shares.free()), (64 - 8 - shares.free(), 64 - 24 - 7), "the first fills a half, each further one has a place");
        assert!(shares.fits(flow(1, 9), 1, Size::Small) && shares.fits(flow(2, 0), 1, Size::Small));
    }

    #[test]
    fn one_may_have_all_and_what_is_small_has_its_quarter() {
        let mut shares = Shares::new(1000);
        assert!(shares.fits(flow(1, 1), 750, Size::Large) && !shares.fits(flow(1, 1), 751, Size::Large));
        shares.take(flow(1, 1), 750, Size::Large);
        assert!(!shares.fits(flow(2, 1), 1, Size::Large) && shares.fits(flow(2, 1), 250, Size::Small));
        shares.give_back(flow(1, 1), 750, Size::Large);
        assert!(shares.callers.is_empty() && shares.parties.is_empty());
        let mut two = Shares::new(2);
        assert_eq!(fill(&mut two, flow(1, 1), 1, Size::Small) + fill(&mut two, flow(1, 2), 1, Size::Large), 2, "calls of one key");
    }
}
