//! Addresses and networks of one family: the longest prefix that holds an address.
//!
//! Prefixes are either nested or disjoint. Sorted by first address, wider before narrower, the last
//! one that begins at or before an address is either the best match, or disjoint from the address
//! and then inside every prefix that does hold it. So: a binary search, then up the parents until
//! one holds the address, at most one step a bit.
//!
//! Why not a trie: 1,000,000 IPv6 prefixes cost 25 bytes each here and 155 in a compact trie
//! (`prefix-trie` 0.10; 12 against 39 for IPv4), and questions take the same time, since both are
//! bound by cache misses. A rule's number is its place here, so that nothing else need say which
//! network it has.

use std::net::{Ipv4Addr, Ipv6Addr};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::ledger::Note;

/// An address as an integer, the first bit highest.
pub(super) trait Address: Copy + Ord {
    /// How many bits both begin with.
    fn common_bits(self, other: Self) -> u32;

    /// The network, if `bits` is at most the width.
    fn net(self, bits: u8) -> Option<IpNet>;

    /// Spreads the bits of a network, for a table that holds only the admin's networks and is
    /// asked only about them.
    fn hash(self, bits: u8) -> u64;
}

impl Address for u32 {
    #[inline]
    fn common_bits(self, other: Self) -> u32 {
        (self ^ other).leading_zeros()
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
    fn common_bits(self, other: Self) -> u32 {
        (self ^ other).leading_zeros()
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
#[derive(Clone, Debug)]
pub(super) struct NetTableBuilder<A> {
    /// Those that were removed have the note for that.
    nets: Vec<(A, u8, Note)>,
    known: HashTable<u32>,
    /// How many were removed.
    gone: usize,
}

impl<A> Default for NetTableBuilder<A> {
    fn default() -> Self {
        Self { nets: Vec::new(), known: HashTable::new(), gone: 0 }
    }
}

impl<A: Address> NetTableBuilder<A> {
    /// Those of a table, each with its note, to be changed.
    pub(super) fn of(table: &NetTable<A>, notes: &[Note]) -> Self {
        let rows = table.addresses.iter().zip(&table.links).zip(notes);
        let nets: Vec<_> =
            rows.map(|((&address, link), &note)| (address, link.bits, note)).collect();
        let mut known = HashTable::with_capacity(nets.len());
        let hash_at = |&at: &u32| nets[at as usize].0.hash(nets[at as usize].1);
        for (at, net) in (0..).zip(&nets) {
            known.insert_unique(net.0.hash(net.1), at, hash_at);
        }
        Self { nets, known, gone: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.nets.len() - self.gone
    }

    /// Adds a network whose host bits are zero. The note that the same network had before, if it
    /// was there, is replaced and given back.
    pub(super) fn insert(&mut self, address: A, bits: u8, note: Note) -> Option<Note> {
        let Self { nets, known, gone } = self;
        let same = |&at: &u32| {
            let (known_address, known_bits, _) = nets[at as usize];
            known_address == address && known_bits == bits
        };
        let hash_at = |&at: &u32| nets[at as usize].0.hash(nets[at as usize].1);
        match known.entry(address.hash(bits), same, hash_at) {
            Entry::Occupied(at) => {
                let before = std::mem::replace(&mut nets[*at.get() as usize].2, note);
                *gone -= usize::from(before.is_gone());
                (!before.is_gone()).then_some(before)
            }
            Entry::Vacant(vacant) => {
                vacant.insert(nets.len() as u32);
                nets.push((address, bits, note));
                None
            }
        }
    }

    /// Takes a network away; gives back the note that it had, if it was there.
    pub(super) fn remove(&mut self, address: A, bits: u8) -> Option<Note> {
        let same = |&at: &u32| {
            let (known_address, known_bits, _) = self.nets[at as usize];
            known_address == address && known_bits == bits
        };
        let at = *self.known.find(address.hash(bits), same)?;
        let before = std::mem::replace(&mut self.nets[at as usize].2, Note::GONE);
        if before.is_gone() {
            return None;
        }
        self.gone += 1;
        Some(before)
    }

    /// The table, and the notes in its order.
    pub(super) fn build(self) -> (NetTable<A>, Vec<Note>) {
        let Self { mut nets, known, gone } = self;
        drop(known);
        if gone > 0 {
            nets.retain(|net| !net.2.is_gone());
        }
        // What came from a table is in order but for its end: the stable sort makes use of that.
        nets.sort_by_key(|&(address, bits, _)| (address, bits));
        let table = NetTable {
            block_starts: nets.iter().step_by(BLOCK).map(|net| net.0).collect(),
            addresses: nets.iter().map(|net| net.0).collect(),
            links: links(&nets),
        };
        (table, nets.into_iter().map(|net| net.2).collect())
    }
}

/// What the table says of each network besides its address.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// The narrowest other network that holds this one, or [`NO_PARENT`].
    parent: u32,
    /// The prefix length.
    bits: u8,
}

/// The links of `nets`, which are sorted.
fn links<A: Address>(nets: &[(A, u8, Note)]) -> Box<[Link]> {
    let mut open: Vec<u32> = Vec::new();
    let mut links = Vec::with_capacity(nets.len());
    for (index, &(address, bits, _)) in (0..).zip(nets) {
        while let Some(&last) = open.last() {
            let (holder, holder_bits, _) = nets[last as usize];
            if u32::from(holder_bits) <= holder.common_bits(address) {
                break;
            }
            open.pop();
        }
        links.push(Link { parent: open.last().copied().unwrap_or(NO_PARENT), bits });
        open.push(index);
    }
    links.into_boxed_slice()
}

const NO_PARENT: u32 = u32::MAX;

/// A search goes first to a block of this many networks: the first addresses of all blocks, 1/16 of
/// the whole, stay in the processor's cache, and what remains to be searched lies close together.
const BLOCK: usize = 16;

/// Networks, each numbered by its place in the order (first address, prefix length).
#[derive(Debug)]
pub(super) struct NetTable<A> {
    /// Every [`BLOCK`]th of the addresses.
    block_starts: Box<[A]>,
    addresses: Box<[A]>,
    links: Box<[Link]>,
}

impl<A> Default for NetTable<A> {
    fn default() -> Self {
        Self { block_starts: Box::default(), addresses: Box::default(), links: Box::default() }
    }
}

impl<A: Address> NetTable<A> {
    pub(super) fn len(&self) -> u32 {
        self.addresses.len() as u32
    }

    /// The number of the narrowest network that holds `address`.
    #[inline]
    pub(super) fn longest_match(&self, address: A) -> Option<u32> {
        let begins_before = |&first: &A| first <= address;
        let start = self.block_starts.partition_point(begins_before).checked_sub(1)? * BLOCK;
        let end = self.addresses.len().min(start + BLOCK);
        let mut at = start + self.addresses[start..end].partition_point(begins_before) - 1;
        // Everything that holds this network begins as it does. So the address is in whatever is
        // no longer than what the two have in common, and no other address need be looked at.
        let common = self.addresses[at].common_bits(address);
        loop {
            let Link { parent, bits } = self.links[at];
            if u32::from(bits) <= common {
                return Some(at as u32);
            }
            if parent == NO_PARENT {
                return None;
            }
            at = parent as usize;
        }
    }

    pub(super) fn net(&self, index: u32) -> Option<IpNet> {
        let index = index as usize;
        self.addresses.get(index)?.net(self.links.get(index)?.bits)
    }

    /// Where the network that is at `index` in `other` stands here.
    pub(super) fn position_in(&self, other: &Self, index: u32) -> Option<u32> {
        let address = *other.addresses.get(index as usize)?;
        self.position(address, other.links.get(index as usize)?.bits)
    }

    /// Where the network stands.
    pub(super) fn position(&self, address: A, bits: u8) -> Option<u32> {
        let first = self.addresses.partition_point(|&first| first < address);
        let same_address = self.addresses[first..].iter().take_while(|&&first| first == address);
        let at = same_address.zip(&self.links[first..]).position(|(_, own)| own.bits == bits)?;
        Some((first + at) as u32)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.block_starts.len() * size_of::<A>()
            + self.addresses.len() * (size_of::<A>() + size_of::<Link>())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::{Origin, Verdict};

    /// The obvious way: look at each.
    fn naive<A: Address>(nets: &[(A, u8)], address: A) -> Option<(A, u8)> {
        let holding = nets.iter().filter(|net| u32::from(net.1) <= net.0.common_bits(address));
        holding.max_by_key(|net| net.1).copied()
    }

    /// Asks a table of `nets`, each of which has its place in `nets` as its line, and compares.
    fn check<A>(nets: &[(A, u8)], asked: &[A]) -> Result<(), TestCaseError>
    where
        A: Address + std::fmt::Debug,
    {
        let mut builder = NetTableBuilder::default();
        for (line, &(address, bits)) in (0..).zip(nets) {
            let earlier = nets[..line as usize].contains(&(address, bits));
            let note = Note::new(Verdict::Accept, Origin { source: 0, line });
            prop_assert_eq!(builder.insert(address, bits, note).is_some(), earlier);
        }
        let (table, notes) = builder.build();
        for &address in asked {
            let found = table.longest_match(address).map(|at| {
                let line = notes[at as usize].origin().line as usize;
                (table.net(at), nets[line])
            });
            let want = naive(nets, address);
            prop_assert_eq!(found, want.map(|net| (net.0.net(net.1), net)), "{:?}", address);
        }
        for at in 0..table.len() {
            prop_assert_eq!(table.position_in(&table, at), Some(at));
        }
        Ok(())
    }

    /// Numbers that share long prefixes with each other: few bits set, or noise in the low ones.
    fn crowded() -> impl Strategy<Value = u128> {
        let bits = prop::collection::vec(0..128_u32, 0..4);
        (bits, any::<u128>(), 0..140_u32).prop_map(|(bits, noise, shift)| {
            let few = bits.into_iter().fold(0, |number, bit| number | 1 << bit);
            few ^ noise.checked_shr(shift).unwrap_or(0)
        })
    }

    fn v4(number: u128) -> u32 {
        (number >> 96) as u32 ^ number as u32
    }

    fn masked_v4((number, bits): (u128, u8)) -> (u32, u8) {
        let bits = bits % 33;
        let net = Ipv4Net::new(Ipv4Addr::from_bits(v4(number)), bits).unwrap();
        (net.network().to_bits(), bits)
    }

    fn masked_v6((number, bits): (u128, u8)) -> (u128, u8) {
        let net = Ipv6Net::new(Ipv6Addr::from_bits(number), bits).unwrap();
        (net.network().to_bits(), bits)
    }

    proptest! {
        #[test]
        fn the_longest_prefix_is_found_as_by_looking_at_each(
            nets in prop::collection::vec((crowded(), 0..=128_u8), 0..200),
            asked in prop::collection::vec(crowded(), 0..60),
        ) {
            let in_v6: Vec<_> = nets.iter().copied().map(masked_v6).collect();
            // Besides the numbers drawn, the first and last address of each network and beyond.
            let edges = in_v6.iter().flat_map(|&(first, bits)| {
                let last = first | u128::MAX.checked_shr(bits.into()).unwrap_or(0);
                [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
            });
            check(&in_v6, &asked.iter().copied().chain(edges).collect::<Vec<_>>())?;

            let in_v4: Vec<_> = nets.into_iter().map(masked_v4).collect();
            let edges = in_v4.iter().flat_map(|&(first, bits)| {
                let last = first | u32::MAX.checked_shr(bits.into()).unwrap_or(0);
                [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
            });
            let asked = asked.iter().map(|&number| v4(number));
            check(&in_v4, &asked.chain(edges).collect::<Vec<_>>())?;
        }
    }
}
