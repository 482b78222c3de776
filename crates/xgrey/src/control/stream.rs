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
use crate::niceness::be_nice;

/// How long an admin may read nothing.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// When there is nothing to say, that much is said this often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// Items go out when there are so many bytes of them, or after so long.
const CHUNK_BYTES: usize = 16 * 1024;
const CHUNK_AGE: Duration = Duration::from_millis(100);
/// Chunks in the queue. With the one being written and the one being filled that is 100 KiB an admin.
const CHUNKS: usize = 4;

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

#[cfg(test)]
mod tests {
    use std::sync::mpsc as std_mpsc;

    use super::*;
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, DuplexStream};

    /// Runs `make` against a reader, in a time that passes at once when nothing happens.
    fn stream(
        pipe_bytes: usize,
        make: impl FnOnce(&mut Items) -> Result<u32, String> + Send + 'static,
        read: impl AsyncFnOnce(&mut BufReader<DuplexStream>) -> String,
    ) -> (io::Result<()>, String) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (mut ours, theirs) = tokio::io::duplex(pipe_bytes);
            let mut theirs = BufReader::new(theirs);
            let written = async {
                let written = write_items(&mut ours, make).await;
                drop(ours);
                written
            };
            tokio::join!(written, read(&mut theirs))
        })
    }

    async fn all(reader: &mut BufReader<DuplexStream>) -> String {
        let mut text = String::new();
        reader.read_to_string(&mut text).await.unwrap();
        text
    }

    #[test]
    fn items_come_in_order_and_then_the_end() {
        let (written, text) = stream(
            100,
            |items| {
                for number in 0..10_000 {
                    assert!(items.give(&number).is_continue());
                }
                Ok(7)
            },
            all,
        );
        written.unwrap();
        let mut expected: String =
            (0..10_000).map(|number| format!("{{\"item\":{number}}}\n")).collect();
        expected += "{\"ok\":7}\n";
        // When it had to wait for the thread, it said so.
        let lines = text.lines().filter(|line| !line.is_empty());
        assert!(lines.eq(expected.lines()), "{text:.200}");
    }

    #[test]
    fn a_failure_in_the_middle_is_said_after_what_came_before() {
        let (_, text) = stream(
            10_000,
            |items| {
                let _ = items.give(&1);
                Err("no more".to_owned())
            },
            all,
        );
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines, ["{\"item\":1}", "{\"error\":\"no more\"}"]);
    }

    #[test]
    fn whoever_reads_nothing_is_cut_off_and_the_thread_breaks_off() {
        let (ended, has_ended) = std_mpsc::channel();
        let make = move |items: &mut Items| {
            while items.give(&"an item").is_continue() {}
            assert!(items.look().is_break());
            ended.send(()).unwrap();
            Ok(0)
        };
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let (mut ours, _theirs) = tokio::io::duplex(100);
        let written = runtime.block_on(write_items(&mut ours, make));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        has_ended.recv().unwrap();
    }

    #[test]
    fn whoever_reads_slowly_is_not_cut_off() {
        const LINES: usize = 4_000;
        let (written, lines) = stream(
            100,
            |items| {
                for number in 0..LINES {
                    assert!(items.give(&number).is_continue());
                }
                Ok(0)
            },
            async |reader| {
                let (mut lines, mut line) = (0, String::new());
                while reader.read_line(&mut line).await.unwrap() > 0 {
                    lines += usize::from(line.starts_with("{\"item\""));
                    line.clear();
                    tokio::time::sleep(PATIENCE / 20).await;
                }
                lines.to_string()
            },
        );
        written.unwrap();
        assert_eq!(lines, LINES.to_string());
    }

    #[test]
    fn a_thread_with_nothing_to_say_is_heard_to_be_at_it_still() {
        let (go_on, may_go_on) = std_mpsc::channel();
        let (written, first) = stream(
            100,
            move |_| {
                may_go_on.recv().unwrap();
                Ok(0)
            },
            async |reader| {
                let mut line = String::new();
                reader.read_line(&mut line).await.unwrap();
                go_on.send(()).unwrap();
                all(reader).await;
                line
            },
        );
        written.unwrap();
        assert_eq!(first, "\n");
    }

    #[test]
    fn a_thread_that_panics_leaves_the_answer_without_an_end() {
        let (_, text) = stream(
            10_000,
            |items| {
                let _ = items.give(&1);
                let _ = items.send();
                panic!("as a test wants it");
            },
            all,
        );
        assert_eq!(text.trim(), "{\"item\":1}");
    }
}
