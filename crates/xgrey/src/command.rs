//! One file a subcommand. Each returns how it ended; only here errors are printed and exit codes
//! chosen.

pub mod config;
pub mod ctl;
pub mod explain;
pub mod export;
pub mod generate;
pub mod import;
mod offline;
pub mod serve;
pub mod store;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::{Cli, Command, ControlArgs};
use crate::control;
use crate::state_dir::Environment;

/// How a command failed.
#[derive(Debug)]
pub enum Failure {
    /// At run time: exit code 1.
    Failed(String),
    /// By wrong usage or configuration: exit code 2. The text is ready to be printed.
    Usage(String),
    /// It did what it could, and has said what it could not: exit code 1.
    Told,
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Runs the command and says how the process is to end.
pub fn run(cli: Cli) -> ExitCode {
    let ended = match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Ctl(args) => ctl::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Store { command } => store::run(&command),
        Command::Config { command } => config::run(&command),
        Command::Generate { command } => generate::run(command),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(why)) => {
            eprintln!("xgrey: {why}");
            ExitCode::from(1)
        }
        Err(Failure::Usage(why)) => {
            eprintln!("{}", why.trim_end());
            ExitCode::from(2)
        }
        Err(Failure::Told) => ExitCode::from(1),
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
