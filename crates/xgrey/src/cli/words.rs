//! Where the words of a command line lead in the flag table: for examples beside errors, for the
//! shell's help and for its completion.
//!
//! Never knows: what a command does.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Error};

/// A place in the flag table: a command, and how much of it has been said.
#[derive(Clone, Debug)]
pub struct Place<'t> {
    /// The command that the words lead to.
    pub command: &'t Command,
    /// How many of its positional values have been said.
    pub given: usize,
    /// An option that still wants its value.
    pub open: Option<&'t Arg>,
}

/// Follows `words` from the top of `table`, which is built, as far as they lead.
pub fn follow<'t, 'w>(table: &'t Command, words: impl IntoIterator<Item = &'w str>) -> Place<'t> {
    let mut place = Place { command: table, given: 0, open: None };
    for word in words {
        if place.open.take().is_some() {
            continue;
        }
        if let Some(option) = option(place.command, word) {
            place.open = option.wants_a_value();
        } else if place.given == 0
            && let Some(command) = place.command.find_subcommand(word)
        {
            place.command = command;
        } else {
            place.given += 1;
        }
    }
    place
}

/// A word that is an option.
struct Said<'t> {
    arg: Option<&'t Arg>,
    /// Its value stands in the same word.
    has_value: bool,
}

impl<'t> Said<'t> {
    fn wants_a_value(&self) -> Option<&'t Arg> {
        self.arg.filter(|arg| !self.has_value && arg.get_action().takes_values())
    }
}

fn option<'t>(command: &'t Command, word: &str) -> Option<Said<'t>> {
    if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
        let name = long.split_once('=').map_or(long, |(name, _)| name);
        let arg = command.get_arguments().find(|arg| arg.get_long() == Some(name));
        return Some(Said { arg, has_value: long.len() > name.len() });
    }
    let mut letters = word.strip_prefix('-')?.chars();
    let letter = letters.next()?;
    let arg = command.get_arguments().find(|arg| arg.get_short() == Some(letter));
    Some(Said { arg, has_value: letters.next().is_some() })
}

/// What clap's own words about a mistake don't say well: that a list's entry is one word. (What follows
/// is taken for a subcommand, since `file` is one.)
pub fn too_many_words(error: &Error) -> Option<String> {
    let is_conflict = error.kind() == ErrorKind::ArgumentConflict;
    match error.get(ContextKind::InvalidSubcommand).filter(|_| is_conflict)? {
        ContextValue::String(word) => Some(format!(
            "error: unexpected word '{word}': an entry is one word; put quotes around it if there \
             are blanks in it"
        )),
        _ => None,
    }
}

/// The first example that a command's help has.
pub fn example(command: &Command) -> Option<String> {
    let help = command.get_after_long_help().or_else(|| command.get_after_help())?.to_string();
    let (_, examples) = help.split_once("Example")?;
    let line = examples.lines().skip(1).map(str::trim).find(|line| !line.is_empty())?;
    // What it is for may stand behind it.
    let end = line.find("   ").unwrap_or(line.len());
    Some(line[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn table() -> Command {
        let mut table = Cli::command();
        table.build();
        table
    }

    #[test]
    fn words_lead_to_a_command_past_options_and_their_values() {
        let table = table();
        for (words, name, given, open) in [
            ("", "xgrey", 0, None),
            ("ctl", "ctl", 0, None),
            ("ctl --control show", "ctl", 0, None),
            ("ctl --control", "ctl", 0, Some("control")),
            ("ctl --control=show show", "show", 0, None),
            ("ctl --json show tuples all", "tuples", 1, None),
            ("ctl to", "to", 0, None),
            ("ctl to accept", "to", 1, None),
            ("ctl to accept bob@example.org", "to", 2, None),
            ("ctl to file", "file", 0, None),
            ("ctl to accept file", "to", 2, None),
            ("ctl nothing", "ctl", 1, None),
            ("serve -c", "serve", 0, Some("config")),
        ] {
            let place = follow(&table, words.split_whitespace());
            let open_id = place.open.map(|arg| arg.get_id().as_str());
            assert_eq!(
                (place.command.get_name(), place.given, open_id),
                (name, given, open),
                "{words}"
            );
        }
    }

    #[test]
    fn an_example_is_the_first_that_the_help_has_without_what_it_is_for() {
        let table = table();
        for (words, shown) in [
            ("ctl", "xgrey ctl iplist accept 192.0.2.0/24"),
            ("ctl tuple show", "xgrey ctl tuple show 192.0.2.7 a@example.net b@example.org"),
            ("ctl iplist file", "xgrey ctl iplist file iplist.txt"),
        ] {
            let place = follow(&table, words.split_whitespace());
            assert_eq!(example(place.command).as_deref(), Some(shown), "{words}");
        }
        assert_eq!(example(follow(&table, ["ctl", "reload"]).command), None);
    }
}
