//! A mail server from an unpacked package, running in namespaces of its own.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};

use crate::place::Place;
use crate::process::{Ended, Process, run};
use crate::wait::until;

/// What the namespace's first process does; explained there.
const SCRIPT: &str = include_str!("namespace.sh");

/// Printed by the script when the mail server has ended.
const ENDED: &str = "xg-e2e: ended:";

/// Where the script puts what the mail server sees.
const VIEW: &str = "/run/xg-e2e/m";

/// What to run inside.
pub(crate) struct Inside<'a> {
    /// The package's folder in `target/mta`.
    pub(crate) package: &'a str,
    /// The host name that it sees.
    pub(crate) host: &'a str,
    /// Shell lines run before it, as root inside.
    pub(crate) first: &'a str,
    /// The mail server, in the foreground.
    pub(crate) command: &'a [&'a str],
}

/// A running mail server. All of it is killed when this goes.
pub(crate) struct Namespace {
    process: Process,
    /// While this is open the namespace lives. Only an option so that it can go first.
    hold: Option<ChildStdin>,
}

impl Namespace {
    /// Starts it, and waits until it accepts connections at `address`.
    pub(crate) fn start(place: &Place, inside: &Inside<'_>, address: SocketAddr) -> Self {
        let output = place.path(&format!("{}.out", inside.package));
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--uts", "--pid", "--fork", "--propagation", "private"])
            .args(["sh", "-c", SCRIPT, "namespace.sh"])
            .arg(unpacked(inside.package))
            .args([inside.host, inside.first])
            .args(inside.command)
            .stdin(Stdio::piped());
        let mut process = Process::start(&mut command, &output);
        let hold = process.take_stdin();
        until(&format!("{} at {address}", inside.package), || {
            let output = process.output();
            let ended = process.ended().is_some() || output.contains(ENDED);
            assert!(!ended, "{} ended before it listened:\n{output}", inside.package);
            TcpStream::connect(address).ok()
        });
        Self { process, hold }
    }

    /// All that the mail server has printed so far.
    pub(crate) fn output(&self) -> String {
        self.process.output()
    }
}

impl Namespace {
    /// Runs another program of the package to its end, beside the mail server.
    pub(crate) fn run(&self, command: &[&str]) -> Ended {
        let outside = self.process.id();
        let children = fs::read_to_string(format!("/proc/{outside}/task/{outside}/children"));
        let first = children.unwrap().trim().to_owned();
        let mut entered = Command::new("nsenter");
        entered.args(["--target", &first, "--mount", "--", "chroot", VIEW]).args(command);
        run(&mut entered)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.hold = None;
        // Not killed yet: `unshare` ends when the namespace has.
        if !std::thread::panicking() {
            self.process.wait();
        }
    }
}

/// The unpacked package of that name.
///
/// # Panics
/// When it is not there, or we are not root, with what to do about it.
pub(crate) fn unpacked(name: &str) -> PathBuf {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test runs a mail server in namespaces of its own and needs root"
    );
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let path = target.join("mta").join(name);
    assert!(
        path.is_dir(),
        "{} is missing: run `cargo xtask test --only mta` (as root)",
        path.display()
    );
    path
}
