//! What the project does to itself: test, tidy, fuzz, torture. `.ci/run` is `cargo xtask test`.
//!
//! One program for an admin's laptop, a developer and CI, so that what CI runs is what anybody
//! can run. It knows nothing of what xgrey does, only how it is checked.

mod checks;
mod command;
mod fuzz;
mod mail_servers;
mod packaging;
mod steps;
mod tidy;
mod torture;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Checks xgrey.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that CI checks, in order; the first failure ends it.
    ///
    /// Installs what the tests need by apt-get (as root) and by `cargo install` when it is
    /// missing.
    Test {
        /// Only these steps (may be given more than once; see --list).
        #[arg(long, value_name = "STEP")]
        only: Vec<String>,
        /// Names the steps and what each is for.
        #[arg(long)]
        list: bool,
    },
    /// The project's own rules: rooms, links, names, addresses, lengths.
    Tidy,
    /// Fuzzes the codecs and the configuration; new inputs stay in fuzz/corpus.
    Fuzz {
        /// Only this target.
        target: Option<String>,
        /// For how long each target is fuzzed.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Kills the service (kill -9) again and again under load, and looks for what was lost.
    Torture {
        /// How often.
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2_000))]
        kills: u32,
        /// The seed of an earlier campaign, to repeat its moments; unless given, a new one.
        #[arg(long)]
        seed: Option<u64>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    if let Task::Test { list: true, .. } = cli.task {
        print!("{}", steps::list());
        return Ok(());
    }
    let workspace = Workspace::load()?;
    match cli.task {
        Task::Test { only, .. } => steps::run(&workspace, &only),
        Task::Tidy => tidy::check(&workspace),
        Task::Torture { kills, seed } => torture::campaign(&workspace, kills, seed),
        Task::Fuzz { target, seconds } => fuzz::by_hand(&workspace, target.as_deref(), seconds),
    }
}
