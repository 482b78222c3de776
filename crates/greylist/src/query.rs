//! What an MTA asks: may this client send from this sender to this recipient?
//!
//! A query borrows the bytes that a codec was given: asking copies nothing.

use std::net::{IpAddr, Ipv6Addr};

/// The address of the host that connected to the MTA. IPv4 addresses that came dressed as IPv6
/// (`::ffff:192.0.2.7`) are IPv4 here, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client(IpAddr);

impl Client {
    /// The client at `address`.
    pub fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    /// The address; never an IPv4-mapped IPv6 address.
    pub fn address(self) -> IpAddr {
        self.0
    }

    /// Its 128 bits as IPv6; IPv4 in its mapped form, so that no two clients share them.
    pub fn as_ipv6(self) -> Ipv6Addr {
        match self.0 {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        }
    }
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What the MTA itself found out about who the client is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trust {
    /// Nothing: anybody.
    #[default]
    Stranger,
    /// Logged in (SASL).
    Authenticated,
    /// Showed a TLS client certificate that the MTA verified.
    Certificate,
}

/// One question. Addresses are as the protocol carried them, without angle brackets; they may be
/// any bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// Who connects.
    pub client: Client,
    /// The client's host name, only if the MTA confirmed it by a forward look-up of the name.
    /// A name that only the client's own reverse zone claims is not given here.
    pub client_name: Option<&'a [u8]>,
    /// The name given at HELO or EHLO; empty if not known. Anybody can say anything there.
    pub helo: &'a [u8],
    /// The envelope sender; empty for the null sender (`MAIL FROM:<>`).
    pub sender: &'a [u8],
    /// The envelope recipient.
    pub recipient: &'a [u8],
    /// What the MTA vouches for.
    pub trust: Trust,
    /// The same for all queries about one message, where the protocol tells; else empty.
    pub instance: &'a [u8],
    /// The MTA's queue id, where there is one already; else empty. For the log.
    pub queue_id: &'a [u8],
    /// How many bytes of sender and of recipient count, for rules and for the tuple: of longer ones
    /// the start. Only X-Grey's protocol has such a limit (X-Grey v1.1 protocol, section 5.2).
    pub counted_bytes: usize,
}

impl<'a> Query<'a> {
    /// A stranger's question with nothing but the tuple.
    pub fn new(client: Client, sender: &'a [u8], recipient: &'a [u8]) -> Self {
        Self {
            client,
            client_name: None,
            helo: b"",
            sender,
            recipient,
            trust: Trust::Stranger,
            instance: b"",
            queue_id: b"",
            counted_bytes: usize::MAX,
        }
    }

    /// The same with nothing of the addresses but what counts.
    #[must_use]
    pub fn counted(&self) -> Self {
        let cut = |address: &'a [u8]| &address[..address.len().min(self.counted_bytes)];
        Self { sender: cut(self.sender), recipient: cut(self.recipient), ..*self }
    }
}

/// Splits an address at its last unquoted `@` into local part and domain: `(local, Some(domain))`,
/// or `(address, None)` when there is none (`postmaster`).
pub fn split_address(address: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memrchr(b'@', address) {
        Some(at) => (&address[..at], Some(&address[at + 1..])),
        None => (address, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_dressed_as_ipv6_is_the_same_client() {
        let plain = Client::new("192.0.2.7".parse().unwrap());
        let mapped = Client::new("::ffff:192.0.2.7".parse().unwrap());
        assert_eq!(plain, mapped);
        assert_eq!(mapped.to_string(), "192.0.2.7");
    }

    #[test]
    fn of_long_addresses_the_start_counts_where_a_protocol_says_so() {
        let client = Client::new([192, 0, 2, 7].into());
        let query = Query::new(client, b"alice@example.net", b"bob@example.org");
        assert_eq!(query.counted(), query);
        let short = Query { counted_bytes: 15, ..query };
        assert_eq!(short.counted().sender, b"alice@example.n");
        assert_eq!(short.counted().recipient, b"bob@example.org");
        assert_eq!(short.counted().counted(), short.counted());
    }

    #[test]
    fn an_address_is_split_at_its_last_at_sign() {
        assert_eq!(split_address(b"a@example.net"), (&b"a"[..], Some(&b"example.net"[..])));
        assert_eq!(split_address(b"\"a@b\"@example.net").1, Some(&b"example.net"[..]));
        assert_eq!(split_address(b"postmaster"), (&b"postmaster"[..], None));
    }
}
