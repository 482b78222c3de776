//! What holds for whatever bytes come, in whatever pieces.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod listener;

use greylist::reply::{Replies, Reply, ReplyCode, Template};
use greylist::{Client, Effect, Query, Secs, Trust};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use wire::Limits;
use wire::postfix::{Decoded, Decoder, Request, encode};

use listener::{listen, render};

/// Cuts `stream` at `cuts`.
fn pieces<'a>(stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    at.extend([0, stream.len()]);
    at.sort_unstable();
    at.windows(2).map(|ends| &stream[ends[0]..ends[1]]).collect()
}

/// A query's attributes as Postfix would write them.
fn write(query: &Query<'_>) -> Vec<u8> {
    let address = query.client.to_string();
    let (user, subject): (&[u8], &[u8]) = match query.trust {
        Trust::Stranger => (b"", b""),
        Trust::Authenticated => (b"alice", b"relay.example.net"),
        Trust::Certificate => (b"", b"relay.example.net"),
    };
    let mut out = Vec::new();
    for (name, value) in [
        ("request", b"smtpd_access_policy".as_slice()),
        ("protocol_state", b"RCPT"),
        ("client_address", address.as_bytes()),
        ("client_name", query.client_name.unwrap_or(b"unknown")),
        ("reverse_client_name", b"liar.example.net"),
        ("helo_name", query.helo),
        ("sender", query.sender),
        ("recipient", query.recipient),
        ("queue_id", query.queue_id),
        ("instance", query.instance),
        ("sasl_method", b"PLAIN"),
        ("sasl_username", user),
        ("ccert_subject", subject),
        ("ccert_fingerprint", b"C2:9D:F4:87"),
    ] {
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value);
        out.push(b'\n');
    }
    out.push(b'\n');
    out
}

/// A query that owns what [`Query`] borrows.
#[derive(Clone, Debug)]
struct Owned {
    client: Client,
    client_name: Option<Vec<u8>>,
    texts: [Vec<u8>; 5],
    trust: Trust,
}

impl Owned {
    fn query(&self) -> Query<'_> {
        let [helo, sender, recipient, instance, queue_id] = &self.texts;
        Query {
            client_name: self.client_name.as_deref(),
            helo,
            trust: self.trust,
            instance,
            queue_id,
            ..Query::new(self.client, sender, recipient)
        }
    }
}

/// Any bytes that stay what they are on a line of their own: no line ends, no brackets round them.
fn value(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), length).prop_map(|mut value| {
        for byte in &mut value {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b'.';
            }
        }
        if let Some(first @ b'<') = value.first_mut() {
            *first = b'(';
        }
        value
    })
}

fn query() -> impl Strategy<Value = Owned> {
    let name = prop::option::of(value(1..40))
        .prop_filter("none", |name| name.as_deref() != Some(b"unknown"));
    let texts = (value(0..60), value(0..60), value(1..60), value(0..20), value(0..20));
    let trust = select(vec![Trust::Stranger, Trust::Authenticated, Trust::Certificate]);
    (any::<std::net::IpAddr>(), name, texts, trust).prop_map(
        |(address, client_name, (helo, sender, recipient, instance, queue_id), trust)| Owned {
            client: Client::new(address),
            client_name,
            texts: [helo, sender, recipient, instance, queue_id],
            trust,
        },
    )
}

/// Bytes that look like requests to someone who does not look closely.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        4 => Just(b"\n".to_vec()),
        2 => Just(b"\r\n".to_vec()),
        2 => Just(b"\n\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"=".to_vec()),
        1 => Just(b"request=smtpd_access_policy\n".to_vec()),
        1 => Just(b"protocol_state=DATA\n".to_vec()),
        1 => Just(b"client_address=192.0.2.7\n".to_vec()),
        1 => Just(b"sender=<a@example.net>\n".to_vec()),
        1 => Just(b"recipient=b@example.org".to_vec()),
        2 => vec(any::<u8>(), 0..20),
    ];
    vec(fragment, 0..40).prop_map(|fragments| fragments.concat())
}

/// Where the requests of `stream` end, and whether they are too long, found the obvious way: all
/// lines at hand, one after the other.
fn ends(stream: &[u8], limit: usize) -> Vec<(usize, bool)> {
    let (mut ends, mut start, mut at) = (Vec::new(), 0, 0);
    for line in stream.split_inclusive(|&byte| byte == b'\n') {
        at += line.len();
        let blank = matches!(line, b"\n" | b"\r\n");
        if blank && at - line.len() > start {
            ends.push((at, at - start > limit));
        }
        if blank {
            start = at;
        }
    }
    // Of a rest that has no end it is only known how much there is: the end would be one more byte.
    if at > start && &stream[start..] != b"\r" {
        ends.push((at, at - start >= limit));
    }
    ends
}

