//! `xgrey ctl`: talks to the running service, a command at a time or in a shell.

mod change;
mod columns;
mod list_file;
mod output;
mod pager;
mod rules;
mod shell;
mod show;
mod tuple;
mod tuples;
mod watch;

use std::fmt::Write as _;

use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::output::{Form, Output, Talk};
use super::{Failure, control_socket};
use crate::cli::{CtlArgs, CtlCommand, RulesFormat, ShellCommand, ShellLine, TupleFormat};
use crate::control::{DiskStats, Reloaded, Request, Stats, client};
use crate::thousands::thousands;

/// Carries out the command; without one, those that are typed.
pub fn run(args: &CtlArgs) -> Result<(), Failure> {
    let socket = control_socket(&args.control);
    let form = if args.control.json { Form::Json } else { Form::Sentences };
    let Some(command) = &args.command else { return shell::run(&socket, form) };
    let mut out = Output::straight();
    let done = perform(&mut Talk { socket: &socket, form, out: &mut out }, command);
    let shown = out.finish();
    done.and(shown)
}

/// Asks and prints.
fn perform(talk: &mut Talk<'_>, command: &CtlCommand) -> Result<(), Failure> {
    if let Some((word, task)) = command.list_task() {
        return change::run(talk, word, task);
    }
    let is_json = talk.form == Form::Json;
    match command {
        CtlCommand::Stats => ask(talk, &Request::Stats, |stats: &Stats| show_stats(stats)),
        CtlCommand::Rules(wanted) => {
            let format = match (wanted.format, is_json) {
                (None, false) => RulesFormat::Table,
                (Some(format), false) => format,
                (None | Some(RulesFormat::Json), true) => RulesFormat::Json,
                (Some(_), true) => return Err(contradiction()),
            };
            rules::run(talk, wanted, format)
        }
        CtlCommand::Reload => {
            ask(talk, &Request::Reload, |reloaded: &Reloaded| show_reloaded(reloaded))
        }
        CtlCommand::Tuples(tuples) => {
            let format = match (tuples.format, is_json) {
                (None, false) => TupleFormat::Table,
                (Some(format), false) => format,
                (None | Some(TupleFormat::Json), true) => TupleFormat::Json,
                (Some(_), true) => return Err(contradiction()),
            };
            tuples::run(talk, tuples, format)
        }
        CtlCommand::Tuple { command } => tuple::run(talk, command),
        CtlCommand::Show { what } => show::run(talk, *what),
        CtlCommand::File(file) => change::file(talk, &file.name),
        CtlCommand::Watch { words } => watch::run(talk.socket, talk.form, &watched(words)?, words),
        // What changes a list is done above; clap sees to it that it says what.
        CtlCommand::Iplist(_)
        | CtlCommand::To(_)
        | CtlCommand::ToDomain(_)
        | CtlCommand::From(_)
        | CtlCommand::FromDomain(_)
        | CtlCommand::Client(_)
        | CtlCommand::ClientName(_)
        | CtlCommand::Sender(_)
        | CtlCommand::SenderDomain(_)
        | CtlCommand::Recipient(_)
        | CtlCommand::RecipientDomain(_) => {
            Err(Failure::Usage("xgrey: an action and an entry are missing".to_owned()))
        }
    }
}

/// The command that is to be watched.
fn watched(words: &[String]) -> Result<CtlCommand, Failure> {
    if words.is_empty() {
        return Ok(CtlCommand::Stats);
    }
    match ShellLine::try_parse_from(words) {
        Ok(ShellLine { command: ShellCommand::Ctl(command), .. }) => Ok(command),
        Ok(_) => Err(Failure::Usage("xgrey: that can't be watched".to_owned())),
        Err(error) => Err(Failure::Usage(error.to_string())),
    }
}

fn contradiction() -> Failure {
    Failure::Usage("xgrey: --json and --format say different things: leave one out".to_owned())
}

/// Asks what is answered in one piece, and prints it.
fn ask<T: DeserializeOwned + Serialize>(
    talk: &mut Talk<'_>,
    request: &Request,
    show: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    let answer: T = client::ask(talk.socket, request)?;
    talk.answer(&answer, || show(&answer))
}

/// A table with a rule under its head and nothing else.
pub(super) fn table<const COLUMNS: usize>(head: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head);
    table
}

