//! The store's benchmarks as a whole, with a hundred thousand tuples. Nothing is asserted about speed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const BENCH: &str = env!("CARGO_BIN_EXE_xgrey-bench");
const TUPLES: u64 = 100_000;

fn bench(arguments: &[&str]) -> Output {
    Command::new(BENCH).args(arguments).output().unwrap()
}

fn report(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn store(arguments: &[&str]) -> Value {
    let same = ["store", "--tuples", "100_000", "--sample", "20_000", "--seed", "1", "--json", "-"];
    report(&bench(&[&same, arguments].concat()))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is a number"))
}

/// Everything came, was answered as it should be, was found again, and expired in time.
fn assert_whole(report: &Value) {
    for stop in report["reached"].as_array().unwrap() {
        assert_eq!(number(&stop["no_room"]), 0, "{stop}");
        assert!(number(&stop["resident_bytes"]) > number(&stop["slot_bytes"]), "{stop}");
        assert!(number(&stop["used"]) <= number(&stop["slots"]), "{stop}");
        for kind in ["new", "early", "passing", "known", "miss", "mixed"] {
            assert!(number(&stop["rates"][kind]["touches"]) > 0, "{kind}: {stop}");
        }
    }
    for check in report["checks"].as_array().unwrap() {
        assert_eq!(check["asked"], check["found"], "{check}");
        for count in ["lost", "taken_for_another", "false_matches", "outlived"] {
            assert_eq!(number(&check[count]), 0, "{count}: {check}");
        }
    }
    for count in ["unexpected", "false_matches", "taken_for_another"] {
        assert_eq!(number(&report[count]), 0, "{count}");
    }
    let parts = ["new", "early", "passed", "known"].map(|kind| number(&report["answers"][kind]));
    assert!(parts.into_iter().all(|count| count > 0), "{parts:?}");
    for goal in report["goals"].as_array().unwrap() {
        // Of what does not depend on the machine.
        if goal["side"] == "at_most" {
            assert_eq!(goal["met"], true, "{goal}");
        }
    }
}

fn stops(report: &Value) -> Vec<&str> {
    let reached = report["reached"].as_array().unwrap();
    reached.iter().map(|stop| stop["stop"].as_str().unwrap()).collect()
}

#[test]
fn a_store_in_memory_is_filled_measured_turned_over_and_drawn() {
    let directory = tempfile::tempdir().unwrap();
    let svg = directory.path().join("run.svg");
    let levels = ["--levels", "10,60", "--memory", "2MiB", "--svg", svg.to_str().unwrap()];
    // 262,144 slots: the full size is 38 % of them.
    let report = store(&levels);
    assert_whole(&report);
    assert_eq!(
        stops(&report),
        ["10 % of the slots", "full size", "25 % turned over", "60 % of the slots"]
    );
    let [full, turned] = [1, 2].map(|at| &report["reached"][at]);
    assert_eq!([number(&full["live"]), number(&full["expired"])], [TUPLES, 0]);
    assert!(number(&turned["made"]) == TUPLES * 5 / 4, "{turned}");
    assert!(number(&report["checks"][1]["expired"]) == 20_000, "{report}");
    assert!(report["points"].as_array().unwrap().len() > 500);
    assert!(report["kept"].is_null());
    assert!(std::fs::read_to_string(svg).unwrap().starts_with("<svg "));
}

#[test]
fn a_store_with_journal_and_text_goes_on_for_windows_and_is_left_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let state = state.to_str().unwrap();
    let journal = ["--journal", state, "--sync", "50ms", "--text", "on"];
    let windows = ["--windows", "2", "--levels", "20", "--memory", "2MiB"];
    let report = store(&[&journal[..], &windows].concat());
    assert_whole(&report);
    assert_eq!(stops(&report).last(), Some(&"window 2"));
    let kept = &report["kept"];
    assert_eq!(number(&kept["not_kept"]), 0, "{kept}");
    assert_eq!(kept["faults"].as_array().unwrap().len(), 0, "{kept}");
    // Each new tuple is one change at least, and its text is written.
    let new = number(&report["answers"]["new"]);
    assert!(number(&kept["journal_changes"]) > new, "{kept}");
    let texts = number(&kept["texts"]["written"]) + number(&kept["texts"]["dropped"]);
    assert_eq!(texts, new, "{kept}");
    assert!(Path::new(state).read_dir().unwrap().count() > 1);

    let again = bench(&["store", "--tuples", "1000", "--journal", state]);
    let errors = String::from_utf8_lossy(&again.stderr);
    assert!(!again.status.success() && errors.contains("is not empty"), "{errors}");
}

#[test]
fn what_was_answered_before_a_kill_is_there_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("killed");
    let same = ["--tuples", "100_000", "--tail", "50_000", "--sample", "100_000", "--rounds", "2"];
    let arguments = ["recovery", "--kill", "--directory", place.to_str().unwrap(), "--json", "-"];
    let arguments = [&arguments[..], &same].concat();
    let first = report(&bench(&arguments));
    let answered = number(&first["made"]["answered"]);
    assert!((25_000..=50_000).contains(&answered), "killed when half was answered: {answered}");
    // Once more, of what is there.
    for report in [&first, &report(&bench(&arguments))] {
        let rounds = report["rounds"].as_array().unwrap();
        assert_eq!(rounds.len(), 2);
        let opened = &rounds[1]["opened"];
        assert_eq!(number(&opened["loaded"]), TUPLES);
        assert!(number(&opened["changes"]) >= answered, "{opened}");
        assert_eq!([number(&opened["asked"]), number(&opened["lost"])], [TUPLES, 0]);
        assert_eq!([number(&opened["tail_asked"]), number(&opened["tail_lost"])], [answered, 0]);
        assert_eq!(opened["damage"].as_array().unwrap().len(), 0, "{opened}");
        assert_eq!(report["made"]["answered"], answered);
    }
    let other = bench(&["recovery", "--directory", place.to_str().unwrap(), "--tuples", "1000"]);
    let errors = String::from_utf8_lossy(&other.stderr);
    assert!(!other.status.success() && errors.contains("with other numbers"), "{errors}");
}

#[test]
fn wrong_use_is_refused_with_the_reason() {
    for (arguments, reason) in [
        (&["store", "--tuples", "many"][..], "a number of tuples"),
        (&["store", "--memory", "1MiB"], "at least 2 MiB"),
        (&["store", "--memory", "18GB"], "512MiB"),
        (&["store", "--text", "on"], "--journal"),
        (&["store", "--windows", "2", "--turnover", "10%"], "--turnover"),
        (&["store", "--levels", "99"], "99"),
        (&["store", "--embargo", "30000"], "--embargo"),
        (&["recovery", "--tuples", "10"], "--directory"),
    ] {
        let output = bench(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(errors.contains(reason), "{arguments:?}: {errors}");
    }
}
