//! Where an export is written to: a file that has its name only when it is whole, or standard output.
//!
//! ```text
//!  FILE.part ── whole ─▶ synced ─▶ FILE
//!      └── found again: read up to its last good mark, cut there, gone on with
//! ```
//! What was written before an interruption is counted against its marks before anything is added: a
//! power cut can leave a file with holes.
//!
//! Never knows: what is exported, who gives it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use thiserror::Error;

use super::header::{Header, HeaderDraft, HeaderFault};
use super::line::{Line, Mark, Totals};
use super::lines::{Lines, Next};

/// Only for its owner.
const MODE: u32 = 0o600;

/// Why an export can't be written.
#[derive(Debug, Error)]
pub enum PartError {
    /// The kernel refused.
    #[error("cannot write {path}: {error}")]
    Io {
        /// What was to be written.
        path: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
    /// Somebody writes it already.
    #[error("{path} is being written by another export")]
    Taken {
        /// The part that is there.
        path: PathBuf,
    },
    /// Something else has the name.
    #[error("{path} {fault}. It is in the way: remove it, or export to another file")]
    InTheWay {
        /// The part that is there.
        path: PathBuf,
        /// Why it can't be gone on with.
        fault: HeaderFault,
    },
    /// It is of another store.
    #[error(
        "{path} was begun from a store with another hash key, so this can't go on with it: remove it, \
         or export to another file"
    )]
    OtherStore {
        /// The part that is there.
        path: PathBuf,
    },
}

/// A part that was written before an interruption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Its head.
    pub header: Header,
    /// How far it is whole.
    pub mark: Mark,
}

/// Where lines go.
#[derive(Debug)]
pub enum Output {
    /// A file that isn't whole yet.
    Part(Part),
    /// Something that can't be named and gone on with: a pipe, a terminal, a device.
    Stream {
        /// What it is called.
        path: PathBuf,
        /// It.
        file: File,
    },
}

/// A file that isn't whole yet. One in which there is nothing goes when this does.
#[derive(Debug)]
pub struct Part {
    file: Flock<File>,
    part_path: PathBuf,
    path: PathBuf,
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            // Should it stay, it is in nobody's way.
            let _ = std::fs::remove_file(&self.part_path);
        }
    }
}

impl Output {
    /// Standard output.
    ///
    /// # Errors
    /// When it is closed.
    pub fn standard() -> Result<Self, PartError> {
        let path = PathBuf::from("standard output");
        match std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned() {
            Ok(descriptor) => Ok(Self::Stream { path, file: descriptor.into() }),
            Err(error) => Err(PartError::Io { path, error }),
        }
    }

    /// A file of that name once it is whole, and what of it is there already.
    ///
    /// # Errors
    /// When the part that is there belongs to something else, or the kernel refuses.
    pub fn file(path: &Path) -> Result<(Self, Option<Begun>), PartError> {
        if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            let file = OpenOptions::new().write(true).open(path);
            let file = file.map_err(|error| PartError::Io { path: path.to_owned(), error })?;
            return Ok((Self::Stream { path: path.to_owned(), file }, None));
        }
        let (part, begun) = Part::open(path)?;
        Ok((Self::Part(part), begun))
    }

    /// Adds lines.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn write(&mut self, lines: &str) -> Result<(), PartError> {
        let written = match self {
            Self::Part(part) => part.file.write_all(lines.as_bytes()),
            Self::Stream { file, .. } => file.write_all(lines.as_bytes()),
        };
        written.map_err(|error| PartError::Io { path: self.path().to_owned(), error })
    }

    /// All is written: gives the file its name, and says it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn finish(self) -> Result<PathBuf, PartError> {
        let part = match &self {
            Self::Part(part) => part,
            Self::Stream { path, .. } => return Ok(path.clone()),
        };
        let path = part.path.clone();
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let finished = part
            .file
            .sync_all()
            .and_then(|()| std::fs::rename(&part.part_path, &path))
            .and_then(|()| File::open(folder)?.sync_all());
        match finished {
            Ok(()) => Ok(path),
            Err(error) => Err(PartError::Io { path, error }),
        }
    }

    /// What is being written, by the name that it has until it is whole.
    pub fn path(&self) -> &Path {
        match self {
            Self::Part(part) => &part.part_path,
            Self::Stream { path, .. } => path,
        }
    }
}

impl Part {
    fn open(path: &Path) -> Result<(Self, Option<Begun>), PartError> {
        let mut part_path = OsString::from(path);
        part_path.push(".part");
        let part_path = PathBuf::from(part_path);
        let failed = |error| PartError::Io { path: part_path.clone(), error };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(MODE)
            .open(&part_path)
            .map_err(failed)?;
        let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((_, Errno::EWOULDBLOCK)) => return Err(PartError::Taken { path: part_path }),
            Err((_, error)) => return Err(failed(error.into())),
        };
        let begun = match look(&file).map_err(failed)? {
            Found::Nothing => None,
            Found::Begun(begun, end) => Some((begun, end)),
            Found::InTheWay(fault) => {
                return Err(PartError::InTheWay { path: part_path, fault });
            }
        };
        let end = begun.as_ref().map_or(0, |&(_, end)| end);
        file.set_permissions(Permissions::from_mode(MODE))
            .and_then(|()| file.set_len(end))
            .and_then(|()| file.seek(SeekFrom::Start(end)))
            .map_err(failed)?;
        let part = Self { file, part_path, path: path.to_owned() };
        Ok((part, begun.map(|(begun, _)| begun)))
    }
}

