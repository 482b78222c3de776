//! What Postfix asks: one policy request for each recipient, as bytes.
//!
//! The text is laid out once, and what differs from request to request is written over it in place,
//! so that making a request costs tens of nanoseconds and no allocation. The attributes and their
//! order are those that Postfix 3.7.11 was seen to send at RCPT: 29 lines `name=value` and an empty
//! one. The names in them are as long as those of large senders, which makes about 900 bytes.
//!
//! Three kinds of request are mixed, each with a share:
//!
//! - *new*: a tuple never asked about before, with a client, sender and recipient of its own;
//! - *known*: one of a pool that was asked about before measuring began, each as likely as another;
//! - *retried*: one of the last few thousand new ones, asked again: a sender that is too quick.
//!
//! All is random, and all of it follows from a seed.

use std::str::FromStr;

/// A share of the requests, in hundredths of a percent: `0..=10_000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Share(u32);

impl Share {
    const ALL: u32 = 10_000;

    /// The share in percent, `0.0..=100.0`.
    pub(crate) fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.strip_suffix('%').unwrap_or(text);
        match number.trim().parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => {
                Ok(Self((percent * 100.0).round() as u32))
            }
            _ => Err("a share is a number of percent from 0 to 100, such as 50%".to_owned()),
        }
    }
}

/// How large a share each kind of request has. What is neither new nor retried is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mix {
    new: Share,
    retried: Share,
}

impl Mix {
    /// A mix of these shares; the rest is known.
    ///
    /// # Errors
    /// When the shares come to more than all.
    pub(crate) fn new(new: Share, retried: Share) -> Result<Self, MixError> {
        if new.0 + retried.0 > Share::ALL { Err(MixError) } else { Ok(Self { new, retried }) }
    }

    /// What is left for known tuples.
    pub(crate) fn known(self) -> Share {
        Share(Share::ALL - self.new.0 - self.retried.0)
    }
}

/// The shares come to more than 100 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MixError;

impl std::fmt::Display for MixError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the shares of new and retried tuples come to more than 100 %")
    }
}

impl std::error::Error for MixError {}

/// Known tuples have numbers below this, new ones from it on.
const FIRST_NEW: u64 = 1 << 32;
/// A retry is of one of so many newest tuples: at 100,000 requests/s, of the last 80 ms or so.
const RETRIED_MAX: u64 = 4096;

/// Makes requests, one at a time, in a buffer of its own.
#[derive(Debug)]
pub(crate) struct Requests {
    templates: Vec<Template>,
    seed: u64,
    random: u64,
    mix: Mix,
    /// How many tuples are in the pool of known ones.
    pool: u64,
    new: u64,
    made: u64,
}

impl Requests {
    /// Requests that follow from `seed`. With an empty pool, what should be known is new.
    pub(crate) fn new(seed: u64, mix: Mix, pool: u32) -> Self {
        Self {
            templates: SHAPES.iter().map(Template::new).collect(),
            seed: scramble(seed),
            random: scramble(!seed),
            mix,
            pool: u64::from(pool),
            new: 0,
            made: 0,
        }
    }

    /// How many tuples are in the pool of known ones.
    pub(crate) fn pool(&self) -> u32 {
        self.pool as u32
    }

    /// Makes the pool smaller: only its first `pool` tuples have been asked about.
    pub(crate) fn shrink_pool(&mut self, pool: u32) {
        self.pool = self.pool.min(u64::from(pool));
    }

    /// How many new tuples have been asked about.
    pub(crate) fn new_tuples(&self) -> u64 {
        self.new
    }

    /// The next request of the mix.
    pub(crate) fn next(&mut self) -> &[u8] {
        let draw = self.below(u64::from(Share::ALL)) as u32;
        let number = if draw < self.mix.new.0 {
            self.new_number()
        } else if draw < self.mix.new.0 + self.mix.retried.0 {
            match self.new.min(RETRIED_MAX) {
                0 => self.new_number(),
                newest => FIRST_NEW + self.new - 1 - self.below(newest),
            }
        } else if self.pool > 0 {
            self.below(self.pool)
        } else {
            self.new_number()
        };
        self.make(number)
    }

    /// The request about a tuple of the pool: `0..pool`.
    pub(crate) fn known(&mut self, number: u32) -> &[u8] {
        self.make(u64::from(number))
    }

    fn new_number(&mut self) -> u64 {
        self.new += 1;
        FIRST_NEW + self.new - 1
    }

