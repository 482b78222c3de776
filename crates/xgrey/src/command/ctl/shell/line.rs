//! One line of the shell: its words, by the same flag table as the command line's.

use clap::{CommandFactory, Parser};

use crate::cli::words::{Place, example, follow, too_many_words};
use crate::cli::{CtlCommand, ShellCommand, ShellLine};
use crate::command::Failure;

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing, or a comment.
    Nothing,
    /// A command.
    Command {
        /// Which.
        command: Box<CtlCommand>,
        /// It is to be answered in JSON, whatever is usual.
        json: bool,
    },
    /// What is to be printed: help.
    Text(String),
    /// That it is over.
    Leave,
}

/// How examples begin outside of the shell.
const OUTSIDE: &str = "xgrey ctl ";

/// What a line says. Words may be quoted as in other shells; `#` begins a comment.
pub(super) fn understand(line: &str) -> Result<Said, Failure> {
    let open_quote = || Failure::Usage("xgrey: a quote is not closed".to_owned());
    let words = shlex::split(line).ok_or_else(open_quote)?;
    if words.is_empty() {
        return Ok(Said::Nothing);
    }
    match ShellLine::try_parse_from(&words) {
        Ok(ShellLine { command: ShellCommand::Ctl(command), json }) => {
            Ok(Said::Command { command: Box::new(command), json })
        }
        Ok(ShellLine { command: ShellCommand::Help { words }, .. }) => help(&words),
        Ok(ShellLine { command: ShellCommand::Exit, .. }) => Ok(Said::Leave),
        Err(error) if !error.use_stderr() => Ok(Said::Text(inside(&error.to_string()))),
        Err(error) => Err(Failure::Usage(mistake(&words, &error))),
    }
}

/// The flag table of the shell.
pub(super) fn table() -> clap::Command {
    let mut table = ShellLine::command();
    table.build();
    table
}

/// What there is to be said about a command; about all, if none is named.
fn help(words: &[String]) -> Result<Said, Failure> {
    let table = table();
    let place = follow(&table, words.iter().map(String::as_str));
    // An action, such as in `help iplist accept`, belongs to its command.
    if place.given > 0 && place.command.get_name() == table.get_name() {
        let unknown = words.join(" ");
        return Err(Failure::Usage(format!("xgrey: there is no command {unknown:?}; see `help`")));
    }
    let mut command = place.command.clone();
    Ok(Said::Text(inside(&command.render_long_help().to_string())))
}

/// What is wrong with a line, and how it might have been meant.
fn mistake(words: &[String], error: &clap::Error) -> String {
    let mut said = too_many_words(error).unwrap_or_else(|| inside(&error.to_string()));
    // That there is --help is said for each command by `help`.
    if let Some(end) = said.find("\n\nFor more information") {
        said.truncate(end);
    }
    let table = table();
    let Place { command, .. } = follow(&table, words.iter().map(String::as_str));
    let example = example(command).map(|example| format!("\n\nExample: {}", inside(&example)));
    format!("{}{}", said.trim_end(), example.unwrap_or_default())
}

/// The same text as it is right in the shell.
fn inside(text: &str) -> String {
    text.replace(OUTSIDE, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> String {
        match understand(line) {
            Err(Failure::Usage(why)) => why,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_line_is_a_command_help_the_end_or_nothing() {
        for (line, said) in [("", Said::Nothing), ("  # later", Said::Nothing)] {
            assert_eq!(understand(line).unwrap(), said);
        }
        for line in ["exit", "quit"] {
            assert_eq!(understand(line).unwrap(), Said::Leave);
        }
        for line in ["stats", "stats --json", "--json stats", "to accept 'a b@example.org' # why"] {
            assert!(matches!(understand(line).unwrap(), Said::Command { .. }), "{line}");
        }
        for line in ["help", "?", "help iplist", "? show tuples", "help to accept", "to --help"] {
            let Said::Text(text) = understand(line).unwrap() else { panic!("{line}") };
            assert!(text.contains("Usage:") && !text.contains(OUTSIDE), "{line}: {text}");
        }
    }

    #[test]
    fn a_line_that_is_wrong_says_what_to_type_instead() {
        let lines = [
            "shwo stats",
            "show iplists",
            "iplist acept 192.0.2.7",
            "iplist expire 192.0.2.7",
            "iplist accept",
            "to accept",
            "to accept bob example.org",
            "iplist file bogons.txt bogon",
            "tuple greylist 192.0.2.0/24 a@example.net b@example.org",
            "tuple greylist 192.0.2.7 a@example.net",
            "show tuples grey",
            "help nonsense",
            "to accept 'bob",
        ];
        let said = lines.map(|line| format!("> {line}\n{}\n", refused(line)));
        insta::assert_snapshot!(said.join("\n"));
    }
}
