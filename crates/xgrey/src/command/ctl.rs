//! `xgrey ctl`: talks to the running service.

mod columns;
mod rules;
mod stats;
mod tuple;
mod tuples;

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use serde::de::DeserializeOwned;

use super::{Failure, control_socket, say};
use crate::cli::{CtlArgs, CtlCommand, RulesFormat, TupleFormat};
use crate::control::{Reloaded, Request, Stats, client};

/// Asks and prints.
pub fn run(args: &CtlArgs) -> Result<(), Failure> {
    let socket = control_socket(&args.control);
    match &args.command {
        CtlCommand::Stats => ask(args, &Request::Stats, |stats: Stats| stats::show(&stats)),
        CtlCommand::Rules(wanted) => {
            let format = match (wanted.format, args.control.json) {
                (None, false) => RulesFormat::Table,
                (Some(format), false) => format,
                (None | Some(RulesFormat::Json), true) => RulesFormat::Json,
                (Some(_), true) => return Err(contradiction()),
            };
            rules::run(&socket, wanted, format)
        }
        CtlCommand::Reload => {
            ask(args, &Request::Reload, |reloaded: Reloaded| show_reloaded(&reloaded))
        }
        CtlCommand::Tuples(tuples) => {
            let format = match (tuples.format, args.control.json) {
                (None, false) => TupleFormat::Table,
                (Some(format), false) => format,
                (None | Some(TupleFormat::Json), true) => TupleFormat::Json,
                (Some(_), true) => return Err(contradiction()),
            };
            tuples::run(&socket, tuples, format)
        }
        CtlCommand::Tuple { command } => {
            let form = if args.control.json { tuple::Form::Json } else { tuple::Form::Sentences };
            tuple::run(&socket, command, form)
        }
    }
}

fn contradiction() -> Failure {
    Failure::Usage("xgrey: --json and --format say different things: leave one out".to_owned())
}

/// Asks what is answered in one piece, and prints it in words or as it came.
fn ask<T: DeserializeOwned>(
    args: &CtlArgs,
    request: &Request,
    show: impl FnOnce(T) -> String,
) -> Result<(), Failure> {
    let socket = control_socket(&args.control);
    if args.control.json {
        let answer: serde_json::Value = client::ask(&socket, request)?;
        return say(&format!("{}\n", serde_json::to_string_pretty(&answer)?));
    }
    say(&show(client::ask(&socket, request)?))
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
