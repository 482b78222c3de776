//! The order of the lists and what each kind of match does there; the counters; reloads.

mod changes;

use super::*;
use crate::query::Client;
use crate::timing::Timestamp;

const NOW: Timestamp = Timestamp::from_unix_secs(1_795_498_200);

/// Builds rules from lines of `LIST VERDICT ENTRY` and `LIST default VERDICT`.
pub(super) fn rules(text: &str) -> RuleSet {
    let mut builder = RuleSetBuilder::new();
    let source = builder.source("test.rules");
    for (line, text) in (1..).zip(text.split('\n').map(str::trim)) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let origin = Origin { source, line };
        match words[..] {
            [] => {}
            [list, "default", verdict] => {
                let (list, verdict) =
                    (List::parse(list).unwrap(), Verdict::parse(verdict).unwrap());
                builder.set_default(list, verdict, origin);
            }
            [list, verdict, entry] => {
                let pattern = Pattern::parse(List::parse(list).unwrap(), entry).unwrap();
                builder.add(Verdict::parse(verdict).unwrap(), pattern, origin);
            }
            _ => panic!("not a rule: {text}"),
        }
    }
    builder.build()
}

/// A query from `CLIENT NAME SENDER RECIPIENT`; `-` for no name, `<>` for the null sender.
fn query(text: &str) -> Query<'_> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [client, name, sender, recipient] = words[..] else { panic!("not a query: {text}") };
    let sender = if sender == "<>" { "" } else { sender };
    let client = Client::new(client.parse().unwrap());
    let mut query = Query::new(client, sender.as_bytes(), recipient.as_bytes());
    query.client_name = (name != "-").then_some(name.as_bytes());
    query
}

/// `client 192.0.2.0/24 · client-name skipped · sender default · … = accept by sender default`.
fn told(rules: &RuleSet, judgement: &Judgement) -> String {
    let steps = judgement.steps().map(|Step { list, outcome }| match outcome {
        Outcome::Matched(rule) | Outcome::Default(rule) => {
            format!("{} {}", list.word(), rules.rule(rule).text)
        }
        Outcome::Skipped => format!("{} skipped", list.word()),
        Outcome::NothingToMatch => format!("{} nothing", list.word()),
    });
    let by = rules.rule(judgement.decided_by());
    format!(
        "{} = {} by {} {}",
        steps.collect::<Vec<_>>().join(" · "),
        judgement.verdict().word(),
        by.list.word(),
        by.text,
    )
}

fn check(rules_text: &str, query_text: &str, want: &str) {
    let rules = rules(rules_text);
    let judgement = rules.judge(&query(query_text));
    assert_eq!(told(&rules, &judgement), want, "\n{rules_text}\n{query_text}");
}

const MAIL: &str = "192.0.2.7 mail.example.net alice@example.net bob@example.org";

#[test]
fn without_rules_every_default_is_passed_and_the_tuple_decides() {
    check(
        "",
        MAIL,
        "client default · client-name default · sender default · sender-domain default · \
         recipient default · recipient-domain default = greylist by recipient-domain default",
    );
}

#[test]
fn the_first_list_whose_best_match_accepts_or_rejects_decides() {
    let all = [
        "client accept 192.0.2.0/24",
        "client-name reject .example.net",
        "sender accept alice@example.net",
        "sender-domain reject example.net",
        "recipient accept bob@example.org",
        "recipient-domain reject example.org",
    ];
    let wants = [
        "client 192.0.2.0/24 = accept by client 192.0.2.0/24",
        "client default · client-name .example.net = reject by client-name .example.net",
        "client default · client-name default · sender alice@example.net \
         = accept by sender alice@example.net",
        "client default · client-name default · sender default · sender-domain example.net \
         = reject by sender-domain example.net",
        "client default · client-name default · sender default · sender-domain default · \
         recipient bob@example.org = accept by recipient bob@example.org",
        "client default · client-name default · sender default · sender-domain default · \
         recipient default · recipient-domain example.org \
         = reject by recipient-domain example.org",
    ];
    for (first, want) in wants.into_iter().enumerate() {
        check(&all[first..].join("\n"), MAIL, want);
    }
}

