//! The other side: asking a policy server, and understanding its answer.
//!
//! An answer is an action of Postfix's `access(5)`. Here it comes down to what becomes of a mail at this
//! place: let in, refused, put off. Actions that do something else to a mail that is let in (a header,
//! a copy, a hold) count as let in.
//!
//! Source: Postfix's SMTPD_POLICY_README and `access(5)`.

use std::fmt;

use greylist::{Query, Trust};

/// The longest answer that is read, in bytes: an action and the longest SMTP reply that makes sense
/// (RFC 5321, section 4.5.3.1.5: 512).
pub const ANSWER_BYTES_MAX: usize = 4 * 1024;

/// What becomes of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// No objection.
    Accept,
    /// Refused for good.
    Reject,
    /// To be tried again later.
    Defer,
}

/// What a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// What becomes of the mail.
    pub fate: Fate,
    /// The whole action, such as `DEFER_IF_PERMIT 4.7.1 Greylisted`.
    pub action: &'a [u8],
}

/// What a client is told that is put off or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// The SMTP reply code, 400 to 599.
    pub code: u16,
    /// The text behind it, with its enhanced status code if it has one; never empty.
    pub text: &'a [u8],
}

impl<'a> Answer<'a> {
    /// What to tell the client, if it is put off or refused. Where the action has no code: 451 to put off, as a
    /// milter does it, since greylisting is a "local error in processing" (RFC 5321, section 4.2.3), and 554 to
    /// refuse, as Postfix does it.
    pub fn refusal(&self) -> Option<Refusal<'a>> {
        let (word, text) = self.words();
        let (code, unsaid): (_, &[u8]) = match self.fate {
            Fate::Accept => return None,
            Fate::Defer => (451, b"4.7.1 Try again later"),
            Fate::Reject => (554, b"5.7.1 Rejected"),
        };
        let own = std::str::from_utf8(word).ok().and_then(|word| word.parse().ok());
        let text = if text.is_empty() { unsaid } else { text };
        Some(Refusal { code: own.unwrap_or(code), text })
    }

    /// The header, `Name: value`, that a mail that is let in is to get.
    pub fn header(&self) -> Option<&'a [u8]> {
        let (word, text) = self.words();
        let is_header = word.eq_ignore_ascii_case(b"PREPEND")
            && memchr::memchr(b':', text).is_some_and(|at| {
                // RFC 5322, section 2.2.
                at > 0 && text[..at].iter().all(u8::is_ascii_graphic)
            });
        is_header.then_some(text)
    }

    /// The action's first word, and what follows it.
    fn words(&self) -> (&'a [u8], &'a [u8]) {
        let end = self.action.iter().position(u8::is_ascii_whitespace);
        let (word, text) = self.action.split_at(end.unwrap_or(self.action.len()));
        (word, text.trim_ascii())
    }
}

/// Why a request can't be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsendable {
    /// The attribute with a byte that would end its line.
    pub attribute: &'static str,
}

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} has a line feed or NUL, which no address has", self.attribute)
    }
}

impl std::error::Error for Unsendable {}

/// Why an answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// Longer than [`ANSWER_BYTES_MAX`].
    TooLong,
    /// No `action=`.
    NoAction,
    /// An action that leaves it to the mail server's other rules what becomes of the mail.
    OtherAction,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the answer is longer than {ANSWER_BYTES_MAX} bytes"),
            Self::NoAction => f.write_str("the answer has no action: is this a policy server?"),
            Self::OtherAction => {
                f.write_str("the answer is none that could be understood without a mail server")
            }
        }
    }
}

impl std::error::Error for NoAnswer {}

