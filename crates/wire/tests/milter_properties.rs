//! What holds for whatever bytes come, in whatever pieces.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod milter_listener;

use greylist::reply::{Replies, Reply, ReplyCode, Template};
use greylist::{Client, Effect, Query, Secs};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use wire::Limits;
use wire::milter::encode;

use milter_listener::{effect, listen, packets};

/// Cuts `stream` at `cuts`.
fn pieces<'a>(stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    at.extend([0, stream.len()]);
    at.sort_unstable();
    at.windows(2).map(|ends| &stream[ends[0]..ends[1]]).collect()
}

fn packet(command: u8, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len() + 1).unwrap();
    [&length.to_be_bytes()[..], &[command], data].concat()
}

/// What an MTA does in a session.
#[derive(Clone, Debug)]
enum Act {
    Negotiate,
    Connect(u8),
    Helo,
    Mail(u8),
    Recipient(u8),
    EndOfMessage,
    Abort,
    NextSession,
    Other(u8),
}

impl Act {
    fn write(&self) -> Vec<u8> {
        let text = |text: String| text.into_bytes();
        match *self {
            Self::Negotiate => packet(b'O', &[0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0x1f, 0xff, 0xff]),
            Self::Connect(n) => packet(b'C', &text(format!("x\x004\0\x19192.0.2.{n}\0"))),
            Self::Helo => packet(b'H', b"mail.example.net\0"),
            Self::Mail(n) => packet(b'M', &text(format!("<s{n}@example.net>\0"))),
            Self::Recipient(n) => packet(b'R', &text(format!("<{}>\0", recipient(n)))),
            Self::EndOfMessage => packet(b'E', b""),
            Self::Abort => packet(b'A', b""),
            Self::NextSession => packet(b'K', b""),
            Self::Other(command) => packet(command, b"R"),
        }
    }
}

/// Recipients of each kind of answer.
fn recipient(n: u8) -> String {
    format!("{}@example.org", ["bob", "carol", "later", "rest", "dave"][usize::from(n % 5)])
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => Just(Act::Negotiate),
        2 => (0..3_u8).prop_map(Act::Connect),
        1 => Just(Act::Helo),
        4 => (0..3_u8).prop_map(Act::Mail),
        8 => any::<u8>().prop_map(Act::Recipient),
        4 => Just(Act::EndOfMessage),
        1 => Just(Act::Abort),
        1 => Just(Act::NextSession),
        1 => select(b"DTLNBU".to_vec()).prop_map(Act::Other),
    ]
}

/// What each act must get, found the obvious way.
#[derive(Default)]
struct Model {
    client: Option<u8>,
    sender: Option<u8>,
    waited: Option<(u32, String)>,
}

impl Model {
    fn expect(&mut self, act: &Act) -> String {
        match *act {
            Act::Negotiate | Act::NextSession => *self = Self::default(),
            Act::Connect(n) => *self = Self { client: Some(n), ..Self::default() },
            Act::Helo | Act::Abort => self.end(),
            Act::Mail(n) => {
                self.end();
                self.sender = Some(n);
            }
            Act::Recipient(n) => return self.recipient(recipient(n)),
            Act::EndOfMessage => {
                let header = self.waited.take().map(|(wait, recipient)| {
                    format!("header delayed {wait} seconds for {recipient}")
                });
                self.end();
                return header.unwrap_or_else(|| "no header".to_owned());
            }
            Act::Other(_) => {}
        }
        "nothing".to_owned()
    }

    fn end(&mut self) {
        self.sender = None;
        self.waited = None;
    }

    fn recipient(&mut self, recipient: String) -> String {
        let (Some(client), Some(sender)) = (self.client, self.sender) else {
            return "excuse".to_owned();
        };
        if let Effect::AddHeader { waited } = effect(recipient.as_bytes())
            && self.waited.as_ref().is_none_or(|(longest, _)| *longest < waited.get())
        {
            self.waited = Some((waited.get(), recipient.clone()));
        }
        format!("192.0.2.{client} <s{sender}@example.net> <{recipient}>")
    }
}

/// Bytes that look like packets to someone who does not look closely.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        8 => act().prop_map(|act| act.write()),
        2 => (select(b"ODCHMRTLNBEAUQK?".to_vec()), vec(any::<u8>(), 0..90))
            .prop_map(|(command, data)| packet(command, &data)),
        1 => vec(any::<u8>(), 0..6),
    ];
    vec(fragment, 0..30).prop_map(|fragments| fragments.concat())
}

