//! Changing rules while the service runs: one entry, or as many as a file has.
//!
//! A file is read whole before anything is changed, so one with a mistake changes nothing. Then it goes
//! over in requests of a few hundred entries, each of them kept before it is answered.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use greylist::rules::{List, Pattern};
use serde::Serialize;

use super::list_file::{self, FileChange, Lines, MISTAKES_SHOWN};
use super::output::Talk;
use crate::backup::{Extent, Meter};
use crate::cli::lists::{Action, NetworkFormat};
use crate::cli::{ListTask, ListWord, lists::Notation};
use crate::command::Failure;
use crate::control::conversation::{Conversation, Heard};
use crate::control::rules::DEFAULT_ENTRY;
use crate::control::{
    ChangeRulesWanted, Request, RuleChangeText, RuleChangedText, RulesChanged, client,
};
use crate::thousands::thousands;

/// A request may be as long as [`crate::control::LINE_BYTES_MAX`]; half of it leaves room for the longest entry.
const REQUEST_BYTES: usize = 8 * 1024;
/// What a change takes in a request beside its entry, in bytes: names of fields, list and verdict.
const CHANGE_BYTES: usize = 80;
/// From so many entries on, progress is shown.
const LONG: usize = 2_000;

/// Does what is to be done to a list.
pub(super) fn run(talk: &mut Talk<'_>, word: ListWord, task: ListTask<'_>) -> Result<(), Failure> {
    match task {
        ListTask::One { action, entry } => one(talk, word, action, entry),
        ListTask::Many { name, format } => {
            let lines = match format {
                Some(NetworkFormat::Relaydelay) => Lines::Relaydelay,
                Some(NetworkFormat::Bogonspace) => Lines::Bogonspace,
                None => Lines::Of(word),
            };
            many(talk, name, lines)
        }
    }
}

/// Takes in a rules file.
pub(super) fn file(talk: &mut Talk<'_>, name: &Path) -> Result<(), Failure> {
    many(talk, name, Lines::Rules)
}

fn one(talk: &mut Talk<'_>, word: ListWord, action: Action, typed: &str) -> Result<(), Failure> {
    let entry = understood(word, typed).map_err(|why| Failure::Usage(format!("xgrey: {why}")))?;
    let request = Request::ChangeRules(ChangeRulesWanted {
        changes: vec![in_words(word.list, entry, action)],
        more_follow: false,
    });
    let changed: RulesChanged = client::ask(talk.socket, &request)?;
    let Some(done) = changed.done.first() else {
        return Err(Failure::Failed("the service did not say what it has done".to_owned()));
    };
    if done.outcome == "nothing" && action == Action::Remove {
        return Err(Failure::Failed(nothing_to_remove(word, typed, done)));
    }
    talk.answer(&changed, || format!("{}\n", said(word, action, done)))?;
    if let Some(why) = &changed.not_kept {
        talk.out.note(&format!("a restart will forget this: {why}"));
    }
    Ok(())
}

/// An entry as rules files have it.
///
/// # Errors
/// When it is none; in words.
pub(super) fn understood(word: ListWord, typed: &str) -> Result<String, String> {
    let wrong = |why| format!("{typed:?} is no entry of the list {}: {why}", word.word);
    match word.notation {
        Notation::Network => {
            if typed.eq_ignore_ascii_case(DEFAULT_ENTRY) {
                return Ok(DEFAULT_ENTRY.to_owned());
            }
            let pattern = Pattern::parse(word.list, typed).map_err(wrong)?.to_string();
            // X-Grey's way of writing the default; by our word it is a rule for all of IPv4.
            let is_default = word == ListWord::IPLIST && pattern == "0.0.0.0/0";
            Ok(if is_default { DEFAULT_ENTRY.to_owned() } else { pattern })
        }
        Notation::Exact => exact(word, typed.as_bytes(), typed),
        Notation::Pattern => {
            if typed.eq_ignore_ascii_case(DEFAULT_ENTRY) {
                return Ok(DEFAULT_ENTRY.to_owned());
            }
            Ok(Pattern::parse(word.list, typed).map_err(wrong)?.to_string())
        }
    }
}

