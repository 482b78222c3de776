//! Which attempts count as the same: a query, reduced to what stays the same at a retry, hashed
//! with a secret key.
//!
//! A tuple is the client's network, the sender and the recipient. Senders are written in many ways,
//! and many change from one message of a list to the next, or from one day to the next. What
//! changes must go, or the list's every message waits anew; what tells two senders apart must stay,
//! or one of them waits for nothing while the other was never tried. When in doubt, it stays. Each
//! reduction has a switch; [`Normalisation`] says with examples what it does.
//!
//! # What is left alone
//! * Addresses are told apart beyond ASCII: `Ä` is not `ä`, and an internationalised domain is not
//!   the same as its `xn--` form. MTAs hand on what the client said, and a client says the same at
//!   each retry.
//! * Digits in ordinary names: `alice1@` is not `alice2@`.
//! * An address embedded in another, as in `alice=example.net@forwarder.example`, unless the rest
//!   says that it is a bounce address.
//! * Random-looking local parts without any sign of a bounce address: some are people, behind a
//!   service that hides their addresses.
//! * A shape whose switch is off, and a quoted local part with escapes in it: no other reduction
//!   looks inside.
//!
//! Any bytes may come, of any length: nothing here fails, and the time is linear in the length. This
//! module never knows what is remembered of a tuple, nor how a protocol writes an address.

use std::fmt;
use std::hash::Hasher as _;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use crate::query::{Client, Query, split_address};

mod batv;
mod reductions;
mod srs;
mod verp;

pub use reductions::{Reduction, Reductions};

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

    /// 64 bits that tell this key from any other and nothing else about it: what is made with the
    /// key names it so. The hash of a text that no tuple has.
    pub fn fingerprint(&self) -> u64 {
        siphasher::sip::SipHasher24::new_with_key(&self.0).hash(b"xgrey: which key is this?")
    }
}

/// Secret: not shown.
impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(…)")
    }
}

/// How many leading bits of an IPv4 address stand for the client: 8 to 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixV4(u8);

/// How many leading bits of an IPv6 address stand for the client: 16 to 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixV6(u8);

impl PrefixV4 {
    /// Wide enough for most pools of outgoing servers, narrow enough for one owner.
    pub const DEFAULT: Self = Self(24);
    /// The address itself.
    pub const EXACT: Self = Self(32);

    /// A prefix of `bits` bits.
    ///
    /// # Errors
    /// When `bits` is not 8 to 32: a shorter one would make strangers of half the world the same.
    pub const fn new(bits: u8) -> Result<Self, PrefixError> {
        match bits {
            8..=32 => Ok(Self(bits)),
            _ => Err(PrefixError { bits, min: 8, max: 32 }),
        }
    }

    /// Its length in bits.
    pub const fn bits(self) -> u8 {
        self.0
    }
}

impl PrefixV6 {
    /// One subnet: what a single host can choose freely within.
    pub const DEFAULT: Self = Self(64);
    /// The address itself.
    pub const EXACT: Self = Self(128);

    /// A prefix of `bits` bits.
    ///
    /// # Errors
    /// When `bits` is not 16 to 128.
    pub const fn new(bits: u8) -> Result<Self, PrefixError> {
        match bits {
            16..=128 => Ok(Self(bits)),
            _ => Err(PrefixError { bits, min: 16, max: 128 }),
        }
    }

    /// Its length in bits.
    pub const fn bits(self) -> u8 {
        self.0
    }
}

/// A prefix length that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixError {
    /// The length given.
    pub bits: u8,
    /// The shortest that may be.
    pub min: u8,
    /// The longest that may be.
    pub max: u8,
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bits, min, max } = self;
        write!(f, "a client prefix of {bits} bits cannot be: use {min} to {max}")
    }
}

impl std::error::Error for PrefixError {}