#[test]
fn the_longest_prefix_counts_whatever_the_order_of_writing() {
    let lists = [
        "client reject 192.0.0.0/16\nclient accept 192.0.2.0/24\nclient reject 192.0.2.128/25",
        "client reject 192.0.2.128/25\nclient accept 192.0.2.0/24\nclient reject 192.0.0.0/16",
    ];
    for list in lists {
        check(list, MAIL, "client 192.0.2.0/24 = accept by client 192.0.2.0/24");
    }
}

#[test]
fn greylist_said_by_a_rule_skips_the_coarser_list_for_the_same_party() {
    check(
        "client greylist 192.0.2.0/24
         client-name reject .example.net
         sender greylist alice@example.net
         sender-domain reject example.net
         recipient greylist bob@
         recipient-domain reject example.org",
        MAIL,
        "client 192.0.2.0/24 · client-name skipped · sender alice@example.net · \
         sender-domain skipped · recipient bob@ · recipient-domain skipped \
         = greylist by recipient bob@",
    );
}

#[test]
fn greylist_said_by_a_default_or_for_a_domain_skips_nothing() {
    check(
        "client default greylist
         client-name greylist .example.net
         sender-domain greylist example.net
         recipient-domain reject example.org",
        MAIL,
        "client default · client-name .example.net · sender default · \
         sender-domain example.net · recipient default · recipient-domain example.org \
         = reject by recipient-domain example.org",
    );
}

#[test]
fn a_default_that_accepts_or_rejects_decides_where_nothing_matches() {
    check("client default reject", MAIL, "client default = reject by client default");
    check(
        "sender default accept\nsender greylist alice@example.net\nsender-domain default reject",
        "192.0.2.7 - carol@example.net bob@example.org",
        "client default · client-name nothing · sender default = accept by sender default",
    );
    check(
        "sender default accept\nsender greylist alice@example.net\nsender-domain default reject
         recipient default reject",
        MAIL,
        "client default · client-name default · sender alice@example.net · \
         sender-domain skipped · recipient default = reject by recipient default",
    );
    check(
        "recipient-domain default accept\nsender-domain default greylist",
        MAIL,
        "client default · client-name default · sender default · sender-domain default · \
         recipient default · recipient-domain default = accept by recipient-domain default",
    );
}

#[test]
fn a_default_does_not_count_for_a_list_that_has_nothing_to_match() {
    check(
        "client-name default reject\nsender-domain default reject\nrecipient-domain default reject",
        "192.0.2.7 - <> postmaster",
        "client default · client-name nothing · sender default · sender-domain nothing · \
         recipient default · recipient-domain nothing = greylist by recipient default",
    );
    check(
        "sender-domain default reject",
        "192.0.2.7 - alice bob@example.org",
        "client default · client-name nothing · sender default · sender-domain nothing · \
         recipient default · recipient-domain default = greylist by recipient-domain default",
    );
}

#[test]
fn the_domain_after_an_at_sign_may_be_empty_and_is_then_one_that_the_default_counts_for() {
    check(
        "sender-domain default reject",
        "192.0.2.7 - alice@ bob@example.org",
        "client default · client-name nothing · sender default · sender-domain default \
         = reject by sender-domain default",
    );
}

#[test]
fn exact_entries_match_byte_for_byte_and_before_all_others() {
    const ENTRIES: &str = "=Al@example.net al@example.net /^al@/ =al@b@example.net";
    let rows = [
        ("Al@example.net", "=Al@example.net"),
        ("al@example.net", "al@example.net"),
        ("Al@example.net.", "al@example.net"),
        ("al@b@example.net", "=al@b@example.net"),
        ("Al@B@example.net", "/^al@/"),
    ];
    for list in [List::Sender, List::Recipient] {
        for (address, want) in rows {
            assert_eq!(best(list, ENTRIES, address), want, "{} {address}", list.word());
        }
    }
}

#[test]
fn the_domain_of_an_exact_entry_begins_after_the_first_at_sign() {
    const ENTRIES: &str = "=Example.net =a@example.net example.net .net";
    let rows = [
        ("Example.net", "=Example.net"),
        ("example.net", "example.net"),
        ("EXAMPLE.net", "example.net"),
        ("Mail.Example.net", ".net"),
        // What is asked about is user@a@example.net.
        ("a@example.net", "=a@example.net"),
        ("A@example.net", "example.net"),
    ];
    for list in [List::SenderDomain, List::RecipientDomain] {
        for (domain, want) in rows {
            assert_eq!(best(list, ENTRIES, domain), want, "{} {domain}", list.word());
        }
    }
}

