//! Tuples over the control socket: a service in this process, the program itself as the admin's
//! side.

#![expect(clippy::unwrap_used, reason = "what is wrong with a test's own world fails the test")]

#[path = "control/served.rs"]
mod served;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use greylist::{Client, HashKey, Query, Timestamp};
use store::disk::RealDisk;
use store::text::{TextConfig, TextLog};
use tempfile::TempDir;
use xgrey::clock::Clock;
use xgrey::command::serve;
use xgrey::config::Config;
use xgrey::control::client;
use xgrey::control::conversation::{Conversation, Heard};
use xgrey::control::{Request, Stats, TupleListed, TuplesListed, TuplesWanted};
use xgrey::service::{Outcome, Scratch, Service};

use self::served::serve_at;

/// A service behind a control socket. Its runtime ends with the test's process.
struct World {
    dir: TempDir,
    service: Arc<Service>,
    clock: Clock,
}

/// Whether the service keeps texts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Texts {
    Kept,
    NotKept,
}

impl World {
    fn new(texts: Texts) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::start();
        let service = serve::service(Config::default(), HashKey::new([7; 16]));
        let mut service = service.unwrap_or_else(|_| panic!("no service"));
        if texts == Texts::Kept {
            let config = TextConfig { bytes_max: 1 << 30, key_fingerprint: 7 };
            let disk = Arc::new(RealDisk::new(dir.path().to_owned()));
            service = service.with_texts(Arc::new(TextLog::open(disk, config).unwrap().0));
        }
        let service = Arc::new(service);
        let world = Self { dir, service, clock };
        serve_at(world.socket(), Arc::clone(&world.service), clock);
        world
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }

    /// So many seconds before now.
    fn ago(&self, secs: u64) -> Timestamp {
        Timestamp::from_unix_secs(self.clock.now().as_unix_secs() - secs)
    }

    /// An attempt, and whether it may pass.
    fn ask(&self, at: Timestamp, client: &str, sender: &[u8], recipient: &str) -> &'static str {
        let query = Query::new(Client::new(client.parse().unwrap()), sender, recipient.as_bytes());
        let (mut scratch, mut outcomes) = (Scratch::default(), Vec::<Outcome>::new());
        let policy = self.service.policy();
        {
            let queries = [query];
            let answer =
                pin!(self.service.answer(&policy, at, &queries, &mut scratch, &mut outcomes));
            let polled = answer.poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(polled, Poll::Ready(()));
        }
        outcomes[0].answer.reason()
    }

    /// Four tuples: one that has passed, two that wait, one that is new.
    fn with_four(texts: Texts) -> Self {
        let world = Self::new(texts);
        let old = world.ago(3000);
        world.ask(old, "192.0.2.7", b"Alice+news@example.net", "bob@example.org");
        world.ask(world.ago(2000), "198.51.100.9", b"eve@mail.example.com", "bob@example.org");
        world.ask(world.ago(1000), "2001:db8::5", b"", "carol@example.org");
        let passed =
            world.ask(world.ago(900), "192.0.2.8", b"alice@example.net", "bob@example.org");
        assert_eq!(passed, "passed");
        world.ask(world.ago(10), "192.0.2.9", b"eve@example.net", "carol@example.org");
        world
    }

    /// Runs `xgrey ctl` with these arguments.
    fn ctl(&self, arguments: &[&str]) -> Output {
        command(&self.socket(), arguments).output().unwrap()
    }

    /// What `xgrey ctl tuples` with these arguments lists, as sender and recipient.
    fn listed(&self, arguments: &[&str]) -> Vec<String> {
        let ended = self.ctl(&[&["tuples", "--json"], arguments].concat());
        assert!(ended.status.success(), "{ended:?}");
        let lines = String::from_utf8(ended.stdout).unwrap();
        let tuples = lines.lines().map(|line| serde_json::from_str(line).unwrap());
        tuples
            .map(|TupleListed { sender, recipient, .. }| {
                format!("{} {}", sender.as_deref().unwrap_or("-"), recipient.unwrap_or_default())
            })
            .collect()
    }
}

fn command(socket: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xgrey"));
    command.arg("ctl").args(arguments).arg("--control").arg(socket).stdin(Stdio::null());
    command
}

