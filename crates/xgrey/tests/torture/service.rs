//! `xgrey serve` of the same build, as its own process: started, awaited, killed.
//!
//! Never knows: tuples, answers.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use fastrand::Rng;
use rustix::event::{PollFd, PollFlags};

use crate::clock;
use crate::knowledge::EMBARGO;

/// How long a start may take, whatever the machine does besides.
const START_MAX: Duration = Duration::from_secs(60);

/// Whether the service is to remember what it was killed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Journal {
    Kept,
    /// So that there is something to be found.
    NotKept,
}

/// When what was written is made safe from a power cut: the configuration's `sync`. A kill may make
/// no difference between them, but they have answers wait for different things.
const SYNCS: [&str; 4] = ["1s", "1s", "always", "never"];

/// The folders of a campaign, and how its service is configured.
#[derive(Debug)]
pub(crate) struct Place {
    folder: PathBuf,
    journal: Journal,
    /// Where the service says that it is ready, as to systemd.
    notify: UnixDatagram,
}

/// A running service.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    output: PathBuf,
    /// When it was started, after boot.
    pub(crate) started: Duration,
}

impl Place {
    pub(crate) fn new(folder: &Path, journal: Journal) -> Self {
        let notify = UnixDatagram::bind(folder.join("notify.sock")).unwrap();
        notify.set_nonblocking(true).unwrap();
        Self { folder: folder.to_owned(), journal, notify }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where the service listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("policy.sock")
    }

    /// Where it keeps what it remembers.
    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    fn configuration(&self, sync: &str) -> String {
        let listener = self.socket();
        format!(
            // White times then count whole seconds, so that nearly each use of a white tuple is a
            // change for the journal: at the default of 36 days it would be one a minute.
            "embargo = \"{EMBARGO}s\"\nwindow = \"6h\"\nlifetime = \"12h\"\n\
             memory = \"256MiB\"\nexempt_local = false\n\
             [[listen]]\naddress = \"unix:{}\"\n\
             [store]\njournal = {}\nsync = \"{sync}\"\n\
             # The least, so that rotations and snapshots happen all the time.\n\
             segment_bytes = \"1MiB\"\nsnapshot_after = \"1MiB\"\n\
             [reply]\n\
             # What connection.rs reads.\n\
             defer_text = \"wait {{wait_seconds}}\"\nheader = \"waited {{wait_seconds}}\"\n\
             [log]\ndecisions = false\n",
            listener.display(),
            self.journal == Journal::Kept,
        )
    }

    /// Starts the service, configured one way or another, and waits for nothing.
    pub(crate) fn start(&self, rng: &mut Rng) -> Service {
        let sync = SYNCS[rng.usize(..SYNCS.len())];
        fs::write(self.path("xgrey.toml"), self.configuration(sync)).unwrap();
        // What its predecessor said before it was killed must not count.
        while self.hears() {}
        let output = self.path("xgrey.out");
        let out = File::options().create(true).append(true).open(&output).unwrap();
        // setpriv: should we die by SIGKILL ourselves, so does the service.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_xgrey"), "serve", "--config"])
            .arg(self.path("xgrey.toml"))
            .arg("--state")
            .arg(self.state())
            .arg("--runtime")
            .arg(self.path("run"))
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .env("NOTIFY_SOCKET", self.path("notify.sock"))
            .env_remove("STATE_DIRECTORY")
            .env_remove("RUNTIME_DIRECTORY");
        let started = clock::boot();
        let child =
            command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Service { child, output, started }
    }

    /// Waits until `service` is ready; at longest until that moment after boot. Says whether it is.
    ///
    /// # Panics
    /// When it ends by itself.
    pub(crate) fn is_ready_by(&self, service: &mut Service, moment: Duration) -> bool {
        loop {
            service.assert_runs();
            let now = clock::boot();
            if now >= moment {
                return self.hears_ready();
            }
            // It may also end without a word: look at it now and then.
            let look = moment.min(now + Duration::from_millis(200));
            let mut fds = [PollFd::new(&self.notify, PollFlags::IN)];
            if clock::ready_by(&mut fds, look) && self.hears_ready() {
                return true;
            }
        }
    }

    /// Waits until `service` is ready, and says how long after its start that was.
    ///
    /// # Panics
    /// When it ends by itself, or is not ready after a minute.
    pub(crate) fn wait_until_ready(&self, service: &mut Service) -> Duration {
        let ready = self.is_ready_by(service, service.started + START_MAX);
        assert!(ready, "not ready after {START_MAX:?}:\n{}", service.said());
        clock::boot() - service.started
    }

    fn hears_ready(&self) -> bool {
        let mut message = [0; 4_096];
        while let Ok(count) = self.notify.recv(&mut message) {
            if message[..count].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return true;
            }
        }
        false
    }

    fn hears(&self) -> bool {
        match self.notify.recv(&mut [0; 1]) {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("the notify socket: {error}"),
        }
    }
}

impl Service {
    /// Kills it, and returns when it is gone. Says how long it lived.
    pub(crate) fn kill(mut self) -> Duration {
        self.assert_runs();
        self.child.kill().unwrap();
        let lived = clock::boot() - self.started;
        self.child.wait().unwrap();
        lived
    }

    /// # Panics
    /// When it has ended by itself, with what it said last.
    pub(crate) fn assert_runs(&mut self) {
        if let Some(status) = self.ended() {
            panic!("the service has ended by itself, {status}:\n{}", self.said());
        }
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// The end of what it has said.
    pub(crate) fn said(&self) -> String {
        let text = fs::read(&self.output).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(8_000)..]).into_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Gone already, unless a check has failed meanwhile.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
