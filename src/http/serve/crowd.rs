//! Who goes when there is no room: the order of connections, without sockets and clocks.
//!
//! A connection is a stranger until somebody shows a valid key on it; from then on it is busy while a request with a key is under way, and idle
//! otherwise. Room is made by the stranger that has been quiet longest, of the address that has most strangers; addresses of trusted proxies come after all
//! others, and idle connections after all strangers. Busy ones are never asked to go.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv6Addr},
};

/// Where connections come from: an IPv4 address, or a network of 64 bits of IPv6, of which a single caller gets at least one (RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Origin {
    network: IpAddr,
    /// Stands for many callers.
    pub trusted: bool,
}

impl Origin {
    pub(super) fn new(address: IpAddr, trusted: bool) -> Self {
        let network = match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        };
        Self { network, trusted }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Stranger,
    Idle,
    Busy,
}

#[derive(Clone, Copy)]
struct Member {
    origin: Origin,
    standing: Standing,
    /// When it was last heard, as a number that grows.
    heard: u64,
}

/// All connections that have not been told to go.
#[derive(Default)]
pub(super) struct Crowd {
    clock: u64,
    members: BTreeMap<u64, Member>,
    /// By `heard`, so that the first is the longest quiet.
    strangers: HashMap<Origin, BTreeMap<u64, u64>>,
    /// Origins of strangers, the one to make room last: untrusted before trusted, more before fewer.
    ranking: BTreeSet<(bool, usize, Origin)>,
    busy: usize,
}

