//! Output on a terminal, a screen at a time: what is longer than the screen goes through `$PAGER`.
//!
//! Output is held back until it is known to be too long; then a pager gets what there is and all
//! that comes. So a listing of millions begins to be shown at once, and nobody holds more than a
//! screenful of it. Leaving the pager, or ^C, ends the listing.

use std::io::{self, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::backup::Interrupt;

/// What is tried where `$PAGER` says nothing.
const PAGERS: [&str; 2] = ["less", "more"];
/// How `less` behaves unless `$LESS` says: it leaves colours, and what was shown on the screen.
const LESS: &str = "FRX";

/// Output on its way to a terminal.
#[derive(Debug)]
pub(super) struct Paged {
    /// The commands to try, each with its arguments.
    pagers: Vec<Vec<String>>,
    rows: usize,
    way: Way,
    /// Said when all is over.
    notes: Vec<String>,
    interrupt: Interrupt,
}

/// How it goes there.
#[derive(Debug)]
enum Way {
    /// Not yet: it may still fit on the screen.
    Held { bytes: Vec<u8>, lines: usize },
    /// Through a pager.
    Pager { child: Child, input: ChildStdin },
    /// As it is, since there is no pager.
    Straight,
}

impl Paged {
    /// For a terminal with so many rows. `pager` is what `$PAGER` says, if it says anything; nothing
    /// in it, or `cat`, means that none is wanted.
    pub(super) fn new(pager: Option<&str>, rows: usize, interrupt: Interrupt) -> Self {
        let pagers = match pager {
            None => PAGERS.map(|pager| vec![pager.to_owned()]).to_vec(),
            Some(pager) => match shlex::split(pager).unwrap_or_default() {
                words if words.is_empty() || words == ["cat"] => Vec::new(),
                words => vec![words],
            },
        };
        let way = match pagers.is_empty() {
            true => Way::Straight,
            false => Way::Held { bytes: Vec::new(), lines: 0 },
        };
        Self { pagers, rows, way, notes: Vec::new(), interrupt }
    }

    /// Whether ^C was pressed.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupt.came()
    }

    /// Says something when all is over.
    pub(super) fn note(&mut self, line: &str) {
        self.notes.push(line.to_owned());
    }

    /// Shows what was held back, or waits until the pager is left.
    pub(super) fn finish(self) -> io::Result<()> {
        let shown = match self.way {
            Way::Held { bytes, .. } => {
                let mut out = io::stdout().lock();
                out.write_all(&bytes).and_then(|()| out.flush())
            }
            Way::Straight => io::stdout().flush(),
            Way::Pager { mut child, input } => {
                drop(input);
                child.wait().map(|_| ())
            }
        };
        for note in self.notes {
            eprintln!("xgrey: {note}");
        }
        shown
    }

    /// Begins to show: what there is is longer than the screen.
    fn open(&mut self) -> io::Result<()> {
        for words in &self.pagers {
            let Some((program, arguments)) = words.split_first() else { continue };
            let mut command = Command::new(program);
            command.args(arguments).stdin(Stdio::piped());
            if std::env::var_os("LESS").is_none() {
                command.env("LESS", LESS);
            }
            match command.spawn() {
                Ok(mut child) => {
                    let Some(input) = child.stdin.take() else { continue };
                    return self.take(Way::Pager { child, input });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.notes.push(format!("cannot run {program}: {error}")),
            }
        }
        let tried: Vec<String> = self.pagers.iter().map(|words| words.join(" ")).collect();
        self.notes.push(format!("no pager is there ({}): set PAGER", tried.join(", ")));
        self.take(Way::Straight)
    }

    /// Goes that way from now on, with what was held back first.
    fn take(&mut self, way: Way) -> io::Result<()> {
        let held = match std::mem::replace(&mut self.way, way) {
            Way::Held { bytes, .. } => bytes,
            Way::Pager { .. } | Way::Straight => Vec::new(),
        };
        self.write_all(&held)
    }
}

impl Write for Paged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.interrupt.came() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        match &mut self.way {
            Way::Pager { input, .. } => return input.write(bytes),
            Way::Straight => return io::stdout().write(bytes),
            Way::Held { bytes: held, lines } => {
                held.extend_from_slice(bytes);
                *lines += memchr::memchr_iter(b'\n', bytes).count();
                // The prompt wants a row, too.
                if *lines < self.rows {
                    return Ok(bytes.len());
                }
            }
        }
        self.open()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.way {
            Way::Held { .. } => Ok(()),
            Way::Pager { input, .. } => input.flush(),
            Way::Straight => io::stdout().flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paged(pager: &str, rows: usize) -> Paged {
        Paged::new(Some(pager), rows, Interrupt::never())
    }

    #[test]
    fn only_what_is_longer_than_the_screen_goes_through_the_pager() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("paged");
        let pager = format!("sh -c 'cat > {}'", file.display());
        let mut out = paged(&pager, 5);
        for line in 0..4 {
            writeln!(out, "line {line}").unwrap();
        }
        assert!(matches!(out.way, Way::Held { lines: 4, .. }));
        for line in 4..1_000 {
            writeln!(out, "line {line}").unwrap();
        }
        assert!(matches!(out.way, Way::Pager { .. }));
        out.finish().unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        assert_eq!(text.lines().count(), 1_000);
        assert!(text.starts_with("line 0\nline 1\n") && text.ends_with("line 999\n"));
    }

    #[test]
    fn a_pager_that_is_left_ends_the_output() {
        let mut out = paged("true", 1);
        let ended = loop {
            if let Err(error) = out.write_all(&[b'\n'; 4096]) {
                break error.kind();
            }
        };
        assert_eq!(ended, io::ErrorKind::BrokenPipe);
        out.finish().unwrap();
    }

    #[test]
    fn without_a_pager_output_is_printed_as_it_is_and_that_is_said() {
        let mut out = paged("/nowhere/pager", 1);
        out.write_all(b"\n").unwrap();
        assert!(matches!(out.way, Way::Straight));
        assert!(out.notes[0].contains("/nowhere/pager"), "{:?}", out.notes);
        assert!(matches!(paged("", 1).way, Way::Straight));
        assert!(matches!(paged("cat", 1).way, Way::Straight));
    }
}
