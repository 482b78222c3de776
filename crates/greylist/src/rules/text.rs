//! Texts that are looked up whole, in any case or byte for byte: one arena and one hash table for a
//! whole list.
//!
//! A rule costs its text, 8 bytes for where the text ends, and 4 bytes and a control byte in the
//! table; a `String` each would cost 24 bytes and an allocation more.
//!
//! Texts are hashed from their end, so that one walk over a domain gives the hash of each of its
//! suffixes. The hash has no secret key: what is in the table is the admin's, and what is looked up
//! is the attacker's, who can thereby choose where the search begins but not how long the runs of
//! full buckets in the table are. A look-up that hits the worst place costs a few steps more,
//! however many are sent.

use std::marker::PhantomData;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Which bytes count as the same.
pub(super) trait Letters {
    /// The one that stands for all that are the same.
    fn fold(byte: u8) -> u8;

    /// Whether two texts of one length are the same.
    fn same(one: &[u8], other: &[u8]) -> bool;
}

/// ASCII letters in any case.
#[derive(Clone, Copy, Debug)]
pub(super) enum AnyCase {}

impl Letters for AnyCase {
    #[inline]
    fn fold(byte: u8) -> u8 {
        byte.to_ascii_lowercase()
    }

    #[inline]
    fn same(one: &[u8], other: &[u8]) -> bool {
        one.eq_ignore_ascii_case(other)
    }
}

/// Each byte is itself alone.
#[derive(Clone, Copy, Debug)]
pub(super) enum AsWritten {}

impl Letters for AsWritten {
    #[inline]
    fn fold(byte: u8) -> u8 {
        byte
    }

    #[inline]
    fn same(one: &[u8], other: &[u8]) -> bool {
        one == other
    }
}

/// Texts that are numbered in the order of their coming: a [`TextTable`], with what its list notes of
/// them beside it.
pub(super) trait Numbered: Clone + Default {
    /// Which bytes count as the same.
    type Letters: Letters;

    /// The texts.
    fn texts(&self) -> &TextTable<Self::Letters>;

    /// The texts, to be changed.
    fn texts_mut(&mut self) -> &mut TextTable<Self::Letters>;

    /// Notes what is to be known of `text`, whose bytes are folded.
    fn note(&mut self, _text: &[u8]) {}

    /// The number of `text`, whose bytes are folded: `Ok` if it is there already, `Err` if it was
    /// put in just now.
    fn insert(&mut self, text: &[u8]) -> Result<u32, u32> {
        self.note(text);
        self.texts_mut().insert_text(text)
    }
}

/// The hash of a text that is being read from its end.
#[derive(Clone, Copy)]
pub(super) struct Hash(u64);

impl Hash {
    /// Of the empty text.
    pub(super) const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    /// Puts `byte` in front of the text.
    #[inline]
    pub(super) fn prepend<L: Letters>(self, byte: u8) -> Self {
        // FNV-1a's step: one multiplication a byte, good enough with the final mix.
        Self((self.0 ^ u64::from(L::fold(byte))).wrapping_mul(0x0000_0100_0000_01b3))
    }

    #[inline]
    fn prepend_all<L: Letters>(self, bytes: &[u8]) -> Self {
        bytes.iter().rev().fold(self, |hash, &byte| hash.prepend::<L>(byte))
    }

    /// Spreads the bits: the table uses the lowest for the bucket and the highest seven as a tag.
    #[inline]
    fn finish(self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    }

    fn of<L: Letters>(text: &[u8]) -> u64 {
        Self::EMPTY.prepend_all::<L>(text).finish()
    }
}

/// Folded texts, numbered in the order of their coming.
#[derive(Debug)]
pub(super) struct TextTable<L = AnyCase> {
    arena: Vec<u8>,
    /// Where each text ends in the arena; it begins where the one before ends.
    ends: Vec<u64>,
    table: HashTable<u32>,
    /// The longest text, in bytes: nothing longer need be looked up.
    longest: usize,
    letters: PhantomData<L>,
}

