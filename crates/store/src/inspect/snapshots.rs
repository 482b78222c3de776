//! Looking through snapshots.

use std::io;

use super::{Checked, Content, Start, unless_gone};
use crate::Refusal;
use crate::compact::slots_in_use;
use crate::disk::Disk;
use crate::journal::Position;
use crate::snapshot::{Header, Piece, Reader, Snapshot, newest};

/// To say about how many tuples there are, so many bytes of shards are looked at: ids are spread evenly
/// over shards, so some tell of all.
const SAMPLE_BYTES: u64 = 32 * 1024 * 1024;

/// What is in a snapshot's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// What it says of itself.
    pub header: Header,
    /// Tuples, expired ones included.
    pub tuples: u64,
    /// Notes.
    pub notes: u64,
}

/// What can be said of a snapshot without reading all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// What it says of itself.
    pub header: Header,
    /// Tuples, expired ones included: exactly, or about.
    pub tuples: u64,
    /// Whether all were counted.
    pub is_exact: bool,
    /// Whether it has its end.
    pub is_complete: bool,
}

/// Reads the snapshot of that position, and counts.
pub(super) fn check(
    disk: &dyn Disk,
    position: Position,
    key_fingerprint: u64,
    checked: &mut Checked,
    progress: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let reader = match Reader::open(disk, &Snapshot::at(position), key_fingerprint) {
        Ok(Some(reader)) => reader,
        Ok(None) => {
            let name = &checked.file.name;
            checked.damage.push(format!("the first 64 bytes of {name} are corrupt"));
            return Ok(());
        }
        Err(error) => {
            checked.damage.push(without_name(&unless_gone(error)?, &checked.file.name));
            return Ok(());
        }
    };
    let mut content = SnapshotFile { header: *reader.header(), tuples: 0, notes: 0 };
    let mut buckets = Vec::new();
    loop {
        match reader.next_piece() {
            Ok(Some(Piece::Shard(piece))) => {
                buckets.resize(piece.bytes(), 0);
                // The reader tells of what can't be read.
                if reader.read_shard(&piece, &mut buckets).is_ok() {
                    content.tuples += slots_in_use(&buckets);
                }
            }
            Ok(Some(Piece::Note(_))) => content.notes += 1,
            Ok(None) => break,
            Err(error) => {
                checked.damage.push(without_name(&error, &checked.file.name));
                break;
            }
        }
        progress(reader.bytes_passed());
    }
    checked.content = Content::Snapshot(content);
    let (damages, untold) = reader.damages();
    checked.damage.extend(damages.iter().map(ToString::to_string));
    if untold > 0 {
        checked.damage.push(format!("and {untold} more places"));
    }
    if reader.shards_lost() > 0 {
        let of = reader.header().shards;
        checked
            .damage
            .push(format!("the tuples of {} of {of} shards are lost", reader.shards_lost()));
    }
    Ok(())
}

/// The position from which a start would read the journal.
pub(super) fn begin(
    disk: &dyn Disk,
    key_fingerprint: u64,
    checked: &[Checked],
    start: &mut Start,
) -> io::Result<Position> {
    let choice = match newest(disk, key_fingerprint) {
        Ok(choice) => choice,
        Err(error) => {
            start.refusals.push(unless_gone(error)?.to_string());
            return Ok(Position::START);
        }
    };
    let Some(reader) = choice.reader else { return Ok(Position::START) };
    let begun_with = checked.iter().find(|checked| checked.file.name == reader.name());
    let damage = begun_with.map(|checked| checked.damage.as_slice()).unwrap_or_default();
    start.losses.extend(damage.iter().map(|what| format!("{}: {what}", reader.name())));
    start.snapshot = Some(reader.name().to_owned());
    Ok(reader.header().position)
}

/// Says about how many tuples the newest snapshot has that is complete. `None`: there is none, or
/// it can't be read.
pub fn estimate(disk: &dyn Disk, key_fingerprint: u64) -> Option<(String, Estimate)> {
    let reader = newest(disk, key_fingerprint).ok()?.reader?;
    let mut slots = 0;
    let (mut slots_seen, mut used) = (0, 0);
    let mut bytes_seen = 0;
    let mut buckets = Vec::new();
    while let Ok(Some(piece)) = reader.next_piece() {
        let Piece::Shard(piece) = piece else { continue };
        slots += piece.bytes() as u64 / 8;
        if bytes_seen < SAMPLE_BYTES {
            buckets.resize(piece.bytes(), 0);
            if reader.read_shard(&piece, &mut buckets).is_ok() {
                bytes_seen += buckets.len() as u64;
                slots_seen += buckets.len() as u64 / 8;
                used += slots_in_use(&buckets);
            }
        }
    }
    let share = if slots_seen == 0 { 0.0 } else { used as f64 / slots_seen as f64 };
    let is_exact = slots == slots_seen;
    let tuples = if is_exact { used } else { (slots as f64 * share) as u64 };
    let is_complete = reader.is_complete();
    let estimate = Estimate { header: *reader.header(), tuples, is_exact, is_complete };
    Some((reader.name().to_owned(), estimate))
}

/// What is wrong, without the name of the file, beside which it is shown.
fn without_name(error: &Refusal, name: &str) -> String {
    let said = error.to_string();
    match error {
        Refusal::Io { error, .. } => format!("cannot be read: {error}"),
        _ => said.strip_prefix(name).map_or(said.clone(), |rest| rest.trim_start().to_owned()),
    }
}
