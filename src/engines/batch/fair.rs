//! What waits, in the order in which it is done.
//!
//! Start-time fair queueing on two levels (P. Goyal, H. M. Vin, H. Cheng, "Start-time Fair Queuing", SIGCOMM 1996): next is the caller that was served least, and of it the
//! party that was served least; what somebody did not use while nothing of theirs waited is not saved up, but for about one item, so that a newcomer comes before those who have had a
//! slice and wait for another. What an item costs is known only when it is done, so that it is charged a guess when it begins, and the truth when it ends. Items that are done
//! together move the clock once.
//!
//! A clock says what somebody who was always served his share would have had by now (the virtual time of weighted fair queueing: A. Demers, S. Keshav, S. Shenker, "Analysis and
//! Simulation of a Fair Queueing Algorithm", SIGCOMM 1989). Newcomers without end, each a party of its own, do not stop it: so nobody waits for ever behind them.

use std::collections::VecDeque;

use super::flow::Flow;

/// Typical items that somebody may be behind the clock whose work waited for something else than its turn (a place in its line, memory): no more is made up for.
const MOST_BEHIND: u64 = 64;
/// Parties that are remembered while nothing of theirs waits.
const MOST_IDLE: usize = 1024;
/// A guess follows the last costs by one part in this many.
const SLOWLY: u64 = 8;

/// What something cost lately.
#[derive(Clone, Copy)]
pub(super) struct Typical(u64);

impl Default for Typical {
    fn default() -> Self {
        Self(1)
    }
}

impl Typical {
    /// At least 1.
    pub const fn get(self) -> u64 {
        self.0
    }

    pub fn follow(&mut self, cost: u64) {
        self.0 = (self.0 - self.0 / SLOWLY + cost / SLOWLY).max(1);
    }
}

/// A queue of items that belong to flows.
pub(super) struct Fair<T> {
    callers: Shares<Shares<VecDeque<T>>>,
    len: usize,
    /// Of an item.
    typical: Typical,
}

/// An item that has begun, to be settled when it is done.
#[derive(Clone, Copy)]
pub(super) struct Begun {
    flow: Flow,
    guess: u64,
}

impl Begun {
    /// Whose item it is.
    pub fn flow(&self) -> Flow {
        self.flow
    }
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self { callers: Shares::default(), len: 0, typical: Typical::default() }
    }
}

impl<T> Fair<T> {
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.callers.members.iter().flat_map(|caller| &caller.work.members).flat_map(|party| &party.work)
    }

    pub fn push(&mut self, flow: Flow, item: T) {
        let ahead = self.typical.get();
        let caller = self.callers.waiting(flow.caller, ahead);
        caller.work.waiting(flow.party, ahead).work.push_back(item);
        self.len += 1;
    }

    /// Takes out what is not to be kept.
    pub fn take_unless(&mut self, keep: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for caller in &mut self.callers.members {
            for party in &mut caller.work.members {
                let (kept, gone): (VecDeque<T>, VecDeque<T>) = std::mem::take(&mut party.work).into_iter().partition(&keep);
                party.work = kept;
                party.waits -= gone.len();
                caller.waits -= gone.len();
                self.len -= gone.len();
                taken.extend(gone);
            }
        }
        taken
    }

    /// The next item of those that `fits` says yes to; the others are passed over, also by those behind them: what waits may wait for what stands there. `guess` says what
    /// it may cost.
    pub fn pop(&mut self, guess: impl Fn(&T) -> u64, fits: impl Fn(&T) -> bool) -> Option<(T, Begun)> {
        let (at, within) = self.next(&fits)?;
        let waiting = &self.callers.members[at].work.members[within].work;
        let place = waiting.iter().position(fits)?;
        let guess = guess(&waiting[place]);
        let behind = self.typical.get().saturating_mul(MOST_BEHIND);
        let caller = self.callers.begin(at, guess, behind);
        let name = caller.name;
        let party = caller.work.begin(within, guess, behind);
        let begun = Begun { flow: Flow { caller: name, party: party.name }, guess };
        let item = party.work.remove(place)?;
        self.len -= 1;
        Some((item, begun))
    }

    /// The caller and the party that are next.
    fn next(&self, fits: impl Fn(&T) -> bool) -> Option<(usize, usize)> {
        let party = |caller: &Member<Shares<VecDeque<T>>>| caller.work.next(|party| party.work.iter().any(&fits));
        let at = self.callers.next(|caller| party(caller).is_some())?;
        Some((at, party(&self.callers.members[at])?))
    }

    /// What items that were done together have cost, each.
    pub fn settle(&mut self, done: &[(Begun, u64)]) {
        for (_, cost) in done {
            self.typical.follow(*cost);
        }
        self.charge(done);
    }

    /// The item was not done after all. It cost nothing, which says nothing of what others cost.
    pub fn give_up(&mut self, begun: Begun) {
        self.charge(&[(begun, 0)]);
    }

    fn charge(&mut self, done: &[(Begun, u64)]) {
        let ahead = self.typical.get();
        // Of those who are served together, none is served before the clock goes on.
        self.callers.pass(done.iter().map(|(_, cost)| cost).sum());
        for (Begun { flow, .. }, cost) in done {
            self.callers.member(flow.caller).work.pass(*cost);
        }
        for (Begun { flow, guess }, cost) in done {
            let caller = self.callers.settle(flow.caller, *guess, *cost);
            caller.work.settle(flow.party, *guess, *cost);
            caller.work.forget(ahead);
        }
        self.callers.forget(ahead);
    }
}

