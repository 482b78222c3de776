//! Files of X-Grey's, read whole.

use std::convert::Infallible;

use wire::xgrey_v1::TextList;

use super::*;
use crate::control::RuleChangeText;

/// When things move in.
const NOW: u64 = 1_795_500_000;

/// Writes down what it is told to take.
#[derive(Debug, Default)]
struct Scribe {
    said: Vec<String>,
    taken: Taken,
}

impl Target for Scribe {
    type Error = Infallible;

    fn take_tuple(&mut self, moved: &MovedTuple<'_>) -> Result<(), Infallible> {
        let ago = |time: Timestamp| format!("{} s ago", NOW - time.as_unix_secs());
        let state = match moved.tuple.state {
            State::Grey => "grey",
            State::White => "white",
        };
        self.said.push(format!(
            "{} {:?} {:?} {state} since {}, first try {}",
            moved.client,
            String::from_utf8_lossy(moved.sender),
            String::from_utf8_lossy(moved.recipient),
            ago(moved.tuple.since),
            ago(moved.first_try),
        ));
        self.taken.tuples.new += 1;
        Ok(())
    }

    fn take_rule(&mut self, change: RuleChange) -> Result<(), Infallible> {
        let RuleChangeText { list, entry, verdict } = RuleChangeText::of(&change);
        self.said.push(format!("{list} {verdict} {entry}"));
        self.taken.rules.added += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn taken(&self) -> Taken {
        self.taken.clone()
    }
}

fn together() -> Together {
    Together::at(Timestamp::from_unix_secs(NOW))
}

fn moved(kind: FileKind, file: &str) -> (Outcome, Vec<String>) {
    let mut scribe = Scribe::default();
    let outcome =
        move_in(file.as_bytes(), kind, &mut together(), &mut scribe, |_| Wish::GoOn).unwrap();
    assert_eq!(outcome.bytes, file.len() as u64);
    assert_eq!(outcome.ending, Ending::Whole);
    (outcome, scribe.said)
}

/// What is told of lines that were left out.
fn told(outcome: &Outcome) -> Vec<String> {
    let told = outcome.left_out.told.iter();
    told.map(|line| format!("{}: {}: {}", line.number, line.reason, line.start)).collect()
}

#[test]
fn a_dumps_tuples_keep_their_ages() {
    let (outcome, said) = moved(
        FileKind::Dump,
        "192.0.2.1 alice@example.com bob@example.net W---- 1795400000 1795499990\n\
         192.0.2.2 - bob@example.net ----- 1795499000 1795499500\n\
         192.0.2.3 alice@example.com - W-FT- 1795400000 1795400000\n\
         \n\
         2001:db8::1 alice@example.com bob@example.net W---6 1795499999 1795499999\n\
         192.0.2.4 ahead@example.com bob@example.net ----- 1795500001 99999999999999\n",
    );
    assert_eq!(
        said,
        [
            "192.0.2.1 \"alice@example.com\" \"bob@example.net\" white since 10 s ago, \
             first try 100000 s ago",
            "192.0.2.2 \"\" \"bob@example.net\" grey since 1000 s ago, first try 1000 s ago",
            "192.0.2.3 \"alice@example.com\" \"\" white since 100000 s ago, \
             first try 100000 s ago",
            "2001:db8::1 \"alice@example.com\" \"bob@example.net\" white since 1 s ago, \
             first try 1 s ago",
            "192.0.2.4 \"ahead@example.com\" \"bob@example.net\" grey since 0 s ago, \
             first try 0 s ago",
        ]
    );
    assert_eq!(outcome.left_out.count(), 0);
}

#[test]
fn a_whitelists_tuples_are_white_now_unless_a_dump_knows_their_times() {
    let mut together = together();
    let mut scribe = Scribe::default();
    let dump = "192.0.2.1 alice@example.com bob@example.net W---- 1795400000 1795499990\n\
                192.0.2.2 - bob@example.net ----- 1795499000 1795499500\n";
    let whitelist = "192.0.2.1 alice@example.com bob@example.net\n\
                     192.0.2.2 - bob@example.net\n\
                     192.0.2.3 - \"b c\"@example.net\n";
    let mut timed = Vec::new();
    for (kind, file) in [(FileKind::Dump, dump), (FileKind::Whitelist, whitelist)] {
        let look = |_| Wish::GoOn;
        let outcome = move_in(file.as_bytes(), kind, &mut together, &mut scribe, look).unwrap();
        timed.push(outcome.timed);
    }
    assert_eq!(timed, [0, 1]);
    assert_eq!(
        scribe.said[2..],
        [
            "192.0.2.2 \"\" \"bob@example.net\" white since 0 s ago, first try 0 s ago",
            "192.0.2.3 \"\" \"\\\"b c\\\"@example.net\" white since 0 s ago, first try 0 s ago",
        ]
    );
}

#[test]
fn lists_become_rules_that_match_byte_for_byte_and_defaults() {
    let of = |kind, file| moved(kind, file).1;
    assert_eq!(
        of(
            FileKind::IpList,
            "         0.0.0.0/0 GREYLIST\n      192.0.2.0/24 ACCEPT\n2001:db8::/32 reject\n10/8 remove"
        ),
        [
            "client greylist default",
            "client accept 192.0.2.0/24",
            "client reject 2001:db8::/32",
            "client remove 10.0.0.0/8"
        ]
    );
    assert_eq!(of(FileKind::RelayDelay, "198.51.100 # x\n"), ["client accept 198.51.100.0/24"]);
    assert_eq!(of(FileKind::BogonSpace, "203.0.113.0/24\n"), ["client reject 203.0.113.0/24"]);
    for (list, word) in [
        (TextList::From, "sender"),
        (TextList::FromDomain, "sender-domain"),
        (TextList::To, "recipient"),
        (TextList::ToDomain, "recipient-domain"),
    ] {
        let file = "         7   ACCEPT Alice B@example.com\n         0 REJECT DEFAULT\n";
        assert_eq!(
            of(FileKind::List(list), file),
            [format!("{word} accept =Alice\\x20B@example.com"), format!("{word} reject default")]
        );
    }
}

#[test]
fn what_can_t_be_used_is_told_line_by_line() {
    let long = "x".repeat(LINE_BYTES_MAX + 1);
    let dump = format!(
        "192.0.2.1 alice@example.com bob@example.net\n\
         192.0.2.1 alice@example.com bob@example.net W---- yesterday 1795499990\n\
         192.0.2.3 alice@example.com bob@example.net WD--- 1795400000 1795400000\n\
         192.0.2.4 a b@example.com bob@example.net ----- 1795400000 1795400000\n\
         10.11.12.13 alice@example.com bob@example.net ----6 1795400000 1795400000\n\
         192.0.2.5 \u{1b}[2J\\alice@example.com bob@example.net x 1795400000 1795400000\n\
         {long}\n\
         192.0.2.6 alice@example.com bob@example.net ----- 1795400000 17954000"
    );
    let (outcome, said) = moved(FileKind::Dump, &dump);
    assert_eq!(said, [""; 0]);
    let kinds: Vec<_> = outcome.left_out.counts.into_iter().collect();
    let expected = [
        (ReasonKind::Removed, 1),
        (ReasonKind::Ipv6Lost, 1),
        (ReasonKind::Ambiguous, 1),
        (ReasonKind::NotUnderstood, 5),
    ];
    assert_eq!(kinds, expected);
    let (outcome, _) = moved(FileKind::Dump, &dump);
    let mut all = told(&outcome);
    let nul = format!("0 ACCEPT a\0b@example.com\n0 ACCEPT {}@example.com\n", "x".repeat(3000));
    for (kind, file) in [
        (FileKind::Whitelist, "alice@example.com bob@example.net\n192.0.2.1 alice@exam"),
        (FileKind::IpList, "192.0.2.0/24\n192.0.2.0/33 accept\n192.0.2.0/24 expire"),
        (FileKind::RelayDelay, "mail.example.net\n"),
        (FileKind::BogonSpace, "192.0.2.0/x\n"),
        (FileKind::List(TextList::From), nul.as_str()),
    ] {
        let (outcome, said) = moved(kind, file);
        assert_eq!(said, [""; 0]);
        assert_eq!(
            outcome.left_out.counts.keys().collect::<Vec<_>>(),
            [&ReasonKind::NotUnderstood]
        );
        all.push(format!("{}:", kind.name()));
        all.extend(told(&outcome));
    }
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn many_lines_that_can_t_be_used_are_counted() {
    let (outcome, _) = moved(FileKind::Dump, &"x\n".repeat(100_000));
    assert_eq!(outcome.left_out.count(), 100_000);
    assert_eq!(outcome.left_out.told.len(), TOLD_MAX);
    assert_eq!(outcome.lines, 100_000);
}

#[test]
fn whoever_looks_on_can_stop_it() {
    let file = "192.0.2.1 - bob@example.net\n".repeat(5_000);
    let mut looks = 0;
    let mut scribe = Scribe::default();
    let look = |progress: Progress| {
        looks += 1;
        assert_eq!(progress.lines + 1, looks * LINES_PER_LOOK);
        if looks == 2 { Wish::Stop } else { Wish::GoOn }
    };
    let input = file.as_bytes();
    let outcome = move_in(input, FileKind::Whitelist, &mut together(), &mut scribe, look).unwrap();
    assert_eq!(outcome.ending, Ending::Stopped);
    assert_eq!(outcome.lines, 2 * LINES_PER_LOOK - 1);
    assert_eq!(scribe.taken.tuples.new, outcome.lines);
}

#[test]
fn what_became_of_rules_is_counted_by_what_they_said_before() {
    use greylist::rules::Verdict::{Accept, Reject};
    let mut tally = RuleTally::default();
    for (what, changed) in [
        (What::Set(Accept), RuleChanged::Added),
        (What::Set(Accept), RuleChanged::Replaced(Reject)),
        (What::Set(Accept), RuleChanged::Replaced(Accept)),
        (What::Remove, RuleChanged::Removed(Accept)),
        (What::Remove, RuleChanged::Nothing),
    ] {
        tally.count(what, changed);
    }
    assert_eq!(tally, RuleTally { added: 1, replaced: 1, known: 2, removed: 1 });
}
