//! What the machine gives: threads, memory, file descriptors.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use store::{Bound, BoundTooSmall};

use crate::config::{Bytes, Config, TableBound};
use crate::http::PLACES_MAX;
use crate::machine;

/// More threads than this only cost memory: one core decides some 100,000 requests a second.
const THREADS_MAX: usize = 16;
/// Descriptors that are not connections: listeners, logs, epoll, the control socket's.
const OTHER_DESCRIPTORS: u64 = 64;
/// What the machine has when it does not say.
const MEMORY_FALLBACK: u64 = 4 << 30;

/// Worker threads: as configured, or one for each core that we may use.
pub(super) fn threads(configured: Option<NonZeroUsize>) -> usize {
    let cores = || available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    configured.map_or_else(cores, usize::from)
}

/// Connections that there may be, apart from those over HTTP: as configured, unless the limit of open files is lower even
/// after it was raised as far as we may.
pub(super) fn connections(config: &Config) -> usize {
    let configured = config.limits.connections;
    let http = if config.http.is_empty() { 0 } else { configured.min(PLACES_MAX) };
    let others = OTHER_DESCRIPTORS + http as u64;
    let wanted = configured as u64 + others;
    let limit = getrlimit(Resource::Nofile);
    let mut available = limit.current.unwrap_or(u64::MAX);
    if available < wanted {
        let raised = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
        if setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limit }).is_ok() {
            available = raised;
        }
    }
    if available >= wanted {
        return configured;
    }
    let possible = usize::try_from(available.saturating_sub(others)).unwrap_or(1).max(1);
    tracing::warn!(
        target: "listen",
        "only {possible} connections instead of {configured}: the limit of open files is \
         {available}; raise LimitNOFILE (systemd) or `ulimit -n`",
    );
    possible
}

/// How large the table may become: as configured, or a quarter of the memory that there is.
///
/// # Errors
/// When that is too little for a table.
pub(super) fn bound(configured: TableBound) -> Result<Bound, BoundTooSmall> {
    match configured {
        TableBound::Memory(Bytes(bytes)) => Bound::new(bytes),
        TableBound::Capacity(tuples) => Ok(Bound::for_capacity(tuples)),
        TableBound::Quarter => Bound::new(machine::memory_bytes().unwrap_or(MEMORY_FALLBACK) / 4),
    }
}

/// Settings that only a start can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fixed {
    settings: [(&'static str, String); 6],
}

impl Fixed {
    pub(super) fn of(config: &Config) -> Self {
        let Config { limits, log, bound, store, .. } = config;
        Self {
            settings: [
                ("memory or capacity", format!("{bound:?}")),
                ("[store]", format!("{store:?}")),
                ("limits.threads", format!("{:?}", limits.threads)),
                ("limits.request_bytes", format!("{:?}", limits.request_bytes)),
                ("log.format", format!("{:?}", log.format)),
                ("log.decision_file", format!("{:?}", log.decision_file)),
            ],
        }
    }

    /// What `config` would change and can't, in words.
    pub(super) fn changed_by(&self, config: &Config) -> Vec<String> {
        let new = Self::of(config);
        self.settings
            .iter()
            .zip(&new.settings)
            .filter(|(old, new)| old != new)
            .map(|((key, _), _)| format!("{key} has changed: it takes effect at the next start"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_what_is_configured_or_a_quarter_of_what_there_is() {
        let bytes = |configured| bound(configured).unwrap().bytes();
        assert_eq!(bytes(TableBound::Memory(Bytes::gib(18))), 18 << 30);
        assert!(bytes(TableBound::Capacity(100_000_000)) >= 800_000_000);
        assert!(bytes(TableBound::Quarter) <= machine::memory_bytes().unwrap() / 4);
    }

    #[test]
    fn configured_threads_are_taken_as_they_are() {
        assert_eq!(threads(NonZeroUsize::new(3)), 3);
        assert!((1..=THREADS_MAX).contains(&threads(None)));
    }
}
