//! What is logged, and how.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::check::{one_of, resolve};
use super::keys;
use super::mistake::{Mistake, listed, nearest, shown};
use super::reader::Notes;
use super::text::LogText;

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// What is logged of subsystems that `levels` does not name.
    pub level: Level,
    /// What is logged of single subsystems.
    pub levels: BTreeMap<Subsystem, Level>,
    /// How a line looks.
    pub format: LogFormat,
    /// Whether each decision is a line.
    pub decisions: bool,
    /// Where decisions go; `None`: to standard error with the rest.
    pub decision_file: Option<PathBuf>,
}

/// How grave a message is at least, to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the words of every logger")]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// The parts of the program that log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subsystem {
    /// Reading and re-reading the configuration.
    Config,
    /// The control socket.
    Control,
    /// Listeners and their connections.
    Listen,
    /// Rules, at load time.
    Rules,
    /// Decisions.
    Service,
    /// The memory of tuples.
    Store,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text, in colour on a terminal.
    #[default]
    Auto,
    /// Text without colour: `key=value`.
    Text,
    /// One JSON object a line.
    Json,
}

const LEVELS: [(&str, Level); 5] = [
    ("error", Level::Error),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("debug", Level::Debug),
    ("trace", Level::Trace),
];

const SUBSYSTEMS: [(&str, Subsystem); 6] = [
    ("config", Subsystem::Config),
    ("control", Subsystem::Control),
    ("listen", Subsystem::Listen),
    ("rules", Subsystem::Rules),
    ("service", Subsystem::Service),
    ("store", Subsystem::Store),
];

const FORMATS: [(&str, LogFormat); 3] =
    [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];

impl Level {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub fn name(self) -> &'static str {
        LEVELS[self as usize].0
    }
}

impl Subsystem {
    /// `config`, `control`, `listen`, `rules`, `service` or `store`.
    pub fn name(self) -> &'static str {
        SUBSYSTEMS[self as usize].0
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: Level::Info,
            levels: BTreeMap::new(),
            format: LogFormat::Auto,
            decisions: true,
            decision_file: None,
        }
    }
}

/// Checks `[log]`; relative paths start from `base`.
pub(super) fn log(text: &LogText<'_>, notes: &mut Notes<'_>, base: &Path) -> LogConfig {
    let default = LogConfig::default();
    LogConfig {
        level: one_of(notes, "level", text.level.as_ref(), &LEVELS).unwrap_or(default.level),
        levels: levels(text, notes),
        format: one_of(notes, "format", text.format.as_ref(), &FORMATS).unwrap_or(default.format),
        decisions: text.decisions.unwrap_or(default.decisions),
        decision_file: text
            .decision_file
            .as_ref()
            .and_then(|word| resolve(&keys::LOG, "decision_file", word, notes, base)),
    }
}

fn levels(text: &LogText<'_>, notes: &mut Notes<'_>) -> BTreeMap<Subsystem, Level> {
    let mut levels = BTreeMap::new();
    for (name, level) in &text.levels {
        let key = format!("levels.{}", shown(name.get_ref()));
        let level = one_of(notes, &key, Some(level), &LEVELS);
        let known = SUBSYSTEMS.iter().find(|(known, _)| known == name.get_ref());
        match (known, level) {
            (Some((_, subsystem)), Some(level)) => {
                levels.insert(*subsystem, level);
            }
            (Some(_), None) => {}
            (None, _) => {
                let names = SUBSYSTEMS.iter().map(|(known, _)| *known);
                let help = match nearest(name.get_ref(), names.clone()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the subsystems are {}", listed(names, '`', "and")),
                };
                let mistake = Mistake::new("not a part of xgrey that logs", help);
                notes.mistake(&key, name.span(), mistake);
            }
        }
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_their_enumerations() {
        assert!(LEVELS.iter().all(|(name, level)| level.name() == *name));
        assert!(SUBSYSTEMS.iter().all(|(name, subsystem)| subsystem.name() == *name));
    }
}
