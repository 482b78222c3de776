//! Backups: exported, imported, interrupted, damaged; of running services and of state directories.
//! No mail server; root, to be able to write what is another user's.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufWriter, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::place::Place;
use crate::process::{Ended, Process, run};
use crate::server::{Server, Settings};
use crate::wait::until;

/// An embargo and a window that no test outlives.
const SETTINGS: Settings<'_> = Settings { keys: "embargo = \"1h\"", tables: "" };

const MILLION: u64 = 1_000_000;
/// So many take long enough to be interrupted.
const SOME: u64 = 200_000;

/// `xgrey` with nothing of this process's surroundings that it heeds.
fn xgrey(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xgrey"));
    command.args(arguments).env_remove("STATE_DIRECTORY").env_remove("RUNTIME_DIRECTORY");
    command
}

/// Paths as arguments.
fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A place with a running service.
struct House {
    place: Place,
    server: Server,
}

impl House {
    fn new() -> Self {
        let place = Place::new();
        let server = Server::start(&place, SETTINGS);
        Self { place, server }
    }

    /// Runs `xgrey export` or `import` with the running service.
    fn run(&self, command: &str, file: &Path) -> Ended {
        run(&mut self.command(command, file))
    }

    fn command(&self, command: &str, file: &Path) -> Command {
        let socket = self.place.path("run/control.sock");
        xgrey(&[command, "--control", text(&socket), text(file)])
    }

    /// Exports, which must go well.
    fn export(&self, name: &str) -> String {
        let file = self.place.path(name);
        let ended = self.run("export", &file);
        assert_eq!(ended.code, Some(0), "{}", ended.output);
        fs::read_to_string(file).unwrap()
    }

    /// Has so many tuples tried for the first time.
    fn ask(&self, tuples: u32) {
        let mut stream = TcpStream::connect(self.server.address()).unwrap();
        for number in 0..tuples {
            let request = format!(
                "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=192.0.2.7\n\
                 sender=alice{number}@example.net\nrecipient=bob@example.org\n\n"
            );
            stream.write_all(request.as_bytes()).unwrap();
        }
        stream.shutdown(Shutdown::Write).unwrap();
        let answers = std::io::read_to_string(stream).unwrap();
        assert_eq!(answers.matches("action=DEFER").count(), tuples as usize, "{answers}");
    }
}

/// Those lines of an export that say what is remembered, without the time when it was made. What has been
/// counted changes with every question.
fn entries(export: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = export
        .lines()
        .filter(|line| ["text ", "tuple ", "note "].iter().any(|kind| line.starts_with(kind)))
        .filter(|line| !line.starts_with("note statistics"))
        .collect();
    lines.sort_unstable();
    lines
}

/// The head of an export, and the time in it.
fn head(export: &str) -> (&str, &str) {
    let time = export.find("\ntime ").unwrap();
    let end = time + 1 + export[time + 1..].find('\n').unwrap();
    (&export[..=end], &export[time + 6..end])
}

/// An export of so many grey tuples, first tried when `like` was made, with its head.
fn write_export(file: &Path, like: &str, tuples: u64) {
    let (head, time) = head(like);
    let mut out = BufWriter::new(fs::File::create(file).unwrap());
    out.write_all(head.as_bytes()).unwrap();
    for number in 0..tuples {
        // Spread evenly over all 58 bits.
        let id = ((1 << 58) / tuples * number) | 1;
        writeln!(out, "tuple {id:015x} grey {time}").unwrap();
    }
    writeln!(out, "end texts 0 tuples {tuples} notes 0").unwrap();
    out.flush().unwrap();
}

/// A house whose service knows so many tuples, and the export that they came from.
fn full_house(tuples: u64) -> (House, PathBuf) {
    let house = House::new();
    let file = house.place.path("tuples");
    write_export(&file, &house.export("empty"), tuples);
    let ended = house.run("import", &file);
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert!(ended.output.contains("000 tuples new here"), "{}", ended.output);
    (house, file)
}

#[test]
fn a_million_tuples_are_exported_in_little_memory_and_on_a_terminal_one_sees_how_far_it_is() {
    let (house, file) = full_house(MILLION);
    let million = fs::read_to_string(&file).unwrap();
    let exported = house.place.path("exported");
    let limited = |command: &str, file: &Path| {
        let mut limited = Command::new("prlimit");
        // A third of the export's size, of which a process with nothing to do needs a third.
        limited.arg("--data=16000000").arg(env!("CARGO_BIN_EXE_xgrey"));
        limited.args(house.command(command, file).get_args());
        run(&mut limited)
    };
    let ended = limited("export", &exported);
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert!(ended.output.contains("1,000,000 tuples, 0 with addresses"), "{}", ended.output);
    assert_eq!(entries(&fs::read_to_string(&exported).unwrap()), entries(&million));
    let again = limited("import", &exported);
    assert_eq!(again.code, Some(0), "{}", again.output);
    assert!(again.output.contains("1,000,000 tuples known as well or better"), "{}", again.output);

    let command = house.command("export", &exported);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ");
    let seen = run(Command::new("script").args(["-qec", &line, "/dev/null"]));
    assert_eq!(seen.code, Some(0), "{}", seen.output);
    assert!(seen.output.contains(" % ") && seen.output.contains(" lines/s"), "{}", seen.output);
}

