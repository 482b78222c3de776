//! `xgrey-bench policy`: Postfix's policy protocol, the null server against the server under test
//! and any others, in turns.
//!
//! For each number of connections and each round, every server is measured once, one after the
//! other, so that whatever slows the machine slows all of them. Servers share one CPU, of which the
//! load generator has no part; the ones that wait do nothing.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::clock;
use crate::listener::{self, Transport};
use crate::load::{Load, Tally, Traffic, Verdict};
use crate::machine::{Machine, random_seed};
use crate::process::{self, Pinned, Process, Started};
use crate::product::{self, Keeping};
use crate::publish::{Published, progress};
use crate::reply::{self, Actions, Reply};
use crate::report::{DecisionLog, IN_MEMORY, Latency, Method, Report, Sample, ServerFacts};
use crate::request::{Mix, Requests, Share};
use crate::units::parse_seconds;

/// Without a list, the numbers of connections that the goals are about.
const CONNECTIONS: [usize; 3] = [10, 100, 1_000];
/// What the xgrey of this build is called in the report.
const PRODUCT: &str = "xgrey";
/// Connections that tuples become known over.
const PRIME_CONNECTIONS: usize = 32;
/// How long each pass over the tuples that become known may take, so that a slow server doesn't
/// hold up the run; it then knows fewer.
const PRIME_TIME_MAX: Duration = Duration::from_secs(10);
/// Open files besides the connections: epoll, pipes, `/proc`.
const FILES_BESIDE: u64 = 64;

/// What to measure, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The server to measure, already running
    #[arg(long, value_name = "ADDR", conflicts_with = "spawn")]
    server: Option<SocketAddr>,
    /// The process of --server, for its CPU time and memory (by default whoever listens there)
    #[arg(long, requires = "server")]
    pid: Option<u32>,
    /// A command that starts the server to measure, in the foreground, on 127.0.0.1:{port}
    #[arg(long, value_name = "COMMAND with {port}")]
    spawn: Option<String>,
    /// Another server to measure beside it, already running; may be given several times
    #[arg(long, value_name = "[NAME=]ADDR", value_parser = parse_beside)]
    beside: Vec<(Option<String>, SocketAddr)>,
    /// Numbers of connections, each of them measured [default: 10,100,1000]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = parse_connections)]
    connections: Vec<usize>,
    /// Measure the xgrey of this build beside it, with its tuples in memory alone: what the disk costs
    #[arg(long)]
    beside_memory: bool,
    /// How long each measurement takes
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = parse_seconds)]
    seconds: Duration,
    /// How long load runs before each measurement
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = parse_seconds)]
    warm_up: Duration,
    /// How often each server is measured with each number of connections
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Share of tuples that were never asked about before
    #[arg(long, value_name = "PERCENT", default_value = "50%")]
    new: Share,
    /// Share of tuples that were new a moment ago; the rest is known ones
    #[arg(long, value_name = "PERCENT", default_value = "0%")]
    retried: Share,
    /// How many tuples are asked about before measuring begins, so as to be known then
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    known_pool: u32,
    /// Ask about the known tuples a second time after so many seconds, for a server whose embargo
    /// is shorter: they have then passed [default: 2 for the xgrey started here, else not]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pass_after: Option<Duration>,
    /// The number that all that is random follows from; the report names it [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// How long a reply may take until it counts as an error
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    timeout: Duration,
    /// The CPU that all servers run on
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    server_cpu: usize,
    /// The CPU that the load generator runs on
    #[arg(long, value_name = "CPU", default_value_t = 1)]
    load_cpu: usize,
    /// Whether the xgrey started here writes a line for each decision, to a file
    #[arg(long, value_name = "on|off", conflicts_with_all = ["server", "spawn"])]
    decision_log: Option<DecisionLog>,
    /// Write the report as JSON to this file; with - to standard output, the table to standard error
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
}

fn parse_connections(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(count @ 1..=50_000) => Ok(count),
        _ => Err("a number of connections is from 1 to 50000".to_owned()),
    }
}

