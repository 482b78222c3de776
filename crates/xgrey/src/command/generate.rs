//! `xgrey generate`: man pages and completions, from the same flag table as `--help`.

use std::io;
use std::path::Path;

use clap::CommandFactory;

use super::Failure;
use crate::cli::{Cli, GenerateCommand};

/// Writes what is asked for.
pub fn run(command: GenerateCommand) -> Result<(), Failure> {
    match command {
        GenerateCommand::Man { dir } => {
            write_man_pages(&dir)?;
            println!(
                "man pages are in {}; read one with `man -l {}/xgrey.1`",
                dir.display(),
                dir.display()
            );
        }
        GenerateCommand::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "xgrey", &mut io::stdout());
        }
    }
    Ok(())
}

fn write_man_pages(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Cli::command(), dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap_complete::Shell;

    #[test]
    fn each_subcommand_has_a_man_page_that_names_its_flags() {
        let dir = tempfile::tempdir().unwrap();
        write_man_pages(dir.path()).unwrap();
        for (page, flag) in [
            ("xgrey.1", "serve"),
            ("xgrey-serve.1", "decision\\-log"),
            ("xgrey-explain.1", "recipient"),
            ("xgrey-ctl.1", "reload"),
            ("xgrey-ctl-stats.1", "json"),
            ("xgrey-ctl-iplist.1", "ACTION"),
            ("xgrey-ctl-iplist-file.1", "bogonspace"),
            ("xgrey-ctl-to-domain.1", "byte for byte"),
            ("xgrey-ctl-show-tuples.1", "whitelist"),
            ("xgrey-ctl-watch.1", "COMMAND"),
            ("xgrey-check.1", "on\\-failure"),
            ("xgrey-export.1", "part"),
            ("xgrey-import.1", "state"),
            ("xgrey-store-verify.1", "json"),
            ("xgrey-config-check.1", "FILE"),
            ("xgrey-generate-man.1", "DIR"),
        ] {
            let text = std::fs::read_to_string(dir.path().join(page)).unwrap();
            assert!(text.contains(flag), "{page} does not mention {flag}:\n{text}");
        }
    }

    #[test]
    fn completions_know_the_subcommands() {
        let mut script = Vec::new();
        clap_complete::generate(Shell::Bash, &mut Cli::command(), "xgrey", &mut script);
        let script = String::from_utf8(script).unwrap();
        for word in ["--decision-log", "explain", "iplist", "relaydelay", "--on-failure"] {
            assert!(script.contains(word), "{word} is not completed:\n{script}");
        }
    }
}
