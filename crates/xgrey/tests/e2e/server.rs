//! The program under test, as its own process with a configuration and folders of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::Signal;

use crate::place::Place;
use crate::process::{Ended, Process};
use crate::wait::until;

/// A running `xgrey serve`.
pub(crate) struct Server {
    process: Process,
    address: SocketAddr,
    config: PathBuf,
}

/// What a test wants of the configuration beyond a listener and `exempt_local = false` (the
/// clients of these tests are on this host).
#[derive(Clone, Copy)]
pub(crate) struct Settings<'a> {
    /// Top-level keys, such as `embargo = "2s"`.
    pub(crate) keys: &'a str,
    /// Tables, such as `[rules.client]`.
    pub(crate) tables: &'a str,
}

impl Settings<'_> {
    /// The whole configuration, for a listener at that address (`127.0.0.1:10023`,
    /// `unix:/path`).
    pub(crate) fn text(self, listener: &str) -> String {
        let Self { keys, tables } = self;
        format!(
            "exempt_local = false\n{keys}\n\
             [[listen]]\nprotocol = \"postfix\"\naddress = \"{listener}\"\n{tables}\n"
        )
    }
}

impl Server {
    /// Starts it with that configuration at an address of its own, and waits until it listens.
    pub(crate) fn start(place: &Place, settings: Settings<'_>) -> Self {
        let address = Place::address();
        let config = place.write("xgrey.toml", &settings.text(&address.to_string()));
        Self::start_with(place, &config, address)
    }

    /// Starts it with that file, which makes it listen at that address, and waits until it does.
    pub(crate) fn start_with(place: &Place, config: &Path, address: SocketAddr) -> Self {
        let mut process = Self::launch(place, config, &[]);
        process.wait_for_listener(address);
        Self { process, address, config: config.to_owned() }
    }

    /// Starts it without waiting for anything, with these variables in its environment.
    pub(crate) fn launch(place: &Place, config: &Path, variables: &[(&str, &str)]) -> Process {
        let mut command = serve(config, &place.path("state"), &place.path("run"));
        command.envs(variables.iter().copied());
        Process::start(&mut command, &place.path("xgrey.out"))
    }

    /// Starts it again, after it was stopped: the same configuration, address and folders.
    pub(crate) fn start_again(self, place: &Place) -> Self {
        Self::start_with(place, &self.config, self.address)
    }

    /// Kills it (SIGKILL), and starts it again.
    pub(crate) fn killed_and_started_again(mut self, place: &Place) -> Self {
        self.process.signal(Signal::KILL);
        self.wait();
        self.start_again(place)
    }

    /// Runs it with these folders, for a start that must be refused.
    pub(crate) fn run_refused(place: &Place, config: &Path, state: &str, runtime: &str) -> Ended {
        let mut command = serve(config, &place.path(state), &place.path(runtime));
        let mut process = Process::start(&mut command, &place.path("refused.out"));
        Ended { code: process.wait().code(), output: process.output() }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as Postfix writes it.
    pub(crate) fn policy(&self) -> String {
        format!("inet:{}", self.address)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// All that it has said so far.
    pub(crate) fn output(&self) -> String {
        self.process.output()
    }

    /// Waits until it has said something with `needle` in it, `count` times in all.
    pub(crate) fn wait_for_output(&self, needle: &str, count: usize) {
        until(&format!("{needle:?} in what xgrey says"), || {
            (self.output().matches(needle).count() >= count).then_some(())
        });
    }

    /// Takes another configuration, as an admin does: writes the file, sends SIGHUP.
    pub(crate) fn reload(&self, config: &str) {
        std::fs::write(&self.config, config).unwrap();
        self.process.signal(Signal::HUP);
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// Sends SIGTERM and waits until it has ended, which must be well.
    pub(crate) fn stop(&mut self) {
        self.terminate();
        let status = self.wait();
        assert!(status.success(), "ended with {status}:\n{}", self.output());
    }
}

/// `xgrey serve` with those folders, and nothing of this process's surroundings that it heeds.
fn serve(config: &Path, state: &Path, runtime: &Path) -> Command {
    // setpriv: should the test die by SIGKILL, so does it.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_xgrey"), "serve", "--config"])
        .arg(config)
        .arg("--state")
        .arg(state)
        .arg("--runtime")
        .arg(runtime)
        .stdin(Stdio::null())
        .env_remove("NOTIFY_SOCKET")
        .env_remove("STATE_DIRECTORY")
        .env_remove("RUNTIME_DIRECTORY");
    command
}