/// Which reductions are made. The right column of the tables is what counts, with all switches on.
/// A `#` stands for what was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Normalisation {
    /// One spelling: ASCII letters in lower case (before the `@` too: no provider in use tells them
    /// apart), no dot at the domain's end, no quotes around a local part.
    ///
    /// | sender or recipient | counts as |
    /// |---|---|
    /// | `Alice@Example.NET` | `alice@example.net` |
    /// | `alice@example.net.` | `alice@example.net` |
    /// | `"alice"@example.net` | `alice@example.net` |
    /// | `"a b+c"@example.net` | `a b@example.net` |
    pub fold_case: bool,

    /// No extension: what follows a `+`. Not where the `+` is the first character, nor in SRS
    /// addresses and in senders such as `bounces+…`, where all that matters follows it.
    ///
    /// | sender or recipient | counts as |
    /// |---|---|
    /// | `alice+news@example.net` | `alice@example.net` |
    /// | `+alice@example.net` | `+alice@example.net` |
    /// | `list-bounces+bob=example.org@example.net` | `list-bounces@example.net` |
    /// | `list+bncBAABBXYZ7Q2TKGRB2@example.net` | `list@example.net` |
    pub strip_extension: bool,

    /// Bounce addresses of lists and bulk mailers, senders only: the recipient's address and the
    /// message's number in them. An address is one of these when `bounce`, `bounces`, `return`,
    /// `returns` or `verp` is among its words, or `bounce`, `bounces`, `verp` or `bnc` among those of
    /// a subdomain; or when it begins with `owner-` and ends with somebody's address. In it go
    /// numbers, hexadecimal and mixed codes, UUIDs, and `word=domain`; before the bounce word only
    /// codes that are too long to be part of a list's name. Two shapes count without such a word:
    /// somebody's address with a number before it, of which the number goes, and the codes that
    /// Amazon SES sends from.
    ///
    /// | sender | counts as |
    /// |---|---|
    /// | `bounce-123-bob=example.org@list.example.net` | `bounce-#-#@list.example.net` |
    /// | `owner-list-return-57-bob=example.org@example.net` | `owner-list-return-#-#@example.net` |
    /// | `list-return-123-bob=example.org@example.net` | `list-return-#-#@example.net` |
    /// | `bounces+12345-abcd-bob=example.org@em.example.com` | `bounces+#-#-#@em.example.com` |
    /// | `bounce-mc.us1_12345.67890-bob=example.org@example.net` | `bounce-mc.us1_#.#-#@example.net` |
    /// | `0102018f3a4b5c6d-1a2b3c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d-000000@example.com` | `#@example.com` |
    /// | `news-4711-bob=example.org@example.net` | `news-#-bob=example.org@example.net` |
    /// | `list2024-bounces@example.net` | `list2024-bounces@example.net` |
    pub reduce_verp: bool,

    /// Senders that a forwarder has rewritten (SRS), senders only: the hash and the day in them. The
    /// original address stays, itself normalised.
    ///
    /// | sender | counts as |
    /// |---|---|
    /// | `SRS0=k3Xz=7T=example.net=alice@example.com` | `srs0=#=#=example.net=alice@example.com` |
    /// | `SRS0+k3Xz=7T=example.net=alice@example.com` | `srs0+#=#=example.net=alice@example.com` |
    /// | `SRS1=pQ4r=example.com==k3Xz=7T=example.net=alice@example.org` | `srs1=#=example.com==#=#=example.net=alice@example.org` |
    /// | `bob+SRS=k3Xz4=7T=example.net=alice@example.com` | `bob+srs=#=#=example.net=alice@example.com` |
    pub reduce_srs: bool,

    /// Senders signed with the day (BATV), senders only: the signature.
    ///
    /// | sender | counts as |
    /// |---|---|
    /// | `prvs=0123abcdef=alice@example.net` | `alice@example.net` |
    /// | `prvs=alice/0123abcdef@example.net` | `alice@example.net` |
    /// | `prvs=alice=0123abcdef@example.net` | `alice@example.net` |
    /// | `btv1==0123abcdef0==alice@example.net` | `alice@example.net` |
    pub reduce_batv: bool,
}

