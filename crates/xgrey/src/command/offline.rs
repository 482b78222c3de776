//! A state directory without a running service: opened for one command, and let go again.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use greylist::HashKey;
use store::CompactStore;
use store::disk::{Disk, ReadOnlyDisk, RealDisk};
use store::durable::{Read, Recovery};
use store::inspect::{self, Kind};
use store::text::{TextConfig, TextLog};

use super::{Failure, serve};
use crate::backup::{Entry, Header, Receiver, Taken, Target, Terms};
use crate::clock::Clock;
use crate::config::{Config, Keeping};
use crate::service::Service;
use crate::state_dir::{StateDir, StateError};

/// What is said of damage and doubts goes to standard error, without times: it is read at once.
pub(super) fn say_what_is_logged() {
    let subscriber = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(tracing::Level::WARN)
        .with_target(false)
        .without_time()
        .finish();
    // Somebody else may listen already: then it is heard there.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Takes a directory, with the mend for whoever meant the service that has it.
fn take(path: &Path) -> Result<Arc<StateDir>, Failure> {
    match StateDir::take(path) {
        Ok(state) => Ok(Arc::new(state)),
        Err(StateError::Taken { dir, holder }) => Err(Failure::Failed(format!(
            "the state in {} belongs to {holder}: leave --state out to ask that, or stop it first",
            dir.display()
        ))),
        Err(error) => Err(error.into()),
    }
}

/// What is in a state directory, read into memory; the directory stays as it is.
pub(super) struct ReadState {
    pub(super) store: CompactStore,
    pub(super) texts: Option<TextLog>,
    pub(super) notes: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) recovery: Recovery,
    /// Keeps services from starting meanwhile.
    _state: Arc<StateDir>,
}

/// Reads the state in a directory, under a configuration.
pub(super) fn read(config: &Config, path: &Path) -> Result<ReadState, Failure> {
    let key_path = path.join("hash-key");
    if !std::fs::exists(&key_path).unwrap_or(true) {
        return Err(Failure::Failed(format!(
            "there is no state in {}: name the directory of the service with --state",
            path.display()
        )));
    }
    let state = take(path)?;
    // It is there: no other is made.
    let hash_key = state.hash_key([0; 16])?;
    let key_fingerprint = hash_key.fingerprint();
    let real: Arc<dyn Disk> = Arc::new(RealDisk::new(path.to_owned()));
    let disk: Arc<dyn Disk> = Arc::new(ReadOnlyDisk::new(real));
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let Read { store, recovery, notes } = serve::with_progress(|progress| {
        CompactStore::read(serve::table(config, hash_key)?, &*disk, threads, progress)
            .map_err(|error| cannot_read(path, &error))
    })?;
    let texts = TextConfig { bytes_max: u64::MAX, key_fingerprint };
    let texts = match TextLog::open(disk, texts) {
        Ok((texts, _)) => Some(texts),
        Err(refusal) => {
            tracing::error!("the addresses of tuples are left out: {refusal}");
            None
        }
    };
    Ok(ReadState { store, texts, notes, recovery, _state: state })
}

fn cannot_read(path: &Path, error: &dyn Display) -> Failure {
    Failure::Failed(format!("cannot read the state in {}: {error}", path.display()))
}

/// A state directory into which an export is taken.
pub(super) struct OfflineTarget<'a> {
    path: &'a Path,
    /// Until the export's head is known.
    config: Option<Config>,
    opened: Option<Opened>,
}

/// A state directory that was opened.
struct Opened {
    service: Arc<Service>,
    clock: Clock,
    receiver: Receiver,
}

impl<'a> OfflineTarget<'a> {
    /// The directory `path`, under a configuration. Nothing is opened yet.
    ///
    /// # Errors
    /// When nothing would be kept there.
    pub(super) fn new(path: &'a Path, config: Config) -> Result<Self, Failure> {
        if config.store.journal == Keeping::NotKept {
            return Err(Failure::Failed(
                "the configuration says that tuples are kept in memory alone (journal = false): \
                 what is taken in would be forgotten at once"
                    .to_owned(),
            ));
        }
        Ok(Self { path, config: Some(config), opened: None })
    }

    /// Opens the directory. One without tuples takes the hash key of the export.
    fn open(&mut self, config: Config, hash_key: &HashKey) -> Result<(), Failure> {
        let mut state = take(self.path)?;
        // If there is none yet, this is it.
        let own = state.hash_key(*hash_key.as_bytes())?;
        if own != *hash_key {
            // A look first: what is there may be somebody's.
            drop(state);
            let there = read(&config, self.path)?;
            let stats = there.store.stats();
            let is_empty = stats.grey + stats.white == 0 && there.notes.is_empty();
            drop(there);
            state = take(self.path)?;
            if is_empty {
                clear(self.path).map_err(|error| cannot_read(self.path, &error))?;
                state.hash_key(*hash_key.as_bytes())?;
                eprintln!(
                    "there are no tuples in {}: it takes the hash key of the export",
                    self.path.display()
                );
            }
        }
        let (service, clock) = serve::opened(config, &state)?;
        let service = Arc::new(service);
        let receiver = Receiver::new(Arc::clone(&service), move || clock.now());
        self.opened = Some(Opened { service, clock, receiver });
        Ok(())
    }
}

/// Takes away what a state directory without tuples has: the key last, so that at no moment there are
/// files of one key beside another.
fn clear(path: &Path) -> io::Result<()> {
    let disk = RealDisk::new(path.to_owned());
    let wanted = |kind| {
        matches!(kind, Kind::Snapshot(_) | Kind::Journal(_) | Kind::Texts(_) | Kind::Unfinished)
    };
    for file in inspect::files(&disk)?.iter().filter(|file| wanted(file.kind)) {
        disk.remove(&file.name)?;
    }
    disk.sync_names()?;
    disk.remove("hash-key")
}

impl Target for OfflineTarget<'_> {
    type Error = String;

    fn begin(&mut self, header: &Header) -> Result<Terms, String> {
        if let Some(config) = self.config.take() {
            self.open(config, &header.hash_key).map_err(|failure| match failure {
                Failure::Failed(why) | Failure::Usage(why) => why,
                Failure::Told => String::new(),
            })?;
        }
        let opened = self.opened.as_mut().ok_or("the state directory is not open")?;
        opened.receiver.begin(header).map_err(|error| error.to_string())
    }

    fn take(&mut self, entry: Entry<'_>) -> Result<(), String> {
        let opened = self.opened.as_mut().ok_or("the state directory is not open")?;
        opened.receiver.take(entry).map_err(|error| error.to_string())
    }

    /// Ends with a snapshot: what was taken in is in one file, and the next start is quick.
    fn finish(&mut self) -> Result<(), String> {
        let Some(Opened { service, clock, receiver }) = &mut self.opened else { return Ok(()) };
        receiver.finish().map_err(|error| error.to_string())?;
        service.store().sync(clock.now());
        service.store().snapshot(clock.now())
    }

    fn taken(&self) -> Taken {
        self.opened.as_ref().map(|opened| opened.receiver.taken()).unwrap_or_default()
    }
}
