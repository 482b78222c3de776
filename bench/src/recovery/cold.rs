//! Files out of the kernel's cache, and read from the disk.
//!
//! Each file is written out (`fdatasync`) and then given up (`posix_fadvise`, `DONTNEED`), which
//! troubles nobody else on the machine. How much is in the cache all the same is asked by reads that
//! may not wait (`RWF_NOWAIT`). What lies beneath, a virtual machine's host say, may have a cache of
//! its own: of that nothing is known here.

use std::fs::{self, File};
use std::io::{IoSliceMut, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::clock;

/// Bytes of one read.
const READ_BYTES: usize = 1 << 20;
/// Pages that are asked about, of each file.
const PAGES_ASKED: u64 = 64;

/// The files that an opening reads.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) snapshot: PathBuf,
    snapshot_bytes: u64,
    journal_bytes: u64,
}

impl Files {
    /// Bytes of the snapshot, and of all segments.
    pub(super) const fn sizes(&self) -> (u64, u64) {
        (self.snapshot_bytes, self.journal_bytes)
    }
}

/// Finds them.
///
/// # Errors
/// When there is no snapshot.
pub(super) fn files(state: &Path) -> anyhow::Result<Files> {
    let (mut snapshots, mut journal_bytes) = (Vec::new(), 0);
    for path in paths(state)? {
        let bytes = fs::metadata(&path)?.len();
        match path.extension().and_then(|end| end.to_str()) {
            Some("snap") => snapshots.push((path, bytes)),
            Some("seg") => journal_bytes += bytes,
            _ => {}
        }
    }
    // Their names are numbers of one length.
    let Some((snapshot, snapshot_bytes)) = snapshots.into_iter().max() else {
        bail!("there is no snapshot in {}", state.display());
    };
    Ok(Files { snapshot, snapshot_bytes, journal_bytes })
}

fn paths(state: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(state).with_context(|| state.display().to_string())?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// Has everything written to the disk: what is not yet there can't be given up.
pub(super) fn write_out(state: &Path) -> anyhow::Result<()> {
    paths(state)?.iter().try_for_each(|path| Ok(File::open(path)?.sync_data()?))
}

/// Gives all files up. Says which part of them is in the cache all the same.
pub(super) fn drop_from_cache(state: &Path) -> anyhow::Result<f64> {
    let (mut asked, mut cached) = (0, 0);
    for path in paths(state)? {
        let file = File::open(&path)?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
        let length = file.metadata()?.len();
        for page in 0..PAGES_ASKED.min(length / 4096) {
            asked += 1;
            cached +=
                u64::from(is_cached(&file, page * (length / PAGES_ASKED.min(length / 4096)))?);
        }
    }
    Ok(cached as f64 / f64::from(asked.max(1)))
}

/// Whether the byte at `offset` is in the cache. A file system that doesn't know counts as if it
/// were not.
fn is_cached(file: &File, offset: u64) -> anyhow::Result<bool> {
    let mut byte = [0];
    let into = &mut [IoSliceMut::new(&mut byte)];
    match preadv2(file, into, offset, ReadWriteFlags::NOWAIT) {
        Ok(count) => Ok(count > 0),
        Err(Errno::AGAIN | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Reads a file from its start to its end; how many seconds that took.
pub(super) fn read(path: &Path) -> anyhow::Result<f64> {
    let begin = clock::now();
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let mut bytes = vec![0; READ_BYTES];
    while file.read(&mut bytes)? > 0 {}
    Ok((clock::now() - begin).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_snapshot_and_all_segments_are_found_read_and_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path();
        assert!(files(state).unwrap_err().to_string().contains("no snapshot"));
        for (name, bytes) in [
            ("snapshot-00000000000000000009.snap", 10_000),
            ("snapshot-00000000000000000010.snap", 2_000_000),
            ("journal-00000000000000000000.seg", 5_000),
            ("journal-00000000000000000010.seg", 6_000),
            ("hash-key", 16),
        ] {
            fs::write(state.join(name), vec![1; bytes]).unwrap();
        }
        let files = files(state).unwrap();
        assert_eq!(files.sizes(), (2_000_000, 11_000));
        write_out(state).unwrap();
        let cached = drop_from_cache(state).unwrap();
        assert!((0.0..=1.0).contains(&cached));
        assert!(read(&files.snapshot).unwrap() > 0.0);
    }
}
