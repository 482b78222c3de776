//! Sets up logging: which lines, in which format, to where.
//!
//! Everything but decisions goes through `tracing`, with the subsystem as its target, to standard
//! error. Decisions go to standard error too, or to a file of their own.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use thiserror::Error;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::cli::Switch;
use crate::clock;
use crate::config::{Level, LogConfig, LogFormat};
use crate::decision_log::{Destination, Format};
use crate::log_sink::LogSink;
use crate::metrics::Metrics;

/// Why there is no log.
#[derive(Debug, Error)]
pub enum LogError {
    /// The decisions' file can't be opened.
    #[error(
        "cannot write decisions to {path}: {error}; name another file in `log.decision_file`, or none"
    )]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What the kernel said.
        error: std::io::Error,
    },
    /// The kernel gives no thread.
    #[error("cannot start the log: {0}")]
    Thread(std::io::Error),
}

/// The logs of this process.
#[derive(Debug)]
pub struct Logging {
    general: LogSink,
    decisions: Destination,
    filter: reload::Handle<Targets, Registry>,
}

impl Logging {
    /// Starts logging. `decision_log`, from the command line, overrides the configuration.
    ///
    /// # Errors
    /// When the decisions' file can't be opened, or the kernel gives no thread.
    pub fn start(
        config: &LogConfig,
        decision_log: Option<Switch>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, LogError> {
        let general = LogSink::standard_error(Arc::clone(metrics)).map_err(LogError::Thread)?;
        let format = match config.format {
            LogFormat::Json => Format::Json,
            LogFormat::Text => Format::Text,
            LogFormat::Auto if std::io::stderr().is_terminal() => Format::Colour,
            LogFormat::Auto => Format::Text,
        };
        let decisions = match &config.decision_file {
            None => Destination { format, sink: general.clone(), enabled: Arc::default() },
            Some(path) => {
                let sink = LogSink::file(path, Arc::clone(metrics));
                let sink = sink.map_err(|error| LogError::File { path: path.clone(), error })?;
                // A file is no terminal.
                let format = if format == Format::Json { format } else { Format::Text };
                Destination { format, sink, enabled: Arc::default() }
            }
        };
        decisions.enabled.store(enabled(config, decision_log), Relaxed);
        let filter = subscribe(config, format, &general);
        Ok(Self { general, decisions, filter })
    }

    /// Where workers log their decisions.
    pub fn decisions(&self) -> Destination {
        self.decisions.clone()
    }

    /// Takes what may change while running: levels, and whether decisions are logged.
    pub fn adopt(&self, config: &LogConfig, decision_log: Option<Switch>) {
        self.decisions.enabled.store(enabled(config, decision_log), Relaxed);
        if let Err(error) = self.filter.reload(targets(config)) {
            tracing::warn!(target: "config", %error, "could not change the log's levels");
        }
    }

    /// Opens the decisions' file anew.
    pub fn reopen(&self) {
        self.decisions.sink.reopen();
    }

    /// Waits until what was logged is written.
    pub fn flush(&self) {
        self.decisions.sink.flush();
        self.general.flush();
    }
}

fn enabled(config: &LogConfig, decision_log: Option<Switch>) -> bool {
    decision_log.map_or(config.decisions, |switch| switch == Switch::On)
}

fn subscribe(
    config: &LogConfig,
    format: Format,
    sink: &LogSink,
) -> reload::Handle<Targets, Registry> {
    let (filter, handle) = reload::Layer::new(targets(config));
    let sink = sink.clone();
    let writer = move || sink.clone();
    let lines = fmt::layer().with_timer(Seconds).with_writer(writer);
    let lines = match format {
        Format::Json => lines.json().flatten_event(true).boxed(),
        Format::Text => lines.with_ansi(false).boxed(),
        Format::Colour => lines.with_ansi(true).boxed(),
    };
    // A second one in the same process (tests) keeps the first.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
    handle
}

/// Times as decisions have them: RFC 3339, whole seconds, UTC.
struct Seconds;

impl FormatTime for Seconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        let secs = i64::try_from(clock::wall().as_secs()).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_second(secs) {
            Ok(time) => write!(writer, "{time}"),
            Err(_) => write!(writer, "{secs}"),
        }
    }
}

/// The levels: one for all, and those of single subsystems.
fn targets(config: &LogConfig) -> Targets {
    let single = config.levels.iter().map(|(subsystem, level)| (subsystem.name(), filter(*level)));
    Targets::new().with_default(filter(config.level)).with_targets(single)
}

fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}
