//! What holds for whatever comes with a first read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "greylistd_answers/mod.rs"]
mod answers;

use std::net::IpAddr;

use greylist::{Client, Query};
use proptest::collection::vec;
use proptest::prelude::*;
use wire::greylistd::{List, Request, decode};
use wire::{Fault, Limits};

use answers::answer;

fn list() -> impl Strategy<Value = List> {
    prop_oneof![Just(List::White), Just(List::Grey), Just(List::Black)]
}

fn client() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from),]
}

/// Any case of `word`.
fn shouted(word: &'static str) -> impl Strategy<Value = String> {
    vec(any::<bool>(), word.len()).prop_map(move |upper| {
        let case = |(letter, is_upper): (char, bool)| {
            if is_upper { letter.to_ascii_uppercase() } else { letter }
        };
        word.chars().zip(upper).map(case).collect()
    })
}

/// Blanks, as many and of what kind one likes.
fn blanks() -> impl Strategy<Value = String> {
    "[ \t\r\n]{1,4}"
}

/// A sender: none, in the three ways to say it, or an address without blanks.
fn sender() -> impl Strategy<Value = (&'static str, String)> {
    prop_oneof![
        Just(("", String::new())),
        Just(("<>", String::new())),
        Just(("\"\"", String::new())),
        "[a-z0-9+=.!#]{1,20}@[a-z0-9.]{1,20}[a-z]".prop_map(|address| ("own", address)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_comes_has_one_answer_of_bounded_length(bytes in vec(any::<u8>(), 0..300)) {
        let mut out = Vec::new();
        answer(&decode(&bytes, Limits::default()), &mut out);
        prop_assert!(!out.is_empty());
        prop_assert!(out.len() <= 1_000, "{} bytes", out.len());
        prop_assert!(out.iter().all(|&byte| byte == b'\n' || !byte.is_ascii_control()));
    }

    #[test]
    fn what_is_nearly_a_request_has_an_answer_too(
        text in "(--)?(white|GREY|black|add|list|clear|stats|check|status|--|x)?( |\n|--white|192\\.0\\.2\\.7|/|\"|<|>|,|@|a@b\\.test){0,9}",
    ) {
        let mut out = Vec::new();
        answer(&decode(text.as_bytes(), Limits::default()), &mut out);
        prop_assert!(!out.is_empty());
    }

    #[test]
    fn an_attempt_is_understood_however_it_is_spaced_and_shouted(
        command in prop_oneof![Just(String::new()), shouted("update")],
        asked in proptest::option::of(list()),
        others in vec(list(), 0..3),
        ip in client(),
        (none, sender) in sender(),
        recipient in "[a-z0-9+]{1,9}( [a-z]{1,9})?@[a-z.]{1,20}[a-z]",
        gap in blanks(),
    ) {
        // Of a recipient with a blank and no sender before it, nobody can tell that it is one.
        prop_assume!(!none.is_empty() || !recipient.contains(' '));
        let mut words = vec![command];
        words.extend(asked.iter().chain(others.iter().filter(|_| asked.is_some())).map(|list| format!("--{}", list.word())));
        words.push(ip.to_string());
        words.push(if none == "own" { sender.clone() } else { none.to_owned() });
        words.push(recipient.clone());
        words.retain(|word| !word.is_empty());
        let request = words.join(&gap);
        let query = Query::new(Client::new(ip), sender.as_bytes(), recipient.as_bytes());
        prop_assert_eq!(decode(request.as_bytes(), Limits::default()), Request::Update { asked, query });
    }

    #[test]
    fn a_read_that_reaches_the_limit_is_unclear_and_nothing_shorter_is(
        limit in 64_usize..400,
        more in 0_usize..40,
    ) {
        let limits = Limits { request_bytes_max: limit };
        let request = format!("--grey 192.0.2.7 {}@example.net b@example.org", "a".repeat(limit));
        let whole = decode(&request.as_bytes()[..limit + more.min(20)], limits);
        let fault = Fault::TooLong { limit };
        prop_assert_eq!(whole, Request::Unclear { asked: Some(List::Grey), fault });
        let short = &request.as_bytes()[..limit - 1];
        let is_too_long = matches!(
            decode(short, limits),
            Request::Unclear { fault: Fault::TooLong { .. }, .. }
        );
        prop_assert!(!is_too_long);
    }
}
