//! The state for admins: exported and imported while mail is decided.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::Control;
use crate::backup::{
    Entry, Export, Header, HeaderDraft, Line, Mark, Receiver, StateSource, Taken, Target, Totals,
};
use crate::control::Reply;
use crate::control::backup::{ImportOffered, UPLOAD_BYTES_MAX, Upload, Uploaded};
use crate::control::stream::{Items, as_item, write_items, write_patiently};
use crate::metrics::Hand;
use crate::niceness::be_nice;

/// How long whoever imports may say nothing: his export may come from a slow tape, or wait for
/// somebody to type a password.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(600);

/// What the thread that takes lines in says.
enum Told {
    /// Go on.
    Item(Uploaded),
    /// That was the end.
    End(Result<Taken, String>),
}

impl Control {
    /// Writes the state, as fast as it is read.
    pub(super) async fn export(
        &self,
        out: &mut BufReader<UnixStream>,
        after: Option<Mark>,
    ) -> io::Result<()> {
        let (service, clock) = (Arc::clone(&self.service), self.clock);
        let make = move |items: &mut Items| {
            let now = || clock.now();
            let source = StateSource::new(service.store(), service.texts(), &now);
            let mut export = Export::new(source, after);
            while let Some(chunk) = export.next_chunk() {
                // Nothing that is empty is of use to anybody; that somebody is there, is.
                let told = if chunk.lines.is_empty() { items.look() } else { items.give(&chunk) };
                if told.is_break() {
                    return Err("cut off".to_owned());
                }
            }
            Ok::<Totals, String>(export.totals())
        };
        tracing::info!(target: "control", "an export begins, as an admin asked");
        write_items(out, make).await
    }

    /// Takes in what an admin sends, and says what becomes of it.
    pub(super) async fn import(
        &self,
        stream: &mut BufReader<UnixStream>,
        offered: &ImportOffered,
    ) -> io::Result<()> {
        let header = match header(&offered.head) {
            Ok(header) => header,
            Err(why) => return reply(stream, &Reply::<()>::Error(why)).await,
        };
        let (service, clock) = (Arc::clone(&self.service), self.clock);
        let receiver = Receiver::new(service, move || clock.now());
        let (uploads, queue) = mpsc::channel(1);
        let (answers, mut answered) = mpsc::channel(1);
        let metrics = Arc::clone(&self.metrics);
        std::thread::Builder::new().name("control".to_owned()).spawn(move || {
            be_nice();
            let taken = take_in(receiver, &header, queue, &answers);
            metrics.outside().hand(Hand::Imported, taken.new_tuples());
        })?;
        while let Some(told) = answered.recv().await {
            match told {
                Told::Item(item) => write_patiently(stream, &as_item(&item)?).await?,
                Told::End(Ok(taken)) => return reply(stream, &Reply::Ok(taken)).await,
                Told::End(Err(why)) => return reply(stream, &Reply::<()>::Error(why)).await,
            }
            let mut line = String::new();
            let mut limited = (&mut *stream).take(UPLOAD_BYTES_MAX);
            let read = tokio::time::timeout(UPLOAD_PATIENCE, limited.read_line(&mut line));
            let length = read.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match serde_json::from_str(&line) {
                // Should the thread be gone, it has said why.
                Ok(upload) => _ = uploads.send(upload).await,
                Err(error) => {
                    let why = format!("not what follows an import: {error}");
                    return reply(stream, &Reply::<()>::Error(why)).await;
                }
            }
        }
        Ok(())
    }
}

async fn reply<T: serde::Serialize>(
    stream: &mut BufReader<UnixStream>,
    reply: &Reply<T>,
) -> io::Result<()> {
    let mut text = serde_json::to_vec(reply)?;
    text.push(b'\n');
    write_patiently(stream, &text).await
}

fn header(head: &str) -> Result<Header, String> {
    let mut draft = HeaderDraft::default();
    for line in head.lines() {
        if let Some(header) = draft.take(line.as_bytes()).map_err(|fault| fault.to_string())? {
            return Ok(header);
        }
    }
    Err(draft.end().to_string())
}

/// Takes in what is uploaded, until that ends; says what became of it.
fn take_in(
    mut receiver: Receiver,
    header: &Header,
    mut uploads: mpsc::Receiver<Upload>,
    answers: &mpsc::Sender<Told>,
) -> Taken {
    let fingerprint = header.hash_key.fingerprint();
    tracing::info!(
        target: "control",
        "an import begins, as an admin asked: of an export by xgrey {}, hash key {fingerprint:016x}",
        header.program
    );
    let mut told = receiver.begin(header).map(|terms| Told::Item(Uploaded::Terms(terms)));
    let end = loop {
        match told {
            // Whether he still hears it is seen when nothing more comes.
            Ok(told) => _ = answers.blocking_send(told),
            Err(error) => break Err(error.to_string()),
        }
        match uploads.blocking_recv() {
            // None: he has gone; what he sent stays.
            None | Some(Upload::End) => {
                let finished = receiver.finish().map_err(|error| error.to_string());
                break finished.map(|()| receiver.taken());
            }
            Some(Upload::Lines(lines)) => match take_lines(&mut receiver, &lines) {
                Ok(()) => told = Ok(Told::Item(Uploaded::Taken(receiver.taken()))),
                Err(why) => break Err(why),
            },
        }
    };
    let taken = receiver.taken();
    match &end {
        Ok(_) => tracing::info!(target: "control", ?taken, "the import has ended"),
        Err(why) => tracing::warn!(target: "control", ?taken, "the import was broken off: {why}"),
    }
    let _ = answers.blocking_send(Told::End(end));
    taken
}

fn take_lines(receiver: &mut Receiver, lines: &str) -> Result<(), String> {
    for line in lines.lines() {
        let entry: Entry<'_> = match Line::parse(line.as_bytes()) {
            Ok(Some(Line::Entry(entry))) => entry,
            Ok(_) => continue,
            Err(fault) => return Err(format!("an upload has a broken line: {fault}")),
        };
        receiver.take(entry).map_err(|error| error.to_string())?;
    }
    Ok(())
}
