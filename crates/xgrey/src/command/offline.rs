//! A state directory without a running service: opened for one command, and let go again.

use std::fmt::Display;
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt, lchown};
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
use crate::metrics::{self, Offline, is_note_of_counts};
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
    let Read { store, recovery } = serve::with_progress(|progress| {
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
    Ok(ReadState { store, texts, recovery, _state: state })
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
    /// Goes last, whatever happens.
    gift: Option<Gift<'a>>,
}

/// A state directory that was opened.
struct Opened {
    service: Arc<Service>,
    clock: Clock,
    receiver: Receiver,
    /// What has been counted here, if a service ran here before.
    counts: Option<Offline>,
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
        Ok(Self { path, config: Some(config), opened: None, gift: None })
    }

    /// Opens the directory. One without tuples takes the hash key of the export.
    fn open(&mut self, config: Config, hash_key: &HashKey) -> Result<(), Failure> {
        let mut state = take(self.path)?;
        self.gift = Some(Gift(self.path));
        // If there is none yet, this is it.
        let own = state.hash_key(*hash_key.as_bytes())?;
        let mut left = Vec::new();
        if own != *hash_key {
            // A look first: what is there may be somebody's.
            drop(state);
            let there = read(&config, self.path)?;
            let stats = there.store.stats();
            // What was counted here is kept.
            let notes = there.store.notes();
            let is_empty = stats.grey + stats.white == 0
                && notes.iter().all(|(name, _)| is_note_of_counts(name));
            if is_empty {
                left.extend(notes);
            }
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
        for (_, counts) in left {
            metrics::take_in(service.store(), clock.now(), counts);
        }
        let counts = Offline::begin(service.store());
        let receiver = Receiver::new(Arc::clone(&service), move || clock.now());
        self.opened = Some(Opened { service, clock, receiver, counts });
        Ok(())
    }
}

/// Gives what was written in a directory to the user whose the directory is: for the service, which is not
/// root. Does nothing unless we are root.
struct Gift<'a>(&'a Path);