fn rendered(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn show_stats(stats: &Stats) -> String {
    let mut out = format!(
        "xgrey {}, mode {}, up {}, {} connections\n\n",
        stats.version,
        stats.mode,
        greylist::Secs::new(u32::try_from(stats.uptime_seconds).unwrap_or(u32::MAX)),
        thousands(stats.connections),
    );
    let total: u64 = stats.decisions.iter().map(|kind| kind.count).sum();
    let mut decisions = table(["answer", "reason", "decisions", "share"]);
    for kind in stats.decisions.iter().filter(|kind| kind.count > 0) {
        let share = format!("{:.1} %", 100.0 * kind.count as f64 / total as f64);
        decisions.add_row([&kind.action, &kind.reason, &thousands(kind.count), &share]);
    }
    decisions.add_row(["all", "", &thousands(total), ""]);
    out += &right_aligned(decisions, &[2, 3]);

    let tuples = &stats.tuples;
    let mut memory = table(["tuples", ""]);
    for (what, count) in [
        ("grey: tried, not yet passed", thousands(tuples.grey)),
        ("white: passed", thousands(tuples.white)),
        ("expired", thousands(tuples.expired)),
        ("grey forgotten for want of room", thousands(tuples.evicted_grey)),
        ("white forgotten for want of room", thousands(tuples.evicted_white)),
        ("first tries accepted for want of room", thousands(tuples.no_room)),
        ("memory of the table", mebibytes(tuples.bytes)),
        ("at most", mebibytes(tuples.bytes_max)),
        ("huge pages", tuples.huge_pages.clone()),
    ] {
        memory.add_row([what, &count]);
    }
    out.push('\n');
    out += &right_aligned(memory, &[1]);

    out.push('\n');
    out += &show_disk(&stats.disk);

    let mut events = table(["events", ""]);
    for event in &stats.events {
        events.add_row([&event.event.replace('_', " "), &thousands(event.count)]);
    }
    out.push('\n');
    out += &right_aligned(events, &[1]);
    out
}

fn show_disk(disk: &DiskStats) -> String {
    let mut shown = table(["on disk", ""]);
    let mut row = |what: &str, value: String| {
        shown.add_row([what, &value]);
    };
    row("journal", disk.journal.clone());
    if disk.journal_fault.is_some() {
        row("changes in memory alone", thousands(disk.changes_not_kept));
    }
    if disk.journal != "off" {
        row("changes ever", thousands(disk.changes));
        row("times that it failed since the start", thousands(disk.faults));
        row("written since the start", mebibytes(disk.bytes_written));
        row("to be read at a start, beside the snapshot", mebibytes(disk.tail_bytes));
    }
    if let (Some(bytes), Some(age)) = (disk.snapshot_bytes, disk.snapshot_age_seconds) {
        row("last snapshot", mebibytes(bytes));
        let age = greylist::Secs::new(u32::try_from(age).unwrap_or(u32::MAX));
        row("taken", format!("{age} ago"));
    }
    row("addresses of tuples", disk.text.clone());
    if disk.text != "off" {
        row("they take", mebibytes(disk.text_bytes));
        row("at most", mebibytes(disk.text_bytes_max));
        row("dropped", thousands(disk.text_dropped));
    }
    let mut out = right_aligned(shown, &[1]);
    let faults = [&disk.journal_fault, &disk.snapshot_fault, &disk.text_fault];
    for fault in faults.into_iter().flatten() {
        let _ = writeln!(out, "! {fault}");
    }
    out
}

fn show_reloaded(reloaded: &Reloaded) -> String {
    let mut out = format!("{} is in force: {}\n", reloaded.configuration, reloaded.settings);
    for note in &reloaded.notes {
        let _ = writeln!(out, "{note}");
    }
    out
}

pub(super) fn right_aligned(mut table: Table, columns: &[usize]) -> String {
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    for &column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    rendered(&table)
}

/// 12.3 MiB.
fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) / (1024 * 1024);
    format!("{}.{} MiB", thousands(tenths / 10), tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{DecisionCount, EventCount, TupleStats};

    #[test]
    fn stats_show_what_happened_with_shares_and_units() {
        let count = |action: &str, reason: &str, count| DecisionCount {
            action: action.to_owned(),
            reason: reason.to_owned(),
            count,
        };
        let stats = Stats {
            version: "1.2.3".to_owned(),
            uptime_seconds: 7 * 86_400,
            mode: "enforce".to_owned(),
            decisions: vec![
                count("accept", "known", 1_234_567),
                count("accept", "no-room", 0),
                count("defer", "new", 345_678),
            ],
            events: vec![EventCount { event: "half_sent".to_owned(), count: 3 }],
            connections: 100,
            tuples: TupleStats {
                grey: 345_678,
                white: 12_345,
                bytes: 5_000_000,
                bytes_max: 6 << 30,
                huge_pages: "in use".to_owned(),
                expired: 99,
                evicted_grey: 0,
                evicted_white: 0,
                no_room: 0,
            },
            disk: DiskStats {
                journal: "down".to_owned(),
                journal_fault: Some(
                    "cannot write to journal-00000000000000012345.seg: No space left on device \
                     (os error 28)"
                        .to_owned(),
                ),
                changes_not_kept: 1_234,
                faults: 1,
                changes: 7_654_321,
                bytes_written: 92_000_000,
                syncs: 1_000,
                tail_bytes: 12_000_000,
                snapshot_age_seconds: Some(3_600),
                snapshot_bytes: Some(50_000_000),
                snapshot_fault: None,
                text: "kept".to_owned(),
                text_bytes: 300_000_000,
                text_bytes_max: 1 << 30,
                text_dropped: 0,
                text_fault: None,
            },
        };
        insta::assert_snapshot!(show_stats(&stats));
    }
}
