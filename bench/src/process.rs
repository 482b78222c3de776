//! Other processes: started, bound to a CPU, asked for their CPU time and memory, and stopped.
//! Source: proc_pid_stat(5), proc_pid_status(5); the kernel's scheduler/sched-stats for `schedstat`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::clock;

/// How long a server may take until it answers.
const START_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a server may take to end after SIGTERM.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);
/// How much of a dead server's output is shown.
const OUTPUT_SHOWN_BYTES: usize = 2000;

/// A running process and the processes it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(u32);

/// The time that each thread of a process had used up to one moment, by thread id.
pub(crate) type CpuTimes = BTreeMap<u32, Used>;

/// Time that a thread, or a process, has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// On a CPU, in nanoseconds.
    pub(crate) ran_ns: u64,
    /// Ready to run while its CPU did other work, in nanoseconds; zero where that isn't known.
    pub(crate) waited_ns: u64,
}

impl Process {
    /// The process with this number.
    pub(crate) fn new(id: u32) -> Self {
        Self(id)
    }

    /// This process.
    pub(crate) fn current() -> Self {
        Self(std::process::id())
    }

    /// What it calls itself, such as `postgrey`: at most 15 bytes. Some add arguments; those are
    /// left out.
    pub(crate) fn name(self) -> Option<String> {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.0)).ok()?;
        name.split_ascii_whitespace().next().map(str::to_owned)
    }

    /// Stops it where it is, and waits until it has stopped.
    ///
    /// # Errors
    /// When it has ended, or belongs to someone else.
    pub(crate) fn hold(self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)?;
        let is_held = || {
            let line = fs::read_to_string(format!("/proc/{}/stat", self.0))?;
            let state = line.rsplit_once(") ").and_then(|(_, fields)| fields.chars().next());
            anyhow::Ok(state == Some('T'))
        };
        while !is_held()? {
            clock::wait(clock::LOOK_AGAIN);
        }
        Ok(())
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// As [`Process::hold`].
    pub(crate) fn go_on(self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(self, signal: Signal) -> anyhow::Result<()> {
        let id = i32::try_from(self.0).ok().and_then(Pid::from_raw).context("a process id")?;
        kill_process(id, signal).with_context(|| format!("send a signal to process {}", self.0))
    }

    /// Memory that is resident, in bytes, of it and what it started.
    pub(crate) fn resident_bytes(self) -> Option<u64> {
        let of = |process: u32| {
            let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kib * 1024)
        };
        self.family().into_iter().map(of).sum()
    }

    /// The time that each of its threads, and of what it started, has used. From `schedstat`, which
    /// counts nanoseconds; from `stat`, which counts ticks of 10 ms, where the kernel has no
    /// `schedstat`.
    pub(crate) fn cpu_times(self) -> CpuTimes {
        times_of(self.family().into_iter().flat_map(threads_of))
    }

    /// The same without what it started.
    pub(crate) fn own_cpu_times(self) -> CpuTimes {
        times_of(threads_of(self.0))
    }

    /// Binds all its threads to one CPU.
    ///
    /// # Errors
    /// When it has ended, when it belongs to someone else, or when there is no such CPU for it.
    pub(crate) fn pin(self, cpu: usize) -> anyhow::Result<Pinned> {
        let mut pinned = Pinned(Vec::new());
        for thread in self.family().into_iter().flat_map(threads_of).filter_map(|path| id_of(&path))
        {
            let id = Pid::from_raw(i32::try_from(thread)?);
            let before = sched_getaffinity(id)?;
            sched_setaffinity(id, &only(cpu))
                .with_context(|| format!("bind process {} to CPU {cpu}", self.0))?;
            pinned.0.extend(id.map(|id| (id, before)));
        }
        if pinned.0.is_empty() {
            bail!("there is no process {}", self.0);
        }
        Ok(pinned)
    }

    /// It and everything it started, as process ids.
    fn family(self) -> Vec<u32> {
        let mut family = vec![self.0];
        let mut at = 0;
        while let Some(&process) = family.get(at) {
            for thread in threads_of(process) {
                let children = fs::read_to_string(thread.join("children")).unwrap_or_default();
                family.extend(
                    children.split_ascii_whitespace().filter_map(|id| id.parse::<u32>().ok()),
                );
            }
            at += 1;
        }
        family
    }
}

fn times_of(threads: impl IntoIterator<Item = PathBuf>) -> CpuTimes {
    threads.into_iter().filter_map(|path| Some((id_of(&path)?, time_used(&path)?))).collect()
}

/// Time used between two looks. A thread that ended in between counts no more.
pub(crate) fn used_between(before: &CpuTimes, after: &CpuTimes) -> Option<Used> {
    if after.is_empty() {
        return None;
    }
    let mut sum = Used::default();
    for (thread, after) in after {
        let before = before.get(thread).copied().unwrap_or_default();
        sum.ran_ns += after.ran_ns.saturating_sub(before.ran_ns);
        sum.waited_ns += after.waited_ns.saturating_sub(before.waited_ns);
    }
    Some(sum)
}

