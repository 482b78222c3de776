//! `xgrey config check FILE` and `xgrey config default`.

use std::io::{self, Write};

use super::{Failure, serve};
use crate::cli::ConfigCommand;
use crate::config::DEFAULT_TEXT;

/// Does what is asked for. Mistakes are the failure; what is doubtful goes to standard error, what
/// the settings come to, to standard output.
pub fn run(command: &ConfigCommand) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match command {
        ConfigCommand::Default => out.write_all(DEFAULT_TEXT.as_bytes())?,
        ConfigCommand::Check { file } => {
            let loaded = serve::load(Some(file))?;
            eprint!("{}", loaded.report.render(serve::look()));
            writeln!(out, "{}: no mistakes", loaded.name)?;
            writeln!(out, "{}", loaded.config.summary())?;
        }
    }
    Ok(())
}
