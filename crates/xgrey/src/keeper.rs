//! Looks after what outlives the process: a thread for each job, so that none holds up another.
//!
//! ```text
//!  sync    each `sync` of the configuration   store.sync
//!  upkeep  each second                        store.upkeep: is the journal well? is a snapshot due?
//!  text    each tenth of a second             texts.flush, and each second texts.upkeep
//!  counts  each minute                        metrics.keep: what has been counted, for the next start
//! ```
//! Neither is waited for by whoever decides. What they find is in the log, once when it begins and
//! once when it ends, and in `xgrey ctl stats` all the time.
//!
//! Never knows: what is in the files.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use store::durable::Event;
use store::text::TextLog;

use crate::clock::{self, Clock};
use crate::metrics::Metrics;
use crate::niceness::{Breather, be_nice};
use crate::service::Service;
use crate::thousands::thousands;

/// How often upkeep looks.
const UPKEEP: Duration = Duration::from_secs(1);

/// How often texts are written. A crash may lose those of the last tenth of a second: no state.
const TEXT: Duration = Duration::from_millis(100);
/// How many of these lie between two looks at what of the texts can go.
const TEXT_UPKEEP: u32 = 10;

/// How often what has been counted is written: a kill loses no more of it.
const COUNTS: Duration = Duration::from_secs(60);

/// The threads, as long as they run.
#[derive(Debug)]
pub struct Keeper {
    threads: Vec<(Sender<()>, JoinHandle<()>)>,
    service: Arc<Service>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl Keeper {
    /// Starts looking after the store of `service` and what `metrics` has counted. `sync`: how often the journal is made to outlive
    /// a power cut; `None`: that is nobody's job, or the journal's own.
    ///
    /// # Errors
    /// When the kernel gives no thread.
    pub fn start(
        service: Arc<Service>,
        metrics: Arc<Metrics>,
        clock: Clock,
        sync: Option<Duration>,
    ) -> io::Result<Self> {
        let mut keeper = Self { threads: Vec::new(), service, metrics, clock };
        if let Some(period) = sync {
            let (service, clock) = (Arc::clone(&keeper.service), clock);
            keeper.spawn("sync", period, move |_| service.store().sync(clock.now()))?;
        }
        let (service, clock) = (Arc::clone(&keeper.service), clock);
        keeper.spawn("upkeep", UPKEEP, move |stopped| {
            let begun = clock::boot();
            let mut breather = Breather::new(stopped);
            for event in service.store().upkeep(clock.now(), &mut || breather.breathe()) {
                tell(&event, clock::boot().saturating_sub(begun));
            }
        })?;
        let (service, metrics) = (Arc::clone(&keeper.service), Arc::clone(&keeper.metrics));
        keeper.spawn("counts", COUNTS, move |_| keep_counts(&metrics, &service, clock))?;
        if keeper.service.texts().is_some() {
            let service = Arc::clone(&keeper.service);
            let mut fault = TextFault::default();
            let mut turn = 0;
            keeper.spawn("text", TEXT, move |_| {
                turn = (turn + 1) % TEXT_UPKEEP;
                if let Some(texts) = service.texts() {
                    texts.flush();
                    if turn == 0 {
                        sift_texts(&service, texts, clock);
                    }
                    fault.tell(texts);
                }
            })?;
        }
        Ok(keeper)
    }

    /// Ends the threads, when they are done with what they are at (a snapshot is left unfinished:
    /// the journal has all of it), and syncs a last time. To be called when nothing is decided any more:
    /// then all that has been counted is kept.
    pub fn stop(self) {
        for (stop, thread) in self.threads {
            drop(stop);
            if thread.join().is_err() {
                tracing::error!(target: "store", "a keeper thread had panicked");
            }
        }
        if let Some(texts) = self.service.texts() {
            texts.flush();
        }
        keep_counts(&self.metrics, &self.service, self.clock);
        self.service.store().sync(self.clock.now());
    }

    fn spawn(
        &mut self,
        name: &str,
        period: Duration,
        mut work: impl FnMut(&Receiver<()>) + Send + 'static,
    ) -> io::Result<()> {
        let (stop, stopped) = channel();
        let body = move || {
            // Where there is one core, a snapshot must not make answers wait for its turns.
            be_nice();
            while passes(&stopped, period) {
                work(&stopped);
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body)?;
        self.threads.push((stop, thread));
        Ok(())
    }
}

/// Lets a period pass; `false` if the end came before.
fn passes(stopped: &Receiver<()>, period: Duration) -> bool {
    matches!(stopped.recv_timeout(period), Err(RecvTimeoutError::Timeout))
}

fn keep_counts(metrics: &Metrics, service: &Service, clock: Clock) {
    if let Err(error) = metrics.keep(clock.now(), service.store()) {
        tracing::warn!(target: "store", %error, "what has been counted is not kept");
    }
}

fn sift_texts(service: &Service, texts: &TextLog, clock: Clock) {
    let (store, now) = (service.store(), clock.now());
    texts.upkeep(now, &store.timing(), |id| store.peek_id(now, id));
}

/// Whether it was said that texts can't be written.
#[derive(Default)]
struct TextFault {
    said: bool,
}

impl TextFault {
    /// Says it once when it begins, and once when it is over.
    fn tell(&mut self, texts: &TextLog) {
        let stats = texts.stats();
        if self.said != stats.is_writing {
            return;
        }
        self.said = !stats.is_writing;
        match stats.last_trouble.filter(|_| self.said) {
            Some(trouble) => tracing::error!(
                target: "store",
                "the addresses of new tuples are not kept, only the tuples: {trouble}; tried again \
                 several times a second"
            ),
            None => tracing::warn!(target: "store", "the addresses of new tuples are kept again"),
        }
    }
}

fn tell(event: &Event, took: Duration) {
    match event {
        Event::WentDown(down) => tracing::error!(
            target: "store",
            "tuples are NOT kept on disk: {}; mail is answered from memory, and a restart would \
             forget what comes from now on; tried again each second",
            down.why
        ),
        Event::Mended(down) => tracing::warn!(
            target: "store",
            "tuples are kept on disk again, all of them: a snapshot has the {} changes that were in \
             memory alone",
            thousands(down.not_kept)
        ),
        Event::Snapshot(snapshot, dropped) => tracing::info!(
            target: "store",
            "snapshot of {} bytes taken in {:.1} s; {dropped} segments of the journal removed",
            thousands(snapshot.bytes),
            took.as_secs_f64()
        ),
        Event::SnapshotFailed(why) => tracing::error!(
            target: "store",
            "no snapshot could be taken: {why}; the journal goes on; tried again within a minute"
        ),
        Event::NotRemoved(why) => tracing::warn!(
            target: "store",
            "files that a snapshot replaces could not be removed: {why}"
        ),
    }
}
