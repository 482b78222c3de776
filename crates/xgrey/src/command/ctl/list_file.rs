//! Files of rules for `xgrey ctl`: X-Grey's formats and our own, line by line, each mistake with its
//! line.
//!
//! Nothing is kept of a file but its changes: as many as there may be live rules.

use std::io::{self, BufRead};

use greylist::rules::{List, Pattern};
use wire::xgrey_v1::files::{self, BadLine, IpListLine};
use wire::xgrey_v1::{Change, Request};

use super::change::{in_words, understood};
use crate::cli::ListWord;
use crate::cli::lists::{Action, Notation};
use crate::config::{next_line, rule_line};
use crate::control::RuleChangeText;
use crate::control::rules::DEFAULT_ENTRY;
use crate::service::LIVE_RULES_MAX;

/// Mistakes that are told with their lines; of more, only the number.
pub(super) const MISTAKES_SHOWN: usize = 20;

/// What the lines of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// Those that X-Grey has for a list, or those that a rules file has for it.
    Of(ListWord),
    /// Relays to be accepted.
    Relaydelay,
    /// Networks to be rejected.
    Bogonspace,
    /// Those of a rules file, for all lists.
    Rules,
}

/// One change, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileChange {
    /// From 1.
    pub(super) line: u64,
    pub(super) change: RuleChangeText,
}

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) changes: Vec<FileChange>,
    /// How many lines can't be used.
    pub(super) mistakes: u64,
    /// The first of them, and why.
    pub(super) shown: Vec<(u64, String)>,
}

/// Reads a file to its end.
///
/// # Errors
/// When it can't be read; what is wrong with its lines is in what is returned.
pub(super) fn read(input: &mut dyn BufRead, lines: Lines) -> io::Result<Read> {
    let mut read = Read::default();
    let mut buffer = Vec::new();
    let mut line = 0;
    while next_line(input, &mut buffer)? {
        line += 1;
        let said = match change(&buffer, lines) {
            Ok(Some(_)) if read.changes.len() == LIVE_RULES_MAX => Err(format!(
                "more than {LIVE_RULES_MAX} entries: name the file in the configuration"
            )),
            said => said,
        };
        match said {
            Ok(None) => {}
            Ok(Some(change)) => read.changes.push(FileChange { line, change }),
            Err(why) => {
                read.mistakes += 1;
                if read.shown.len() < MISTAKES_SHOWN {
                    read.shown.push((line, why));
                }
            }
        }
    }
    Ok(read)
}

/// What a line says; nothing if it is empty or a comment.
fn change(line: &[u8], lines: Lines) -> Result<Option<RuleChangeText>, String> {
    match lines {
        Lines::Relaydelay => network(files::relaydelay(line), ListWord::IPLIST),
        Lines::Bogonspace => network(files::bogonspace(line), ListWord::IPLIST),
        Lines::Rules => rule(line),
        Lines::Of(word) => {
            let first = line.trim_ascii().split(u8::is_ascii_whitespace).next().unwrap_or_default();
            let first = str::from_utf8(first).unwrap_or_default();
            if List::parse(first).is_some() {
                return rule_of(line, word);
            }
            if word.notation == Notation::Network {
                return network(files::ip_list(line), word);
            }
            match Action::parse(first) {
                Some(action) => text(line.trim_ascii()[first.len()..].trim_ascii(), word, action),
                None => match files::text_list(line) {
                    Ok(Some(said)) => text(said.text, word, action_of(Change::Set(said.action))),
                    Ok(None) => Ok(None),
                    Err(why) => Err(bad(why, word)),
                },
            }
        }
    }
}

fn bad(why: BadLine, word: ListWord) -> String {
    match why {
        BadLine::Fields { .. } => {
            let example = match word.notation {
                Notation::Network => "192.0.2.0/24 accept".to_owned(),
                _ if word.list.word().ends_with("domain") => "accept example.org".to_owned(),
                _ => "accept bob@example.org".to_owned(),
            };
            format!("this says nothing: write it as `{example}`")
        }
        other => other.to_string(),
    }
}

fn action_of(change: Change) -> Action {
    match change {
        Change::Set(wire::xgrey_v1::Action::Accept) => Action::Accept,
        Change::Set(wire::xgrey_v1::Action::Reject) => Action::Reject,
        Change::Set(wire::xgrey_v1::Action::Greylist) => Action::Greylist,
        Change::Remove => Action::Remove,
    }
}

/// A line of a list of networks.
fn network(
    said: Result<Option<IpListLine>, BadLine>,
    word: ListWord,
) -> Result<Option<RuleChangeText>, String> {
    let Some(IpListLine { network, change }) = said.map_err(|why| bad(why, word))? else {
        return Ok(None);
    };
    // X-Grey's way of writing the default.
    let is_default = network.addr().is_ipv4() && network.prefix_len() == 0;
    let entry = match is_default {
        true => DEFAULT_ENTRY.to_owned(),
        false => Pattern::network(network).to_string(),
    };
    Ok(Some(in_words(List::Client, entry, action_of(change))))
}

