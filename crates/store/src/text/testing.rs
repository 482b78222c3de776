//! What the tests of the text share: texts, and a disk in memory whose plug can be pulled.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use greylist::Timestamp;
use parking_lot::Mutex;

use super::{Address, Text};
use crate::TupleId;
use crate::disk::{Disk, DiskFile};

pub(super) const START: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

/// The id of the tuple of that number.
pub(super) fn id(number: u64) -> TupleId {
    TupleId::from_bits(number).unwrap()
}

/// The text of tuple `number`, new `secs` after the start.
pub(super) fn text(number: u64, secs: u64) -> Text<'static> {
    text_from(number, secs, b"alice@example.net")
}

pub(super) fn text_from(number: u64, secs: u64, sender: &[u8]) -> Text<'_> {
    Text {
        id: id(number),
        first_try: Timestamp::from_unix_secs(START.as_unix_secs() + secs),
        client: match number % 3 {
            0 => "2001:db8::7".parse().unwrap(),
            _ => "192.0.2.7".parse().unwrap(),
        },
        sender: Address::of(sender),
        recipient: Address::of(b"bob@example.org"),
    }
}

type File = Arc<Mutex<Vec<u8>>>;

/// Files in memory. Each append, creation and renaming counts as a step; from `fails_from` on all of
/// them fail, an append after half of its bytes.
#[derive(Debug, Default)]
pub(super) struct MemoryDisk {
    files: Mutex<BTreeMap<String, File>>,
    steps: Arc<AtomicU64>,
    fails_from: Arc<AtomicU64>,
}

impl MemoryDisk {
    pub(super) fn new() -> Arc<Self> {
        let disk = Self::default();
        disk.fails_from.store(u64::MAX, Relaxed);
        Arc::new(disk)
    }

    /// A copy of all files as they are now.
    pub(super) fn image(&self) -> Arc<Self> {
        let copy = Self::new();
        for (name, file) in &*self.files.lock() {
            copy.write(name, file.lock().clone());
        }
        copy
    }

    pub(super) fn write(&self, name: &str, bytes: Vec<u8>) {
        self.files.lock().insert(name.to_owned(), Arc::new(Mutex::new(bytes)));
    }

    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        self.files.lock()[name].lock().clone()
    }

    pub(super) fn list(&self) -> Vec<String> {
        self.files.lock().keys().cloned().collect()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.lock().values().map(|file| file.lock().len() as u64).sum()
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps.load(Relaxed)
    }

    /// Has everything fail after that many more steps.
    pub(super) fn fail_after(&self, steps: u64) {
        self.fails_from.store(self.steps().saturating_add(steps), Relaxed);
    }
}

fn step(steps: &AtomicU64, fails_from: &AtomicU64) -> io::Result<()> {
    match steps.fetch_add(1, Relaxed) < fails_from.load(Relaxed) {
        true => Ok(()),
        false => Err(io::ErrorKind::StorageFull.into()),
    }
}

#[derive(Debug)]
struct MemoryFile {
    file: File,
    steps: Arc<AtomicU64>,
    fails_from: Arc<AtomicU64>,
}

impl MemoryDisk {
    fn opened(&self, file: &File) -> Box<dyn DiskFile> {
        Box::new(MemoryFile {
            file: Arc::clone(file),
            steps: Arc::clone(&self.steps),
            fails_from: Arc::clone(&self.fails_from),
        })
    }
}

impl Disk for MemoryDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        step(&self.steps, &self.fails_from)?;
        let mut files = self.files.lock();
        if files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = File::default();
        files.insert(name.to_owned(), Arc::clone(&file));
        Ok(self.opened(&file))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let files = self.files.lock();
        let file = files.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.opened(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        step(&self.steps, &self.fails_from)?;
        let mut files = self.files.lock();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.lock().remove(name).map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.list())
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }

    fn holds(&self, name: &str, file: &dyn DiskFile) -> io::Result<bool> {
        let files = self.files.lock();
        let Some(held) = files.get(name) else { return Ok(false) };
        Ok(file.identity()? == (0, Arc::as_ptr(held) as u64))
    }
}

impl DiskFile for MemoryFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let outcome = step(&self.steps, &self.fails_from);
        let written = if outcome.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        self.file.lock().extend_from_slice(written);
        outcome
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let file = self.file.lock();
        let start = offset as usize;
        let there = file.get(start..start + bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(there);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.lock().len() as u64)
    }

    fn sync(&self) -> io::Result<()> {
        step(&self.steps, &self.fails_from)
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn identity(&self) -> io::Result<(u64, u64)> {
        Ok((0, Arc::as_ptr(&self.file) as u64))
    }
}
