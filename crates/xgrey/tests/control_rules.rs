//! Rules over the control socket: a service in this process, the program itself and raw requests as
//! the admin's side.

#![expect(clippy::unwrap_used, reason = "what is wrong with a test's own world fails the test")]

#[path = "control/served.rs"]
mod served;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use greylist::HashKey;
use tempfile::TempDir;
use xgrey::clock::Clock;
use xgrey::command::serve;
use xgrey::config::Config;
use xgrey::control::client::{ControlError, ask};
use xgrey::control::{ChangeRulesWanted, Question, Request, RuleChangeText, RulesChanged};
use xgrey::service::Explanation;

use self::served::serve_at;

/// A service behind a control socket. Its runtime ends with the test's process.
struct World {
    dir: TempDir,
}

const CONFIG: &str = "\
[rules.client]
accept = [\"198.51.100.0/24\"]
[rules.sender_domain]
reject = [\".example.com\"]
default = \"greylist\"
";

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("xgrey.toml");
        std::fs::write(&path, CONFIG).unwrap();
        let (config, _) = Config::load(Some(&path)).unwrap();
        let service = serve::service(config, HashKey::new([7; 16]));
        let service = Arc::new(service.unwrap_or_else(|_| panic!("no service")));
        let world = Self { dir };
        serve_at(world.socket(), service, Clock::start());
        world
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }

    /// Asks for changes, each `LIST VERDICT ENTRY`.
    fn change(&self, changes: &[&str]) -> Result<RulesChanged, ControlError> {
        let change = |text: &&str| {
            let words: Vec<&str> = text.split(' ').collect();
            let [list, verdict, entry] = words[..] else { panic!("not a change: {text}") };
            RuleChangeText { list: list.into(), verdict: verdict.into(), entry: entry.into() }
        };
        let changes = changes.iter().map(change).collect();
        let wanted = ChangeRulesWanted { changes, ..ChangeRulesWanted::default() };
        ask(&self.socket(), &Request::ChangeRules(wanted))
    }

    /// What would be answered, and why.
    fn explained(&self, client: &str, sender: &str) -> Explanation {
        let question = Question {
            client: client.parse().unwrap(),
            client_name: None,
            sender: sender.to_owned(),
            recipient: "bob@example.org".to_owned(),
        };
        ask(&self.socket(), &Request::Explain(question)).unwrap()
    }

    fn ctl(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xgrey"));
        command.arg("ctl").args(arguments).arg("--control").arg(self.socket());
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// What `xgrey ctl rules` prints with those arguments; times, users and folders left out.
    fn rules(&self, arguments: &[&str]) -> String {
        let ended = self.ctl(&[&["rules"], arguments].concat());
        assert_eq!((ended.status.code(), &ended.stderr[..]), (Some(0), &b""[..]));
        let text = String::from_utf8(ended.stdout).unwrap();
        let text = text.replace(&*self.dir.path().to_string_lossy(), "/etc/xgrey");
        let varying = [
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "0000-00-00T00:00:00Z"),
            (r"uid \d+", "uid 0"),
            // A folder's name makes its column wider or narrower.
            (r"([^ \n])   +", "$1  "),
        ];
        varying.iter().fold(text, |text, (what, by)| {
            regex::Regex::new(what).unwrap().replace_all(&text, *by).into_owned()
        })
    }
}

const CHANGES: [&str; 7] = [
    "client reject 192.0.2.0/24",
    "client remove 198.51.100.0/24",
    r"sender accept =Alice\x20B@example.net",
    "sender-domain accept .example.com",
    "sender_domain reject default",
    "recipient graylist /^list-/",
    "recipient-domain remove nobody.example",
];

