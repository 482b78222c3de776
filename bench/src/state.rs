//! A store's state directory: opened, and looked after by threads as the service looks after its own.
//!
//! Never knows: what is measured.

use std::fmt;
use std::fs;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail};
use greylist::Timestamp;
use store::disk::{Disk, RealDisk};
use store::durable::{Event, Opened, Opening, Progress, Settings};
use store::journal::SyncPolicy;
use store::text::{TextConfig, TextLog};
use store::{CompactConfig, CompactStore};

/// At how many bytes a segment of the journal ends: the service's default.
const SEGMENT_BYTES: u64 = 64 << 20;
/// How many bytes of text are kept: the service's default.
const TEXT_BYTES: u64 = 1 << 30;
/// How often the threads do what they are for: as the service's.
const UPKEEP: Duration = Duration::from_secs(1);
const TEXT: Duration = Duration::from_millis(100);
const TEXT_UPKEEP: u32 = 10;

/// When changes are made to outlive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Once in each such time.
    Every(Duration),
    /// Before each answer.
    Always,
    /// When the kernel gets round to it.
    Never,
}

impl Sync {
    /// `always`, `never`, `1s`, `250ms`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let number = |text: &str, scale: f64| {
            let seconds = text.parse::<f64>().ok()? * scale;
            Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero())
        };
        let period = match (text, text.strip_suffix("ms"), text.strip_suffix('s')) {
            ("always", ..) => return Ok(Self::Always),
            ("never", ..) => return Ok(Self::Never),
            (_, Some(millis), _) => number(millis, 1e-3),
            (.., Some(seconds)) => number(seconds, 1.0),
            _ => None,
        };
        period.map(Self::Every).ok_or_else(|| {
            "a sync is always, never, or a length of time such as 1s or 250ms".to_owned()
        })
    }

    const fn policy(self) -> SyncPolicy {
        match self {
            Self::Every(_) => SyncPolicy::Regularly,
            Self::Always => SyncPolicy::Always,
            Self::Never => SyncPolicy::Never,
        }
    }
}

impl fmt::Display for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(period) => write!(f, "each {} s", period.as_secs_f64()),
            Self::Always => write!(f, "before each answer"),
            Self::Never => write!(f, "never"),
        }
    }
}

/// Makes `directory`, or takes it if it is empty.
///
/// # Errors
/// When there is something in it: the bench does not write over anybody's state.
pub(crate) fn make_empty(directory: &Path) -> anyhow::Result<()> {
    let shown = directory.display();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("make {shown}"))?;
    if fs::read_dir(directory).with_context(|| format!("read {shown}"))?.next().is_some() {
        bail!("{shown} is not empty: name a directory that is, or that is not there yet");
    }
    Ok(())
}

/// Opens the store in `directory`, be it empty. `progress` is called by several threads.
///
/// # Errors
/// When what is there can't be read.
pub(crate) fn open(
    directory: &Path,
    config: CompactConfig,
    now: Timestamp,
    sync: Sync,
    progress: &(dyn Fn(Progress) + std::marker::Sync),
) -> anyhow::Result<Opened> {
    let opening = Opening {
        config,
        disk: disk(directory),
        settings: Settings {
            sync: sync.policy(),
            segment_bytes: SEGMENT_BYTES,
            snapshot_after: None,
        },
        // Nobody takes the directory away.
        prepare: Box::new(|| Ok(())),
        now,
        threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    };
    CompactStore::open(opening, progress).with_context(|| directory.display().to_string())
}

/// Opens the log of texts in `directory`.
///
/// # Errors
/// When what is there can't be read.
pub(crate) fn open_texts(directory: &Path, config: &CompactConfig) -> anyhow::Result<TextLog> {
    let config =
        TextConfig { bytes_max: TEXT_BYTES, key_fingerprint: config.hash_key.fingerprint() };
    let (texts, _) = TextLog::open(disk(directory), config)
        .map_err(|refusal| anyhow::anyhow!("{}: {refusal}", directory.display()))?;
    Ok(texts)
}

fn disk(directory: &Path) -> Arc<dyn Disk> {
    Arc::new(RealDisk::new(directory.to_owned()))
}

/// The time of a store that is looked after: read by its threads, set by whoever touches it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Time(Arc<AtomicU64>);

