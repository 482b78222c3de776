//! What a decision's line looks like, as text, coloured text and JSON.

use std::io::Write as _;

use greylist::{AcceptReason, Answer, DeferReason, Effect, Query, Secs, Timestamp};

use crate::config::Mode;
use crate::service::{Outcome, Policy};

/// Longest value shown; an address is at most 256 bytes (RFC 5321, section 4.5.3.1.3).
const VALUE_BYTES_MAX: usize = 512;

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `key=value`.
    Text,
    /// `key=value`, in colour.
    Colour,
    /// One JSON object a line.
    Json,
}

/// The time of a line, written out once a second.
#[derive(Debug, Default)]
pub(super) struct Stamp {
    second: Option<Timestamp>,
    text: String,
}

impl Stamp {
    /// `2026-11-24T05:30:15Z`.
    pub(super) fn at(&mut self, now: Timestamp) -> &str {
        if self.second != Some(now) {
            self.second = Some(now);
            let secs = i64::try_from(now.as_unix_secs()).unwrap_or(i64::MAX);
            self.text.clear();
            let _ = match jiff::Timestamp::from_second(secs) {
                Ok(time) => std::fmt::Write::write_fmt(&mut self.text, format_args!("{time}")),
                Err(_) => std::fmt::Write::write_fmt(&mut self.text, format_args!("{secs}")),
            };
        }
        &self.text
    }
}

impl Format {
    /// Appends the line for one decision, with its end.
    pub(super) fn line(
        self,
        policy: &Policy,
        stamp: &str,
        query: &Query<'_>,
        outcome: &Outcome,
        out: &mut Vec<u8>,
    ) {
        match self {
            // The keys that the other lines of the log have.
            Self::Json => out.extend_from_slice(b"{\"timestamp\":\""),
            Self::Colour => out.extend_from_slice(b"\x1b[2m"),
            Self::Text => {}
        }
        out.extend_from_slice(stamp.as_bytes());
        let mut line = Line { format: self, out };
        line.action(outcome.answer.action());
        line.word("reason", outcome.answer.reason());
        match outcome.answer {
            Answer::Defer(DeferReason::New { wait } | DeferReason::Early { wait }) => {
                line.secs("wait", wait);
            }
            Answer::Accept(AcceptReason::Passed { waited }) => line.secs("waited", waited),
            Answer::Accept(_) | Answer::Reject(_) => {}
        }
        if let Some(rule) = outcome.answer.rule() {
            let rule = policy.rules.rule(rule);
            line.shown("rule", format_args!("{} {}", rule.list.word(), rule.text));
        }
        line.shown("client", query.client);
        if let Some(name) = query.client_name {
            line.value("client_name", name);
        }
        line.value("sender", query.sender);
        line.value("recipient", query.recipient);
        if !query.queue_id.is_empty() {
            line.value("queue_id", query.queue_id);
        }
        if policy.mode == Mode::Observe && Effect::from(&outcome.answer) != outcome.effect {
            line.word("mode", "observe");
        }
        out.extend_from_slice(if self == Self::Json { b"}\n" } else { b"\n" });
    }
}

/// A line being written.
struct Line<'a> {
    format: Format,
    out: &'a mut Vec<u8>,
}