fn code(ended: &Output) -> i32 {
    ended.status.code().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// All times and ids replaced by letters.
fn without_times(text: &str) -> String {
    let time = regex::Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ").unwrap();
    time.replace_all(text, "0000-00-00T00:00:00Z").into_owned()
}

const ALICE: &str = "Alice+news@example.net bob@example.org";
const EVE_COM: &str = "eve@mail.example.com bob@example.org";
const NOBODY: &str = " carol@example.org";
const EVE_NET: &str = "eve@example.net carol@example.org";

#[test]
fn tuples_are_listed_newest_first_and_by_all_that_is_asked_for() {
    let world = World::with_four(Texts::Kept);
    for (arguments, expected) in [
        (&[][..], &[EVE_NET, NOBODY, EVE_COM, ALICE][..]),
        (&["--sender", "*@example.net"], &[EVE_NET, ALICE]),
        (&["--sender", "EVE@*"], &[EVE_NET, EVE_COM]),
        (&["--sender", "<>"], &[NOBODY]),
        (&["--sender", ""], &[NOBODY]),
        (&["--recipient", "bob@*"], &[EVE_COM, ALICE]),
        (&["--client", "192.0.2.0/24"], &[EVE_NET, ALICE]),
        // The client that tried first, not the one that passed.
        (&["--client", "192.0.2.7"], &[ALICE]),
        (&["--client", "192.0.2.8"], &[]),
        (&["--client", "2001:db8::/32"], &[NOBODY]),
        (&["--state", "white"], &[ALICE]),
        (&["--state", "grey"], &[EVE_NET, NOBODY, EVE_COM]),
        (&["--older", "10m"], &[NOBODY, EVE_COM, ALICE]),
        (&["--older", "16m"], &[NOBODY, EVE_COM]),
        (&["--younger", "10m"], &[EVE_NET]),
        (&["--older", "16m", "--younger", "30m"], &[NOBODY]),
        (&["--sender", "eve@*", "--state", "grey", "--recipient", "carol*"], &[EVE_NET]),
        (&["--limit", "2"], &[EVE_NET, NOBODY]),
        (&["--limit", "0"], &[]),
    ] {
        assert_eq!(world.listed(arguments), expected, "{arguments:?}");
    }
}

#[test]
fn a_tuple_is_one_line_and_a_forgotten_one_none() {
    let world = World::with_four(Texts::Kept);
    let forget = ["tuple", "forget", "198.51.100.1", "eve@mail.example.com", "bob@example.org"];
    assert_eq!(code(&world.ctl(&forget)), 0);
    assert_eq!(world.listed(&["--sender", "eve@mail*"]), [""; 0]);
    world.ask(world.ago(5), "198.51.100.8", b"eve@MAIL.example.com", "bob@example.org");
    let eve = "eve@MAIL.example.com bob@example.org";
    assert_eq!(world.listed(&[]), [eve, EVE_NET, NOBODY, ALICE]);
}

#[test]
fn the_table_has_a_head_and_aligned_columns() {
    let world = World::with_four(Texts::Kept);
    let ended = world.ctl(&["tuples"]);
    assert_eq!((code(&ended), text(&ended.stderr).as_str()), (0, ""));
    insta::assert_snapshot!(without_times(&text(&ended.stdout)));
}

#[test]
fn comma_separated_values_are_as_rfc_4180_has_them() {
    let world = World::new(Texts::Kept);
    world.ask(world.ago(9), "192.0.2.7", b"\"a,\"\"b\"@example.net", "bob@example.org");
    let ended = world.ctl(&["tuples", "--format", "csv"]);
    let lines = text(&ended.stdout);
    let lines: Vec<&str> = lines.split_terminator("\r\n").collect();
    assert_eq!(lines[0], "id,state,client,sender,recipient,first_try,last_use,passes_from,until");
    let row = without_times(lines[1]);
    let (id, rest) = row.split_once(',').unwrap();
    assert_eq!(id.len(), 15);
    assert_eq!(
        rest,
        "grey,192.0.2.7,\"\"\"a,\"\"\"\"b\"\"@example.net\",bob@example.org,\
         0000-00-00T00:00:00Z,,0000-00-00T00:00:00Z,0000-00-00T00:00:00Z"
    );
    assert_eq!(lines.len(), 2);
    let none = world.ctl(&["tuples", "--format", "csv", "--state", "white"]);
    assert_eq!(text(&none.stdout), format!("{}\r\n", lines[0]));
    assert_eq!(text(&none.stderr), "xgrey: no tuple matches\n");
}

#[test]
fn tuples_without_text_are_counted_and_listed_by_id_when_asked_for() {
    let world = World::with_four(Texts::Kept);
    let attempt = Query::new(Client::new("192.0.2.1".parse().unwrap()), b"x@example.net", b"y");
    let mut scratch = Vec::new();
    let policy = world.service.policy();
    let store = world.service.store();
    let key = policy.identity.key(store.hash_key(), &attempt, &mut scratch);
    store.touch_one(world.ago(5), key);

    let ended = world.ctl(&["tuples"]);
    assert_eq!(text(&ended.stdout).lines().count(), 1 + 4);
    let said = "xgrey: no text is kept of 1 tuple; --all lists them by their ids\n";
    assert_eq!(text(&ended.stderr), said);
    let ended = world.ctl(&["tuples", "--state", "white"]);
    assert_eq!(text(&ended.stderr), "", "it is grey");

    let ended = world.ctl(&["tuples", "--all"]);
    assert_eq!(text(&ended.stderr), "xgrey: no text is kept of 1 tuple\n");
    let lines = text(&ended.stdout);
    let last: Vec<&str> = lines.lines().last().unwrap().split_whitespace().collect();
    let id = store::TupleId::of(key).to_string();
    assert_eq!((lines.lines().count(), last[0], &last[3..]), (1 + 5, &*id, &["-", "-", "-"][..]));

    let ended = world.ctl(&["tuples", "--all", "--sender", "x*"]);
    assert_eq!(code(&ended), 2, "{ended:?}");
}

#[test]
fn where_no_texts_are_kept_ids_are_listed_and_addresses_cannot_be_asked_for() {
    let world = World::with_four(Texts::NotKept);
    let ended = world.ctl(&["tuples"]);
    assert_eq!(text(&ended.stdout).lines().count(), 1 + 4, "{ended:?}");
    assert!(text(&ended.stdout).starts_with("id "), "{ended:?}");
    assert_eq!(text(&ended.stderr), "xgrey: no text is kept of 4 tuples\n");
    assert_eq!(world.listed(&["--state", "white"]), ["- "]);
    let ended = world.ctl(&["tuples", "--sender", "*@example.net"]);
    assert_eq!(code(&ended), 1);
    assert!(text(&ended.stderr).contains("keep_text"), "{ended:?}");
}

#[test]
fn an_empty_service_says_that_nothing_is_known() {
    for texts in [Texts::Kept, Texts::NotKept] {
        let ended = World::new(texts).ctl(&["tuples"]);
        let said = (code(&ended), text(&ended.stdout), text(&ended.stderr));
        assert_eq!(said, (0, String::new(), "xgrey: no tuple is known\n".to_owned()));
    }
}

#[test]
fn a_tuple_is_shown_passed_and_forgotten_by_what_an_attempt_looks_like() {
    for texts in [Texts::Kept, Texts::NotKept] {
        let world = World::new(texts);
        let [client, sender, recipient] = ["192.0.2.7", "Alice+a@example.net", "bob@example.org"];
        let tuple = |what: &str| {
            // Another address of the network, another spelling.
            let named = ["192.0.2.200", "<alice@EXAMPLE.net>", "Bob@example.org"];
            let ended = world.ctl(&[&["tuple", what][..], &named].concat());
            let first = text(&ended.stdout).lines().next().unwrap_or_default().to_owned();
            (code(&ended), first)
        };
        let is = |code, first: &str| (code, first.to_owned());
        assert_eq!(tuple("show"), is(1, "not known: the next attempt would be the first"));
        assert_eq!(tuple("forget"), is(1, "not known: nothing to forget"));
        world.ask(world.ago(5), client, sender.as_bytes(), recipient);
        assert_eq!(tuple("show"), is(0, "grey: has tried, and not passed yet"));
        assert_eq!(tuple("pass"), is(0, "white now, was grey: the next attempt passes"));
        assert_eq!(tuple("show"), is(0, "white: has passed"));
        assert_eq!(world.ask(world.ago(0), client, sender.as_bytes(), recipient), "known");
        assert_eq!(tuple("pass"), is(0, "white still: its lifetime begins anew"));
        let forgotten = "forgotten, was white: the next attempt is the first";
        assert_eq!(tuple("forget"), is(0, forgotten));
        assert_eq!(world.ask(world.ago(0), client, sender.as_bytes(), recipient), "new");
        assert_eq!(tuple("forget").0, 0);
        assert_eq!(tuple("pass"), is(0, "white now, was not known: the next attempt passes"));
        assert_eq!(world.ask(world.ago(0), client, sender.as_bytes(), recipient), "known");
        if texts == Texts::Kept {
            assert_eq!(world.listed(&[]), ["alice@EXAMPLE.net Bob@example.org"]);
        }
    }
}

#[test]
fn a_shown_tuple_has_its_own_first_try() {
    let world = World::with_four(Texts::Kept);
    let show = ["tuple", "show", "192.0.2.1", "alice@example.net", "bob@example.org"];
    let ended = world.ctl(&show);
    insta::assert_snapshot!(without_times(&text(&ended.stdout)).replace(
        &text(&ended.stdout).lines().find(|line| line.starts_with("  id")).unwrap()[20..],
        "(id)"
    ));
    let ended = world.ctl(&[&show[..], &["--json"]].concat());
    let shown: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(shown["tuple"]["state"], "white");
    assert_eq!(shown["text"]["sender"], "Alice+news@example.net");
}

#[test]
fn wrong_usage_ends_with_2() {
    let world = World::new(Texts::NotKept);
    for arguments in [
        &["tuples", "--client", "192.0.2"][..],
        &["tuples", "--client", "192.0.2.0/33"],
        &["tuples", "--older", "10"],
        &["tuples", "--state", "blue"],
        &["tuples", "--json", "--format", "csv"],
        &["tuple", "show", "192.0.2.7", "a@example.net"],
        &["tuple", "show", "mail.example.net", "a@example.net", "b@example.org"],
    ] {
        let ended = world.ctl(arguments);
        assert_eq!(code(&ended), 2, "{arguments:?}: {ended:?}");
    }
    let ended = world.ctl(&["tuples", "--older", "10 mins"]);
    assert!(text(&ended.stderr).contains("such as \"10m\" or \"600s\""), "{ended:?}");
}

/// More than sockets and pipes hold between two processes.
const MANY: u64 = 30_000;

fn world_of_many() -> World {
    let world = World::new(Texts::Kept);
    let at = world.ago(60);
    for number in 0..MANY {
        let sender = format!("sender.number{number}@example.net");
        world.ask(at, "192.0.2.7", sender.as_bytes(), "bob@example.org");
    }
    world
}

#[test]
fn whoever_has_seen_enough_may_close_the_pipe() {
    let world = world_of_many();
    for format in ["table", "json", "csv"] {
        let mut child = command(&world.socket(), &["tuples", "--format", format])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""), "{format}");
    }
}

