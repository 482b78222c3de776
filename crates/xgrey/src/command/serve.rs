//! `xgrey serve`: puts the parts together, runs them, takes them apart again.

mod http;
mod limits;
mod listeners;
mod memory;
mod startup;
mod x_grey;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use greylist::{HashKey, Secs};
use sd_notify::NotifyState;
use store::{CompactConfig, CompactStore};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use self::listeners::{Listeners, Wanted};
pub(super) use self::memory::with_progress;
use super::Failure;
use crate::cli::{ServeArgs, Switch};
use crate::clock::{self, Clock};
use crate::config::{Config, Look, Report};
use crate::control::server::{Control, ReloadWish};
use crate::control::{self, Reloaded};
use crate::decision_log::DecisionLog;
use crate::fault_log::FaultLog;
use crate::http::{Places, Sources};
use crate::keeper::Keeper;
use crate::listen::{Connections, Pool, Timeouts, WorkerContext};
use crate::log::Logging;
use crate::metrics::Metrics;
use crate::service::{LocalAddresses, Policy, Service};
use crate::state_dir::{Directories, Environment, StateDir};

/// How often the sweepers look: connections, tuples, the clock.
const TICK: Duration = Duration::from_secs(1);
/// Addresses come and go with DHCP: how many ticks between looks.
const LOCAL_ADDRESSES_TICKS: u64 = 60;
/// The wall clock may be off by this many seconds before it is reported; NTP slews small errors.
const CLOCK_STEP_SECS: i64 = 2;

/// A configuration, where it came from, and what is worth saying about it.
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Its file, or that there is none.
    pub name: String,
    /// Warnings.
    pub report: Report,
}

/// Loads the configuration: the given file, the usual one, or the built-in defaults.
///
/// # Errors
/// Every mistake in it, ready to be printed.
pub fn load(given: Option<&Path>) -> Result<Loaded, Failure> {
    match Config::load(given) {
        Ok((config, report)) => {
            let name = config.file.as_deref().map(|path| path.display().to_string());
            let name = name.unwrap_or_else(|| "built-in defaults".to_owned());
            Ok(Loaded { config, name, report })
        }
        Err(report) => Err(Failure::Usage(report.render(look()))),
    }
}

