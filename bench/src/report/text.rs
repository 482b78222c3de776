//! The report for people: a table (Markdown, so that it can be pasted), what was answered, what went
//! wrong, and the goals.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};

use super::goals::Bound;
use super::{DecisionLog, Report, Row, Spread};
use crate::units;

/// From this share on the load generator's CPU may be what limits the rate.
const LOAD_BUSY: f64 = 0.97;
/// From this part of the time on that a CPU did other work, the figures say more about that work.
const DISTURBED: f64 = 0.02;

pub(super) fn write(report: &Report) -> String {
    let mut out = String::new();
    head(report, &mut out);
    let _ = writeln!(out, "\n{}\n", table(&report.rows));
    notes(report, &mut out);
    besides(report, &mut out);
    goals(report, &mut out);
    out
}

fn head(report: &Report, out: &mut String) {
    let (machine, method) = (&report.machine, &report.method);
    let _ = writeln!(out, "{machine}");
    let _ = writeln!(
        out,
        "Closed loop; {} s after {} s of warm-up, medians of {} rounds (lowest–highest); servers on \
         CPU {}, load on CPU {}; seed {}",
        method.seconds,
        method.warm_up_seconds,
        method.rounds,
        method.server_cpu,
        method.load_cpu,
        method.seed
    );
    let log = match method.decision_log {
        Some(DecisionLog::On) => "; decision log on, to a file",
        Some(DecisionLog::Off) => "; decision log off",
        None => "",
    };
    let _ = writeln!(
        out,
        "Tuples: {} % new, {} % known, {} % retried{log}",
        method.new_percent, method.known_percent, method.retried_percent
    );
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "connections",
        "server",
        "requests/s",
        "ratio to null",
        "CPU µs/request",
        "ratio",
        "p50",
        "p99",
        "max",
        "p99 ratio",
        "resident",
    ]);
    for row in rows {
        let cpu = row.cpu_micros_per_request.map(|cpu| format!("{:.2}", cpu.median));
        let memory = row.resident_bytes.map(units::memory);
        let [p50, p99, max] = [row.latency.p50_ns, row.latency.p99_ns, row.latency.max_ns]
            .map(|ns| if row.replies > 0 { units::duration(ns) } else { UNKNOWN.to_owned() });
        table.add_row([
            units::grouped(row.connections as f64),
            row.server.clone(),
            units::grouped(row.requests_per_second.median),
            spread(row, row.rate_ratio),
            cpu.unwrap_or_else(|| UNKNOWN.to_owned()),
            spread(row, row.cpu_ratio),
            p50,
            p99,
            max,
            spread(row, row.p99_ratio),
            memory.unwrap_or_else(|| UNKNOWN.to_owned()),
        ]);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        if index != 1 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// What stands where a number could not be had.
const UNKNOWN: &str = "–";

fn spread(row: &Row, ratio: Option<Spread>) -> String {
    match ratio {
        // It is the measure itself.
        Some(_) if row.server_index == 0 => "1".to_owned(),
        Some(ratio) => range(ratio),
        None => UNKNOWN.to_owned(),
    }
}

fn range(Spread { median, min, max }: Spread) -> String {
    format!("{} ({}–{})", units::ratio(median), units::ratio(min), units::ratio(max))
}

/// The server under test against each one beside it.
fn besides(report: &Report, out: &mut String) {
    let Some(tested) = report.servers.get(1) else { return };
    let mut first = "\n";
    for row in &report.rows {
        let Some(ratio) = row.tested_rate_ratio else { continue };
        let _ = writeln!(
            out,
            "{first}{}: {} did {} × the requests/s of {}",
            units::connections(row.connections),
            tested.name,
            range(ratio),
            row.server
        );
        first = "";
    }
}

fn notes(report: &Report, out: &mut String) {
    for server in &report.servers {
        let memory = |bytes: Option<u64>| bytes.map_or_else(|| UNKNOWN.to_owned(), units::memory);
        let _ = writeln!(
            out,
            "{} ({}{}): resident {} before, {} after; {} known tuples, {} new ones",
            server.name,
            server.address,
            if server.pinned { "" } else { ", NOT bound to the servers' CPU" },
            memory(server.resident_bytes_before),
            memory(server.resident_bytes_after),
            units::grouped(f64::from(server.known_tuples)),
            units::grouped(server.new_tuples as f64),
        );
    }
    out.push('\n');
    for row in &report.rows {
        let _ = writeln!(
            out,
            "{}, {}: {}; {}{}",
            units::connections(row.connections),
            row.server,
            answers(row),
            cpu(row),
            errors(row),
        );
    }
}

/// What was answered, in parts of all replies.
fn answers(row: &Row) -> String {
    let shares: Vec<String> = row
        .actions
        .iter()
        .map(|(action, &count)| {
            format!("{action} {:.1} %", count as f64 * 100.0 / row.replies as f64)
        })
        .collect();
    if shares.is_empty() { "no replies".to_owned() } else { shares.join(", ") }
}

/// How busy both sides were, and what that means for the figures.
fn cpu(row: &Row) -> String {
    let percent = |part: Option<f64>| {
        part.map_or_else(|| UNKNOWN.to_owned(), |part| format!("{:.0} %", part * 100.0))
    };
    let mut text =
        format!("CPU busy: server {}, load {}", percent(row.server_busy), percent(row.load_busy));
    if row.load_busy.is_some_and(|busy| busy >= LOAD_BUSY)
        && row.server_busy.is_some_and(|busy| busy < LOAD_BUSY)
    {
        text.push_str(" (the load limits the rate: compare CPU times)");
    }
    let disturbed = |part: Option<f64>| part.is_some_and(|part| part >= DISTURBED);
    if disturbed(row.server_waited) || disturbed(row.load_waited) {
        let _ = write!(
            text,
            "; DISTURBED by other work on the machine: server waited {}, load {} of a round",
            percent(row.server_waited),
            percent(row.load_waited)
        );
    }
    text
}

fn errors(row: &Row) -> String {
    let errors = row.errors;
    let counts: Vec<String> = [
        (errors.timeouts, "without a reply in time"),
        (errors.closed, "connections closed by the server"),
        (errors.wrong_replies, "wrong replies"),
        (errors.not_connected, "connections not made again"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{} {what}", units::grouped(count as f64)))
    .collect();
    if counts.is_empty() { String::new() } else { format!("; ERRORS: {}", counts.join(", ")) }
}

fn goals(report: &Report, out: &mut String) {
    if !report.goals.is_empty() {
        out.push('\n');
    }
    for goal in &report.goals {
        let met = match goal.met {
            Some(true) => "met     ",
            Some(false) => "MISSED  ",
            None => "unknown ",
        };
        let measured = goal.measured.map_or_else(|| UNKNOWN.to_owned(), units::ratio);
        let bound = match goal.bound {
            Bound::AtLeast => "at least",
            Bound::AtMost => "at most",
        };
        let _ = writeln!(
            out,
            "{met} {} at {}: {measured} × {}, wanted {bound} {}",
            goal.what,
            units::connections(goal.connections),
            goal.against,
            goal.wanted
        );
    }
}
