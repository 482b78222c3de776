//! The flag table. Help, man pages and completions all come from it.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum CtlCommand {
    /// Count decisions, connections and tuples since the start
    Stats,
    /// List all rules with their hits and where they are written
    Rules,
    /// Take the configuration anew: whole, or not at all
    Reload,
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
        for name in [None, Some("serve"), Some("explain"), Some("ctl")] {
            let mut command = Cli::command().term_width(90);
            command.build();
            let command = match name {
                None => &mut command,
                Some(name) => command.find_subcommand_mut(name).unwrap(),
            };
            help += &format!("{}\n----\n", command.render_long_help());
        }
        insta::assert_snapshot!(help);
    }
}