impl Normalisation {
    /// Every reduction.
    pub const ALL: Self = Self {
        fold_case: true,
        strip_extension: true,
        reduce_verp: true,
        reduce_srs: true,
        reduce_batv: true,
    };
    /// None: addresses count byte for byte.
    pub const NONE: Self = Self {
        fold_case: false,
        strip_extension: false,
        reduce_verp: false,
        reduce_srs: false,
        reduce_batv: false,
    };
}

impl Default for Normalisation {
    fn default() -> Self {
        Self::ALL
    }
}

/// What of a query makes its tuple.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What of an IPv4 client counts.
    pub prefix_v4: PrefixV4,
    /// What of an IPv6 client counts.
    pub prefix_v6: PrefixV6,
    /// What of the addresses counts.
    pub normalisation: Normalisation,
}

impl Default for Identity {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The first byte of what is hashed: what the key is a key of. Other kinds of key will share the
/// table; their first byte keeps them apart. These numbers are part of what a store remembers.
#[repr(u8)]
enum KeyKind {
    Tuple = 1,
}

impl Identity {
    /// Client networks /24 and /64, addresses fully reduced.
    pub const DEFAULT: Self = Self {
        prefix_v4: PrefixV4::DEFAULT,
        prefix_v6: PrefixV6::DEFAULT,
        normalisation: Normalisation::ALL,
    };
    /// As X-Grey 1.0: the client's very address, sender and recipient byte for byte.
    pub const EXACT: Self = Self {
        prefix_v4: PrefixV4::EXACT,
        prefix_v6: PrefixV6::EXACT,
        normalisation: Normalisation::NONE,
    };

    /// The tuple that `query` belongs to. `scratch` is cleared and used; it keeps its capacity, so
    /// that a steady stream of queries allocates nothing.
    ///
    /// Hashed are, by SipHash-2-4 with 128 bits of result:
    /// ```text
    /// 0: 1 (a tuple) | 1: 4 or 6 | 2: the network's 4 or 16 bytes | then: the sender's length, u64
    /// little-endian | the sender, normalised | the recipient, normalised
    /// ```
    /// The family fixes the network's length and the recipient is all the rest, so that no two
    /// tuples are the same bytes. A store keeps keys across restarts: the layout is a file format.
    pub fn key(&self, hash_key: &HashKey, query: &Query<'_>, scratch: &mut Vec<u8>) -> TupleKey {
        const LENGTH_BYTES: usize = size_of::<u64>();
        scratch.clear();
        scratch.push(KeyKind::Tuple as u8);
        match self.client_network(query.client) {
            IpNet::V4(network) => {
                scratch.push(4);
                scratch.extend_from_slice(&network.addr().octets());
            }
            IpNet::V6(network) => {
                scratch.push(6);
                scratch.extend_from_slice(&network.addr().octets());
            }
        }
        let length_at = scratch.len();
        scratch.extend_from_slice(&[0; LENGTH_BYTES]);
        let sender_at = scratch.len();
        self.normalise_sender(query.sender, scratch);
        let sender_length = (scratch.len() - sender_at) as u64;
        scratch[length_at..sender_at].copy_from_slice(&sender_length.to_le_bytes());
        self.normalise_recipient(query.recipient, scratch);

        let mut hasher = SipHasher24::new_with_key(hash_key.as_bytes());
        hasher.write(scratch);
        let hash = hasher.finish128();
        TupleKey(u128::from(hash.h2) << 64 | u128::from(hash.h1))
    }

    /// The network that stands for the client, such as `192.0.2.0/24`.
    pub fn client_network(&self, client: Client) -> IpNet {
        // An assertion rather than an error: both prefix types end where their family does.
        const FITS: &str = "a prefix is not longer than its address";
        match client.address() {
            std::net::IpAddr::V4(address) => {
                Ipv4Net::new(address, self.prefix_v4.0).expect(FITS).trunc().into()
            }
            std::net::IpAddr::V6(address) => {
                Ipv6Net::new(address, self.prefix_v6.0).expect(FITS).trunc().into()
            }
        }
    }