/// The folders of a process's threads.
fn threads_of(process: u32) -> Vec<PathBuf> {
    let folder = fs::read_dir(format!("/proc/{process}/task"));
    folder.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn id_of(thread: &std::path::Path) -> Option<u32> {
    thread.file_name()?.to_str()?.parse().ok()
}

fn time_used(thread: &std::path::Path) -> Option<Used> {
    if let Ok(text) = fs::read_to_string(thread.join("schedstat")) {
        let mut numbers = text.split_ascii_whitespace().map(str::parse::<u64>);
        let (ran_ns, waited_ns) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        return Some(Used { ran_ns, waited_ns });
    }
    let ticks = ticks_in_stat(&fs::read_to_string(thread.join("stat")).ok()?)?;
    let ran_ns = ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second();
    Some(Used { ran_ns, waited_ns: 0 })
}

/// User and system time, in ticks: fields 14 and 15 of a line of `stat`.
fn ticks_in_stat(line: &str) -> Option<u64> {
    // The name, in brackets, may itself hold spaces and brackets; field 3 follows the last one.
    let (_, fields) = line.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(14 - 3).map(str::parse::<u64>);
    Some(times.next()?.ok()? + times.next()?.ok()?)
}

fn only(cpu: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(cpu);
    set
}

/// Binds this thread, and those that it will start, to one CPU.
///
/// # Errors
/// When this machine, or this process's share of it, has no such CPU.
pub(crate) fn pin_this_thread(cpu: usize) -> anyhow::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        bail!("there is no CPU {cpu}");
    }
    sched_setaffinity(None, &only(cpu))
        .with_context(|| format!("CPU {cpu} is not there, or not for this process"))
}

/// Threads of someone else's process that were bound to a CPU; let go again when dropped.
#[derive(Debug)]
pub(crate) struct Pinned(Vec<(Pid, CpuSet)>);

impl Drop for Pinned {
    fn drop(&mut self) {
        for (thread, before) in &self.0 {
            // It may have ended.
            let _ = sched_setaffinity(Some(*thread), before);
        }
    }
}

/// How a command is started on one CPU.
#[derive(Debug, clap::Args)]
pub(crate) struct LaunchOptions {
    /// The CPU that the command and all its threads run on
    #[arg(long)]
    cpu: usize,
    /// The command and its arguments
    #[arg(required = true, last = true)]
    command: Vec<std::ffi::OsString>,
}

/// Becomes the command, bound to a CPU from its first instruction on and ended with its parent:
/// binding it after its start would miss threads, and a killed bench would leave it running.
pub(crate) fn launch(options: &LaunchOptions) -> anyhow::Result<()> {
    pin_this_thread(options.cpu)?;
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let [program, arguments @ ..] = options.command.as_slice() else { bail!("no command") };
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("start {}", program.display()))
}

/// A server that was started here; stopped when dropped.
#[derive(Debug)]
pub(crate) struct Started {
    child: Child,
    address: SocketAddr,
    /// What it printed.
    output: PathBuf,
}

/// A port of 127.0.0.1 that nobody listens on just now.
pub(crate) fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Whether a server at this address is ready to be asked.
pub(crate) type Probe = fn(SocketAddr) -> bool;

/// A server that streams come to is ready when it takes a connection.
pub(crate) fn takes_connections(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, clock::LOOK_AGAIN).is_ok()
}

