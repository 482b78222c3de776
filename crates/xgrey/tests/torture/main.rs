//! The service is killed (`kill -9`) again and again, at random moments, under load on all cores,
//! and an outside checker that remembers every answer looks for what was lost.
//!
//! ```text
//!  campaign.rs   start ─▶ look at a sample ─▶ storm ─▶ kill ─▶ start ─▶ … ─▶ look at everything
//!  load.rs       2 threads × 4 connections, several requests at once, one tuple on two connections
//!  knowledge.rs  what each tuple may be, and whether an answer fits
//!  phase.rs      kills in a snapshot, in a rotation, in recovery: as seen from outside
//! ```
//! `cargo xtask test` runs a short campaign; `cargo xtask torture --kills 200 [--seed N]` a long
//! one of a release build.
//!
//! What it stands on: the program of the same build, and nothing of the crates that it is made of
//! but their words for numbers. What is promised it knows from the outside: the policy protocol,
//! the configuration, and the names of files.

#![expect(clippy::unwrap_used, reason = "what is wrong with a test's own world fails the test")]

mod campaign;
mod clock;
mod connection;
mod history;
mod knowledge;
mod load;
mod phase;
mod report;
mod service;
mod tuples;

use std::env;
use std::str::FromStr;

use crate::campaign::Settings;
use crate::phase::Phase;
use crate::report::Report;
use crate::service::Journal;

/// A short campaign: each kind of kill thrice or more, in about a minute.
const KILLS: u32 = 16;

/// A campaign's number, unless one is given: none is like another.
fn any_seed() -> u64 {
    fastrand::u64(..1_000_000_000)
}

/// What `cargo xtask torture` asks for in the environment.
fn asked<T: FromStr>(variable: &str) -> Option<T> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, not a number")))
}

/// Runs a campaign in a folder of its own, and says where that is if something was found.
fn run(settings: &Settings, is_good: impl FnOnce(&Report) -> bool) {
    let mut folder = tempfile::Builder::new().prefix("xg-torture.").tempdir_in("/tmp").unwrap();
    // For whoever wants to look at it, should the campaign not even come to its end.
    folder.disable_cleanup(true);
    let report = campaign::run(folder.path(), settings);
    println!("\n{report}");
    let where_to_look = folder.path().display();
    assert!(is_good(&report), "see above; the state directory and all else is in {where_to_look}");
    folder.disable_cleanup(false);
}

#[test]
fn nothing_that_was_answered_is_lost_however_often_the_service_is_killed() {
    let settings = Settings {
        kills: asked("XGREY_TORTURE_KILLS").unwrap_or(KILLS),
        seed: asked("XGREY_TORTURE_SEED").unwrap_or_else(any_seed),
        journal: Journal::Kept,
    };
    run(&settings, |report| report.faults() == (0, 0));
}

#[test]
fn a_service_without_a_journal_is_found_to_forget() {
    // The first life under load, a second that must have forgotten it.
    let settings = Settings { kills: 2, seed: any_seed(), journal: Journal::NotKept };
    run(&settings, |report| {
        let (lost, wrong) = report.faults();
        // All that is new again was there before: nothing is made up.
        lost > 0 && wrong == 0 && report.kills_in(Phase::Serving) > 0
    });
}
