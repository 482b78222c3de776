//! The program as a whole, against its own null server and against servers that misbehave, for a
//! fraction of a second each. Nothing is asserted about speed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use serde_json::Value;

const BENCH: &str = env!("CARGO_BIN_EXE_xgrey-bench");

/// A null server that was started by itself, as any server would be.
struct Null {
    child: Child,
    address: String,
}

impl Null {
    fn start() -> Self {
        let mut child = Command::new(BENCH)
            .args(["null", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { child, address: address.trim().to_owned() }
    }
}

impl Drop for Null {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `xgrey-bench policy` for as short as makes sense, all on the first CPU there is.
fn policy(arguments: &[&str]) -> Output {
    let allowed = rustix::thread::sched_getaffinity(None).unwrap();
    let cpu = (0..1024).find(|&cpu| allowed.is_set(cpu)).unwrap().to_string();
    let mut command = Command::new(BENCH);
    command.args(["policy", "--server-cpu", &cpu, "--json", "-"]);
    if !arguments.contains(&"--load-cpu") {
        command.args(["--load-cpu", &cpu]);
    }
    command
        .args(["--seconds", "0.1", "--warm-up", "0.05", "--rounds", "2", "--known-pool", "200"])
        .args(arguments)
        .output()
        .unwrap()
}

fn report(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn errors_of(row: &Value) -> u64 {
    row["errors"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
}

#[test]
fn the_null_server_is_measured_against_itself_and_another() {
    let (one, two) = (Null::start(), Null::start());
    let beside = format!("postgrey={}", two.address);
    let output = policy(&["--server", &one.address, "--beside", &beside, "--connections", "1,10"]);
    let report = report(&output);
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2 * 3);
    for row in rows {
        assert!(row["replies"].as_u64().unwrap() > 0, "{row}");
        assert_eq!(errors_of(row), 0, "{row}");
        assert_eq!(row["actions"].as_object().unwrap().keys().collect::<Vec<_>>(), ["DUNNO"]);
        assert!(row["rate_ratio"]["median"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["latency"]["p99_ns"].as_u64().unwrap() > 0, "{row}");
        assert!(row["cpu_micros_per_request"]["median"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["resident_bytes"].as_u64().unwrap() > 0, "{row}");
    }
    let names: Vec<_> = rows[..3].iter().map(|row| row["server"].as_str().unwrap()).collect();
    assert_eq!(names, ["null", "xgrey-bench", "postgrey"]);
    // Rate, CPU time and p99 against the null server at 10, and the rate against postgrey.
    assert_eq!(report["goals"].as_array().unwrap().len(), 3 + 1);
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(shown.contains("| connections | server"), "{shown}");
}

#[test]
fn a_command_is_started_on_a_free_port_and_stopped() {
    let command = format!("'{BENCH}' null --listen 127.0.0.1:{{port}}");
    let report = report(&policy(&["--spawn", &command, "--connections", "4", "--retried", "50%"]));
    let server = &report["servers"][1];
    assert_eq!(server["pinned"], true);
    assert_eq!(server["known_tuples"], 200);
    let address: SocketAddr = server["address"].as_str().unwrap().parse().unwrap();
    // Nobody listens there any more.
    TcpListener::bind(address).unwrap();
}

#[test]
fn a_command_that_ends_at_once_is_shown_with_what_it_said() {
    let output = policy(&["--spawn", "sh -c 'echo no such luck >&2; exit 3'"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(errors.contains("no such luck") && errors.contains("exit status: 3"), "{errors}");
}

/// A server that answers each read with what `reply` says, then closes if that was all it had to.
fn server(reply: &'static [u8], replies_per_connection: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut request = [0; 4096];
                for _ in 0..replies_per_connection {
                    match stream.read(&mut request) {
                        Ok(1..) if stream.write_all(reply).is_ok() => {}
                        _ => return,
                    }
                }
            });
        }
    });
    address
}

#[test]
fn what_goes_wrong_is_counted_by_its_kind() {
    for (reply, replies, kind) in [
        (&b"action=DUNNO\n\n"[..], 5, "closed"),
        (b"action=DUNNO\n\naction=DUNNO\n\n", usize::MAX, "wrong_replies"),
        (b"220 mx.example.net ESMTP\r\n", usize::MAX, "wrong_replies"),
    ] {
        let address = server(reply, replies).to_string();
        let output = policy(&["--server", &address, "--connections", "2", "--new", "100%"]);
        let report = report(&output);
        let row = &report["rows"][1];
        assert!(row["errors"][kind].as_u64().unwrap() > 0, "{kind}: {row}");
        assert_eq!(errors_of(row), row["errors"][kind].as_u64().unwrap(), "{kind}: {row}");
        let shown = String::from_utf8_lossy(&output.stderr);
        assert!(shown.contains("ERRORS: "), "{shown}");
    }
}

#[test]
fn a_reply_that_never_comes_is_an_error_and_not_a_wait_for_ever() {
    // Accepted by the kernel, and never read.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let arguments =
        ["--server", &address, "--connections", "3", "--timeout", "0.2", "--new", "100%"];
    let report = report(&policy(&arguments));
    let row = &report["rows"][1];
    assert_eq!(row["replies"], 0);
    assert!(row["errors"]["timeouts"].as_u64().unwrap() >= 3, "{row}");
}

#[test]
fn wrong_use_is_refused_with_the_reason() {
    for (arguments, reason) in [
        (&["--new", "60%", "--retried", "50%", "--spawn", "true"][..], "more than 100 %"),
        (&["--connections", "0", "--spawn", "true"], "from 1 to 50000"),
        (&["--server", "nowhere"], "--server"),
        (&["--load-cpu", "1000", "--spawn", "true"], "CPU 1000"),
        (&["--decision-log", "on", "--spawn", "true"], "--decision-log"),
    ] {
        let output = policy(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(errors.contains(reason), "{arguments:?}: {errors}");
    }
}
