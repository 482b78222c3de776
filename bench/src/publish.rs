//! Where a report goes: to people on standard output, to programs in a file, or the other way round.
//! And what is said until there is one.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::Context as _;

/// A report, both ways.
pub(crate) struct Published {
    /// For people.
    pub(crate) text: String,
    /// For programs.
    pub(crate) json: String,
    /// What stands before the text on standard error, where progress was shown.
    pub(crate) gap: &'static str,
}

impl Published {
    /// Writes the text to standard output and JSON to the file; for `-`, JSON to standard output
    /// and the text to standard error.
    pub(crate) fn write(&self, json: Option<&Path>) -> anyhow::Result<()> {
        match json {
            Some(path) if path == Path::new("-") => {
                eprint!("{}{}", self.gap, self.text);
                writeln!(std::io::stdout().lock(), "{}", self.json)?;
            }
            Some(path) => {
                write!(std::io::stdout().lock(), "{}", self.text)?;
                std::fs::write(path, format!("{}\n", self.json))
                    .with_context(|| format!("write {}", path.display()))?;
            }
            None => write!(std::io::stdout().lock(), "{}", self.text)?,
        }
        Ok(())
    }
}

/// Says on a terminal, in one line that the next one replaces, what is going on.
pub(crate) fn progress(text: &str) {
    let mut terminal = std::io::stderr().lock();
    if terminal.is_terminal() {
        // Progress that can't be shown is no reason to stop.
        let _ = write!(terminal, "\r\x1b[K{text}");
        let _ = terminal.flush();
    }
}