pub(crate) fn parse_beside(text: &str) -> Result<(Option<String>, SocketAddr), String> {
    let (name, address) = match text.split_once('=') {
        Some((name, address)) => (Some(name.to_owned()), address),
        None => (None, text),
    };
    let address = address.parse().map_err(|_| {
        "a server beside is an address and port, such as postgrey=127.0.0.1:10024".to_owned()
    })?;
    Ok((name, address))
}

/// One server of the run and what it has been asked so far.
struct Server {
    name: String,
    address: SocketAddr,
    process: Option<Process>,
    started: Option<Started>,
    /// Let go when the run is over.
    pinned: Option<Pinned>,
    traffic: Mixed,
    resident_bytes_before: Option<u64>,
}

impl Server {
    fn is_pinned(&self) -> bool {
        self.started.is_some() || self.pinned.is_some()
    }
}

/// Measures, and prints what came out.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let connections = match options.connections.as_slice() {
        [] => CONNECTIONS.to_vec(),
        list => list.to_vec(),
    };
    let mix = Mix::new(options.new, options.retried)?;
    let seed = options.seed.unwrap_or_else(random_seed);
    let machine = Machine::this();
    let most = connections.iter().copied().max().unwrap_or(0).max(PRIME_CONNECTIONS);
    raise_file_limit(most as u64 + FILES_BESIDE)?;
    process::pin_this_thread(options.load_cpu).context("--load-cpu")?;

    let directory = tempfile::Builder::new().prefix("xgrey-bench-").tempdir()?;
    let traffic = || Mixed::new(Requests::new(seed, mix, options.known_pool));
    let mut servers = servers(options, directory.path(), &traffic)?;
    let decision_log = match (options.server, &options.spawn) {
        (None, None) => Some(options.decision_log.unwrap_or(DecisionLog::Off)),
        _ => None,
    };
    let pass_after = options.pass_after.or(decision_log.map(|_| product::EMBARGO_OVER));
    if options.known_pool > 0 && mix.known().percent() > 0.0 {
        make_known(options, &mut servers, pass_after)?;
    }
    let samples = measure_all(options, &connections, &mut servers)?;

    let method = Method {
        seconds: options.seconds.as_secs_f64(),
        warm_up_seconds: options.warm_up.as_secs_f64(),
        rounds: usize::from(options.rounds),
        new_percent: options.new.percent(),
        known_percent: mix.known().percent(),
        retried_percent: options.retried.percent(),
        seed,
        server_cpu: options.server_cpu,
        load_cpu: options.load_cpu,
        decision_log,
    };
    let facts = servers.iter().map(facts).collect();
    let report = Report::new(machine, method, facts, &samples);
    let published = Published { text: report.text(), json: report.json()?, gap: "" };
    published.write(options.json.as_deref())
}

/// The null server, the one under test, and those beside it.
fn servers(
    options: &Options,
    directory: &Path,
    traffic: &dyn Fn() -> Mixed,
) -> anyhow::Result<Vec<Server>> {
    let cpu = options.server_cpu;
    let null = Started::null(cpu, directory.join("null.output")).context("null server")?;
    let tested = match (options.server, &options.spawn) {
        (Some(address), _) => {
            let process = options.pid.map(Process::new);
            running(cpu, None, address, process, traffic()).context("--server")?
        }
        (None, Some(command)) => {
            let output = directory.join("server.output");
            let started = Started::line(cpu, command, process::takes_connections, output)
                .context("--spawn")?;
            let name = started.process().name();
            of_ours(name.unwrap_or_else(|| "server".to_owned()), started, traffic())
        }
        (None, None) => {
            let log = options.decision_log.unwrap_or(DecisionLog::Off);
            let started = product::start(cpu, directory, log, Keeping::OnDisk)?;
            of_ours(PRODUCT.to_owned(), started, traffic())
        }
    };
    let mut servers = vec![of_ours("null".to_owned(), null, traffic()), tested];
    if options.beside_memory {
        let log = options.decision_log.unwrap_or(DecisionLog::Off);
        let started = product::start(cpu, directory, log, Keeping::InMemory)?;
        servers.push(of_ours(IN_MEMORY.to_owned(), started, traffic()));
    }
    for (name, address) in &options.beside {
        let beside = running(cpu, name.clone(), *address, None, traffic());
        servers.push(beside.with_context(|| format!("--beside {address}"))?);
    }
    tell_apart(&mut servers);
    Ok(servers)
}

