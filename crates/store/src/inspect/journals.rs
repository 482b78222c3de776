//! Looking through the journal.

use std::io;

use super::{Checked, Content, Kind, Start, unless_gone};
use crate::Refusal;
use crate::disk::Disk;
use crate::journal::{self, Content as Read, Finding, Position, Report};

/// What is in a file of the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalFile {
    /// Changes that can be read, notes included.
    pub changes: u64,
    /// Notes.
    pub notes: u64,
    /// The first change that can be read and the last.
    pub span: Option<(Position, Position)>,
}

/// Reads all of the journal, and what a start would read of it, which is from `from` on.
pub(super) fn check(
    disk: &dyn Disk,
    key_fingerprint: u64,
    from: Position,
    checked: &mut [Checked],
    start: &mut Start,
    progress: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let first = checked.iter().find_map(|checked| match checked.file.kind {
        Kind::Journal(first) => Some(first),
        _ => None,
    });
    let Some(first) = first else { return Ok(()) };
    // What a start would miss before the first file is missing; what came before it is not.
    let all_from = first.min(from);
    let report = match read_all(disk, key_fingerprint, all_from, checked, progress) {
        Ok(report) => report,
        Err(error) => return refused(error, start),
    };
    tell(&report, checked);
    if report.is_clean() {
        start.changes = report.next.since(from);
        return Ok(());
    }
    // Some of what is damaged may lie before the snapshot, which makes up for it.
    let needed = match journal::read(disk, key_fingerprint, from, |_| {}) {
        Ok(report) => report,
        Err(error) => return refused(error, start),
    };
    start.changes = needed.changes;
    let lost = needed.findings.iter().filter(|finding| !finding.is_normal());
    start.losses.extend(lost.map(ToString::to_string));
    if needed.findings_untold > 0 {
        start.losses.push(format!("and {} more places in the journal", needed.findings_untold));
    }
    Ok(())
}

/// A start would be refused for this; unless it is that a file has gone.
fn refused(refusal: Refusal, start: &mut Start) -> io::Result<()> {
    start.refusals.push(unless_gone(refusal)?.to_string());
    Ok(())
}

fn read_all(
    disk: &dyn Disk,
    key_fingerprint: u64,
    from: Position,
    checked: &mut [Checked],
    progress: &mut dyn FnMut(u64),
) -> Result<Report, Refusal> {
    let starts: Vec<(Position, usize)> = checked
        .iter()
        .enumerate()
        .filter_map(|(index, checked)| match checked.file.kind {
            Kind::Journal(first) => Some((first, index)),
            _ => None,
        })
        .collect();
    let mut contents = vec![JournalFile::default(); starts.len()];
    let report = journal::read(disk, key_fingerprint, from, |batch| {
        progress(batch.bytes_read);
        let (changes, notes) = match batch.content {
            Read::Changes(changes) => (changes.len() as u64, 0),
            Read::Note(_) => (1, 1),
        };
        // Files are in the order of their positions, and none begins where another goes on.
        let file = starts.partition_point(|(first, _)| *first <= batch.first).saturating_sub(1);
        let Some(content) = contents.get_mut(file) else { return };
        content.changes += changes;
        content.notes += notes;
        let last = Position::new((batch.first.get() + changes).saturating_sub(1));
        let last = last.unwrap_or(batch.first);
        let span = content.span.get_or_insert((batch.first, last));
        span.1 = last;
    })?;
    for ((_, index), content) in starts.into_iter().zip(contents) {
        checked[index].content = Content::Journal(content);
    }
    Ok(report)
}

/// Puts what was found beside the files that it was found in.
fn tell(report: &Report, checked: &mut [Checked]) {
    for finding in &report.findings {
        let (Finding::TornTail { file, .. }
        | Finding::Corrupt { file, .. }
        | Finding::Missing { file, .. }
        | Finding::Unreadable { file, .. }
        | Finding::Nonsense { file, .. }) = finding;
        let Some(found) = checked.iter_mut().find(|checked| checked.file.name == *file) else {
            continue;
        };
        let said = finding.to_string();
        let said = said
            .strip_prefix(file.as_str())
            .map_or(said.as_str(), |rest| rest.trim_start_matches(':').trim_start());
        let list = if finding.is_normal() { &mut found.remarks } else { &mut found.damage };
        list.push(said.to_owned());
    }
    if report.findings_untold > 0
        && let Some(last) =
            checked.iter_mut().rfind(|one| matches!(one.content, Content::Journal(_)))
    {
        last.damage.push(format!("and {} more places in the journal", report.findings_untold));
    }
}
