//! `xgrey ctl tuples`: lists tuples as the service comes across them.

use std::collections::HashSet;
use std::io::{self, Write};

use super::columns::{Columns, Width, printable};
use super::output::Talk;
use crate::cli::{TupleFormat, TuplesArgs};
use crate::command::Failure;
use crate::control::conversation::{Conversation, Heard};
use crate::control::{Request, TupleListed, TuplesListed, TuplesWanted};
use crate::thousands::thousands;

/// Asks, and prints what comes until the end, the limit, or until nobody reads any more.
pub(super) fn run(
    talk: &mut Talk<'_>,
    args: &TuplesArgs,
    format: TupleFormat,
) -> Result<(), Failure> {
    let wanted = TuplesWanted {
        client: args.client.map(|network| network.to_string()),
        sender: args.sender.clone(),
        recipient: args.recipient.clone(),
        state: args.state,
        older_seconds: args.older.map(greylist::Secs::get),
        younger_seconds: args.younger.map(greylist::Secs::get),
        all: args.all,
    };
    let is_all = wanted == TuplesWanted { all: wanted.all, ..TuplesWanted::default() };
    let mut answers = Conversation::begin(talk.socket, &Request::Tuples(wanted))?;
    let width = talk.out.width();
    let mut listing = Listing::new(&mut *talk.out, format, width, args);
    let printed = listing.print(&mut answers);
    let counts = listing.into_counts();
    match printed {
        Ok(ended) => {
            let nothing = if is_all { "no tuple is known" } else { "no tuple matches" };
            for line in counts.say(ended, nothing) {
                talk.out.note(&line);
            }
            Ok(())
        }
        // Whoever reads has seen enough.
        Err(Broken::Out(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Broken::Out(error)) => Err(Failure::Failed(format!("cannot print: {error}"))),
        Err(Broken::In(failure)) => Err(failure),
    }
}

/// What broke.
#[derive(Debug)]
enum Broken {
    /// What was asked.
    In(Failure),
    /// What was printed to.
    Out(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Out(error)
    }
}

/// How a listing ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// All that matched was there.
    Complete(TuplesListed),
    /// More were not asked for.
    AtLimit,
}

/// Tuples on their way out.
#[derive(Debug)]
struct Listing<W: Write> {
    rows: Rows<W>,
    limit: u64,
    /// Ids that have been printed with a text: a tuple's first is its newest.
    seen: HashSet<u64>,
    counts: Counts,
}

/// How many were printed.
#[derive(Debug, Default)]
struct Counts {
    with_text: u64,
    without_text: u64,
}

impl<W: Write> Listing<W> {
    fn new(out: W, format: TupleFormat, width: Width, args: &TuplesArgs) -> Self {
        let rows = match format {
            TupleFormat::Table => {
                Rows::Table { out: Some(out), width, ids: args.all, columns: None }
            }
            TupleFormat::Json => Rows::Json(out),
            TupleFormat::Csv => {
                let mut csv = csv::WriterBuilder::new();
                let csv = csv.has_headers(false).terminator(csv::Terminator::CRLF);
                Rows::Csv { out: Box::new(csv.from_writer(out)), head: Some(CSV_HEAD) }
            }
        };
        let limit = args.limit.unwrap_or(u64::MAX);
        Self { rows, limit, seen: HashSet::new(), counts: Counts::default() }
    }

    fn into_counts(self) -> Counts {
        self.counts
    }

    fn print(&mut self, talk: &mut Conversation) -> Result<Ended, Broken> {
        let mut is_shown = true;
        let ended = loop {
            if self.counts.with_text + self.counts.without_text >= self.limit {
                break Ended::AtLimit;
            }
            // As long as there is something to be shown, a moment's silence shows it.
            let heard = if is_shown { talk.hear().map(Some) } else { talk.hear_now() };
            match heard {
                Ok(Some(Heard::Item(tuple))) => {
                    self.tuple(&tuple)?;
                    is_shown = false;
                }
                Ok(None) => {
                    self.rows.pause()?;
                    is_shown = true;
                }
                Ok(Some(Heard::End(end))) => {
                    self.rows.finish()?;
                    break Ended::Complete(end);
                }
                Err(error) => {
                    // What has come is worth something all the same.
                    self.rows.pause()?;
                    return Err(Broken::In(error.into()));
                }
            }
        };
        self.rows.pause()?;
        Ok(ended)
    }

