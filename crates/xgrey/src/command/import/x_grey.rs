//! `xgrey import --from x-grey`: takes in what X-Grey kept in its files.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::io::BufReader;
use std::path::Path;

use wire::xgrey_v1::TextList;
use wire::xgrey_v1::files::FileKind;

use super::{BUFFER_BYTES, Input};
use crate::backup::{Interrupt, Meter, Pace, Tally, Wish};
use crate::cli::ImportArgs;
use crate::clock::Clock;
use crate::command::{Failure, offline, say, serve, socket_at};
use crate::move_in::{
    Ending, LeftOut, LeftOutLine, MoveError, Outcome, ReasonKind, RemoteTarget, RuleTally, Taken,
    Target, Together, move_in,
};
use crate::thousands::thousands;

/// What was taken in stays, whatever came then.
const AGAIN: &str = "what was taken in stays, and the same command can be run again";

/// Takes in all files and says what came of them.
pub(super) fn run(args: &ImportArgs) -> Result<(), Failure> {
    // Nothing is touched before it is known what each file is.
    let files = args.files.iter().map(|path| Ok((path.as_path(), kind(path, args.kind)?)));
    let mut files = files.collect::<Result<Vec<_>, Failure>>()?;
    // Dumps first: they have the times that a whitelist has not.
    files.sort_by_key(|&(_, kind)| kind != FileKind::Dump);
    let interrupt = Interrupt::watch()?;
    match &args.state.state {
        None => {
            let socket = socket_at(args.state.control.as_deref());
            take_in(&files, &mut RemoteTarget::new(&socket), &interrupt)
        }
        Some(path) => {
            offline::say_what_is_logged();
            let config = serve::load(args.state.config.as_deref())?.config;
            let mut target = offline::OfflineTarget::new(path, config)?;
            target.open_as_it_is()?;
            take_in(&files, &mut target, &interrupt)
        }
    }
}

/// What a file is: as is said, or as its name says.
fn kind(path: &Path, said: Option<FileKind>) -> Result<FileKind, Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    said.or_else(|| FileKind::of_file_name(&name)).ok_or_else(|| {
        let kinds = FileKind::ALL.map(FileKind::name).join(", ");
        Failure::Usage(format!(
            "xgrey: the name of {} doesn't tell what it is: say it with --kind ({kinds})",
            path.display()
        ))
    })
}

/// What was in all files together.
#[derive(Debug, Default)]
struct Total {
    left_out: BTreeMap<ReasonKind, u64>,
    timed: u64,
    is_stopped: bool,
}

/// Takes the files in and says what came of it.
fn take_in<T: Target>(
    files: &[(&Path, FileKind)],
    target: &mut T,
    interrupt: &Interrupt,
) -> Result<(), Failure>
where
    T::Error: Display,
{
    let mut together = Together::at(Clock::start().now());
    let mut total = Total::default();
    for &(path, kind) in files {
        let Input { name, extent, bytes } = Input::open(path)?;
        let meter = Meter::start(extent);
        let input = BufReader::with_capacity(BUFFER_BYTES, bytes);
        let moved = move_in(input, kind, &mut together, target, |progress| {
            meter.show(progress.bytes, progress.lines, progress.bytes);
            if interrupt.came() { Wish::Stop } else { Wish::GoOn }
        });
        meter.end();
        let Outcome { left_out, timed, ending, lines, bytes } =
            moved.map_err(|error| Failure::Failed(refusal(&name, &error)))?;
        eprint!("{}", complaints(&name, &left_out));
        let pace = Pace { lines, bytes, took: meter.took() };
        say(&format!("{name}: {} ({pace})\n", title(kind)))?;
        total.timed += timed;
        for (&reason, count) in &left_out.counts {
            *total.left_out.entry(reason).or_default() += count;
        }
        if ending == Ending::Stopped {
            eprintln!("interrupted after line {} of {name}: {AGAIN}", thousands(lines));
            total.is_stopped = true;
            break;
        }
    }
    target.finish().map_err(|error| Failure::Failed(format!("{error}; {AGAIN}")))?;
    let taken = target.taken();
    say(&summary(&taken, &total))?;
    let is_readable = total.left_out.keys().all(|&reason| reason == ReasonKind::Removed);
    if is_readable && !total.is_stopped && taken.tuples.no_room == 0 {
        Ok(())
    } else {
        Err(Failure::Told)
    }
}

/// Why no more was taken in.
fn refusal<E: Display>(name: &str, error: &MoveError<E>) -> String {
    match error {
        MoveError::Read { line, error } => {
            format!("{name} can't be read on at line {line}: {error}; {AGAIN}")
        }
        MoveError::Target { line, error } => {
            format!("{error}; that was at line {line} of {name}; {AGAIN}")
        }
    }
}

/// What could not be used of a file, line by line.
fn complaints(name: &str, left_out: &LeftOut) -> String {
    let mut out = String::new();
    for LeftOutLine { number, reason, start } in &left_out.told {
        let _ = writeln!(out, "{name}:{number}: {reason}: {start}");
    }
    let untold = left_out.count() - left_out.told.len() as u64;
    if untold > 0 {
        let _ = writeln!(out, "{name}: and {} more lines that were left out", thousands(untold));
    }
    out
}

