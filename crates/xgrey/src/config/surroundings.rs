//! What a configuration refers to outside its own text: list files, directories, users. Behind a
//! trait, so that tests and fuzzers read nothing of the machine they run on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Lists are read in pieces of this size: one system call a few thousand lines.
const READ_BYTES: usize = 256 * 1024;

/// The outside.
pub trait Surroundings {
    /// Opens a list file.
    ///
    /// # Errors
    /// When there is no such file, when it is no regular file, or when it may not be read.
    fn open(&self, path: &Path) -> io::Result<Box<dyn BufRead>>;

    /// The names of the files in a directory, in any order.
    ///
    /// # Errors
    /// When there is no such directory, or when it may not be read.
    fn names_in(&self, directory: &Path) -> io::Result<Vec<OsString>>;

    /// The number of a user, if there is one of that name.
    fn user(&self, name: &str) -> Option<u32>;

    /// The number of a group, if there is one of that name.
    fn group(&self, name: &str) -> Option<u32>;

    /// Bytes of memory that there are; `None` if that is not known.
    fn memory(&self) -> Option<u64>;
}

/// The machine that the program runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThisMachine;

impl Surroundings for ThisMachine {
    fn open(&self, path: &Path) -> io::Result<Box<dyn BufRead>> {
        // Asked before opening: to open a named pipe would wait for somebody to write into it.
        let metadata = fs::metadata(path)?;
        // A link to it is the usual way to mask a file.
        if fs::canonicalize(path)? == Path::new("/dev/null") {
            return Ok(Box::new(io::empty()));
        }
        if !metadata.is_file() {
            let (kind, what) = match metadata.is_dir() {
                true => (io::ErrorKind::IsADirectory, "this is a directory"),
                false => (io::ErrorKind::InvalidInput, "this is not a regular file"),
            };
            return Err(io::Error::new(kind, what));
        }
        Ok(Box::new(BufReader::with_capacity(READ_BYTES, File::open(path)?)))
    }

    fn names_in(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn user(&self, name: &str) -> Option<u32> {
        nix::unistd::User::from_name(name).ok().flatten().map(|user| user.uid.as_raw())
    }

    fn group(&self, name: &str) -> Option<u32> {
        nix::unistd::Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw())
    }

    fn memory(&self) -> Option<u64> {
        crate::machine::memory_bytes()
    }
}

/// A machine made up: for tests and fuzzers.
#[derive(Clone, Debug, Default)]
pub struct MadeUp {
    /// Each file's path and contents. A directory exists if a file is in it.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    /// Users, which are groups of the same name and number as well.
    pub users: BTreeMap<String, u32>,
    /// Bytes of memory; `None`: not known.
    pub memory: Option<u64>,
}

impl Surroundings for MadeUp {
    fn open(&self, path: &Path) -> io::Result<Box<dyn BufRead>> {
        let contents = self.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(io::Cursor::new(contents.clone())))
    }

    fn names_in(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        let within = |path: &&PathBuf| path.parent() == Some(directory);
        let names: Vec<OsString> = self
            .files
            .keys()
            .filter(within)
            .filter_map(|path| path.file_name())
            .map(OsString::from)
            .collect();
        if names.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(names) }
    }

    fn user(&self, name: &str) -> Option<u32> {
        self.users.get(name).copied()
    }

    fn group(&self, name: &str) -> Option<u32> {
        self.users.get(name).copied()
    }

    fn memory(&self) -> Option<u64> {
        self.memory
    }
}
