//! Answers of many lines: made by a thread of their own, written as fast as the admin reads.
//!
//! ```text
//! {"item":{"id":"2a5…","state":"grey", …}}⏎
//! {"item":{"id":"01c…","state":"white", …}}⏎
//! ⏎                                             nothing new, but still at it
//! {"ok":{"known":1234, …}}⏎                     or {"error":"…"}⏎; without either it was cut off
//! ```
//! Between the two is a short queue: a slow reader slows down the thread, and nobody else. Whoever
//! reads nothing for too long is cut off.
//!
//! Never knows: what the items are.

use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::Reply;
use crate::clock;

/// How long an admin may read nothing.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// When there is nothing to say, that much is said this often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// Items go out when there are so many bytes of them, or after so long.
const CHUNK_BYTES: usize = 16 * 1024;
const CHUNK_AGE: Duration = Duration::from_millis(100);
/// Chunks in the queue. With the one being written and the one being filled that is 100 KiB an admin.
const CHUNKS: usize = 4;
/// Making an answer yields to deciding about mail: under load, about a tenth of a core.
const NICE: i32 = 10;

/// Where a thread puts its items.
#[derive(Debug)]
pub struct Items {
    chunk: Vec<u8>,
    /// When the last chunk was sent, on the boot clock.
    sent: Duration,
    chunks: mpsc::Sender<Vec<u8>>,
}

#[derive(Serialize)]
struct Line<'a, T> {
    item: &'a T,
}

/// One item, as a line.
pub(super) fn as_item(item: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&Line { item })?;
    line.push(b'\n');
    Ok(line)
}

/// Makes the calling thread yield to those that decide about mail. Not to be nicer is no reason to
/// refuse.
pub(super) fn be_nice() {
    // On Linux this is about the calling thread alone.
    let _ = rustix::process::setpriority_process(None, NICE);
}

impl Items {
    /// Adds an item. Waits while the admin does not read. Breaks off when he has gone.
    pub fn give<T: Serialize>(&mut self, item: &T) -> ControlFlow<()> {
        self.line(&Line { item })?;
        if self.chunk.len() >= CHUNK_BYTES { self.send() } else { ControlFlow::Continue(()) }
    }

    /// To be called between items, a few times a second at least: sends what has waited for long
    /// enough. Breaks off when nobody reads any more.
    pub fn look(&mut self) -> ControlFlow<()> {
        if self.chunks.is_closed() {
            return ControlFlow::Break(());
        }
        let is_old = clock::boot().saturating_sub(self.sent) >= CHUNK_AGE;
        if is_old && !self.chunk.is_empty() { self.send() } else { ControlFlow::Continue(()) }
    }

    fn line(&mut self, line: &impl Serialize) -> ControlFlow<()> {
        match serde_json::to_writer(&mut self.chunk, line) {
            Ok(()) => self.chunk.push(b'\n'),
            Err(error) => {
                tracing::error!(target: "control", %error, "an answer can't be written as JSON");
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn send(&mut self) -> ControlFlow<()> {
        self.sent = clock::boot();
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_BYTES + 1024));
        match self.chunks.blocking_send(chunk) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    fn finish<T: Serialize>(mut self, end: Result<T, String>) {
        let reply = match end {
            Ok(end) => Reply::Ok(end),
            Err(why) => Reply::Error(why),
        };
        if self.line(&reply).is_continue() {
            // Whether he still hears it changes nothing.
            let _ = self.send();
        }
    }
}

/// Runs `make` in a thread of its own, and writes its items and what it ends with. `make` should end
/// soon after its [`Items`] tell it to break off; what it says then nobody hears.
///
/// # Errors
/// When the admin has gone, or does not read.
pub async fn write_items<T: Serialize>(
    out: &mut (impl AsyncWrite + Unpin),
    make: impl FnOnce(&mut Items) -> Result<T, String> + Send + 'static,
) -> io::Result<()> {
    let (chunks, mut queue) = mpsc::channel(CHUNKS);
    let mut items = Items { chunk: Vec::new(), sent: Duration::ZERO, chunks };
    std::thread::Builder::new().name("control".to_owned()).spawn(move || {
        be_nice();
        let end = make(&mut items);
        items.finish(end);
    })?;
    loop {
        match tokio::time::timeout(SIGN_OF_LIFE, queue.recv()).await {
            Ok(Some(chunk)) => write_patiently(out, &chunk).await?,
            Ok(None) => return Ok(()),
            Err(_) => write_patiently(out, b"\n").await?,
        }
    }
}

/// Writes all of `bytes`, however slowly they are read.
///
/// # Errors
/// When none of them is read for [`PATIENCE`], or the admin has gone.
pub(super) async fn write_patiently(
    out: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
) -> io::Result<()> {
    while !bytes.is_empty() {
        match tokio::time::timeout(PATIENCE, out.write(bytes)).await {
            Ok(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(Ok(written)) => bytes = &bytes[written..],
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the admin reads nothing"));
            }
        }
    }
    Ok(())
}