    fn tuple(&mut self, tuple: &TupleListed) -> io::Result<()> {
        let id = u64::from_str_radix(&tuple.id, 16).unwrap_or(0);
        if tuple.client.is_some() {
            if !self.seen.insert(id) {
                return Ok(());
            }
            self.counts.with_text += 1;
        } else {
            // Found by its id, and so only once.
            if self.seen.contains(&id) {
                return Ok(());
            }
            self.counts.without_text += 1;
        }
        self.rows.row(tuple)
    }
}

impl Counts {
    /// What is worth saying beside the rows.
    fn say(&self, ended: Ended, nothing: &str) -> Vec<String> {
        let printed = self.with_text + self.without_text;
        let end = match ended {
            Ended::AtLimit => return Vec::new(),
            Ended::Complete(end) => end,
        };
        let mut lines = Vec::new();
        let missing = end.known.unwrap_or(0).saturating_sub(printed);
        let without_text = self.without_text + missing;
        if without_text > 0 {
            let hint = if missing > 0 { "; --all lists them by their ids" } else { "" };
            let tuples = if without_text == 1 { "tuple" } else { "tuples" };
            lines.push(format!("no text is kept of {} {tuples}{hint}", thousands(without_text)));
        } else if printed == 0 {
            lines.push(nothing.to_owned());
        }
        lines.extend(end.damage);
        lines
    }
}

/// The names of [`TupleListed`]'s fields, in their order.
const CSV_HEAD: [&str; 9] = [
    "id",
    "state",
    "client",
    "sender",
    "recipient",
    "first_try",
    "last_use",
    "passes_from",
    "until",
];

/// What tuples are printed as.
enum Rows<W: Write> {
    Table {
        /// Until the first row.
        out: Option<W>,
        width: Width,
        /// Whether ids are wanted even if texts are there.
        ids: bool,
        columns: Option<Columns<W>>,
    },
    Json(W),
    Csv {
        out: Box<csv::Writer<W>>,
        /// Until it is printed.
        head: Option<[&'static str; 9]>,
    },
}

impl<W: Write> std::fmt::Debug for Rows<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").finish_non_exhaustive()
    }
}

impl<W: Write> Rows<W> {
    fn row(&mut self, tuple: &TupleListed) -> io::Result<()> {
        match self {
            Self::Table { out, width, ids, columns } => {
                if let Some(out) = out.take() {
                    // Where there are no texts, ids are all that there is.
                    *ids |= tuple.client.is_none();
                    let head = ["id", "state", "since", "client", "sender", "recipient"];
                    let head = if *ids { &head[..] } else { &head[1..] };
                    *columns = Some(Columns::new(out, *width, head));
                }
                let Some(columns) = columns else { return Ok(()) };
                let mut row = cells(tuple);
                if *ids {
                    row.insert(0, tuple.id.clone());
                }
                columns.row(row)
            }
            Self::Json(out) => {
                serde_json::to_writer(&mut *out, tuple)?;
                out.write_all(b"\n")
            }
            Self::Csv { out, head } => {
                if let Some(head) = head.take() {
                    out.write_record(head).map_err(csv_error)?;
                }
                out.serialize(tuple).map_err(csv_error)
            }
        }
    }

    /// Prints what is there even if there are no rows.
    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Csv { out, head } => match head.take() {
                Some(head) => out.write_record(head).map_err(csv_error),
                None => Ok(()),
            },
            Self::Table { .. } | Self::Json(_) => Ok(()),
        }
    }

    /// Shows all that there is so far.
    fn pause(&mut self) -> io::Result<()> {
        match self {
            Self::Table { columns: Some(columns), .. } => columns.pause(),
            Self::Table { columns: None, .. } => Ok(()),
            Self::Json(out) => out.flush(),
            Self::Csv { out, .. } => out.flush(),
        }
    }
}

/// What the kernel said, if it was that.
fn csv_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// A row of the table, without the id.
fn cells(tuple: &TupleListed) -> Vec<String> {
    let part = |part: &Option<String>| match part {
        Some(text) => printable(text),
        None => "-".to_owned(),
    };
    let since = tuple.last_use.as_ref().or(tuple.first_try.as_ref());
    let [client, sender, recipient] = [&tuple.client, &tuple.sender, &tuple.recipient].map(part);
    vec![tuple.state.clone(), since.cloned().unwrap_or_default(), client, sender, recipient]
}
