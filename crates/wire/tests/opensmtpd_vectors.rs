//! What smtpd wrote means what the file beside it says; see `vectors/README.md`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod filter_reader;

use std::fs;
use std::path::{Path, PathBuf};

use filter_reader::read;
use wire::opensmtpd::LINE_BYTES_MAX;

fn files(extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/opensmtpd");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    paths
}

#[test]
fn every_vector_of_smtpd_means_what_is_written_beside_it() {
    let mut wrong = Vec::new();
    for path in files("request") {
        let bytes = fs::read(&path).unwrap();
        let said: String = read(LINE_BYTES_MAX, [bytes.as_slice()])
            .iter()
            .map(|line| format!("{line}\n"))
            .collect();
        let expected = path.with_extension("expected");
        if fs::read_to_string(&expected).ok().as_deref() == Some(said.as_str()) {
            continue;
        }
        if std::env::var_os("UPDATE_VECTORS").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        wrong.push(format!("{}:\n{said}", path.display()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_vector_of_smtpd_means_the_same_when_its_bytes_come_one_by_one() {
    for path in files("request") {
        let bytes = fs::read(&path).unwrap();
        let whole = read(LINE_BYTES_MAX, [bytes.as_slice()]);
        assert_eq!(read(LINE_BYTES_MAX, bytes.chunks(1)), whole, "{}", path.display());
    }
}

#[test]
fn no_vector_of_smtpd_stands_without_its_meaning_and_no_meaning_without_its_vector() {
    let requests = files("request");
    assert!(!requests.is_empty());
    let expected: Vec<PathBuf> =
        requests.iter().map(|path| path.with_extension("expected")).collect();
    assert_eq!(files("expected"), expected);
}
