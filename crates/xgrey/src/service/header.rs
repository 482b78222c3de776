//! One `X-Greylist` header a message, however many recipients it has.
//!
//! Postfix asks once for each recipient and gives the same `instance` each time. The last few
//! thousand messages that got their header are remembered, by hash, in a table that never grows:
//! a message pushed out by another may get a second header, which harms nobody.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use greylist::Query;

/// Messages remembered. A message's recipients follow each other within seconds; at 1,000 first
/// passes a second this is four seconds' worth.
const MESSAGES: usize = 4_096;

/// The messages that got their header lately.
#[derive(Debug)]
pub(super) struct RecentMessages {
    hasher: RandomState,
    slots: Box<[AtomicU64]>,
}

impl Default for RecentMessages {
    fn default() -> Self {
        let slots = (0..MESSAGES).map(|_| AtomicU64::new(0)).collect();
        Self { hasher: RandomState::new(), slots }
    }
}

impl RecentMessages {
    /// Whether this message gets its header now: true the first time that it is seen. Without an
    /// instance (Exim) nothing ties a message's queries together, so each counts as the first.
    pub(super) fn is_first(&self, query: &Query<'_>) -> bool {
        if query.instance.is_empty() {
            return true;
        }
        // Two MTAs may use the same instance; the same client and sender as well is unlikely.
        let hash = self.hasher.hash_one((query.instance, query.client, query.sender)) | 1;
        let slot = &self.slots[(hash >> 1) as usize % MESSAGES];
        slot.swap(hash, Relaxed) != hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greylist::Client;

    fn query<'a>(instance: &'a [u8], sender: &'a [u8]) -> Query<'a> {
        let client = Client::new("192.0.2.7".parse().unwrap());
        Query { instance, ..Query::new(client, sender, b"b@example.org") }
    }

    #[test]
    fn a_message_with_two_recipients_gets_one_header() {
        let recent = RecentMessages::default();
        assert!(recent.is_first(&query(b"1a2b.5f.0", b"a@example.net")));
        assert!(!recent.is_first(&query(b"1a2b.5f.0", b"a@example.net")));
    }

    #[test]
    fn two_messages_get_a_header_each() {
        let recent = RecentMessages::default();
        assert!(recent.is_first(&query(b"1a2b.5f.0", b"a@example.net")));
        assert!(recent.is_first(&query(b"1a2b.60.0", b"a@example.net")));
        assert!(recent.is_first(&query(b"1a2b.5f.0", b"c@example.net")));
    }

    #[test]
    fn without_an_instance_every_query_counts_as_a_message() {
        let recent = RecentMessages::default();
        assert!(recent.is_first(&query(b"", b"a@example.net")));
        assert!(recent.is_first(&query(b"", b"a@example.net")));
    }
}