/// A line of a list of addresses or domains. In X-Grey's own format a text is byte for byte, whoever
/// reads it; as is one by X-Grey's words.
fn text(text: &[u8], word: ListWord, action: Action) -> Result<Option<RuleChangeText>, String> {
    if Request::is_default(text) {
        return Ok(Some(in_words(word.list, DEFAULT_ENTRY.to_owned(), action)));
    }
    let entry = match (word.notation, str::from_utf8(text)) {
        (Notation::Pattern, Ok(text)) => understood(word, text)?,
        (Notation::Pattern, Err(_)) => return Err("this line is not UTF-8 text".to_owned()),
        _ => {
            let exact = Pattern::exact(word.list, text);
            exact.map_err(|why| why.to_string())?.to_string()
        }
    };
    Ok(Some(in_words(word.list, entry, action)))
}

/// A line of a rules file that is for one list.
fn rule_of(line: &[u8], word: ListWord) -> Result<Option<RuleChangeText>, String> {
    let change = rule(line)?;
    match change {
        Some(change) if change.list != word.list.word() => Err(format!(
            "a rule for {}, in a file for {}: `xgrey ctl file NAME` takes rules for all lists",
            change.list,
            word.list.word()
        )),
        change => Ok(change),
    }
}

/// A line of a rules file; here rules may be removed, too.
fn rule(line: &[u8]) -> Result<Option<RuleChangeText>, String> {
    let text = String::from_utf8_lossy(line);
    let mut words = text.split_ascii_whitespace();
    if let (Some(list), Some(action)) = (words.next(), words.next())
        && let Some(list) = List::parse(list)
        && let Some(action @ (Action::Remove | Action::Configured)) = Action::parse(action)
    {
        let entry = words.next().filter(|entry| !entry.starts_with('#'));
        let entry =
            entry.ok_or_else(|| format!("say what: {} {} ENTRY", list.word(), action.word()))?;
        if words.next().is_some_and(|more| !more.starts_with('#')) {
            return Err("white space inside an entry: write one entry a line".to_owned());
        }
        return Ok(Some(in_words(list, understood(ListWord::ours(list), entry)?, action)));
    }
    let Some((list, verdict, pattern)) = rule_line(line)? else { return Ok(None) };
    let entry = pattern.map_or_else(|| DEFAULT_ENTRY.to_owned(), |pattern| pattern.to_string());
    let verdict = verdict.word().to_owned();
    Ok(Some(RuleChangeText { list: list.word().to_owned(), entry, verdict }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, lines: Lines) -> String {
        let read = read(&mut text.as_bytes(), lines).unwrap();
        let mut said: Vec<(u64, String)> = read
            .changes
            .into_iter()
            .map(|FileChange { line, change }| {
                let RuleChangeText { list, entry, verdict } = change;
                (line, format!("{list} {verdict} {entry}"))
            })
            .collect();
        assert_eq!(read.mistakes, read.shown.len() as u64);
        said.extend(read.shown.into_iter().map(|(line, why)| (line, format!("! {why}"))));
        said.sort();
        let said = said.into_iter().map(|(line, said)| format!("{line}: {said}\n"));
        said.collect()
    }

    #[test]
    fn each_format_is_read_line_by_line_and_mistakes_have_their_lines() {
        let files = [
            (
                "iplist",
                Lines::Of(ListWord::IPLIST),
                "# comment\n\n192.0.2.0/24 accept\n  10/8 REJECT and more\n0.0.0.0/0 greylist\n\
                 192.0.2.7 remove\n192.0.2.7 acept\nclient accept 2001:db8::/32 # rule\n\
                 sender accept a@example.net\nmail.example.net accept\n192.0.2.0/33 accept\n192.0.2.7\n",
            ),
            (
                "relaydelay",
                Lines::Relaydelay,
                "# relays\n198.51.100   a relay\n192.0.2.7\n10\nexample\n",
            ),
            ("bogonspace", Lines::Bogonspace, "198.51.0.0/16\n192.0.2.1\n300.1/16\n"),
            (
                "to",
                Lines::Of(ListWord::TO),
                "         3   REJECT Nobody@example.net\naccept bob b@example.org\n\
                 0 graylist DEFAULT\nremove eve@example.org\nrecipient accept x@example.org\n\
                 recipient configured y@example.org\nfrom accept bob@example.org\n\
                 3 expire bob@example.org\nbob@example.org\n",
            ),
            (
                "recipient",
                Lines::Of(ListWord::ours(List::Recipient)),
                "accept Bob@Example.org\naccept =Bob@example.org\naccept default\naccept @\n",
            ),
            (
                "rules",
                Lines::Rules,
                "client accept 192.0.2.0/24\nsender-domain default reject\n\
                 client remove 192.0.2.0/24 # was wrong\nclient remove\nrecipient accept\n\
                 clinet accept 192.0.2.7\nsender accpet a@example.net\n",
            ),
        ];
        let read = files.map(|(name, format, text)| format!("== {name}\n{}", lines(text, format)));
        insta::assert_snapshot!(read.join("\n"));
    }

    #[test]
    fn of_many_mistakes_the_first_are_told_and_all_are_counted() {
        let text = "nonsense\n".repeat(1_000);
        let read = read(&mut text.as_bytes(), Lines::Rules).unwrap();
        assert_eq!((read.mistakes, read.shown.len()), (1_000, MISTAKES_SHOWN));
        assert_eq!(read.shown[19].0, 20);
    }
}
