//! Programs that the tests run: their output, how they ended, and that none outlives its test.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::until;

/// A running program. Killed when this goes; its output is in a file.
pub(crate) struct Process {
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts it with both outputs going to the end of the file `output`.
    pub(crate) fn start(command: &mut Command, output: &Path) -> Self {
        let out = File::options().create(true).append(true).open(output).unwrap();
        let err = out.try_clone().unwrap();
        let child = command
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { child, output: output.to_owned() }
    }

    /// The end of its standard input that we hold, where it was given one.
    pub(crate) fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has printed so far.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        until("a program to end", || self.ended())
    }

    /// Waits until something accepts connections at `address`.
    ///
    /// # Panics
    /// With the program's output when it ends before that.
    pub(crate) fn wait_for_listener(&mut self, address: SocketAddr) {
        until(&format!("a listener at {address}"), || {
            if let Some(status) = self.ended() {
                panic!("ended with {status} before it listened:\n{}", self.output());
            }
            TcpStream::connect(address).ok()
        });
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // Shown by the test runner for failed tests only.
            eprintln!("---- {} ----\n{}", self.output.display(), self.output());
        }
    }
}

/// What a program that ran to its end printed, and its exit code.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
}

/// Runs a program to its end, with no input.
pub(crate) fn run(command: &mut Command) -> Ended {
    let done = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert_eq!(done.status.signal(), None, "{command:?} was killed by a signal");
    let mut output = String::from_utf8_lossy(&done.stdout).into_owned();
    output.push_str(&String::from_utf8_lossy(&done.stderr));
    Ended { code: done.status.code(), output }
}
