//! The state directory: one process owns it, and says so with a lock that dies with the process.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use greylist::HashKey;
use nix::fcntl::{Flock, FlockArg};
use parking_lot::Mutex;
use thiserror::Error;

use crate::listen::Holder;

/// Where state is kept, and where the control socket is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directories {
    /// State: the tuples, and the hash key that they are found with.
    pub state: PathBuf,
    /// What lasts only as long as the process: the control socket.
    pub runtime: PathBuf,
}

/// What of the environment decides where directories are.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Whether we are root.
    pub is_root: bool,
    /// `$STATE_DIRECTORY`, set by systemd; the first of several.
    pub state_directory: Option<PathBuf>,
    /// `$RUNTIME_DIRECTORY`, likewise.
    pub runtime_directory: Option<PathBuf>,
    /// `$XDG_STATE_HOME`.
    pub xdg_state_home: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<PathBuf>,
    /// `$HOME`.
    pub home: Option<PathBuf>,
}

impl Environment {
    /// As this process finds it. Empty and relative paths count as not set (XDG Base Directory
    /// Specification).
    pub fn of_this_process() -> Self {
        let path = |name: &str| {
            let value = std::env::var(name).ok()?;
            let first = PathBuf::from(value.split(':').next()?);
            first.is_absolute().then_some(first)
        };
        Self {
            is_root: nix::unistd::geteuid().is_root(),
            state_directory: path("STATE_DIRECTORY"),
            runtime_directory: path("RUNTIME_DIRECTORY"),
            xdg_state_home: path("XDG_STATE_HOME"),
            xdg_runtime_dir: path("XDG_RUNTIME_DIR"),
            home: path("HOME"),
        }
    }

    /// Where state goes, unless the command line says otherwise.
    pub fn state(&self) -> PathBuf {
        if let Some(given) = &self.state_directory {
            return given.clone();
        }
        if self.is_root {
            return PathBuf::from("/var/lib/xgrey");
        }
        let home = self.xdg_state_home.clone();
        let home = home.or_else(|| Some(self.home.as_ref()?.join(".local/state")));
        home.unwrap_or_else(std::env::temp_dir).join("xgrey")
    }

    /// Where the control socket goes, unless the command line says otherwise.
    pub fn runtime(&self) -> PathBuf {
        if let Some(given) = &self.runtime_directory {
            return given.clone();
        }
        if self.is_root {
            return PathBuf::from("/run/xgrey");
        }
        match &self.xdg_runtime_dir {
            Some(runtime) => runtime.join("xgrey"),
            None => self.state(),
        }
    }
}

/// Why the state directory can't be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// Another process owns it.
    #[error(
        "the state in {dir} belongs to {holder}: stop it, or give another directory with --state"
    )]
    Taken {
        /// The directory.
        dir: PathBuf,
        /// Who has it.
        holder: Holder,
    },
    /// The kernel refused.
    #[error("cannot use the state directory {path}: {error}; give another with --state")]
    Io {
        /// What was tried.
        path: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
    /// There are tuples, and no key to find them with.
    #[error(
        "{dir} has tuples ({file}) but no file hash-key, without which they can't be found: restore it from a backup, or move all files away to start with no tuples"
    )]
    HashKeyMissing {
        /// The directory.
        dir: PathBuf,
        /// One of its files.
        file: String,
    },
    /// The hash key's file is not 16 bytes.
    #[error(
        "{path} should be 16 bytes and is {len}: restore it from a backup, or remove it to start with no tuples"
    )]
    HashKey {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        len: usize,
    },
}

/// A state directory that is ours as long as this value lives.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Held for its lock.
    lock: Mutex<Flock<File>>,
    /// What the tuples there are hashed with, once that is known.
    hash_key: OnceLock<HashKey>,
}

impl StateDir {
    /// Makes the directory if need be (mode 0700) and takes it.
    ///
    /// # Errors
    /// When another process has it, or the kernel refuses.
    pub fn take(path: &Path) -> Result<Self, StateError> {
        let lock = Mutex::new(Self::lock(path)?);
        Ok(Self { path: path.to_owned(), lock, hash_key: OnceLock::new() })
    }

