//! What is read from the machine itself: files, directories, users.

use std::fs;
use std::os::unix::fs::symlink;

use greylist::rules::List;

use super::*;

/// Writes these files into a new directory.
fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, contents) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
    directory
}

/// The report of the file `xgrey.toml` in `directory`, with the directory's name taken out.
fn report(directory: &tempfile::TempDir) -> String {
    let report = match Config::load(Some(&directory.path().join("xgrey.toml"))) {
        Ok((_, report)) | Err(report) => report,
    };
    report.render(Look::Plain).replace(&directory.path().display().to_string(), "DIR")
}

#[test]
fn a_configuration_with_files_and_directories_beside_it_is_loaded() {
    let text = b"[rules]\ndirectories = [\"rules.d\", \"local.d\"]\n\
                 [[rules.file]]\npath = \"whitelist_clients\"\nformat = \"postgrey-clients\"";
    let directory = directory(&[
        ("xgrey.toml", text),
        ("rules.d/a.rules", b"client accept 192.0.2.1"),
        ("rules.d/b.rules", b"client accept 192.0.2.2"),
        ("local.d/README", b""),
        ("whitelist_clients", b"example.net"),
    ]);
    symlink("/dev/null", directory.path().join("local.d/b.rules")).unwrap();
    assert_eq!(report(&directory), "");
    let path = directory.path().join("xgrey.toml");
    let (config, _) = Config::load(Some(&path)).unwrap();
    assert_eq!(config.file.as_deref(), Some(&*path));
    assert_eq!((config.rules.len(List::Client), config.rules.len(List::ClientName)), (1, 1));
}

#[test]
fn what_cannot_be_read_is_said_where_it_is_named() {
    let text = b"[[listen]]\naddress = \"unix:/run/xgrey/s\"\nowner = \"no-such-user-here:root\"\n\
                 [rules]\ndirectories = [\"rules.d\", \"a-file\", \"nowhere\"]\n\
                 [[rules.file]]\npath = \"rules.d\"\n[[rules.file]]\npath = \"nowhere\"";
    let directory = directory(&[("xgrey.toml", text), ("a-file", b""), ("rules.d/a.rules/x", b"")]);
    assert_said!(report(&directory));
}

#[test]
fn a_configuration_that_cannot_be_read_is_said_so() {
    let directory = directory(&[("xgrey.toml", b"mode = \"enforce\"\nlog = \"M\xfcnchen\"\n")]);
    let mut said = report(&directory);
    fs::remove_file(directory.path().join("xgrey.toml")).unwrap();
    said += &report(&directory);
    fs::create_dir(directory.path().join("xgrey.toml")).unwrap();
    said += &report(&directory);
    fs::remove_dir(directory.path().join("xgrey.toml")).unwrap();
    fs::write(directory.path().join("xgrey.toml"), vec![b'\n'; CONFIG_BYTES_MAX + 1]).unwrap();
    said += &report(&directory);
    assert_said!(said);
}