#[test]
fn changed_rules_are_in_force_when_the_answer_comes() {
    let world = World::new();
    assert_eq!(world.explained("192.0.2.7", "eve@example.com").reason, "rule");
    assert_eq!(world.explained("198.51.100.7", "eve@example.com").answer, "accept");
    let RulesChanged { done, not_kept } = world.change(&CHANGES).unwrap();
    let said = done.iter().map(|done| {
        let before = done.before.as_deref().unwrap_or("-");
        format!("{} {}: {}, was {before}", done.list, done.entry, done.outcome)
    });
    let want = [
        "client 192.0.2.0/24: added, was -",
        "client 198.51.100.0/24: removed, was accept",
        r"sender =Alice\x20B@example.net: added, was -",
        "sender-domain .example.com: replaced, was reject",
        "sender-domain default: replaced, was greylist",
        "recipient /^list-/: added, was -",
        "recipient-domain nobody.example: nothing, was -",
    ];
    assert_eq!(said.collect::<Vec<_>>(), want);
    let why = not_kept.unwrap();
    assert!(why.starts_with("nothing is kept on disk"), "{why}");

    let explained = world.explained("192.0.2.7", "alice@example.net");
    assert_eq!(explained.answer, "reject");
    assert_eq!(explained.path.last().unwrap().origin.as_deref(), Some("live"));
    assert_eq!(world.explained("198.51.100.7", "eve@example.com").answer, "accept");
    assert_eq!(world.explained("198.51.100.7", "Alice B@example.net").answer, "accept");
    assert_eq!(world.explained("198.51.100.7", "alice b@example.net").answer, "reject");
}

#[test]
fn the_program_lists_where_when_and_by_whom_rules_were_set() {
    let world = World::new();
    world.change(&CHANGES).unwrap();
    insta::assert_snapshot!("table", world.rules(&["--live"]));
    insta::assert_snapshot!("json", world.rules(&["--list", "client", "--json"]));
    insta::assert_snapshot!("file", world.rules(&["--format", "rules"]));
    let all = world.rules(&[]);
    assert_eq!(
        all.lines().count(),
        1 + 5 + 6,
        "a head, five rules and marks, six defaults:\n{all}"
    );
}

#[test]
fn a_written_file_stands_in_for_the_live_rules() {
    let world = World::new();
    world.change(&CHANGES).unwrap();
    let rules = world.dir.path().join("live.rules");
    std::fs::write(&rules, world.rules(&["--format", "rules"])).unwrap();
    let path = world.dir.path().join("with.toml");
    std::fs::write(&path, format!("{CONFIG}[[rules.file]]\npath = \"live.rules\"\n")).unwrap();
    let report = match Config::load(Some(&path)) {
        Ok((_, report)) => report.render(xgrey::config::Look::Plain),
        Err(report) => report.render(xgrey::config::Look::Plain),
    };
    // The configuration's own lists come after files: it says so of what stands in both.
    assert_eq!(report.matches("warning:").count(), 2, "{report}");
    assert!(!report.contains("error"), "{report}");
}

#[test]
fn what_can_not_be_changed_is_refused_whole_with_the_mend() {
    let world = World::new();
    for (change, why) in [
        ("clients accept 192.0.2.7", "there is no list \"clients\": use client, client-name"),
        ("client allow 192.0.2.7", "\"allow\" is no verdict: use accept, reject, greylist"),
        ("client accept 192.0.2.0/33", "invalid entry \"192.0.2.0/33\": not a prefix length"),
        ("client-name accept =Mail", "invalid entry \"=Mail\": exact entries are for senders"),
    ] {
        let refused = world.change(&["sender accept a@", change]).unwrap_err().to_string();
        assert!(refused.starts_with(why), "{refused}");
    }
    assert_eq!(world.rules(&["--live"]).lines().count(), 1, "nothing but the head");
    let ended = world.ctl(&["rules", "--list", "senders"]);
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.starts_with("xgrey: there is no list \"senders\": use client"), "{said}");
}

#[test]
fn of_many_requests_all_are_in_force_after_the_last() {
    let world = World::new();
    for number in 0..10 {
        let change = RuleChangeText {
            list: "sender".to_owned(),
            entry: format!("=user{number}@example.net"),
            verdict: "reject".to_owned(),
        };
        let more_follow = number < 9;
        let wanted = ChangeRulesWanted { changes: vec![change], more_follow };
        let _: RulesChanged = ask(&world.socket(), &Request::ChangeRules(wanted)).unwrap();
    }
    for number in 0..10 {
        let sender = format!("user{number}@example.net");
        assert_eq!(world.explained("192.0.2.7", &sender).answer, "reject");
    }
}
