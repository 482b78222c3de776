//! Configurations, whole and broken, and what is said of them.

/// Compares with what was said before, in a file named after the test.
macro_rules! assert_said {
    ($said:expr $(,)?) => {
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!($said);
        })
    };
}

mod broken;
mod lists;
mod outside;
mod settings;

use std::path::Path;

use super::*;

const PATH: &str = "/etc/xgrey/xgrey.toml";

/// A machine with these files, and the users `postfix` and `root`, and 24 GiB of memory.
fn machine(files: &[(&str, &str)]) -> MadeUp {
    MadeUp {
        files: files.iter().map(|(path, text)| (path.into(), text.as_bytes().to_vec())).collect(),
        users: [("root".into(), 0), ("postfix".into(), 101)].into(),
        memory: Some(24 << 30),
    }
}

fn parse_with(text: &str, files: &[(&str, &str)]) -> Result<(Config, Report), Report> {
    parse_text(text, Path::new(PATH), &machine(files))
}

/// A configuration without mistakes or doubts.
fn parse(text: &str) -> Config {
    parse_whole(text, &[])
}

/// A configuration with list files, without mistakes or doubts.
fn parse_whole(text: &str, files: &[(&str, &str)]) -> Config {
    match parse_with(text, files) {
        Ok((config, report)) if report.is_empty() => config,
        Ok((_, report)) | Err(report) => panic!("{}", report.render(Look::Plain)),
    }
}

/// The report of a configuration, be it with mistakes or with doubts alone.
fn report_with(text: &str, files: &[(&str, &str)]) -> Report {
    match parse_with(text, files) {
        Ok((_, report)) | Err(report) => report,
    }
}

/// What is said of each of `texts`, in one piece for a snapshot.
fn said(texts: &[&str]) -> String {
    let said = |text: &&str| {
        let text = text.trim_matches('\n');
        format!("{text}\n--------\n{}", report_with(text, &[]).render(Look::Plain))
    };
    texts.iter().map(said).collect::<Vec<_>>().join("\n========\n")
}