    /// Appends the sender in the form that counts, and says how it differs from what came.
    pub fn normalise_sender(&self, sender: &[u8], out: &mut Vec<u8>) -> Reductions {
        if self.normalisation == Normalisation::NONE {
            out.extend_from_slice(sender);
            return Reductions::NONE;
        }
        let (local, domain) = split_address(sender);
        let start = out.len();
        let mut applied = self.reduce_sender(local, domain.unwrap_or_default(), out);
        self.finish(start, domain, out, &mut applied);
        applied
    }

    /// Appends the recipient in the form that counts, and says how it differs from what came.
    pub fn normalise_recipient(&self, recipient: &[u8], out: &mut Vec<u8>) -> Reductions {
        if self.normalisation == Normalisation::NONE {
            out.extend_from_slice(recipient);
            return Reductions::NONE;
        }
        let (mut local, domain) = split_address(recipient);
        let start = out.len();
        let mut applied = Reductions::NONE;
        if self.normalisation.fold_case
            && let Some(plain) = unquoted(local)
        {
            local = plain;
            applied.insert(Reduction::Spelling);
        }
        if self.normalisation.strip_extension
            && !is_quoted(local)
            && matches!(srs::find(local), srs::Found::Nothing)
            && let Some(end) = extension(local)
        {
            local = &local[..end];
            applied.insert(Reduction::Extension);
        }
        out.extend_from_slice(local);
        self.finish(start, domain, out, &mut applied);
        applied
    }

    /// Appends a sender's local part without what changes. Goes from the outermost rewriting inwards:
    /// a forwarder's may hold a signed address, which may have an extension.
    fn reduce_sender<'a>(
        &self,
        mut local: &'a [u8],
        mut domain: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Reductions {
        let switches = self.normalisation;
        let mut applied = Reductions::NONE;
        let marked = |byte: &u8| matches!(byte, b'"' | b'+' | b'=' | b'/');
        if !local.iter().any(marked) && !srs::is_tagged(local) {
            // Most people's: nothing that a quote, extension, signature or forwarder leaves.
            if !switches.reduce_verp {
                out.extend_from_slice(local);
            } else if verp::reduce(local, domain, out) {
                applied.insert(Reduction::Verp);
            }
            return applied;
        }
        loop {
            // Each turn takes something off `local`. The cheap looks at its ends come first, and
            // only a turn in which they find nothing looks all through it: that keeps this linear.
            if let Some(plain) = unquoted(local).filter(|_| switches.fold_case) {
                local = plain;
                applied.insert(Reduction::Spelling);
            } else if is_quoted(local) {
                break;
            } else if let Some(unsigned) = batv::unsigned(local) {
                if !switches.reduce_batv {
                    break;
                }
                local = unsigned;
                applied.insert(Reduction::Batv);
            } else {
                match srs::find(local) {
                    srs::Found::Head(head) if switches.reduce_srs => {
                        if head.write(local, out) {
                            applied.insert(Reduction::Srs);
                        }
                        domain = &local[head.domain];
                        local = &local[head.length..];
                    }
                    srs::Found::Head(_) | srs::Found::Malformed => break,
                    srs::Found::Nothing => {
                        let cut = extension(local)
                            .filter(|_| switches.strip_extension && !verp::is_all_payload(local));
                        if let Some(end) = cut {
                            local = &local[..end];
                            applied.insert(Reduction::Extension);
                            continue;
                        }
                        if switches.reduce_verp {
                            if verp::reduce(local, domain, out) {
                                applied.insert(Reduction::Verp);
                            }
                            return applied;
                        }
                        break;
                    }
                }
            }
        }
        out.extend_from_slice(local);
        applied
    }

