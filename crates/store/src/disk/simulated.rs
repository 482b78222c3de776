//! A disk that is only told about: every call can be cut at, and made to fail.
//!
//! It remembers each call that changes something. From that, [`SimulatedDisk::after_kill`] and
//! [`SimulatedDisk::after_power_cut`] say what would be there had the process been killed, or the
//! power gone, after so many of them: one run gives the aftermath of every crash in it.
//!
//! What it is pessimistic about, all of it allowed to a file system by POSIX: a file that is synced may lose its
//! name unless names are synced too; names change one by one and not in order; of what was not
//! synced any beginning may be there, with stretches of zeros in it; what a failed sync left behind
//! is not made safe by a later one that succeeds.

mod image;

use std::io;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::Errno;

use super::{Disk, DiskFile, is_plain};
pub use image::Fate;
use image::{Call, File, Image};

/// What can go wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Only so many more bytes fit; what is beyond is cut off (`ENOSPC`).
    Full {
        /// Bytes that still fit.
        free_bytes: u64,
    },
    /// The file system has become read-only (`EROFS`).
    ReadOnly,
    /// The device fails (`EIO`): of what is added, half is written; syncs fail.
    Broken,
    /// The permission to make, rename and remove files is gone (`EACCES`).
    Denied,
    /// The directory is gone, and the files with it (`ENOENT`).
    Gone,
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::Full { .. } => Errno::NOSPC,
            Self::ReadOnly => Errno::ROFS,
            Self::Broken => Errno::IO,
            Self::Denied => Errno::ACCESS,
            Self::Gone => Errno::NOENT,
        }
        .into()
    }
}

/// A disk in memory, and all that has ever been done to it. A clone is the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk(Arc<Mutex<Machine>>);

#[derive(Debug, Default)]
struct Machine {
    /// What was there at the beginning.
    start: Image,
    /// What is there now.
    now: Image,
    /// What was done in between.
    calls: Vec<Call>,
    fault: Option<Fault>,
    /// The fault of one call only, by its number.
    once: Option<(usize, Fault)>,
    /// What can't be read: of which files, and where.
    spoilt: Vec<(usize, Range<u64>)>,
}

impl SimulatedDisk {
    /// An empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many calls there have been that change something, or were to.
    pub fn calls(&self) -> usize {
        self.0.lock().calls.len()
    }

    /// From now on everything fails in that way, until [`SimulatedDisk::heal`].
    pub fn fail(&self, fault: Fault) {
        let mut machine = self.0.lock();
        machine.fault = Some(fault);
        if fault == Fault::Gone {
            machine.now.names.clear();
            machine.now.kept_names.clear();
            machine.now.names_since.clear();
        }
    }

    /// The call after `calls` others fails in that way, and no other.
    pub fn fail_once(&self, calls: usize, fault: Fault) {
        self.0.lock().once = Some((calls, fault));
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        let mut machine = self.0.lock();
        (machine.fault, machine.once) = (None, None);
    }

    /// What is in a file.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let machine = self.0.lock();
        Some(machine.now.files[*machine.now.names.get(name)?].bytes.clone())
    }

    /// Puts a file there as if it had been there always. What is known of earlier calls is
    /// forgotten.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut machine = self.0.lock();
        let number = machine.now.files.len();
        machine.now.files.push(File { synced: bytes.len(), bytes, doubtful: Vec::new() });
        machine.now.names.insert(name.to_owned(), number);
        machine.now.kept_names.insert(name.to_owned(), number);
        machine.start = machine.now.clone();
        machine.calls.clear();
    }

    /// Has the disk give none of these bytes of a file any more (`EIO`), nor others in one call with
    /// them.
    pub fn spoil(&self, name: &str, bytes: Range<u64>) {
        let mut machine = self.0.lock();
        if let Some(&number) = machine.now.names.get(name) {
            machine.spoilt.push((number, bytes));
        }
    }

    /// How many bytes of all files a power cut could take.
    pub fn unsynced_bytes(&self) -> u64 {
        let unsynced = |file: &File| (file.bytes.len() - file.synced) as u64;
        self.0.lock().now.files.iter().map(unsynced).sum()
    }

    /// Another disk, with what is there when the process is killed after `calls` calls and in the
    /// midst of the next: of what that was to append, the first `torn` bytes are there.
    pub fn after_kill(&self, calls: usize, torn: usize) -> Self {
        let machine = self.0.lock();
        let mut image = machine.image_after(calls);
        if let Some(Call::Append(file, bytes)) = machine.calls.get(calls) {
            image.apply(&Call::Append(*file, bytes[..torn.min(bytes.len())].to_vec()));
        }
        Self::of(image)
    }

    /// Another disk, with what is there when the power goes after `calls` calls.
    pub fn after_power_cut(&self, calls: usize, fate: Fate) -> Self {
        let mut image = self.0.lock().image_after(calls);
        image.lose(fate);
        Self::of(image)
    }

    fn of(image: Image) -> Self {
        let machine = Machine { start: image.clone(), now: image, ..Machine::default() };
        Self(Arc::new(Mutex::new(machine)))
    }
}

