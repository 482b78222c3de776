//! Opens the memory of tuples at start: from the state directory, with progress, and with a word on
//! everything that was not as it was written.

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use greylist::HashKey;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sd_notify::NotifyState;
use store::disk::{Disk, RealDisk};
use store::durable::{Opening, Progress, Recovery, Settings};
use store::journal::SyncPolicy as JournalSync;
use store::text::{TextConfig, TextLog};
use store::{CompactConfig, CompactStore};

use super::{Failure, limits, notify};
use crate::clock::{self, Clock};
use crate::config::{Bytes, Config, Keeping, SyncPolicy};
use crate::state_dir::StateDir;
use crate::thousands::thousands;

/// How often progress is said where there is no terminal to show it.
const PROGRESS_LINES: Duration = Duration::from_secs(5);
/// How much more time systemd is asked for each time: it waits for so long without a word.
const MORE_TIME: Duration = Duration::from_secs(60);

/// The memory, and the time that it goes by.
pub(super) struct Memory {
    pub(super) store: CompactStore,
    /// The addresses of tuples, if they are kept.
    pub(super) texts: Option<Arc<TextLog>>,
    pub(super) clock: Clock,
    /// How often the keeper syncs.
    pub(super) sync: Option<Duration>,
    /// What is said at start.
    pub(super) said: String,
}

/// Opens the memory that a configuration describes.
///
/// # Errors
/// When the bound is too small, or what is in the state directory can't be used: with the mend.
pub(super) fn open(config: &Config, state: &Arc<StateDir>) -> Result<Memory, Failure> {
    let wall = Clock::start();
    let hash_key = state.hash_key(super::random_bytes()?)?;
    let bound = limits::bound(config.bound)?;
    let disk = Arc::new(RealDisk::new(state.path().to_owned()));
    let texts = texts(config, &disk, &hash_key);
    let table = CompactConfig { timing: config.timing, bound, hash_key };
    if config.store.journal == Keeping::NotKept {
        let said = "in memory alone: a restart forgets them".to_owned();
        let store = CompactStore::new(table);
        return Ok(Memory { store, texts, clock: wall, sync: None, said });
    }
    let (sync, policy) = match config.store.sync {
        SyncPolicy::Every(period) => (Some(period), JournalSync::Regularly),
        SyncPolicy::Always => (None, JournalSync::Always),
        SyncPolicy::Never => (None, JournalSync::Never),
    };
    let holder = Arc::clone(state);
    let opening = Opening {
        config: table,
        disk,
        settings: Settings {
            sync: policy,
            segment_bytes: config.store.segment_bytes,
            snapshot_after: config.store.snapshot_after.map(|Bytes(bytes)| bytes),
        },
        prepare: Box::new(move || holder.hold().map_err(std::io::Error::other)),
        now: wall.now(),
        threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    };
    let begun = clock::boot();
    let shown = Shown::new(begun);
    let opened = CompactStore::open(opening, &|progress| shown.show(progress));
    shown.end();
    let opened = opened.map_err(|error| {
        Failure::Failed(format!(
            "cannot start with the state in {}: {error}",
            state.path().display()
        ))
    })?;
    let took = clock::boot().saturating_sub(begun);
    report(&opened.recovery, state);
    let clock = opened.recovery.newest.map_or(wall, |newest| wall.not_before(newest));
    if clock.wall_step_secs() < -super::CLOCK_STEP_SECS {
        tracing::warn!(
            target: "store",
            "the wall clock is {} s behind the newest tuple: time goes on from that tuple",
            -clock.wall_step_secs()
        );
    }
    let said = summary(&opened.recovery, &opened.store, took);
    Ok(Memory { store: opened.store, texts, clock, sync, said })
}

/// Does what reads a state directory, and shows how far it is.
pub(in crate::command) fn with_progress<T>(
    read: impl FnOnce(&(dyn Fn(Progress) + Sync)) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let shown = Shown::new(clock::boot());
    let read = read(&|progress| shown.show(progress));
    shown.end();
    read
}