#[test]
fn an_export_that_was_killed_goes_on_where_it_was() {
    let (house, _) = full_house(SOME);
    let whole = house.export("whole");
    let file = house.place.path("backup");
    let part = house.place.path("backup.part");
    let output = house.place.path("killed.out");
    let mut killed = Process::start(&mut house.command("export", &file), &output);
    until("a part of the export", || {
        let length = fs::metadata(&part).map_or(0, |metadata| metadata.len());
        (length > 1_000_000 || killed.ended().is_some()).then_some(())
    });
    killed.signal(Signal::KILL);
    killed.wait();
    assert!(!file.exists() && part.exists(), "too late to interrupt it");
    let ended = house.run("export", &file);
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert!(ended.output.contains("going on with "), "{}", ended.output);
    let resumed = fs::read_to_string(&file).unwrap();
    assert_eq!(resumed.matches("\ncontinued ").count(), 1);
    assert_eq!(entries(&resumed), entries(&whole));
    assert_eq!(resumed.lines().last(), whole.lines().last());
    assert!(!part.exists());
}

#[test]
fn an_import_that_was_interrupted_is_run_again_and_nothing_is_taken_in_twice() {
    let (house, file) = full_house(SOME);
    let other = House::new();
    // With the key of the first, or it could not use them.
    drop(other.server);
    let state = other.place.path("moved");
    let config = other.place.path("xgrey.toml");
    let arguments = ["import", "--state", text(&state), "--config", text(&config)];
    let output = other.place.path("import.out");
    let mut command = xgrey(&arguments);
    let mut interrupted = Process::start(command.arg("-").stdin(Stdio::piped()), &output);
    let mut stdin = interrupted.take_stdin().unwrap();
    let export = fs::read_to_string(&file).unwrap();
    let (first, rest) = export.split_at(export.len() / 2);
    stdin.write_all(first.as_bytes()).unwrap();
    interrupted.signal(Signal::INT);
    // It looks up from its reading now and then.
    for line in rest.split_inclusive('\n') {
        if stdin.write_all(line.as_bytes()).is_err() {
            break;
        }
    }
    drop(stdin);
    assert_eq!(interrupted.wait().code(), Some(1), "{}", interrupted.output());
    let said = interrupted.output();
    assert!(said.contains("interrupted after line "), "{said}");
    let again = run(xgrey(&arguments).arg(&file));
    assert_eq!(again.code, Some(0), "{}", again.output);
    assert!(again.output.contains("tuples known as well or better"), "{}", again.output);
    let exported = other.place.path("exported");
    let ended = run(&mut xgrey(&[
        "export",
        "--state",
        text(&state),
        "--config",
        text(&config),
        text(&exported),
    ]));
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(entries(&fs::read_to_string(exported).unwrap()), entries(&export));
    drop(house);
}

#[test]
fn a_state_directory_moves_house_with_its_key_and_the_new_service_knows_its_tuples() {
    let mut old = House::new();
    old.ask(100);
    let online = old.export("online");
    old.server.stop();
    let state = old.place.path("state");
    let config = old.place.path("xgrey.toml");
    let before: Vec<_> = files(&state);
    let offline = old.place.path("offline");
    let arguments = ["--state", text(&state), "--config", text(&config), text(&offline)];
    let ended = run(xgrey(&["export"]).args(arguments));
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(entries(&fs::read_to_string(&offline).unwrap()), entries(&online));
    assert_eq!(files(&state), before, "an export changes nothing");

    let mut new = House::new();
    new.server.stop();
    let state = new.place.path("state");
    let arguments = ["--state", text(&state), "--config", text(&config), text(&offline)];
    let ended = run(xgrey(&["import"]).args(arguments));
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert!(ended.output.contains("it takes the hash key of the export"), "{}", ended.output);
    assert!(ended.output.contains("100 tuples new here"), "{}", ended.output);
    let House { place, server } = new;
    let new = House { server: server.start_again(&place), place };
    let moved = new.export("moved");
    assert_eq!(entries(&moved), entries(&online));
    let counts = moved.lines().filter(|line| line.starts_with("note statistics:"));
    let counted = counts.filter(|line| line.contains(",answer.defer.new=100,")).count();
    assert_eq!(counted, 1, "what the old service has counted moves with it:\n{moved}");
}

