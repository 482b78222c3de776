//! `xgrey config check FILE` and `xgrey config default`.

use std::io::{self, Write};
use std::path::Path;

use super::{Failure, serve};
use crate::cli::ConfigCommand;
use crate::config::DEFAULT_TEXT;

/// Does what is asked for. Mistakes are the failure; what is doubtful goes to standard error, what
/// the settings come to, to standard output.
pub fn run(command: &ConfigCommand) -> Result<(), Failure> {
    let (printed, doubts) = match command {
        ConfigCommand::Default => (DEFAULT_TEXT.to_owned(), String::new()),
        ConfigCommand::Check { file } => check(file)?,
    };
    eprint!("{doubts}");
    io::stdout().lock().write_all(printed.as_bytes())?;
    Ok(())
}

/// What the settings in a file come to, and what is doubtful about them.
fn check(file: &Path) -> Result<(String, String), Failure> {
    let loaded = serve::load(Some(file))?;
    let settings = format!("{}: no mistakes\n{}\n", loaded.name, loaded.config.summary());
    Ok((settings, loaded.report.render(serve::look())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_either_put_into_words_or_refused_with_its_mistakes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("xgrey.toml");
        std::fs::write(&path, "embargo = \"2m\"").unwrap();
        let (settings, doubts) = check(&path).unwrap();
        assert!(settings.contains("xgrey.toml: no mistakes\nembargo 2 minutes, "), "{settings}");
        assert_eq!(doubts, "");

        std::fs::write(&path, "embargo = \"2 min\"").unwrap();
        let Err(Failure::Usage(report)) = check(&path) else { panic!("not refused") };
        assert!(report.contains("xgrey.toml:1:11"), "{report}");
    }
}
