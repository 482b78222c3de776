//! Which tuples are asked about: each number stands for one, so that nobody has to remember them.
//!
//! Numbers below the pool's are *known*: the server has let them pass before measuring begins. Those from
//! [`FIRST_NEW`] on are *new*, and each is asked about once.
//!
//! Never knows: sockets, answers.

use std::net::Ipv4Addr;

use serde::Serialize;

use super::datagram::{Type, push_tuple};
use crate::request::{GOLDEN, letters, put, scramble};

/// New tuples have numbers from here on.
const FIRST_NEW: u64 = 1 << 32;

/// Which tuples a measurement asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Some that have passed, each as likely as another
    Known,
    /// Some that were never asked about before
    New,
}

impl Kind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::New => "new",
        }
    }
}

/// A tuple's addresses, about as long as those of mail.
#[derive(Clone, Debug)]
pub(super) struct Tuple {
    pub(super) client: Ipv4Addr,
    pub(super) sender: Vec<u8>,
    pub(super) recipient: Vec<u8>,
}

impl Tuple {
    fn new() -> Self {
        Self {
            client: Ipv4Addr::UNSPECIFIED,
            sender: b"news-aaaaaaaaaaaaaaaa@lists.example.net".to_vec(),
            recipient: b"bob.aaaaaaaa@mail.example.org".to_vec(),
        }
    }

    /// Makes it the one of `id`. All of the id is in the sender, so that no two are the same.
    fn fill(&mut self, id: u64) {
        self.client = Ipv4Addr::from_bits(10 << 24 | (id >> 40) as u32);
        put(&mut self.sender, 5, &letters::<16>(id));
        put(&mut self.recipient, 4, &letters::<8>(scramble(id)));
    }
}

/// Makes tuples, one at a time.
#[derive(Clone, Debug)]
pub(super) struct Questions {
    seed: u64,
    random: u64,
    /// How many are known.
    pool: u64,
    /// How many new ones there were.
    new: u64,
    tuple: Tuple,
}

impl Questions {
    /// Questions that follow from `seed`, with `pool` known tuples, fewer than 2³².
    pub(super) fn new(seed: u64, pool: u64) -> Self {
        Self { seed: scramble(seed), random: scramble(!seed), pool, new: 0, tuple: Tuple::new() }
    }

    /// How many new tuples have been asked about.
    pub(super) fn new_tuples(&self) -> u64 {
        self.new
    }

    /// One of the known tuples: `0..pool`.
    pub(super) fn known(&mut self, number: u64) -> &Tuple {
        self.make(number)
    }

    /// The next tuple to ask about. With none that are known it is a new one.
    pub(super) fn next(&mut self, kind: Kind) -> &Tuple {
        let number = match kind {
            Kind::Known if self.pool > 0 => {
                self.random = self.random.wrapping_add(GOLDEN);
                ((scramble(self.random) >> 32) * self.pool) >> 32
            }
            Kind::Known | Kind::New => {
                self.new += 1;
                FIRST_NEW + self.new - 1
            }
        };
        self.make(number)
    }

    /// Appends the next question.
    pub(super) fn push(&mut self, kind: Kind, mta: u16, out: &mut Vec<u8>) {
        let Tuple { client, sender, recipient } = self.next(kind);
        push_tuple(Type::Greylist, mta, (*client, sender, recipient), out);
    }

    fn make(&mut self, number: u64) -> &Tuple {
        // Different numbers give different ids: every step of it can be undone.
        let id = scramble(self.seed.wrapping_add(number.wrapping_mul(GOLDEN)));
        self.tuple.fill(id);
        &self.tuple
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn known_tuples_are_of_the_pool_and_new_ones_never_are() {
        let name = |tuple: &Tuple| (tuple.client, tuple.sender.clone(), tuple.recipient.clone());
        let mut questions = Questions::new(7, 500);
        let pool: HashSet<_> = (0..500).map(|number| name(questions.known(number))).collect();
        assert_eq!(pool.len(), 500);
        let asked: HashSet<_> = (0..20_000).map(|_| name(questions.next(Kind::Known))).collect();
        assert_eq!(asked, pool, "each of them, and no other");
        let mut seen = pool;
        for _ in 0..20_000 {
            assert!(seen.insert(name(questions.next(Kind::New))));
        }
        assert_eq!(questions.new_tuples(), 20_000);
        assert!(seen.iter().all(|(client, ..)| client.octets()[0] == 10));
        assert!(!seen.contains(&name(Questions::new(8, 500).next(Kind::New))), "another seed");
    }

    #[test]
    fn without_a_pool_all_are_new() {
        let mut questions = Questions::new(7, 0);
        questions.next(Kind::Known);
        assert_eq!(questions.new_tuples(), 1);
    }
}
