//! `xgrey ctl`: talks to the running service, a command at a time or in a shell.

mod change;
mod columns;
mod list_file;
mod output;
mod pager;
mod rules;
mod shell;
mod show;
mod stats;
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
use crate::control::{Reloaded, Request, client};

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
        CtlCommand::Stats => ask(talk, &Request::Stats, stats::show),
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