impl Line<'_> {
    fn action(&mut self, action: &str) {
        let colour: &[u8] = match action {
            "accept" => b"\x1b[32m",
            "defer" => b"\x1b[33m",
            _ => b"\x1b[31m",
        };
        match self.format {
            Format::Json => self
                .out
                .extend_from_slice(b"\",\"level\":\"INFO\",\"target\":\"decision\",\"action\":\""),
            Format::Colour => {
                self.out.extend_from_slice(b"\x1b[0m ");
                self.out.extend_from_slice(colour);
            }
            Format::Text => self.out.push(b' '),
        }
        self.out.extend_from_slice(action.as_bytes());
        match self.format {
            Format::Json => self.out.push(b'"'),
            Format::Colour => self.out.extend_from_slice(b"\x1b[0m"),
            Format::Text => {}
        }
    }

    fn key(&mut self, key: &str) {
        let (before, after): (&[u8], &[u8]) = match self.format {
            Format::Text => (b" ", b"="),
            Format::Colour => (b" \x1b[2m", b"=\x1b[0m"),
            Format::Json => (b",\"", b"\":"),
        };
        self.out.extend_from_slice(before);
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(after);
    }

    /// One of our own words, which need no quoting in text.
    fn word(&mut self, key: &str, word: &str) {
        self.key(key);
        let quote: &[u8] = if self.format == Format::Json { b"\"" } else { b"" };
        self.out.extend_from_slice(quote);
        self.out.extend_from_slice(word.as_bytes());
        self.out.extend_from_slice(quote);
    }

    fn secs(&mut self, key: &str, secs: Secs) {
        match self.format {
            Format::Json => {
                self.out.extend_from_slice(b",\"");
                let _ = write!(self.out, "{key}_seconds\":{}", secs.get());
            }
            Format::Text | Format::Colour => {
                self.key(key);
                let _ = write!(self.out, "{}s", secs.get());
            }
        }
    }

    /// Something that shows itself.
    fn shown(&mut self, key: &str, value: impl std::fmt::Display) {
        self.key(key);
        let from = self.out.len();
        let _ = write!(self.out, "{value}");
        self.quote(from);
    }

    /// Bytes from outside.
    fn value(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        let from = self.out.len();
        self.out.extend_from_slice(&value[..value.len().min(VALUE_BYTES_MAX)]);
        if value.len() > VALUE_BYTES_MAX {
            self.out.extend_from_slice("…".as_bytes());
        }
        self.quote(from);
    }

    /// Puts what was written since `from` in quotes, if it needs them. In text a plain value
    /// stands bare, an empty one (the null sender) is `<>`.
    fn quote(&mut self, from: usize) {
        let json = self.format == Format::Json;
        let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        let written = &self.out[from..];
        if !json && written.is_empty() {
            self.out.extend_from_slice(b"<>");
        } else if written.iter().all(plain) {
            if json {
                self.out.insert(from, b'"');
                self.out.push(b'"');
            }
        } else {
            // Rare: somebody's odd address, or a rule's text with a space.
            let text = String::from_utf8_lossy(written).into_owned();
            self.out.truncate(from);
            let _ = serde_json::to_writer(&mut *self.out, &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use greylist::{Client, HashKey};

    use super::*;
    use crate::command::serve;
    use crate::config::{MadeUp, parse_text};
    use crate::service::ListsAsked;

    /// The line for what `config` decides about a query, with its outcome made to fit.
    fn line(format: Format, config: &str, query: &Query<'_>, answer: Option<Answer>) -> String {
        let (config, _) = parse_text(config, Path::new("xgrey.toml"), &MadeUp::default()).unwrap();
        let Ok(service) = serve::service(config, HashKey::new([7; 16])) else {
            panic!("no service")
        };
        let policy = service.policy();
        let answer =
            answer.unwrap_or_else(|| Answer::Reject(policy.rules.judge(query).decided_by()));
        let effect = match policy.mode {
            Mode::Enforce => Effect::from(&answer),
            Mode::Observe => Effect::NoObjection,
        };
        let mut out = Vec::new();
        let now = Timestamp::from_unix_secs(1_795_498_215);
        let outcome = Outcome { answer, effect, lists: ListsAsked::NONE };
        format.line(&policy, Stamp::default().at(now), query, &outcome, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn query<'a>(sender: &'a [u8], recipient: &'a [u8]) -> Query<'a> {
        Query::new(Client::new("192.0.2.7".parse().unwrap()), sender, recipient)
    }

    const NEW: Option<Answer> = Some(Answer::Defer(DeferReason::New { wait: Secs::new(60) }));

    #[test]
    fn a_line_says_what_why_and_to_whom() {
        let query = Query {
            queue_id: b"27D7B98C3BA",
            client_name: Some(b"mail.example.net"),
            ..query(b"a@example.net", b"b@example.org")
        };
        assert_eq!(
            line(Format::Text, "", &query, NEW),
            "2026-11-24T05:30:15Z defer reason=new wait=60s client=192.0.2.7 \
             client_name=mail.example.net sender=a@example.net recipient=b@example.org \
             queue_id=27D7B98C3BA\n"
        );
        assert_eq!(
            line(Format::Json, "", &query, NEW),
            "{\"timestamp\":\"2026-11-24T05:30:15Z\",\"level\":\"INFO\",\"target\":\"decision\",\
             \"action\":\"defer\",\"reason\":\"new\",\
             \"wait_seconds\":60,\"client\":\"192.0.2.7\",\"client_name\":\"mail.example.net\",\
             \"sender\":\"a@example.net\",\"recipient\":\"b@example.org\",\
             \"queue_id\":\"27D7B98C3BA\"}\n"
        );
    }

    #[test]
    fn a_line_in_colour_says_the_same() {
        let query = query(b"a@example.net", b"b@example.org");
        let coloured = line(Format::Colour, "", &query, NEW);
        assert!(coloured.contains("\x1b[33mdefer\x1b[0m"), "{coloured:?}");
        let mut plain = String::new();
        for (index, piece) in coloured.split('\x1b').enumerate() {
            plain += if index == 0 { piece } else { piece.split_once('m').unwrap().1 };
        }
        assert_eq!(plain, line(Format::Text, "", &query, NEW));
    }

    #[test]
    fn a_line_names_the_rule_that_decided() {
        let rule = "[rules.sender]\nreject = [\"a@example.net\"]";
        let shown = line(Format::Text, rule, &query(b"a@example.net", b"b@example.org"), None);
        assert!(shown.contains("reject reason=rule rule=\"sender a@example.net\" "), "{shown}");
    }

    #[test]
    fn a_line_says_when_what_was_decided_was_not_done() {
        let query = query(b"a@example.net", b"b@example.org");
        assert!(line(Format::Text, "mode = \"observe\"", &query, NEW).ends_with(" mode=observe\n"));
        let known = Some(Answer::Accept(AcceptReason::Known));
        let shown = line(Format::Text, "mode = \"observe\"", &query, known);
        assert!(!shown.contains("observe"), "{shown}");
    }

    #[test]
    fn nothing_from_outside_breaks_a_line_or_forges_another() {
        let forged = b"x\n2026-11-24T05:30:16Z accept reason=known \"\\\x1b[2J\xff";
        for format in [Format::Text, Format::Colour, Format::Json] {
            let shown = line(format, "", &query(forged, b""), NEW);
            assert_eq!(shown.matches('\n').count(), 1, "{shown:?}");
            assert!(!shown.contains("\x1b[2J"), "{shown:?}");
        }
        let shown = line(Format::Json, "", &query(forged, b""), NEW);
        serde_json::from_str::<serde_json::Value>(&shown).unwrap();
        let shown = line(Format::Text, "", &query(b"", &[b'x'; 100_000]), NEW);
        assert!(shown.contains(" sender=<> ") && shown.len() < 1_000, "{} bytes", shown.len());
    }
}
