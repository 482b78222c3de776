//! What an Exim asks: the bytes of its ACL, about new and known tuples.

use std::io::Write as _;

/// New tuples have numbers from this on: within the 24 bits that make their clients' addresses.
const FIRST_NEW: u32 = 1 << 20;

/// New and known tuples, mixed.
#[derive(Clone, Debug)]
pub(super) struct Questions {
    new_percent: u64,
    pool: u32,
    asked: u64,
    new: u32,
}

impl Questions {
    /// So many of a hundred are about new tuples, the others about the first `pool`.
    pub(super) fn new(new_percent: u8, pool: u32) -> Self {
        Self { new_percent: u64::from(new_percent), pool, asked: 0, new: 0 }
    }

    /// The number of the next tuple.
    pub(super) fn next(&mut self) -> u32 {
        self.asked += 1;
        // Spread evenly: as many of the first n are new as their share of n says.
        if self.asked * self.new_percent / 100 > u64::from(self.new) {
            self.new += 1;
            return FIRST_NEW + self.new;
        }
        // Steps of a large prime visit the pool in no order that a cache would like.
        let step = self.asked.wrapping_mul(2_654_435_761) % u64::from(self.pool);
        u32::try_from(step).unwrap_or_default()
    }
}

/// Puts the question about a tuple in place of what is in `out`.
pub(super) fn write(number: u32, out: &mut Vec<u8>) {
    let [high, middle, low] = [number >> 16 & 0xff, number >> 8 & 0xff, number & 0xff];
    out.clear();
    // Writing to a `Vec` cannot fail. The /24 counts: the low bits make another sender.
    let _ = write!(
        out,
        "--grey 10.{high}.{middle}.{low} user{low}@sender{middle}.example.net \
         rcpt{number}@example.org"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_has_its_share_of_new_tuples_and_none_twice() {
        for percent in [0, 30, 50, 100] {
            let mut questions = Questions::new(percent, 10);
            let numbers: Vec<u32> = (0..1_000).map(|_| questions.next()).collect();
            let mut new: Vec<u32> = numbers.into_iter().filter(|&n| n >= FIRST_NEW).collect();
            new.dedup();
            assert_eq!(new.len(), usize::from(percent) * 10);
        }
    }

    #[test]
    fn a_question_is_what_exims_acl_writes() {
        let mut out = Vec::new();
        write(0x0001_0203, &mut out);
        let expected = "--grey 10.1.2.3 user3@sender2.example.net rcpt66051@example.org";
        assert_eq!(String::from_utf8(out).as_deref(), Ok(expected));
    }
}
