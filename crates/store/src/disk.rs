//! The files of a state directory, behind a trait: so that every test can pull the plug at any call.
//!
//! One directory, flat; a name is one of ours. What is written is in the kernel's hands when a call
//! returns, so it outlives the process; it outlives a power cut only after
//! [`DiskFile::sync`], and a name (made, renamed, removed) only after [`Disk::sync_names`].
//!
//! Never knows: what is in the files.

mod read_only;
mod real;
#[cfg(any(test, feature = "simulated-disk"))]
mod simulated;

pub use read_only::ReadOnlyDisk;
pub use real::RealDisk;
#[cfg(any(test, feature = "simulated-disk"))]
pub use simulated::{Fate, Fault, SimulatedDisk};

use std::fmt;
use std::io;

/// Longer than any name of ours.
const NAME_BYTES_MAX: usize = 64;

/// Whether a name can be one of ours: it never leads out of the directory, and means the same in
/// every file system.
fn is_plain(name: &str) -> bool {
    let is_ours = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(is_ours)
}

/// When a disk doesn't give what is asked for, it is asked for pieces of this size: one bad sector
/// costs no more.
const PAGE_BYTES: usize = 4096;

/// Fills `bytes` with what is at `offset`. What the disk would not give is zeros, and `unreadable`
/// is told where that is, how many bytes, and why.
pub(crate) fn read_what_can_be(
    file: &dyn DiskFile,
    offset: u64,
    bytes: &mut [u8],
    mut unreadable: impl FnMut(u64, u64, &io::Error),
) {
    if file.read_at(offset, bytes).is_ok() {
        return;
    }
    for (number, page) in bytes.chunks_mut(PAGE_BYTES).enumerate() {
        let at = offset + (number * PAGE_BYTES) as u64;
        if let Err(error) = file.read_at(at, page) {
            page.fill(0);
            unreadable(at, page.len() as u64, &error);
        }
    }
}

/// A directory of files.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Makes a file that is not there yet, mode 0600, to be written.
    ///
    /// # Errors
    /// When it is there already, or the kernel refuses.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file that is there, to be read.
    ///
    /// # Errors
    /// When it is not there, or the kernel refuses.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, in place of what had that name.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a file away.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of all files there, in any order.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Makes sure that names which were made, changed or taken away stay so after a power cut.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn sync_names(&self) -> io::Result<()>;

    /// Whether the file of that name is still the one that `file` is: not so when the directory
    /// was removed or replaced under us.
    ///
    /// # Errors
    /// When the kernel can't say.
    fn holds(&self, name: &str, file: &dyn DiskFile) -> io::Result<bool>;
}

/// An open file.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Adds all of `bytes` at the end. After an error any part of them may be there.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Fills `bytes` with what is at `offset`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the file ends before, or what the kernel says.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Its length in bytes.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn length(&self) -> io::Result<u64>;

    /// Makes sure that all that was added outlives a power cut (`fdatasync`).
    ///
    /// # Errors
    /// When the disk could not keep it; what of it is there is unknown then.
    fn sync(&self) -> io::Result<()>;

    /// Has room set aside for the file up to `length` bytes, without making it longer. Where the
    /// file system can't, nothing happens.
    ///
    /// # Errors
    /// When there is no such room.
    fn reserve(&self, length: u64) -> io::Result<()>;

    /// What tells this file from all others of the machine: device and inode.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn identity(&self) -> io::Result<(u64, u64)>;
}
