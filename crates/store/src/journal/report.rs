//! What reading a journal found, for people.

use std::fmt;

use greylist::Timestamp;

use super::Position;

/// More findings than this are counted, not told.
const FINDINGS_MAX: usize = 100;

/// Something that was not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The last write to a segment was cut off: normal after a kill or a power cut. Nothing that
    /// comes after is missing.
    TornTail {
        /// Which file.
        file: String,
        /// Where what is not whole begins.
        offset: u64,
        /// How many bytes that is.
        bytes: u64,
    },
    /// A stretch that holds no whole frame, with changes after it, or known to have been in it.
    Corrupt {
        /// Which file.
        file: String,
        /// Where it begins.
        offset: u64,
        /// How many bytes it is long.
        bytes: u64,
        /// How many changes are missing, by the positions around it.
        missing: u64,
    },
    /// Positions go on later than where they were: there should be another segment before this
    /// one, or another frame before this offset.
    Missing {
        /// The file after the gap, or that it is in.
        file: String,
        /// Where the gap is in that file: 0 if before it.
        offset: u64,
        /// How many changes are missing.
        missing: u64,
    },
    /// The disk would not give some bytes.
    Unreadable {
        /// Which file.
        file: String,
        /// Where they are.
        offset: u64,
        /// How many.
        bytes: u64,
        /// What the kernel said.
        error: String,
    },
    /// A frame is whole, and yet holds what no version of this program writes.
    Nonsense {
        /// Which file.
        file: String,
        /// Where the frame begins.
        offset: u64,
        /// How many changes were left out.
        changes: u64,
    },
}

impl Finding {
    /// Whether that is as usual.
    pub const fn is_normal(&self) -> bool {
        matches!(self, Self::TornTail { .. })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TornTail { file, offset, bytes } => write!(
                f,
                "{file}: the last write was cut off at byte {offset} ({bytes} bytes left out): \
                 normal after a kill or a power cut"
            ),
            Self::Corrupt { file, offset, bytes, missing } => write!(
                f,
                "{file}: {bytes} bytes from byte {offset} on are corrupt and were left out; \
                 {missing} changes are missing"
            ),
            Self::Missing { file, offset: 0, missing } => {
                write!(f, "{file}: {missing} changes before it are missing")
            }
            Self::Missing { file, offset, missing } => {
                write!(f, "{file}: {missing} changes before byte {offset} are missing")
            }
            Self::Unreadable { file, offset, bytes, error } => {
                write!(f, "{file}: {bytes} bytes from byte {offset} on can't be read: {error}")
            }
            Self::Nonsense { file, offset, changes } => write!(
                f,
                "{file}: {changes} changes in the frame at byte {offset} make no sense and were \
                 left out"
            ),
        }
    }
}

/// What reading a journal found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Segments read.
    pub segments: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Changes read, notes included.
    pub changes: u64,
    /// Where the journal goes on: after all that is there, or was by the names of the files.
    pub next: Position,
    /// The latest time in it.
    pub newest: Option<Timestamp>,
    /// Changes missing, by the positions around the gaps.
    pub missing: u64,
    /// What was not as it was written, in order; the first hundred.
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub findings_untold: u64,
}

impl Report {
    /// Whether nothing was found but what is normal.
    pub fn is_clean(&self) -> bool {
        self.findings_untold == 0 && self.findings.iter().all(Finding::is_normal)
    }

    /// What was found, a line each.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let untold = (self.findings_untold > 0)
            .then(|| format!("and {} more places in the journal", self.findings_untold));
        self.findings.iter().map(ToString::to_string).chain(untold)
    }

    pub(super) fn add(&mut self, finding: Finding) {
        match &finding {
            Finding::Corrupt { missing, .. } | Finding::Missing { missing, .. } => {
                self.missing += missing;
            }
            Finding::Nonsense { changes, .. } => self.missing += changes,
            _ => {}
        }
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.findings_untold += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_bounded_and_the_rest_is_counted() {
        let mut report = Report::default();
        for offset in 0..FINDINGS_MAX as u64 + 5 {
            report.add(Finding::Corrupt { file: "a".into(), offset, bytes: 1, missing: 2 });
        }
        assert_eq!((report.findings.len(), report.findings_untold), (FINDINGS_MAX, 5));
        assert_eq!(report.missing, 2 * (FINDINGS_MAX as u64 + 5), "all of them count");
        assert!(!report.is_clean());
        let lines: Vec<_> = report.lines().collect();
        let first =
            "a: 1 bytes from byte 0 on are corrupt and were left out; 2 changes are missing";
        assert_eq!(lines[0], first);
        assert_eq!(lines[FINDINGS_MAX..], ["and 5 more places in the journal"]);
    }

    #[test]
    fn a_torn_tail_is_normal() {
        let mut report = Report::default();
        report.add(Finding::TornTail { file: "a".into(), offset: 7, bytes: 1 });
        assert!(report.is_clean());
        assert_eq!(report.missing, 0);
    }
}