/// Says something on standard error, at once. That nobody listens there must not end a service.
fn say(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// How reports look on standard error.
pub fn look() -> Look {
    if std::io::stderr().is_terminal() { Look::Coloured } else { Look::Plain }
}

/// The service that a configuration describes, with a memory of its own that begins empty and ends
/// with it: for questions that change nothing.
///
/// # Errors
/// When its bound is too small for a table.
pub fn service(config: Config, hash_key: HashKey) -> Result<Service, Failure> {
    let store = CompactStore::new(table(&config, hash_key)?);
    Ok(Service::new(Policy::from(config), store))
}

/// The table that a configuration describes.
pub(super) fn table(config: &Config, hash_key: HashKey) -> Result<CompactConfig, Failure> {
    let bound = limits::bound(config.bound)?;
    Ok(CompactConfig { timing: config.timing, bound, hash_key })
}

/// The service that a configuration describes, with what is in a state directory, for a command that
/// works while no service runs; and its time.
pub(super) fn opened(config: Config, state: &Arc<StateDir>) -> Result<(Service, Clock), Failure> {
    let memory::Memory { store, texts, clock, .. } = memory::open(&config, state)?;
    let service = Service::new(Policy::from(config), store);
    let service = match texts {
        Some(texts) => service.with_texts(texts),
        None => service,
    };
    Ok((service, clock))
}

/// Runs the service until it is told to stop.
pub fn run(args: &ServeArgs) -> Result<(), Failure> {
    let loaded = load(args.config.as_deref())?;
    say(&loaded.report.render(look()));
    let environment = Environment::of_this_process();
    let directories = Directories {
        state: args.state.clone().unwrap_or_else(|| environment.state()),
        runtime: args.runtime.clone().unwrap_or_else(|| environment.runtime()),
    };
    let state = Arc::new(StateDir::take(&directories.state)?);
    crate::state_dir::make_private(&directories.runtime)
        .map_err(|error| cannot_use(&directories.runtime, &error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Whoever asks for a reload while tuples are still being read must not end the service.
        let hangup = signal(SignalKind::hangup())?;
        let started = Server::start(args, loaded, &directories, &state, hangup).await;
        let (mut server, signals) = started?;
        server.until_stopped(signals).await?;
        server.stop().await;
        Ok(())
    })
}

fn cannot_use(dir: &Path, error: &std::io::Error) -> Failure {
    let dir = dir.display();
    Failure::Failed(format!(
        "cannot use the runtime directory {dir}: {error}; give another with --runtime"
    ))
}

/// What the service is told from outside, once it listens.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// Everything that runs.
struct Server {
    config_path: Option<PathBuf>,
    decision_log: Option<Switch>,
    clock: Clock,
    service: Arc<Service>,
    metrics: Arc<Metrics>,
    connections: Arc<Connections>,
    pool: Arc<Pool>,
    listeners: Listeners,
    keeper: Keeper,
    logging: Logging,
    timeouts: Timeouts,
    drain: Duration,
    reloads: mpsc::Receiver<ReloadWish>,
    fixed: limits::Fixed,
}

impl Server {
    async fn start(
        args: &ServeArgs,
        loaded: Loaded,
        directories: &Directories,
        state: &Arc<StateDir>,
        hangup: Signal,
    ) -> Result<(Self, Signals), Failure> {
        let Loaded { config, name, .. } = loaded;
        let fixed = limits::Fixed::of(&config);
        let threads = limits::threads(config.limits.threads);
        // For connections, for datagrams and for HTTP.
        let metrics = Arc::new(Metrics::new(3 * threads));
        let logging = Logging::start(&config.log, args.decision_log, &metrics)?;
        let connections_max = limits::connections(config.limits.connections);
        let connections = Arc::new(Connections::new(connections_max));
        let timeouts = timeouts(&config);
        let drain = config.limits.drain_timeout;
        let wanted = Wanted::by(&config);
        let request_timeout = config.limits.request_timeout;
        let request_limits = wire::Limits { request_bytes_max: config.limits.request_bytes };
        // Whoever asks before all is known would be told wrong things: nobody listens until then.
        let memory::Memory { store, texts, clock, sync, said } = memory::open(&config, state)?;
        let summary = startup::Summary::of(&config, &name, directories, said);

        let service = Service::new(Policy::from(config), store);
        let service = Arc::new(match texts {
            Some(texts) => service.with_texts(texts),
            None => service,
        });
        service.set_local_addresses(LocalAddresses::of_this_host());
        let origin = u64::from_le_bytes(random_bytes()?);
        if let Err(error) = metrics.begin(clock.now(), service.store(), origin) {
            tracing::warn!(target: "store", %error, "what is counted will not be kept");
        }
        let faults = Arc::new(FaultLog::default());
        let contexts = (0..threads).map(|number| {
            let decisions = DecisionLog::new(logging.decisions());
            WorkerContext {
                number,
                service: Arc::clone(&service),
                metrics: Arc::clone(&metrics),
                clock,
                limits: request_limits,
                decisions,
                faults: Arc::clone(&faults),
            }
        });
        let pool = Arc::new(Pool::start(contexts.collect(), Arc::clone(&connections))?);
        let keeper = Keeper::start(Arc::clone(&service), Arc::clone(&metrics), clock, sync)?;
        let (wishes, reloads) = mpsc::channel(1);
        let control = Control {
            service: Arc::clone(&service),
            metrics: Arc::clone(&metrics),
            connections: Arc::clone(&connections),
            clock,
            started: clock::boot(),
            reloads: wishes,
        };
        let control_socket = directories.runtime.join(control::SOCKET_NAME);
        let parts = x_grey::Parts {
            service: Arc::clone(&service),
            metrics: Arc::clone(&metrics),
            clock,
            decisions: logging.decisions(),
            faults: Arc::default(),
            threads,
        };
        let sources = Sources {
            service: Arc::clone(&service),
            metrics: Arc::clone(&metrics),
            connections: Arc::clone(&connections),
            places: Arc::new(Places::new(connections_max)),
            responses: Arc::default(),
        };
        let http_parts = http::Parts {
            service: Arc::clone(&service),
            metrics: Arc::clone(&metrics),
            clock,
            decisions: logging.decisions(),
            faults: Arc::default(),
            threads,
            first_number: 2 * threads,
            shared: http::shared(request_timeout, sources),
            drain,
        };
        // Until here SIGTERM ends the process at once, which loses nothing; from here on somebody
        // may wait for an answer.
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let mut listeners =
            Listeners::new(Arc::clone(&pool), Arc::clone(&metrics), parts, http_parts);
        listeners.replace(&wanted).await?;
        let socket = control::server::bind(&control_socket)?;
        tokio::spawn(control::server::serve(socket, Arc::new(control)));
        let summary = summary.with_live_rules(service.live_rules());
        say(&format!("{summary}\n"));
        let server = Self {
            config_path: args.config.clone(),
            decision_log: args.decision_log,
            clock,
            service,
            metrics,
            connections,
            pool,
            listeners,
            keeper,
            logging,
            timeouts,
            drain,
            reloads,
            fixed,
        };
        Ok((server, Signals { terminate, interrupt, hangup }))
    }

    /// Serves until SIGTERM or SIGINT.
    async fn until_stopped(&mut self, signals: Signals) -> Result<(), Failure> {
        let Signals { mut terminate, mut interrupt, mut hangup } = signals;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tick_number = 0;
        let mut clock_step = 0;
        notify(&[NotifyState::Ready]);
        loop {
            tokio::select! {
                () = received(&mut terminate) => return Ok(()),
                () = received(&mut interrupt) => return Ok(()),
                () = received(&mut hangup) => {
                    self.logging.reopen();
                    // What came of it is in the log.
                    let _ = self.reload().await;
                }
                Some(wish) = self.reloads.recv() => {
                    let outcome = self.reload().await;
                    let _ = wish.send(outcome);
                }
                _ = ticks.tick() => {
                    tick_number += 1;
                    self.tick(tick_number, &mut clock_step);
                }
            }
        }
    }

    fn tick(&self, number: u64, clock_step: &mut i64) {
        let now = self.clock.now();
        self.connections.sweep(now, &self.timeouts, self.metrics.outside());
        self.service.store().sweep_some(now);
        self.metrics.tick(now, self.service.store());
        if number.is_multiple_of(LOCAL_ADDRESSES_TICKS) {
            self.service.set_local_addresses(LocalAddresses::of_this_host());
        }
        let step = self.clock.wall_step_secs();
        if (step - *clock_step).abs() > CLOCK_STEP_SECS {
            tracing::warn!(
                target: "service",
                "the wall clock was stepped: it is now {step} s away from where it was at start; \
                 tuples keep the time that really passed",
            );
            *clock_step = step;
        }
    }

    /// Takes the configuration anew: whole, or not at all.
    async fn reload(&mut self) -> Result<Reloaded, String> {
        notify_reloading();
        let outcome = self.try_reload().await;
        notify(&[NotifyState::Ready]);
        match &outcome {
            Ok(reloaded) => {
                tracing::info!(
                    target: "config",
                    "{} is in force: {}", reloaded.configuration, reloaded.settings
                );
                for note in &reloaded.notes {
                    tracing::warn!(target: "config", "{note}");
                }
            }
            Err(why) => tracing::error!(
                target: "config",
                "the new configuration was not taken, the old one stays in force:\n{why}"
            ),
        }
        outcome
    }

    async fn try_reload(&mut self) -> Result<Reloaded, String> {
        let Loaded { config, name, report } =
            load(self.config_path.as_deref()).map_err(|failure| match failure {
                Failure::Usage(why) | Failure::Failed(why) | Failure::Unreachable(why) => why,
                Failure::Told | Failure::Exit(_) => String::new(),
            })?;
        // The one step that can fail comes first; nothing is changed before it.
        let replaced = self.listeners.replace(&Wanted::by(&config)).await;
        replaced.map_err(|error| error.to_string())?;
        let mut notes = self.fixed.changed_by(&config);
        if !report.is_empty() {
            notes.push(report.render(Look::Plain).trim_end().to_owned());
        }
        self.timeouts = timeouts(&config);
        self.drain = config.limits.drain_timeout;
        let connections_max = limits::connections(config.limits.connections);
        self.connections.set_max(connections_max);
        self.listeners.http_parts().adopt(&config.limits, connections_max);
        self.logging.adopt(&config.log, self.decision_log);
        let settings = config.summary();
        self.service.set_local_addresses(LocalAddresses::of_this_host());
        self.service.replace_policy(self.clock.now(), Policy::from(config));
        Ok(Reloaded { configuration: name, settings, notes })
    }

    /// Stops accepting, answers what has arrived, ends.
    async fn stop(self) {
        notify(&[NotifyState::Stopping]);
        tracing::info!(target: "service", "stopping");
        self.listeners.stop().await;
        self.connections.drain();
        let drained = async {
            while !self.connections.is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(self.drain, drained).await.is_err() {
            let left = self.connections.len();
            tracing::warn!(target: "service", left, "connections were cut: their clients did not read");
        }
        match Arc::try_unwrap(self.pool) {
            Ok(pool) => pool.stop(),
            Err(_) => tracing::error!(target: "service", "an acceptor still runs"),
        }
        self.keeper.stop();
        tracing::info!(target: "service", "stopped");
        self.logging.flush();
    }
}

async fn received(signal: &mut Signal) {
    // A signal stream never ends while its runtime lives.
    let _ = signal.recv().await;
}

fn timeouts(config: &Config) -> Timeouts {
    let secs = |time: Duration| Secs::new(u32::try_from(time.as_secs()).unwrap_or(u32::MAX));
    let limits = &config.limits;
    Timeouts { request: secs(limits.request_timeout), idle: secs(limits.idle_timeout) }
}

/// Tells systemd, if it is there; whether it hears us changes nothing.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(target: "service", %error, "could not notify systemd");
    }
}

fn notify_reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, now]);
    }
}

fn random_bytes<const COUNT: usize>() -> Result<[u8; COUNT], Failure> {
    let mut bytes = [0; COUNT];
    let mut filled = 0;
    while filled < bytes.len() {
        filled +=
            rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(bytes)
}
