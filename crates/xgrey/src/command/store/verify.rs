//! `xgrey store verify`: reads every file and holds it against its checksums.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use store::inspect::{self, Checked, Content, Kind, Verification};

use super::Directory;
use crate::cli::StoreArgs;
use crate::command::{Failure, ctl, say};
use crate::thousands::thousands;

/// A running service removes files that it needs no more; then all is looked at once more, so often.
const ATTEMPTS: usize = 5;

/// Verifies, prints, and fails if not all is whole.
pub(super) fn run(args: &StoreArgs) -> Result<(), Failure> {
    let directory = Directory::open(args)?;
    let report = Report::of(&directory)?;
    if args.json {
        say(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else {
        say(&report.show())?;
    }
    if report.is_whole { Ok(()) } else { Err(Failure::Told) }
}

/// What is printed; its fields' names are for scripts too.
#[derive(Debug, Serialize)]
struct Report {
    directory: String,
    /// The process that has the directory.
    in_use_by: Option<String>,
    files: Vec<FileShown>,
    is_whole: bool,
    /// The snapshot that a start would begin with.
    snapshot: Option<String>,
    /// Changes that it would read from the journal.
    changes: u64,
    /// Why a start would be refused.
    refusals: Vec<String>,
    /// What would be lost at a start.
    losses: Vec<String>,
    /// All that in a sentence.
    verdict: String,
}

#[derive(Debug, Serialize)]
struct FileShown {
    name: String,
    kind: &'static str,
    bytes: u64,
    /// The version of its format.
    format: Option<u32>,
    content: ContentShown,
    damage: Vec<String>,
    remarks: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum ContentShown {
    Snapshot { tuples: u64, notes: u64, position: u64 },
    Journal { changes: u64, first: Option<u64>, last: Option<u64> },
    Texts { texts: u64 },
    NotRead,
}

impl Report {
    fn of(directory: &Directory) -> Result<Self, Failure> {
        let Some(hash_key) = &directory.hash_key else { return Self::without_key(directory) };
        let disk = &directory.disk;
        let mut attempt = 1;
        let verification = loop {
            let bytes = inspect::bytes_to_verify(&inspect::files(&**disk)?);
            let shown = Shown::new(bytes);
            let verified =
                inspect::verify(disk, hash_key.fingerprint(), &mut |read| shown.at(read));
            shown.end();
            match verified {
                Ok(verification) => break verification,
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => {
                    attempt += 1;
                }
                Err(error) => return Err(error.into()),
            }
        };
        Ok(Self::told(directory, verification))
    }

    /// Without a hash key nothing can be read.
    fn without_key(directory: &Directory) -> Result<Self, Failure> {
        let files = inspect::files(&*directory.disk)?;
        let has_tuples = |kind| matches!(kind, Kind::Snapshot(_) | Kind::Journal(_));
        let mut start = inspect::Start::default();
        if files.iter().any(|file| has_tuples(file.kind)) {
            start.refusals.push(
                "the file hash-key is missing, without which no tuple can be found: restore it from \
                 a backup"
                    .to_owned(),
            );
        }
        let checked = files.into_iter().map(|file| Checked {
            file,
            content: Content::NotRead,
            damage: Vec::new(),
            remarks: Vec::new(),
        });
        Ok(Self::told(directory, Verification { files: checked.collect(), start }))
    }

    fn told(directory: &Directory, verification: Verification) -> Self {
        let is_whole = verification.is_whole();
        let verdict = verdict(&verification);
        let Verification { files, start } = verification;
        let files = files.into_iter().map(|checked| {
            let format = inspect::format_version(&*directory.disk, &checked.file.name);
            FileShown::of(checked, format)
        });
        Self {
            directory: directory.path.display().to_string(),
            in_use_by: directory.holder.as_ref().map(ToString::to_string),
            files: files.collect(),
            is_whole,
            snapshot: start.snapshot,
            changes: start.changes,
            refusals: start.refusals,
            losses: start.losses,
            verdict,
        }
    }

    fn show(&self) -> String {
        let mut out = format!("{}\n", self.directory);
        if let Some(holder) = &self.in_use_by {
            let _ = writeln!(
                out,
                "in use by {holder}: what it writes meanwhile may look like a write that was cut off"
            );
        }
        let mut table = ctl::table(["file", "kind", "bytes", "what is in it"]);
        for file in &self.files {
            let said = if file.damage.is_empty() { "" } else { "; damaged" };
            let content = format!("{}{said}", file.content.said());
            table.add_row([&file.name, file.kind, &thousands(file.bytes), content.as_str()]);
        }
        if !self.files.is_empty() {
            out.push('\n');
            out += &ctl::right_aligned(table, &[2]);
        }
        let mut details = String::new();
        for file in &self.files {
            for what in file.damage.iter().chain(&file.remarks) {
                let _ = writeln!(details, "{}: {what}", file.name);
            }
        }
        if !details.is_empty() {
            out.push('\n');
            out += &details;
        }
        let has_more = !self.refusals.is_empty() || !self.losses.is_empty();
        let _ = writeln!(out, "\n{}{}", self.verdict, if has_more { ":" } else { "" });
        for what in self.refusals.iter().chain(&self.losses) {
            let _ = writeln!(out, "  {what}");
        }
        out
    }
}

/// What it comes to, in one plain sentence.
fn verdict(verification: &Verification) -> String {
    let start = &verification.start;
    if !start.refusals.is_empty() {
        return "a start would be refused, and would change nothing".to_owned();
    }
    if !start.losses.is_empty() {
        return "damaged: a start would go on with the rest, and lose this".to_owned();
    }
    if !verification.is_whole() {
        return "damaged, but no tuple is lost: what is damaged is not needed for them".to_owned();
    }
    let loads = start.snapshot.as_ref().and_then(|name| {
        verification.files.iter().find_map(|checked| match checked.content {
            Content::Snapshot(found) if checked.file.name == *name => Some(found.tuples),
            _ => None,
        })
    });
    match (loads, start.changes) {
        (None, 0) => "whole: no tuples yet".to_owned(),
        (None, changes) => {
            format!("whole: a start would read {} changes from the journal", thousands(changes))
        }
        (Some(tuples), changes) => format!(
            "whole: a start would load {} tuples from the snapshot and read {} changes after it",
            thousands(tuples),
            thousands(changes)
        ),
    }
}

impl FileShown {
    fn of(checked: Checked, format: Option<u32>) -> Self {
        let Checked { file, content, damage, remarks } = checked;
        let content = match content {
            Content::Snapshot(found) => ContentShown::Snapshot {
                tuples: found.tuples,
                notes: found.notes,
                position: found.header.position.get(),
            },
            Content::Journal(found) => ContentShown::Journal {
                changes: found.changes,
                first: found.span.map(|(first, _)| first.get()),
                last: found.span.map(|(_, last)| last.get()),
            },
            Content::Texts { texts } => ContentShown::Texts { texts },
            Content::NotRead => ContentShown::NotRead,
        };
        let kind = file.kind.word();
        Self { name: file.name, kind, bytes: file.bytes, format, content, damage, remarks }
    }
}

impl ContentShown {
    fn said(&self) -> String {
        match self {
            Self::Snapshot { tuples, notes, position } => {
                let notes = match notes {
                    0 => String::new(),
                    notes => format!(", {} notes", thousands(*notes)),
                };
                let (tuples, position) = (thousands(*tuples), thousands(*position));
                format!("{tuples} tuples{notes}, as after {position} changes")
            }
            Self::Journal { changes, first: Some(first), last: Some(last) } => {
                let (first, last) = (thousands(*first), thousands(*last));
                format!("{} changes, number {first} to {last}", thousands(*changes))
            }
            Self::Journal { .. } => "no changes".to_owned(),
            Self::Texts { texts } => format!("{} texts of tuples", thousands(*texts)),
            Self::NotRead => String::new(),
        }
    }
}

/// A bar on a terminal.
struct Shown(ProgressBar);

impl Shown {
    fn new(bytes: u64) -> Self {
        let target = match io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(bytes), target);
        if let Ok(style) = ProgressStyle::with_template(
            "  {bar:40} {bytes:>10} of {total_bytes:<10} {bytes_per_sec:>12}, {eta} left",
        ) {
            bar.set_style(style);
        }
        Self(bar)
    }

    fn at(&self, bytes: u64) {
        self.0.set_position(bytes);
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::path::Path;
    use std::sync::Arc;

    use greylist::{HashKey, Timestamp, Timing, TupleKey};
    use store::disk::RealDisk;
    use store::durable::{Opening, Settings};
    use store::journal::SyncPolicy;
    use store::{Bound, CompactConfig, CompactStore};

    use super::*;
    use crate::state_dir::StateDir;

    const NOW: Timestamp = Timestamp::from_unix_secs(1_795_498_200);

    fn open(path: &Path, hash_key: HashKey) -> CompactStore {
        let opening = Opening {
            config: CompactConfig {
                timing: Timing::DEFAULT,
                bound: Bound::new(Bound::BYTES_MIN.max(16 << 20)).unwrap(),
                hash_key,
            },
            disk: Arc::new(RealDisk::new(path.to_owned())),
            settings: Settings {
                sync: SyncPolicy::Never,
                segment_bytes: 1 << 20,
                snapshot_after: None,
            },
            prepare: Box::new(|| Ok(())),
            now: NOW,
            threads: NonZeroUsize::MIN,
        };
        CompactStore::open(opening, &|_| {}).unwrap().store
    }

    /// A state directory with a snapshot of 300 tuples, and 200 after it.
    fn fill(path: &Path) -> StateDir {
        let state = StateDir::take(path).unwrap();
        let store = open(path, state.hash_key([7; 16]).unwrap());
        let touch = |number: u128| {
            store.touch_one(NOW, TupleKey(number << 100 | number));
        };
        (1..=300).for_each(touch);
        store.snapshot(NOW).unwrap();
        (301..=500).for_each(touch);
        state
    }

    fn verified(path: &Path) -> Result<Report, Failure> {
        let args = StoreArgs { state: Some(path.to_owned()), json: false };
        Report::of(&Directory::open(&args)?)
    }

    #[test]
    fn a_directory_is_verified_beside_the_process_that_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let state = fill(&path);
        let report = verified(&path).unwrap();
        assert!(report.is_whole, "{}", report.show());
        let in_use_by = report.in_use_by.as_deref().unwrap_or_default();
        assert!(in_use_by.contains(&std::process::id().to_string()), "{in_use_by}");
        assert_eq!(
            report.verdict,
            "whole: a start would load 300 tuples from the snapshot and read 200 changes after it"
        );
        drop(state);
        assert_eq!(verified(&path).unwrap().in_use_by, None);
    }

    #[test]
    fn without_its_hash_key_a_directory_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        drop(fill(folder.path()));
        std::fs::remove_file(folder.path().join("hash-key")).unwrap();
        let report = verified(folder.path()).unwrap();
        assert!(!report.is_whole);
        assert!(report.show().contains("restore it from a backup"), "{}", report.show());
        std::fs::write(folder.path().join("hash-key"), "short").unwrap();
        let Err(Failure::Failed(why)) = verified(folder.path()) else { panic!("not refused") };
        assert!(why.contains("should be 16 bytes and is 5"), "{why}");
    }

    #[test]
    fn a_directory_that_is_not_there_is_said_with_the_mend() {
        let Err(Failure::Failed(why)) = verified(Path::new("/nonexistent/state")) else {
            panic!("found")
        };
        assert!(why.contains("--state"), "{why}");
    }

    fn file(name: &str, kind: &'static str, content: ContentShown) -> FileShown {
        FileShown {
            name: name.to_owned(),
            kind,
            bytes: 1_234_567,
            format: Some(1),
            content,
            damage: Vec::new(),
            remarks: Vec::new(),
        }
    }

    #[test]
    fn a_report_reads_well() {
        let snapshot = ContentShown::Snapshot { tuples: 987_654, notes: 2, position: 5_242_880 };
        let journal = ContentShown::Journal {
            changes: 100_000,
            first: Some(5_242_880),
            last: Some(5_342_879),
        };
        let mut report = Report {
            directory: "/var/lib/xgrey".to_owned(),
            in_use_by: None,
            files: vec![
                FileShown { bytes: 16, ..file("hash-key", "hash key", ContentShown::NotRead) },
                file("snapshot-00000000000005242880.snap", "snapshot", snapshot),
                file("journal-00000000000005242880.seg", "journal", journal),
                file(
                    "text-00000000000000000001.seg",
                    "texts",
                    ContentShown::Texts { texts: 12_345 },
                ),
            ],
            is_whole: true,
            snapshot: Some("snapshot-00000000000005242880.snap".to_owned()),
            changes: 100_000,
            refusals: Vec::new(),
            losses: Vec::new(),
            verdict: "whole: a start would load 987,654 tuples from the snapshot and read 100,000 \
                      changes after it"
                .to_owned(),
        };
        let whole = report.show();
        report.in_use_by = Some("process 1234 (xgrey)".to_owned());
        report.files[2].damage.push("512 bytes from byte 4096 on are corrupt".to_owned());
        report.losses.push("journal-00000000000005242880.seg: 40 changes are missing".to_owned());
        report.verdict = "damaged: a start would go on with the rest, and lose this".to_owned();
        insta::assert_snapshot!(format!("{whole}\n----\n{}", report.show()));
    }
}
