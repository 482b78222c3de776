//! Completion of words: commands, actions, formats and flags from the flag table, names of files.

use clap::{Arg, Command, ValueHint};
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use super::line::table;
use crate::cli::words::follow;

/// Knows the words.
pub(super) struct Words {
    table: Command,
    files: FilenameCompleter,
}

impl Words {
    pub(super) fn new() -> Self {
        Self { table: table(), files: FilenameCompleter::new() }
    }
}

/// What a word may become.
#[derive(Debug, PartialEq, Eq)]
enum Candidates {
    /// One of these.
    Words(Vec<String>),
    /// The name of a file.
    Files,
}

/// Words that are followed by a command, as if they were not there.
const BEFORE_COMMANDS: [&str; 3] = ["help", "?", "watch"];

/// What the word that begins with `begun` may become after the words `before`.
fn candidates(table: &Command, before: &[&str], begun: &str) -> Candidates {
    let before = match before.split_first() {
        Some((first, rest)) if BEFORE_COMMANDS.contains(first) => rest,
        _ => before,
    };
    let place = follow(table, before.iter().copied());
    let mut words = Vec::new();
    if let Some(option) = place.open {
        if takes_a_file(option) {
            return Candidates::Files;
        }
        words.extend(values(option));
    } else if begun.starts_with('-') {
        let longs = place.command.get_arguments().filter(|arg| !arg.is_hide_set());
        words.extend(longs.filter_map(Arg::get_long).map(|long| format!("--{long}")));
    } else {
        if place.given == 0 {
            let commands = place.command.get_subcommands().filter(|command| !command.is_hide_set());
            words.extend(commands.map(|command| command.get_name().to_owned()));
        }
        if let Some(positional) = place.command.get_positionals().nth(place.given) {
            if takes_a_file(positional) {
                return Candidates::Files;
            }
            words.extend(values(positional));
        }
    }
    words.retain(|word| word.get(..begun.len()).is_some_and(|w| w.eq_ignore_ascii_case(begun)));
    Candidates::Words(words)
}

fn takes_a_file(arg: &Arg) -> bool {
    matches!(arg.get_value_hint(), ValueHint::FilePath | ValueHint::AnyPath)
}

fn values(arg: &Arg) -> impl Iterator<Item = String> {
    let values = arg.get_possible_values().into_iter().filter(|value| !value.is_hide_set());
    values.map(|value| value.get_name().to_owned())
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = line.get(..pos).unwrap_or(line);
        let begin = typed.rfind(|c: char| c.is_ascii_whitespace()).map_or(0, |at| at + 1);
        let before: Vec<&str> = typed[..begin].split_ascii_whitespace().collect();
        match candidates(&self.table, &before, &typed[begin..]) {
            Candidates::Files => self.files.complete(line, pos, context),
            Candidates::Words(words) => {
                let pairs = words
                    .into_iter()
                    .map(|word| Pair { replacement: format!("{word} "), display: word });
                Ok((begin, pairs.collect()))
            }
        }
    }
}

impl Helper for Words {}
impl Highlighter for Words {}
impl Validator for Words {}
impl Hinter for Words {
    type Hint = String;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(line: &str) -> String {
        let begin = line.rfind(' ').map_or(0, |at| at + 1);
        let before: Vec<&str> = line[..begin].split_whitespace().collect();
        match candidates(&table(), &before, &line[begin..]) {
            Candidates::Files => "(files)".to_owned(),
            Candidates::Words(words) => words.join(" "),
        }
    }

    #[test]
    fn words_are_completed_by_the_flag_table() {
        for (line, words) in [
            ("ipl", "iplist"),
            ("sh", "show"),
            ("show to", "to to-domain"),
            ("show tuples ", "all whitelist"),
            ("iplist a", "accept"),
            ("iplist R", "reject remove"),
            ("iplist f", "file"),
            ("iplist file ", "(files)"),
            ("iplist file bogons.txt ", "relaydelay bogonspace"),
            ("to file ./t", "(files)"),
            ("to accept ", ""),
            ("tuple f", "forget"),
            ("tuples --s", "--sender --state"),
            ("tuples --state ", "grey white"),
            ("help iplist f", "file"),
            ("watch show st", "stats"),
            ("? tup", "tuples tuple"),
            ("nonsense ", ""),
        ] {
            assert_eq!(completed(line), words, "{line:?}");
        }
    }
}
