//! A live rule as a note of the store: `docs/formats.md` shows it.
//!
//! ```text
//!  name    rule:client:192.0.2.0/24      rule:sender for a list's default
//!  value   1 accept 17 1795498200 uid:0 rule client 192.0.2.0/24
//! ```
//! The value says all; the name is what makes a later note replace an earlier one.

use std::fmt;
use std::hash::Hasher;
use std::net::IpAddr;

use greylist::Timestamp;
use greylist::rules::{List, Pattern, PatternError, Verdict};
use siphasher::sip128::{Hasher128, SipHasher24};
use store::journal::Note;
use thiserror::Error;

use super::{By, Entry};

/// What the names of these notes begin with.
const PREFIX: &[u8] = b"rule:";

/// What the values begin with.
const VERSION: &str = "1";

/// Which rule, by list and canonical text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) list: List,
    /// `None` for the list's default.
    pub(super) text: Option<Box<str>>,
}

impl Key {
    /// Of an entry; a pattern's own list counts.
    pub(super) fn of(list: List, entry: &Entry) -> Self {
        match entry {
            Entry::Default => Self { list, text: None },
            Entry::Pattern(pattern) => {
                let text = pattern.to_string().into_boxed_str();
                Self { list: pattern.list(), text: Some(text) }
            }
        }
    }

    /// The entry that it was made of.
    pub(super) fn entry(&self) -> Result<Entry, PatternError> {
        match &self.text {
            None => Ok(Entry::Default),
            Some(text) => Pattern::parse(self.list, text).map(Entry::Pattern),
        }
    }

    /// The name of its note. A text that is too long for it is there as a hash: of what one admin
    /// sets, no two have the same.
    fn name(&self) -> Vec<u8> {
        let list = self.list.word();
        let Some(text) = &self.text else { return [PREFIX, list.as_bytes()].concat() };
        let name = [PREFIX, list.as_bytes(), b":", text.as_bytes()].concat();
        if name.len() <= Note::NAME_BYTES_MAX {
            return name;
        }
        let mut hasher = SipHasher24::new();
        hasher.write(text.as_bytes());
        let hash = hasher.finish128().as_u128();
        [PREFIX, list.as_bytes(), b"#", format!("{hash:032x}").as_bytes()].concat()
    }
}

/// What was made of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// It is there, and says this.
    Says(Verdict),
    /// It is not there, whatever the configuration says.
    Removed,
}

impl Stands {
    pub(super) fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Says(verdict) => Some(verdict),
            Self::Removed => None,
        }
    }
}

/// A rule that was set or removed while the service ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LiveRule {
    pub(super) stands: Stands,
    /// Regular expressions of a list are tried in the order of their numbers.
    pub(super) number: u32,
    pub(super) since: Timestamp,
    pub(super) by: By,
}

impl LiveRule {
    /// Of two for one entry, the one with the greater rank was set later, as far as can be told. No
    /// two that say different things have the same.
    pub(super) fn rank(&self) -> (Timestamp, u32, Option<&'static str>) {
        (self.since, self.number, self.stands.verdict().map(Verdict::word))
    }
}

/// Why a note is no live rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Unreadable {
    #[error("it is not in the form that this version knows; a later one may have written it")]
    Form,
    #[error("its list or verdict is not known")]
    Word,
    #[error("its entry is none: {0}")]
    Entry(PatternError),
}

/// Whether a note with this name is, or claims to be, a live rule.
pub(super) fn is_rule(name: &[u8]) -> bool {
    name.starts_with(PREFIX)
}

/// The note that keeps `rule`; that takes it away, if there is none.
pub(super) fn write(key: &Key, rule: Option<&LiveRule>) -> Option<Note> {
    let value = rule.map(|rule| value(key, rule).into_bytes());
    // Both are short enough: the longest entry has 8,193 bytes.
    Note::new(key.name(), value).ok()
}

fn value(key: &Key, rule: &LiveRule) -> String {
    let LiveRule { stands, number, since, by } = rule;
    let stands = stands.verdict().map_or("remove", Verdict::word);
    let (since, by, list) = (since.as_unix_secs(), Written(*by), key.list.word());
    match &key.text {
        None => format!("{VERSION} {stands} {number} {since} {by} default {list}"),
        Some(text) => format!("{VERSION} {stands} {number} {since} {by} rule {list} {text}"),
    }
}

/// Reads a note's value.
pub(super) fn read(value: &[u8]) -> Result<(Key, Entry, LiveRule), Unreadable> {
    let text = std::str::from_utf8(value).map_err(|_| Unreadable::Form)?;
    let mut words = text.splitn(8, ' ');
    let mut word = || words.next().ok_or(Unreadable::Form);
    if word()? != VERSION {
        return Err(Unreadable::Form);
    }
    let stands = match word()? {
        "remove" => Stands::Removed,
        verdict => Stands::Says(Verdict::parse(verdict).ok_or(Unreadable::Word)?),
    };
    let number = word()?.parse().map_err(|_| Unreadable::Form)?;
    let since = Timestamp::from_unix_secs(word()?.parse().map_err(|_| Unreadable::Form)?);
    let by = by(word()?).ok_or(Unreadable::Form)?;
    let kind = word()?;
    let list = List::parse(word()?).ok_or(Unreadable::Word)?;
    let entry = match (kind, word()) {
        ("default", Err(_)) => Entry::Default,
        ("rule", Ok(text)) => {
            Entry::Pattern(Pattern::parse(list, text).map_err(Unreadable::Entry)?)
        }
        _ => return Err(Unreadable::Form),
    };
    if let (Entry::Default, Stands::Removed) = (&entry, stands) {
        return Err(Unreadable::Form);
    }
    Ok((Key::of(list, &entry), entry, LiveRule { stands, number, since, by }))
}

