//! Fuzzing, by libFuzzer: briefly in every test run, for as long as one likes by hand.
//!
//! The targets are `fuzz/fuzz_targets/*.rs`. What is found stays in `fuzz/corpus` (not in git)
//! and is where the next run begins. It begins as well with what is kept in git:
//! `fuzz/seeds/TARGET`, and the captured bytes of the protocol of that name.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::checks::install_tool;
use crate::command::{cargo, run};
use crate::workspace::Workspace;

/// All targets together, in a test run. CI waits for it; five minutes are the most it should.
const BRIEFLY_SECONDS: u32 = 120;

/// An input that takes longer is a finding: the codecs promise to be quick with any input.
const INPUT_SECONDS_MAX: u32 = 10;

/// Memory a target may use, in MiB: libFuzzer's own default, written down.
const MEMORY_MIB_MAX: u32 = 2048;

/// Fuzzes every target, two minutes in all.
///
/// # Errors
/// When a target finds a fault or cannot be built.
pub(crate) fn briefly(workspace: &Workspace) -> Result<()> {
    if !workspace.root.join("fuzz").is_dir() {
        println!("SKIPPED: there is no fuzz/ yet");
        return Ok(());
    }
    let targets = targets(workspace)?;
    let count = u32::try_from(targets.len()).context("the number of targets")?;
    fuzz(workspace, &targets, (BRIEFLY_SECONDS / count).max(1))
}

/// Fuzzes one target, or each in turn.
///
/// # Errors
/// When there is no such target, or it finds a fault or cannot be built.
pub(crate) fn by_hand(workspace: &Workspace, target: Option<&str>, seconds: u32) -> Result<()> {
    let mut targets = targets(workspace)?;
    if let Some(wanted) = target {
        let all = targets.join(", ");
        targets.retain(|name| name == wanted);
        ensure!(!targets.is_empty(), "there is no target {wanted:?}; the targets are: {all}");
    }
    fuzz(workspace, &targets, seconds)
}

fn fuzz(workspace: &Workspace, targets: &[String], seconds: u32) -> Result<()> {
    install_tool(workspace, "cargo-fuzz")?;
    let home = workspace.root.join("fuzz");
    // One build for all, so that the time given to a target is spent fuzzing.
    run(cargo(&workspace.root).env("RUSTC_BOOTSTRAP", "1").args(["fuzz", "build"]))?;
    for target in targets {
        let found = home.join("corpus").join(target);
        fs::create_dir_all(&found).with_context(|| found.display().to_string())?;
        let kept = ["fuzz/seeds", "crates/wire/vectors"].map(|at| workspace.root.join(at));
        let folders = kept.map(|folder| folder.join(target));
        let folders = folders.into_iter().filter(|folder| folder.is_dir());
        run_target(&workspace.root, target, [found].into_iter().chain(folders), seconds)?;
    }
    println!("{} targets, {seconds} s each: nothing found", targets.len());
    Ok(())
}

/// The first folder is where new inputs go.
fn run_target(
    root: &Path,
    target: &str,
    folders: impl Iterator<Item = PathBuf>,
    seconds: u32,
) -> Result<()> {
    // The fuzzer needs compiler flags that a stable compiler refuses otherwise.
    run(cargo(root)
        .env("RUSTC_BOOTSTRAP", "1")
        .args(["fuzz", "run", target])
        .args(folders)
        .arg("--")
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
        .args(["-verbosity=0", "-print_final_stats=1"]))
    .with_context(|| {
        format!(
            "target {target} found something: the input is in fuzz/artifacts/{target}. Mend it, \
             and keep the input in fuzz/seeds/{target}"
        )
    })
}

/// The targets' names, in order.
fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root.join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(name) = path.file_stem()
        {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    ensure!(!names.is_empty(), "there are no targets in {}", folder.display());
    Ok(names)
}
