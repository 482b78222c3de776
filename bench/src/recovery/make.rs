//! The process that makes a state directory: fills the store, takes a snapshot, then makes the tail's
//! changes and says after each batch how many are answered. It may be killed over it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::tail::Tail;
use super::{End, Made, Recipe};
use crate::clock;
use crate::state::Sync;
use crate::store::course::{Course, Then};
use crate::store::numbers::Keys;
use crate::store::progress::Display;
use crate::store::report::Text;
use crate::store::subject::{self, Keeping, Subject};
use crate::store::watch::Watch;

/// Attempts in one batch, as one turn of the service's loop brings them.
const BATCH: usize = 64;

/// What the process is told.
#[derive(Debug, clap::Args)]
pub(crate) struct MakeOptions {
    /// Where to make it
    #[arg(long)]
    state: PathBuf,
    /// Of what
    #[arg(long, value_parser = Recipe::parse)]
    recipe: Recipe,
}

/// The process itself.
pub(crate) fn run(options: &MakeOptions) -> anyhow::Result<()> {
    let recipe = &options.recipe;
    let line = recipe.line();
    let keeping = Keeping {
        directory: options.state.clone(),
        sync: Sync::Every(std::time::Duration::from_secs(1)),
        text: Text::Off,
    };
    let config = subject::config(&line, recipe.bound()?)?;
    let mut subject = Subject::new(config, Some(&keeping), Keys::new(recipe.seed), BATCH)?;
    let mut watch = Watch::new(recipe.tuples, Display::new(recipe.tuples));
    watch.say("filling");
    let mut course = Course::new(line);
    watch.begin();
    while let Some(step) = course.step(recipe.tuples) {
        let count = step.numbers.end - step.numbers.start;
        subject.touch(step.second, step.numbers)?;
        if step.then == Then::NextSecond {
            subject.second_passed(course.second);
        }
        watch.look(&subject, &course, count);
    }
    watch.say("taking a snapshot");
    // From here on nothing is done but what is measured.
    subject.leave_alone()?;
    let tail = Tail::of(recipe);
    subject.snapshot(tail.second())?;
    watch.say("making the tail");
    let mut answered = std::io::stdout().lock();
    for first in (0..recipe.tail).step_by(BATCH) {
        let end = (first + BATCH as u64).min(recipe.tail);
        subject.touch(tail.second(), (first..end).map(|place| tail.number(place)))?;
        writeln!(answered, "{end}")?;
        answered.flush()?;
    }
    if recipe.end == End::Killed {
        // Never by itself. Only if nobody is left to kill it does its input end.
        std::io::stdin().read_to_end(&mut Vec::new())?;
        bail!("nobody has killed it");
    }
    subject.sync(tail.second());
    Ok(())
}

/// Starts it, and waits for its end or brings it about.
pub(super) fn in_a_process(state: &Path, recipe: &Recipe) -> anyhow::Result<Made> {
    let begin = clock::now();
    let mut child = Command::new(std::env::current_exe()?)
        .arg("recovery-make")
        .arg("--state")
        .arg(state)
        .args(["--recipe", &recipe.to_argument()?])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().context("its output is a pipe")?;
    let mut killed = false;
    let mut answered = 0;
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        // A line that was cut short by the kill says less than was answered, or nothing.
        answered = line.parse().unwrap_or(answered).max(answered);
        if recipe.end == End::Killed && !killed && answered * 2 >= recipe.tail {
            child.kill()?;
            killed = true;
        }
    }
    let status = child.wait()?;
    if !killed && !status.success() {
        bail!("the process that makes the state directory has ended, {status}");
    }
    Ok(Made { recipe: recipe.clone(), answered, seconds: (clock::now() - begin).as_secs_f64() })
}