/// Members that share something alike.
struct Shares<W> {
    /// What somebody would have been served with who was always there.
    clock: u64,
    turn: u64,
    members: Vec<Member<W>>,
}

struct Member<W> {
    name: u64,
    served: u64,
    /// When it was served last; of equals the one that waits longest is next.
    turn: u64,
    /// Items that wait, and that have begun.
    waits: usize,
    begun: usize,
    work: W,
}

impl<W> Member<W> {
    fn is_active(&self) -> bool {
        self.waits + self.begun > 0
    }
}

impl<W> Default for Shares<W> {
    fn default() -> Self {
        Self { clock: 0, turn: 0, members: Vec::new() }
    }
}

impl<W: Default> Shares<W> {
    fn member(&mut self, name: u64) -> &mut Member<W> {
        let at = self.members.iter().position(|member| member.name == name).unwrap_or_else(|| {
            self.members.push(Member { name, served: 0, turn: 0, waits: 0, begun: 0, work: W::default() });
            self.members.len() - 1
        });
        &mut self.members[at]
    }

    /// The member, which has one more item. One that had none comes so much before who was served his share.
    fn waiting(&mut self, name: u64, ahead: u64) -> &mut Member<W> {
        let from = self.clock.saturating_sub(ahead);
        let member = self.member(name);
        if member.waits == 0 {
            member.served = member.served.max(from);
        }
        member.waits += 1;
        member
    }

    /// Of those with something that fits, the one that was served least.
    fn next(&self, fits: impl Fn(&Member<W>) -> bool) -> Option<usize> {
        let waiting = self.members.iter().enumerate().filter(|(_, member)| member.waits > 0 && fits(member));
        waiting.min_by_key(|(_, member)| (member.served, member.turn)).map(|(at, _)| at)
    }

    fn begin(&mut self, at: usize, guess: u64, behind: u64) -> &mut Member<W> {
        self.turn += 1;
        let member = &mut self.members[at];
        member.served = member.served.max(self.clock.saturating_sub(behind));
        self.clock = self.clock.max(member.served);
        member.served = member.served.saturating_add(guess);
        member.turn = self.turn;
        member.waits -= 1;
        member.begun += 1;
        member
    }

    /// Moves the clock: so much was served to somebody.
    fn pass(&mut self, cost: u64) {
        let active = self.members.iter().filter(|member| member.is_active()).count();
        self.clock = self.clock.saturating_add(cost / active.max(1) as u64);
    }

    fn settle(&mut self, name: u64, guess: u64, cost: u64) -> &mut Member<W> {
        let member = self.member(name);
        member.served = member.served.saturating_sub(guess).saturating_add(cost);
        member.begun = member.begun.saturating_sub(1);
        member
    }