impl<L> Default for TextTable<L> {
    fn default() -> Self {
        Self {
            arena: Vec::new(),
            ends: Vec::new(),
            table: HashTable::new(),
            longest: 0,
            letters: PhantomData,
        }
    }
}

impl<L> Clone for TextTable<L> {
    fn clone(&self) -> Self {
        Self {
            arena: self.arena.clone(),
            ends: self.ends.clone(),
            table: self.table.clone(),
            longest: self.longest,
            letters: PhantomData,
        }
    }
}

impl<L: Letters> TextTable<L> {
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The number of the text that is `parts` joined, whose bytes need not be folded.
    #[inline]
    pub(super) fn find(&self, parts: &[&[u8]]) -> Option<u32> {
        if parts.iter().map(|part| part.len()).sum::<usize>() > self.longest {
            return None;
        }
        let hash = parts.iter().rev().fold(Hash::EMPTY, |hash, part| hash.prepend_all::<L>(part));
        self.find_hashed(hash, parts)
    }

    /// As [`find`](Self::find), with the hash already known.
    #[inline]
    pub(super) fn find_hashed(&self, hash: Hash, parts: &[&[u8]]) -> Option<u32> {
        let same = |&index: &u32| {
            text_at(&self.arena, &self.ends, index).is_some_and(|text| is_joined::<L>(text, parts))
        };
        self.table.find(hash.finish(), same).copied()
    }
}

impl<L: Letters> Numbered for TextTable<L> {
    type Letters = L;

    fn texts(&self) -> &Self {
        self
    }

    fn texts_mut(&mut self) -> &mut Self {
        self
    }
}

impl<L: Letters> TextTable<L> {
    fn insert_text(&mut self, text: &[u8]) -> Result<u32, u32> {
        let Self { arena, ends, table, longest, .. } = self;
        let same = |&index: &u32| text_at(arena, ends, index) == Some(text);
        let hash_at = |&index: &u32| text_at(arena, ends, index).map_or(0, Hash::of::<L>);
        match table.entry(Hash::of::<L>(text), same, hash_at) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(vacant) => {
                let index = ends.len() as u32;
                vacant.insert(index);
                arena.extend_from_slice(text);
                ends.push(arena.len() as u64);
                *longest = (*longest).max(text.len());
                Err(index)
            }
        }
    }

    /// The number of `text`, whose bytes are folded.
    pub(super) fn index_of(&self, text: &[u8]) -> Option<u32> {
        self.find(&[text])
    }

    /// The text with that number.
    pub(super) fn get(&self, index: u32) -> Option<&[u8]> {
        text_at(&self.arena, &self.ends, index)
    }

    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    /// Gives back memory that is held for more.
    pub(super) fn shrink(&mut self) {
        let Self { arena, ends, table, .. } = self;
        arena.shrink_to_fit();
        ends.shrink_to_fit();
        table.shrink_to_fit(|&index| text_at(arena, ends, index).map_or(0, Hash::of::<L>));
    }

    /// What they take, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.arena.capacity()
            + self.ends.capacity() * size_of::<u64>()
            + self.table.allocation_size()
    }
}

fn text_at<'a>(arena: &'a [u8], ends: &[u64], index: u32) -> Option<&'a [u8]> {
    let index = index as usize;
    let end = *ends.get(index)?;
    let start = if index == 0 { 0 } else { ends[index - 1] };
    arena.get(start as usize..end as usize)
}

/// Whether `text` is `parts` joined.
fn is_joined<L: Letters>(text: &[u8], parts: &[&[u8]]) -> bool {
    let mut rest = text;
    for part in parts {
        match rest.split_at_checked(part.len()) {
            Some((head, tail)) if L::same(head, part) => rest = tail,
            _ => return false,
        }
    }
    rest.is_empty()
}