#[test]
fn an_admin_who_does_not_read_holds_up_nobody() {
    let world = world_of_many();
    let socket = world.socket();
    let wanted = || Request::Tuples(TuplesWanted::default());
    let mut slow: Vec<_> =
        (0..8).map(|_| Conversation::begin(&socket, &wanted()).unwrap()).collect();
    for talk in &mut slow {
        let first = talk.hear::<TupleListed, TuplesListed>().unwrap();
        assert!(matches!(first, Heard::Item(_)));
    }
    // Others are answered, tuples are decided about and changed, and the rest is still to be had.
    client::ask::<Stats>(&socket, &Request::Stats).unwrap();
    assert_eq!(world.ask(world.ago(0), "192.0.2.7", b"new@example.net", "x@example.org"), "new");
    assert_eq!(world.listed(&["--limit", "1"]), ["new@example.net x@example.org"]);
    // In turns: on a busy machine, whoever waited for all the others would have been cut off.
    let mut left: Vec<_> = slow.into_iter().map(|talk| (talk, 1)).collect();
    while !left.is_empty() {
        left.retain_mut(|(talk, count)| match talk.hear::<TupleListed, TuplesListed>().unwrap() {
            Heard::Item(_) => {
                *count += 1;
                true
            }
            Heard::End(end) => {
                assert_eq!(*count, MANY);
                assert_eq!(end.known, Some(MANY), "what came later is not counted");
                false
            }
        });
    }
}

#[test]
fn one_connection_may_ask_again_after_a_listing() {
    let world = World::with_four(Texts::Kept);
    let mut stream = UnixStream::connect(world.socket()).unwrap();
    for _ in 0..3 {
        stream.write_all(b"{\"command\":\"tuples\",\"state\":\"white\"}\n").unwrap();
    }
    stream.write_all(b"{\"command\":\"tuples\",\"sneder\":\"x\"}\n").unwrap();
    stream.write_all(b"{\"command\":\"tuples\",\"client\":\"nowhere\"}\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    let lines: Vec<&str> = answers.lines().map(|line| &line[..8]).collect();
    let [item, ok, error] = ["{\"item\":", "{\"ok\":{\"", "{\"error\""];
    assert_eq!(lines, [item, ok, item, ok, item, ok, error, error], "{answers}");
}
