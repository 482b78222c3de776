//! What the machine gives: threads, memory, file descriptors.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::{Bytes, Config};

/// More threads than this only cost memory: one core decides some 100,000 requests a second.
const THREADS_MAX: usize = 16;
/// Descriptors that are not connections: listeners, logs, epoll, the control socket's.
const OTHER_DESCRIPTORS: u64 = 64;
/// What the table may take when the machine does not say what it has.
const MEMORY_FALLBACK: u64 = 1 << 30;

/// Worker threads: as configured, or one for each core that we may use.
pub(super) fn threads(configured: Option<NonZeroUsize>) -> usize {
    let cores = || available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    configured.map_or_else(cores, usize::from)
}

/// Connections that there may be: as configured, unless the limit of open files is lower even
/// after it was raised as far as we may.
pub(super) fn connections(configured: usize) -> usize {
    let wanted = configured as u64 + OTHER_DESCRIPTORS;
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
    let possible = usize::try_from(available.saturating_sub(OTHER_DESCRIPTORS)).unwrap_or(1).max(1);
    tracing::warn!(
        target: "listen",
        "only {possible} connections instead of {configured}: the limit of open files is \
         {available}; raise LimitNOFILE (systemd) or `ulimit -n`",
    );
    possible
}

/// Bytes that the table may take: as configured, or the default.
pub(super) fn memory(configured: Option<Bytes>) -> u64 {
    configured.map_or_else(default_memory, |bytes| bytes.0)
}

/// A quarter of the memory of the machine, or of the cgroup if that has less.
fn default_memory() -> u64 {
    let machine = procfs_total().unwrap_or(MEMORY_FALLBACK * 4);
    machine.min(cgroup_limit().unwrap_or(u64::MAX)) / 4
}

fn procfs_total() -> Option<u64> {
    use procfs::Current;
    Some(procfs::Meminfo::current().ok()?.mem_total)
}

/// The lowest `memory.max` from our cgroup up to the root (cgroup v2).
fn cgroup_limit() -> Option<u64> {
    let groups = procfs::process::Process::myself().ok()?.cgroups().ok()?;
    let unified = groups.into_iter().find(|group| group.hierarchy == 0)?;
    let root = std::path::Path::new("/sys/fs/cgroup");
    let own = root.join(unified.pathname.trim_start_matches('/'));
    own.ancestors()
        .take_while(|path| path.starts_with(root))
        .filter_map(|path| {
            std::fs::read_to_string(path.join("memory.max")).ok()?.trim().parse().ok()
        })
        .min()
}

/// Settings that only a start can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fixed {
    settings: [(&'static str, String); 5],
}

impl Fixed {
    pub(super) fn of(config: &Config) -> Self {
        let Config { limits, log, memory, .. } = config;
        Self {
            settings: [
                ("memory", format!("{memory:?}")),
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
    fn the_default_bound_is_a_quarter_of_what_there_is() {
        let memory = default_memory();
        assert!(memory > 0);
        assert!(memory <= procfs_total().unwrap() / 4);
    }

    #[test]
    fn configured_threads_are_taken_as_they_are() {
        assert_eq!(threads(NonZeroUsize::new(3)), 3);
        assert!((1..=THREADS_MAX).contains(&threads(None)));
    }
}
