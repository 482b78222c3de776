//! Where log lines go: a thread of its own that writes them out, so that a slow disk or a stuck
//! pipe never holds up a decision. The queue before it is bounded; what finds it full is thrown
//! away and counted.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use crate::metrics::{Event, Metrics};

/// Chunks of lines waiting to be written: 64 × 32 KiB = 2 MiB at most.
const CHUNKS: usize = 64;
/// How large a chunk may grow before it is handed over.
pub const CHUNK_BYTES: usize = 32 * 1024;
/// How long stopping waits for what is still in the queue.
const FLUSH_WAIT: Duration = Duration::from_secs(2);

/// What the writing thread is told.
enum Order {
    Lines(Vec<u8>),
    Reopen,
    Flush(SyncSender<()>),
}

/// A destination of log lines. Cheap to clone; all clones write to the same place.
#[derive(Clone, Debug)]
pub struct LogSink {
    orders: SyncSender<Order>,
    metrics: Arc<Metrics>,
}

/// Where the lines end up.
#[derive(Debug)]
enum Target {
    StandardError,
    File { path: PathBuf, file: File },
}

impl LogSink {
    /// To standard error.
    ///
    /// # Errors
    /// When the kernel gives no thread.
    pub fn standard_error(metrics: Arc<Metrics>) -> io::Result<Self> {
        Self::start(Target::StandardError, metrics)
    }

    /// To the end of a file, which is made (mode 0640) if it is not there.
    ///
    /// # Errors
    /// When the file can't be opened, or the kernel gives no thread.
    pub fn file(path: &Path, metrics: Arc<Metrics>) -> io::Result<Self> {
        Self::start(Target::File { path: path.to_owned(), file: open(path)? }, metrics)
    }

    fn start(mut target: Target, metrics: Arc<Metrics>) -> io::Result<Self> {
        let (orders, queue) = sync_channel(CHUNKS);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(&mut target, &queue))?;
        Ok(Self { orders, metrics })
    }

    /// Takes whole lines; throws them away when the queue is full.
    pub fn send(&self, lines: Vec<u8>) {
        if let Err(refused) = self.orders.try_send(Order::Lines(lines))
            && let std::sync::mpsc::TrySendError::Full(Order::Lines(lines)) = refused
        {
            for _ in lines.iter().filter(|&&byte| byte == b'\n') {
                self.metrics.outside().event(Event::LogLost);
            }
        }
    }

    /// Opens the file anew, under its name: after `logrotate` has moved the old one away.
    pub fn reopen(&self) {
        let _ = self.orders.try_send(Order::Reopen);
    }

    /// Waits until all that was sent is written, two seconds at most.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.orders.send(Order::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(FLUSH_WAIT);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

fn write_all(target: &mut Target, queue: &Receiver<Order>) {
    while let Ok(order) = queue.recv() {
        match order {
            // Nobody is left to be told that the log can't be written.
            Order::Lines(lines) => drop(target.write(&lines)),
            Order::Reopen => target.reopen(),
            Order::Flush(done) => drop(done.send(())),
        }
    }
}

impl Target {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::StandardError => io::stderr().lock().write_all(lines),
            Self::File { file, .. } => file.write_all(lines),
        }
    }

    /// Keeps the old file when the new one can't be opened: better there than nowhere.
    fn reopen(&mut self) {
        if let Self::File { path, file } = self
            && let Ok(anew) = open(path)
        {
            *file = anew;
        }
    }
}

/// For `tracing`: one line, one chunk.
impl Write for LogSink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.send(line.to_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_in_the_file_once_flushed_and_go_to_a_new_file_once_reopened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("decisions.log");
        let sink = LogSink::file(&path, Arc::new(Metrics::new(0))).unwrap();
        sink.send(b"first\n".to_vec());
        sink.flush();
        std::fs::rename(&path, dir.path().join("decisions.log.1")).unwrap();
        sink.reopen();
        sink.send(b"second\n".to_vec());
        sink.flush();
        assert_eq!(std::fs::read(dir.path().join("decisions.log.1")).unwrap(), b"first\n");
        assert_eq!(std::fs::read(&path).unwrap(), b"second\n");
    }
}
