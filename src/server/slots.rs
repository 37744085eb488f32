//! The slots of a port: how many connections may be open, and which go when there is no slot for another.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::grpc::Peer;

/// A full port frees one of so many slots at a time, so that its connections are not looked through for each new one.
const SLOTS_PER_EVICTION: usize = 64;

/// The slots of a port, or those for TLS handshakes.
#[derive(Debug)]
pub struct Slots {
    most: usize,
    evicts: Evicts,
    taken: Mutex<Taken>,
}

/// Which connections may have to go for a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evicts {
    /// Connections that have no call and have not shown who they are.
    IdleStrangers,
    /// All, but idle strangers before others.
    Anybody,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// The peers by the number of their slot, which is the order in which they came.
    peers: BTreeMap<u64, Arc<Peer>>,
}

/// A slot that is taken, until this goes.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    number: u64,
}

/// A slot, and how many connections had to go for it.
pub struct Entered {
    pub slot: Slot,
    pub evicted: usize,
}

impl Slots {
    /// Slots for at most `most` connections.
    pub fn new(most: usize, evicts: Evicts) -> Arc<Self> {
        Arc::new(Self {
            most,
            evicts,
            taken: Mutex::default(),
        })
    }

    /// Takes a slot for a connection. Where none is free, others are told to go, which hold no slot from then on.
    pub fn enter(self: &Arc<Self>, peer: &Arc<Peer>) -> Option<Entered> {
        let mut taken = self.taken.lock();
        let evicted = if taken.peers.len() < self.most {
            0
        } else {
            self.evict(&mut taken.peers)
        };
        if taken.peers.len() >= self.most {
            return None;
        }
        let number = taken.next;
        taken.next += 1;
        taken.peers.insert(number, Arc::clone(peer));
        let slots = Arc::clone(self);
        Some(Entered {
            slot: Slot { slots, number },
            evicted,
        })
    }

    fn evict(&self, peers: &mut BTreeMap<u64, Arc<Peer>>) -> usize {
        let mut victims = victims(peers, Peer::is_idle_stranger);
        if victims.is_empty() && self.evicts == Evicts::Anybody {
            victims = self::victims(peers, |_| true);
        }
        victims.truncate(self.most.div_ceil(SLOTS_PER_EVICTION));
        for number in &victims {
            if let Some(peer) = peers.remove(number) {
                peer.evict();
            }
        }
        victims.len()
    }
}

/// The numbers of the connections of the address that has most of those that may go, the oldest first. Among addresses with
/// as many it is the one whose oldest is older.
fn victims(peers: &BTreeMap<u64, Arc<Peer>>, may_go: impl Fn(&Peer) -> bool) -> Vec<u64> {
    let mut by_address: HashMap<IpAddr, Vec<u64>> = HashMap::new();
    for (number, peer) in peers.iter().filter(|(_, peer)| may_go(peer)) {
        by_address.entry(peer.address).or_default().push(*number);
    }
    let most = by_address
        .into_values()
        .max_by_key(|numbers| (numbers.len(), numbers.first().map(|first| Reverse(*first))));
    most.unwrap_or_default()
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.taken.lock().peers.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::grpc::{Budget, Term};

    fn peer(last: u8) -> Arc<Peer> {
        let address = Ipv4Addr::new(10, 0, 0, last);
        Arc::new(Peer::new(address.into(), false, Budget::new(1 << 20)))
    }

    fn numbers(slots: &Slots) -> Vec<IpAddr> {
        let taken = slots.taken.lock();
        taken.peers.values().map(|peer| peer.address).collect()
    }

    #[test]
    fn the_idle_strangers_of_the_address_with_most_go_first_and_the_oldest_of_them() {
        let slots = Slots::new(4, Evicts::IdleStrangers);
        let peers = [peer(1), peer(2), peer(2), peer(1)];
        let busy = peers[0].enter(Term::Open);
        let held = peers.each_ref().map(|peer| slots.enter(peer).unwrap().slot);
        let entered = slots.enter(&peer(3)).unwrap();
        assert_eq!(entered.evicted, 1);
        assert!(peers[1].is_ended() && !peers[2].is_ended());
        assert_eq!(
            numbers(&slots),
            [
                peers[0].address,
                peers[2].address,
                peers[3].address,
                entered_address()
            ]
        );
        // What was evicted gives nothing back a second time.
        drop(held);
        assert_eq!(numbers(&slots), [entered_address()]);
        drop((entered, busy));
    }

    fn entered_address() -> IpAddr {
        Ipv4Addr::new(10, 0, 0, 3).into()
    }

    #[test]
    fn who_is_known_or_has_a_call_stays() {
        let slots = Slots::new(2, Evicts::IdleStrangers);
        let (known, busy) = (peer(1), peer(1));
        known.identify();
        let call = busy.enter(Term::Open);
        let _slots = [&known, &busy].map(|peer| slots.enter(peer).unwrap().slot);
        assert!(slots.enter(&peer(2)).is_none());
        drop(call);
        assert!(slots.enter(&peer(2)).is_some());
        assert!(!known.is_ended() && busy.is_ended());
    }

    #[test]
    fn a_port_for_probes_always_has_a_slot() {
        let slots = Slots::new(2, Evicts::Anybody);
        let busy = [peer(1), peer(1)];
        let _calls = busy.each_ref().map(|peer| peer.enter(Term::Open));
        let _slots = busy.each_ref().map(|peer| slots.enter(peer).unwrap().slot);
        assert!(slots.enter(&peer(2)).is_some());
        assert!(busy[0].is_ended() && !busy[1].is_ended());
    }
}
