//! When to kill, and in the middle of what a kill came: all seen from outside, by the names and
//! sizes of the files in the state directory.
//!
//! Never knows: what is in the files.

use std::ffi::CStr;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::clock;
use crate::knowledge::EMBARGO;
use crate::tuples::RIPE;

/// A segment that was begun by a rotation and holds no more than this: the kill came in the rotation
/// or in the some thousand changes after it.
const ROTATION_BYTES: u64 = 64 * 1_024;

/// How long a kill waits for what it is meant to hit, before it is done all the same.
const EVENT_MAX: Duration = Duration::from_secs(10);

/// How long before a kill it is said to be near.
const NEAR: Duration = Duration::from_millis(30);

/// When a life of the service is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// So long after the load has begun.
    Serving(Duration),
    /// So long after a snapshot's file was made.
    Snapshot(Duration),
    /// So long after a segment was begun.
    Rotation(Duration),
    /// At that part of the time that a start takes, in thousandths: before the service is ready.
    Starting(u32),
}

/// In the middle of what a kill came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    Snapshot,
    Rotation,
    Recovery,
}

impl Phase {
    pub(crate) const ALL: [Self; 4] =
        [Self::Serving, Self::Snapshot, Self::Rotation, Self::Recovery];

    /// In words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Serving => "while serving",
            Self::Snapshot => "in a snapshot",
            Self::Rotation => "in a rotation",
            Self::Recovery => "in recovery",
        }
    }
}

impl Moment {
    /// The moment for kill number `kill`, from 0: each kind in turn, at random within its kind. The
    /// first life has to bring something to lose: all states that a tuple may be in.
    pub(crate) fn of(kill: u32, rng: &mut Rng) -> Self {
        let micros = |rng: &mut Rng, max: u64| Duration::from_micros(rng.u64(..max));
        match kill % 5 {
            0 if kill == 0 => Self::Serving(Duration::from_secs(u64::from(EMBARGO)) + RIPE),
            2 => Self::Snapshot(micros(rng, 20_000)),
            3 => Self::Starting(rng.u32(..1_000)),
            4 => Self::Rotation(micros(rng, 5_000)),
            _ => Self::Serving(micros(rng, 2_500_000)),
        }
    }

    /// Waits for it, when the load has just begun; calls `is_near` shortly before.
    pub(crate) fn await_in(self, watch: &Watch, is_near: impl FnOnce()) {
        let begun = clock::boot();
        let (prefix, after) = match self {
            Self::Serving(after) => {
                clock::wait_until(begun + after.saturating_sub(NEAR));
                is_near();
                return clock::wait_until(begun + after);
            }
            Self::Starting(_) => return,
            Self::Snapshot(after) => ("snapshot-", after),
            Self::Rotation(after) => ("journal-", after),
        };
        let is_seen = watch.sees(prefix, begun + EVENT_MAX);
        is_near();
        if is_seen {
            clock::wait_until(clock::boot() + after);
        }
    }
}

/// Eyes on a state directory: what is made in it is seen at once.
#[derive(Debug)]
pub(crate) struct Watch {
    inotify: OwnedFd,
}

impl Watch {
    pub(crate) fn of(state: &Path) -> Self {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&inotify, state, WatchFlags::CREATE).unwrap();
        Self { inotify }
    }

    /// Waits until a file whose name begins with `prefix` is made; not longer than until that
    /// moment after boot. Says whether it was.
    fn sees(&self, prefix: &str, moment: Duration) -> bool {
        let is_it = |name: Option<&CStr>| {
            name.is_some_and(|name| name.to_bytes().starts_with(prefix.as_bytes()))
        };
        let mut buffer = [MaybeUninit::uninit(); 4_096];
        let mut events = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            // All that has happened, then what will.
            while let Ok(event) = events.next() {
                if is_it(event.file_name()) {
                    return true;
                }
            }
            if !clock::ready_by(&mut [PollFd::new(&self.inotify, PollFlags::IN)], moment) {
                return false;
            }
        }
    }
}

/// What lies in a state directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Files {
    /// Snapshots that are being written.
    unfinished: Vec<String>,
    /// The newest journal segment and its length in bytes.
    newest: Option<(String, u64)>,
}

impl Files {
    /// What is there now.
    pub(crate) fn of(state: &Path) -> Self {
        let mut files = Self::default();
        // No folder: killed before it was made.
        for entry in fs::read_dir(state).into_iter().flatten() {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".snap.new") {
                files.unfinished.push(name);
            } else if name.ends_with(".seg") && name.starts_with("journal-") {
                // Gone while we look: then it was not the newest.
                let Ok(metadata) = entry.metadata() else { continue };
                if files.newest.as_ref().is_none_or(|(newest, _)| *newest < name) {
                    files.newest = Some((name, metadata.len()));
                }
            }
        }
        files
    }

    /// In the middle of what a kill came that left `self`, when `ready` is what was there as the
    /// service became ready; nothing if it never did.
    pub(crate) fn phase(&self, ready: Option<&Self>) -> Phase {
        let Some(ready) = ready else { return Phase::Recovery };
        if self.unfinished.iter().any(|name| !ready.unfinished.contains(name)) {
            return Phase::Snapshot;
        }
        let name = |files: &Self| files.newest.as_ref().map(|(name, _)| name.clone());
        let is_short = self.newest.as_ref().is_some_and(|(_, bytes)| *bytes <= ROTATION_BYTES);
        if is_short && name(self) != name(ready) { Phase::Rotation } else { Phase::Serving }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(unfinished: &[&str], newest: &str, bytes: u64) -> Files {
        Files {
            unfinished: unfinished.iter().map(|name| (*name).to_owned()).collect(),
            newest: Some((newest.to_owned(), bytes)),
        }
    }

    #[test]
    fn a_phase_is_known_by_what_was_left() {
        let ready = files(&["snapshot-1.snap.new"], "journal-5.seg", 64);
        for (left, ready, phase) in [
            (files(&[], "journal-5.seg", 64), None, Phase::Recovery),
            (files(&["snapshot-1.snap.new"], "journal-5.seg", 900), Some(&ready), Phase::Serving),
            (files(&["snapshot-2.snap.new"], "journal-7.seg", 64), Some(&ready), Phase::Snapshot),
            (files(&[], "journal-7.seg", ROTATION_BYTES), Some(&ready), Phase::Rotation),
            (files(&[], "journal-7.seg", ROTATION_BYTES + 1), Some(&ready), Phase::Serving),
            (Files::default(), Some(&ready), Phase::Serving),
        ] {
            assert_eq!(left.phase(ready), phase, "{left:?}");
        }
    }

    #[test]
    fn what_is_made_in_the_folder_is_seen_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let watch = Watch::of(folder.path());
        fs::write(folder.path().join("journal-00000000000000000009.seg"), "123").unwrap();
        fs::write(folder.path().join("snapshot-00000000000000000009.snap.new"), "").unwrap();
        assert!(watch.sees("snapshot-", Duration::MAX));
        assert!(!watch.sees("snapshot-", Duration::ZERO));
        let expected = files(
            &["snapshot-00000000000000000009.snap.new"],
            "journal-00000000000000000009.seg",
            3,
        );
        assert_eq!(Files::of(folder.path()), expected);
    }
}
