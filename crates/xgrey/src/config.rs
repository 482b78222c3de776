//! The configuration: from what a file says ([`parse_text`], [`Config::load`]) to what the service
//! takes ([`Config`]), which cannot be wrong.
//!
//! ```text
//!  text ──toml──▶ table ──reader──▶ ConfigText ──check──▶ Config
//!                   │                   │           │  ▲
//!                   ▼                   ▼           ▼  └ list files, users (Surroundings)
//!                 Report: every mistake with its place and its mend, in one go
//! ```
//!
//! Nothing stops at the first mistake: a value that is wrong is noted and replaced by its default,
//! so that the rest can be looked at; a configuration with a noted error is never handed out.
//! What the keys mean is said in `docs/configuration.md`; what is written in their place by default
//! in `packaging/xgrey.toml`, which a test compares with [`Config::default`].
//!
//! Never knows: what the settings are used for. Prints nothing.

mod check;
mod duration;
mod http;
mod keys;
mod limits;
mod list_file;
mod listener;
mod log;
mod mistake;
mod reader;
mod reply;
mod report;
mod rules;
mod size;
mod store;
mod summary;
mod surroundings;
#[cfg(test)]
mod tests;
mod text;
mod x_grey;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use greylist::reply::Replies;
use greylist::rules::{List, RuleSet, Verdict};
use greylist::{Identity, Query, Timing};
use toml::de::DeTable;

pub use duration::length_of_time;
pub use http::{HttpListener, Token};
pub use limits::Limits;
pub(crate) use list_file::{next_line, rule_line};
pub use listener::{ListenAddress, Listener, Owner, Protocol};
pub use log::{Level, LogConfig, LogFormat, Subsystem};
pub use report::{FINDINGS_KEPT_MAX, Finding, Look, Place, Position, Report, Severity};
pub use size::Bytes;
pub use store::{Keeping, StoreConfig, SyncPolicy, TableBound};
pub use surroundings::{MadeUp, Surroundings, ThisMachine};
pub use x_grey::{Changes, XGreyListener};

/// Where the configuration is looked for if none is named.
pub const DEFAULT_PATH: &str = "/etc/xgrey/xgrey.toml";

/// The commented default configuration.
pub const DEFAULT_TEXT: &str = include_str!("../../../packaging/xgrey.toml");

/// The longest configuration file, in bytes. 16 MiB hold 300,000 rules; more belong in list files.
pub const CONFIG_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Up to this size, in bytes, all that is not TOML is reported; in a longer file, the first such
/// place. (A file of any other kind can hold a mistake every other byte, of 100 bytes each.)
const SYNTAX_REPORTED_BYTES_MAX: usize = 1024 * 1024;

/// Everything that can be set, checked.
#[derive(Debug)]
pub struct Config {
    /// The file that it was read from; `None` for the built-in default.
    pub file: Option<PathBuf>,
    /// Embargo, window and lifetime.
    pub timing: Timing,
    /// Whether decisions are carried out.
    pub mode: Mode,
    /// How large the table of tuples may become.
    pub bound: TableBound,
    /// Who is never greylisted, whatever the table says.
    pub exempt: Exempt,
    /// Where to listen for connections. With `x_grey` and `http`, at least one, and no two at the same address.
    pub listeners: Vec<Listener>,
    /// Where to listen for X-Grey's clients.
    pub x_grey: Vec<XGreyListener>,
    /// Where to listen for HTTP.
    pub http: Vec<HttpListener>,
    /// Which attempts count as the same.
    pub identity: Identity,
    /// What is decided beforehand.
    pub rules: RuleSet,
    /// What of the tuples outlives the process.
    pub store: StoreConfig,
    /// What is said to senders.
    pub replies: Replies,
    /// What a client may take.
    pub limits: Limits,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// Whether decisions are carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// As decided.
    #[default]
    Enforce,
    /// Decide, remember and log everything, but delay and refuse nothing.
    Observe,
}

/// Who is never greylisted.
#[derive(Clone, Debug)]
pub struct Exempt {
    /// Clients on this host: loopback and its own addresses.
    pub local: bool,
    /// Clients that have logged in (SASL).
    pub authenticated: bool,
    /// Clients with a verified TLS certificate.
    pub certificates: bool,
    /// Recipients that must always be reachable; rules may still reject them.
    pub recipients: Recipients,
}

/// A set of recipients.
#[derive(Clone, Debug, Default)]
pub struct Recipients(RuleSet);

impl Recipients {
    /// Whether the recipient of `query` is one of them.
    pub fn contains(&self, query: &Query<'_>) -> bool {
        self.0.judge_by(List::Recipient, query) == Verdict::Accept
    }

