//! `xgrey ctl`: talks to the running service.

mod columns;
mod stats;
mod tuple;
mod tuples;

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use serde::de::DeserializeOwned;

use super::{Failure, control_socket, say};
use crate::cli::{CtlArgs, CtlCommand, TupleFormat};
use crate::control::{Reloaded, Request, RuleShown, Stats, client};
use crate::thousands::thousands;

/// Asks and prints.
pub fn run(args: &CtlArgs) -> Result<(), Failure> {
    let socket = control_socket(&args.control);
    match &args.command {
        CtlCommand::Stats => ask(args, &Request::Stats, |stats: Stats| stats::show(&stats)),
        CtlCommand::Rules => ask(args, &Request::Rules, |rules: Vec<RuleShown>| show_rules(&rules)),
        CtlCommand::Reload => {
            ask(args, &Request::Reload, |reloaded: Reloaded| show_reloaded(&reloaded))
        }
        CtlCommand::Tuples(tuples) => {
            let format = match (tuples.format, args.control.json) {
                (None, false) => TupleFormat::Table,
                (Some(format), false) => format,
                (None | Some(TupleFormat::Json), true) => TupleFormat::Json,
                (Some(_), true) => {
                    let why = "--json and --format say different things: leave one out";
                    return Err(Failure::Usage(format!("xgrey: {why}")));
                }
            };
            tuples::run(&socket, tuples, format)
        }
        CtlCommand::Tuple { command } => {
            let form = if args.control.json { tuple::Form::Json } else { tuple::Form::Sentences };
            tuple::run(&socket, command, form)
        }
    }
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

fn show_rules(rules: &[RuleShown]) -> String {
    let mut shown = table(["list", "verdict", "pattern", "hits", "written in"]);
    for rule in rules {
        let origin = rule.origin.as_deref().unwrap_or("");
        shown.add_row([&rule.list, &rule.verdict, &rule.pattern, &thousands(rule.hits), origin]);
    }
    right_aligned(shown, &[3])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_show_their_hits_and_where_they_are_written() {
        let rule =
            |list: &str, verdict: &str, pattern: &str, hits, origin: Option<&str>| RuleShown {
                list: list.to_owned(),
                verdict: verdict.to_owned(),
                pattern: pattern.to_owned(),
                hits,
                origin: origin.map(str::to_owned),
            };
        insta::assert_snapshot!(show_rules(&[
            rule("client", "accept", "192.0.2.0/24", 12_345, Some("/etc/xgrey/xgrey.toml:12")),
            rule("client", "greylist", "default", 1_000_000, None),
            rule("sender-domain", "reject", ".example.net", 0, Some("rules.d/10-local.rules:3")),
        ]));
    }
}
