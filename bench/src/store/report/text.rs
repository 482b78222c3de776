//! The report for people: two tables (Markdown, so that they can be pasted), what was checked, and the
//! goals.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};

use super::goals::{Goal, Side};
use super::{Cost, Journal, Kept, Point, Reached, Report, Text};
use crate::store::watch::thinned;
use crate::units;

/// Into so many parts a run is cut to find its slowest.
const PARTS: usize = 100;

/// What stands where a number could not be had.
const UNKNOWN: &str = "–";

pub(super) fn write(report: &Report) -> String {
    let mut out = String::new();
    head(report, &mut out);
    let _ = writeln!(out, "\nMemory, and what happened to it since the start:\n");
    let _ = writeln!(out, "{}", memory(&report.facts.reached));
    let _ = writeln!(
        out,
        "\nMillion touches for each second of CPU time (for each second that passed):\n"
    );
    let _ = writeln!(out, "{}\n", speed(&report.facts.reached));
    checks(report, &mut out);
    extremes(report, &mut out);
    if let Some(kept) = &report.kept {
        write_kept(kept, &mut out);
    }
    write_goals(&report.goals, &mut out);
    out
}

fn head(report: &Report, out: &mut String) {
    let (machine, method) = (&report.machine, &report.method);
    let _ = writeln!(out, "{machine}");
    let _ = writeln!(
        out,
        "{} tuples under a bound of {}; {} new ones each simulated second, window {} s, embargo {} s; \
         batches of {}; seed {}",
        units::grouped(method.tuples as f64),
        units::memory(method.bound_bytes),
        units::ratio(method.new_per_simulated_second),
        units::grouped(f64::from(method.window_seconds)),
        method.embargo_seconds,
        method.batch,
        method.seed
    );
    if let Some(pace) = method.pace {
        let pace = units::grouped(pace.get() as f64);
        let _ = writeln!(out, "At most {pace} first tries in each second that passed");
    }
    let _ = match &method.journal {
        Journal::Off => writeln!(out, "Journal off"),
        Journal::On { sync, text } => {
            let text = match text {
                Text::On => "text kept",
                Text::Off => "text not kept",
            };
            writeln!(out, "Journal on, synced {sync}; {text}")
        }
    };
}

fn memory(reached: &[Reached]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "stop",
        "live tuples",
        "of the bound",
        "slots full",
        "resident",
        "bytes/tuple",
        "on huge pages",
        "rebuilds",
        "refused",
        "evicted grey",
        "evicted white",
        "expired",
    ]);
    for stop in reached {
        let count = |number: u64| units::grouped(number as f64);
        table.add_row([
            stop.stop.to_string(),
            count(stop.live),
            format!("{:.1} %", stop.bound_percent),
            format!("{:.1} %", stop.used as f64 * 100.0 / stop.slots.max(1) as f64),
            units::memory(stop.resident_bytes),
            format!("{:.2}", stop.bytes_per_tuple()),
            stop.huge_page_bytes.map_or_else(|| UNKNOWN.to_owned(), units::memory),
            count(stop.rebuilds),
            count(stop.no_room),
            count(stop.evicted_grey),
            count(stop.evicted_white),
            count(stop.expired),
        ]);
    }
    numbers_to_the_right(&mut table);
    table
}

fn speed(reached: &[Reached]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "stop",
        "live tuples",
        "all on the way",
        "new",
        "early",
        "passing",
        "known",
        "mixed",
        "miss",
    ]);
    for stop in reached {
        let rates = &stop.rates;
        table.add_row([
            stop.stop.to_string(),
            units::grouped(stop.live as f64),
            rate(Some(&stop.on_the_way)),
            rate(rates.new.as_ref()),
            rate(rates.early.as_ref()),
            rate(rates.passing.as_ref()),
            rate(rates.known.as_ref()),
            rate(rates.mixed.as_ref()),
            rate(rates.miss.as_ref()),
        ]);
    }
    numbers_to_the_right(&mut table);
    table
}

