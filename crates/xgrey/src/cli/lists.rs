//! The words by which `xgrey ctl` changes the lists of rules: X-Grey's own, and ours.
//!
//! ```text
//! iplist ACTION NET              client ACTION NET
//! to ACTION TEXT                 recipient ACTION ENTRY
//! iplist file NAME [FORMAT]      recipient file NAME
//! ```
//! Both kinds of words change the same lists. X-Grey's take an address or a domain byte for byte, as
//! X-Grey's clients do; ours take any entry that a rules file may have.
//!
//! Source: the X-Grey v1.1 protocol document, section 7.3. Never knows: who applies a change.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use greylist::rules::List;

/// What is to become of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Action {
    /// Let it in, whatever the tuples say
    Accept,
    /// Refuse it for good
    Reject,
    /// Go on: to the next list, in the end to the tuple
    #[value(alias = "graylist")]
    Greylist,
    /// Take the entry out of the list, whatever the configuration says
    Remove,
    /// Take back what was changed while the service runs
    Configured,
}

impl Action {
    /// `accept`, `reject`, `greylist`, `remove` or `configured`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Reject => "reject",
            Self::Greylist => "greylist",
            Self::Remove => "remove",
            Self::Configured => "configured",
        }
    }

    /// The action that `word` names, in any case; `graylist` is understood.
    pub fn parse(word: &str) -> Option<Self> {
        <Self as ValueEnum>::from_str(word, true).ok()
    }
}

/// A list, and whose word for it was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListWord {
    /// The list.
    pub list: List,
    /// As it was said.
    pub word: &'static str,
    /// What its entries are.
    pub notation: Notation,
}

/// What the text of an entry means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// An address or network.
    Network,
    /// An address or domain, byte for byte.
    Exact,
    /// What a rules file may have: suffixes, regular expressions and all.
    Pattern,
}

impl ListWord {
    const fn new(list: List, word: &'static str, notation: Notation) -> Self {
        Self { list, word, notation }
    }

    /// X-Grey's words.
    pub const IPLIST: Self = Self::new(List::Client, "iplist", Notation::Network);
    /// Whole senders.
    pub const FROM: Self = Self::new(List::Sender, "from", Notation::Exact);
    /// Domains of senders.
    pub const FROM_DOMAIN: Self = Self::new(List::SenderDomain, "from-domain", Notation::Exact);
    /// Whole recipients.
    pub const TO: Self = Self::new(List::Recipient, "to", Notation::Exact);
    /// Domains of recipients.
    pub const TO_DOMAIN: Self = Self::new(List::RecipientDomain, "to-domain", Notation::Exact);

    /// Our word for a list.
    pub fn ours(list: List) -> Self {
        let notation = match list {
            List::Client => Notation::Network,
            _ => Notation::Pattern,
        };
        Self::new(list, list.word(), notation)
    }
}

/// What is to be done to the list of clients.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true
)]
pub struct NetworkListArgs {
    /// What is to become of it
    #[arg(value_name = "ACTION", required = true, ignore_case = true)]
    pub action: Option<Action>,
    /// An address or network, such as 192.0.2.7, 192.0.2.0/24, 10/8 or 2001:db8::/32; `default` for
    /// what nothing in the list matches
    #[arg(value_name = "NET", required = true)]
    pub entry: Option<String>,
    /// Many at once.
    #[command(subcommand)]
    pub file: Option<NetworkListMany>,
}

/// Changing many entries of the list of clients.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum NetworkListMany {
    /// Take in a file of networks: all of it, or nothing if a line is wrong
    #[command(after_help = NETWORK_FILE_HELP)]
    File(NetworkFileArgs),
}

/// A file of networks.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct NetworkFileArgs {
    /// The file; `-` for standard input
    #[arg(value_name = "NAME", value_hint = ValueHint::FilePath)]
    pub name: PathBuf,
    /// What its lines are [default: NET ACTION, or those of a rules file]
    #[arg(value_name = "FORMAT", ignore_case = true)]
    pub format: Option<NetworkFormat>,
}

/// Formats that X-Grey's control program knows besides its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NetworkFormat {
    /// Relays that can't be greylisted: one to four octets a line, all of them accepted
    Relaydelay,
    /// Networks that nobody has: one a line, all of them rejected
    Bogonspace,
}

