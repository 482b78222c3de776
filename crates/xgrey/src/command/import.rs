//! `xgrey import`: takes in what was exported, or what another system kept.

mod x_grey;

use std::fmt::{Display, Write as _};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::{Failure, offline, say, serve, socket_at};
use crate::backup::{
    Broken, Ending, Extent, Header, ImportError, Interrupt, Meter, Outcome, Pace, RemoteTarget,
    Tally, Target, Terms, Totals, Wish, import, rfc3339,
};
use crate::cli::{ForeignSystem, ImportArgs};
use crate::thousands::thousands;

/// Read at once.
const BUFFER_BYTES: usize = 1024 * 1024;

/// Imports, with progress and what came of it.
pub fn run(args: &ImportArgs) -> Result<(), Failure> {
    match args.from {
        Some(ForeignSystem::XGrey) => return x_grey::run(args),
        None => {}
    }
    let [file] = args.files.as_slice() else {
        let why =
            "one export at a time; for X-Grey's own files, as many as there are, say --from x-grey";
        return Err(Failure::Usage(format!("xgrey: {why}")));
    };
    let interrupt = Interrupt::watch()?;
    let input = Input::open(file)?;
    match &args.state.state {
        None => {
            let socket = socket_at(args.state.control.as_deref());
            take_in(input, &mut RemoteTarget::new(&socket), &interrupt)
        }
        Some(path) => {
            offline::say_what_is_logged();
            let config = serve::load(args.state.config.as_deref())?.config;
            let mut target = offline::OfflineTarget::new(path, config)?;
            take_in(input, &mut target, &interrupt)
        }
    }
}

/// Where the export comes from.
struct Input {
    name: String,
    extent: Extent,
    bytes: Box<dyn Read>,
}

impl Input {
    fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            let bytes = Box::new(io::stdin());
            return Ok(Self { name: "standard input".into(), extent: Extent::Unknown, bytes });
        }
        let name = path.display().to_string();
        let failed = |error| Failure::Failed(format!("cannot read {name}: {error}"));
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let extent = if metadata.is_file() { Extent::Of(metadata.len()) } else { Extent::Unknown };
        Ok(Self { name, extent, bytes: Box::new(file) })
    }
}

/// Takes it in and says what came of it.
fn take_in<T: Target>(input: Input, target: &mut T, interrupt: &Interrupt) -> Result<(), Failure>
where
    T::Error: Display,
{
    let Input { name, extent, bytes } = input;
    let meter = Meter::start(extent);
    let mut read = (0, 0);
    let imported = import(BufReader::with_capacity(BUFFER_BYTES, bytes), target, |progress| {
        read = (progress.lines, progress.bytes);
        meter.show(progress.bytes, progress.lines, progress.bytes);
        if interrupt.came() { Wish::Stop } else { Wish::GoOn }
    });
    meter.end();
    let outcome = imported.map_err(|error| Failure::Failed(refusal(&name, &error)))?;
    let pace = Pace { lines: outcome.lines, bytes: outcome.bytes, took: meter.took() };
    eprint!("{}", complaints(&name, &outcome));
    say(&summary(&name, &outcome, &pace))?;
    if outcome.is_whole() && outcome.taken.by_tuple(outcome.terms).no_room == 0 {
        Ok(())
    } else {
        Err(Failure::Told)
    }
}

/// Why nothing was taken in, or no more.
fn refusal<E: Display>(name: &str, error: &ImportError<E>) -> String {
    const AGAIN: &str = "what was taken in stays, and the same command can be run again";
    match error {
        ImportError::Header(fault) => format!("{name} {fault}"),
        ImportError::Read { .. } => format!("{name} {error}; {AGAIN}"),
        ImportError::Begin(error) => error.to_string(),
        ImportError::Target { line, error } => {
            format!("{error}; that was at line {line} of {name}; {AGAIN}")
        }
    }
}

/// What was wrong with the export.
fn complaints(name: &str, outcome: &Outcome) -> String {
    let mut out = String::new();
    let Broken { count, told } = &outcome.broken;
    for (line, why) in told {
        let _ = writeln!(out, "{name}:{line}: {why}");
    }
    let untold = count - told.len() as u64;
    if untold > 0 {
        let _ = writeln!(out, "{name}: and {} more broken lines", thousands(untold));
    }
    match outcome.ending {
        Ending::Whole => {}
        Ending::Cut => {
            let _ = writeln!(
                out,
                "{name} has no end line: it was cut off, and how much is missing is not known; what \
                 there is was taken in"
            );
        }
        Ending::Differs { written, found } => {
            let all = |totals: Totals| totals.texts + totals.tuples + totals.notes;
            if all(found) + count != all(written) {
                let _ = writeln!(
                    out,
                    "{name} had {} entries when it was written and has {} now: lines were taken away \
                     or added; what there is was taken in",
                    thousands(all(written)),
                    thousands(all(found) + count)
                );
            }
        }
        Ending::GoesOn => {
            let _ = writeln!(out, "{name} goes on behind its end line: that was left alone");
        }
        Ending::Stopped { line } => {
            let _ = writeln!(
                out,
                "interrupted after line {} of {name}: what was taken in stays; run the same command \
                 again for the rest, what is known by then is passed over",
                thousands(line)
            );
        }
    }
    out
}