proptest! {
    #[test]
    fn any_bytes_mean_the_same_wherever_they_are_cut(
        stream in stream(),
        limit in 0..120_usize,
        cuts in vec(any::<Index>(), 0..12),
    ) {
        let limits = Limits { request_bytes_max: limit };
        let whole = listen(limits, [stream.as_slice()]);
        prop_assert_eq!(listen(limits, pieces(&stream, &cuts)), whole.clone());
        prop_assert_eq!(listen(limits, stream.chunks(1)), whole);
    }

    #[test]
    fn a_session_is_asked_about_as_the_obvious_model_says(acts in vec(act(), 0..60)) {
        let mut stream = Act::Negotiate.write();
        stream.extend(acts.iter().flat_map(Act::write));
        let seen = listen(Limits::default(), [stream.as_slice()]);
        prop_assert_eq!(seen.len(), acts.len() + 1);
        let mut model = Model::default();
        for (act, seen) in acts.iter().zip(&seen[1..]) {
            let expected = model.expect(act);
            let text = &seen.text;
            let holds = match expected.as_str() {
                "nothing" => !text.contains(": ask") && !text.contains("\n  c "),
                "no header" => text.ends_with("end of message\n  c "),
                "excuse" => text.contains(": excuse missing") && text.ends_with("\n  c "),
                header if header.starts_with("header ") => {
                    text.contains(&header["header ".len()..]) && text.ends_with("\n  c ")
                }
                asked => asked.split(' ').all(|part| text.contains(part)) && text.contains(": ask "),
            };
            prop_assert!(holds, "{act:?}: expected {expected:?}, got {text:?}");
        }
    }

    #[test]
    fn no_peer_is_asked_for_more_than_it_offers(
        version in 2..9_u32,
        actions in any::<u32>(),
        steps in any::<u32>(),
    ) {
        let offer = packet(b'O', &[version, actions, steps].map(u32::to_be_bytes).concat());
        let text = listen(Limits::default(), [offer.as_slice()])[0].text.clone();
        let mut session = wire::milter::Session::default();
        let mut decoder = wire::milter::Decoder::new(Limits::default());
        let wire::milter::Decoded::Message { packet, .. } = decoder.decode(&offer) else {
            return Err(TestCaseError::fail(text));
        };
        let wire::milter::Step::Agree(agreed) = session.take(&packet) else {
            return Err(TestCaseError::fail(text));
        };
        let mut out = Vec::new();
        agreed.encode(&mut out);
        let (_, data) = packets(&out)[0];
        let word = |at: usize| u32::from_be_bytes(data[at..at + 4].try_into().unwrap());
        prop_assert_eq!(word(0), version.min(6));
        prop_assert_eq!(word(4) & !actions, 0);
        prop_assert_eq!(word(8) & !steps, 0);
        prop_assert_eq!(data.len() > 12, actions & 0x100 != 0, "macros are chosen where they can be");
    }

    #[test]
    fn a_reply_is_one_line_of_utf8(
        sender in vec(any::<u8>(), 0..300),
        recipient in vec(any::<u8>(), 0..300),
        effect in prop_oneof![
            Just(Effect::NoObjection),
            Just(Effect::Reject),
            any::<u32>().prop_map(|wait| Effect::Defer { wait: Secs::new(wait) }),
        ],
        (defer_code, reject_code) in (400..460_u16, 500..560_u16),
    ) {
        let text = || Template::parse("% {client} {sender} {recipient} {wait}").unwrap();
        let replies = Replies::new(
            Reply::new(ReplyCode::defer(defer_code).unwrap(), None, text()).unwrap(),
            Reply::new(ReplyCode::reject(reject_code).unwrap(), None, text()).unwrap(),
            Some(text()),
        )
        .unwrap();
        let query = Query::new(Client::new([192, 0, 2, 7].into()), &sender, &recipient);
        let mut out = Vec::new();
        encode(effect, &query, &replies, &mut out);
        let packets = packets(&out);
        prop_assert_eq!(packets.len(), 1);
        let (command, data) = packets[0];
        if effect == Effect::NoObjection {
            prop_assert_eq!((command, data), (b'c', &b""[..]));
            return Ok(());
        }
        let line = data.strip_suffix(b"\0").and_then(|line| std::str::from_utf8(line).ok());
        prop_assert!(line.is_some_and(|line| !line.contains(char::is_control)), "{:?}", data);
        prop_assert_eq!(line.unwrap().replace("%%", "").matches('%').count(), 0);
        let code = &line.unwrap()[..3];
        prop_assert_ne!(code, "450", "that is said as 451");
    }
}
