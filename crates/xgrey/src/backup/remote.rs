//! The running service as where an export goes, over its control socket.

use std::path::Path;

use super::export::CHUNK_BYTES;
use super::header::Header;
use super::import::{Taken, Target, Terms};
use super::line::Entry;
use crate::control::Request;
use crate::control::backup::{ImportOffered, Upload, Uploaded};
use crate::control::client::ControlError;
use crate::control::conversation::{Conversation, Heard};

/// Has the running service take in an export.
#[derive(Debug)]
pub struct RemoteTarget<'a> {
    socket: &'a Path,
    talk: Option<Conversation>,
    /// Lines that have not been sent yet.
    lines: String,
    taken: Taken,
}

impl<'a> RemoteTarget<'a> {
    /// The service that listens on `socket`. Nothing is asked yet.
    pub fn new(socket: &'a Path) -> Self {
        Self { socket, talk: None, lines: String::new(), taken: Taken::default() }
    }

    /// Begins with what has no export's head, since it was no xgrey that kept it: texts, of which
    /// the service makes ids of its own.
    ///
    /// # Errors
    /// When the service is not there, or takes nothing in.
    pub fn begin_without_ids(&mut self) -> Result<(), ControlError> {
        self.open(&Request::ImportTexts).map(|_| ())
    }

    fn open(&mut self, request: &Request) -> Result<Terms, ControlError> {
        let mut talk = Conversation::begin(self.socket, request)?;
        let terms = match talk.hear::<Uploaded, Taken>()? {
            Heard::Item(Uploaded::Terms(terms)) => terms,
            _ => return Err(ControlError::CutOff),
        };
        self.talk = Some(talk);
        Ok(terms)
    }

    /// Sends `upload` and hears what has become of lines so far.
    fn send(&mut self, upload: &Upload) -> Result<(), ControlError> {
        let Some(talk) = &mut self.talk else { return Ok(()) };
        talk.tell(upload)?;
        match talk.hear::<Uploaded, Taken>()? {
            Heard::Item(Uploaded::Taken(taken)) | Heard::End(taken) => self.taken = taken,
            Heard::Item(Uploaded::Terms(_)) => {}
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ControlError> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let upload = Upload::Lines(std::mem::take(&mut self.lines));
        self.send(&upload)?;
        if let Upload::Lines(mut lines) = upload {
            lines.clear();
            self.lines = lines;
        }
        Ok(())
    }
}

impl Target for RemoteTarget<'_> {
    type Error = ControlError;

    fn begin(&mut self, header: &Header) -> Result<Terms, ControlError> {
        let mut head = String::new();
        header.write(&mut head);
        self.open(&Request::Import(ImportOffered { head }))
    }

    fn take(&mut self, entry: Entry<'_>) -> Result<(), ControlError> {
        entry.write(&mut self.lines);
        if self.lines.len() >= CHUNK_BYTES { self.flush() } else { Ok(()) }
    }

    fn finish(&mut self) -> Result<(), ControlError> {
        self.flush()?;
        self.send(&Upload::End)
    }

    fn taken(&self) -> Taken {
        self.taken
    }
}