    /// Appends the domain to the local part at `start`, and folds both.
    fn finish(
        &self,
        start: usize,
        domain: Option<&[u8]>,
        out: &mut Vec<u8>,
        applied: &mut Reductions,
    ) {
        if let Some(mut domain) = domain {
            out.push(b'@');
            while self.normalisation.fold_case
                && let Some(shorter) = domain.strip_suffix(b".")
            {
                domain = shorter;
                applied.insert(Reduction::Spelling);
            }
            out.extend_from_slice(domain);
        }
        if self.normalisation.fold_case && out[start..].iter().any(u8::is_ascii_uppercase) {
            out[start..].make_ascii_lowercase();
            applied.insert(Reduction::Spelling);
        }
    }
}

fn is_quoted(local: &[u8]) -> bool {
    local.starts_with(b"\"")
}

/// What stands between the quotes of a quoted local part without escapes.
fn unquoted(local: &[u8]) -> Option<&[u8]> {
    let plain = local.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let escapes = plain.iter().any(|byte| matches!(byte, b'"' | b'\\'));
    (!plain.is_empty() && !escapes).then_some(plain)
}

/// Where the extension's `+` stands; never at the beginning.
fn extension(local: &[u8]) -> Option<usize> {
    let name_at = local.iter().position(|&byte| byte != b'+')?;
    local[name_at..].iter().position(|&byte| byte == b'+').map(|plus| name_at + plus)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH_KEY: HashKey = HashKey::new([7; 16]);

    fn key(identity: &Identity, client: &str, sender: &str, recipient: &str) -> TupleKey {
        let client = Client::new(client.parse().unwrap());
        let query = Query::new(client, sender.as_bytes(), recipient.as_bytes());
        identity.key(&HASH_KEY, &query, &mut Vec::new())
    }

    #[test]
    fn each_example_in_the_documentation_is_true() {
        let mut examples = 0;
        for line in include_str!("identity.rs").lines() {
            let Some(row) = line.strip_prefix("    /// | `") else { continue };
            let (original, counted) = row.split_once("` | `").unwrap();
            let mut out = Vec::new();
            Identity::DEFAULT.normalise_sender(original.as_bytes(), &mut out);
            assert_eq!(str::from_utf8(&out).unwrap(), counted.strip_suffix("` |").unwrap());
            examples += 1;
        }
        assert!(examples >= 20, "only {examples} found");
    }

    #[test]
    fn a_client_counts_by_its_network() {
        let wide = Identity {
            prefix_v4: PrefixV4::new(8).unwrap(),
            prefix_v6: PrefixV6::new(16).unwrap(),
            ..Identity::DEFAULT
        };
        for (identity, client, network) in [
            (&Identity::DEFAULT, "192.0.2.7", "192.0.2.0/24"),
            (&Identity::DEFAULT, "::ffff:192.0.2.7", "192.0.2.0/24"),
            (&Identity::DEFAULT, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            (&Identity::EXACT, "192.0.2.7", "192.0.2.7/32"),
            (&Identity::EXACT, "2001:db8::7", "2001:db8::7/128"),
            (&wide, "192.0.2.7", "192.0.0.0/8"),
            (&wide, "2001:db8::7", "2001::/16"),
        ] {
            let client = Client::new(client.parse().unwrap());
            assert_eq!(identity.client_network(client).to_string(), network);
        }
    }

    #[test]
    fn a_prefix_that_is_too_short_or_too_long_is_refused() {
        assert_eq!(PrefixV4::new(7), Err(PrefixError { bits: 7, min: 8, max: 32 }));
        assert_eq!(PrefixV4::new(33), Err(PrefixError { bits: 33, min: 8, max: 32 }));
        assert_eq!(PrefixV6::new(15), Err(PrefixError { bits: 15, min: 16, max: 128 }));
        assert_eq!(PrefixV6::new(129), Err(PrefixError { bits: 129, min: 16, max: 128 }));
        assert_eq!(PrefixV4::new(24), Ok(PrefixV4::DEFAULT));
        assert_eq!(PrefixV6::new(64), Ok(PrefixV6::DEFAULT));
        assert_eq!(
            PrefixV4::new(0).unwrap_err().to_string(),
            "a client prefix of 0 bits cannot be: use 8 to 32"
        );
    }

    #[test]
    fn a_retry_from_the_same_network_in_another_spelling_is_the_same_tuple() {
        let first = key(&Identity::DEFAULT, "192.0.2.7", "bounce-1@example.net", "bob@example.org");
        let retry =
            key(&Identity::DEFAULT, "192.0.2.99", "Bounce-2@example.net.", "Bob+x@Example.org");
        assert_eq!(first, retry);
    }

    #[test]
    fn nothing_moves_between_the_parts_of_a_tuple() {
        let tuples = [
            ("192.0.2.7", "a", "bc"),
            ("192.0.2.7", "ab", "c"),
            ("192.0.2.7", "abc", ""),
            ("192.0.2.7", "", "abc"),
            ("192.0.2.7", "bc", "a"),
            ("192.0.3.7", "a", "bc"),
            ("::192.0.2.7", "a", "bc"),
            ("2001:db8::7", "a", "bc"),
            ("2001:db8:0:1::7", "a", "bc"),
        ];
        let keys = tuples.map(|(client, a, b)| key(&Identity::DEFAULT, client, a, b));
        for (index, one) in keys.iter().enumerate() {
            for other in &keys[index + 1..] {
                assert_ne!(one, other);
            }
        }
    }

    #[test]
    fn exact_identity_tells_all_apart_that_is_written_differently() {
        let exact = |client, sender, recipient| key(&Identity::EXACT, client, sender, recipient);
        let one = exact("192.0.2.7", "alice@example.net", "bob@example.org");
        assert_eq!(one, exact("::ffff:192.0.2.7", "alice@example.net", "bob@example.org"));
        assert_ne!(one, exact("192.0.2.8", "alice@example.net", "bob@example.org"));
        assert_ne!(one, exact("192.0.2.7", "Alice@example.net", "bob@example.org"));
        assert_ne!(one, exact("192.0.2.7", "alice@example.net", "bob+x@example.org"));
    }

    /// The compact store keeps keys on disk, the cluster store in its nodes: should this number
    /// ever change, every server forgets all that it knew.
    #[test]
    fn the_key_of_a_known_tuple_is_the_one_that_stores_remember() {
        let known = key(&Identity::DEFAULT, "192.0.2.7", "alice@example.net", "bob@example.org");
        assert_eq!(known.0, 74_062_189_115_555_032_786_669_226_246_409_395_195);
        let mut bytes = b"\x01\x04\xc0\x00\x02\x00".to_vec();
        bytes.extend_from_slice(b"\x11\0\0\0\0\0\0\0alice@example.netbob@example.org");
        let mut hasher = SipHasher24::new_with_key(HASH_KEY.as_bytes());
        hasher.write(&bytes);
        assert_eq!(hasher.finish128().as_u128(), known.0);
    }

    #[test]
    fn another_secret_makes_other_keys_and_is_never_shown() {
        let client = Client::new("192.0.2.7".parse().unwrap());
        let query = Query::new(client, b"alice@example.net", b"bob@example.org");
        let mut scratch = Vec::new();
        let one = Identity::DEFAULT.key(&HASH_KEY, &query, &mut scratch);
        let other = Identity::DEFAULT.key(&HashKey::new([8; 16]), &query, &mut scratch);
        assert_ne!(one, other);
        assert_eq!(format!("{HASH_KEY:?}"), "HashKey(…)");
        assert_ne!(HASH_KEY.fingerprint(), HashKey::new([8; 16]).fingerprint());
    }

    /// Files name their key so.
    #[test]
    fn the_fingerprint_of_a_known_secret_stays_what_it_was() {
        assert_eq!(HASH_KEY.fingerprint(), 9_154_163_940_085_396_681);
    }

    #[test]
    fn a_steady_stream_of_queries_keeps_its_scratch_space() {
        let client = Client::new("192.0.2.7".parse().unwrap());
        let query = Query::new(client, b"bounce-1@example.net", b"bob+x@example.org");
        let mut scratch = Vec::new();
        let first = Identity::DEFAULT.key(&HASH_KEY, &query, &mut scratch);
        let (place, capacity) = (scratch.as_ptr(), scratch.capacity());
        for _ in 0..100 {
            assert_eq!(Identity::DEFAULT.key(&HASH_KEY, &query, &mut scratch), first);
        }
        assert_eq!((scratch.as_ptr(), scratch.capacity()), (place, capacity));
    }
}