/// What is in a part that is there.
enum Found {
    /// Nothing to go on with.
    Nothing,
    /// An export, and the byte behind its last good mark.
    Begun(Begun, u64),
    /// Something that we had better not write over.
    InTheWay(HeaderFault),
}

/// Reads it from its start, as far as its marks count right.
fn look(file: &File) -> io::Result<Found> {
    let mut lines = Lines::of(BufReader::with_capacity(1 << 20, file));
    let mut draft = HeaderDraft::default();
    let header = loop {
        let before = lines.number();
        match lines.next_line()? {
            Next::Line(line) => match draft.take(line) {
                Ok(None) => {}
                Ok(Some(header)) => break header,
                Err(fault) => return Ok(Found::InTheWay(fault)),
            },
            Next::TooLong(_) => return Ok(Found::InTheWay(HeaderFault::Foreign)),
            // Not even one line: none of ours, whose head is written at once.
            Next::Cut(_) if before == 0 => return Ok(Found::InTheWay(HeaderFault::Foreign)),
            Next::Cut(_) | Next::End => return Ok(Found::Nothing),
        }
    };
    let mut found = None;
    let mut counted = Totals::default();
    while let Next::Line(line) = lines.next_line()? {
        if line.starts_with(b"tuple ") {
            counted.tuples += 1;
        } else if line.starts_with(b"text ") {
            counted.texts += 1;
        } else if line.starts_with(b"shard ") {
            match Line::parse(line) {
                Ok(Some(Line::Mark(mark))) if mark.totals == counted => {
                    found = Some((mark, lines.bytes()));
                }
                _ => break,
            }
        }
    }
    Ok(match found {
        Some((mark, end)) => Found::Begun(Begun { header, mark }, end),
        None => Found::Nothing,
    })
}

#[cfg(test)]
mod tests {
    use super::super::export::tests::{MadeUp, chunks, text};
    use super::*;

    fn export() -> String {
        text(&chunks(&MadeUp::new(100, 1_000), None))
    }

    /// What is made of a part with `bytes` in it: how far it is whole, and what of it stays.
    fn reopened(bytes: &[u8]) -> Result<(Option<Begun>, String), PartError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup");
        let part = folder.path().join("backup.part");
        std::fs::write(&part, bytes).unwrap();
        let (mut output, begun) = Output::file(&path)?;
        output.write("").unwrap();
        let mode = std::fs::metadata(&part).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        Ok((begun, std::fs::read_to_string(&part).unwrap()))
    }

    #[test]
    fn a_file_has_its_name_only_when_it_is_whole_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup");
        std::fs::write(&path, "the one before").unwrap();
        let (mut output, begun) = Output::file(&path).unwrap();
        assert_eq!(begun, None);
        output.write("new\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "the one before");
        output.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_part_is_gone_on_with_behind_its_last_mark_wherever_it_was_cut() {
        let whole = export();
        let mut seen = std::collections::BTreeSet::new();
        for cut in (100..whole.len()).step_by(997) {
            let (begun, kept) = reopened(&whole.as_bytes()[..cut]).unwrap();
            let Some(Begun { header, mark }) = begun else {
                assert_eq!(kept, "", "cut at {cut}");
                continue;
            };
            assert_eq!(header.program, "0.1.0");
            assert!(kept.ends_with(&format!(
                "shard {} of 100 texts 1000 tuples {}\n",
                mark.done, mark.totals.tuples
            )));
            assert!(whole.starts_with(&kept) && kept.len() <= cut);
            seen.insert(mark.done);
        }
        assert!(seen.len() > 2, "{seen:?}");
    }

    #[test]
    fn a_part_with_a_hole_is_gone_on_with_before_the_hole() {
        let whole = export();
        let marks: Vec<usize> = whole.match_indices("\nshard ").map(|(at, _)| at).collect();
        let mut bytes = whole.clone().into_bytes();
        bytes[marks[1] - 3_000..marks[1] - 1_000].fill(0);
        let (begun, kept) = reopened(&bytes).unwrap();
        assert!(begun.is_some());
        assert!(kept.len() > marks[0] && kept.len() < marks[1], "{}", kept.len());
    }

    #[test]
    fn what_is_no_part_of_ours_is_not_written_over() {
        for (bytes, said) in [
            ("Dear sir,\n", "is not an export"),
            ("Dear sir", "is not an export"),
            ("xgrey-export 2\n", "has format 2"),
            ("xgrey-export 1\nprogram 1\nhash-key 7\n", "has a damaged head"),
        ] {
            let refused = reopened(bytes.as_bytes()).unwrap_err().to_string();
            assert!(refused.contains(said) && refused.contains("remove it"), "{refused}");
        }
        assert_eq!(reopened(b"").unwrap(), (None, String::new()));
        let cut_head = &export()[..200];
        assert_eq!(reopened(cut_head.as_bytes()).unwrap(), (None, String::new()));
    }

    #[test]
    fn two_exports_never_write_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup");
        let (first, _) = Output::file(&path).unwrap();
        let refused = Output::file(&path).unwrap_err().to_string();
        assert!(refused.ends_with("backup.part is being written by another export"), "{refused}");
        first.finish().unwrap();
        Output::file(&path).unwrap();
    }

    #[test]
    fn an_export_that_never_began_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup");
        drop(Output::file(&path).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let (mut output, _) = Output::file(&path).unwrap();
        output.write(&export()).unwrap();
        drop(output);
        assert!(folder.path().join("backup.part").exists());
    }

    #[test]
    fn what_is_no_file_is_written_to_as_it_is() {
        let (mut output, begun) = Output::file(Path::new("/dev/null")).unwrap();
        assert_eq!(begun, None);
        output.write("x\n").unwrap();
        output.finish().unwrap();
    }
}