    fn make(&mut self, number: u64) -> &[u8] {
        // Different numbers give different tuples: every step of it can be undone.
        let id = scramble(self.seed.wrapping_add(number.wrapping_mul(GOLDEN)));
        self.made += 1;
        let template = &mut self.templates[(id % SHAPES.len() as u64) as usize];
        template.fill(id, self.made);
        &template.bytes
    }

    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(GOLDEN);
        scramble(self.random)
    }

    /// A random number below `bound`, which is below 2³².
    fn below(&mut self, bound: u64) -> u64 {
        ((self.draw() >> 32) * bound) >> 32
    }
}

/// 2⁶⁴ divided by the golden ratio, made odd: steps of it come round to all 64-bit numbers.
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes the bits of a number so that neighbours look unrelated; different in, different out.
/// It is SplitMix64's (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
pub(crate) fn scramble(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// One kind of mail: how its requests look, but for what is filled in. In the texts, `{…}` stands
/// for what differs from tuple to tuple, always of the same width.
#[derive(Debug)]
struct Shape {
    /// The client's network; the rest of its address is filled in.
    client: &'static str,
    client_name: &'static str,
    reverse_client_name: &'static str,
    helo_name: &'static str,
    sender: &'static str,
    recipient: &'static str,
    size: &'static str,
    encryption: [&'static str; 3],
}

const SHAPES: [Shape; 4] = [
    Shape {
        client: "198.18.{octet}.{octet}",
        client_name: "mail-{host}.outbound.europe-west-04.mta-pool-17.provider.example.net",
        reverse_client_name: "mail-{host}.outbound.europe-west-04.mta-pool-17.provider.example.net",
        helo_name: "mail-{host}.outbound.europe-west-04.mta-pool-17.provider.example.net",
        sender: "notifications.{sender}@mailing-lists.newsletter.example.net",
        recipient: "firstname.lastname.{recipient}@department.example.org",
        size: "48213",
        encryption: ["TLSv1.3", "TLS_AES_256_GCM_SHA384", "256"],
    },
    Shape {
        client: "10.{octet}.{octet}.{octet}",
        client_name: "o{host}.outbound-mail.transactional.us-central.sender.example.com",
        reverse_client_name: "o{host}.outbound-mail.transactional.us-central.sender.example.com",
        helo_name: "o{host}.outbound-mail.transactional.us-central.sender.example.com",
        sender: "orders.and.receipts.{sender}@customer-mail.shop.example.com",
        recipient: "purchasing.{recipient}@offices.example.org",
        size: "112840",
        encryption: ["TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384", "256"],
    },
    Shape {
        client: "198.19.{octet}.{octet}",
        client_name: "unknown",
        reverse_client_name: "static-{host}.business.broadband.region-north.carrier.example.net",
        helo_name: "mailgateway-{host}.head-office.some-manufacturing-company.example.com",
        sender: "sales.department.{sender}@head-office.some-manufacturing-company.example.com",
        recipient: "firstname.middlename.lastname.{recipient}@purchasing.department.example.org",
        size: "0",
        encryption: ["TLSv1.3", "TLS_AES_128_GCM_SHA256", "128"],
    },
    Shape {
        client: "10.{octet}.{octet}.{octet}",
        client_name: "mx-out-{host}.protection.exchange-hosting.datacentre-2.example.net",
        reverse_client_name: "mx-out-{host}.protection.exchange-hosting.datacentre-2.example.net",
        helo_name: "mx-out-{host}.protection.exchange-hosting.datacentre-2.example.net",
        sender: "accounts.payable.{sender}@subsidiary.group-of-companies.example.net",
        recipient: "newsletter.subscriber.{recipient}@example.org",
        size: "1048576",
        encryption: ["TLSv1.3", "TLS_AES_256_GCM_SHA384", "256"],
    },
];

/// What is filled in, in one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Octet,
    Host,
    Sender,
    Recipient,
    Port,
    Instance,
}

/// Each field as the shapes write it, and what its place holds until it is filled in.
const FIELDS: [(Field, &str, &str); 6] = [
    (Field::Octet, "{octet}", "100"),
    (Field::Host, "{host}", "aaaaaaaa"),
    (Field::Sender, "{sender}", "aaaaaaaaaaaaaaaa"),
    (Field::Recipient, "{recipient}", "aaaaaaaa"),
    (Field::Port, "{port}", "10000"),
    (Field::Instance, "{instance}", "00000000.00000"),
];

/// A request's bytes and the places in them that are filled in.
#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    places: Vec<(Field, usize)>,
}

