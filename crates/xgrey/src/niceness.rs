//! Who yields to whom when there are too few cores: whatever can wait, to those that decide.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::clock;

/// Under load, about a tenth of a core.
const NICE: i32 = 10;

/// Work of less than this is not worth a rest.
const PIECE: Duration = Duration::from_micros(100);
/// How many times as long as a piece of work the rest after it takes: the work then has a quarter
/// of a core, and takes it in pieces that a request hardly notices.
const REST: u32 = 3;
/// The longest rest.
const REST_MAX: Duration = Duration::from_millis(20);

/// Makes the calling thread yield to those that decide about mail. Not to be nicer is no reason to
/// refuse.
pub fn be_nice() {
    // On Linux this is about the calling thread alone.
    let _ = rustix::process::setpriority_process(None, NICE);
}

/// Rests between the pieces of a long piece of work.
///
/// To be nice alone is not enough: on one core the kernel lets even the nicest thread finish its
/// turn of some milliseconds before one that has just got a request may have its own.
#[derive(Debug)]
pub struct Breather<'a> {
    /// Tells of the end, which ends a rest.
    stopped: &'a Receiver<()>,
    /// Processor time of this thread when the last rest was over.
    rested_at: Duration,
}

impl<'a> Breather<'a> {
    /// For the calling thread, from now on, until `stopped` is told or left alone.
    pub fn new(stopped: &'a Receiver<()>) -> Self {
        Self { stopped, rested_at: clock::thread_cpu() }
    }

    /// Rests, if enough was done since it last did; says whether to go on.
    pub fn breathe(&mut self) -> ControlFlow<()> {
        let worked = clock::thread_cpu().saturating_sub(self.rested_at);
        if worked < PIECE {
            return ControlFlow::Continue(());
        }
        let end = self.stopped.recv_timeout((worked * REST).min(REST_MAX));
        self.rested_at = clock::thread_cpu();
        match end {
            Err(RecvTimeoutError::Timeout) => ControlFlow::Continue(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => ControlFlow::Break(()),
        }
    }
}
