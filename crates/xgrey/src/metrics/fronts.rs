//! How many questions came over which protocol, since the start.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Counters, Metrics};
use crate::config::Protocol;

/// What a question came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Front {
    /// Postfix's policy protocol.
    Postfix,
    /// Milter.
    Milter,
    /// greylistd's protocol.
    Greylistd,
    /// X-Grey's protocol.
    XGrey,
    /// HTTP, `/v1/check`.
    Http,
    /// HTTP, Stalwart's MTA hooks.
    Stalwart,
}

impl Front {
    /// All of them, with the word for each.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Postfix, "postfix"),
        (Self::Milter, "milter"),
        (Self::Greylistd, "greylistd"),
        (Self::XGrey, "x-grey"),
        (Self::Http, "http"),
        (Self::Stalwart, "stalwart"),
    ];
}

/// What is spoken on a connection.
impl From<Protocol> for Front {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Postfix => Self::Postfix,
            Protocol::Milter => Self::Milter,
            Protocol::Greylistd => Self::Greylistd,
        }
    }
}

/// One worker's counts, in the order of [`Front::ALL`].
pub(super) type FrontCounters = [AtomicU64; Front::ALL.len()];

impl Counters {
    /// Counts `count` questions that came over `front`.
    pub fn asked(&self, front: Front, count: u64) {
        if count > 0 {
            self.fronts[front as usize].fetch_add(count, Relaxed);
        }
    }
}

impl Metrics {
    /// How many questions came over `front` since the start.
    pub fn asked(&self, front: Front) -> u64 {
        let counts = self.workers.iter().map(|counters| &counters.fronts[front as usize]);
        counts.map(|count| count.load(Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_front_stands_at_its_own_place() {
        for (place, (front, _)) in Front::ALL.into_iter().enumerate() {
            assert_eq!(front as usize, place);
        }
    }

    #[test]
    fn questions_are_counted_by_what_they_came_over() {
        let metrics = Metrics::new(2);
        metrics.worker(0).asked(Front::Http, 3);
        metrics.worker(1).asked(Front::Http, 4);
        metrics.worker(1).asked(Front::Postfix, 1);
        assert_eq!(
            [Front::Http, Front::Postfix, Front::XGrey].map(|f| metrics.asked(f)),
            [7, 1, 0]
        );
    }
}
