//! List files, line by line: our own rules, plain lists, and postgrey's whitelists as they are.
//!
//! A file may have a million lines: one line is held at a time, and nothing is kept of those
//! without mistakes but their rules.

use std::io::{self, BufRead, Read};
use std::ops::Range;
use std::sync::Arc;

use greylist::rules::{List, Origin, Pattern, PatternError, Verdict};

use super::mistake::{Mistake, listed, nearest, shown};
use super::report::{Finding, Place, Report, Severity};
use super::rules::{Gathered, replacement};

/// The longest line, in bytes: a long entry (4 KiB) and a long comment.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// What the lines of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// `LIST VERDICT ENTRY`, or `LIST default VERDICT`.
    Rules,
    /// Entries, all of one list and verdict.
    Plain { list: List, verdict: Verdict },
    /// Postgrey's `whitelist_clients`: addresses, networks, host names, regular expressions.
    PostgreyClients,
    /// Postgrey's `whitelist_recipients`: addresses, local parts, domains, regular expressions.
    PostgreyRecipients,
}

/// What one line says.
enum Line {
    Rule(Verdict, Pattern),
    Default(List, Verdict),
}

/// What is wrong with a line: the bytes to blame, what it is, and the mend.
struct LineError {
    at: Range<usize>,
    message: String,
    mistake: Mistake,
}

/// Reads all of `contents` into `gathered`. Mistakes go into `report`, with `name` and their line.
///
/// # Errors
/// When reading fails. What was read before that is gathered.
pub(super) fn read(
    name: &Arc<str>,
    source: u32,
    format: Format,
    contents: &mut dyn BufRead,
    gathered: &mut Gathered,
    report: &mut Report,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    let mut number: usize = 0;
    while next_line(contents, &mut buffer)? {
        number += 1;
        let bytes = match (number, buffer.strip_prefix("\u{feff}".as_bytes())) {
            (1, Some(after_mark)) => after_mark,
            _ => &buffer,
        };
        let origin = Origin { source, line: u32::try_from(number).unwrap_or(u32::MAX) };
        let mut note = |severity: Severity, at: Range<usize>, message, mistake: Mistake| {
            let full = report.is_full(severity);
            let text = if full { "".into() } else { String::from_utf8_lossy(bytes) };
            let place = Place::in_line(name, number, &text, at);
            let finding = report.add(Finding::new(severity, place, message));
            finding.label(mistake.what).help.extend(mistake.help);
        };
        let replaced = match line(bytes, format) {
            Ok(None) => None,
            Ok(Some((at, Line::Rule(verdict, pattern)))) => {
                gathered.add(verdict, pattern, origin).map(|replaced| (at, "rule", replaced))
            }
            Ok(Some((at, Line::Default(list, verdict)))) => {
                let replaced = gathered.set_default(list, verdict, origin);
                replaced.map(|replaced| (at, "default", replaced))
            }
            Err(LineError { at, message, mistake }) => {
                note(Severity::Error, at, message, mistake);
                None
            }
        };
        if let Some((at, what, replaced)) = replaced {
            let (message, label) = replacement(what, &replaced);
            note(Severity::Warning, at, message, Mistake { what: label, help: None });
        }
    }
    Ok(())
}

/// What a line of a rules file says: the list, the verdict, and what is to be matched, or nothing for
/// the list's default. `None` for blanks and comments.
///
/// # Errors
/// When it is no rule; in words.
pub(crate) fn rule_line(bytes: &[u8]) -> Result<Option<(List, Verdict, Option<Pattern>)>, String> {
    match line(bytes, Format::Rules) {
        Ok(None) => Ok(None),
        Ok(Some((_, Line::Rule(verdict, pattern)))) => {
            Ok(Some((pattern.list(), verdict, Some(pattern))))
        }
        Ok(Some((_, Line::Default(list, verdict)))) => Ok(Some((list, verdict, None))),
        Err(LineError { message, mistake: Mistake { what, help }, .. }) => Err(match help {
            Some(help) => format!("{message}: {what}; {help}"),
            None => format!("{message}: {what}"),
        }),
    }
}

/// Puts the next line, without its end, into `line`; of a line that is too long, only so much that
/// this can be seen. `false`: there is none.
///
/// # Errors
/// When reading fails.
pub(crate) fn next_line(contents: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let limit = LINE_BYTES_MAX as u64 + 1;
    if Read::take(&mut *contents, limit).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    } else if line.len() > LINE_BYTES_MAX {
        contents.skip_until(b'\n')?;
    }
    Ok(true)
}

/// What a line says, and which bytes of it say so; `None` for blanks and comments.
fn line(bytes: &[u8], format: Format) -> Result<Option<(Range<usize>, Line)>, LineError> {
    if bytes.len() > LINE_BYTES_MAX {
        let help = "write one entry a line; this may not be a list file at all";
        let mistake = Mistake::new(format!("longer than {LINE_BYTES_MAX} bytes"), help);
        return Err(LineError { at: 0..0, message: "this line is too long".into(), mistake });
    }
    let meant = &bytes[..comment_start(bytes, format)];
    let start = meant.len() - meant.trim_ascii_start().len();
    let meant = meant.trim_ascii();
    let at = start..start + meant.len();
    if meant.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(meant).map_err(|error| {
        let bad = start + error.valid_up_to();
        let mistake = Mistake::new("no character", "save the file as UTF-8");
        LineError { at: bad..bad + 1, message: "this line is not UTF-8 text".into(), mistake }
    })?;
    let accept = |pattern| Line::Rule(Verdict::Accept, pattern);
    let line = match format {
        Format::Rules => rule(text),
        Format::Plain { list, verdict } => {
            entry(text, Pattern::parse(list, text)).map(|pattern| Line::Rule(verdict, pattern))
        }
        Format::PostgreyClients => entry(text, Pattern::parse_postgrey_client(text)).map(accept),
        Format::PostgreyRecipients => {
            entry(text, Pattern::parse_postgrey_recipient(text)).map(accept)
        }
    };
    let shift =
        |error: LineError| LineError { at: start + error.at.start..start + error.at.end, ..error };
    line.map(|line| Some((at, line))).map_err(shift)
}