    /// Each entry, as it would be written.
    pub fn iter(&self) -> impl Iterator<Item = String> + '_ {
        let written = self.0.iter().filter(|rule| !rule.reference.is_default());
        written.map(|rule| rule.text.to_string())
    }
}

/// What an empty file says.
impl Default for Config {
    fn default() -> Self {
        let mut notes = reader::Notes::new("built-in".into(), "");
        check::config(&text::ConfigText::default(), &mut notes, Path::new(""), &MadeUp::default())
    }
}

impl Config {
    /// Reads the configuration from `path`; without a path, from [`DEFAULT_PATH`] if there is such
    /// a file, else it is the default. With it comes a report of what is doubtful.
    ///
    /// # Errors
    /// When there is any mistake: a report of all of them.
    pub fn load(path: Option<&Path>) -> Result<(Self, Report), Report> {
        let default_path = Path::new(DEFAULT_PATH);
        let text = match (read(path.unwrap_or(default_path)), path) {
            (Err(Unreadable::Io(error)), None) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((Self::default(), Report::default()));
            }
            (text, _) => text,
        };
        let path = path.unwrap_or(default_path);
        text.map_err(|why| why.report(path)).and_then(|text| parse_text(&text, path, &ThisMachine))
    }
}

/// Reads `text`, which stands or could stand in the file at `path`: relative paths in it start
/// from that file's directory. Besides what `surroundings` offers, nothing outside is looked at.
///
/// # Errors
/// When there is any mistake: a report of all of them.
pub fn parse_text(
    text: &str,
    path: &Path,
    surroundings: &dyn Surroundings,
) -> Result<(Config, Report), Report> {
    let mut notes = reader::Notes::new(name_of(path), text);
    let table = if text.len() <= SYNTAX_REPORTED_BYTES_MAX {
        let (table, errors) = DeTable::parse_recoverable(text);
        notes.syntax(errors);
        table.into_inner()
    } else {
        let parsed = DeTable::parse(text).map_err(|error| notes.syntax(vec![error]));
        parsed.map(toml::Spanned::into_inner).unwrap_or_default()
    };
    let written = text::ConfigText::read(&table, &mut notes);
    let config = check::config(&written, &mut notes, path, surroundings);
    let report = notes.into_report();
    if report.error_count() > 0 { Err(report) } else { Ok((config, report)) }
}

/// How a file is called in reports.
fn name_of(path: &Path) -> Arc<str> {
    path.display().to_string().into()
}

/// Why a configuration file could not be read.
enum Unreadable {
    Io(io::Error),
    TooLong,
    NotText { contents: Vec<u8>, valid_up_to: usize },
}

fn read(path: &Path) -> Result<String, Unreadable> {
    let mut contents = Vec::new();
    let file = File::open(path).map_err(Unreadable::Io)?;
    let limit = CONFIG_BYTES_MAX as u64 + 1;
    file.take(limit).read_to_end(&mut contents).map_err(Unreadable::Io)?;
    if contents.len() > CONFIG_BYTES_MAX {
        return Err(Unreadable::TooLong);
    }
    String::from_utf8(contents).map_err(|error| {
        let valid_up_to = error.utf8_error().valid_up_to();
        Unreadable::NotText { contents: error.into_bytes(), valid_up_to }
    })
}

impl Unreadable {
    fn report(self, path: &Path) -> Report {
        let mut report = Report::default();
        let file = name_of(path);
        let place = Place::file(&file);
        match self {
            Self::Io(error) => {
                let message = format!("cannot read the configuration: {error}");
                let finding = report.add(Finding::new(Severity::Error, place, message));
                finding.help(match error.kind() {
                    io::ErrorKind::NotFound => {
                        "to begin with the default: xgrey config default > FILE"
                    }
                    io::ErrorKind::IsADirectory => "name the file in it",
                    _ => "let the user that xgrey runs as read it: check its owner and mode",
                });
            }
            Self::TooLong => {
                let message =
                    format!("the configuration is longer than {}", Bytes(CONFIG_BYTES_MAX as u64));
                let finding = report.add(Finding::new(Severity::Error, place, message));
                finding.help("keep long lists of rules in files of their own: [[rules.file]]");
            }
            Self::NotText { contents, valid_up_to } => {
                let text = String::from_utf8_lossy(&contents);
                // Up to here the text is as in the file; the first U+FFFD of our making follows.
                let span = valid_up_to..valid_up_to + char::REPLACEMENT_CHARACTER.len_utf8();
                let place = Place::in_text(&file, &text, span);
                let message = "the configuration is not UTF-8 text";
                let finding = report.add(Finding::new(Severity::Error, place, message));
                finding.label("no character").help("save the file as UTF-8");
            }
        }
        report
    }
}
