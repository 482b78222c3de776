//! One file a subcommand. Each returns how it ended; only here errors are printed and exit codes
//! chosen.

pub mod check;
pub mod config;
pub mod ctl;
pub mod explain;
pub mod export;
pub mod filter;
pub mod generate;
pub mod import;
mod offline;
pub mod serve;
pub mod store;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::cli::{Cli, Command, ControlArgs, words};
use crate::control::{self, client::ControlError};
use crate::state_dir::Environment;

/// How a command failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// At run time: exit code 1.
    Failed(String),
    /// By wrong usage or configuration: exit code 2. The text is ready to be printed.
    Usage(String),
    /// Nobody answers where the service should: exit code [`UNREACHABLE`].
    Unreachable(String),
    /// It did what it could, and has said what it could not: exit code 1.
    Told,
    /// It has said all that there is to say, and ends with this exit code.
    Exit(u8),
}

/// The exit code when nobody answers: `EX_UNAVAILABLE` of BSD's sysexits.
pub const UNREACHABLE: u8 = 69;

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let said = error.to_string();
        match (&error as &dyn std::any::Any).downcast_ref::<ControlError>() {
            Some(ControlError::NotRunning { .. }) => Self::Unreachable(said),
            _ => Self::Failed(said),
        }
    }
}

impl Failure {
    /// Prints what is still to be said, and gives the exit code.
    fn print(&self) -> u8 {
        match self {
            Self::Failed(why) => {
                eprintln!("xgrey: {why}");
                1
            }
            Self::Usage(why) => {
                eprintln!("{}", why.trim_end());
                2
            }
            Self::Unreachable(why) => {
                eprintln!("xgrey: {why}");
                UNREACHABLE
            }
            Self::Told => 1,
            Self::Exit(code) => *code,
        }
    }
}

/// Parses the command line of this process, runs the command and says how the process is to end.
pub fn run_as_asked() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => run(cli),
        Err(error) => {
            match words::too_many_words(&error) {
                Some(said) => eprintln!("{said}"),
                // Whoever has closed his end does not want to know.
                None => drop(error.print()),
            }
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            if error.use_stderr()
                && let Some(example) = example_of_this_command()
            {
                eprintln!("Example: {example}");
            }
            ExitCode::from(code)
        }
    }
}

/// An example of the command that was meant, if its help has one.
fn example_of_this_command() -> Option<String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut table = Cli::command();
    table.build();
    words::example(words::follow(&table, words.iter().map(String::as_str)).command)
}

/// Runs the command and says how the process is to end.
pub fn run(cli: Cli) -> ExitCode {
    let ended = match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Filter { command } => filter::run(&command),
        Command::Ctl(args) => ctl::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Store { command } => store::run(&command),
        Command::Config { command } => config::run(&command),
        Command::Generate { command } => generate::run(command),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(failure.print()),
    }
}

/// Prints to standard output. Whoever closes it has seen enough.
fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("cannot print: {error}")))
        }
        _ => Ok(()),
    }
}

/// The control socket: as given, or where `serve` puts it for this user.
fn control_socket(args: &ControlArgs) -> PathBuf {
    socket_at(args.control.as_deref())
}

/// The control socket: that one, or where `serve` puts it for this user.
fn socket_at(given: Option<&Path>) -> PathBuf {
    let default = || Environment::of_this_process().runtime().join(control::SOCKET_NAME);
    given.map_or_else(default, Path::to_owned)
}