/// Appends the request that asks about `query` at RCPT; nothing on an error.
///
/// # Errors
/// When an address has a byte that would end its line.
pub fn encode_request(query: &Query<'_>, out: &mut Vec<u8>) -> Result<(), Unsendable> {
    let client = query.client.address().to_string();
    // To the protocol a login is a name, which a query has not.
    let login: &[u8] = if query.trust == Trust::Authenticated { b"(authenticated)" } else { b"" };
    let certificate: &[u8] = if query.trust == Trust::Certificate { b"(verified)" } else { b"" };
    let attributes: [(&'static str, &[u8]); 12] = [
        ("request", b"smtpd_access_policy"),
        ("protocol_state", b"RCPT"),
        ("protocol_name", b"SMTP"),
        ("client_address", client.as_bytes()),
        ("client_name", query.client_name.unwrap_or(b"unknown")),
        ("helo_name", query.helo),
        ("sender", query.sender),
        ("recipient", query.recipient),
        ("queue_id", query.queue_id),
        ("instance", query.instance),
        ("sasl_username", login),
        ("ccert_subject", certificate),
    ];
    let start = out.len();
    for (at, (attribute, value)) in attributes.into_iter().enumerate() {
        // An attribute without a value is the same as none; the first eight, Postfix's oldest, are always sent.
        if at >= 8 && value.is_empty() {
            continue;
        }
        if value.iter().any(|byte| matches!(byte, b'\n' | b'\0')) {
            out.truncate(start);
            return Err(Unsendable { attribute });
        }
        out.extend_from_slice(attribute.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value);
        out.push(b'\n');
    }
    out.push(b'\n');
    Ok(())
}

/// What `bytes`, all that has come so far, answer; `None` if more must come.
///
/// # Errors
/// When they are no answer, whatever still comes.
pub fn decode_answer(bytes: &[u8]) -> Result<Option<Answer<'_>>, NoAnswer> {
    let mut rest = bytes;
    let mut action = None;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let line = rest[..end].trim_ascii_end();
        rest = &rest[end + 1..];
        if !line.is_empty() {
            action = action.or_else(|| line.strip_prefix(b"action="));
            continue;
        }
        let action = action.ok_or(NoAnswer::NoAction)?.trim_ascii();
        let fate = fate(action).ok_or(NoAnswer::OtherAction)?;
        return Ok(Some(Answer { fate, action }));
    }
    if bytes.len() > ANSWER_BYTES_MAX { Err(NoAnswer::TooLong) } else { Ok(None) }
}

