//! A longer talk with the running service: many lines each way.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Request;
use super::client::{ControlError, connect};

/// How long the service may say nothing. It says at least that it is still there each few seconds, but
/// for uploads: taking in a chunk takes milliseconds, unless the disk is stuck.
const DEADLINE: Duration = Duration::from_secs(60);

/// What counts as a moment without a word.
const MOMENT: Duration = Duration::from_millis(100);

/// A talk.
#[derive(Debug)]
pub struct Conversation {
    stream: BufReader<UnixStream>,
    said: Vec<u8>,
    /// A line that is heard, or the start of one that is still to come.
    line: Vec<u8>,
    /// How long the socket now waits for it.
    wait: Duration,
}

/// What the service says next.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line<T, E> {
    Item(T),
    Ok(E),
    Error(String),
}

/// What the service says next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard<T, E> {
    /// Some of it.
    Item(T),
    /// That it is over.
    End(E),
}

impl Conversation {
    /// Begins one with a request, with the service that listens on `path`.
    ///
    /// # Errors
    /// When it is not there.
    pub fn begin(path: &Path, request: &Request) -> Result<Self, ControlError> {
        let stream = connect(path)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        let stream = BufReader::with_capacity(64 * 1024, stream);
        let (said, line) = (Vec::new(), Vec::new());
        let mut talk = Self { stream, said, line, wait: DEADLINE };
        talk.tell(request)?;
        Ok(talk)
    }

    /// Says a line.
    ///
    /// # Errors
    /// When the service has gone.
    pub fn tell(&mut self, line: &impl Serialize) -> Result<(), ControlError> {
        self.said.clear();
        serde_json::to_writer(&mut self.said, line)?;
        self.said.push(b'\n');
        self.stream.get_mut().write_all(&self.said)?;
        Ok(())
    }

    /// Waits for what the service says next.
    ///
    /// # Errors
    /// When it says no, something else, or nothing any more.
    pub fn hear<T, E>(&mut self) -> Result<Heard<T, E>, ControlError>
    where
        T: DeserializeOwned,
        E: DeserializeOwned,
    {
        match self.read_line(DEADLINE)? {
            true => self.understand(),
            false => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
    }

    /// The same, but `None` if nothing is heard for a moment.
    ///
    /// # Errors
    /// Likewise.
    pub fn hear_now<T, E>(&mut self) -> Result<Option<Heard<T, E>>, ControlError>
    where
        T: DeserializeOwned,
        E: DeserializeOwned,
    {
        match self.read_line(MOMENT)? {
            true => self.understand().map(Some),
            false => Ok(None),
        }
    }

    /// Waits for so long at most, as long as nothing comes, for a line that says something. `false`
    /// if none does; then what has come of one is kept for the next time.
    fn read_line(&mut self, wait: Duration) -> Result<bool, ControlError> {
        // A line that is there already needs no waiting for: most of a long answer's are.
        if !self.stream.buffer().contains(&b'\n') && self.wait != wait {
            self.stream.get_ref().set_read_timeout(Some(wait))?;
            self.wait = wait;
        }
        loop {
            match self.stream.read_until(b'\n', &mut self.line) {
                Ok(_) if self.line == b"\n" => self.line.clear(),
                Ok(_) if self.line.ends_with(b"\n") => return Ok(true),
                Ok(_) => return Err(ControlError::CutOff),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Ok(false),
                    io::ErrorKind::ConnectionReset => return Err(ControlError::CutOff),
                    _ => return Err(error.into()),
                },
            }
        }
    }

    fn understand<T, E>(&mut self) -> Result<Heard<T, E>, ControlError>
    where
        T: DeserializeOwned,
        E: DeserializeOwned,
    {
        let line = serde_json::from_slice(&self.line);
        self.line.clear();
        match line? {
            Line::Item(item) => Ok(Heard::Item(item)),
            Line::Ok(end) => Ok(Heard::End(end)),
            Line::Error(why) => Err(ControlError::Refused(why)),
        }
    }
}
