//! Asking the running service, from another process.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use thiserror::Error;

use super::{Reply, Request};

/// How long the service may take to answer. Writing out a million rules takes a second or so.
const DEADLINE: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ControlError {
    /// Nobody listens there.
    #[error(
        "xgrey is not running, or listens elsewhere: nothing answers on {path} ({error}); \
         start it with `xgrey serve`, or name its socket with --control"
    )]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
    /// We may not.
    #[error("not allowed to use {path}: be root, or the user that xgrey runs as")]
    NotAllowed {
        /// The socket.
        path: PathBuf,
    },
    /// The connection broke.
    #[error("the service did not answer: {0}")]
    Io(#[from] io::Error),
    /// It answered something else.
    #[error(
        "the service answered what this program does not understand ({0}); are both of the same version?"
    )]
    Garbled(#[from] serde_json::Error),
    /// It stopped in the middle.
    #[error("the answer was cut off: the service has ended, or its log says why")]
    CutOff,
    /// It said no.
    #[error("{0}")]
    Refused(String),
}

/// Connects to the service that listens on `path`.
///
/// # Errors
/// When it is not there, or we may not.
pub fn connect(path: &Path) -> Result<UnixStream, ControlError> {
    UnixStream::connect(path).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => ControlError::NotAllowed { path: path.to_owned() },
        _ => ControlError::NotRunning { path: path.to_owned(), error },
    })
}

/// Asks the service that listens on `path`.
///
/// # Errors
/// When it is not there, says no, or says something else.
pub fn ask<T: DeserializeOwned>(path: &Path, request: &Request) -> Result<T, ControlError> {
    let mut stream = connect(path)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    match serde_json::from_str(&answer)? {
        Reply::Ok(answer) => Ok(answer),
        Reply::Error(why) => Err(ControlError::Refused(why)),
    }
}
