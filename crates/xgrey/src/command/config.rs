//! `xgrey config check FILE` and `xgrey config default`.

use std::io::{self, Write};
use std::path::Path;

use crate::config::{Config, DEFAULT_TEXT, Look};

/// The exit code for a configuration without mistakes.
const FINE: u8 = 0;
/// The exit code for wrong usage or configuration.
const MISTAKEN: u8 = 2;

/// Checks the configuration at `path`, with all files that it names. What is wrong or doubtful goes
/// to `errors`; if nothing is wrong, what the settings come to goes to `out`. Returns the exit
/// code: 2 if there is any mistake, else 0.
///
/// # Errors
/// When writing fails.
pub fn check(
    path: &Path,
    look: Look,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<u8> {
    match Config::load(Some(path)) {
        Ok((config, report)) => {
            write!(errors, "{}", report.render(look))?;
            writeln!(out, "{}: no mistakes", path.display())?;
            writeln!(out, "{}", config.summary())?;
            Ok(FINE)
        }
        Err(report) => {
            write!(errors, "{}", report.render(look))?;
            Ok(MISTAKEN)
        }
    }
}

/// Prints the default configuration with its comments. Returns the exit code, 0.
///
/// # Errors
/// When writing fails.
pub fn default(out: &mut dyn Write) -> io::Result<u8> {
    out.write_all(DEFAULT_TEXT.as_bytes())?;
    Ok(FINE)
}
