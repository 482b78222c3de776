//! What the admin has decided beforehand: lists of clients, senders and recipients, each saying
//! accept, reject or greylist.

use crate::query::Query;

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Let it in, whatever the table says.
    Accept,
    /// Refuse it for good.
    Reject,
    /// Go on: to the next list, in the end to the tuple.
    Greylist,
}

/// The lists, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum List {
    /// Client addresses and networks; the longest match counts.
    Client,
    /// Confirmed client host names and their suffixes.
    ClientName,
    /// Whole sender addresses.
    Sender,
    /// Domains of senders.
    SenderDomain,
    /// Whole recipient addresses.
    Recipient,
    /// Domains of recipients.
    RecipientDomain,
}

/// Names one rule of the [`RuleSet`] that it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RuleRef {
    /// The list it stands in.
    pub list: List,
    /// Its number there.
    pub index: u32,
}

/// All rules, ready to be asked.
#[derive(Debug, Default)]
pub struct RuleSet {}

impl RuleSet {
    /// What the lists say about `query`. Pure: counts nothing.
    pub fn judge(&self, _query: &Query<'_>) -> Judgement {
        unimplemented!()
    }
}

/// What the lists said.
#[derive(Clone, Copy, Debug)]
pub struct Judgement {}
