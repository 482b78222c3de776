//! The shell of `xgrey ctl` as a person meets it: in a real pseudo-terminal, with keys and a screen.

use crate::asker::ask;
use crate::manual;
use crate::place::Place;
use crate::server::{Server, Settings};
use crate::terminal::{PROMPT, ROWS, Terminal};

/// X-Grey's own profile, as a site that moves over has it.
const SETTINGS: Settings<'_> =
    Settings { keys: "profile = \"x-grey\"\nmemory = \"64MiB\"", tables: "" };

fn shell(place: &Place, server: &Server, rows: u16, variables: &[(&str, &str)]) -> Terminal {
    let socket = server.control_socket().display().to_string();
    let home = place.make_folder("home").display().to_string();
    let mut all = vec![("HOME", home.as_str())];
    all.extend(variables);
    let arguments = ["ctl", "--control", &socket];
    let terminal = Terminal::run(rows, env!("CARGO_BIN_EXE_xgrey"), &arguments, &all);
    terminal.wait_for_prompt(1);
    terminal
}

/// Numbers that differ from run to run, taken out.
fn masked(text: &str) -> String {
    let time = regex::Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ").unwrap();
    let text = time.replace_all(text, "2026-11-24T12:00:00Z");
    let version = regex::Regex::new(r"^xgrey [0-9.]+:").unwrap();
    let text = version.replace(&text, "xgrey 0.0.0:");
    let id = regex::Regex::new(r"\b[0-9a-f]{15}\b").unwrap();
    let text = id.replace_all(&text, "3c5de619aa936c2");
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn the_manuals_transcript_is_what_a_person_sees() {
    let place = Place::new();
    let server = Server::start(&place, SETTINGS);
    ask(server.address(), "alice@example.net");
    let written = manual::block(manual::X_GREY, "\nxgrey> ");
    // The command that starts it is typed in another shell.
    let (_, written) = written.split_once('\n').unwrap();
    let mut terminal = shell(&place, &server, ROWS, &[]);
    let typed = written.lines().filter_map(|line| line.strip_prefix(PROMPT));
    let typed: Vec<&str> = typed.map(str::trim_start).collect();
    assert_eq!(typed.last(), Some(&"exit"), "the transcript ends with the shell's end");
    for (count, line) in typed.iter().enumerate() {
        terminal.press(&format!("{line}\r"));
        if count + 1 < typed.len() {
            terminal.wait_for_prompt(count + 2);
        }
    }
    assert!(terminal.wait().success());
    assert_eq!(masked(&terminal.screen()), masked(written));
}

#[test]
fn words_and_names_of_files_are_completed() {
    let place = Place::new();
    let server = Server::start(&place, SETTINGS);
    let file = place.write("bogons-of-today.txt", "198.51.100.0/24\n");
    let mut terminal = shell(&place, &server, ROWS, &[]);
    let begun = file.display().to_string();
    let begun = begun.strip_suffix("of-today.txt").unwrap();
    terminal.press(&format!("ipl\tfi\t{begun}\t bo\t"));
    let whole = format!("{PROMPT} iplist file {} bogonspace", file.display());
    terminal.wait_for("the completed line", |screen| screen.contains(&whole));
    terminal.press("\r");
    terminal.wait_for("what was done", |screen| screen.contains(": 1 entry, 1 new"));
}

#[test]
fn lines_are_remembered_for_the_next_sitting() {
    let place = Place::new();
    let server = Server::start(&place, SETTINGS);
    let mut terminal = shell(&place, &server, ROWS, &[]);
    terminal.press("to accept bob@example.org\r");
    terminal.wait_for_prompt(2);
    // The end of the input.
    terminal.press("\u{4}");
    assert!(terminal.wait().success());
    let mut terminal = shell(&place, &server, ROWS, &[]);
    // The key "up".
    terminal.press("\u{1b}[A");
    terminal.wait_for("the line from before", |screen| {
        screen.contains("xgrey> to accept bob@example.org")
    });
    use std::os::unix::fs::PermissionsExt as _;
    let file = place.path("home").join(".local/state/xgrey/ctl-history");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_service_that_goes_away_is_told_and_asked_again_when_it_is_back() {
    let place = Place::new();
    let mut server = Server::start(&place, SETTINGS);
    let mut terminal = shell(&place, &server, ROWS, &[]);
    server.kill();
    terminal.press("show config\r");
    terminal.wait_for("the failure", |screen| screen.contains("xgrey is not running"));
    let _server = server.start_again(&place);
    terminal.press("show config\r");
    terminal.wait_for("the settings", |screen| screen.contains("Timeout-Embargo"));
}

#[test]
fn what_is_watched_changes_on_the_screen_until_a_key_is_pressed() {
    let place = Place::new();
    let server = Server::start(&place, SETTINGS);
    let mut terminal = shell(&place, &server, ROWS, &[]);
    terminal.press("watch show iplist\r");
    terminal.wait_for("the picture", |screen| {
        screen.starts_with("show iplist    each second") && screen.contains("built-in")
    });
    server.ctl(&["iplist", "accept", "192.0.2.0/24"]);
    terminal.wait_for("the change", |screen| screen.contains("192.0.2.0/24"));
    // ^C is a key like any other, and what was on the screen comes back.
    terminal.press("\u{3}");
    let screen = terminal.wait_for_prompt(2);
    assert!(!screen.contains("192.0.2.0/24"), "{screen}");
    terminal.press("exit\r");
    assert!(terminal.wait().success());
}

#[test]
fn what_is_longer_than_the_screen_goes_through_the_pager() {
    let place = Place::new();
    let server = Server::start(&place, SETTINGS);
    let list: String = (0..=255).map(|last| format!("192.0.2.{last} accept\n")).collect();
    let list = place.write("list.txt", &list);
    server.ctl(&["iplist", "file", &list.display().to_string()]);
    let copy = place.path("paged.txt");
    let pager = format!("tee {}", copy.display());
    let mut terminal = shell(&place, &server, 24, &[("PAGER", &pager)]);
    terminal.press("show config\r");
    terminal.wait_for_prompt(2);
    assert!(!copy.exists(), "what fits on the screen needs no pager");
    terminal.press("show iplist\r");
    terminal.wait_for("the end of the list", |screen| {
        screen.ends_with("xgrey>\n") && screen.contains("192.0.2.255")
    });
    let copied = std::fs::read_to_string(copy).unwrap();
    assert!(copied.lines().count() > 256, "{copied}");
}
