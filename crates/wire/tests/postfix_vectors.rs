//! Each captured or written byte stream means what the file beside it says; see `vectors/README.md`.

mod listener;

use std::fs;
use std::path::{Path, PathBuf};

use wire::Limits;

fn requests() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/postfix");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "request"));
    paths.sort();
    paths
}

#[test]
fn every_vector_means_what_is_written_beside_it() {
    let mut wrong = Vec::new();
    for path in requests() {
        let bytes = fs::read(&path).unwrap();
        let seen = listener::listen(Limits::default(), [bytes.as_slice()]);
        let said: Vec<String> = seen.into_iter().map(|seen| seen.text).collect();
        let said = said.join("\n");
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
    for path in requests() {
        let bytes = fs::read(&path).unwrap();
        let whole = listener::listen(Limits::default(), [bytes.as_slice()]);
        assert_eq!(
            listener::listen(Limits::default(), bytes.chunks(1)),
            whole,
            "{}",
            path.display()
        );
    }
}

#[test]
fn no_vector_stands_without_its_meaning_and_no_meaning_without_its_vector() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/postfix");
    let meanings = fs::read_dir(folder).unwrap().filter(|entry| {
        entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "expected")
    });
    assert_eq!(meanings.count(), requests().len());
}