/// What a file is, for people.
fn title(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Whitelist => "X-Grey's whitelist",
        FileKind::Dump => "a dump of X-Grey's tuples",
        FileKind::IpList => "X-Grey's list of networks",
        FileKind::RelayDelay => "a list of relays to accept",
        FileKind::BogonSpace => "a list of networks to reject",
        FileKind::List(TextList::To) => "X-Grey's list of recipients",
        FileKind::List(TextList::ToDomain) => "X-Grey's list of recipients' domains",
        FileKind::List(TextList::From) => "X-Grey's list of senders",
        FileKind::List(TextList::FromDomain) => "X-Grey's list of senders' domains",
    }
}

/// What came of all files.
fn summary(taken: &Taken, total: &Total) -> String {
    let Taken { tuples, rules, not_kept } = taken;
    let Tally { new, changed, known, expired, no_room, unusable } = *tuples;
    let RuleTally { added, replaced, known: rules_known, removed } = *rules;
    let left_out = |reason| total.left_out.get(&reason).copied().unwrap_or_default();
    let rows = [
        (new, "tuples new here"),
        (changed, "tuples changed: the files knew more"),
        (known, "tuples known as well or better"),
        (total.timed, "tuples of a whitelist that a dump has too, with their times"),
        (expired, "tuples left out: too old"),
        (no_room, "tuples left out: no room; give the table more `memory`"),
        (unusable, "tuples left out: no id can be made from what there is"),
        (left_out(ReasonKind::Removed), "tuples left out: removed by hand (flag D)"),
        (
            left_out(ReasonKind::Ipv6Lost),
            "tuples left out: of their IPv6 addresses X-Grey wrote only the first 4 bytes",
        ),
        (
            left_out(ReasonKind::Ambiguous),
            "tuples left out: a space in an address, so where the sender ends can't be told",
        ),
        (added, "rules new here"),
        (replaced, "rules changed"),
        (removed, "rules removed"),
        (rules_known, "rules known already"),
        (left_out(ReasonKind::NotUnderstood), "lines left out: not understood"),
    ];
    let mut out = String::new();
    for (count, what) in rows.into_iter().filter(|&(count, _)| count > 0) {
        let _ = writeln!(out, "{:>15} {what}", thousands(count));
    }
    if out.is_empty() {
        let _ = writeln!(out, "{:>15} tuples and rules", 0);
    }
    if let Some(why) = not_kept {
        let _ = writeln!(out, "The rules are in force, but a restart would forget them: {why}");
    }
    out
}

#[cfg(test)]
mod tests {
    use wire::xgrey_v1::files::BadLine;

    use super::*;
    use crate::move_in::Reason;

    #[test]
    fn what_moving_in_came_to_reads_well() {
        let tuples =
            Tally { new: 61_234, changed: 12, known: 3, expired: 1_000, ..Tally::default() };
        let rules = RuleTally { added: 200, replaced: 2, known: 5, removed: 1 };
        let left_out = [
            (ReasonKind::Removed, 4),
            (ReasonKind::Ipv6Lost, 17),
            (ReasonKind::Ambiguous, 2),
            (ReasonKind::NotUnderstood, 1_002),
        ];
        let many = Taken { tuples, rules, not_kept: Some("the disk is full".to_owned()) };
        let total = Total { left_out: left_out.into(), timed: 60_000, is_stopped: false };
        let full = Tally { no_room: 7, unusable: 1, ..Tally::default() };
        let full = Taken { tuples: full, ..Taken::default() };
        let none = Total::default();
        let said =
            [summary(&many, &total), summary(&full, &none), summary(&Taken::default(), &none)];
        insta::assert_snapshot!(said.join("----\n"));
    }

    #[test]
    fn what_was_left_out_is_told_line_by_line_and_then_counted() {
        let line =
            |number, reason, start: &str| LeftOutLine { number, reason, start: start.into() };
        let told = vec![
            line(17, Reason::Removed, "192.0.2.3 a@example.com b@example.net WD--- 1 2"),
            line(18, Reason::Line(BadLine::Flags), "192.0.2.3 a@example.com b@example.net x 1 2"),
        ];
        let counts = [(ReasonKind::Removed, 1), (ReasonKind::NotUnderstood, 1_002)].into();
        insta::assert_snapshot!(complaints("dump.txt", &LeftOut { counts, told }));
        assert_eq!(complaints("dump.txt", &LeftOut::default()), "");
    }

    #[test]
    fn a_file_is_what_is_said_or_what_its_name_says() {
        let of = |name: &str, said| kind(Path::new(name), said).ok();
        assert_eq!(of("/var/state/gld/dump.txt", None), Some(FileKind::Dump));
        assert_eq!(of("dump.txt", Some(FileKind::Whitelist)), Some(FileKind::Whitelist));
        let Err(Failure::Usage(why)) = kind(Path::new("-"), None) else { panic!("known") };
        insta::assert_snapshot!(why);
    }

    #[test]
    fn why_no_more_was_taken_in_is_said() {
        let read = MoveError::Read { line: 5, error: std::io::Error::other("bad sector") };
        let target = MoveError::Target { line: 1_234, error: "the service has ended" };
        let said: [String; 2] = [read, target].map(|error| refusal("dump.txt", &error));
        insta::assert_snapshot!(said.join("\n"));
    }
}
