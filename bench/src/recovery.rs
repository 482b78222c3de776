//! `xgrey-bench recovery`: a state directory is made, of so many tuples in a snapshot and so many
//! changes after it, and then opened by a process that knows nothing yet.
//!
//! What the snapshot takes is compared with what reading its bytes takes, both from a cold cache and
//! one after the other, so that the disk's own speed falls out.
//!
//! | file | subject |
//! |---|---|
//! | `tail.rs` | pure: which change comes at which place after the snapshot |
//! | `make.rs` | the process that makes a state directory, and may be killed over it |
//! | `cold.rs` | files out of the kernel's cache, and read from the disk |
//! | `open.rs` | the process that opens it, and looks whether all is there |
//! | `report.rs` | goals, text and JSON |

mod cold;
mod make;
mod open;
mod report;
mod tail;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use store::Bound;

use crate::machine::{Machine, random_seed};
use crate::publish::Published;
use crate::store::numbers::Timeline;
use crate::store::plan::bound_for;
use crate::store::{parse_count, parse_size};
use report::{Report, Round};
use tail::Tail;

pub(crate) use make::{MakeOptions, run as make};
pub(crate) use open::{OpenOptions, run as open};

/// The service's defaults, in seconds.
const WINDOW: u32 = 21_600;
const EMBARGO: u32 = 60;

/// Changes after the snapshot, if none are asked for: half as many as there are tuples, at most so
/// many.
const TAIL_MAX: u64 = 20_000_000;

/// What is made, opened and looked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where to work: an empty directory, or one that an earlier run with the same numbers has left,
    /// which is then opened again. Nothing in it is removed
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
    /// Tuples in the snapshot
    #[arg(long, value_name = "N", default_value = "10_000_000", value_parser = parse_count)]
    tuples: u64,
    /// Changes in the journal after it: every other one a new tuple, the rest tuples that pass
    /// [default: half as many as tuples, at most 20 million]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    tail: Option<u64>,
    /// Bound of the table, such as 18GiB [default: such that the tuples fill nine tenths of it]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
    /// Kill the process that makes it (SIGKILL) when half of the tail is answered, instead of letting
    /// it end
    #[arg(long)]
    kill: bool,
    /// How often it is read and opened
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Tuples of the snapshot, and changes of the tail, that are looked for in the end
    #[arg(long, value_name = "N", default_value = "10_000_000", value_parser = parse_count)]
    sample: u64,
    /// The number that all keys follow from; the report names it [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// Write the report as JSON to this file; with - to standard output, the table to standard error
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
}

/// What a state directory is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recipe {
    pub(crate) tuples: u64,
    pub(crate) tail: u64,
    pub(crate) bound_bytes: u64,
    pub(crate) end: End,
    pub(crate) seed: u64,
}

/// How the process that makes it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    /// By itself.
    Orderly,
    /// By SIGKILL.
    Killed,
}

/// A state directory that was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) recipe: Recipe,
    /// Changes of the tail that were answered before the process ended.
    pub(crate) answered: u64,
    /// How long it took.
    pub(crate) seconds: f64,
}

impl Recipe {
    fn new(options: &Options) -> anyhow::Result<Self> {
        let tuples = options.tuples;
        if tuples == 0 {
            bail!("--tuples must be at least 1");
        }
        let tail = options.tail.unwrap_or((tuples / 2).min(TAIL_MAX));
        let most = tuples + Tail::new_tuples(tail);
        let bound = match options.memory {
            Some(bytes) => Bound::new(bytes)?,
            None => bound_for(most)?,
        };
        if most > bound.bytes() / 8 {
            bail!("{most} tuples do not fit into --memory {}: a slot has 8 bytes", bound.bytes());
        }
        Ok(Self {
            tuples,
            tail,
            bound_bytes: bound.bytes(),
            end: if options.kill { End::Killed } else { End::Orderly },
            seed: options.seed.unwrap_or_else(random_seed),
        })
    }

    /// All its tuples come within one window, and none expires.
    pub(crate) fn line(&self) -> Timeline {
        Timeline { tuples: self.tuples, window: WINDOW, embargo: EMBARGO }
    }

    pub(crate) fn bound(&self) -> anyhow::Result<Bound> {
        Ok(Bound::new(self.bound_bytes)?)
    }

    /// As the other processes of a run are told it.
    fn to_argument(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string(self)?)
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

/// Makes, reads, opens, looks, and prints what came out.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let made = made(options)?;
    let state = state(&options.directory);
    let files = cold::files(&state)?;
    let mut rounds = Vec::new();
    for round in 1..=options.rounds {
        say(&format!("round {round} of {}: reading the snapshot", options.rounds));
        cold::write_out(&state)?;
        let cached_before_reading = cold::drop_from_cache(&state)?;
        let read_seconds = cold::read(&files.snapshot)?;
        say(&format!("round {round} of {}: opening", options.rounds));
        let cached_before_opening = cold::drop_from_cache(&state)?;
        let sample = if round == options.rounds { options.sample } else { 0 };
        let opened = open::in_a_process(&state, &made, sample)?;
        rounds.push(Round { cached_before_reading, read_seconds, cached_before_opening, opened });
    }
    let report = Report::new(Machine::this(), made, files.sizes(), rounds);
    let published = Published { text: report.text(), json: report.json()?, gap: "\n" };
    published.write(options.json.as_deref())
}

fn state(directory: &Path) -> PathBuf {
    directory.join("state")
}

/// Makes the state directory, unless an earlier run has.
fn made(options: &Options) -> anyhow::Result<Made> {
    let note = options.directory.join("made.json");
    if let Ok(text) = fs::read_to_string(&note) {
        let made: Made = serde_json::from_str(&text).with_context(|| note.display().to_string())?;
        let seed = Some(options.seed.unwrap_or(made.recipe.seed));
        let wanted = Recipe { seed: made.recipe.seed, ..Recipe::new(options)? };
        if wanted != made.recipe || seed != Some(made.recipe.seed) {
            bail!(
                "{} was made with other numbers ({text}): remove it, or name another directory",
                options.directory.display()
            );
        }
        say("opening what an earlier run has made");
        return Ok(made);
    }
    let recipe = Recipe::new(options)?;
    crate::state::make_empty(&options.directory)?;
    let made = make::in_a_process(&state(&options.directory), &recipe)?;
    fs::write(&note, serde_json::to_string(&made)? + "\n")
        .with_context(|| format!("write {}", note.display()))?;
    Ok(made)
}

fn say(what: &str) {
    eprintln!("{what}");
}