/// An address or domain as X-Grey takes it. What tables show, with its `=`, is understood too.
fn exact(word: ListWord, bytes: &[u8], typed: &str) -> Result<String, String> {
    let wrong = |why| format!("{typed:?} is no entry of the list {}: {why}", word.word);
    let is_domain = matches!(word.list, List::SenderDomain | List::RecipientDomain);
    if typed == "default" || typed == "DEFAULT" {
        return Ok(DEFAULT_ENTRY.to_owned());
    }
    if is_domain && (typed == "-" || typed.is_empty()) {
        return Err("no domain is empty; the null sender is `from ACTION -`".to_owned());
    }
    if is_domain && let Some((_, domain)) = typed.split_once('@') {
        let whole = whole_addresses(word);
        return Err(format!(
            "this {typed:?} is not a domain: write {domain}, or `{whole} ACTION {typed}`"
        ));
    }
    let pattern = match typed {
        "-" => Pattern::exact(word.list, b""),
        shown if shown.starts_with('=') => Pattern::parse(word.list, shown),
        _ => Pattern::exact(word.list, bytes),
    };
    Ok(pattern.map_err(wrong)?.to_string())
}

/// X-Grey's word for the list of whole addresses beside a list of domains.
fn whole_addresses(word: ListWord) -> &'static str {
    match word.list {
        List::SenderDomain => ListWord::FROM.word,
        _ => ListWord::TO.word,
    }
}

/// A change as it crosses the control socket.
pub(super) fn in_words(list: List, entry: String, action: Action) -> RuleChangeText {
    RuleChangeText { list: list.word().to_owned(), entry, verdict: action.word().to_owned() }
}

/// What was done to one entry.
fn said(word: ListWord, action: Action, done: &RuleChangedText) -> String {
    let subject = format!("{} {}", word.word, super::columns::printable(&done.entry));
    let before = done.before.as_deref();
    let was = before.map(|before| format!(", was {before}")).unwrap_or_default();
    match (done.outcome.as_str(), action) {
        ("removed", Action::Configured) => format!("{subject}: not set any more{was}"),
        (_, Action::Configured) => format!("{subject}: as configured{was}"),
        ("removed", _) => format!("{subject}: removed{was}"),
        ("added", action) => format!("{subject}: {}, new", action.word()),
        (_, action) if before.is_none_or(|before| before == action.word()) => {
            format!("{subject}: {} as before", action.word())
        }
        (_, action) => format!("{subject}: {}{was}", action.word()),
    }
}

/// Why nothing was removed, and what might have been meant.
fn nothing_to_remove(word: ListWord, typed: &str, done: &RuleChangedText) -> String {
    if done.entry == DEFAULT_ENTRY {
        return format!(
            "a default can't be removed: say what it is to be, as in `{0} greylist default`, or \
             `{0} configured default`",
            word.word
        );
    }
    let shown = super::columns::printable(&done.entry);
    let mut why = format!("nothing to remove: {} has no {shown}", word.word);
    if word.notation == Notation::Exact {
        // The two are told apart by their `=` alone.
        let ours = word.list.word();
        why += &format!("; for an entry without the `=`: {ours} remove {typed}");
    }
    why
}

/// What became of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Taken {
    entries: u64,
    added: u64,
    replaced: u64,
    removed: u64,
    nothing: u64,
}

impl Taken {
    fn count(&mut self, done: &[RuleChangedText]) {
        for done in done {
            self.entries += 1;
            match done.outcome.as_str() {
                "added" => self.added += 1,
                "replaced" => self.replaced += 1,
                "removed" => self.removed += 1,
                _ => self.nothing += 1,
            }
        }
    }

    fn said(&self, name: &str) -> String {
        let Self { entries, added, replaced, removed, nothing } = *self;
        let what = if entries == 1 { "entry" } else { "entries" };
        let mut parts = vec![format!("{} {what}", thousands(entries))];
        for (count, what) in
            [(added, "new"), (replaced, "set anew"), (removed, "removed"), (nothing, "no change")]
        {
            if count > 0 {
                parts.push(format!("{} {what}", thousands(count)));
            }
        }
        format!("{name}: {}\n", parts.join(", "))
    }
}

fn many(talk: &mut Talk<'_>, path: &Path, lines: Lines) -> Result<(), Failure> {
    let (name, mut input) = open(path)?;
    let read = list_file::read(&mut *input, lines)
        .map_err(|error| Failure::Failed(format!("cannot read {name}: {error}")))?;
    if read.mistakes > 0 {
        for (line, why) in &read.shown {
            talk.out.note(&format!("{name}:{line}: {why}"));
        }
        let more = read.mistakes.saturating_sub(MISTAKES_SHOWN as u64);
        let more = if more > 0 { format!(" ({} more)", thousands(more)) } else { String::new() };
        return Err(Failure::Failed(format!("nothing was changed: {name} has mistakes{more}")));
    }
    let (taken, not_kept) = send(talk, &name, &read.changes)?;
    talk.answer(&taken, || taken.said(&name))?;
    if let Some(why) = not_kept {
        talk.out.note(&format!("a restart will forget this: {why}"));
    }
    Ok(())
}

