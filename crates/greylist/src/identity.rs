//! Which attempts count as the same: a query, reduced to what stays the same at a retry, hashed
//! with a secret key.

use crate::query::{Client, Query};

/// 128 bits that stand for a tuple. Keyed, so that nobody outside can aim for a collision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TupleKey(pub u128);

/// The secret that tuple keys are made with; it belongs to the store that holds them.
#[derive(Clone, PartialEq, Eq)]
pub struct HashKey([u8; 16]);

impl HashKey {
    /// A key of 16 random bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the store to keep.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Secret: not shown.
impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey(…)")
    }
}

/// What of a query makes its tuple.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {}

impl Identity {
    /// The tuple that `query` belongs to. `scratch` is cleared and used; it keeps its capacity, so
    /// that a steady stream of queries allocates nothing.
    pub fn key(&self, _hash_key: &HashKey, _query: &Query<'_>, _scratch: &mut Vec<u8>) -> TupleKey {
        unimplemented!()
    }

    /// The network that stands for the client, such as `192.0.2.0/24`.
    pub fn client_network(&self, _client: Client) -> ipnet::IpNet {
        unimplemented!()
    }

    /// Appends the sender in the form that counts.
    pub fn normalise_sender(&self, _sender: &[u8], _out: &mut Vec<u8>) {
        unimplemented!()
    }

    /// Appends the recipient in the form that counts.
    pub fn normalise_recipient(&self, _recipient: &[u8], _out: &mut Vec<u8>) {
        unimplemented!()
    }
}