    /// Who has nothing waiting and no debt is as good as new.
    fn forget(&mut self, ahead: u64) {
        let from = self.clock.saturating_sub(ahead);
        self.members.retain(|member| member.is_active() || member.served > from);
        if self.members.len() > MOST_IDLE {
            self.members.retain(Member::is_active);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(caller: u64, party: u64) -> Flow {
        Flow { caller, party }
    }

    /// Does everything that waits, each item at the cost that it names, and says in which order.
    fn order(queue: &mut Fair<(char, u64)>) -> String {
        let mut order = String::new();
        while let Some(((name, cost), begun)) = queue.pop(|_| 1, |_| true) {
            queue.settle(&[(begun, cost)]);
            order.push(name);
        }
        order
    }

    #[test]
    fn who_was_served_least_is_next() {
        let mut queue = Fair::default();
        for _ in 0..3 {
            queue.push(flow(1, 1), ('a', 10));
            queue.push(flow(1, 2), ('b', 1));
        }
        // A guess grows with what things cost.
        assert_eq!(order(&mut queue), "abbbaa");
        assert!(queue.is_empty() && queue.callers.members.iter().all(|caller| caller.waits == 0));
    }

    #[test]
    fn callers_share_before_their_parties_do() {
        let mut queue = Fair::default();
        for party in 0..6 {
            queue.push(flow(1, party), ('a', 5));
        }
        queue.push(flow(2, 0), ('b', 5));
        queue.push(flow(2, 0), ('c', 5));
        assert_eq!(order(&mut queue), "abacaaaa", "six accounts of one key have no more than one of another");
    }

    #[test]
    fn a_newcomer_comes_before_who_has_had_a_slice_and_saves_nothing_up() {
        let mut queue = Fair::default();
        let heavy: Vec<Flow> = (0..4).map(|party| flow(1, party)).collect();
        heavy.iter().for_each(|flow| queue.push(*flow, ('h', 100)));
        for flow in &heavy {
            let ((_, cost), begun) = queue.pop(|_| 1, |_| true).unwrap();
            queue.settle(&[(begun, cost)]);
            queue.push(*flow, ('h', 100));
        }
        queue.push(flow(1, 99), ('l', 1));
        assert_eq!(order(&mut queue), "lhhhh");
        // It was away while the others were served: it is next, but not for as long as they were.
        (0..4).for_each(|_| queue.push(flow(1, 99), ('l', 100)));
        (0..4).for_each(|_| queue.push(flow(1, 0), ('h', 100)));
        let order = order(&mut queue);
        assert!(order.starts_with("lh") || order.starts_with("llh"), "{order}");
    }

    /// Calls without an account are parties that come once; however many come, an account that was served a moment ago has its turn.
    #[test]
    fn newcomers_without_end_do_not_starve_an_account() {
        let mut queue = Fair::default();
        let mut newcomer = 100;
        let mut serve = |queue: &mut Fair<(char, u64)>| {
            for _ in 0..4 {
                newcomer += 1;
                queue.push(flow(1, newcomer), ('n', 10));
            }
            let ((name, cost), begun) = queue.pop(|_| 1, |_| true).unwrap();
            queue.settle(&[(begun, cost)]);
            // Those that find no place go away.
            queue.take_unless(|(name, _)| *name != 'n');
            name
        };
        for _ in 0..50 {
            serve(&mut queue);
        }
        for _ in 0..10 {
            queue.push(flow(1, 1), ('a', 10));
            let waited = (0..100).take_while(|_| serve(&mut queue) != 'a').count();
            assert!(waited < 20, "{waited} came before it");
        }
    }

    #[test]
    fn what_has_begun_counts_before_it_is_done() {
        let mut queue = Fair::default();
        queue.push(flow(1, 1), ('a', 50));
        queue.push(flow(1, 1), ('b', 50));
        queue.push(flow(1, 2), ('c', 50));
        let names: Vec<char> = std::iter::from_fn(|| queue.pop(|_| 50, |_| true)).map(|((name, _), _)| name).collect();
        assert_eq!(names, ['a', 'c', 'b'], "two workers take of two parties");
    }

    #[test]
    fn what_does_not_fit_is_passed_over() {
        let mut queue = Fair::default();
        for (party, name, cost) in [(1, 'a', 9), (1, 'b', 1), (2, 'c', 1)] {
            queue.push(flow(1, party), (name, cost));
        }
        let small = |queue: &mut Fair<(char, u64)>| queue.pop(|_| 1, |(_, cost)| *cost < 9).map(|((name, _), _)| name);
        assert_eq!((small(&mut queue), small(&mut queue), small(&mut queue)), (Some('b'), Some('c'), None));
        assert_eq!(order(&mut queue), "a");
    }

    /// What had its turn and no place does not come before everything else for as long as it was passed over.
    #[test]
    fn who_was_passed_over_makes_up_for_a_little() {
        let mut queue = Fair::default();
        (0..1000).for_each(|_| queue.push(flow(1, 1), ('b', 10)));
        for _ in 0..5000 {
            queue.push(flow(2, 1), ('t', 10));
            let ((_, cost), begun) = queue.pop(|_| 1, |(name, _)| *name == 't').unwrap();
            queue.settle(&[(begun, cost)]);
        }
        (0..1000).for_each(|_| queue.push(flow(2, 1), ('t', 10)));
        let order = order(&mut queue);
        let first = order.find('t').unwrap();
        assert!(first <= MOST_BEHIND as usize + 2, "{first} came before it");
    }

    #[test]
    fn those_who_left_are_forgotten() {
        let mut queue = Fair::default();
        for party in 0..5000 {
            queue.push(flow(party, party), ('a', 1));
            let ((_, cost), begun) = queue.pop(|_| 1, |_| true).unwrap();
            queue.settle(&[(begun, cost)]);
        }
        assert!(queue.callers.members.len() <= MOST_IDLE + 1, "{}", queue.callers.members.len());
        queue.push(flow(1, 1), ('a', 1));
        queue.push(flow(1, 1), ('b', 1));
        let gone: Vec<char> = queue.take_unless(|(name, _)| *name == 'b').into_iter().map(|(name, _)| name).collect();
        assert_eq!((gone.as_slice(), queue.len, order(&mut queue).as_str()), (&['a'][..], 1, "b"));
    }
}
