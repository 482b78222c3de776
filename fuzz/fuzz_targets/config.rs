//! Whatever a configuration and its list files say: reading them never panics, says the same each
//! time, and every place that is reported is in the text.
//!
//! The input is the configuration; after a zero byte each, the contents of the files `/a` and `/b`,
//! which it may name.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use xgrey::config::{Look, MadeUp, Report, parse_text};

const PATH: &str = "/xgrey.toml";

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(3, |&byte| byte == 0);
    let Ok(text) = std::str::from_utf8(parts.next().unwrap_or_default()) else { return };
    let names = ["/a", "/b"].into_iter().map(Into::into);
    let machine = MadeUp {
        files: names.zip(parts.map(<[u8]>::to_vec)).collect(),
        users: [("root".to_owned(), 0)].into(),
        memory: Some(8 << 30),
    };
    let report = || match parse_text(text, Path::new(PATH), &machine) {
        Ok((config, report)) => {
            assert_eq!(report.error_count(), 0);
            assert!(!config.summary().is_empty());
            report
        }
        Err(report) => {
            assert_ne!(report.error_count(), 0);
            report
        }
    };
    let said = report();
    assert_eq!(said, report());
    check_places(&said, text);
    said.render(Look::Plain);
    said.render(Look::Coloured);
});

/// Every place in the configuration itself is a place in its text.
fn check_places(report: &Report, text: &str) {
    for finding in report.findings().iter().filter(|finding| &*finding.place.file == PATH) {
        let position = finding.place.position.as_ref().expect("the file can be read");
        let line = text.split('\n').nth(position.line - 1).expect("the line is there");
        assert!((1..=line.chars().count() + 1).contains(&position.column), "{position:?}");
    }
}
