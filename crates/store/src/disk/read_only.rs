//! A directory in which nothing is changed, whoever is asked to.

use std::io;
use std::sync::Arc;

use super::{Disk, DiskFile};

/// Files of another disk, all or one: to be read. Whatever would change something is refused.
#[derive(Clone, Debug)]
pub struct ReadOnlyDisk {
    disk: Arc<dyn Disk>,
    only: Option<String>,
}

impl ReadOnlyDisk {
    /// All files of `disk`.
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, only: None }
    }

    /// One file of `disk`: as if it were alone there.
    pub fn one(disk: Arc<dyn Disk>, name: &str) -> Self {
        Self { disk, only: Some(name.to_owned()) }
    }

    fn shows(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == name)
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "it is only to be read"))
}

impl Disk for ReadOnlyDisk {
    fn create(&self, _: &str) -> io::Result<Box<dyn DiskFile>> {
        refused()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        if self.shows(name) { self.disk.open(name) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        refused()
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = self.disk.names()?;
        names.retain(|name| self.shows(name));
        Ok(names)
    }

    fn sync_names(&self) -> io::Result<()> {
        refused()
    }

    fn holds(&self, name: &str, file: &dyn DiskFile) -> io::Result<bool> {
        if self.shows(name) { self.disk.holds(name, file) } else { Ok(false) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::SimulatedDisk;
    use super::*;

    #[test]
    fn files_can_be_read_and_nothing_else() {
        let disk = SimulatedDisk::new();
        disk.put("a", b"one".to_vec());
        disk.put("b", b"two".to_vec());
        let calls = disk.calls();
        let disk = Arc::new(disk);
        let all = ReadOnlyDisk::new(Arc::<SimulatedDisk>::clone(&disk));
        let one = ReadOnlyDisk::one(Arc::<SimulatedDisk>::clone(&disk), "b");
        assert_eq!(one.names().unwrap(), ["b"]);
        assert!(one.open("a").is_err());
        for seen in [&all, &one] {
            let file = seen.open("b").unwrap();
            assert_eq!(file.length().unwrap(), 3);
            assert!(seen.holds("b", &*file).unwrap());
            assert!(seen.create("c").is_err());
            assert!(seen.rename("b", "c").is_err());
            assert!(seen.remove("b").is_err());
            assert!(seen.sync_names().is_err());
        }
        assert_eq!(disk.calls(), calls);
    }
}