impl Template {
    fn new(shape: &Shape) -> Self {
        let [protocol, cipher, keysize] = shape.encryption;
        let attributes: [(&str, &str); 29] = [
            ("request", "smtpd_access_policy"),
            ("protocol_state", "RCPT"),
            ("protocol_name", "ESMTP"),
            ("client_address", shape.client),
            ("client_name", shape.client_name),
            ("client_port", "{port}"),
            ("reverse_client_name", shape.reverse_client_name),
            ("server_address", "198.51.100.25"),
            ("server_port", "25"),
            ("helo_name", shape.helo_name),
            ("sender", shape.sender),
            ("recipient", shape.recipient),
            ("recipient_count", "0"),
            ("queue_id", ""),
            ("instance", "380e.{instance}.0"),
            ("size", shape.size),
            ("etrn_domain", ""),
            ("stress", ""),
            ("sasl_method", ""),
            ("sasl_username", ""),
            ("sasl_sender", ""),
            ("ccert_subject", ""),
            ("ccert_issuer", ""),
            ("ccert_fingerprint", ""),
            ("ccert_pubkey_fingerprint", ""),
            ("encryption_protocol", protocol),
            ("encryption_cipher", cipher),
            ("encryption_keysize", keysize),
            ("policy_context", ""),
        ];
        let mut template = Self { bytes: Vec::with_capacity(1024), places: Vec::new() };
        for (name, value) in attributes {
            template.bytes.extend_from_slice(name.as_bytes());
            template.bytes.push(b'=');
            template.push_value(value);
            template.bytes.push(b'\n');
        }
        template.bytes.push(b'\n');
        template
    }

    /// Appends a value, its fields as what they hold for now, and notes where they are.
    fn push_value(&mut self, value: &str) {
        let mut rest = value;
        while let Some(open) = rest.find('{') {
            let (text, marked) = rest.split_at(open);
            self.bytes.extend_from_slice(text.as_bytes());
            let known = FIELDS.iter().find(|(_, mark, _)| marked.starts_with(mark));
            let Some((field, mark, filler)) = known else {
                unreachable!("the shapes are constants, and a test makes all of them: {value}");
            };
            self.places.push((*field, self.bytes.len()));
            self.bytes.extend_from_slice(filler.as_bytes());
            rest = &marked[mark.len()..];
        }
        self.bytes.extend_from_slice(rest.as_bytes());
    }

    /// Writes the tuple `id` and what is different for each mail over the template.
    fn fill(&mut self, id: u64, made: u64) {
        let sender = letters::<16>(id);
        let other = scramble(id);
        let host = letters::<8>(other);
        let recipient = letters::<8>(other >> 32);
        let mut octets = id.rotate_left(24);
        for &(field, at) in &self.places {
            match field {
                Field::Octet => {
                    // 100..=255, so that it is always three digits wide.
                    put(&mut self.bytes, at, &decimal::<3>(100 + octets % 156));
                    octets >>= 16;
                }
                Field::Host => put(&mut self.bytes, at, &host),
                Field::Sender => put(&mut self.bytes, at, &sender),
                Field::Recipient => put(&mut self.bytes, at, &recipient),
                Field::Port => put(&mut self.bytes, at, &decimal::<5>(10_000 + made % 50_000)),
                Field::Instance => {
                    // A second and a microsecond in hexadecimal, as far as anyone can tell.
                    put(&mut self.bytes, at, &hexadecimal::<8>(made >> 20));
                    put(&mut self.bytes, at + 9, &hexadecimal::<5>(made));
                }
            }
        }
    }
}

pub(crate) fn put(bytes: &mut [u8], at: usize, text: &[u8]) {
    bytes[at..at + text.len()].copy_from_slice(text);
}

/// The low bits of a number, four a letter. Letters only: digits in a sender's name may be taken
/// for a mail's running number, and two tuples would become one.
pub(crate) fn letters<const N: usize>(number: u64) -> [u8; N] {
    std::array::from_fn(|at| b'a' + (number >> (4 * at) & 15) as u8)
}

fn hexadecimal<const N: usize>(number: u64) -> [u8; N] {
    std::array::from_fn(|at| b"0123456789abcdef"[(number >> (4 * (N - 1 - at)) & 15) as usize])
}