impl Time {
    pub(crate) fn set(&self, now: Timestamp) {
        self.0.store(now.as_unix_secs(), Ordering::Relaxed);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_secs(self.0.load(Ordering::Relaxed))
    }
}

/// What the threads have seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Snapshots that were taken.
    pub(crate) snapshots: u64,
    /// What should not happen: a journal that went down, a snapshot that failed.
    pub(crate) faults: Vec<String>,
}

impl Seen {
    fn add(&mut self, event: Event) {
        match event {
            Event::Snapshot(..) => self.snapshots += 1,
            Event::WentDown(down) => {
                self.faults.push(format!("the journal went down: {}", down.why));
            }
            Event::Mended(_) => self.faults.push("the journal was mended".to_owned()),
            Event::SnapshotFailed(why) => self.faults.push(format!("no snapshot: {why}")),
            Event::NotRemoved(why) => self.faults.push(format!("not removed: {why}")),
        }
    }
}

/// The threads that look after a store.
#[derive(Debug)]
pub(crate) struct Keeper {
    upkeep: (Sender<()>, JoinHandle<Seen>),
    others: Vec<(Sender<()>, JoinHandle<()>)>,
}

impl Keeper {
    /// Starts them: one that syncs, one for upkeep and one for texts, as the service has.
    pub(crate) fn start(
        store: &Arc<CompactStore>,
        texts: Option<&Arc<TextLog>>,
        sync: Sync,
        time: &Time,
    ) -> Self {
        let mut others = Vec::new();
        if let Sync::Every(period) = sync {
            let (store, time) = (Arc::clone(store), time.clone());
            others.push(each(period, (), move |()| store.sync(time.now())));
        }
        if let Some(texts) = texts {
            let (store, texts, time) = (Arc::clone(store), Arc::clone(texts), time.clone());
            let mut turn = 0;
            others.push(each(TEXT, (), move |()| {
                texts.flush();
                turn = (turn + 1) % TEXT_UPKEEP;
                if turn == 0 {
                    let now = time.now();
                    texts.upkeep(now, &store.timing(), |id| store.peek_id(now, id));
                }
            }));
        }
        let (store, time) = (Arc::clone(store), time.clone());
        let upkeep = each(UPKEEP, Seen::default(), move |seen| {
            let seen_now = store.upkeep(time.now(), &mut || ControlFlow::Continue(()));
            seen_now.into_iter().for_each(|event| seen.add(event));
        });
        Self { upkeep, others }
    }

    /// Ends them when they are done with what they are at; what they have seen.
    ///
    /// # Errors
    /// When one of them has panicked.
    pub(crate) fn stop(self) -> anyhow::Result<Seen> {
        for (stop, thread) in self.others {
            drop(stop);
            thread.join().map_err(|_| anyhow::anyhow!("a thread has panicked"))?;
        }
        let (stop, thread) = self.upkeep;
        drop(stop);
        thread.join().map_err(|_| anyhow::anyhow!("the upkeep has panicked"))
    }
}

/// A thread that works once in each `period`, until what it is given back is dropped.
fn each<T: Send + 'static>(
    period: Duration,
    mut with: T,
    mut work: impl FnMut(&mut T) + Send + 'static,
) -> (Sender<()>, JoinHandle<T>) {
    let (stop, stopped) = channel();
    let thread = std::thread::spawn(move || {
        while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
            work(&mut with);
        }
        with
    });
    (stop, thread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_is_read_as_people_write_it() {
        for (text, expected) in [
            ("always", Some(Sync::Always)),
            ("never", Some(Sync::Never)),
            ("1s", Some(Sync::Every(Duration::from_secs(1)))),
            ("250ms", Some(Sync::Every(Duration::from_millis(250)))),
            ("0s", None),
            ("-1s", None),
            ("often", None),
            ("1", None),
        ] {
            assert_eq!(Sync::parse(text).ok(), expected, "{text}");
        }
        assert_eq!(Sync::Every(Duration::from_millis(250)).to_string(), "each 0.25 s");
    }

    #[test]
    fn nobodys_state_is_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("a").join("b");
        make_empty(&state).unwrap();
        make_empty(&state).unwrap();
        fs::write(state.join("hash-key"), "").unwrap();
        let error = make_empty(&state).unwrap_err().to_string();
        assert!(error.contains("is not empty"), "{error}");
    }
}