fn of_ours(name: String, started: Started, traffic: Mixed) -> Server {
    let process = started.process();
    Server {
        name,
        address: started.address(),
        process: Some(process),
        started: Some(started),
        pinned: None,
        traffic,
        resident_bytes_before: process.resident_bytes(),
    }
}

/// A server that runs already: found by its port if need be, and bound to the servers' CPU.
fn running(
    cpu: usize,
    name: Option<String>,
    address: SocketAddr,
    process: Option<Process>,
    traffic: Mixed,
) -> anyhow::Result<Server> {
    TcpStream::connect_timeout(&address, Duration::from_secs(5))
        .with_context(|| format!("connect to {address}"))?;
    let (process, pinned) = listener::bound_to(cpu, Transport::Tcp, address, process);
    Ok(Server {
        name: name.or_else(|| process?.name()).unwrap_or_else(|| address.to_string()),
        address,
        process,
        started: None,
        pinned,
        traffic,
        resident_bytes_before: process.and_then(Process::resident_bytes),
    })
}

/// Adds the port to names that are there twice.
fn tell_apart(servers: &mut [Server]) {
    for at in 1..servers.len() {
        if servers[..at].iter().any(|earlier| earlier.name == servers[at].name) {
            let port = servers[at].address.port();
            servers[at].name.push_str(&format!(":{port}"));
        }
    }
}

/// Asks every server about the known tuples: once, and again once they may pass.
fn make_known(
    options: &Options,
    servers: &mut [Server],
    pass_after: Option<Duration>,
) -> anyhow::Result<()> {
    for server in &mut *servers {
        progress(&format!("{}: asking about tuples that will be known", server.name));
        prime(options, server)?;
    }
    if let Some(pause) = pass_after.filter(|pause| !pause.is_zero()) {
        progress(&format!("waiting {} s for the embargo to end", pause.as_secs_f64()));
        clock::wait(pause);
        for server in &mut *servers {
            progress(&format!("{}: asking about them again", server.name));
            prime(options, server)?;
        }
    }
    Ok(())
}

fn prime(options: &Options, server: &mut Server) -> anyhow::Result<()> {
    let mut load = Load::connect(server.address, PRIME_CONNECTIONS, options.timeout)
        .with_context(|| server.name.clone())?;
    let mut tally = Tally::new()?;
    let mut pool = Pool { requests: &mut server.traffic.requests, asked: 0 };
    load.run(&mut pool, clock::now() + PRIME_TIME_MAX, &mut tally)?;
    let asked = pool.asked;
    let errors = tally.errors.plus(load.finish(&mut pool)?);
    if errors.total() > 0 {
        let lost = errors.total();
        eprintln!("xgrey-bench: {}: {lost} errors before measuring: {errors:?}", server.name);
    }
    check(server)?;
    if tally.replies == 0 {
        bail!("{} on {} answered nothing", server.name, server.address);
    }
    server.traffic.requests.shrink_pool(asked);
    Ok(())
}

fn measure_all(
    options: &Options,
    connections: &[usize],
    servers: &mut [Server],
) -> anyhow::Result<Vec<Sample>> {
    let total = connections.len() * usize::from(options.rounds) * servers.len();
    let each = options.seconds + options.warm_up;
    let mut samples = Vec::with_capacity(total);
    for &connections in connections {
        for round in 0..usize::from(options.rounds) {
            for (index, server) in servers.iter_mut().enumerate() {
                let done = samples.len();
                progress(&format!(
                    "{} of {total}: {}, {connections} connections, round {} of {}; about {} s left",
                    done + 1,
                    server.name,
                    round + 1,
                    options.rounds,
                    (each * (total - done) as u32).as_secs()
                ));
                let sample = measure(options, server, connections)
                    .with_context(|| format!("{} with {connections} connections", server.name))?;
                samples.push(Sample { server: index, round, ..sample });
            }
        }
    }
    progress("");
    Ok(samples)
}