    /// Makes sure that the directory is still ours: if somebody has removed or replaced it, it is
    /// made and taken anew, with the hash key in it.
    ///
    /// # Errors
    /// When another process has it now, or the kernel refuses.
    pub fn hold(&self) -> Result<(), StateError> {
        let mut lock = self.lock.lock();
        let lock_path = self.path.join("lock");
        if !is_same(&lock, &lock_path) {
            *lock = Self::lock(&self.path)?;
        }
        let key_path = self.path.join("hash-key");
        match self.hash_key.get() {
            Some(key) if std::fs::read(&key_path).ok().as_deref() != Some(key.as_bytes()) => {
                self.write_hash_key(key.as_bytes()).map_err(|error| io_error(&key_path, error))
            }
            _ => Ok(()),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn lock(path: &Path) -> Result<Flock<File>, StateError> {
        make_private(path).map_err(|error| io_error(path, error))?;
        let lock_path = path.join("lock");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|error| io_error(&lock_path, error))?;
        let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((file, nix::errno::Errno::EWOULDBLOCK)) => {
                return Err(StateError::Taken { dir: path.to_owned(), holder: owner(file) });
            }
            Err((_, error)) => return Err(io_error(&lock_path, error.into())),
        };
        // So that a second process can say who we are.
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(|error| io_error(&lock_path, error))?;
        Ok(lock)
    }

