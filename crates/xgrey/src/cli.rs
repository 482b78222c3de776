//! The flag table. Help, man pages and completions all come from it, and so do the words of
//! `xgrey ctl`'s shell.

pub mod check;
pub mod filter;
pub mod lists;
pub mod show;
pub mod words;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use greylist::Secs;
use greylist::rules::List;
use ipnet::IpNet;
use wire::xgrey_v1::files::FileKind;

pub use self::check::CheckArgs;
pub use self::filter::FilterCommand;
pub use self::lists::{
    ExactListArgs, FileArgs, ListTask, ListWord, NetworkListArgs, PatternListArgs,
};
pub use self::show::ShowCommand;

use crate::config::length_of_time;
use crate::control::StateWanted;
use crate::control::tuples::network;

/// Greylisting for one mail server or a fleet: unknown senders are asked to try again later; real
/// mail servers do, most spam cannons don't.
#[derive(Debug, Parser)]
#[command(
    name = "xgrey",
    version,
    propagate_version = true,
    after_help = "Start with `xgrey serve`: no configuration is needed, and it prints the lines for main.cf.\n\
                  Exit status: 0 fine, 1 failed, 2 wrong usage or configuration, 69 the service is not running."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service
    Serve(ServeArgs),
    /// Say what a client would be answered and why, changing nothing
    #[command(
        after_help = "Example:\n  xgrey explain --client 192.0.2.7 --sender a@example.net --recipient b@example.org"
    )]
    Explain(ExplainArgs),
    /// Ask a running server, ours or X-Grey's, what becomes of a mail; for scripts
    #[command(after_help = check::CHECK_HELP)]
    Check(CheckArgs),
    /// Run as a mail server's filter, which asks the running service
    Filter {
        /// Whose.
        #[command(subcommand)]
        command: FilterCommand,
    },
    /// Talk to the running service: one command, or a shell
    #[command(after_help = CTL_HELP)]
    Ctl(CtlArgs),
    /// Write all that is remembered to a file of text
    #[command(after_help = EXPORT_HELP)]
    Export(ExportArgs),
    /// Take in what was exported: into the running service, or into a state directory
    #[command(after_help = IMPORT_HELP)]
    Import(ImportArgs),
    /// Look at the files of a state directory
    Store {
        /// What about it.
        #[command(subcommand)]
        command: StoreCommand,
    },
    /// Check a configuration, or print the default one
    Config {
        /// What about it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Write man pages or shell completions
    Generate {
        /// Which.
        #[command(subcommand)]
        command: GenerateCommand,
    },
}

const EXPORT_HELP: &str = "\
The file has the hash key in it: it is made readable for its owner only. Until it is whole it is called \
FILE.part; after an interruption the same command goes on from there.

Examples:
  xgrey export /var/backups/xgrey.txt       of the running service, while it serves
  xgrey export - | zstd > xgrey.txt.zst     compressed (about a quarter)
  xgrey export --state /var/lib/xgrey FILE  while the service is stopped";

const IMPORT_HELP: &str = "\
What is known already stays: white counts more than grey, a later use more than an earlier one, an earlier \
first try more than a later one. So importing again does no harm, and after an interruption the same \
command goes on. A state directory without tuples takes the export's hash key; with \
another hash key only tuples whose addresses are in the export can be taken in.

Exit status: 0 all was read, 1 something could not be.

Examples:
  xgrey import /var/backups/xgrey.txt       into the running service, while it serves
  zstd -dc xgrey.txt.zst | xgrey import -   unpacked on the way
  xgrey import --state /var/lib/xgrey FILE  while the service is stopped: moving house

