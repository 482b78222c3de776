//! `xgrey config check FILE` and `xgrey config default`.

use std::io::{self, Write};

use super::{Failure, serve};
use crate::cli::ConfigCommand;
use crate::config::DEFAULT_TEXT;

/// Does what is asked for. Mistakes are the failure; what is doubtful goes to standard error, what
/// the settings come to, to standard output.
pub fn run(command: &ConfigCommand) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match command {
        ConfigCommand::Default => out.write_all(DEFAULT_TEXT.as_bytes())?,
        ConfigCommand::Check { file } => {
            let loaded = serve::load(Some(file))?;
            eprint!("{}", loaded.report.render(serve::look()));
            writeln!(out, "{}: no mistakes", loaded.name)?;
            writeln!(out, "{}", loaded.config.summary())?;
        }
    }
    Ok(())
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
