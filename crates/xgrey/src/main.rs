//! Parses the command line, runs the command, ends with its exit code; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    xgrey::command::run_as_asked()
}
