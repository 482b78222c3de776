//! A directory of the machine's own file system.
//!
//! Files are found by path at each call, not by a descriptor of the directory: so a directory that
//! was removed and made again is used again, without anybody being told.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::{Disk, DiskFile, is_plain};

/// A directory, by its path.
#[derive(Clone, Debug)]
pub struct RealDisk {
    dir: PathBuf,
}

impl RealDisk {
    /// The files in `dir`. Touches nothing yet.
    pub const fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Where that is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn path(&self, name: &str) -> io::Result<PathBuf> {
        if !is_plain(name) {
            let what = format!("{name:?} is not the name of a file in {}", self.dir.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        Ok(self.dir.join(name))
    }
}

impl Disk for RealDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create_new(true).mode(0o600);
        Ok(Box::new(RealFile(file.open(self.path(name)?)?)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(File::open(self.path(name)?)?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from)?, self.path(to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(name)?)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            // What is not a name of ours is nobody's business here.
            if let Ok(name) = entry?.file_name().into_string()
                && is_plain(&name)
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn holds(&self, name: &str, file: &dyn DiskFile) -> io::Result<bool> {
        match std::fs::symlink_metadata(self.path(name)?) {
            Ok(found) => Ok((found.dev(), found.ino()) == file.identity()?),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.0).write_all(bytes)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(bytes, offset)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn reserve(&self, length: u64) -> io::Result<()> {
        loop {
            match fallocate(&self.0, FallocateFlags::KEEP_SIZE, 0, length) {
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn identity(&self) -> io::Result<(u64, u64)> {
        let found = self.0.metadata()?;
        Ok((found.dev(), found.ino()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn disk() -> (tempfile::TempDir, RealDisk) {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(dir.path().join("state"));
        std::fs::create_dir(disk.dir()).unwrap();
        (dir, disk)
    }

    #[test]
    fn what_is_added_is_read_back_and_belongs_to_the_owner_alone() {
        let (_dir, disk) = disk();
        let file = disk.create("one").unwrap();
        // More than is written: the length stays that of what is.
        file.reserve(1 << 20).unwrap();
        file.append(b"hello, ").unwrap();
        file.append(b"world").unwrap();
        file.sync().unwrap();
        disk.sync_names().unwrap();
        assert_eq!(file.length().unwrap(), 12);
        let mut bytes = [0; 5];
        disk.open("one").unwrap().read_at(7, &mut bytes).unwrap();
        assert_eq!(&bytes, b"world");
        let past = disk.open("one").unwrap().read_at(8, &mut bytes).unwrap_err();
        assert_eq!(past.kind(), io::ErrorKind::UnexpectedEof);
        let mode = std::fs::metadata(disk.dir().join("one")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = disk.create("one").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        let (_dir, disk) = disk();
        for name in ["", ".", "..", "../x", "a/b", "/etc/passwd", ".hidden", "a\0b", "ä", "A"] {
            let refused = disk.create(name).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{name:?}");
        }
    }

    #[test]
    fn a_file_that_is_no_longer_the_one_is_noticed() {
        let (_dir, disk) = disk();
        let file = disk.create("one").unwrap();
        assert!(disk.holds("one", &*file).unwrap());
        disk.rename("one", "two").unwrap();
        assert!(!disk.holds("one", &*file).unwrap(), "no such name");
        assert!(disk.holds("two", &*file).unwrap());
        disk.create("one").unwrap();
        assert!(!disk.holds("one", &*file).unwrap(), "another file");
        assert_eq!(disk.names().unwrap().len(), 2);
        std::fs::remove_dir_all(disk.dir()).unwrap();
        assert!(!disk.holds("two", &*file).unwrap(), "no directory");
        std::fs::write(disk.dir(), "not a directory").unwrap();
        assert!(!disk.holds("two", &*file).unwrap(), "not a directory");
    }
}
