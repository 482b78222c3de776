//! `xgrey export`: writes all that is remembered to a file of text.

use std::path::Path;

use store::durable::Recovery;

use super::{Failure, offline, say, serve, socket_at};
use crate::backup::{
    Begun, Chunk, Export, Extent, Header, HeaderDraft, HeaderFault, Interrupt, Line, Mark, Meter,
    Output, Pace, PartError, StateSource, Totals,
};
use crate::cli::ExportArgs;
use crate::clock::Clock;
use crate::control::client::ControlError;
use crate::control::conversation::{Conversation, Heard};
use crate::control::{ExportWanted, Request};
use crate::thousands::thousands;

/// Exports, with progress and a line at the end.
pub fn run(args: &ExportArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::watch()?;
    let (output, begun) = match args.file.to_str() {
        Some("-") => (Output::standard()?, None),
        _ => Output::file(&args.file)?,
    };
    let writing = Writing { output, begun, interrupt };
    match &args.state.state {
        None => online(&socket_at(args.state.control.as_deref()), writing),
        Some(path) => offline(path, args.state.config.as_deref(), writing),
    }
}

/// From the running service.
fn online(socket: &Path, writing: Writing) -> Result<(), Failure> {
    let request = Request::Export(ExportWanted { after: writing.after() });
    let mut talk = Conversation::begin(socket, &request)?;
    let mut is_over = false;
    writing.run(|| {
        if is_over {
            return Ok(None);
        }
        match talk.hear::<Chunk, Totals>() {
            Ok(Heard::Item(chunk)) => Ok(Some(chunk)),
            Ok(Heard::End(_)) => {
                is_over = true;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    })
}

/// From a state directory.
fn offline(path: &Path, config: Option<&Path>, writing: Writing) -> Result<(), Failure> {
    offline::say_what_is_logged();
    let config = serve::load(config)?.config;
    let state = offline::read(&config, path)?;
    let clock = state.recovery.newest.map_or_else(Clock::start, |newest| {
        // Nothing is younger than the newest tuple.
        Clock::start().not_before(newest)
    });
    let now = || clock.now();
    let source = StateSource::new(&state.store, state.texts.as_ref(), &now);
    let mut export = Export::new(source, writing.after());
    writing.run(|| Ok(export.next_chunk()))?;
    if state.recovery.is_whole() { Ok(()) } else { Err(damaged(path, &state.recovery)) }
}

/// Says what was damaged in the directory that the export is made from.
fn damaged(path: &Path, recovery: &Recovery) -> Failure {
    let dir = path.display();
    let findings = recovery.journal.findings.iter().filter(|finding| !finding.is_normal());
    for what in recovery.damage.iter().cloned().chain(findings.map(ToString::to_string)) {
        eprintln!("{dir}/{what}");
    }
    if recovery.no_room > 0 {
        eprintln!(
            "{} tuples found no room: give the table more `memory` in the configuration",
            thousands(recovery.no_room)
        );
    }
    Failure::Failed(format!(
        "the state in {dir} is damaged: the export has what could be read of it"
    ))
}

/// An export that is being written.
struct Writing {
    output: Output,
    begun: Option<Begun>,
    interrupt: Interrupt,
}

impl Writing {
    /// What is there already.
    fn after(&self) -> Option<Mark> {
        self.begun.as_ref().map(|begun| begun.mark)
    }

    /// Writes all chunks that `next` gives.
    fn run(
        mut self,
        mut next: impl FnMut() -> Result<Option<Chunk>, ControlError>,
    ) -> Result<(), Failure> {
        let head = next().map_err(|error| self.broken_off(&error.to_string()))?;
        let head = head.map(|chunk| chunk.lines).unwrap_or_default();
        let mut written = Written { lines: 0, bytes: 0 };
        let head = self.head(head)?;
        written.add(&mut self.output, &head)?;
        let mut last = None;
        let mut meter = None;
        loop {
            if self.interrupt.came() {
                return Err(self.broken_off("interrupted"));
            }
            let chunk = match next() {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) => return Err(self.broken_off(&error.to_string())),
            };
            written.add(&mut self.output, &chunk.lines)?;
            let meter =
                meter.get_or_insert_with(|| Meter::start(Extent::Of(u64::from(chunk.shards))));
            meter.show(u64::from(chunk.shards_done), written.lines, written.bytes);
            last = Some(chunk);
        }
        let meter = meter.unwrap_or_else(|| Meter::start(Extent::Unknown));
        meter.end();
        let Written { lines, bytes } = written;
        let pace = Pace { lines, bytes, took: meter.took() };
        let (texts, tuples) = last.map_or((0, 0), |chunk| (chunk.texts, chunk.tuples));
        let is_stream = matches!(self.output, Output::Stream { .. });
        let path = self.output.finish()?;
        let said = format!(
            "{}: {} tuples, {} with addresses ({pace})",
            path.display(),
            thousands(tuples),
            thousands(texts)
        );
        if is_stream {
            eprintln!("{said}");
            return Ok(());
        }
        say(&format!("{said}\n"))
    }

    /// What the output begins with: the head; or, if it goes on, that it does.
    fn head(&self, head: String) -> Result<String, Failure> {
        let header = parse(&head)
            .map_err(|fault| Failure::Failed(format!("what comes from the service {fault}")))?;
        let Some(begun) = &self.begun else { return Ok(head) };
        if begun.header.hash_key != header.hash_key {
            return Err(PartError::OtherStore { path: self.output.path().to_owned() }.into());
        }
        let Mark { done, of, totals } = begun.mark;
        eprintln!(
            "going on with {}: {} tuples are there already, {} of {} parts",
            self.output.path().display(),
            thousands(totals.tuples),
            thousands(done.into()),
            thousands(of.into())
        );
        let mut line = String::new();
        Line::Continued(header.time).write(&mut line);
        Ok(line)
    }

    fn broken_off(&self, why: &str) -> Failure {
        let path = self.output.path().display();
        Failure::Failed(match self.output {
            Output::Part(_) => {
                format!("{why}; {path} is kept: the same command goes on from there")
            }
            Output::Stream { .. } => format!("{why}; what was written to {path} has no end"),
        })
    }
}

fn parse(head: &str) -> Result<Header, HeaderFault> {
    let mut draft = HeaderDraft::default();
    for line in head.lines() {
        if let Some(header) = draft.take(line.as_bytes())? {
            return Ok(header);
        }
    }
    Err(draft.end())
}

/// How much was written in this run.
struct Written {
    lines: u64,
    bytes: u64,
}

impl Written {
    fn add(&mut self, output: &mut Output, lines: &str) -> Result<(), PartError> {
        output.write(lines)?;
        self.lines += memchr::memchr_iter(b'\n', lines.as_bytes()).count() as u64;
        self.bytes += lines.len() as u64;
        Ok(())
    }
}