impl Machine {
    fn image_after(&self, calls: usize) -> Image {
        let mut image = self.start.clone();
        for call in &self.calls[..calls.min(self.calls.len())] {
            image.apply(call);
        }
        image
    }

    /// What is wrong with the call that comes now.
    fn fault(&self) -> Option<Fault> {
        let once = self.once.filter(|(at, _)| *at == self.calls.len());
        once.map(|(_, fault)| fault).or(self.fault)
    }

    fn perform(&mut self, call: Call) -> io::Result<()> {
        self.now.apply(&call);
        self.calls.push(call);
        Ok(())
    }

    fn refuse<T>(&mut self, error: impl Into<io::Error>) -> io::Result<T> {
        self.calls.push(Call::Nothing);
        Err(error.into())
    }

    /// A call that makes, renames or removes a name.
    fn change_names(&mut self, call: Call) -> io::Result<()> {
        let (needed, made) = match &call {
            Call::Create(name) => (None, Some(name)),
            Call::Rename(from, to) => (Some(from), Some(to)),
            Call::Remove(name) => (Some(name), None),
            _ => (None, None),
        };
        if needed.into_iter().chain(made).any(|name| !is_plain(name)) {
            return self.refuse(io::ErrorKind::InvalidInput);
        }
        if let Some(fault) = self.fault()
            && !matches!(fault, Fault::Full { free_bytes: 1.. })
        {
            return self.refuse(fault.error());
        }
        if needed.is_some_and(|name| !self.now.names.contains_key(name)) {
            return self.refuse(Errno::NOENT);
        }
        if matches!(&call, Call::Create(name) if self.now.names.contains_key(name)) {
            return self.refuse(Errno::EXIST);
        }
        self.perform(call)
    }

