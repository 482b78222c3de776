//! `xgrey generate`: man pages and completions, from the same flag table as `--help`.

use std::io;

use clap::CommandFactory;

use super::Failure;
use crate::cli::{Cli, GenerateCommand};

/// Writes what is asked for.
pub fn run(command: GenerateCommand) -> Result<(), Failure> {
    match command {
        GenerateCommand::Man { dir } => {
            std::fs::create_dir_all(&dir)?;
            clap_mangen::generate_to(Cli::command(), &dir)?;
            println!(
                "man pages are in {}; read one with `man -l {}/xgrey.1`",
                dir.display(),
                dir.display()
            );
        }
        GenerateCommand::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "xgrey", &mut io::stdout());
        }
    }
    Ok(())
}
