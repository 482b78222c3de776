//! Texts that are looked up whole, in any case: one arena and one hash table for a whole list.
//!
//! A rule costs its text, 8 bytes for where the text ends, and 4 bytes and a control byte in the
//! table; a `String` each would cost 24 bytes and an allocation more.
//!
//! Texts are hashed from their end, so that one walk over a domain gives the hash of each of its
//! suffixes. The hash has no secret key: what is in the table is the admin's, and what is looked up
//! is the attacker's, who can thereby choose where the search begins but not how long the runs of
//! full buckets in the table are. A look-up that hits the worst place costs a few steps more,
//! however many are sent.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// The hash of a text that is being read from its end.
#[derive(Clone, Copy)]
pub(super) struct Hash(u64);

impl Hash {
    /// Of the empty text.
    pub(super) const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    /// Puts `byte` in front of the text.
    #[inline]
    pub(super) fn prepend(self, byte: u8) -> Self {
        // FNV-1a's step: one multiplication a byte, good enough with the final mix.
        Self((self.0 ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01b3))
    }

    fn prepend_all(self, bytes: &[u8]) -> Self {
        bytes.iter().rev().fold(self, |hash, &byte| hash.prepend(byte))
    }

    /// Spreads the bits: the table uses the lowest for the bucket and the highest seven as a tag.
    #[inline]
    fn finish(self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    }

    fn of(text: &str) -> u64 {
        Self::EMPTY.prepend_all(text.as_bytes()).finish()
    }
}

/// Lower-cased texts, numbered in the order of their coming.
#[derive(Debug, Default)]
pub(super) struct TextTable {
    arena: String,
    /// Where each text ends in the arena; it begins where the one before ends.
    ends: Vec<u64>,
    table: HashTable<u32>,
    /// The longest text, in bytes: nothing longer need be looked up.
    longest: usize,
}

impl TextTable {
    pub(super) fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    pub(super) fn get(&self, index: u32) -> Option<&str> {
        text_at(&self.arena, &self.ends, index)
    }

    /// The number of `text`, which is lower-cased: `Ok` if it is there already, `Err` if it was put
    /// in just now.
    pub(super) fn insert(&mut self, text: &str) -> Result<u32, u32> {
        let Self { arena, ends, table, longest } = self;
        let same = |&index: &u32| text_at(arena, ends, index) == Some(text);
        let hash_at = |&index: &u32| text_at(arena, ends, index).map_or(0, Hash::of);
        match table.entry(Hash::of(text), same, hash_at) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(vacant) => {
                let index = ends.len() as u32;
                vacant.insert(index);
                arena.push_str(text);
                ends.push(arena.len() as u64);
                *longest = (*longest).max(text.len());
                Err(index)
            }
        }
    }

    /// The number of `text`, which is lower-cased.
    pub(super) fn index_of(&self, text: &str) -> Option<u32> {
        self.find(&[text.as_bytes()])
    }

    /// The number of the text that is `parts` joined, in any case.
    #[inline]
    pub(super) fn find(&self, parts: &[&[u8]]) -> Option<u32> {
        if parts.iter().map(|part| part.len()).sum::<usize>() > self.longest {
            return None;
        }
        let hash = parts.iter().rev().fold(Hash::EMPTY, |hash, part| hash.prepend_all(part));
        self.find_hashed(hash, parts)
    }

    /// As [`find`](Self::find), with the hash already known.
    #[inline]
    pub(super) fn find_hashed(&self, hash: Hash, parts: &[&[u8]]) -> Option<u32> {
        let same = |&index: &u32| self.get(index).is_some_and(|text| is_joined(text, parts));
        self.table.find(hash.finish(), same).copied()
    }

    pub(super) fn shrink(&mut self) {
        let Self { arena, ends, table, .. } = self;
        arena.shrink_to_fit();
        ends.shrink_to_fit();
        table.shrink_to_fit(|&index| text_at(arena, ends, index).map_or(0, Hash::of));
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.arena.capacity()
            + self.ends.capacity() * size_of::<u64>()
            + self.table.allocation_size()
    }
}

fn text_at<'a>(arena: &'a str, ends: &[u64], index: u32) -> Option<&'a str> {
    let index = index as usize;
    let end = *ends.get(index)?;
    let start = if index == 0 { 0 } else { ends[index - 1] };
    arena.get(start as usize..end as usize)
}

/// Whether the lower-cased `text` is `parts` joined, in any case.
fn is_joined(text: &str, parts: &[&[u8]]) -> bool {
    let mut rest = text.as_bytes();
    for part in parts {
        match rest.split_at_checked(part.len()) {
            Some((head, tail)) if head.eq_ignore_ascii_case(part) => rest = tail,
            _ => return false,
        }
    }
    rest.is_empty()
}
