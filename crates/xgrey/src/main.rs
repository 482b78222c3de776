//! Parses the command line, runs the command, ends with its exit code; nothing else.

use std::process::ExitCode;

use clap::Parser;
use xgrey::cli::Cli;

fn main() -> ExitCode {
    xgrey::command::run(Cli::parse())
}