#[test]
fn what_root_imports_is_the_services_own() {
    const NOBODY: u32 = 65_534;
    let house = House::new();
    let file = house.place.path("export");
    fs::write(&file, house.export("empty")).unwrap();
    let state = house.place.make_folder("moved");
    let chown = |path: &Path| std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY));
    chown(&state).expect("these tests run as root");
    let config = house.place.path("xgrey.toml");
    let arguments = ["--state", text(&state), "--config", text(&config), text(&file)];
    let ended = run(xgrey(&["import"]).args(arguments));
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    let mut files = 0;
    for entry in fs::read_dir(&state).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().uid(), NOBODY, "{:?}", entry.path());
        files += 1;
    }
    assert!(files > 2, "only {files}");
}

/// Names and contents, the lock's aside, in which each process writes its number.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.ends_with("lock"))
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn under_another_hash_key_tuples_come_by_their_addresses_and_that_is_said() {
    let old = House::new();
    old.ask(50);
    let export = old.export("export");
    let (head, time) = head(&export);
    let without_text = format!("tuple 00000000000002a grey {time}\n");
    let export = export.replace(head, &format!("{head}{without_text}"));
    let file = old.place.write("with-one-more", &export.replace("tuples 50 n", "tuples 51 n"));
    let new = House::new();
    let ended = new.run("import", &file);
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert!(ended.output.contains("50 tuples new here"), "{}", ended.output);
    assert!(
        ended.output.contains("1 tuples left out: made with another hash key"),
        "{}",
        ended.output
    );
    assert_eq!(new.export("moved").matches("\ntext ").count(), 50);
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_line_or_its_mend() {
    let house = House::new();
    house.ask(10);
    let export = house.export("export");
    let lines: Vec<&str> = export.lines().collect();
    let broken = export.replace(lines[12], "tuple 1 grey now");
    let cut = &export[..export.len() - 20];
    let mut said = String::new();
    for (name, bytes, code) in [
        ("broken", broken.as_bytes(), 1),
        ("cut", cut.as_bytes(), 1),
        ("newer", export.replace("xgrey-export 1", "xgrey-export 9").as_bytes(), 1),
        ("packed", b"\x28\xb5\x2f\xfd", 1),
        ("else", b"Dear sir,\n", 1),
        ("whole", export.as_bytes(), 0),
    ] {
        let file = house.place.path(name);
        fs::write(&file, bytes).unwrap();
        let ended = house.run("import", &file);
        assert_eq!(ended.code, Some(code), "{name}: {}", ended.output);
        let _ = writeln!(said, "{}", ended.output.replace(text(&file), name));
    }
    for needle in [
        "broken:13: the id should be 15 hexadecimal digits",
        "cut has no end line",
        "newer has format 9",
        "packed is compressed; unpack it on the way in",
        "else is not an export",
    ] {
        assert!(said.contains(needle), "{needle:?} is missing in:\n{said}");
    }
}

#[test]
fn commands_for_a_stopped_service_leave_a_running_one_alone() {
    let house = House::new();
    let state = house.place.path("state");
    let file = house.place.path("export");
    for command in ["export", "import"] {
        fs::write(&file, house.export("empty")).unwrap();
        let ended = run(&mut xgrey(&[command, "--state", text(&state), text(&file)]));
        assert_eq!(ended.code, Some(1), "{}", ended.output);
        assert!(ended.output.contains("leave --state out to ask that"), "{}", ended.output);
        assert!(!house.place.path("export.part").exists());
    }
}

#[test]
fn a_state_directory_is_verified_beside_its_service_and_damage_is_found() {
    let mut house = House::new();
    house.ask(100);
    let state = house.place.path("state");
    let verify = || run(&mut xgrey(&["store", "verify", "--state", text(&state)]));
    let ended = verify();
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    let said = format!("in use by process {} (xgrey)", house.server.id());
    assert!(ended.output.contains(&said), "{}", ended.output);
    let (_, read) = ended.output.split_once("whole: a start would read ").unwrap();
    // One a tuple, and what is counted now and then.
    assert!(read.starts_with("10") && read.contains(" changes"), "{}", ended.output);
    let info = run(&mut xgrey(&["store", "info", "--json", "--state", text(&state)]));
    let info: serde_json::Value = serde_json::from_str(&info.output).unwrap();
    let export = house.export("export");
    let fingerprint = info["hash_key_fingerprint"].as_str().unwrap();
    assert!(export.contains(&format!("\nfingerprint {fingerprint}\n")), "{info}");

    house.server.stop();
    let segment = files(&state).into_iter().find(|(path, _)| text(path).contains("journal-"));
    let (path, mut bytes) = segment.unwrap();
    bytes[100] ^= 1;
    fs::write(path, bytes).unwrap();
    let ended = verify();
    assert_eq!(ended.code, Some(1), "{}", ended.output);
    assert!(
        ended.output.contains("damaged: a start would go on with the rest"),
        "{}",
        ended.output
    );
}