impl Crowd {
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) const fn busy(&self) -> usize {
        self.busy
    }

    /// A stranger comes.
    pub(super) fn enter(&mut self, id: u64, origin: Origin) {
        self.clock += 1;
        let member = Member { origin, standing: Standing::Stranger, heard: self.clock };
        self.members.insert(id, member);
        self.stand(id, member);
    }

    /// A connection goes; `false` when it had gone already.
    pub(super) fn leave(&mut self, id: u64) -> bool {
        let member = self.members.remove(&id);
        member.into_iter().for_each(|member| self.step_out(member));
        member.is_some()
    }

    /// A request came on a connection.
    pub(super) fn hear(&mut self, id: u64) {
        self.change(id, |standing| standing);
    }

    /// A valid key was shown: it is busy, unless `most` others are.
    pub(super) fn engage(&mut self, id: u64, most: usize) -> bool {
        match self.members.get(&id) {
            None | Some(Member { standing: Standing::Busy, .. }) => return true,
            Some(_) if self.busy >= most => return false,
            Some(_) => {}
        }
        self.change(id, |_| Standing::Busy);
        true
    }

    /// Its last request has ended.
    pub(super) fn rest(&mut self, id: u64) {
        self.change(id, |standing| if standing == Standing::Busy { Standing::Idle } else { standing });
    }

    pub(super) fn strangers_of(&self, origin: Origin) -> usize {
        self.strangers.get(&origin).map_or(0, BTreeMap::len)
    }

    /// The stranger of this origin that has been quiet longest.
    pub(super) fn quietest_of(&self, origin: Origin) -> Option<u64> {
        self.strangers.get(&origin)?.first_key_value().map(|(_, id)| *id)
    }

    /// Who makes room.
    pub(super) fn quietest(&self) -> Option<u64> {
        let stranger = self.ranking.last().and_then(|(_, _, origin)| self.quietest_of(*origin));
        stranger.or_else(|| self.quietest_idle())
    }

    /// Sought among all of them, which is rare: in no order, because each request makes its connection busy, and idle again.
    fn quietest_idle(&self) -> Option<u64> {
        let idle = self.members.iter().filter(|(_, member)| member.standing == Standing::Idle);
        idle.min_by_key(|(_, member)| member.heard).map(|(id, _)| *id)
    }

    /// Everybody's id.
    pub(super) fn ids(&self) -> impl Iterator<Item = u64> + '_ {
        self.members.keys().copied()
    }

    /// It was heard, and stands elsewhere perhaps.
    fn change(&mut self, id: u64, to: impl FnOnce(Standing) -> Standing) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let before = *member;
        self.clock += 1;
        (member.standing, member.heard) = (to(before.standing), self.clock);
        let after = *member;
        self.step_out(before);
        self.stand(id, after);
    }

    fn stand(&mut self, id: u64, Member { origin, standing, heard }: Member) {
        match standing {
            Standing::Stranger => self.with_strangers(origin, |strangers| {
                strangers.insert(heard, id);
            }),
            Standing::Idle => {}
            Standing::Busy => self.busy += 1,
        }
    }

    fn step_out(&mut self, Member { origin, standing, heard }: Member) {
        match standing {
            Standing::Stranger => self.with_strangers(origin, |strangers| {
                strangers.remove(&heard);
            }),
            Standing::Idle => {}
            Standing::Busy => self.busy -= 1,
        }
    }

    /// Changes the strangers of an origin, and its rank with them.
    fn with_strangers(&mut self, origin: Origin, change: impl FnOnce(&mut BTreeMap<u64, u64>)) {
        let strangers = self.strangers.entry(origin).or_default();
        self.ranking.remove(&(!origin.trusted, strangers.len(), origin));
        change(strangers);
        match strangers.len() {
            0 => {
                self.strangers.remove(&origin);
            }
            count => {
                self.ranking.insert((!origin.trusted, count, origin));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Origin::new(text.parse().unwrap(), text.starts_with("127."))
    }

    /// Lets everybody go, in the order in which they make room.
    fn order(mut crowd: Crowd) -> Vec<u64> {
        std::iter::from_fn(|| {
            let id = crowd.quietest()?;
            assert!(crowd.leave(id) && !crowd.leave(id));
            Some(id)
        })
        .collect()
    }

    #[test]
    fn the_quietest_of_the_largest_crowd_goes_first() {
        let mut crowd = Crowd::default();
        for (id, address) in [(1, "10.0.0.1"), (2, "10.0.0.2"), (3, "10.0.0.2"), (4, "10.0.0.2"), (5, "127.0.0.1"), (6, "127.0.0.1")] {
            crowd.enter(id, origin(address));
        }
        crowd.hear(2);
        assert_eq!(crowd.strangers_of(origin("10.0.0.2")), 3);
        assert_eq!(order(crowd), [3, 4, 2, 1, 5, 6], "a proxy's come last");
    }

    #[test]
    fn who_has_shown_a_key_goes_after_strangers_and_never_while_it_works() {
        let mut crowd = Crowd::default();
        for id in 1..=4 {
            crowd.enter(id, origin("10.0.0.1"));
        }
        assert!(crowd.engage(1, 2) && crowd.engage(1, 2) && crowd.engage(2, 2));
        assert!(!crowd.engage(3, 2), "two are busy already");
        assert_eq!((crowd.len(), crowd.busy()), (4, 2));
        crowd.rest(1);
        assert!(crowd.engage(3, 2));
        crowd.rest(3);
        crowd.hear(1);
        assert_eq!(order(crowd), [4, 3, 1], "2 still works");
    }

    #[test]
    fn one_caller_is_one_origin() {
        assert_eq!(origin("::ffff:10.0.0.1"), origin("10.0.0.1"));
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:0:0:1"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_ne!(origin("10.0.0.1"), origin("10.0.0.2"));
    }

    #[test]
    fn nothing_is_left_of_those_who_went() {
        let mut crowd = Crowd::default();
        for id in 0..100 {
            crowd.enter(id, origin(&format!("10.0.0.{}", id % 7)));
            if id % 3 == 0 {
                assert!(crowd.engage(id, 100));
            }
            if id % 2 == 0 {
                crowd.rest(id);
            }
        }
        for id in crowd.ids().collect::<Vec<_>>() {
            assert!(crowd.leave(id));
        }
        crowd.hear(5);
        crowd.rest(5);
        assert!(crowd.engage(5, 0), "who was told to go is not refused as well");
        assert_eq!((crowd.len(), crowd.busy(), crowd.strangers.len(), crowd.ranking.len()), (0, 0, 0, 0));
    }
}
