//! The process that opens a state directory, says how long which part took, and looks whether all is
//! there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use store::durable::Progress;
use store::{CompactStore, TupleStore as _};

use super::tail::Tail;
use super::{Made, Recipe};
use crate::clock;
use crate::state::{self, Sync};
use crate::store::meter;
use crate::store::numbers::{Keys, Scattered, time};
use crate::store::subject::{config, ready};

/// What the process is told.
#[derive(Debug, clap::Args)]
pub(crate) struct OpenOptions {
    /// What to open
    #[arg(long)]
    state: PathBuf,
    /// What is in there
    #[arg(long, value_parser = Recipe::parse)]
    recipe: Recipe,
    /// Changes of the tail that were answered
    #[arg(long)]
    answered: u64,
    /// Tuples and changes to look for
    #[arg(long)]
    sample: u64,
}

/// What it has found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Opened {
    /// From the call to the last piece of the snapshot.
    pub(crate) snapshot_seconds: f64,
    /// From there to the return of the call.
    pub(crate) journal_seconds: f64,
    /// CPU time of both, of all threads.
    pub(crate) cpu_seconds: f64,
    /// Tuples loaded from the snapshot.
    pub(crate) loaded: u64,
    /// Changes applied after it.
    pub(crate) changes: u64,
    /// Tuples in the end.
    pub(crate) tuples: u64,
    pub(crate) resident_bytes: u64,
    /// What was not as it was written. A tail that was cut off by a kill is as it should be.
    pub(crate) damage: Vec<String>,
    /// Of the snapshot's tuples: looked for, and not as they should be.
    pub(crate) asked: u64,
    pub(crate) lost: u64,
    /// Of the tail's changes that were answered: looked for, and not as they should be.
    pub(crate) tail_asked: u64,
    pub(crate) tail_lost: u64,
}

/// The process itself: opens, looks, and prints what it has found as JSON.
pub(crate) fn run(options: &OpenOptions) -> anyhow::Result<()> {
    let recipe = &options.recipe;
    let config = config(&recipe.line(), recipe.bound()?)?;
    let tail = Tail::of(recipe);
    let loaded: Mutex<Option<Instant>> = Mutex::new(None);
    let watch = |progress: Progress| {
        if matches!(progress, Progress::Snapshot { .. })
            && let Ok(mut loaded) = loaded.lock()
        {
            *loaded = Some(clock::now());
        }
    };
    let begin = clock::now();
    let opened = state::open(&options.state, config, time(tail.second()), Sync::Never, &watch)?;
    let end = clock::now();
    let loaded = loaded.into_inner().ok().flatten().unwrap_or(begin);

    let recovery = &opened.recovery;
    let stats = opened.store.stats();
    let findings = recovery.journal.findings.iter().filter(|finding| !finding.is_normal());
    let mut found = Opened {
        snapshot_seconds: (loaded - begin).as_secs_f64(),
        journal_seconds: (end - loaded).as_secs_f64(),
        cpu_seconds: clock::process_cpu().as_secs_f64(),
        loaded: recovery.loaded,
        changes: recovery.journal.changes,
        tuples: stats.grey + stats.white,
        resident_bytes: meter::resident_bytes(),
        damage: recovery.damage.iter().cloned().chain(findings.map(ToString::to_string)).collect(),
        ..Opened::default()
    };
    look(&opened.store, options, &tail, &mut found)?;
    println!("{}", serde_json::to_string(&found)?);
    Ok(())
}

fn look(
    store: &CompactStore,
    options: &OpenOptions,
    tail: &Tail,
    found: &mut Opened,
) -> anyhow::Result<()> {
    let keys = Keys::new(options.recipe.seed);
    let peek = |number: u64| ready(store.peek(time(tail.second()), keys.key(number)));
    for number in Scattered::new(0..options.recipe.tuples, options.sample) {
        found.asked += 1;
        found.lost += u64::from(!tail.is_snapshots(number, peek(number)?));
    }
    for place in Scattered::new(0..options.answered, options.sample) {
        found.tail_asked += 1;
        found.tail_lost += u64::from(!tail.is_kept(place, peek(tail.number(place))?));
    }
    Ok(())
}

/// Starts it, and takes what it has found.
pub(super) fn in_a_process(state: &Path, made: &Made, sample: u64) -> anyhow::Result<Opened> {
    let output = Command::new(std::env::current_exe()?)
        .arg("recovery-open")
        .arg("--state")
        .arg(state)
        .args(["--recipe", &made.recipe.to_argument()?])
        .args(["--answered", &made.answered.to_string(), "--sample", &sample.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!("the process that opens the state directory has ended, {}", output.status);
    }
    serde_json::from_slice(&output.stdout).context("what the process that opens has printed")
}
