//! The report for people: a table (Markdown, so that it can be pasted), what was answered, what went
//! wrong, and the goals.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};

use super::goals::Bound;
use super::words::{self, UNKNOWN};
use super::{Report, Row};
use crate::units;

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
    let _ = writeln!(
        out,
        "Tuples: {} % new, {} % known, {} % retried{}",
        method.new_percent,
        method.known_percent,
        method.retried_percent,
        words::decision_log(method.decision_log)
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
        let [p50, p99, max] = [row.latency.p50_ns, row.latency.p99_ns, row.latency.max_ns]
            .map(|ns| if row.replies > 0 { units::duration(ns) } else { UNKNOWN.to_owned() });
        table.add_row([
            units::grouped(row.connections as f64),
            row.server.clone(),
            units::grouped(row.requests_per_second.median),
            words::to_null(row.server_index, row.rate_ratio),
            cpu.unwrap_or_else(|| UNKNOWN.to_owned()),
            words::to_null(row.server_index, row.cpu_ratio),
            p50,
            p99,
            max,
            words::to_null(row.server_index, row.p99_ratio),
            words::memory(row.resident_bytes),
        ]);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        if index != 1 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
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
            words::range(ratio),
            row.server
        );
        first = "";
    }
}

fn notes(report: &Report, out: &mut String) {
    for server in &report.servers {
        let _ = writeln!(
            out,
            "{} ({}{}): resident {} before, {} after; {} known tuples, {} new ones",
            server.name,
            server.address,
            if server.pinned { "" } else { ", NOT bound to the servers' CPU" },
            words::memory(server.resident_bytes_before),
            words::memory(server.resident_bytes_after),
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
            words::shares(&row.actions, row.replies, "no replies"),
            words::busy(&row.busy),
            errors(row),
        );
    }
}

fn errors(row: &Row) -> String {
    let errors = row.errors;
    words::errors([
        (errors.timeouts, "without a reply in time"),
        (errors.closed, "connections closed by the server"),
        (errors.wrong_replies, "wrong replies"),
        (errors.not_connected, "connections not made again"),
    ])
}

fn goals(report: &Report, out: &mut String) {
    if !report.goals.is_empty() {
        out.push('\n');
    }
    for goal in &report.goals {
        let measured = goal.measured.map_or_else(|| UNKNOWN.to_owned(), units::ratio);
        let bound = match goal.bound {
            Bound::AtLeast => "at least",
            Bound::AtMost => "at most",
        };
        let _ = writeln!(
            out,
            "{} {} at {}: {measured} × {}, wanted {bound} {}",
            words::met(goal.met),
            goal.what,
            units::connections(goal.connections),
            goal.against,
            goal.wanted
        );
    }
}
