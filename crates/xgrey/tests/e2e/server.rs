//! The program under test, as its own process with a configuration and folders of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::Signal;
use xgrey::control::DiskStats;

use crate::place::Place;
use crate::process::{Ended, Process, run};
use crate::wait::until;

/// A running `xgrey serve`.
pub(crate) struct Server {
    process: Process,
    address: SocketAddr,
    config: PathBuf,
    home: Home,
}

/// Where a server keeps its files, and how it gets there.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    /// A command and its arguments that runs what follows them, such as `nsenter …`; or nothing.
    pub(crate) enter: Vec<String>,
    /// The program itself.
    pub(crate) program: PathBuf,
    /// The state directory.
    pub(crate) state: PathBuf,
    /// The runtime directory.
    pub(crate) runtime: PathBuf,
}

impl Home {
    /// In the test's own folder.
    pub(crate) fn of(place: &Place) -> Self {
        let program = env!("CARGO_BIN_EXE_xgrey").into();
        let (state, runtime) = (place.path("state"), place.path("run"));
        Self { enter: Vec::new(), program, state, runtime }
    }
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
        self.text_speaking("postfix", listener)
    }

    /// The same, for a listener that speaks that protocol.
    pub(crate) fn text_speaking(self, protocol: &str, listener: &str) -> String {
        let Self { keys, tables } = self;
        format!(
            "exempt_local = false\n{keys}\n\
             [[listen]]\nprotocol = \"{protocol}\"\naddress = \"{listener}\"\n{tables}\n"
        )
    }
}

impl Server {
    /// Starts it with that configuration at an address of its own, and waits until it listens.
    pub(crate) fn start(place: &Place, settings: Settings<'_>) -> Self {
        Self::start_at(place, Home::of(place), settings)
    }

    /// The same, with its files elsewhere.
    pub(crate) fn start_at(place: &Place, home: Home, settings: Settings<'_>) -> Self {
        let address = Place::address();
        let config = place.write("xgrey.toml", &settings.text(&address.to_string()));
        Self::start_with(place, config, address, home)
    }

    /// Starts it with a listener that speaks that protocol, and waits until it listens.
    pub(crate) fn start_speaking(place: &Place, protocol: &str, settings: Settings<'_>) -> Self {
        let address = Place::address();
        let text = settings.text_speaking(protocol, &address.to_string());
        let config = place.write("xgrey.toml", &text);
        Self::start_with(place, config, address, Home::of(place))
    }

    /// Starts it with that file, which makes it listen at that address, and waits until it does.
    fn start_with(place: &Place, config: PathBuf, address: SocketAddr, home: Home) -> Self {
        let mut process = Process::start(&mut serve(&config, &home), &place.path("xgrey.out"));
        process.wait_for_listener(address);
        Self { process, address, config, home }
    }

    /// Starts it without waiting for anything, with these variables in its environment.
    pub(crate) fn launch(place: &Place, config: &Path, variables: &[(&str, &str)]) -> Process {
        let mut command = serve(config, &Home::of(place));
        command.envs(variables.iter().copied());
        Process::start(&mut command, &place.path("xgrey.out"))
    }

    /// Starts it again, after it was stopped: the same configuration, address and folders.
    pub(crate) fn start_again(self, place: &Place) -> Self {
        Self::start_with(place, self.config, self.address, self.home)
    }

    /// Runs it again after it was stopped or killed, for a start that must be refused.
    pub(crate) fn refuse_again(self, place: &Place) -> Ended {
        run_to_its_end(place, &self.config, &self.home)
    }

    /// The same, with its files where they were, but from another `home`.
    pub(crate) fn refuse_again_from(self, place: &Place, home: Home) -> Ended {
        Self { home, ..self }.refuse_again(place)
    }

    /// Kills it (SIGKILL), and starts it again.
    pub(crate) fn killed_and_started_again(mut self, place: &Place) -> Self {
        self.process.signal(Signal::KILL);
        self.wait();
        self.start_again(place)
    }

    /// Runs it with these folders, for a start that must be refused.
    pub(crate) fn run_refused(place: &Place, config: &Path, state: &str, runtime: &str) -> Ended {
        let (state, runtime) = (place.path(state), place.path(runtime));
        run_to_its_end(place, config, &Home { state, runtime, ..Home::of(place) })
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

    /// Kills it, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.process.signal(Signal::KILL);
        self.wait();
    }

    /// Its control socket.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.home.runtime.join("control.sock")
    }

    /// `xgrey ctl` with these words.
    pub(crate) fn ctl_command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xgrey"));
        command.arg("ctl").arg("--control").arg(self.control_socket()).args(words);
        command
    }

    /// What `xgrey ctl` with these words prints, which must end well.
    pub(crate) fn ctl(&self, words: &[&str]) -> String {
        let ended = run(&mut self.ctl_command(words));
        assert_eq!(ended.code, Some(0), "{words:?}: {}", ended.output);
        ended.output
    }

    /// What `xgrey ctl stats` says of what outlives the process.
    pub(crate) fn disk_stats(&self) -> DiskStats {
        serde_json::from_value(self.stats()["disk"].take()).unwrap()
    }

    /// What `xgrey ctl stats` says, as JSON.
    pub(crate) fn stats(&self) -> serde_json::Value {
        serde_json::from_str(&self.ctl(&["stats", "--json"])).unwrap()
    }

    /// What the control socket answers in one line.
    pub(crate) fn control(&self, request: &serde_json::Value) -> serde_json::Value {
        let mut stream = UnixStream::connect(self.home.runtime.join("control.sock")).unwrap();
        writeln!(stream, "{request}").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Has the kernel stop it in its tracks, until [`Self::go_on`].
    pub(crate) fn hold(&self) {
        self.process.signal(Signal::STOP);
        // The signal reaches each thread when the kernel next looks at it.
        let tasks = format!("/proc/{}/task", self.id());
        until("all threads to be held", || {
            let mut tasks = std::fs::read_dir(&tasks).ok()?;
            let is_held =
                |stat: String| stat.rsplit_once(") ").is_some_and(|(_, s)| s.starts_with('T'));
            let held = tasks.all(|task| {
                let stat = task.and_then(|task| std::fs::read_to_string(task.path().join("stat")));
                stat.is_ok_and(is_held)
            });
            held.then_some(())
        });
    }

    /// Lets it go on after [`Self::hold`].
    pub(crate) fn go_on(&self) {
        self.process.signal(Signal::CONT);
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

/// Runs it to its end.
fn run_to_its_end(place: &Place, config: &Path, home: &Home) -> Ended {
    let mut process = Process::start(&mut serve(config, home), &place.path("refused.out"));
    Ended { code: process.wait().code(), output: process.output() }
}

/// `xgrey serve` with those folders, and nothing of this process's surroundings that it heeds.
fn serve(config: &Path, home: &Home) -> Command {
    // setpriv: should the test die by SIGKILL, so does it.
    let last = ["setpriv", "--pdeathsig", "KILL"];
    let mut words = home.enter.iter().map(String::as_str).chain(last);
    let mut command = Command::new(words.next().unwrap());
    command
        .args(words)
        .arg(&home.program)
        .args(["serve", "--config"])
        .arg(config)
        .arg("--state")
        .arg(&home.state)
        .arg("--runtime")
        .arg(&home.runtime)
        .stdin(Stdio::null())
        .env_remove("NOTIFY_SOCKET")
        .env_remove("STATE_DIRECTORY")
        .env_remove("RUNTIME_DIRECTORY");
    command
}