/// The file and how it is called; `-` is standard input.
fn open(path: &Path) -> Result<(String, Box<dyn BufRead>), Failure> {
    if path == Path::new("-") {
        return Ok(("standard input".to_owned(), Box::new(io::stdin().lock())));
    }
    let name = path.display().to_string();
    match File::open(path) {
        Ok(file) => Ok((name, Box::new(BufReader::new(file)))),
        Err(error) => Err(Failure::Failed(format!("cannot open {name}: {error}"))),
    }
}

/// Sends changes, as many at a time as fit into a request.
fn send(
    talk: &mut Talk<'_>,
    name: &str,
    changes: &[FileChange],
) -> Result<(Taken, Option<String>), Failure> {
    let mut taken = Taken::default();
    let mut not_kept = None;
    let meter = (changes.len() >= LONG).then(|| Meter::start(Extent::Of(changes.len() as u64)));
    let mut conversation: Option<Conversation> = None;
    let mut rest = changes;
    let mut bytes = 0;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(fitting(rest));
        rest = later;
        bytes += now.iter().map(|change| change.change.entry.len() as u64).sum::<u64>();
        let request = Request::ChangeRules(ChangeRulesWanted {
            changes: now.iter().map(|change| change.change.clone()).collect(),
            more_follow: !later.is_empty(),
        });
        let answered = ask(talk, &mut conversation, &request);
        let changed = match (answered, talk.out.is_interrupted()) {
            (Ok(changed), false) => changed,
            (answered, _) => {
                if let Ok(changed) = &answered {
                    taken.count(&changed.done);
                }
                if let Some(meter) = &meter {
                    meter.end();
                }
                let why = answered.err().unwrap_or(Failure::Failed("interrupted".to_owned()));
                return Err(halfway(why, name, changes, taken.entries));
            }
        };
        taken.count(&changed.done);
        not_kept = not_kept.or(changed.not_kept);
        if let Some(meter) = &meter {
            meter.show(taken.entries, taken.entries, bytes);
        }
    }
    if let Some(meter) = &meter {
        meter.end();
    }
    Ok((taken, not_kept))
}

/// How many of the next changes fit into a request; at least one.
fn fitting(changes: &[FileChange]) -> usize {
    let mut bytes = 0;
    let fits = |change: &&FileChange| {
        // A backslash takes two bytes in JSON.
        bytes += CHANGE_BYTES + 2 * change.change.entry.len();
        bytes <= REQUEST_BYTES
    };
    changes.iter().take_while(fits).count().max(1)
}

/// Asks in a conversation that goes on.
fn ask(
    talk: &Talk<'_>,
    conversation: &mut Option<Conversation>,
    request: &Request,
) -> Result<RulesChanged, Failure> {
    let conversation = match conversation {
        None => conversation.insert(Conversation::begin(talk.socket, request)?),
        Some(begun) => {
            begun.tell(request)?;
            begun
        }
    };
    match conversation.hear::<serde::de::IgnoredAny, RulesChanged>()? {
        Heard::End(changed) => Ok(changed),
        Heard::Item(_) => Err(Failure::Failed("the service answered something else".to_owned())),
    }
}