impl Started {
    /// Starts the null server on one CPU; its socket is made here and handed to it.
    pub(crate) fn null(cpu: usize, output: PathBuf) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        Self::with_socket(cpu, "null", listener.into(), address, takes_connections, output)
    }

    /// Starts the null milter likewise.
    pub(crate) fn null_milter(cpu: usize, output: PathBuf) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        Self::with_socket(cpu, "null-milter", listener.into(), address, takes_connections, output)
    }

    /// Starts the null server of X-Grey's protocol likewise.
    pub(crate) fn null_x_grey(cpu: usize, probe: Probe, output: PathBuf) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let address = socket.local_addr()?;
        Self::with_socket(cpu, "null-x-grey", socket.into(), address, probe, output)
    }

    /// Starts the null responder of greylistd's protocol likewise, at a UNIX socket.
    pub(crate) fn null_greylistd(cpu: usize, path: &Path, output: PathBuf) -> anyhow::Result<Self> {
        let listener = UnixListener::bind(path)?;
        // It listens from here on: there is no port, and nothing to wait for.
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::with_socket(cpu, "null-greylistd", listener.into(), nowhere, |_| true, output)
    }

    /// Starts the null responder of HTTP likewise.
    pub(crate) fn null_http(cpu: usize, output: PathBuf) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        Self::with_socket(cpu, "null-http", listener.into(), address, takes_connections, output)
    }

    fn with_socket(
        cpu: usize,
        subcommand: &str,
        socket: OwnedFd,
        address: SocketAddr,
        probe: Probe,
        output: PathBuf,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let mut launch = launch_command(cpu, &[program.as_os_str(), subcommand.as_ref()])?;
        launch.stdin(socket);
        Self::start(launch, address, probe, output)
    }

    /// Starts a command on one CPU and waits until `probe` finds it ready on `address`. What it
    /// prints goes to the file `output`.
    pub(crate) fn command(
        cpu: usize,
        command: &[&std::ffi::OsStr],
        address: SocketAddr,
        probe: Probe,
        output: PathBuf,
    ) -> anyhow::Result<Self> {
        let mut launch = launch_command(cpu, command)?;
        launch.stdin(Stdio::null());
        Self::start(launch, address, probe, output)
    }

    /// The same for a line that a shell reads, with the port to listen on in place of `{port}`.
    pub(crate) fn line(
        cpu: usize,
        line: &str,
        probe: Probe,
        output: PathBuf,
    ) -> anyhow::Result<Self> {
        let port = free_port()?;
        let line = format!("exec {}", line.replace("{port}", &port.to_string()));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let command = ["sh".as_ref(), "-c".as_ref(), line.as_ref()];
        Self::command(cpu, &command, address, probe, output)
    }

    fn start(
        mut command: Command,
        address: SocketAddr,
        probe: Probe,
        output: PathBuf,
    ) -> anyhow::Result<Self> {
        let file = File::create(&output)?;
        command.stdout(file.try_clone()?).stderr(file);
        let child = command.spawn()?;
        let mut started = Self { child, address, output };
        let begin = clock::now();
        while !probe(address) {
            started.check()?;
            if clock::now() - begin > START_TIME_MAX {
                bail!(
                    "nobody listens on {address} after {} seconds; the command printed: {}",
                    START_TIME_MAX.as_secs(),
                    started.printed()
                );
            }
            clock::wait(clock::LOOK_AGAIN);
        }
        started.check()?;
        Ok(started)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process.
    pub(crate) fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// Fails if it has ended.
    ///
    /// # Errors
    /// When it has, with what it printed last.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the server has ended, {status}; it printed: {}", self.printed()),
        }
    }

    fn printed(&self) -> String {
        let text = fs::read(&self.output).unwrap_or_default();
        let from = text.len().saturating_sub(OUTPUT_SHOWN_BYTES);
        let shown = String::from_utf8_lossy(&text[from..]).trim().to_owned();
        if shown.is_empty() { "nothing".to_owned() } else { shown }
    }

    fn stop(&mut self) -> std::io::Result<ExitStatus> {
        if let Some(id) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(id, Signal::TERM);
        }
        let begin = clock::now();
        while clock::now() - begin < STOP_TIME_MAX {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            clock::wait(clock::LOOK_AGAIN);
        }
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Nobody is left to tell, and its parent's end ends it anyway.
        let _ = self.stop();
    }
}

fn launch_command(cpu: usize, command: &[&std::ffi::OsStr]) -> anyhow::Result<Command> {
    let mut launch = Command::new(std::env::current_exe()?);
    launch.args(["launch", "--cpu", &cpu.to_string(), "--"]).args(command);
    Ok(launch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_a_line_of_stat_are_found_behind_any_name() {
        let line = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 700 35 0 0 20 0 1 0 5 0 0";
        assert_eq!(ticks_in_stat(line), Some(735));
        assert_eq!(ticks_in_stat("42 (short) S 1"), None);
        assert_eq!(ticks_in_stat(""), None);
    }

    #[test]
    fn time_used_is_that_of_threads_which_are_still_there() {
        let times = |of: &[(u32, u64)]| -> CpuTimes {
            of.iter().map(|&(id, ns)| (id, Used { ran_ns: ns, waited_ns: ns / 10 })).collect()
        };
        let before = times(&[(1, 100), (2, 5_000)]);
        let used = used_between(&before, &times(&[(1, 400), (3, 50)]));
        assert_eq!(used, Some(Used { ran_ns: 350, waited_ns: 35 }));
        assert_eq!(used_between(&before, &before), Some(Used::default()));
        assert_eq!(used_between(&before, &times(&[])), None);
    }

    #[test]
    fn this_process_has_a_name_memory_cpu_time_and_children() {
        let this = Process::current();
        assert!(this.name().is_some());
        assert!(this.resident_bytes().unwrap() > 100 * 1024);
        let before = this.cpu_times();
        let mut number = 1_u64;
        while used_between(&before, &this.cpu_times()).unwrap().ran_ns == 0 {
            number = std::hint::black_box(number.wrapping_mul(3));
        }
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(this.cpu_times().contains_key(&child.id()));
        assert!(!this.own_cpu_times().contains_key(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        let nobody = Process::new(u32::MAX);
        assert!(nobody.cpu_times().is_empty());
        assert_eq!(nobody.resident_bytes(), None);
        assert!(nobody.pin(0).is_err());
    }
}