    fn append(&mut self, file: usize, bytes: &[u8]) -> io::Result<()> {
        let fault = self.fault();
        let fits = match fault {
            None | Some(Fault::Denied | Fault::Gone) => bytes.len(),
            Some(Fault::Full { free_bytes }) => {
                bytes.len().min(usize::try_from(free_bytes).unwrap_or(usize::MAX))
            }
            Some(Fault::Broken) => bytes.len() / 2,
            Some(Fault::ReadOnly) => 0,
        };
        self.perform(Call::Append(file, bytes[..fits].to_vec()))?;
        if let Some(Fault::Full { free_bytes }) = &mut self.fault {
            *free_bytes -= (fits as u64).min(*free_bytes);
        }
        match fault {
            Some(fault) if fits < bytes.len() || fault == Fault::Broken => Err(fault.error()),
            _ => Ok(()),
        }
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut machine = self.0.lock();
        machine.change_names(Call::Create(name.to_owned()))?;
        let number = machine.now.files.len() - 1;
        Ok(Box::new(SimulatedFile { disk: self.clone(), number }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let machine = self.0.lock();
        if let Some(fault @ (Fault::Denied | Fault::Gone)) = machine.fault {
            return Err(fault.error());
        }
        let number = *machine.now.names.get(name).ok_or(Errno::NOENT)?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), number }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.lock().change_names(Call::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().change_names(Call::Remove(name.to_owned()))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let machine = self.0.lock();
        if let Some(fault @ (Fault::Denied | Fault::Gone)) = machine.fault {
            return Err(fault.error());
        }
        Ok(machine.now.names.keys().cloned().collect())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut machine = self.0.lock();
        match machine.fault() {
            Some(fault @ (Fault::Broken | Fault::Gone | Fault::Denied)) => {
                machine.refuse(fault.error())
            }
            _ => machine.perform(Call::SyncNames),
        }
    }

    fn holds(&self, name: &str, file: &dyn DiskFile) -> io::Result<bool> {
        let machine = self.0.lock();
        let Some(&number) = machine.now.names.get(name) else { return Ok(false) };
        drop(machine);
        Ok(file.identity()? == (0, number as u64))
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    number: usize,
}

impl DiskFile for SimulatedFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.disk.0.lock().append(self.number, bytes)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let machine = self.disk.0.lock();
        if let Some(fault @ Fault::Broken) = machine.fault {
            return Err(fault.error());
        }
        let wanted_end = offset.saturating_add(bytes.len() as u64);
        let is_hit = |(number, spoilt): &(usize, Range<u64>)| {
            *number == self.number && spoilt.start < wanted_end && offset < spoilt.end
        };
        if machine.spoilt.iter().any(is_hit) {
            return Err(Errno::IO.into());
        }
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = from.saturating_add(bytes.len());
        let found = machine.now.files[self.number].bytes.get(from..end);
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().now.files[self.number].bytes.len() as u64)
    }

    fn sync(&self) -> io::Result<()> {
        let mut machine = self.disk.0.lock();
        if let Some(fault @ Fault::Broken) = machine.fault() {
            machine.perform(Call::SyncFailed(self.number))?;
            return Err(fault.error());
        }
        machine.perform(Call::Sync(self.number))
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        let mut machine = self.disk.0.lock();
        match machine.fault() {
            Some(fault @ (Fault::Full { .. } | Fault::ReadOnly | Fault::Broken)) => {
                machine.refuse(fault.error())
            }
            _ => machine.perform(Call::Nothing),
        }
    }

    fn identity(&self) -> io::Result<(u64, u64)> {
        Ok((0, self.number as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> SimulatedDisk {
        let disk = SimulatedDisk::new();
        let file = disk.create("a").unwrap(); // call 0
        file.append(b"one").unwrap(); // 1
        file.sync().unwrap(); // 2
        disk.sync_names().unwrap(); // 3
        file.append(b"two").unwrap(); // 4
        disk.rename("a", "b").unwrap(); // 5
        disk.create("c").unwrap().append(b"three").unwrap(); // 6, 7
        disk.remove("b").unwrap(); // 8
        disk
    }

    fn files(disk: &SimulatedDisk) -> Vec<(String, String)> {
        let text = |name: &str| String::from_utf8(disk.contents(name).unwrap()).unwrap();
        let names = disk.names().unwrap();
        names.into_iter().map(|name| (name.clone(), text(&name))).collect()
    }

    fn rows(rows: &[(&str, &str)]) -> Vec<(String, String)> {
        rows.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_kill_leaves_what_was_done_before_it() {
        let disk = disk();
        for (calls, torn, expected) in [
            (0, 9, &[][..]),
            (1, 0, &[("a", "")]),
            (1, 2, &[("a", "on")]),
            (4, 1, &[("a", "onet")]),
            (6, 0, &[("b", "onetwo")]),
            (8, 0, &[("b", "onetwo"), ("c", "three")]),
            (9, 0, &[("c", "three")]),
            (99, 0, &[("c", "three")]),
        ] {
            assert_eq!(files(&disk.after_kill(calls, torn)), rows(expected), "{calls}, {torn}");
        }
        assert_eq!(files(&disk), rows(&[("c", "three")]), "as it was");
    }

    #[test]
    fn a_power_cut_takes_what_was_not_synced() {
        let disk = disk();
        for (calls, fate, expected) in [
            (3, Fate::Lost, &[][..]),
            (3, Fate::Kept, &[("a", "one")]),
            (4, Fate::Lost, &[("a", "one")]),
            (5, Fate::Lost, &[("a", "one")]),
            (5, Fate::Kept, &[("a", "onetwo")]),
            (9, Fate::Lost, &[("a", "one")]),
            (9, Fate::Kept, &[("c", "three")]),
        ] {
            let cut = disk.after_power_cut(calls, fate);
            assert_eq!(files(&cut), rows(expected), "{calls}, {fate:?}");
            // Then it is on the disk.
            assert_eq!(files(&cut.after_power_cut(0, Fate::Lost)), rows(expected));
        }
        // Any of the names may have changed, any of the bytes be there.
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..5000 {
            let cut = disk.after_power_cut(9, Fate::Mixed(seed));
            for (name, text) in files(&cut) {
                let text = text.replace('\0', "0");
                let is_possible = match &*name {
                    "a" | "b" => text.starts_with("one") && text.len() <= 6,
                    _ => text.len() <= 5,
                };
                assert!(is_possible, "{name}: {text}");
                seen.insert((name, text));
            }
        }
        for (name, text) in rows(&[("a", "one"), ("b", "onet"), ("b", "onet0o"), ("c", "t00")]) {
            assert!(seen.contains(&(name.clone(), text.clone())), "{name}: {text} never came");
        }
    }

    #[test]
    fn what_a_failed_sync_left_is_not_made_safe_by_the_next() {
        let disk = SimulatedDisk::new();
        let file = disk.create("a").unwrap();
        disk.sync_names().unwrap();
        file.append(b"one").unwrap();
        disk.fail_once(disk.calls(), Fault::Broken);
        file.sync().unwrap_err();
        file.append(b"two").unwrap();
        file.sync().unwrap();
        let cut = disk.after_power_cut(disk.calls(), Fate::Lost);
        assert_eq!(files(&cut), rows(&[("a", "\0\0\0two")]));
    }

    #[test]
    fn each_fault_fails_what_it_would_fail() {
        let full = Fault::Full { free_bytes: 2 };
        for (fault, create, append, left, sync) in [
            (full, None, Some(28), "twoth", None),
            (Fault::ReadOnly, Some(30), Some(30), "two", None),
            (Fault::Broken, Some(5), Some(5), "twoth", Some(5)),
            (Fault::Denied, Some(13), None, "twothree", None),
        ] {
            let disk = SimulatedDisk::new();
            let file = disk.create("a").unwrap();
            file.append(b"two").unwrap();
            disk.fail(fault);
            let error = |result: io::Result<()>| result.err().and_then(|e| e.raw_os_error());
            assert_eq!(error(file.append(b"three")), append, "{fault:?}");
            let created = disk.create("b").map(drop);
            let full_now = (fault == full).then_some(28);
            assert_eq!(error(created), create.or(full_now), "{fault:?}");
            assert_eq!(error(file.sync()), sync, "{fault:?}");
            assert_eq!(disk.contents("a").unwrap(), left.as_bytes(), "{fault:?}");
            disk.heal();
            disk.create("b").unwrap();
        }
        let disk = SimulatedDisk::new();
        let file = disk.create("a").unwrap();
        assert!(disk.holds("a", &*file).unwrap());
        disk.fail(Fault::Gone);
        assert!(!disk.holds("a", &*file).unwrap());
        assert_eq!(disk.open("a").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn spoilt_bytes_are_not_read() {
        let disk = SimulatedDisk::new();
        disk.put("a", b"one two three".to_vec());
        disk.spoil("a", 4..7);
        let file = disk.open("a").unwrap();
        let mut bytes = [0; 4];
        file.read_at(0, &mut bytes).unwrap();
        assert_eq!(file.read_at(6, &mut bytes).unwrap_err().raw_os_error(), Some(5));
        file.read_at(7, &mut bytes).unwrap();
        assert_eq!(&bytes, b" thr");
    }
}