#[test]
fn greylist_said_by_an_exact_entry_skips_the_domain_list_too() {
    check(
        "sender greylist =alice@example.net\nsender-domain reject example.net",
        MAIL,
        "client default · client-name default · sender =alice@example.net · \
         sender-domain skipped · recipient default · recipient-domain default \
         = greylist by sender =alice@example.net",
    );
}

#[test]
fn the_null_sender_is_an_address_without_a_domain() {
    check(
        "sender reject <>",
        "192.0.2.7 - <> bob@example.org",
        "client default · client-name nothing · sender <> = reject by sender <>",
    );
    check(
        "sender reject /^$/\nsender reject alice@",
        "192.0.2.7 - <> bob@example.org",
        "client default · client-name nothing · sender /^$/ = reject by sender /^$/",
    );
}

#[test]
fn for_greylist_the_last_rule_that_matched_is_named_before_any_default() {
    check(
        "client greylist 192.0.2.7",
        MAIL,
        "client 192.0.2.7 · client-name skipped · sender default · sender-domain default · \
         recipient default · recipient-domain default = greylist by client 192.0.2.7",
    );
}

#[test]
fn clients_match_in_their_own_family_and_mapped_ones_as_ipv4() {
    let rules_text = "client accept 10/8\nclient reject ::ffff:10.1.0.0/112\nclient reject ::/0";
    let by = |client: &str| {
        let rules = rules(rules_text);
        let judgement = rules.judge(&query(&format!("{client} - <> bob@example.org")));
        let rule = rules.rule(judgement.decided_by());
        format!("{} {}", judgement.verdict().word(), rule.text)
    };
    assert_eq!(by("10.2.0.1"), "accept 10.0.0.0/8");
    assert_eq!(by("10.1.0.1"), "reject 10.1.0.0/16");
    assert_eq!(by("::ffff:10.1.0.1"), "reject 10.1.0.0/16");
    assert_eq!(by("2001:db8::1"), "reject ::/0");
    assert_eq!(by("192.0.2.7"), "greylist default");
}

/// Which rule of `list` matches the text, `-` for none.
fn best(list: List, entries: &str, text: &str) -> String {
    let lines = entries.split(' ').map(|entry| format!("{} accept {entry}", list.word()));
    let rules = rules(&lines.collect::<Vec<_>>().join("\n"));
    let mut query = Query::new(Client::new([192, 0, 2, 7].into()), b"", b"");
    let address = format!("user@{text}");
    match list {
        List::Client => panic!("not a list of texts"),
        List::ClientName => query.client_name = Some(text.as_bytes()),
        List::Sender => query.sender = text.as_bytes(),
        List::Recipient => query.recipient = text.as_bytes(),
        List::SenderDomain => query.sender = address.as_bytes(),
        List::RecipientDomain => query.recipient = address.as_bytes(),
    }
    let judgement = rules.judge(&query);
    match judgement.verdict() {
        Verdict::Accept => rules.rule(judgement.decided_by()).text.to_string(),
        _ => "-".to_owned(),
    }
}

#[test]
fn in_a_domain_list_the_whole_domain_comes_before_suffixes_and_those_before_expressions() {
    const ENTRIES: &str =
        ".example.net mail.example.net .mail.example.net /example/ /\\.org$/ .org";
    let rows = [
        ("mail.example.net", "mail.example.net"),
        ("a.mail.example.net", ".mail.example.net"),
        ("example.net", ".example.net"),
        ("x.y.example.net", ".example.net"),
        ("X.Y.Example.NET.", ".example.net"),
        ("notexample.net", "/example/"),
        ("example.test", "/example/"),
        ("example.org", ".org"),
        ("org", ".org"),
        ("test", "-"),
        ("[192.0.2.1]", "-"),
    ];
    for list in [List::ClientName, List::SenderDomain, List::RecipientDomain] {
        for (domain, want) in rows {
            assert_eq!(best(list, ENTRIES, domain), want, "{} {domain}", list.word());
        }
    }
}

