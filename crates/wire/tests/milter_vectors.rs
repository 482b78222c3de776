//! Each captured or written byte stream means what the file beside it says; see `vectors/README.md`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod milter_listener;

use std::fs;
use std::path::{Path, PathBuf};

use wire::Limits;

use milter_listener::listen;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/milter")
}

fn with_extension(wanted: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == wanted));
    paths.sort();
    paths
}

#[test]
fn every_vector_means_what_is_written_beside_it() {
    let mut wrong = Vec::new();
    for path in with_extension("request") {
        let bytes = fs::read(&path).unwrap();
        let seen = listen(Limits::default(), [bytes.as_slice()]);
        let said: String = seen.into_iter().map(|seen| seen.text + "\n").collect();
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
fn every_vector_means_the_same_when_its_bytes_come_one_by_one() {
    for path in with_extension("request") {
        let bytes = fs::read(&path).unwrap();
        let whole = listen(Limits::default(), [bytes.as_slice()]);
        assert_eq!(listen(Limits::default(), bytes.chunks(1)), whole, "{}", path.display());
    }
}

#[test]
fn no_vector_stands_without_its_meaning_and_no_meaning_without_its_vector() {
    let stems = |wanted| {
        with_extension(wanted).iter().map(|path| path.with_extension("")).collect::<Vec<_>>()
    };
    assert_eq!(stems("request"), stems("expected"));
    assert!(!stems("request").is_empty());
}
