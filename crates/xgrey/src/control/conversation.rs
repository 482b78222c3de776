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

/// A talk.
#[derive(Debug)]
pub struct Conversation {
    stream: BufReader<UnixStream>,
    line: Vec<u8>,
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
        let mut talk = Self { stream, line: Vec::new() };
        talk.tell(request)?;
        Ok(talk)
    }

    /// Says a line.
    ///
    /// # Errors
    /// When the service has gone.
    pub fn tell(&mut self, line: &impl Serialize) -> Result<(), ControlError> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        self.stream.get_mut().write_all(&self.line)?;
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
        loop {
            self.line.clear();
            let read = self.stream.read_until(b'\n', &mut self.line);
            match read {
                Ok(_) if self.line == b"\n" => {}
                Ok(_) if self.line.ends_with(b"\n") => break,
                Ok(_) => return Err(ControlError::CutOff),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(ControlError::CutOff);
                }
                Err(error) => return Err(error.into()),
            }
        }
        match serde_json::from_slice(&self.line)? {
            Line::Item(item) => Ok(Heard::Item(item)),
            Line::Ok(end) => Ok(Heard::End(end)),
            Line::Error(why) => Err(ControlError::Refused(why)),
        }
    }
}
