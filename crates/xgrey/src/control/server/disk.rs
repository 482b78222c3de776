//! What of the tuples outlives the process, as an admin is told.

use greylist::Timestamp;
use store::journal::Health;

use crate::control::DiskStats;
use crate::service::Service;

/// How it stands at `now`.
pub(super) fn stats(service: &Service, now: Timestamp) -> DiskStats {
    let mut shown = DiskStats { text: "off".to_owned(), ..DiskStats::default() };
    journal(service, now, &mut shown);
    if let Some(texts) = service.texts() {
        let stats = texts.stats();
        let word = if stats.is_writing { "kept" } else { "failing" };
        shown.text = word.to_owned();
        shown.text_bytes = stats.bytes;
        shown.text_bytes_max = stats.bytes_max;
        shown.text_dropped = stats.dropped;
        shown.text_fault = stats.last_trouble.map(|trouble| trouble.to_string());
    }
    shown
}

fn journal(service: &Service, now: Timestamp, shown: &mut DiskStats) {
    let Some(durability) = service.store().durability() else {
        shown.journal = "off".to_owned();
        return;
    };
    let (word, down) = match durability.health {
        Health::Up => ("up", None),
        Health::Mending(down) => ("mending", Some(down)),
        Health::Down(down) => ("down", Some(down)),
    };
    shown.journal = word.to_owned();
    if let Some(down) = down {
        shown.journal_fault = Some(down.why.to_string());
        shown.changes_not_kept = down.not_kept;
    }
    shown.faults = durability.journal.faults;
    shown.changes = durability.journal.position.get();
    shown.bytes_written = durability.journal.bytes;
    shown.syncs = durability.journal.syncs;
    shown.tail_bytes = durability.tail_bytes;
    if let Some(snapshot) = durability.snapshot {
        shown.snapshot_age_seconds = Some(now.since(snapshot.at).get().into());
        shown.snapshot_bytes = Some(snapshot.bytes);
    }
    shown.snapshot_fault = durability.snapshot_fault;
}