    /// The secret that this directory's tuples are hashed with; made from `random` if there is none
    /// yet (mode 0600).
    ///
    /// # Errors
    /// When the file can't be read or made, or is not what we once wrote.
    pub fn hash_key(&self, random: [u8; 16]) -> Result<HashKey, StateError> {
        let path = self.path.join("hash-key");
        match std::fs::read(&path) {
            Ok(bytes) => match <[u8; 16]>::try_from(bytes.as_slice()) {
                Ok(key) => Ok(self.hash_key.get_or_init(|| HashKey::new(key)).clone()),
                Err(_) => Err(StateError::HashKey { path, len: bytes.len() }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(file) = self.any_tuples() {
                    return Err(StateError::HashKeyMissing { dir: self.path.clone(), file });
                }
                self.write_hash_key(&random).map_err(|error| io_error(&path, error))?;
                Ok(self.hash_key.get_or_init(|| HashKey::new(random)).clone())
            }
            Err(error) => Err(io_error(&path, error)),
        }
    }

    /// A file there that holds tuples, if there is one.
    fn any_tuples(&self) -> Option<String> {
        let names = std::fs::read_dir(&self.path).ok()?;
        let mut names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.find(|name| {
            store::journal::Segment::of_name(name).is_some()
                || store::snapshot::Snapshot::of_name(name).is_some()
        })
    }

    /// Whole or not at all, and for good: written beside, synced, renamed, the name synced. A power
    /// cut that took the key away would take all tuples with it.
    fn write_hash_key(&self, key: &[u8; 16]) -> io::Result<()> {
        let beside = self.path.join("hash-key.new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(key)?;
        file.sync_all()?;
        std::fs::rename(&beside, self.path.join("hash-key"))?;
        File::open(&self.path)?.sync_all()
    }
}

/// Whether the file that is open is the one of that name.
fn is_same(open: &File, path: &Path) -> bool {
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    let (open, named) = (open.metadata().map(identity), std::fs::metadata(path).map(identity));
    matches!((open, named), (Ok(open), Ok(named)) if open == named)
}

fn io_error(path: &Path, error: io::Error) -> StateError {
    StateError::Io { path: path.to_owned(), error }
}

/// Who has the state directory, as far as the kernel tells; `None`: nobody that we can see. Takes
/// no lock itself, so that it never keeps a service from starting.
pub fn holder(path: &Path) -> Option<Holder> {
    use procfs::Current;
    let file = File::open(path.join("lock")).ok()?;
    let inode = file.metadata().ok()?.ino();
    let locks = procfs::Locks::current().ok()?;
    // The device's number there is not always the one that files have: the inode must do.
    let is_ours =
        |lock: &procfs::Lock| lock.lock_type == procfs::LockType::FLock && lock.inode == inode;
    let lock = locks.0.iter().find(|lock| is_ours(lock))?;
    let pid = lock.pid.filter(|&pid| pid > 0);
    Some(pid.and_then(Holder::of_pid).unwrap_or_else(|| owner(file)))
}

/// Who wrote the lock file.
fn owner(mut file: File) -> Holder {
    let mut text = String::new();
    let _ = file.read_to_string(&mut text);
    let pid = text.trim().parse().ok();
    pid.and_then(Holder::of_pid).unwrap_or(Holder::Unknown)
}

/// Makes a directory that only its owner may enter. One that is there already is left as it is:
/// it may be somebody's `/tmp`, and our files in it are private by themselves.
///
/// # Errors
/// When the kernel refuses, or something else has that name.
pub fn make_private(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn systemd_decides_first_then_root_then_xdg_then_home() {
        let user = Environment { home: Some("/home/a".into()), ..Environment::default() };
        assert_eq!(user.state(), Path::new("/home/a/.local/state/xgrey"));
        let user = Environment { xdg_state_home: Some("/x/state".into()), ..user };
        assert_eq!(user.state(), Path::new("/x/state/xgrey"));
        let user = Environment { xdg_runtime_dir: Some("/run/user/7".into()), ..user };
        assert_eq!(user.runtime(), Path::new("/run/user/7/xgrey"));
        let root = Environment { is_root: true, ..user };
        assert_eq!(root.state(), Path::new("/var/lib/xgrey"));
        assert_eq!(root.runtime(), Path::new("/run/xgrey"));
        let systemd = Environment {
            state_directory: Some("/var/lib/private/xgrey".into()),
            runtime_directory: Some("/run/private/xgrey".into()),
            ..root
        };
        assert_eq!(systemd.state(), Path::new("/var/lib/private/xgrey"));
        assert_eq!(systemd.runtime(), Path::new("/run/private/xgrey"));
    }

    #[test]
    fn a_second_owner_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let first = StateDir::take(&path).unwrap();
        let refused = StateDir::take(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        let said = holder(&path).map(|holder| holder.to_string());
        assert!(said.is_some_and(|said| refused.contains(&said)));
        drop(first);
        assert_eq!(holder(&path), None);
        StateDir::take(&path).unwrap();
    }

    #[test]
    fn the_hash_key_stays_the_same_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::take(&dir.path().join("state")).unwrap();
        let first = state.hash_key([1; 16]).unwrap();
        assert_eq!(state.hash_key([2; 16]).unwrap(), first);
        let file = dir.path().join("state/hash-key");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&file, b"short").unwrap();
        assert!(matches!(state.hash_key([2; 16]), Err(StateError::HashKey { len: 5, .. })));
    }

    #[test]
    fn tuples_without_their_hash_key_are_not_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::take(dir.path()).unwrap();
        std::fs::write(dir.path().join("journal-00000000000000000000.seg"), b"").unwrap();
        let refused = state.hash_key([1; 16]).unwrap_err().to_string();
        assert!(refused.contains("restore it from a backup"), "{refused}");
        assert!(!dir.path().join("hash-key").exists());
    }

    #[test]
    fn a_directory_that_was_removed_is_made_and_taken_anew_with_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let state = StateDir::take(&path).unwrap();
        let key = state.hash_key([1; 16]).unwrap();
        std::fs::remove_dir_all(&path).unwrap();
        state.hold().unwrap();
        assert_eq!(std::fs::read(path.join("hash-key")).unwrap(), key.as_bytes());
        assert!(matches!(StateDir::take(&path), Err(StateError::Taken { .. })));
        state.hold().unwrap();
        drop(state);
        StateDir::take(&path).unwrap();
    }

    #[test]
    fn a_new_state_directory_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("some/where/state");
        StateDir::take(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