/// Where the comment begins, or the line's end. In postgrey's files every `#` begins one; in ours
/// it must be the first character or come after a blank, since addresses and regular expressions
/// may contain it.
fn comment_start(bytes: &[u8], format: Format) -> usize {
    let postgrey = matches!(format, Format::PostgreyClients | Format::PostgreyRecipients);
    let begins = |&(at, byte): &(usize, &u8)| {
        *byte == b'#' && (postgrey || at == 0 || bytes[at - 1].is_ascii_whitespace())
    };
    bytes.iter().enumerate().find(begins).map_or(bytes.len(), |(at, _)| at)
}

/// Says what is wrong with an entry.
fn entry(text: &str, parsed: Result<Pattern, PatternError>) -> Result<Pattern, LineError> {
    parsed.map_err(|error| LineError {
        at: error.at.clone(),
        message: format!("invalid entry \"{}\"", shown(text)),
        mistake: Mistake::from_sentence(&error.to_string()),
    })
}

/// Reads `LIST VERDICT ENTRY` or `LIST default VERDICT`.
fn rule(text: &str) -> Result<Line, LineError> {
    const EXAMPLE: &str = "write LIST VERDICT ENTRY, such as \"client accept 192.0.2.0/24\"";
    let (list_at, rest_at) = first_word(text, 0);
    let (verdict_at, entry_at) = first_word(text, rest_at);
    let (list_word, verdict_word) = (&text[list_at.clone()], &text[verdict_at.clone()]);
    let list =
        List::parse(list_word).ok_or_else(|| unknown_list(&list_at, list_word, verdict_word))?;
    if verdict_word.is_empty() {
        let mistake = Mistake::new("only a list is named", EXAMPLE);
        return Err(LineError {
            at: list_at,
            message: "this rule is not complete".into(),
            mistake,
        });
    }
    let is_default = verdict_word.eq_ignore_ascii_case("default");
    let subject_at = if is_default { entry_at..text.len() } else { verdict_at.clone() };
    let subject = &text[subject_at.clone()];
    let verdict = Verdict::parse(subject);
    if is_default && subject.is_empty() {
        let help = format!("write \"{} default accept\", or reject, or greylist", list.word());
        let mistake = Mistake::new("the default for what no rule matches", help);
        return Err(LineError { at: verdict_at, message: "a verdict is missing".into(), mistake });
    }
    let Some(verdict) = verdict else { return Err(unknown_verdict(subject_at, subject)) };
    if is_default {
        return Ok(Line::Default(list, verdict));
    }
    let entry_text = &text[entry_at..];
    if entry_text.is_empty() {
        let mistake = Mistake::new("what is to be matched is not said", EXAMPLE);
        let message = "this rule is not complete".into();
        return Err(LineError { at: verdict_at, message, mistake });
    }
    let pattern = entry(entry_text, Pattern::parse(list, entry_text)).map_err(|error| {
        LineError { at: entry_at + error.at.start..entry_at + error.at.end, ..error }
    })?;
    Ok(Line::Rule(verdict, pattern))
}

/// Where the word that begins at or after `from` stands, and where the next one begins.
fn first_word(text: &str, from: usize) -> (Range<usize>, usize) {
    let rest = &text[from..];
    let end = from + rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
    let next = text.len() - text[end..].trim_ascii_start().len();
    (from..end, next)
}

fn unknown_list(at: &Range<usize>, word: &str, next_word: &str) -> LineError {
    let names = || List::ALL.into_iter().map(List::word);
    let help = if next_word.is_empty() {
        "write LIST VERDICT ENTRY, such as \"client accept 192.0.2.0/24\"; a file with one entry a \
         line needs [[rules.file]] with format = \"plain\""
            .into()
    } else if List::parse(next_word).is_some() && Verdict::parse(word).is_some() {
        format!("the list comes first: \"{next_word} {word} …\"")
    } else if let Some(near) = nearest(word, names()) {
        format!("did you mean \"{near}\"?")
    } else {
        format!("the lists are {}", listed(names(), '"', "and"))
    };
    let message = format!("unknown list \"{}\"", shown(word));
    LineError { at: at.clone(), message, mistake: Mistake::new("not a list", help) }
}

fn unknown_verdict(at: Range<usize>, word: &str) -> LineError {
    const VERDICTS: [&str; 3] = ["accept", "reject", "greylist"];
    let meant = match word.to_ascii_lowercase().as_str() {
        "ok" | "allow" | "permit" | "pass" | "dunno" | "whitelist" | "white" => Some("accept"),
        "deny" | "block" | "drop" | "blacklist" | "black" => Some("reject"),
        "defer" | "delay" | "grey" | "gray" => Some("greylist"),
        _ => nearest(word, VERDICTS),
    };
    let help = match meant {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => format!("use {}", listed(VERDICTS, '"', "or")),
    };
    let message = format!("unknown verdict \"{}\"", shown(word));
    LineError { at, message, mistake: Mistake::new("not a verdict", help) }
}