const NETWORK_FILE_HELP: &str = "\
Lines, in any mixture; empty ones and those that begin with # are skipped:
  192.0.2.0/24 accept           a network and its action, as in X-Grey's iplist.txt
  client accept 192.0.2.0/24    as in our rules files; for other lists: xgrey ctl file NAME

Examples:
  xgrey ctl iplist file iplist.txt
  xgrey ctl iplist file whitelist_ip.txt relaydelay
  xgrey ctl iplist file bogons.txt bogonspace";

/// What is to be done to a list of X-Grey's, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true
)]
pub struct ExactListArgs {
    /// What is to become of it
    #[arg(value_name = "ACTION", required = true, ignore_case = true)]
    pub action: Option<Action>,
    /// The address or domain, byte for byte; `default` for what nothing in the list matches; `-` for
    /// the null sender
    #[arg(value_name = "TEXT", required = true)]
    pub entry: Option<String>,
    /// Many at once.
    #[command(subcommand)]
    pub file: Option<TextListMany>,
}

/// What is to be done to a list, by our own word for it.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true
)]
pub struct PatternListArgs {
    /// What is to become of it
    #[arg(value_name = "ACTION", required = true, ignore_case = true)]
    pub action: Option<Action>,
    /// As in a rules file: an address or domain, `.example.net` with all below it, `/regex/`,
    /// `=text` byte for byte; `default` for what nothing in the list matches
    #[arg(value_name = "ENTRY", required = true)]
    pub entry: Option<String>,
    /// Many at once.
    #[command(subcommand)]
    pub file: Option<TextListMany>,
}

/// Changing many entries of a list.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum TextListMany {
    /// Take in a file of entries: all of it, or nothing if a line is wrong
    #[command(after_help = TEXT_FILE_HELP)]
    File(FileArgs),
}

/// A file of changes.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct FileArgs {
    /// The file; `-` for standard input
    #[arg(value_name = "NAME", value_hint = ValueHint::FilePath)]
    pub name: PathBuf,
}

const TEXT_FILE_HELP: &str = "\
Lines, in any mixture; empty ones and those that begin with # are skipped:
  12 ACCEPT bob@example.org         a count, an action and a text, as in X-Grey's to.txt
  accept bob@example.org            the same without the count, which says nothing here
  recipient accept bob@example.org  as in our rules files; for other lists: xgrey ctl file NAME

Example:
  xgrey ctl to file to.txt";

/// What follows the help of `xgrey ctl file`.
pub(super) const FILE_HELP: &str = "\
Lines are those of rules files: LIST VERDICT ENTRY, or LIST default VERDICT. That is what
`xgrey ctl rules --format rules` prints.

Example:
  xgrey ctl file local.rules";

/// What is to be done to a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListTask<'a> {
    /// To one entry.
    One {
        /// What.
        action: Action,
        /// The entry, as it was said.
        entry: &'a str,
    },
    /// To many.
    Many {
        /// The file that says what.
        name: &'a std::path::Path,
        /// What its lines are, if that was said.
        format: Option<NetworkFormat>,
    },
}

impl NetworkListArgs {
    /// What is to be done; nothing if clap has let through what it should not.
    pub fn task(&self) -> Option<ListTask<'_>> {
        match &self.file {
            Some(NetworkListMany::File(file)) => {
                Some(ListTask::Many { name: &file.name, format: file.format })
            }
            None => one(self.action, self.entry.as_deref()),
        }
    }
}

impl ExactListArgs {
    /// Likewise.
    pub fn task(&self) -> Option<ListTask<'_>> {
        text_task(self.action, self.entry.as_deref(), self.file.as_ref())
    }
}

impl PatternListArgs {
    /// Likewise.
    pub fn task(&self) -> Option<ListTask<'_>> {
        text_task(self.action, self.entry.as_deref(), self.file.as_ref())
    }
}

fn text_task<'a>(
    action: Option<Action>,
    entry: Option<&'a str>,
    file: Option<&'a TextListMany>,
) -> Option<ListTask<'a>> {
    match file {
        Some(TextListMany::File(file)) => Some(ListTask::Many { name: &file.name, format: None }),
        None => one(action, entry),
    }
}