fn numbers_to_the_right(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

/// Both rates, in millions.
fn rate(cost: Option<&Cost>) -> String {
    let millions = |rate: f64| format!("{:.2}", rate / 1e6);
    match cost.and_then(|cost| Some((cost.per_cpu_second()?, cost.per_wall_second()?))) {
        Some((cpu, wall)) => format!("{} ({})", millions(cpu), millions(wall)),
        None => UNKNOWN.to_owned(),
    }
}

fn checks(report: &Report, out: &mut String) {
    let count = |number: u64| units::grouped(number as f64);
    for check in &report.facts.checks {
        let _ = write!(
            out,
            "{}: of {} live tuples {} found, {} lost, {} taken for another; of {} never seen {} found",
            check.stop,
            count(check.asked),
            count(check.found),
            count(check.lost),
            count(check.taken_for_another),
            count(check.misses),
            count(check.false_matches),
        );
        if check.expired > 0 {
            let (expired, outlived) = (count(check.expired), count(check.outlived));
            let _ = write!(out, "; of {expired} expired {outlived} found");
        }
        out.push('\n');
    }
    let facts = &report.facts;
    let _ = writeln!(
        out,
        "In all {} touches: {} new, {} early, {} passed, {} known, {} without room; {} first tries \
         taken for another tuple's; samples: {} answers unexpected, {} false matches",
        count(facts.answers.total()),
        count(facts.answers.new),
        count(facts.answers.early),
        count(facts.answers.passed),
        count(facts.answers.known),
        count(facts.answers.no_room),
        count(facts.taken_for_another),
        count(facts.unexpected),
        count(facts.false_matches),
    );
}

fn extremes(report: &Report, out: &mut String) {
    let (most, totals) = (&report.extremes, &report.totals);
    let _ = writeln!(
        out,
        "Most resident: {} at {} live tuples, {} before the first; most slots: {} of {}",
        units::memory(most.resident_bytes.value as u64),
        units::grouped(most.resident_bytes.live as f64),
        units::memory(totals.resident_bytes_empty),
        units::memory(most.slot_bytes.value as u64),
        units::memory(report.method.bound_bytes),
    );
    let rate = |point: &Point| Some((point.made, point.per_cpu_second?));
    let slowest =
        thinned(&report.points, PARTS).iter().filter_map(rate).min_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((made, rate)) = slowest {
        let _ = writeln!(
            out,
            "Slowest {PARTS}th of the run: {} million new/s of CPU time, when {} tuples had come",
            units::ratio(rate / 1e6),
            units::grouped(made as f64),
        );
    }
    let _ = writeln!(
        out,
        "The whole run took {} s ({} minutes): {} s of CPU time of the thread that touches, {} s of \
         others",
        units::ratio(totals.wall_seconds),
        units::ratio(totals.wall_seconds / 60.0),
        units::ratio(totals.cpu_seconds),
        units::ratio(totals.other_cpu_seconds),
    );
}

fn write_kept(kept: &Kept, out: &mut String) {
    let count = |number: u64| units::grouped(number as f64);
    let _ = writeln!(
        out,
        "Journal: {} changes in {} ({} writes, {} syncs, {} segments), {} in no file; {} snapshots, \
         the last of {}",
        count(kept.journal_changes),
        units::memory(kept.journal_bytes),
        count(kept.journal_writes),
        count(kept.journal_syncs),
        count(kept.segments),
        count(kept.not_kept),
        count(kept.snapshots),
        units::memory(kept.snapshot_bytes),
    );
    if let Some(texts) = kept.texts {
        let _ = writeln!(
            out,
            "Texts: {} written, {} dropped since they came too fast; {} on disk at the end",
            count(texts.written),
            count(texts.dropped),
            units::memory(texts.bytes),
        );
    }
    for fault in &kept.faults {
        let _ = writeln!(out, "FAULT: {fault}");
    }
}

/// A line for each goal, after an empty one.
pub(crate) fn write_goals(goals: &[Goal], out: &mut String) {
    if !goals.is_empty() {
        out.push('\n');
    }
    for goal in goals {
        let met = match goal.met {
            Some(true) => "met     ",
            Some(false) => "MISSED  ",
            None => "unknown ",
        };
        let side = match goal.side {
            Side::AtLeast => "at least",
            Side::AtMost => "at most",
        };
        let measured = goal.measured.map_or_else(|| UNKNOWN.to_owned(), number);
        let wanted = number(goal.wanted);
        let _ = writeln!(out, "{met} {}: {measured}, wanted {side} {wanted}", goal.what);
    }
}

/// `0`, `0.942`, `9`, `2,160,000`.
fn number(number: f64) -> String {
    if number.fract() == 0.0 { units::grouped(number) } else { units::ratio(number) }
}
