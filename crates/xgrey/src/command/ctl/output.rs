//! Where a command's output goes: straight to standard output; in the shell through a pager, if it is
//! longer than the terminal; or into a picture that is drawn again and again.
//!
//! Never knows: what is printed.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::path::Path;

use serde::Serialize;

use super::columns::Width;
use super::pager::Paged;
use crate::command::Failure;

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Tables and sentences.
    Sentences,
    /// JSON.
    Json,
}

/// What a command needs besides its own words.
#[derive(Debug)]
pub(super) struct Talk<'a> {
    /// Where the service listens.
    pub(super) socket: &'a Path,
    /// How to print.
    pub(super) form: Form,
    /// Where to.
    pub(super) out: &'a mut Output,
}

impl Talk<'_> {
    /// Prints that. Whoever closes the output has seen enough.
    pub(super) fn say(&mut self, text: &str) -> Result<(), Failure> {
        printed(self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()))
    }

    /// Prints an answer in words, or as JSON.
    pub(super) fn answer(
        &mut self,
        answer: &impl Serialize,
        sentences: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.form {
            Form::Sentences => self.say(&sentences()),
            Form::Json => self.say(&format!("{}\n", serde_json::to_string_pretty(answer)?)),
        }
    }
}

/// What of a failure to print is one.
pub(super) fn printed(printed: io::Result<()>) -> Result<(), Failure> {
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("cannot print: {error}")))
        }
        _ => Ok(()),
    }
}

/// Where output goes.
#[derive(Debug)]
pub(super) enum Output {
    /// To standard output, as it comes.
    Straight(BufWriter<Stdout>),
    /// To the terminal, through a pager if need be.
    Paged(Paged),
    /// Into memory.
    Kept(Kept),
}

/// Output that is kept: as many lines as there is room for.
#[derive(Debug)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    cells: usize,
    lines: usize,
    lines_max: usize,
}

/// A line can't be wider than this many bytes on any terminal: 1,000 cells of 4 bytes and colours.
const KEPT_BYTES_A_LINE: usize = 8 * 1024;

impl Output {
    /// To standard output.
    pub(super) fn straight() -> Self {
        Self::Straight(BufWriter::new(io::stdout()))
    }

    /// Into memory: so many lines, for a terminal so many cells wide.
    pub(super) fn kept(cells: usize, lines_max: usize) -> Self {
        Self::Kept(Kept { bytes: Vec::new(), cells, lines: 0, lines_max })
    }

    /// What was kept, if it was kept.
    pub(super) fn into_kept(self) -> Vec<u8> {
        match self {
            Self::Kept(kept) => kept.bytes,
            Self::Straight(_) | Self::Paged(_) => Vec::new(),
        }
    }

    /// How wide a row may be.
    pub(super) fn width(&self) -> Width {
        match self {
            Self::Kept(kept) => Width::AtMost(kept.cells),
            Self::Straight(_) | Self::Paged(_) => terminal_width(),
        }
    }

    /// Whether whoever looks wants no more of it.
    pub(super) fn is_interrupted(&self) -> bool {
        match self {
            Self::Paged(paged) => paged.is_interrupted(),
            Self::Straight(_) | Self::Kept(_) => false,
        }
    }

    /// Says something that is no output: on standard error, where there is one for it.
    pub(super) fn note(&mut self, line: &str) {
        match self {
            Self::Straight(out) => {
                // What can't be printed is told by whoever prints it.
                let _ = out.flush();
                eprintln!("xgrey: {line}");
            }
            Self::Paged(paged) => paged.note(line),
            Self::Kept(kept) => {
                let _ = writeln!(kept, "{line}");
            }
        }
    }

    /// Shows all that there is; waits for the pager.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Straight(mut out) => printed(out.flush()),
            Self::Paged(paged) => printed(paged.finish()),
            Self::Kept(_) => Ok(()),
        }
    }
}

fn terminal_width() -> Width {
    let cells = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0.into());
    cells.filter(|_| io::stdout().is_terminal()).map_or(Width::Unbounded, Width::AtMost)
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Straight(out) => out.write(bytes),
            Self::Paged(paged) => paged.write(bytes),
            Self::Kept(kept) => kept.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Straight(out) => out.flush(),
            Self::Paged(paged) => paged.flush(),
            Self::Kept(_) => Ok(()),
        }
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_full = self.lines >= self.lines_max
            || self.bytes.len() >= self.lines_max.saturating_mul(KEPT_BYTES_A_LINE);
        if is_full {
            // Whoever looks has seen enough.
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.bytes.extend_from_slice(bytes);
        self.lines += memchr::memchr_iter(b'\n', bytes).count();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_ends_where_the_screen_does() {
        let mut out = Output::kept(80, 3);
        let mut written = 0;
        let ended = loop {
            match writeln!(out, "line {written}") {
                Ok(()) => written += 1,
                Err(error) => break error.kind(),
            }
        };
        assert_eq!(ended, io::ErrorKind::BrokenPipe);
        assert_eq!(out.into_kept(), b"line 0\nline 1\nline 2\n");
    }
}