Moving in from X-Grey: --from x-grey takes the files of its state directory, as many as there are: \
whitelist.txt, dump.txt (which a SIGUSR1 to gld makes), iplist.txt, to.txt, to-domain.txt, from.txt and \
from-domain.txt. Tuples keep their ages, and lists become live rules. Files of other names need --kind.

  kill -USR1 $(cat /usr/local/var/state/gld/gld.pid)
  xgrey import --from x-grey /usr/local/var/state/gld/*.txt
  xgrey import --from x-grey --kind relaydelay whitelist_ip.txt";

/// Flags of `xgrey export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The file to make; `-` for standard output
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Whose state.
    #[command(flatten)]
    pub state: StateArgs,
}

/// Flags of `xgrey import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The export; `-` for standard input. With --from, the files of that system
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// What kept it, if that was not xgrey
    #[arg(long, value_name = "SYSTEM")]
    pub from: Option<ForeignSystem>,
    /// What is in the files, if their names don't tell
    #[arg(long, value_name = "KIND", requires = "from", value_parser = x_grey_kinds())]
    pub kind: Option<FileKind>,
    /// Whose state.
    #[command(flatten)]
    pub state: StateArgs,
}

/// A system from which one can move in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ForeignSystem {
    /// Sean Conner's X-Grey
    XGrey,
}

/// What can be in a file of X-Grey's.
fn x_grey_kinds() -> impl TypedValueParser<Value = FileKind> {
    let names = PossibleValuesParser::new(FileKind::ALL.map(FileKind::name));
    names.try_map(|name| FileKind::of_file_name(&name).ok_or("no such kind of file"))
}

/// Whose state: the running service's, or that in a directory.
#[derive(Debug, Args)]
pub struct StateArgs {
    /// Control socket of the running service [default: where `serve` puts it for this user]
    #[arg(long, value_name = "SOCKET", conflicts_with = "state")]
    pub control: Option<PathBuf>,
    /// State directory, of a service that is stopped
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Configuration for --state [default: as for serve]
    #[arg(short, long, value_name = "FILE", requires = "state")]
    pub config: Option<PathBuf>,
}

/// What `xgrey store` can do.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Read every file, and say what is damaged and what a start would make of it
    #[command(after_help = "Changes nothing, and may be used beside a running service.\n\
                      Exit status: 0 whole, 1 damaged.")]
    Verify(StoreArgs),
    /// Say what is there: files, positions, about how many tuples
    Info(StoreArgs),
}

/// Flags of `xgrey store`.
#[derive(Debug, Args)]
pub struct StoreArgs {
    /// State directory [default: as for serve]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// JSON instead of tables and sentences
    #[arg(long)]
    pub json: bool,
}

/// Flags of `xgrey serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Configuration [default: /etc/xgrey/xgrey.toml if it is there, else built-in defaults]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// State directory [default: $STATE_DIRECTORY, /var/lib/xgrey for root, else $XDG_STATE_HOME/xgrey]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Directory of the control socket [default: $RUNTIME_DIRECTORY, /run/xgrey for root, else $XDG_RUNTIME_DIR/xgrey]
    #[arg(long, value_name = "DIR")]
    pub runtime: Option<PathBuf>,
    /// Whether each decision is a log line, whatever the configuration says
    #[arg(long, value_name = "WHEN")]
    pub decision_log: Option<Switch>,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// A line for each decision
    On,
    /// No such lines
    Off,
}

/// Where the running service is found.
#[derive(Debug, Args)]
pub struct ControlArgs {
    /// Control socket of the running service [default: where `serve` puts it for this user]
    #[arg(long, value_name = "SOCKET", global = true)]
    pub control: Option<PathBuf>,
    /// JSON instead of tables and sentences
    #[arg(long, global = true)]
    pub json: bool,
}

/// Flags of `xgrey explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Address of the client, IPv4 or IPv6
    #[arg(long, value_name = "IP")]
    pub client: IpAddr,
    /// Envelope sender; "" or "<>" for the null sender
    #[arg(long, value_name = "ADDRESS")]
    pub sender: String,
    /// Envelope recipient
    #[arg(long, value_name = "ADDRESS")]
    pub recipient: String,
    /// Host name of the client, if it is forward-confirmed
    #[arg(long, value_name = "NAME")]
    pub client_name: Option<String>,
    /// Don't ask the running service: judge by the configuration alone, with no tuples known
    #[arg(long)]
    pub offline: bool,
    /// Configuration for --offline [default: as for serve]
    #[arg(short, long, value_name = "FILE", requires = "offline")]
    pub config: Option<PathBuf>,
    /// Where the service is, and how to print.
    #[command(flatten)]
    pub control: ControlArgs,
}

const CTL_HELP: &str = "\
Without a command: a shell, on a terminal; else each line of standard input is a command.

Exit status: 0 done, 1 failed or nothing to do it to, 2 wrong usage, 69 the service is not running. Of \
many lines, the worst counts.

Examples:
  xgrey ctl iplist accept 192.0.2.0/24        let a network in
  xgrey ctl to-domain reject example.com      refuse mail for a domain
  xgrey ctl iplist file bogons.txt bogonspace refuse many networks
  xgrey ctl show iplist                       what is in the list, and what came of it
  xgrey ctl watch stats                       numbers that change while you look";

/// Flags of `xgrey ctl`.
#[derive(Debug, Args)]
pub struct CtlArgs {
    /// Where the service is, and how to print.
    #[command(flatten)]
    pub control: ControlArgs,
    /// What to ask; nothing for the shell.
    #[command(subcommand)]
    pub command: Option<CtlCommand>,
}

/// One line of the shell: the same commands, and how to leave.
#[derive(Debug, Parser)]
#[command(
    name = "xgrey ctl",
    no_binary_name = true,
    disable_help_subcommand = true,
    after_help = SHELL_HELP
)]
pub struct ShellLine {
    /// JSON instead of tables and sentences
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: ShellCommand,
}

/// What the shell of `xgrey ctl` can do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum ShellCommand {
    /// What can be asked without a shell, too.
    #[command(flatten)]
    Ctl(CtlCommand),
    /// Say what there is, or more about one command
    #[command(alias = "?")]
    Help {
        /// The command, such as `iplist` or `show tuples`
        #[arg(value_name = "COMMAND", num_args = 0..)]
        words: Vec<String>,
    },
    /// Leave the shell; so does the end of the input (^D)
    #[command(alias = "quit")]
    Exit,
}

const SHELL_HELP: &str = "\
`help COMMAND` says more, `?` is the same as `help`. Words with blanks need quotes. Tab completes.";

/// What `xgrey ctl` can ask.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum CtlCommand {
    /// Count decisions, connections and tuples since the start
    Stats,
    /// List rules with their hits, and where and when they were written
    #[command(after_help = RULES_HELP)]
    Rules(RulesArgs),
    /// Take the configuration anew: whole, or not at all
    Reload,
    /// List tuples, the newest first: all, or those that match all that is asked for
    #[command(after_help = TUPLES_HELP)]
    Tuples(TuplesArgs),
    /// Show one tuple, forget it, let it pass, or try it as a mail server would
    Tuple {
        /// What to do.
        #[command(subcommand)]
        command: TupleCommand,
    },
    /// Show what X-Grey's control program shows, by its words
    Show {
        /// What.
        #[command(subcommand)]
        what: ShowCommand,
    },
    /// Change the list of client addresses: X-Grey's word
    #[command(after_help = "Example:\n  xgrey ctl iplist accept 192.0.2.0/24")]
    Iplist(NetworkListArgs),
    /// Change the list of recipients, byte for byte: X-Grey's word
    #[command(after_help = "Example:\n  xgrey ctl to accept bob@example.org")]
    To(ExactListArgs),
    /// Change the list of recipients' domains, byte for byte: X-Grey's word
    #[command(after_help = "Example:\n  xgrey ctl to-domain reject example.com")]
    ToDomain(ExactListArgs),
    /// Change the list of senders, byte for byte: X-Grey's word
    #[command(after_help = "Example:\n  xgrey ctl from accept alice@example.net")]
    From(ExactListArgs),
    /// Change the list of senders' domains, byte for byte: X-Grey's word
    #[command(after_help = "Example:\n  xgrey ctl from-domain reject example.com")]
    FromDomain(ExactListArgs),
    /// Change the list of client addresses
    #[command(after_help = "Example:\n  xgrey ctl client accept 2001:db8::/32")]
    Client(NetworkListArgs),
    /// Change the list of confirmed host names of clients
    #[command(after_help = "Example:\n  xgrey ctl client-name accept .example.net")]
    ClientName(PatternListArgs),
    /// Change the list of senders
    #[command(after_help = "Example:\n  xgrey ctl sender accept alice@example.net")]
    Sender(PatternListArgs),
    /// Change the list of senders' domains
    #[command(after_help = "Example:\n  xgrey ctl sender-domain reject .example.com")]
    SenderDomain(PatternListArgs),
    /// Change the list of recipients
    #[command(after_help = "Example:\n  xgrey ctl recipient greylist bob@example.org")]
    Recipient(PatternListArgs),
    /// Change the list of recipients' domains
    #[command(after_help = "Example:\n  xgrey ctl recipient-domain accept example.org")]
    RecipientDomain(PatternListArgs),
    /// Take in a rules file: all of it, or nothing if a line is wrong
    #[command(after_help = lists::FILE_HELP)]
    File(FileArgs),
    /// Show something again each second, until a key is pressed
    #[command(after_help = "Example:\n  xgrey ctl watch show iplist")]
    Watch {
        /// A command that shows something [default: stats]
        #[arg(
            value_name = "COMMAND",
            num_args = 0..,
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_hint = ValueHint::CommandWithArguments
        )]
        words: Vec<String>,
    },
}

impl CtlCommand {
    /// The list that it changes, and how; nothing if it does something else.
    pub fn list_task(&self) -> Option<(ListWord, ListTask<'_>)> {
        let (word, task) = match self {
            Self::Iplist(args) => (ListWord::IPLIST, args.task()),
            Self::To(args) => (ListWord::TO, args.task()),
            Self::ToDomain(args) => (ListWord::TO_DOMAIN, args.task()),
            Self::From(args) => (ListWord::FROM, args.task()),
            Self::FromDomain(args) => (ListWord::FROM_DOMAIN, args.task()),
            Self::Client(args) => (ListWord::ours(List::Client), args.task()),
            Self::ClientName(args) => (ListWord::ours(List::ClientName), args.task()),
            Self::Sender(args) => (ListWord::ours(List::Sender), args.task()),
            Self::SenderDomain(args) => (ListWord::ours(List::SenderDomain), args.task()),
            Self::Recipient(args) => (ListWord::ours(List::Recipient), args.task()),
            Self::RecipientDomain(args) => (ListWord::ours(List::RecipientDomain), args.task()),
            _ => return None,
        };
        Some((word, task?))
    }

    /// Whether it reads a file from standard input.
    pub fn reads_standard_input(&self) -> bool {
        let name = match (self, self.list_task()) {
            (_, Some((_, ListTask::Many { name, .. }))) => name,
            (Self::File(file), _) => &file.name,
            _ => return false,
        };
        name == Path::new("-")
    }
}

const RULES_HELP: &str = "\
Rules that were set while the service runs are \"live\": they are kept in the state directory, and beat \
those of the configuration. To move them into the configuration, write them out, and name the file there:

  xgrey ctl rules --format rules > /etc/xgrey/live.rules
  [[rules.file]]
  path = \"live.rules\"";

/// Flags of `xgrey ctl rules`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct RulesArgs {
    /// Those of one list, such as sender-domain
    #[arg(long, value_name = "LIST")]
    pub list: Option<String>,
    /// Those alone that were set or removed while the service runs
    #[arg(long)]
    pub live: bool,
    /// How they are printed [default: table]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<RulesFormat>,
}

/// How rules are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RulesFormat {
    /// In columns
    Table,
    /// One JSON array; like --json
    Json,
    /// The live ones, as a rules file
    Rules,
}

const TUPLES_HELP: &str = "\
Examples:
  xgrey ctl tuples --sender '*@example.net'              who there has tried to send here?
  xgrey ctl tuples --client 192.0.2.0/24 --state grey    what of that network still waits?
  xgrey ctl tuples --state grey --older 10m --limit 20   the newest that did not come back
  xgrey ctl tuples --format csv > tuples.csv             all, for a spreadsheet

Columns are as wide as the first 50 rows need. On a terminal, what is wider is cut off with an \
ellipsis; elsewhere it is printed whole. Of an address longer than 255 bytes the start is kept.

A tuple is listed by the text that was kept when it was new. Tuples without one (keep_text was \
off, or the texts' bound was reached) are counted at the end, and listed by their ids with --all.";

/// Flags of `xgrey ctl tuples`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct TuplesArgs {
    /// The sender is like this; * stands for anything, ? for one character; "" for the null sender
    #[arg(long, value_name = "PATTERN")]
    pub sender: Option<String>,
    /// The recipient is like this
    #[arg(long, value_name = "PATTERN")]
    pub recipient: Option<String>,
    /// The client has this address, or is in this network
    #[arg(long, value_name = "CIDR", value_parser = network)]
    pub client: Option<IpNet>,
    /// It is in this state
    #[arg(long, value_name = "STATE")]
    pub state: Option<StateWanted>,
    /// First tried (grey) or last used (white) longer ago than this, such as 10m
    #[arg(long, value_name = "TIME", value_parser = length_of_time)]
    pub older: Option<Secs>,
    /// First tried (grey) or last used (white) less long ago than this
    #[arg(long, value_name = "TIME", value_parser = length_of_time)]
    pub younger: Option<Secs>,
    /// Those too of which no text is kept: after the others, by their ids
    #[arg(long, conflicts_with_all = ["sender", "recipient", "client"])]
    pub all: bool,
    /// Not more than this many
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// How they are printed [default: table]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<TupleFormat>,
}

/// How tuples are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TupleFormat {
    /// In columns
    Table,
    /// One JSON object a line; like --json
    Json,
    /// Comma-separated values (RFC 4180), with a header
    Csv,
}

/// What `xgrey ctl tuple` can do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum TupleCommand {
    /// Say what is known of it, and until when; exit status 1 if nothing
    #[command(
        after_help = "Example:\n  xgrey ctl tuple show 192.0.2.7 a@example.net b@example.org"
    )]
    Show(TupleArgs),
    /// Forget it: its next attempt is its first; exit status 1 if it was not known
    #[command(
        visible_alias = "remove",
        alias = "REMOVE",
        after_help = "Example:\n  xgrey ctl tuple forget 192.0.2.7 a@example.net b@example.org"
    )]
    Forget(TupleArgs),
    /// Let it pass from now on, whether or not it is known yet
    #[command(
        after_help = "Example:\n  xgrey ctl tuple pass 192.0.2.7 a@example.net b@example.org\n\n\
                      It is white then, as if it had waited. What a rule rejects is still rejected."
    )]
    Pass(TupleArgs),
    /// Try it now, as a mail server's question would; exit status 1 if a rule decides first
    #[command(
        aliases = ["graylist", "GREYLIST", "GRAYLIST"],
        after_help = "Example:\n  xgrey ctl tuple greylist 192.0.2.7 a@example.net b@example.org\n\n\
                      X-Grey's word: what is not known is grey then, and its embargo begins."
    )]
    Greylist(TupleArgs),
    /// Let it pass from now on; exit status 1 if a rule decides first
    #[command(
        alias = "WHITELIST",
        after_help = "Example:\n  xgrey ctl tuple whitelist 192.0.2.7 a@example.net b@example.org\n\n\
                      X-Grey's word for pass, which looks at the rules before."
    )]
    Whitelist(TupleArgs),
}

/// A tuple, named by what an attempt of it looks like. It is found whatever of that counts: see
/// `[identity]` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct TupleArgs {
    /// Address of the client, IPv4 or IPv6
    #[arg(value_name = "CLIENT", value_parser = tuple_client)]
    pub client: IpAddr,
    /// Envelope sender; "", "<>" or - for the null sender
    #[arg(value_name = "SENDER")]
    pub sender: String,
    /// Envelope recipient
    #[arg(value_name = "RECIPIENT")]
    pub recipient: String,
}

/// One client's address. X-Grey writes a mask behind it, which may only say that it is one.
fn tuple_client(text: &str) -> Result<IpAddr, String> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
    let one: IpAddr = address.parse().map_err(|_| {
        format!("{text:?} is no address of a client: write it as 192.0.2.7 or 2001:db8::7")
    })?;
    let whole = if one.is_ipv4() { "32" } else { "128" };
    match bits {
        None => Ok(one),
        Some(bits) if bits == whole => Ok(one),
        Some(_) => Err(format!("a tuple has one client: write {address}, without the network")),
    }
}

/// An envelope address as it was typed, bare: `-` and `<>` are the null sender's.
pub fn bare_address(typed: &str) -> &str {
    match typed {
        "-" => "",
        typed => typed.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(typed),
    }
}

/// What `xgrey config` can do.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Report every mistake in a configuration, with its place and the mend
    Check {
        /// The configuration
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the default configuration, commented
    Default,
}

/// What `xgrey generate` can write.
#[derive(Debug, Subcommand)]
pub enum GenerateCommand {
    /// Man pages, one a subcommand
    Man {
        /// Directory to write them to
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Completions, to standard output
    Completions {
        /// For which shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flag_table_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_reads_well() {
        let mut help = String::new();
        let paths: [&[&str]; 21] = [
            &[],
            &["serve"],
            &["explain"],
            &["ctl"],
            &["ctl", "tuples"],
            &["ctl", "tuple"],
            &["ctl", "tuple", "show"],
            &["ctl", "tuple", "pass"],
            &["ctl", "tuple", "greylist"],
            &["ctl", "iplist"],
            &["ctl", "iplist", "file"],
            &["ctl", "to"],
            &["ctl", "recipient"],
            &["ctl", "recipient", "file"],
            &["ctl", "show"],
            &["ctl", "watch"],
            &["check"],
            &["filter", "opensmtpd"],
            &["export"],
            &["import"],
            &["store"],
        ];
        for path in paths {
            let mut command = Cli::command().term_width(90);
            command.build();
            let mut command = &mut command;
            for name in path {
                command = command.find_subcommand_mut(name).unwrap();
            }
            help += &format!("{}\n----\n", command.render_long_help());
        }
        insta::assert_snapshot!(help);
    }
}