fn decimal<const N: usize>(mut number: u64) -> [u8; N] {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    digits
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::Ipv4Addr;

    use super::*;
    use proptest::prelude::*;

    fn requests(seed: u64, new: &str, retried: &str, pool: u32) -> Requests {
        let mix = Mix::new(new.parse().unwrap(), retried.parse().unwrap()).unwrap();
        Requests::new(seed, mix, pool)
    }

    fn value<'a>(request: &'a str, name: &str) -> &'a str {
        let line = request.lines().find(|line| line.split('=').next() == Some(name));
        line.and_then(|line| line.split_once('=')).map(|(_, value)| value).unwrap()
    }

    fn tuple(request: &[u8]) -> String {
        let text = std::str::from_utf8(request).unwrap();
        ["client_address", "sender", "recipient"].map(|name| value(text, name)).join(" ")
    }

    #[test]
    fn a_request_reads_as_postfix_writes_it() {
        let mut requests = requests(1, "100%", "0%", 0);
        let shown = requests.next();
        insta::assert_snapshot!(std::str::from_utf8(shown).unwrap());
    }

    proptest! {
        #[test]
        fn every_request_is_29_attributes_in_about_900_bytes(seed: u64, number in 0..u32::MAX) {
            let mut requests = requests(seed, "50%", "10%", u32::MAX);
            for _ in 0..8 {
                requests.next();
            }
            let text = std::str::from_utf8(requests.known(number)).unwrap();
            prop_assert!((830..=970).contains(&text.len()), "{} bytes", text.len());
            let body = text.strip_suffix("\n\n").unwrap();
            prop_assert_eq!(body.lines().count(), 29);
            prop_assert!(body.lines().all(|line| line.contains('=')));
            let left_open = text.contains('{');
            prop_assert!(!left_open);
            let client: Ipv4Addr = value(text, "client_address").parse().unwrap();
            let [a, b, ..] = client.octets();
            prop_assert!(a == 10 || (a == 198 && (b == 18 || b == 19)), "{client}");
        }

        #[test]
        fn the_same_seed_asks_the_same(seed: u64) {
            let (mut one, mut two) =
                (requests(seed, "40%", "20%", 100), requests(seed, "40%", "20%", 100));
            for _ in 0..100 {
                prop_assert_eq!(one.next(), two.next());
            }
        }
    }

    #[test]
    fn a_new_tuple_is_never_one_that_was_asked_about_before() {
        let mut requests = requests(7, "100%", "0%", 1000);
        let mut seen = HashSet::new();
        for number in 0..1000 {
            assert!(seen.insert(tuple(requests.known(number))));
        }
        for _ in 0..20_000 {
            assert!(seen.insert(tuple(requests.next())));
        }
        assert_eq!(requests.new_tuples(), 20_000);
    }

    #[test]
    fn two_runs_with_different_seeds_share_no_tuple() {
        let tuples = |seed| {
            let mut requests = requests(seed, "100%", "0%", 0);
            (0..10_000).map(|_| tuple(requests.next())).collect::<HashSet<_>>()
        };
        assert_eq!(tuples(1).intersection(&tuples(2)).count(), 0);
    }

    #[test]
    fn the_shares_are_as_asked_for() {
        let mut requests = requests(3, "50%", "10%", 500);
        let pool: HashSet<_> = (0..500).map(|number| tuple(requests.known(number))).collect();
        let mut seen = HashSet::new();
        let (mut new, mut known, mut retried) = (0, 0, 0);
        for _ in 0..20_000 {
            let tuple = tuple(requests.next());
            if pool.contains(&tuple) {
                known += 1;
            } else if seen.insert(tuple) {
                new += 1;
            } else {
                retried += 1;
            }
        }
        assert!((9_500..10_500).contains(&new), "{new} new");
        assert!((7_500..8_500).contains(&known), "{known} known");
        assert!((1_700..2_300).contains(&retried), "{retried} retried");
        assert_eq!(requests.new_tuples(), new);
    }

    #[test]
    fn without_a_pool_or_anything_to_retry_every_tuple_is_new() {
        let mut requests = requests(3, "0%", "0%", 0);
        requests.next();
        assert_eq!(requests.new_tuples(), 1);
        let mut requests = self::requests(3, "0%", "100%", 0);
        let first = tuple(requests.next());
        assert_eq!(tuple(requests.next()), first);
    }

    #[test]
    fn a_share_is_a_number_of_percent() {
        assert_eq!("50%".parse(), Ok(Share(5_000)));
        assert_eq!("12.5".parse(), Ok(Share(1_250)));
        for wrong in ["", "%", "half", "101%", "-1%", "NaN"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
        assert_eq!(Mix::new(Share(6_000), Share(4_001)), Err(MixError));
        assert_eq!(Mix::new(Share(6_000), Share(3_000)).map(Mix::known), Ok(Share(1_000)));
    }
}