#[test]
fn in_an_address_list_the_whole_address_comes_first_and_expressions_last() {
    const ENTRIES: &str =
        "al@example.net al+*@example.net al@ al+*@ be+x+*@example.net /^al/ /example/ /^z/";
    let rows = [
        ("al@example.net", "al@example.net"),
        ("AL@Example.NET.", "al@example.net"),
        ("al+news@example.net", "al+*@example.net"),
        ("al+a+b@example.net", "al+*@example.net"),
        ("al@example.org", "al@"),
        ("al", "al@"),
        ("al+news@example.org", "al+*@"),
        ("be+x@example.net", "be+x+*@example.net"),
        ("be+x+y@example.net", "be+x+*@example.net"),
        ("be+z@example.net", "/example/"),
        ("alan@example.net", "/^al/"),
        ("dora@example.net", "/example/"),
        ("Zoe@test", "/^z/"),
        ("dora@test", "-"),
    ];
    for list in [List::Sender, List::Recipient] {
        for (address, want) in rows {
            assert_eq!(best(list, ENTRIES, address), want, "{} {address}", list.word());
        }
    }
}

#[test]
fn of_expressions_the_first_written_counts() {
    assert_eq!(best(List::Sender, "/b/ /a/ /ab/", "ab@example.net"), "/b/");
    assert_eq!(best(List::Sender, "/a/ /b/ /ab/", "ab@example.net"), "/a/");
}

#[test]
fn addresses_may_be_any_bytes() {
    let rules = rules("sender reject /^.\\xff@/\nsender-domain accept b\u{fc}cher.example");
    let mut query = Query::new(Client::new([192, 0, 2, 7].into()), b"\xc3\xff@x", b"");
    assert_eq!(rules.judge(&query).verdict(), Verdict::Reject);
    query.sender = "a@b\u{fc}cher.EXAMPLE".as_bytes();
    assert_eq!(rules.judge(&query).verdict(), Verdict::Accept);
}

#[test]
fn a_domain_of_any_length_and_any_number_of_labels_finds_the_same_suffix() {
    for labels in [1, 127, 8_000] {
        let domain = "a.".repeat(labels) + "example.net";
        assert_eq!(best(List::SenderDomain, ".example.net .net", &domain), ".example.net");
    }
}

#[test]
fn of_two_rules_with_one_pattern_the_later_counts_and_tells_whom_it_replaced() {
    let mut builder = RuleSetBuilder::new();
    let (first, second) = (builder.source("a.rules"), builder.source("b.rules"));
    let entries = [
        (List::Client, "192.0.2.0/24", "192.0.2.99/24"),
        (List::Client, "2001:db8::/32", "2001:DB8::1/32"),
        (List::SenderDomain, "example.net", "Example.NET."),
        (List::Recipient, "/^a/", "/^a/"),
    ];
    for (line, (list, early, late)) in (1..).zip(entries) {
        let [early, late] = [early, late].map(|text| Pattern::parse(list, text).unwrap());
        let (there, here) = (Origin { source: first, line }, Origin { source: second, line });
        assert_eq!(builder.add(Verdict::Reject, early, there), None);
        assert_eq!(builder.add(Verdict::Accept, late, here), Some(there));
    }
    assert_eq!(builder.len(), entries.len());
    let set = builder.build();
    let shown: Vec<String> = set
        .iter()
        .filter(|rule| !rule.reference.is_default())
        .map(|rule| format!("{} {} {}", rule.verdict.word(), rule.text, rule.origin))
        .collect();
    let want = [
        "accept 192.0.2.0/24 b.rules:1",
        "accept 2001:db8::/32 b.rules:2",
        "accept example.net b.rules:3",
        "accept /^a/ b.rules:4",
    ];
    assert_eq!(shown, want);
}

#[test]
fn the_same_pattern_in_two_lists_is_two_rules() {
    let set = rules("sender accept a@example.net\nrecipient reject a@example.net");
    assert_eq!((set.len(List::Sender), set.len(List::Recipient)), (1, 1));
}

/// `list text hits` of everything that was hit.
fn hits(rules: &RuleSet) -> Vec<String> {
    rules
        .iter()
        .filter(|rule| rule.hits > 0)
        .map(|rule| format!("{} {} {}", rule.list.word(), rule.text, rule.hits))
        .collect()
}

