//! The flag table. Help, man pages and completions all come from it.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use greylist::Secs;
use ipnet::IpNet;

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
                  Exit status: 0 fine, 1 failed, 2 wrong usage or configuration."
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
    /// Talk to the running service
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
  xgrey import --state /var/lib/xgrey FILE  while the service is stopped: moving house";

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
    /// The export; `-` for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Whose state.
    #[command(flatten)]
    pub state: StateArgs,
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

/// Flags of `xgrey ctl`.
#[derive(Debug, Args)]
pub struct CtlArgs {
    /// Where the service is, and how to print.
    #[command(flatten)]
    pub control: ControlArgs,
    /// What to ask.
    #[command(subcommand)]
    pub command: CtlCommand,
}

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
    /// Show one tuple, forget it, or let it pass
    Tuple {
        /// What to do.
        #[command(subcommand)]
        command: TupleCommand,
    },
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
#[derive(Clone, Debug, PartialEq, Eq, Args)]
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
        after_help = "Example:\n  xgrey ctl tuple forget 192.0.2.7 a@example.net b@example.org"
    )]
    Forget(TupleArgs),
    /// Let it pass from now on, whether or not it is known yet
    #[command(
        after_help = "Example:\n  xgrey ctl tuple pass 192.0.2.7 a@example.net b@example.org\n\n\
                      It is white then, as if it had waited. What a rule rejects is still rejected."
    )]
    Pass(TupleArgs),
}

/// A tuple, named by what an attempt of it looks like. It is found whatever of that counts: see
/// `[identity]` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct TupleArgs {
    /// Address of the client, IPv4 or IPv6
    #[arg(value_name = "CLIENT")]
    pub client: IpAddr,
    /// Envelope sender; "" or "<>" for the null sender
    #[arg(value_name = "SENDER")]
    pub sender: String,
    /// Envelope recipient
    #[arg(value_name = "RECIPIENT")]
    pub recipient: String,
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
        let paths: [&[&str]; 11] = [
            &[],
            &["serve"],
            &["explain"],
            &["ctl"],
            &["ctl", "tuples"],
            &["ctl", "tuple"],
            &["ctl", "tuple", "show"],
            &["ctl", "tuple", "pass"],
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
