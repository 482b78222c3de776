//! Tuples as they cross the control socket: what is asked for, and what comes back.

use std::net::IpAddr;

use greylist::{Client, Query, Secs, State, Timing};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use store::text::TextDamage;

use crate::service::{
    AddressPattern, Extent, Listed, ListingEnd, TextShown, TupleChanged, TupleFilter, TupleState,
};

/// A tuple, named by what an attempt of it looks like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TupleNamed {
    /// The client's address.
    pub client: IpAddr,
    /// The envelope sender; empty for the null sender.
    pub sender: String,
    /// The envelope recipient.
    pub recipient: String,
}

impl TupleNamed {
    /// An attempt of it.
    pub fn query(&self) -> Query<'_> {
        let client = Client::new(self.client);
        Query::new(client, self.sender.as_bytes(), self.recipient.as_bytes())
    }
}

/// What came of a tuple that was to be tried or made white.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TupleTried {
    /// It was.
    Done(TupleChanged),
    /// It was not, since a query of it is decided without it.
    Decided(TupleDecided),
}

/// What decides a query without its tuple.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TupleDecided {
    /// `accept` or `reject`.
    pub answer: String,
    /// The list or stage that decides, such as `sender-domain`.
    pub stage: String,
    /// What it says.
    pub said: String,
    /// The file and line of the rule, if it is one.
    pub origin: Option<String>,
}

/// Which tuples are wanted: those that match all that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TuplesWanted {
    /// An address, or a network such as `192.0.2.0/24`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// A pattern such as `*@example.net`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// One of the two states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<StateWanted>,
    /// First tried (grey) or last used (white) longer ago than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_seconds: Option<u32>,
    /// First tried (grey) or last used (white) less long ago than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub younger_seconds: Option<u32>,
    /// Those too of which no text is kept.
    pub all: bool,
}

/// A state to list by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum StateWanted {
    /// Tried, not yet passed
    Grey,
    /// Has passed
    White,
}

impl TuplesWanted {
    /// The same, checked.
    ///
    /// # Errors
    /// When something in it is not what it should be; in words.
    pub fn filter(&self) -> Result<(TupleFilter, Extent), String> {
        let pattern = |text: &Option<String>| text.as_deref().map(AddressPattern::new).transpose();
        let filter = TupleFilter {
            client: self.client.as_deref().map(network).transpose()?,
            sender: pattern(&self.sender)?,
            recipient: pattern(&self.recipient)?,
            state: self.state.map(|state| match state {
                StateWanted::Grey => State::Grey,
                StateWanted::White => State::White,
            }),
            older: self.older_seconds.map(Secs::new),
            younger: self.younger_seconds.map(Secs::new),
        };
        let extent = if self.all { Extent::All } else { Extent::WithText };
        if self.all && filter.asks_for_text() {
            return Err("tuples of which no text is kept can't be found by client, sender or \
                 recipient: ask for all, or for some of these"
                .to_owned());
        }
        Ok((filter, extent))
    }
}

/// An address, or a network.
///
/// # Errors
/// When it is neither; in words.
pub fn network(text: &str) -> Result<IpNet, String> {
    let address = |_| text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
    text.parse()
        .or_else(address)
        .map_err(|_| format!("{text:?} is neither an address nor a network such as 192.0.2.0/24"))
}

/// One tuple of a listing. Times are RFC 3339, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TupleListed {
    /// What journal and listings call it: 15 hexadecimal digits.
    pub id: String,
    /// `grey` or `white`.
    pub state: String,
    /// The address of the client that tried first; null if no text is kept, like the next two.
    pub client: Option<String>,
    /// The envelope sender; empty for the null sender.
    pub sender: Option<String>,
    /// The envelope recipient.
    pub recipient: Option<String>,
    /// The first attempt. Null if it is white and no text is kept.
    pub first_try: Option<String>,
    /// White: the last use, to the minute or so.
    pub last_use: Option<String>,
    /// Grey: from when on a retry passes.
    pub passes_from: Option<String>,
    /// Grey: until when a retry must come. White: until when it is known if it is not used again.
    pub until: String,
}

impl TupleListed {
    /// What of a listed tuple is shown.
    pub fn of(listed: &Listed<'_>, timing: &Timing) -> Self {
        let text = listed.text.as_ref().map(TextShown::from);
        let (client, sender, recipient, tried) = match text {
            Some(TextShown { client, sender, recipient, first_try }) => {
                (Some(client), Some(sender), Some(recipient), Some(first_try))
            }
            None => (None, None, None, None),
        };
        let (state, first_try, last_use, passes_from, until) =
            match TupleState::of(Some(listed.tuple), timing) {
                TupleState::Unknown => ("unknown", tried, None, None, String::new()),
                TupleState::Grey { first_try, passes_from, until } => {
                    ("grey", Some(first_try), None, Some(passes_from), until)
                }
                TupleState::White { last_use, until } => {
                    ("white", tried, Some(last_use), None, until)
                }
            };
        Self {
            id: listed.id.to_string(),
            state: state.to_owned(),
            client,
            sender,
            recipient,
            first_try,
            last_use,
            passes_from,
            until,
        }
    }
}

/// What comes after the last tuple.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TuplesListed {
    /// Tuples that are known and match, whether or not their text is kept. Null where client, sender
    /// or recipient were asked for: then that can't be told.
    pub known: Option<u64>,
    /// What could not be read of the texts, in words.
    pub damage: Vec<String>,
}

impl From<ListingEnd> for TuplesListed {
    fn from(end: ListingEnd) -> Self {
        let TextDamage { corrupt_bytes, corrupt_at, unreadable, unreadable_why } = end.damage;
        let mut damage = Vec::new();
        if let Some((file, at)) = corrupt_at {
            damage.push(format!(
                "{corrupt_bytes} bytes of texts are corrupt, the first of them in {file} at byte {at}"
            ));
        }
        if let Some((file, why)) = unreadable_why {
            damage.push(format!(
                "{unreadable} files of texts can't be read, the first of them {file}: {why}"
            ));
        }
        Self { known: end.known, damage }
    }
}
