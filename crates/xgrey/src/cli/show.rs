//! What `xgrey ctl show` can show: what X-Grey's control program shows, by its words.
//!
//! Source: the X-Grey v1.1 protocol document, section 7.3.

use clap::{Subcommand, ValueEnum};

use super::lists::ListWord;
use greylist::rules::List;

/// What is to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum ShowCommand {
    /// The times, and how many tuples there may be
    Config,
    /// The counts that X-Grey keeps; ours: xgrey ctl stats
    Stats,
    /// Tuples: those that are grey, all, or those that are white
    Tuples {
        /// Which [default: those that are grey]
        #[arg(value_name = "WHICH", ignore_case = true)]
        which: Option<WhichTuples>,
    },
    /// The rules for client addresses
    Iplist,
    /// The rules for recipients
    To,
    /// The rules for recipients' domains
    ToDomain,
    /// The rules for senders
    From,
    /// The rules for senders' domains
    FromDomain,
    /// The same as iplist
    Client,
    /// The rules for host names of clients, which X-Grey doesn't have
    ClientName,
    /// The same as from
    Sender,
    /// The same as from-domain
    SenderDomain,
    /// The same as to
    Recipient,
    /// The same as to-domain
    RecipientDomain,
    /// That there is no warranty
    #[command(hide = true)]
    W,
    /// Under which conditions it may be given away
    #[command(hide = true)]
    C,
}

/// Which tuples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WhichTuples {
    /// Grey and white
    All,
    /// Those that have passed, or were let pass
    #[value(alias = "white")]
    Whitelist,
}

impl ShowCommand {
    /// The list that it shows, if it shows one.
    pub fn list(self) -> Option<ListWord> {
        Some(match self {
            Self::Iplist => ListWord::IPLIST,
            Self::To => ListWord::TO,
            Self::ToDomain => ListWord::TO_DOMAIN,
            Self::From => ListWord::FROM,
            Self::FromDomain => ListWord::FROM_DOMAIN,
            Self::Client => ListWord::ours(List::Client),
            Self::ClientName => ListWord::ours(List::ClientName),
            Self::Sender => ListWord::ours(List::Sender),
            Self::SenderDomain => ListWord::ours(List::SenderDomain),
            Self::Recipient => ListWord::ours(List::Recipient),
            Self::RecipientDomain => ListWord::ours(List::RecipientDomain),
            Self::Config | Self::Stats | Self::Tuples { .. } | Self::W | Self::C => return None,
        })
    }
}
