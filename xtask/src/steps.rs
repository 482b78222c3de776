//! The steps of `cargo xtask test`: their order, their headings, and how long each took.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use crate::{checks, fuzz, mail_servers, packaging, tidy};

/// A step: its name for `--only`, what it is for, and what it does.
struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&Workspace) -> Result<()>,
}

/// Quick ones first; what a later step needs before it. Clippy, docs, and the fuzz targets each
/// want a build of their own kind; `doctests`, `tests`, `e2e` and `packaging` share one.
const STEPS: [Step; 11] = [
    Step { name: "format", about: "cargo fmt finds nothing to do", run: checks::format },
    Step { name: "tidy", about: "the project's own rules hold", run: tidy::check },
    Step {
        name: "mta",
        about: "mail servers and swaks for the end-to-end tests, by apt-get (root)",
        run: mail_servers::install,
    },
    Step { name: "clippy", about: "no warnings in any target", run: checks::clippy },
    Step { name: "docs", about: "the documentation builds without warnings", run: checks::docs },
    Step {
        name: "licences",
        about: "every dependency's licence and source is one we allow",
        run: checks::licences,
    },
    Step { name: "doctests", about: "the documentation's examples work", run: checks::doctests },
    Step { name: "tests", about: "all tests but the end-to-end ones", run: checks::tests },
    Step { name: "e2e", about: "the program under real mail servers", run: checks::end_to_end },
    Step {
        name: "packaging",
        about: "the systemd unit is right and tightly sandboxed",
        run: packaging::check,
    },
    Step { name: "fuzz", about: "the fuzz targets, briefly", run: fuzz::briefly },
];

/// The steps' names and purposes, one a line.
pub(crate) fn list() -> String {
    STEPS.iter().fold(String::new(), |mut text, step| {
        let _ = writeln!(text, "{:<10} {}", step.name, step.about);
        text
    })
}

/// Runs all steps, or only those named.
///
/// # Errors
/// With the first step that fails, after the table of what ran until then.
pub(crate) fn run(workspace: &Workspace, only: &[String]) -> Result<()> {
    if let Some(name) = only.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        bail!("there is no step {name:?}; the steps are:\n{}", list());
    }
    let wanted = |step: &&Step| only.is_empty() || only.iter().any(|name| name == step.name);
    let mut table = String::new();
    let mut total = Duration::ZERO;
    for step in STEPS.iter().filter(wanted) {
        println!("\n==== {}: {} ====", step.name, step.about);
        let started = now();
        let result = (step.run)(workspace);
        let took = started.elapsed();
        total += took;
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        println!("---- {}: {verdict}, {}", step.name, seconds(took));
        let _ = writeln!(table, "{:<10} {:>9}  {verdict}", step.name, seconds(took));
        if let Err(error) = result {
            println!("\n{table}");
            let again = format!("to run it alone: cargo xtask test --only {}", step.name);
            return Err(error.context(format!("step {} failed ({again})", step.name)));
        }
    }
    println!("\n{table}{:<10} {:>9}", "total", seconds(total));
    Ok(())
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[expect(clippy::disallowed_methods, reason = "only for saying how long a step took")]
fn now() -> Instant {
    Instant::now()
}