#[test]
fn every_match_and_every_default_passed_is_counted_and_nothing_skipped() {
    let set = rules(
        "client greylist 192.0.2.7\nclient-name reject .example.net\nrecipient accept bob@
         recipient reject /^eve/",
    );
    set.count(&set.judge(&query(MAIL)), NOW);
    set.count(&set.judge(&query("198.51.100.1 - <> eve@example.org")), NOW);
    set.count(&set.judge(&query("198.51.100.1 - carol@example.net dan@example.org")), NOW);
    let want = [
        "client 192.0.2.7 1",
        "client default 2",
        "sender default 3",
        "sender-domain default 2",
        "recipient bob@ 1",
        "recipient /^eve/ 1",
        "recipient default 1",
        "recipient-domain default 1",
    ];
    assert_eq!(hits(&set), want);
}

#[test]
fn a_deciding_default_is_counted_and_judging_alone_is_not() {
    let set = rules("sender default reject");
    let judgement = set.judge(&query(MAIL));
    assert_eq!(hits(&set), [""; 0]);
    set.count(&judgement, NOW);
    assert_eq!(hits(&set), ["client default 1", "client-name default 1", "sender default 1"]);
}

#[test]
fn at_a_reload_the_counts_of_what_is_still_there_go_over() {
    let old = rules(
        "client accept 192.0.2.0/24\nclient accept 192.0.2.0/25\nclient reject 2001:db8::/32
         sender-domain accept gone.example\nsender-domain accept example.net
         recipient reject /^eve/\nrecipient reject /^mallory/",
    );
    for text in [
        MAIL,
        "192.0.2.200 - <> bob@example.org",
        "2001:db8::7 - <> bob@example.org",
        "203.0.113.7 - a@example.net bob@example.org",
        "203.0.113.7 - a@gone.example bob@example.org",
        "203.0.113.7 - <> eve@example.org",
        "203.0.113.7 - <> mallory@example.org",
    ] {
        old.count(&old.judge(&query(text)), NOW);
    }
    let new = rules(
        "recipient reject /new/\nrecipient accept /^mallory/\nsender-domain greylist new.example
         sender-domain reject example.net\nclient accept 10/8\nclient reject 2001:db8::/32
         client accept 192.0.2.0/24\nclient reject ::/0\nrecipient accept eve@",
    );
    new.take_over_hits(&old);
    let want = [
        "client 192.0.2.0/24 1",
        "client 2001:db8::/32 1",
        "client default 4",
        "sender default 4",
        "sender-domain example.net 1",
        "recipient /^mallory/ 1",
    ];
    assert_eq!(hits(&new), want);
}

#[test]
fn rules_are_listed_in_the_order_of_asking_with_defaults_last() {
    let set = rules(
        "client accept 198.51.100.0/24\nclient accept 2001:db8::/32\nclient accept 192.0.2.7
         sender accept /x/\nsender accept b@\nsender accept a@\nsender default reject",
    );
    let shown: Vec<String> =
        set.iter().map(|rule| format!("{} {}", rule.text, rule.origin)).collect();
    let want = [
        "192.0.2.7 test.rules:3",
        "198.51.100.0/24 test.rules:1",
        "2001:db8::/32 test.rules:2",
        "default built-in",
        "default built-in",
        "b@ test.rules:5",
        "a@ test.rules:6",
        "/x/ test.rules:4",
        "default test.rules:7",
        "default built-in",
        "default built-in",
        "default built-in",
    ];
    assert_eq!(shown, want);
}

#[test]
fn a_reference_or_judgement_from_a_larger_set_does_no_harm() {
    let large = rules("sender reject a@\nsender reject alice@example.net");
    let small = rules("");
    let judgement = large.judge(&query(MAIL));
    assert!(small.get(judgement.decided_by()).is_none());
    small.count(&judgement, NOW);
    assert_eq!(hits(&small), ["client default 1", "client-name default 1"]);
}

#[test]
fn words_are_understood_in_any_case_and_the_american_spelling_too() {
    for list in List::ALL {
        assert_eq!(List::parse(list.word()), Some(list));
        assert_eq!(List::parse(&list.word().to_uppercase().replace('-', "_")), Some(list));
    }
    assert_eq!(List::parse("client_"), None);
    assert_eq!(List::parse("senders"), None);
    for verdict in [Verdict::Accept, Verdict::Reject, Verdict::Greylist] {
        assert_eq!(Verdict::parse(verdict.word()), Some(verdict));
    }
    assert_eq!(Verdict::parse("GrayList"), Some(Verdict::Greylist));
    assert_eq!(Verdict::parse("allow"), None);
}