fn measure(options: &Options, server: &mut Server, connections: usize) -> anyhow::Result<Sample> {
    let mut load = Load::connect(server.address, connections, options.timeout)?;
    let traffic = &mut server.traffic;
    let mut warm_up = Tally::new()?;
    load.run(traffic, clock::now() + options.warm_up, &mut warm_up)?;

    let mut tally = Tally::new()?;
    traffic.actions.clear();
    let own = Process::current();
    let cpu = || (server.process.map(Process::cpu_times).unwrap_or_default(), own.own_cpu_times());
    let begin = clock::now();
    let (server_cpu, load_cpu) = cpu();
    load.run(traffic, clock::now() + options.seconds, &mut tally)?;
    let (server_cpu_after, load_cpu_after) = cpu();
    let seconds = (clock::now() - begin).as_secs_f64();

    let actions = traffic.actions.by_word();
    let resident_bytes = server.process.and_then(Process::resident_bytes);
    let errors = warm_up.errors.plus(tally.errors).plus(load.finish(traffic)?);
    check(server)?;
    Ok(Sample {
        server: 0,
        connections,
        round: 0,
        seconds,
        replies: tally.replies,
        latency: Latency::of(&tally.latency),
        server_used: process::used_between(&server_cpu, &server_cpu_after),
        load_used: process::used_between(&load_cpu, &load_cpu_after),
        resident_bytes,
        actions,
        errors,
    })
}

/// Fails if a server that was started here has ended.
fn check(server: &mut Server) -> anyhow::Result<()> {
    server.started.as_mut().map_or(Ok(()), Started::check)
}

fn facts(server: &Server) -> ServerFacts {
    let requests = &server.traffic.requests;
    ServerFacts {
        name: server.name.clone(),
        address: server.address.to_string(),
        pinned: server.is_pinned(),
        resident_bytes_before: server.resident_bytes_before,
        resident_bytes_after: server.process.and_then(Process::resident_bytes),
        known_tuples: requests.pool(),
        new_tuples: requests.new_tuples(),
    }
}

/// Makes room for so many open files, here and in the servers started here.
fn raise_file_limit(files: u64) -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < files) {
        bail!(
            "{files} open files are needed, and this process may have {}",
            limit.maximum.unwrap_or(0)
        );
    }
    if limit.current.is_some_and(|current| current < files) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum: limit.maximum })?;
    }
    Ok(())
}

/// Traffic of the mix asked for; counts the answers.
struct Mixed {
    requests: Requests,
    actions: Actions,
}

impl Mixed {
    fn new(requests: Requests) -> Self {
        Self { requests, actions: Actions::default() }
    }
}

impl Traffic for Mixed {
    fn request(&mut self) -> Option<&[u8]> {
        Some(self.requests.next())
    }

    fn reply(&mut self, bytes: &[u8]) -> Verdict {
        match reply::read(bytes) {
            Reply::Incomplete => Verdict::Incomplete,
            Reply::Wrong => Verdict::Wrong,
            Reply::Whole(action) => {
                self.actions.count(action);
                Verdict::Whole
            }
        }
    }
}

/// Traffic that asks about each tuple of the pool once.
struct Pool<'a> {
    requests: &'a mut Requests,
    asked: u32,
}

impl Traffic for Pool<'_> {
    fn request(&mut self) -> Option<&[u8]> {
        if self.asked == self.requests.pool() {
            return None;
        }
        self.asked += 1;
        Some(self.requests.known(self.asked - 1))
    }

    fn reply(&mut self, bytes: &[u8]) -> Verdict {
        match reply::read(bytes) {
            Reply::Incomplete => Verdict::Incomplete,
            Reply::Wrong => Verdict::Wrong,
            Reply::Whole(_) => Verdict::Whole,
        }
    }
}
