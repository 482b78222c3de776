//! Looking through the texts of tuples, a file at a time.

use std::io;
use std::sync::Arc;

use super::{Checked, Content};
use crate::disk::{Disk, ReadOnlyDisk};
use crate::text::{TextConfig, TextLog, TextRefusal};

/// Reads one file, and counts.
pub(super) fn check(
    disk: &Arc<dyn Disk>,
    key_fingerprint: u64,
    checked: &mut Checked,
) -> io::Result<()> {
    // Whether it has gone, the log would not say.
    if let Err(error) = disk.open(&checked.file.name)
        && error.kind() == io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let alone = Arc::new(ReadOnlyDisk::one(Arc::clone(disk), &checked.file.name));
    let (log, report) =
        match TextLog::open(alone, TextConfig { bytes_max: u64::MAX, key_fingerprint }) {
            Ok(opened) => opened,
            Err(refusal) => {
                checked.damage.push(without_name(&refusal, &checked.file.name));
                return Ok(());
            }
        };
    let mut scan = log.scan();
    let mut texts = 0;
    while scan.next_text().is_some() {
        texts += 1;
    }
    checked.content = Content::Texts { texts };
    let damage = scan.damage();
    if let Some((_, at)) = damage.corrupt_at {
        let bytes = damage.corrupt_bytes;
        checked
            .damage
            .push(format!("{bytes} bytes are corrupt, the last of them from byte {at} on"));
    }
    checked.damage.extend(damage.unreadable_why.iter().map(|(_, why)| why.clone()));
    if report.torn_bytes > 0 {
        checked.remarks.push(format!(
            "the last write was cut off ({} bytes left out): normal after a kill or a power cut",
            report.torn_bytes
        ));
    }
    Ok(())
}

fn without_name(refusal: &TextRefusal, name: &str) -> String {
    let said = refusal.to_string();
    said.strip_prefix(name).map_or_else(|| said.clone(), |rest| rest.trim_start().to_owned())
}
