//! Addresses and networks of one family: the longest prefix that holds an address.
//!
//! Prefixes are either nested or disjoint. Sorted by first address, wider before narrower, the last
//! one that begins at or before an address is either the best match, or disjoint from the address
//! and then inside every prefix that does hold it. So: a binary search, then up the parents until
//! one holds the address, at most one step a bit.
//!
//! Why not a trie: 1,000,000 IPv6 prefixes cost 25 bytes each here and 155 in a compact trie
//! (`prefix-trie` 0.10; 13 against 39 for IPv4), and questions take the same time, since both are
//! bound by cache misses. A rule's number is its place here, so that nothing else need say which
//! network it has.

use std::net::{Ipv4Addr, Ipv6Addr};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::ledger::Note;

/// An address as an integer, the first bit highest.
pub(super) trait Address: Copy + Ord {
    /// Whether both begin with the same `bits` bits; `bits` is at most the width.
    fn same_prefix(self, other: Self, bits: u8) -> bool;

    /// The network, if `bits` is at most the width.
    fn net(self, bits: u8) -> Option<IpNet>;

    /// Spreads the bits of a network, for a table that holds only the admin's networks and is
    /// asked only about them.
    fn hash(self, bits: u8) -> u64;
}

impl Address for u32 {
    #[inline]
    fn same_prefix(self, other: Self, bits: u8) -> bool {
        (self ^ other).checked_shr(Self::BITS - u32::from(bits)).unwrap_or(0) == 0
    }

    fn net(self, bits: u8) -> Option<IpNet> {
        Ipv4Net::new(Ipv4Addr::from_bits(self), bits).ok().map(IpNet::V4)
    }

    fn hash(self, bits: u8) -> u64 {
        spread(u64::from(self) << 8 | u64::from(bits))
    }
}

impl Address for u128 {
    #[inline]
    fn same_prefix(self, other: Self, bits: u8) -> bool {
        (self ^ other).checked_shr(Self::BITS - u32::from(bits)).unwrap_or(0) == 0
    }

    fn net(self, bits: u8) -> Option<IpNet> {
        Ipv6Net::new(Ipv6Addr::from_bits(self), bits).ok().map(IpNet::V6)
    }

    fn hash(self, bits: u8) -> u64 {
        spread(spread((self >> 64) as u64) ^ (self as u64) ^ u64::from(bits) << 56)
    }
}

fn spread(bits: u64) -> u64 {
    let mixed = (bits ^ (bits >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

/// Networks being gathered.
#[derive(Debug)]
pub(super) struct NetTableBuilder<A> {
    nets: Vec<(A, u8, Note)>,
    known: HashTable<u32>,
}

impl<A> Default for NetTableBuilder<A> {
    fn default() -> Self {
        Self { nets: Vec::new(), known: HashTable::new() }
    }
}

impl<A: Address> NetTableBuilder<A> {
    pub(super) fn len(&self) -> usize {
        self.nets.len()
    }

    /// Adds a network whose host bits are zero. The note that the same network had before, if it
    /// was there, is replaced and given back.
    pub(super) fn insert(&mut self, address: A, bits: u8, note: Note) -> Option<Note> {
        let Self { nets, known } = self;
        let same = |&at: &u32| {
            let (known_address, known_bits, _) = nets[at as usize];
            known_address == address && known_bits == bits
        };
        let hash_at = |&at: &u32| nets[at as usize].0.hash(nets[at as usize].1);
        match known.entry(address.hash(bits), same, hash_at) {
            Entry::Occupied(at) => Some(std::mem::replace(&mut nets[*at.get() as usize].2, note)),
            Entry::Vacant(vacant) => {
                vacant.insert(nets.len() as u32);
                nets.push((address, bits, note));
                None
            }
        }
    }

    /// The table, and the notes in its order.
    pub(super) fn build(self) -> (NetTable<A>, Vec<Note>) {
        let Self { mut nets, known } = self;
        drop(known);
        nets.sort_unstable_by_key(|&(address, bits, _)| (address, bits));
        let parents = parents(&nets);
        let table = NetTable {
            addresses: nets.iter().map(|net| net.0).collect(),
            bits: nets.iter().map(|net| net.1).collect(),
            parents,
        };
        (table, nets.into_iter().map(|net| net.2).collect())
    }
}

/// For each of the sorted `nets`, the narrowest other one that holds it.
fn parents<A: Address>(nets: &[(A, u8, Note)]) -> Box<[u32]> {
    let mut open: Vec<u32> = Vec::new();
    let mut parents = Vec::with_capacity(nets.len());
    for (index, &(address, ..)) in (0..).zip(nets) {
        while let Some(&last) = open.last() {
            let (holder, bits, _) = nets[last as usize];
            if holder.same_prefix(address, bits) {
                break;
            }
            open.pop();
        }
        parents.push(open.last().copied().unwrap_or(NO_PARENT));
        open.push(index);
    }
    parents.into_boxed_slice()
}

const NO_PARENT: u32 = u32::MAX;

/// Networks, each numbered by its place in the order (first address, prefix length).
#[derive(Debug)]
pub(super) struct NetTable<A> {
    addresses: Box<[A]>,
    bits: Box<[u8]>,
    parents: Box<[u32]>,
}

impl<A> Default for NetTable<A> {
    fn default() -> Self {
        Self { addresses: Box::default(), bits: Box::default(), parents: Box::default() }
    }
}

impl<A: Address> NetTable<A> {
    pub(super) fn len(&self) -> u32 {
        self.addresses.len() as u32
    }

    /// The number of the narrowest network that holds `address`.
    #[inline]
    pub(super) fn longest_match(&self, address: A) -> Option<u32> {
        let after = self.addresses.partition_point(|&first| first <= address);
        let mut at = after.checked_sub(1)?;
        while !self.addresses[at].same_prefix(address, self.bits[at]) {
            let parent = self.parents[at];
            if parent == NO_PARENT {
                return None;
            }
            at = parent as usize;
        }
        Some(at as u32)
    }

    pub(super) fn net(&self, index: u32) -> Option<IpNet> {
        let index = index as usize;
        self.addresses.get(index)?.net(*self.bits.get(index)?)
    }

    /// Where the network that is at `index` in `other` stands here.
    pub(super) fn position_in(&self, other: &Self, index: u32) -> Option<u32> {
        let address = *other.addresses.get(index as usize)?;
        let bits = *other.bits.get(index as usize)?;
        let first = self.addresses.partition_point(|&first| first < address);
        let same_address = self.addresses[first..].iter().take_while(|&&first| first == address);
        let at = same_address.zip(&self.bits[first..]).position(|(_, &own)| own == bits)?;
        Some((first + at) as u32)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.addresses.len() * (size_of::<A>() + size_of::<u8>() + size_of::<u32>())
    }
}
