//! greylistd's protocol: what Exim's ACLs and the program `greylist` of Debian's package send.
//!
//! ```text
//!  --grey 192.0.2.7 alice@example.net bob@example.org        ──▶ true      ACL: is it grey?
//!  192.0.2.7 alice@example.net bob@example.org               ──▶ grey      ACL: which is it?
//!  add --white 192.0.2.7 alice@example.net bob@example.org   ──▶ Added to whitelist
//!  stats                                                     ──▶ Statistics since Tue Nov 24 …⏎…
//! ```
//! A connection carries one request and one answer. Neither has an end of its own: a request is what
//! comes with the first read, since its sender neither ends its line nor shuts down its side, and an
//! answer ends with the connection. Words are separated by blanks; commands and options are known in
//! any case; options stand before the data, and of several the first counts.
//!
//! To greylistd the data is any text. To us it is what the ACLs make of it, client, sender and
//! recipient, so that the tuple is the same as every other front end's (see `greylistd/data.rs`). What is none
//! of that is answered so that mail flows.
//!
//! Sources: greylistd(8), greylist(1), the ACLs that `greylistd-setup-exim4` inserts, and what
//! greylistd 0.9.0 (Debian 12) was seen to answer (`vectors/greylistd`).
//!
//! This module never knows what an answer should be.

use greylist::{Effect, Query};

use self::data::query;
pub use self::refusal::{NAME_BYTES_MAX, Refusal};
use self::words::Words;
use crate::{Fault, Limits};

mod data;
mod refusal;
pub mod report;
mod words;

/// The three lists, which are also the three answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum List {
    /// Let it in.
    White,
    /// Try again later.
    Grey,
    /// Never.
    Black,
}

impl List {
    /// All there are, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::White, Self::Grey, Self::Black];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::White => "white",
            Self::Grey => "grey",
            Self::Black => "black",
        }
    }

    /// That of a word, in any case.
    pub fn of_word(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|list| word.eq_ignore_ascii_case(list.word().as_bytes()))
    }
}

impl From<Effect> for List {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::NoObjection | Effect::AddHeader { .. } => Self::White,
            Effect::Defer { .. } => Self::Grey,
            Effect::Reject => Self::Black,
        }
    }
}

/// A set of lists. To name none is to name all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    named: u8,
}

impl Lists {
    /// Whether `list` is meant.
    pub fn contains(self, list: List) -> bool {
        self.named == 0 || self.named & (1 << list as u8) != 0
    }

    fn name(&mut self, list: List) {
        self.named |= 1 << list as u8;
    }
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// An attempt: may it pass? Answered by [`encode_verdict`].
    Update {
        /// The list that is asked about, if it is one only.
        asked: Option<List>,
        /// What is asked.
        query: Query<'a>,
    },
    /// What an attempt would be answered; nothing is remembered of it. Answered likewise.
    Check {
        /// The list that is asked about, if it is one only.
        asked: Option<List>,
        /// What is asked.
        query: Query<'a>,
    },
    /// Which list the tuple is on. Answered by [`encode_status`].
    Status(Query<'a>),
    /// Put the tuple on a list. Answered by [`encode_added`].
    Add {
        /// Which.
        list: List,
        /// Whose tuple.
        query: Query<'a>,
    },
    /// Forget the tuple. Answered by [`encode_removed`].
    Delete(Query<'a>),
    /// Statistics, to be read. Answered by [`report::encode_stats`].
    Stats,
    /// Statistics, for MRTG. Answered by [`report::encode_mrtg`].
    Mrtg,
    /// The tuples on these lists. Answered by [`report::encode_head`] and [`report::encode_line`].
    List(Lists),
    /// Forget all tuples on these lists.
    Clear(Lists),
    /// Save what is remembered. Answered by [`SAVED`].
    Save,
    /// Save it and read the configuration again. Answered by [`RELOADED`].
    Reload,
    /// A question with data that makes no tuple: answer [`List::White`], so that mail flows; count it,
    /// log it.
    Unclear {
        /// The list that is asked about, if it is one only.
        asked: Option<List>,
        /// What is wrong with the data.
        fault: Fault,
    },
    /// Not to be done. Answered by [`Refusal::encode`].
    Refused(Refusal<'a>),
}

/// The answer to [`Request::Save`].
pub const SAVED: &[u8] = b"greylistd data has been saved";
/// The answer to [`Request::Reload`].
pub const RELOADED: &[u8] = b"configuration and data reloaded";

/// A command that has a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Command {
    Update,
    Check,
    Status,
    Add,
    Delete,
    Stats,
    Mrtg,
    List,
    Clear,
    Save,
    Reload,
}

const COMMANDS: [(&[u8], Command); 11] = [
    (b"update", Command::Update),
    (b"check", Command::Check),
    (b"status", Command::Status),
    (b"add", Command::Add),
    (b"delete", Command::Delete),
    (b"stats", Command::Stats),
    (b"mrtg", Command::Mrtg),
    (b"list", Command::List),
    (b"clear", Command::Clear),
    (b"save", Command::Save),
    (b"reload", Command::Reload),
];

/// What a first read of `bytes` asks.
///
/// A read that reaches the limit is taken for part of something longer, whatever it says:
/// [`Request::Unclear`].
pub fn decode(bytes: &[u8], limits: Limits) -> Request<'_> {
    let mut words = Words::new(bytes);
    let command = words.peek().map(|(_, word)| {
        COMMANDS
            .iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name))
            .map(|&(_, command)| command)
    });
    if command.flatten().is_some() {
        words.next();
    }
    let options = words.options();
    if bytes.len() >= limits.request_bytes_max {
        let asked = options.first().and_then(List::of_word);
        return Request::Unclear {
            asked,
            fault: Fault::TooLong { limit: limits.request_bytes_max },
        };
    }
    match command {
        None => Request::Refused(Refusal::NoData),
        // An attempt needs no command: it is what MTAs send.
        Some(None | Some(Command::Update)) => {
            question(options.first(), words, |asked, query| Request::Update { asked, query })
        }
        Some(Some(Command::Check)) => {
            question(options.first(), words, |asked, query| Request::Check { asked, query })
        }
        Some(Some(Command::Status)) => about_tuple(words, Request::Status),
        Some(Some(Command::Delete)) => about_tuple(words, Request::Delete),
        Some(Some(Command::Add)) => {
            let name = options.first().unwrap_or(b"white");
            about_tuple(words, |query| match List::of_word(name) {
                Some(list) => Request::Add { list, query },
                None => Request::Refused(Refusal::NoSuchList(name)),
            })
        }
        Some(Some(command)) => {
            if words.peek().is_some() {
                return Request::Refused(Refusal::TooManyArguments);
            }
            match command {
                Command::Stats => Request::Stats,
                Command::Mrtg => Request::Mrtg,
                Command::Save => Request::Save,
                Command::Reload => Request::Reload,
                Command::List => about_lists(options, Request::List, Refusal::NothingToList),
                _ => about_lists(options, Request::Clear, Refusal::NothingToClear),
            }
        }
    }
}

