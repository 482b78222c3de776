//! `xgrey config check FILE` and `xgrey config default`.

use std::io::{self, Write};
use std::path::Path;

use crate::config::{Config, DEFAULT_TEXT, Look};

/// The exit code for a configuration without mistakes.
const FINE: u8 = 0;
/// The exit code for wrong usage or configuration.
const MISTAKEN: u8 = 2;

/// Checks the configuration at `path`, with all files that it names. What is wrong or doubtful goes
/// to `errors`; if nothing is wrong, what the settings come to goes to `out`. Returns the exit
/// code: 2 if there is any mistake, else 0.
///
/// # Errors
/// When writing fails.
pub fn check(
    path: &Path,
    look: Look,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<u8> {
    match Config::load(Some(path)) {
        Ok((config, report)) => {
            write!(errors, "{}", report.render(look))?;
            writeln!(out, "{}: no mistakes", path.display())?;
            writeln!(out, "{}", config.summary())?;
            Ok(FINE)
        }
        Err(report) => {
            write!(errors, "{}", report.render(look))?;
            Ok(MISTAKEN)
        }
    }
}

/// Prints the default configuration with its comments. Returns the exit code, 0.
///
/// # Errors
/// When writing fails.
pub fn default(out: &mut dyn Write) -> io::Result<u8> {
    out.write_all(DEFAULT_TEXT.as_bytes())?;
    Ok(FINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_prints_the_report_or_the_summary_and_says_how_to_exit() {
        let directory = tempfile::tempdir().unwrap();
        let check_text = |text: &str| {
            let path = directory.path().join("xgrey.toml");
            std::fs::write(&path, text).unwrap();
            let (mut out, mut errors) = (Vec::new(), Vec::new());
            let code = check(&path, Look::Plain, &mut out, &mut errors).unwrap();
            (code, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
        };
        let (code, out, errors) = check_text("embargo = \"2m\"");
        assert_eq!((code, &*errors), (0, ""));
        assert!(out.contains("xgrey.toml: no mistakes\nembargo 2 minutes, "), "{out}");
        let (code, out, errors) = check_text("embargo = \"2 min\"");
        assert_eq!((code, &*out), (2, ""));
        assert!(errors.contains("xgrey.toml:1:11"), "{errors}");
    }

    #[test]
    fn default_prints_the_commented_default() {
        let mut printed = Vec::new();
        assert_eq!(default(&mut printed).unwrap(), 0);
        assert_eq!(printed, DEFAULT_TEXT.as_bytes());
    }
}