#[test]
fn a_request_that_is_too_long_ends_at_its_empty_line_wherever_its_limit_cuts_it() {
    for too_long in ["x=1\n\r=\r\nz=\n\n", "x=1\r\ny=2\r\n\r\n", "x=1234567890\r\n\r\n"] {
        let stream = format!("{too_long}y=2\n\n");
        for limit in 5..too_long.len() {
            for length in 1..stream.len() {
                let limits = Limits { request_bytes_max: limit };
                let seen = listen(limits, stream.as_bytes().chunks(length));
                let seen: Vec<(usize, bool)> =
                    seen.iter().map(|seen| (seen.end, seen.text.contains("too-long"))).collect();
                assert_eq!(seen, [(too_long.len(), true), (stream.len(), false)], "limit {limit}");
            }
        }
    }
}

proptest! {
    #[test]
    fn requests_mean_the_same_wherever_the_stream_is_cut(
        queries in vec(query(), 1..5),
        lost in 0..3_usize,
        cuts in vec(any::<Index>(), 0..12),
    ) {
        let mut stream: Vec<u8> = queries.iter().flat_map(|owned| write(&owned.query())).collect();
        stream.truncate(stream.len() - lost);
        let seen = listen(Limits::default(), pieces(&stream, &cuts));
        let texts: Vec<String> = seen.into_iter().map(|seen| seen.text).collect();
        let asked: Vec<String> =
            queries.iter().map(|owned| render(&Request::Ask(owned.query()))).collect();
        prop_assert_eq!(texts, asked);
    }

    #[test]
    fn any_bytes_mean_the_same_wherever_they_are_cut(
        stream in stream(),
        limit in 0..200_usize,
        cuts in vec(any::<Index>(), 0..12),
    ) {
        let limits = Limits { request_bytes_max: limit };
        let whole = listen(limits, [stream.as_slice()]);
        prop_assert_eq!(listen(limits, pieces(&stream, &cuts)), whole.clone());
        prop_assert_eq!(listen(limits, stream.chunks(1)), whole);
    }

    #[test]
    fn requests_end_where_their_empty_lines_are(stream in stream(), limit in 2..200_usize) {
        let seen = listen(Limits { request_bytes_max: limit }, stream.chunks(7));
        let seen: Vec<(usize, bool)> = seen
            .iter()
            .map(|seen| (seen.end, seen.text.starts_with("faulty too-long")))
            .collect();
        prop_assert_eq!(seen, ends(&stream, limit));
    }

    #[test]
    fn what_is_written_is_read_back(owned in query()) {
        let bytes = write(&owned.query());
        let decoded = Decoder::new(Limits::default()).decode(&bytes);
        let request = Request::Ask(owned.query());
        prop_assert_eq!(decoded, Decoded::Message { used: bytes.len(), request });
    }

    #[test]
    fn an_answer_is_one_line_of_utf8_and_an_empty_one(
        owned in query(),
        effect in prop_oneof![
            Just(Effect::NoObjection),
            Just(Effect::Reject),
            any::<u32>().prop_map(|wait| Effect::Defer { wait: Secs::new(wait) }),
            any::<u32>().prop_map(|waited| Effect::AddHeader { waited: Secs::new(waited) }),
        ],
        (defer_code, reject_code) in (400..460_u16, 500..560_u16),
    ) {
        let text = || Template::parse("{client} {sender} {recipient} {wait} {help}").unwrap();
        let replies = Replies::new(
            Reply::new(ReplyCode::defer(defer_code).unwrap(), None, text()).unwrap(),
            Reply::new(ReplyCode::reject(reject_code).unwrap(), None, text()).unwrap(),
            Some(text()),
        )
        .unwrap();
        let mut out = b"before".to_vec();
        encode(effect, &owned.query(), &replies, &mut out);
        let answer = std::str::from_utf8(&out).unwrap();
        let line = answer.strip_prefix("beforeaction=").and_then(|rest| rest.strip_suffix("\n\n"));
        prop_assert!(line.is_some_and(|line| !line.contains(char::is_control)), "{answer:?}");
    }
}