/// The addresses of tuples. They are no state: what can't be read of them stops nothing.
fn texts(config: &Config, disk: &Arc<RealDisk>, hash_key: &HashKey) -> Option<Arc<TextLog>> {
    if config.store.text == Keeping::NotKept {
        return None;
    }
    let disk: Arc<dyn Disk> = Arc::<RealDisk>::clone(disk);
    let wanted =
        TextConfig { bytes_max: config.store.text_bytes, key_fingerprint: hash_key.fingerprint() };
    match TextLog::open(disk, wanted) {
        Ok((texts, report)) => {
            if let Some((file, at)) = report.damage.corrupt_at {
                let bytes = thousands(report.damage.corrupt_bytes);
                tracing::error!(
                    target: "store",
                    "{bytes} bytes of addresses are corrupt, the first in {file} at byte {at}: left \
                     out; the tuples are not touched by that"
                );
            }
            if let Some((file, why)) = report.damage.unreadable_why {
                tracing::error!(target: "store", "cannot read addresses in {file}: {why}");
            }
            Some(Arc::new(texts))
        }
        Err(refusal) => {
            tracing::error!(
                target: "store",
                "the addresses of tuples are neither read nor kept, only the tuples: {refusal}"
            );
            None
        }
    }
}

/// One line for the start-up message.
fn summary(recovery: &Recovery, store: &CompactStore, took: Duration) -> String {
    let stats = store.stats();
    let tuples = stats.grey + stats.white;
    if tuples == 0 && recovery.snapshot.is_none() && recovery.journal.changes == 0 {
        return "none yet; kept in the state directory".to_owned();
    }
    format!(
        "{} known ({} from a snapshot, then {} {}), read in {:.1} s",
        thousands(tuples),
        thousands(recovery.loaded),
        thousands(recovery.journal.changes),
        if recovery.journal.changes == 1 { "change" } else { "changes" },
        took.as_secs_f64()
    )
}

/// Says what was damaged and what that means.
fn report(recovery: &Recovery, state: &StateDir) {
    let dir = state.path().display();
    for damage in &recovery.damage {
        tracing::error!(target: "store", "{dir}/{damage}");
    }
    for finding in &recovery.journal.findings {
        if finding.is_normal() {
            tracing::info!(target: "store", "{dir}/{finding}");
        } else {
            tracing::error!(target: "store", "{dir}/{finding}");
        }
    }
    if recovery.journal.findings_untold > 0 {
        let more = thousands(recovery.journal.findings_untold);
        tracing::error!(target: "store", "{dir}: and {more} more such places");
    }
    if recovery.no_room > 0 {
        tracing::error!(
            target: "store",
            "{} tuples were forgotten: the table's bound is smaller than it was; give it more \
             `memory`",
            thousands(recovery.no_room)
        );
    }
    if !recovery.is_whole() {
        tracing::error!(
            target: "store",
            "part of what was remembered is lost: {} tuples of the snapshot and {} changes since \
             could be read, {} changes are known to be missing; senders of lost tuples are asked \
             to try again once more",
            thousands(recovery.loaded),
            thousands(recovery.journal.changes),
            thousands(recovery.journal.missing)
        );
    }
}

/// Progress, on a terminal as a bar, else as a line now and then.
struct Shown {
    bar: ProgressBar,
    begun: Duration,
    /// When the last line was said, in milliseconds since `begun`.
    said_ms: AtomicU64,
}

impl Shown {
    fn new(begun: Duration) -> Self {
        let target = match std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template(
            "  {msg:<9} {bar:40} {bytes:>10} of {total_bytes:<10} {bytes_per_sec:>12}, {eta} left",
        ) {
            bar.set_style(style);
        }
        Self { bar, begun, said_ms: AtomicU64::new(0) }
    }

    fn show(&self, progress: Progress) {
        let (what, done, of) = match progress {
            Progress::Snapshot { done, of } => ("snapshot", done, of),
            Progress::Journal { done, of } => ("journal", done, of),
        };
        if self.bar.length() != Some(of) {
            self.bar.set_length(of);
            self.bar.set_message(what);
        }
        self.bar.set_position(done);
        let ms = clock::boot().saturating_sub(self.begun).as_millis() as u64;
        let said = self.said_ms.load(Relaxed);
        let is_due = ms >= said + PROGRESS_LINES.as_millis() as u64;
        if is_due && self.said_ms.compare_exchange(said, ms, Relaxed, Relaxed).is_ok() {
            let more = u32::try_from(MORE_TIME.as_micros()).unwrap_or(u32::MAX);
            notify(&[NotifyState::ExtendTimeoutUsec(more)]);
            if self.bar.is_hidden() {
                tracing::info!(
                    target: "store",
                    "reading the {what}: {} of {} MiB",
                    thousands(done >> 20),
                    thousands(of >> 20)
                );
            }
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