/// What an action comes down to.
fn fate(action: &[u8]) -> Option<Fate> {
    /// `DISCARD` takes the mail, whatever becomes of it then; `DEFER_IF_REJECT` objects only if
    /// something else does.
    const ACCEPT: [&str; 11] = [
        "DUNNO",
        "OK",
        "PREPEND",
        "INFO",
        "WARN",
        "HOLD",
        "FILTER",
        "REDIRECT",
        "BCC",
        "DISCARD",
        "DEFER_IF_REJECT",
    ];
    let word = action.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let is = |name: &&str| word.eq_ignore_ascii_case(name.as_bytes());
    if ACCEPT.iter().any(is) {
        Some(Fate::Accept)
    } else if is(&"REJECT") {
        Some(Fate::Reject)
    } else if is(&"DEFER") || is(&"DEFER_IF_PERMIT") {
        Some(Fate::Defer)
    } else if !word.is_empty() && word.iter().all(u8::is_ascii_digit) {
        // A reply code; any other number means OK, as from tables of relays.
        Some(match (word.len(), word[0]) {
            (3, b'4') => Fate::Defer,
            (3, b'5') => Fate::Reject,
            _ => Fate::Accept,
        })
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use greylist::Client;
    use proptest::prelude::*;

    use super::*;
    use crate::Limits;
    use crate::postfix::{Decoded, Decoder, Request};

    #[test]
    fn actions_come_down_to_three_fates() {
        let rows: [(&str, Option<Fate>); 16] = [
            ("DUNNO", Some(Fate::Accept)),
            ("dunno", Some(Fate::Accept)),
            ("OK", Some(Fate::Accept)),
            ("PREPEND X-Greylist: delayed 61 seconds", Some(Fate::Accept)),
            ("DISCARD", Some(Fate::Accept)),
            ("1", Some(Fate::Accept)),
            ("DEFER_IF_PERMIT 4.7.1 Greylisted, try again in 60 seconds", Some(Fate::Defer)),
            ("defer_if_permit Service temporarily unavailable", Some(Fate::Defer)),
            ("DEFER", Some(Fate::Defer)),
            ("450 4.7.1 Greylisted", Some(Fate::Defer)),
            ("421", Some(Fate::Defer)),
            ("REJECT", Some(Fate::Reject)),
            ("reject I reject your reality", Some(Fate::Reject)),
            ("550 5.7.1 Rejected by local policy", Some(Fate::Reject)),
            ("reject_unknown_client_hostname", None),
            ("", None),
        ];
        for (action, fate) in rows {
            let bytes = format!("action={action}\n\n");
            let want = fate
                .map(|fate| Some(Answer { fate, action: action.as_bytes() }))
                .ok_or(NoAnswer::OtherAction);
            assert_eq!(decode_answer(bytes.as_bytes()), want, "{action}");
        }
    }

    #[test]
    fn an_action_says_what_the_client_is_told() {
        for (action, told) in [
            ("DUNNO", None),
            ("PREPEND X-Greylist: delayed 61 seconds", None),
            ("DEFER_IF_PERMIT 4.7.1 Greylisted", Some((451, "4.7.1 Greylisted"))),
            ("defer", Some((451, "4.7.1 Try again later"))),
            ("452  4.7.1 Later ", Some((452, "4.7.1 Later"))),
            ("421", Some((421, "4.7.1 Try again later"))),
            ("REJECT 5.7.1 No", Some((554, "5.7.1 No"))),
            ("550", Some((550, "5.7.1 Rejected"))),
        ] {
            let bytes = format!("action={action}\n\n");
            let answer = decode_answer(bytes.as_bytes()).unwrap().unwrap();
            let told = told.map(|(code, text): (_, &str)| Refusal { code, text: text.as_bytes() });
            assert_eq!(answer.refusal(), told, "{action}");
        }
    }

    #[test]
    fn only_prepend_with_a_header_adds_one() {
        for (action, header) in [
            ("PREPEND X-Greylist: delayed 61 seconds", Some("X-Greylist: delayed 61 seconds")),
            ("prepend A:", Some("A:")),
            ("PREPEND no header", None),
            ("PREPEND two words: x", None),
            ("PREPEND : x", None),
            ("PREPEND", None),
            ("WARN A: b", None),
        ] {
            let bytes = format!("action={action}\n\n");
            let answer = decode_answer(bytes.as_bytes()).unwrap().unwrap();
            assert_eq!(answer.header(), header.map(str::as_bytes), "{action}");
        }
    }

    #[test]
    fn an_answer_ends_with_an_empty_line() {
        for (bytes, want) in [
            (&b""[..], Ok(None)),
            (b"action=DUN", Ok(None)),
            (b"action=DUNNO\n", Ok(None)),
            (b"other=1\r\naction=DUNNO\r\n\r\nmore", Ok(Some(Fate::Accept))),
            (b"220 mail.example.org ESMTP\n\n", Err(NoAnswer::NoAction)),
            (b"\n", Err(NoAnswer::NoAction)),
            (&[b'x'; ANSWER_BYTES_MAX + 1], Err(NoAnswer::TooLong)),
        ] {
            let answer = decode_answer(bytes).map(|answer| answer.map(|answer| answer.fate));
            assert_eq!(answer, want, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        #[test]
        fn what_is_asked_is_what_a_server_reads(
            // A carriage return at a line's end counts as part of the end, and `<>` as no sender.
            sender in "[^\\r\\n\\x00<>]{0,40}",
            recipient in "[^\\r\\n\\x00<>]{1,40}",
            client in any::<std::net::IpAddr>(),
            queue_id in "[0-9a-f]{0,8}",
            trust in prop::sample::select(vec![
                Trust::Stranger,
                Trust::Authenticated,
                Trust::Certificate,
            ]),
        ) {
            let query = Query {
                queue_id: queue_id.as_bytes(),
                trust,
                ..Query::new(Client::new(client), sender.as_bytes(), recipient.as_bytes())
            };
            let mut bytes = Vec::new();
            encode_request(&query, &mut bytes).unwrap();
            let mut decoder = Decoder::new(Limits::default());
            let Decoded::Message { used, request: Request::Ask(read) } = decoder.decode(&bytes) else {
                return Err(TestCaseError::fail("not read"));
            };
            prop_assert_eq!(used, bytes.len());
            prop_assert_eq!(
                (read.client.address(), read.sender, read.recipient, read.queue_id, read.trust),
                (query.client.address(), query.sender, query.recipient, query.queue_id, trust)
            );
        }

        #[test]
        fn an_address_that_would_end_its_line_is_never_sent(at in 0_usize..5, byte in prop::sample::select(vec![b'\n', 0])) {
            let mut sender = *b"a@b.c";
            sender[at] = byte;
            let client = Client::new([192, 0, 2, 7].into());
            let mut out = b"before".to_vec();
            let sent = encode_request(&Query::new(client, &sender, b"b@example.org"), &mut out);
            prop_assert_eq!(sent, Err(Unsendable { attribute: "sender" }));
            prop_assert_eq!(out, b"before");
        }

        #[test]
        fn any_bytes_are_an_answer_none_or_not_yet_one(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            // Once it is an answer, what follows changes nothing.
            if let Ok(Some(answer)) = decode_answer(&bytes) {
                let longer = [&bytes[..], b"action=REJECT\n\n"].concat();
                prop_assert_eq!(decode_answer(&longer), Ok(Some(answer)));
            }
        }
    }
}