/// Whether `name` is the name that the note of `key` has today.
pub(super) fn is_named(key: &Key, name: &[u8]) -> bool {
    key.name() == name
}

/// Who, in one word.
struct Written(By);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            By::Control { uid } => write!(f, "uid:{uid}"),
            By::XGrey(address) => write!(f, "x-grey:{address}"),
        }
    }
}

fn by(word: &str) -> Option<By> {
    match word.split_once(':')? {
        ("uid", uid) => Some(By::Control { uid: uid.parse().ok()? }),
        ("x-grey", address) => Some(By::XGrey(address.parse::<IpAddr>().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn checked(name: &str, value: &str) {
        let (key, _, rule) = read(value.as_bytes()).unwrap();
        let note = write(&key, Some(&rule)).unwrap();
        assert_eq!(String::from_utf8_lossy(note.name()), name);
        assert_eq!(String::from_utf8_lossy(note.value().unwrap()), value);
        assert!(is_rule(note.name()) && is_named(&key, note.name()));
    }

    #[test]
    fn notes_are_written_as_the_format_says() {
        checked(
            "rule:client:192.0.2.0/24",
            "1 accept 17 1795498200 uid:0 rule client 192.0.2.0/24",
        );
        checked("rule:sender", "1 reject 1 1795498200 x-grey:127.0.0.1 default sender");
        checked(
            r"rule:sender:=Alice\x20B@example.net",
            r"1 greylist 0 0 x-grey:2001:db8::1 rule sender =Alice\x20B@example.net",
        );
        checked(
            "rule:sender-domain:default",
            "1 remove 4294967295 1795498200 uid:4294967295 rule sender-domain default",
        );
        let long = "a".repeat(255);
        checked(
            "rule:recipient-domain#8d8f6d5b3a8a5bb1a3ef4f5ccf5cd8e2",
            &format!("1 accept 17 1795498200 uid:0 rule recipient-domain {long}"),
        );
    }

    #[test]
    fn what_is_no_live_rule_is_told_and_not_taken() {
        let rows = [
            ("", Unreadable::Form),
            ("2 accept 17 1795498200 uid:0 rule client 192.0.2.0/24", Unreadable::Form),
            ("1 accept 17 1795498200 uid:0 rule client", Unreadable::Form),
            ("1 accept -1 1795498200 uid:0 rule client 192.0.2.0/24", Unreadable::Form),
            ("1 accept 17 soon uid:0 rule client 192.0.2.0/24", Unreadable::Form),
            ("1 accept 17 1795498200 me rule client 192.0.2.0/24", Unreadable::Form),
            ("1 accept 17 1795498200 uid:0 default client 192.0.2.0/24", Unreadable::Form),
            ("1 remove 17 1795498200 uid:0 default client", Unreadable::Form),
            ("1 allow 17 1795498200 uid:0 default client", Unreadable::Word),
            ("1 accept 17 1795498200 uid:0 default clients", Unreadable::Word),
        ];
        for (value, want) in rows {
            assert_eq!(read(value.as_bytes()).unwrap_err(), want, "{value}");
        }
        let wrong = read(b"1 accept 17 1795498200 uid:0 rule client 192.0.2.0/33").unwrap_err();
        assert!(matches!(wrong, Unreadable::Entry(_)), "{wrong}");
        assert_eq!(read(b"1 accept \xff").unwrap_err(), Unreadable::Form);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_live_rule_or_are_refused(value in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "1 (accept|remove) [0-9]{1,11} [0-9]{1,21} (uid|x-grey):[0-9.]{1,9} (rule|default) \
             (client|sender)( [=@a-z0-9./ ]{0,9})?".prop_map(String::into_bytes),
        ]) {
            if let Ok((key, _, rule)) = read(&value) {
                let note = write(&key, Some(&rule)).unwrap();
                let (again, _, same) = read(note.value().unwrap()).unwrap();
                prop_assert_eq!((again, same), (key, rule));
            }
        }

        #[test]
        fn every_pattern_can_be_kept(
            list in prop::sample::select(vec![List::Sender, List::RecipientDomain]),
            bytes in prop::collection::vec(1..=255_u8, 0..300),
        ) {
            let Ok(pattern) = Pattern::exact(list, &bytes) else { return Ok(()) };
            let key = Key::of(List::Client, &Entry::Pattern(pattern));
            let (stands, since) = (Stands::Removed, Timestamp::from_unix_secs(7));
            let rule = LiveRule { stands, number: 3, since, by: By::Control { uid: 0 } };
            let note = write(&key, Some(&rule)).unwrap();
            let (again, entry, same) = read(note.value().unwrap()).unwrap();
            let Entry::Pattern(pattern) = entry else { panic!("not a default") };
            prop_assert_eq!(pattern.text().as_exact(), Some(&bytes[..]));
            prop_assert_eq!((again, same), (key, rule));
        }
    }
}