impl Drop for Gift<'_> {
    fn drop(&mut self) {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let given = std::fs::metadata(self.0).and_then(|folder| {
            let (uid, gid) = (folder.uid(), folder.gid());
            std::fs::read_dir(self.0)?.try_for_each(|entry| {
                let entry = entry?;
                let name = entry.file_name();
                // The folder may be somebody's /tmp.
                match name.to_str().map_or(Kind::Other, Kind::of_name) {
                    Kind::Other => Ok(()),
                    _ => lchown(entry.path(), Some(uid), Some(gid)),
                }
            })
        });
        if let Err(error) = given {
            let dir = self.0.display();
            eprintln!(
                "the files in {dir} could not be given to its owner: {error}; \
                 use `chown -R --reference={dir} {dir}`"
            );
        }
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
        let Some(opened) = &mut self.opened else { return Ok(()) };
        let Opened { service, clock, receiver, counts } = opened;
        receiver.finish().map_err(|error| error.to_string())?;
        if let Some(counts) = counts.take() {
            counts.end(clock.now(), service.store(), receiver.taken().new_tuples());
        }
        service.store().sync(clock.now());
        service.store().snapshot(clock.now())
    }

    fn taken(&self) -> Taken {
        self.opened.as_ref().map(|opened| opened.receiver.taken()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::{Export, Line, Outcome, StateSource, Tally, Wish, import};
    use crate::config::{MadeUp, parse_text};

    fn config(text: &str) -> Config {
        let text = format!("memory = \"16MiB\"\n{text}");
        parse_text(&text, Path::new("xgrey.toml"), &MadeUp::default()).unwrap().0
    }

    /// An export with a tuple, a text of another and a note, of tuples that are new now.
    fn export(hash_key: HashKey) -> String {
        let time = Clock::start().now();
        let timing = greylist::Timing::DEFAULT;
        let mut out = String::new();
        Header { program: "0.1.0".to_owned(), hash_key, timing, time }.write(&mut out);
        let at = crate::backup::rfc3339(time);
        out + &format!(
            "text 000000000000001 grey {at} {at} 192.0.2.7 alice@example.net bob@example.org\n\
             tuple 000000000000001 grey {at}\n\
             tuple 000000000000002 white {at}\n\
             note rule%201 accept%20192.0.2.0/24\n\
             note rule%202 <>\n\
             end texts 1 tuples 2 notes 2\n"
        )
    }

    fn imported(path: &Path, export: &str) -> Outcome {
        let mut target = OfflineTarget::new(path, config("")).unwrap_or_else(|_| panic!("refused"));
        import(export.as_bytes(), &mut target, |_| Wish::GoOn).unwrap()
    }

    /// What is exported of a directory, but for its head and marks.
    fn entries(path: &Path) -> Vec<String> {
        let state = read(&config(""), path).unwrap_or_else(|_| panic!("not read"));
        let clock = Clock::start();
        let now = || clock.now();
        let source = StateSource::new(&state.store, state.texts.as_ref(), &now);
        let mut export = Export::new(source, None);
        let chunks = std::iter::from_fn(|| export.next_chunk()).skip(1);
        let lines: String = chunks.map(|chunk| chunk.lines).collect();
        let is_entry =
            |line: &&str| matches!(Line::parse(line.as_bytes()), Ok(Some(Line::Entry(_))));
        lines.lines().filter(is_entry).map(first_words).collect()
    }

    /// A line without its times, which a white tuple's slot only has about.
    fn first_words(line: &str) -> String {
        let words = line.split(' ').filter(|word| !word.ends_with('Z'));
        words.collect::<Vec<_>>().join(" ")
    }

    const KEPT: [&str; 5] = [
        "text 000000000000001 grey 192.0.2.7 alice@example.net bob@example.org",
        "tuple 000000000000001 grey",
        "tuple 000000000000002 white",
        "note rule%201 accept%20192.0.2.0/24",
        "note rule%202 <>",
    ];

    #[test]
    fn an_empty_directory_takes_all_with_the_key_and_gives_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let outcome = imported(&path, &export(HashKey::new([7; 16])));
        assert!(outcome.is_whole());
        assert_eq!(outcome.terms, Terms::All);
        assert_eq!(std::fs::read(path.join("hash-key")).unwrap(), [7; 16]);
        assert_eq!(entries(&path), KEPT);
        let again = imported(&path, &export(HashKey::new([7; 16])));
        assert_eq!(again.taken.by_tuple(Terms::All).new, 0);
        assert_eq!(entries(&path), KEPT);
    }

    #[test]
    fn a_directory_in_which_a_service_ran_and_saw_nobody_takes_the_key_too() {
        let folder = tempfile::tempdir().unwrap();
        let state = take(folder.path()).unwrap_or_else(|_| panic!("taken"));
        state.hash_key([1; 16]).unwrap();
        let Ok((service, clock)) = serve::opened(config(""), &state) else { panic!("not opened") };
        service.store().snapshot(clock.now()).unwrap();
        drop((service, state));
        let outcome = imported(folder.path(), &export(HashKey::new([7; 16])));
        assert_eq!(outcome.terms, Terms::All);
        assert_eq!(std::fs::read(folder.path().join("hash-key")).unwrap(), [7; 16]);
        assert_eq!(entries(folder.path()), KEPT);
    }

    #[test]
    fn a_directory_with_tuples_keeps_its_key_and_takes_what_has_addresses() {
        let folder = tempfile::tempdir().unwrap();
        imported(folder.path(), &export(HashKey::new([7; 16])));
        let outcome = imported(folder.path(), &export(HashKey::new([8; 16])));
        assert_eq!(outcome.terms, Terms::TextsAlone);
        let one = Tally { new: 1, ..Tally::default() };
        assert_eq!(outcome.taken.by_tuple(outcome.terms), one);
        assert_eq!(std::fs::read(folder.path().join("hash-key")).unwrap(), [7; 16]);
        assert_eq!(entries(folder.path()).len(), KEPT.len() + 2);
    }

    #[test]
    fn what_would_be_forgotten_at_once_is_refused() {
        let refused =
            OfflineTarget::new(Path::new("/nonexistent"), config("[store]\njournal = false"));
        assert!(matches!(refused, Err(Failure::Failed(why)) if why.contains("journal = false")));
    }

    #[test]
    fn a_folder_without_state_is_not_exported_and_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let Err(Failure::Failed(why)) = read(&config(""), folder.path()) else { panic!("read") };
        assert!(why.starts_with("there is no state in "), "{why}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