fn one(action: Option<Action>, entry: Option<&str>) -> Option<ListTask<'_>> {
    Some(ListTask::One { action: action?, entry: entry? })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command, CtlCommand, ShellCommand, ShellLine};

    /// Every command of `gld-mcp`, as section 7.3 of the protocol document has it, and what is ours
    /// beside it.
    const COMMANDS: &[&str] = &[
        "iplist accept 192.0.2.7",
        "iplist ACCEPT 192.0.2.0/24",
        "iplist Reject 10/8",
        "iplist graylist 10.1/16",
        "iplist GREYLIST default",
        "iplist remove 192.0.2.7/32",
        "iplist file iplist.txt",
        "iplist file relays.txt relaydelay",
        "iplist file bogons.txt BOGONSPACE",
        "to accept bob@example.org",
        "to-domain reject example.org",
        "from GrayList alice@example.net",
        "from-domain remove example.net",
        "tuple greylist 192.0.2.7 alice@example.net bob@example.org",
        "tuple graylist 192.0.2.7/32 - bob@example.org",
        "tuple whitelist 192.0.2.7 alice@example.net -",
        "tuple remove 192.0.2.7 - -",
        "show stats",
        "show config",
        "show iplist",
        "show to",
        "show to-domain",
        "show from",
        "show from-domain",
        "show tuples",
        "show tuples all",
        "show tuples whitelist",
        "show w",
        "show c",
        // Ours.
        "to file to.txt",
        "client configured 2001:db8::/32",
        "client file -",
        "client-name accept .example.net",
        "sender accept /^alice/",
        "sender-domain reject .example.net",
        "recipient greylist =Bob@example.org",
        "recipient-domain file domains.txt",
        "show client-name",
        "file local.rules",
        "watch",
        "watch show tuples all",
        "rules --list sender --live",
    ];

    #[test]
    fn every_command_of_gld_mcp_is_understood_in_one_go_and_in_the_shell() {
        let mut understood = String::new();
        for command in COMMANDS {
            let words = || command.split_whitespace();
            let outside = Cli::try_parse_from(["xgrey", "ctl"].into_iter().chain(words()));
            let Ok(Cli { command: Command::Ctl(args) }) = outside else {
                panic!("{command}: {outside:?}");
            };
            let inside = ShellLine::try_parse_from(words());
            let Ok(ShellLine { command: ShellCommand::Ctl(same), .. }) = inside else {
                panic!("{command}: {inside:?}");
            };
            assert_eq!(args.command.as_ref(), Some(&same), "{command}");
            let meaning = match same.list_task() {
                Some((word, task)) => format!("{} {task:?}", word.list.word()),
                None => format!("{same:?}"),
            };
            understood += &format!("> {command}\n  {meaning}\n");
        }
        insta::assert_snapshot!(understood);
    }

    #[test]
    fn gld_mcps_own_words_have_the_meaning_of_the_lists_they_stand_for() {
        for (ours, theirs) in [
            ("client", "iplist"),
            ("recipient", "to"),
            ("recipient-domain", "to-domain"),
            ("sender", "from"),
            ("sender-domain", "from-domain"),
        ] {
            let list = |word: &str| {
                let line = ShellLine::try_parse_from([word, "accept", "x"]).unwrap();
                let ShellCommand::Ctl(command) = line.command else { panic!("{word}") };
                command.list_task().map(|(word, _)| word.list)
            };
            assert_eq!(list(ours), list(theirs));
            assert_eq!(list(ours).map(List::word), Some(ours));
        }
    }

    #[test]
    fn an_action_is_understood_in_any_case_and_nothing_else_is_one() {
        for (word, action) in [
            ("accept", Some(Action::Accept)),
            ("ACCEPT", Some(Action::Accept)),
            ("graylist", Some(Action::Greylist)),
            ("Configured", Some(Action::Configured)),
            ("expire", None),
            ("file", None),
            ("", None),
        ] {
            assert_eq!(Action::parse(word), action, "{word}");
        }
        let same = |command: CtlCommand| command.list_task().is_none();
        assert!(same(CtlCommand::Stats) && same(CtlCommand::Reload));
    }
}
