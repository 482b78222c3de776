//! `xgrey store info`: what there is, without reading all of it.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use greylist::Timestamp;
use serde::Serialize;
use store::inspect::{self, FileFound, Kind};

use super::Directory;
use crate::backup::rfc3339;
use crate::cli::StoreArgs;
use crate::command::{Failure, ctl, say};
use crate::thousands::thousands;

/// Looks and prints.
pub(super) fn run(args: &StoreArgs) -> Result<(), Failure> {
    let report = Report::of(&Directory::open(args)?)?;
    if args.json {
        say(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else {
        say(&report.show())?;
    }
    Ok(())
}

/// What is printed; its fields' names are for scripts too.
#[derive(Debug, Serialize)]
struct Report {
    directory: String,
    /// The user whose the directory is.
    owner: String,
    /// The process that has it.
    in_use_by: Option<String>,
    /// Tells its hash key from others, and gives nothing of it away.
    hash_key_fingerprint: Option<String>,
    bytes: u64,
    snapshot: Option<SnapshotShown>,
    files: Vec<FileShown>,
}

#[derive(Debug, Serialize)]
struct SnapshotShown {
    name: String,
    /// When it was begun.
    taken: String,
    tuples: u64,
    /// Whether these were counted, and not estimated from a part.
    is_exact: bool,
    /// Whether it has its end.
    is_complete: bool,
    embargo_secs: u32,
    window_secs: u32,
    lifetime_secs: u32,
    shards: u32,
}

#[derive(Debug, Serialize)]
struct FileShown {
    name: String,
    kind: &'static str,
    /// The version of its format.
    format: Option<u32>,
    bytes: u64,
    /// When it was last written to.
    written: Option<String>,
    /// Snapshots and journal: how many changes came before.
    position: Option<u64>,
}

impl Report {
    fn of(directory: &Directory) -> Result<Self, Failure> {
        let disk = &*directory.disk;
        let files = inspect::files(disk)?;
        let fingerprint = directory.hash_key.as_ref().map(|key| key.fingerprint());
        let snapshot = fingerprint.and_then(|fingerprint| inspect::estimate(disk, fingerprint));
        let shown = |file: &FileFound| FileShown {
            name: file.name.clone(),
            kind: file.kind.word(),
            format: inspect::format_version(disk, &file.name),
            bytes: file.bytes,
            written: written(&directory.path.join(&file.name)),
            position: match file.kind {
                Kind::Snapshot(position) | Kind::Journal(position) => Some(position.get()),
                _ => None,
            },
        };
        Ok(Self {
            directory: directory.path.display().to_string(),
            owner: owner(&directory.path)?,
            in_use_by: directory.holder.as_ref().map(ToString::to_string),
            hash_key_fingerprint: fingerprint.map(|fingerprint| format!("{fingerprint:016x}")),
            bytes: files.iter().map(|file| file.bytes).sum(),
            snapshot: snapshot.map(|(name, estimate)| SnapshotShown::of(name, estimate)),
            files: files.iter().map(shown).collect(),
        })
    }

    fn show(&self) -> String {
        const COLUMN: usize = 14;
        let mut out = format!("{}\n\n", self.directory);
        let nobody = || "no running service".to_owned();
        let none = || "none".to_owned();
        let mut rows = vec![
            ("owner", self.owner.clone()),
            ("in use by", self.in_use_by.clone().unwrap_or_else(nobody)),
            ("hash key", self.hash_key_fingerprint.clone().unwrap_or_else(none)),
            ("bytes", thousands(self.bytes)),
        ];
        match &self.snapshot {
            None => rows.push(("snapshot", none())),
            Some(snapshot) => {
                let about = if snapshot.is_exact { "" } else { "about " };
                let cut = if snapshot.is_complete { "" } else { "; it has no end" };
                rows.push((
                    "snapshot",
                    format!(
                        "{about}{} tuples, taken {}{cut}",
                        thousands(snapshot.tuples),
                        snapshot.taken
                    ),
                ));
            }
        }
        for (what, value) in rows {
            let _ = writeln!(out, "  {what:<COLUMN$}{value}");
        }
        if self.files.is_empty() {
            return out;
        }
        let mut table = ctl::table(["file", "kind", "format", "bytes", "written", "from change"]);
        for file in &self.files {
            let format = file.format.map(|version| version.to_string()).unwrap_or_default();
            table.add_row([
                file.name.as_str(),
                file.kind,
                &format,
                &thousands(file.bytes),
                file.written.as_deref().unwrap_or_default(),
                &file.position.map(thousands).unwrap_or_default(),
            ]);
        }
        out.push('\n');
        out += &ctl::right_aligned(table, &[2, 3, 5]);
        out
    }
}

impl SnapshotShown {
    fn of(name: String, estimate: inspect::Estimate) -> Self {
        let inspect::Estimate { header, tuples, is_exact, is_complete } = estimate;
        Self {
            name,
            taken: rfc3339(header.created),
            tuples,
            is_exact,
            is_complete,
            embargo_secs: header.timing.embargo().get(),
            window_secs: header.timing.window().get(),
            lifetime_secs: header.timing.lifetime().get(),
            shards: header.shards,
        }
    }
}

fn written(path: &Path) -> Option<String> {
    let modified = std::fs::metadata(path).ok()?.modified().ok()?;
    let secs = modified.duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some(rfc3339(Timestamp::from_unix_secs(secs)))
}

/// The name of the user whose a directory is, or else the number.
fn owner(path: &Path) -> Result<String, Failure> {
    let uid = std::fs::metadata(path)?.uid();
    let user = nix::unistd::User::from_uid(uid.into()).ok().flatten();
    Ok(user.map_or_else(|| uid.to_string(), |user| user.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_reads_well() {
        let file = |name: &str, kind, format, bytes, position| FileShown {
            name: name.to_owned(),
            kind,
            format,
            bytes,
            written: Some("2026-11-24T05:30:00Z".to_owned()),
            position,
        };
        let report = Report {
            directory: "/var/lib/xgrey".to_owned(),
            owner: "xgrey".to_owned(),
            in_use_by: Some("process 1234 (xgrey)".to_owned()),
            hash_key_fingerprint: Some("7f0a1f9a487af4c9".to_owned()),
            bytes: 18_000_000_000,
            snapshot: Some(SnapshotShown {
                name: "snapshot-00000000000005242880.snap".to_owned(),
                taken: "2026-11-24T05:30:00Z".to_owned(),
                tuples: 2_160_000_000,
                is_exact: false,
                is_complete: true,
                embargo_secs: 60,
                window_secs: 21_600,
                lifetime_secs: 3_110_400,
                shards: 9_216,
            }),
            files: vec![
                file("lock", "lock", None, 5, None),
                file("hash-key", "hash key", None, 16, None),
                file(
                    "snapshot-00000000000005242880.snap",
                    "snapshot",
                    Some(1),
                    17_900_000_000,
                    Some(5_242_880),
                ),
                file(
                    "journal-00000000000005242880.seg",
                    "journal",
                    Some(1),
                    67_108_864,
                    Some(5_242_880),
                ),
                file("text-00000000000000000001.seg", "texts", Some(1), 12_345_678, None),
            ],
        };
        insta::assert_snapshot!(report.show());
    }

    #[test]
    fn an_empty_directory_is_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let args = StoreArgs { state: Some(folder.path().to_owned()), json: false };
        let Ok(directory) = Directory::open(&args) else { panic!("not opened") };
        let Ok(report) = Report::of(&directory) else { panic!("not looked at") };
        let shown = report.show();
        assert!(
            shown.contains("hash key      none\n") && shown.contains("snapshot      none\n"),
            "{shown}"
        );
        assert!(!shown.contains("written"), "{shown}");
    }
}