fn question<'a>(
    option: Option<&'a [u8]>,
    mut words: Words<'a>,
    request: impl Fn(Option<List>, Query<'a>) -> Request<'a>,
) -> Request<'a> {
    if words.peek().is_none() {
        return Request::Refused(Refusal::MissingArgument);
    }
    let asked = match option.map(|name| List::of_word(name).ok_or(name)) {
        None => None,
        Some(Ok(list)) => Some(list),
        Some(Err(name)) => return Request::Refused(Refusal::NotAState(name)),
    };
    match query(&mut words) {
        Ok(query) => request(asked, query),
        Err(fault) => Request::Unclear { asked, fault },
    }
}

fn about_tuple<'a>(
    mut words: Words<'a>,
    request: impl Fn(Query<'a>) -> Request<'a>,
) -> Request<'a> {
    if words.peek().is_none() {
        return Request::Refused(Refusal::MissingArgument);
    }
    match query(&mut words) {
        Ok(query) => request(query),
        Err(fault) => Request::Refused(Refusal::NotATuple(fault)),
    }
}

fn about_lists<'a>(
    options: words::Options<'a>,
    request: impl Fn(Lists) -> Request<'a>,
    refusal: impl Fn(&'a [u8]) -> Refusal<'a>,
) -> Request<'a> {
    let mut lists = Lists::default();
    for name in options {
        match List::of_word(name) {
            Some(list) => lists.name(list),
            None => return Request::Refused(refusal(name)),
        }
    }
    request(lists)
}

/// Appends the answer to a question: the list's word, or whether it is the one that was asked about.
pub fn encode_verdict(verdict: List, asked: Option<List>, out: &mut Vec<u8>) {
    let word = match asked {
        None => verdict.word(),
        Some(list) if list == verdict => "true",
        Some(_) => "false",
    };
    out.extend_from_slice(word.as_bytes());
}

/// Appends the answer to [`Request::Status`].
pub fn encode_status(list: Option<List>, out: &mut Vec<u8>) {
    out.extend_from_slice(list.map_or("unseen", List::word).as_bytes());
}

/// Appends the answer to [`Request::Add`], when that has been done.
pub fn encode_added(list: List, out: &mut Vec<u8>) {
    encode_change(b"Added to ", list, out);
}

/// Appends the answer to [`Request::Delete`], when the tuple was on `list`.
pub fn encode_removed(list: List, out: &mut Vec<u8>) {
    encode_change(b"Removed from ", list, out);
}

fn encode_change(done: &[u8], list: List, out: &mut Vec<u8>) {
    out.extend_from_slice(done);
    out.extend_from_slice(list.word().as_bytes());
    out.extend_from_slice(b"list");
}