/// Why it ended in the middle, and where to go on.
fn halfway(why: Failure, name: &str, changes: &[FileChange], entries: u64) -> Failure {
    let done = usize::try_from(entries).unwrap_or(usize::MAX);
    let place = match changes.get(done) {
        Some(next) if done > 0 => format!(
            "{} of {} entries of {name} were taken in; it ended before line {}",
            thousands(entries),
            thousands(changes.len() as u64),
            next.line
        ),
        Some(_) => format!("nothing of {name} was taken in"),
        None => format!("all of {name} was taken in"),
    };
    match why {
        Failure::Failed(why) => Failure::Failed(format!("{why}; {place}")),
        Failure::Unreachable(why) => Failure::Unreachable(format!("{why}; {place}")),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x_greys_words_take_bytes_and_ours_take_patterns() {
        let ours = ListWord::ours;
        for (word, typed, entry) in [
            (ListWord::IPLIST, "10/8", "10.0.0.0/8"),
            (ListWord::IPLIST, "10.1/16", "10.1.0.0/16"),
            (ListWord::IPLIST, "192.0.2.7", "192.0.2.7"),
            (ListWord::IPLIST, "0/0", "default"),
            (ListWord::IPLIST, "DEFAULT", "default"),
            (ListWord::IPLIST, "2001:db8::/32", "2001:db8::/32"),
            (ours(List::Client), "0/0", "0.0.0.0/0"),
            (ListWord::TO, "Bob@Example.ORG", "=Bob@Example.ORG"),
            (ListWord::TO, "=Bob@Example.ORG", "=Bob@Example.ORG"),
            (ListWord::TO, "bob b@example.org", r"=bob\x20b@example.org"),
            (ListWord::TO, "DEFAULT", "default"),
            (ListWord::TO, "Default", "=Default"),
            (ListWord::FROM, "-", "="),
            (ListWord::TO_DOMAIN, "Example.ORG", "=Example.ORG"),
            (ours(List::Recipient), "Bob@Example.ORG", "bob@example.org"),
            (ours(List::SenderDomain), ".Example.ORG", ".example.org"),
            (ours(List::SenderDomain), "Default", "default"),
            (ours(List::ClientName), "mail.example.net", "mail.example.net"),
        ] {
            assert_eq!(understood(word, typed).as_deref(), Ok(entry), "{} {typed}", word.word);
        }
    }

    #[test]
    fn what_is_no_entry_says_what_to_type_instead() {
        let ours = ListWord::ours;
        let wrong = [
            (ListWord::IPLIST, "10.1"),
            (ListWord::IPLIST, "192.0.2.0/33"),
            (ListWord::IPLIST, "mail.example.net"),
            (ListWord::TO_DOMAIN, "bob@example.org"),
            (ListWord::FROM_DOMAIN, "-"),
            (ours(List::Sender), "example.net"),
            (ours(List::RecipientDomain), "*.example.net"),
        ];
        let said = wrong.map(|(word, typed)| {
            format!("> {} accept {typed}\n{}\n", word.word, understood(word, typed).unwrap_err())
        });
        insta::assert_snapshot!(said.join("\n"));
    }

    #[test]
    fn what_was_done_is_one_line() {
        let done = |outcome: &str, before: Option<&str>| RuleChangedText {
            list: "client".to_owned(),
            entry: "192.0.2.0/24".to_owned(),
            outcome: outcome.to_owned(),
            before: before.map(str::to_owned),
        };
        let word = ListWord::IPLIST;
        let rows = [
            (Action::Accept, done("added", None), "accept, new"),
            (Action::Accept, done("replaced", Some("reject")), "accept, was reject"),
            (Action::Accept, done("replaced", Some("accept")), "accept as before"),
            (Action::Remove, done("removed", Some("accept")), "removed, was accept"),
            (Action::Configured, done("replaced", Some("reject")), "as configured, was reject"),
            (Action::Configured, done("removed", Some("reject")), "not set any more, was reject"),
            (Action::Configured, done("nothing", None), "as configured"),
        ];
        for (action, done, shown) in rows {
            assert_eq!(said(word, action, &done), format!("iplist 192.0.2.0/24: {shown}"));
        }
    }

    #[test]
    fn a_request_is_never_too_long_for_the_service() {
        let of_length = |length| FileChange {
            line: 1,
            change: in_words(List::Sender, "\\".repeat(length), Action::Configured),
        };
        let changes: Vec<FileChange> =
            [1, 20, 300, 2_000].repeat(200).into_iter().map(of_length).collect();
        let mut rest = changes.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(fitting(rest));
            let request = Request::ChangeRules(ChangeRulesWanted {
                changes: now.iter().map(|change| change.change.clone()).collect(),
                more_follow: true,
            });
            let line = serde_json::to_string(&request).unwrap();
            assert!((line.len() as u64) < crate::control::LINE_BYTES_MAX, "{}", line.len());
            rest = later;
        }
    }

    #[test]
    fn an_end_in_the_middle_says_where_to_go_on() {
        let changes: Vec<FileChange> = (1..=3)
            .map(|line| FileChange {
                line: 10 * line,
                change: in_words(List::Client, "192.0.2.7".to_owned(), Action::Accept),
            })
            .collect();
        let ended = |entries| halfway(Failure::Failed("full".to_owned()), "f", &changes, entries);
        let said = |text: &str| Failure::Failed(text.to_owned());
        assert_eq!(ended(0), said("full; nothing of f was taken in"));
        assert_eq!(
            ended(2),
            said("full; 2 of 3 entries of f were taken in; it ended before line 30")
        );
    }
}