/// What came of it.
fn summary(name: &str, outcome: &Outcome, pace: &Pace) -> String {
    let Header { program, hash_key, time, .. } = &outcome.header;
    let taken = &outcome.taken;
    let mut out = format!("{name}: of xgrey {program}, {} ({pace})\n", rfc3339(*time));
    let Tally { new, changed, known, expired, no_room, unusable: _ } =
        taken.by_tuple(outcome.terms);
    let rows = [
        (new, "tuples new here"),
        (changed, "tuples changed: the export knew more"),
        (known, "tuples known as well or better"),
        (expired, "tuples left out: too old"),
        (no_room, "tuples left out: no room; give the table more `memory`"),
        (taken.notes, "notes, such as live changes of rules"),
        (taken.notes_unusable, "notes left out: too long or too many"),
    ];
    for (count, what) in rows {
        if count > 0 || what == "tuples new here" {
            let _ = writeln!(out, "{:>15} {what}", thousands(count));
        }
    }
    if outcome.terms == Terms::TextsAlone {
        // Each tuple that came by its text has a line of no use too.
        let Tally { new, changed, known, expired, no_room, unusable: _ } = taken.texts;
        let by_text = new + changed + known + expired + no_room;
        let _ = writeln!(
            out,
            "{:>15} tuples left out: made with another hash key ({:016x}), and without addresses\n\
             To have those too, stop the service and import with --state into a directory without tuples.",
            thousands(taken.tuples.unusable.saturating_sub(by_text)),
            hash_key.fingerprint(),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use greylist::{HashKey, Timestamp, Timing};

    use super::*;
    use crate::backup::{BrokenLine, HeaderFault, Taken};

    fn outcome() -> Outcome {
        let header = Header {
            program: "0.1.0".to_owned(),
            hash_key: HashKey::new([7; 16]),
            timing: Timing::DEFAULT,
            time: Timestamp::from_unix_secs(1_795_498_200),
        };
        let texts = Tally { new: 500_000, expired: 3, ..Tally::default() };
        let tuples = Tally { new: 1_000_000, known: 502_000, expired: 1_234, ..Tally::default() };
        Outcome {
            header,
            terms: Terms::All,
            taken: Taken { texts, tuples, notes: 2, notes_unusable: 0 },
            broken: Broken::default(),
            ending: Ending::Whole,
            lines: 2_003_250,
            bytes: 123_456_789,
        }
    }

    fn said(outcome: &Outcome) -> String {
        let pace =
            Pace { lines: outcome.lines, bytes: outcome.bytes, took: Duration::from_millis(2_500) };
        complaints("xgrey.txt", outcome) + &summary("xgrey.txt", outcome, &pace)
    }

    #[test]
    fn what_an_import_came_to_reads_well() {
        let whole = outcome();
        let mut other_key = outcome();
        other_key.terms = Terms::TextsAlone;
        other_key.taken.tuples = Tally { unusable: 1_503_234, ..Tally::default() };
        let mut full = outcome();
        full.taken.tuples.no_room = 7;
        full.taken.notes_unusable = 1;
        let texts = [whole, other_key, full].map(|outcome| said(&outcome));
        insta::assert_snapshot!(texts.join("----\n"));
    }

    #[test]
    fn what_was_wrong_with_an_export_reads_well() {
        let totals = |tuples| Totals { texts: 0, tuples, notes: 0 };
        let broken =
            Broken { count: 1_002, told: vec![(17, BrokenLine::TooLong), (18, BrokenLine::Cut)] };
        let few = Broken { count: 2, told: Vec::new() };
        let texts = [
            (broken, Ending::Cut),
            (few.clone(), Ending::Differs { written: totals(10), found: totals(8) }),
            (few, Ending::Differs { written: totals(1_000), found: totals(8) }),
            (Broken::default(), Ending::GoesOn),
            (Broken::default(), Ending::Stopped { line: 123_456 }),
        ]
        .map(|(broken, ending)| complaints("xgrey.txt", &Outcome { broken, ending, ..outcome() }));
        insta::assert_snapshot!(texts.join("----\n"));
    }

    #[test]
    fn why_nothing_or_no_more_was_taken_in_is_said_with_the_mend() {
        let errors = [
            ImportError::Header(HeaderFault::Newer { version: 2 }),
            ImportError::Begin("the service is not there"),
            ImportError::Target { line: 1_234, error: "the service has ended" },
            ImportError::Read { line: 5, error: io::Error::other("bad sector") },
        ];
        let said = errors.map(|error| refusal("xgrey.txt", &error));
        insta::assert_snapshot!(said.join("\n"));
    }
}
