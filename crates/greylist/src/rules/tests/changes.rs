//! Sets that are taken up again and changed, against the obvious way: entries in a map, and a look at
//! each for every question. Counters against sums kept by hand.

use std::collections::BTreeMap;

use ipnet::IpNet;
use proptest::prelude::*;
use regex::bytes::RegexBuilder;

use super::super::gathering::PLACES_WRITTEN;
use super::*;
use crate::timing::Timestamp;

/// Entries that meet each other and the questions often.
const ENTRIES: [(List, &[&str]); 6] = [
    (List::Client, &["192.0.2.0/24", "192.0.2.7", "192.0.2.0/25", "2001:db8::/32", "0.0.0.0/0"]),
    (List::ClientName, &["mail.example.net", ".example.net", ".net", "/^mail/", "/net$/"]),
    (
        List::Sender,
        &[
            "=Alice@Example.net",
            "=alice@example.net",
            "=",
            r"=al\xffce@example.net",
            "<>",
            "alice@example.net",
            "alice@",
            "alice+*@example.net",
            "/^al/",
            "/net$/",
            "/a.*b/",
        ],
    ),
    (
        List::SenderDomain,
        &["=Example.net", "=example.net", "=b@example.net", "=", "example.net", ".net", "/^ex/"],
    ),
    (List::Recipient, &["=bob@example.org", "=Bob@example.org", "bob@", "/^b/", "/ob@/", "/o/"]),
    (List::RecipientDomain, &["=example.org", "example.org", ".org", "/org/", "/ex/"]),
];

const CLIENTS: [&str; 5] = ["192.0.2.7", "192.0.2.200", "198.51.100.1", "2001:db8::7", "::1"];
const NAMES: [Option<&str>; 3] = [None, Some("mail.example.net"), Some("Other.test")];
const SENDERS: [&[u8]; 9] = [
    b"",
    b"alice@example.net",
    b"Alice@Example.net",
    b"al\xffce@example.net",
    b"alice@",
    b"alice+x@example.net",
    b"a@b@example.net",
    b"alice",
    b"alice@example.net\0x",
];
const RECIPIENTS: [&[u8]; 4] =
    [b"bob@example.org", b"Bob@Example.ORG.", b"carol@example.org", b"postmaster"];

/// What is known of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    verdict: Verdict,
    origin: Origin,
    /// Among the regular expressions.
    place: u64,
}

#[derive(Clone, Debug, Default)]
struct Model {
    rules: BTreeMap<(List, &'static str), Known>,
    defaults: BTreeMap<List, Verdict>,
    next_place: BTreeMap<List, u64>,
}

fn exact(text: &str) -> Option<Vec<u8>> {
    Some(Pattern::parse(List::Sender, text).unwrap().text().as_exact()?.to_vec())
}

fn folded(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

/// How well an entry of a list of domains matches; the better the higher.
fn domain_rank(text: &str, place: u64, domain: &str) -> Option<(u8, u64)> {
    if let Some(inner) = text.strip_prefix('/') {
        return expression_rank(inner, place, domain.as_bytes());
    }
    let is_suffix = text.starts_with('.') && format!(".{domain}").ends_with(text);
    match text == domain {
        true => Some((9, 0)),
        false => is_suffix.then_some((8, text.len() as u64)),
    }
}

fn expression_rank(inner: &str, place: u64, text: &[u8]) -> Option<(u8, u64)> {
    let regex = RegexBuilder::new(inner.trim_end_matches('/')).case_insensitive(true).build();
    regex.unwrap().is_match(text).then_some((1, u64::MAX - place))
}

/// How well an entry of a list of addresses matches.
fn address_rank(text: &str, place: u64, address: &[u8]) -> Option<(u8, u64)> {
    if let Some(inner) = text.strip_prefix('/') {
        let dotless = address.strip_suffix(b".").unwrap_or(address);
        return expression_rank(inner, place, dotless);
    }
    let address = folded(address);
    if text == "<>" {
        return address.is_empty().then_some((9, 0));
    }
    let (local, domain) = address.rsplit_once('@').unwrap_or((&address, ""));
    let (user, at) = text.rsplit_once('@').unwrap();
    match user.strip_suffix("+*") {
        _ if text == address => Some((9, 0)),
        Some(user) => {
            let extends = local.strip_prefix(user)?;
            let fits = extends.is_empty() || extends.starts_with('+');
            (fits && at == domain).then_some((8, user.len() as u64))
        }
        None => (at.is_empty() && user == local).then_some((7, 0)),
    }
}

impl Model {
    /// The best match of a list: `Err` if there is nothing to be asked about.
    fn best(&self, list: List, query: &Query<'_>) -> Result<Option<&'static str>, ()> {
        let until_nul = |bytes: &[u8]| bytes.split(|&byte| byte == 0).next().unwrap().to_vec();
        let rank: Box<dyn Fn(&'static str, u64) -> Option<(u8, u64)>> = match list {
            List::Client => {
                let client = query.client.address();
                Box::new(move |text, _| {
                    let net = Pattern::parse(List::Client, text).unwrap().text().as_network();
                    let net: IpNet = net.unwrap();
                    net.contains(&client).then_some((1, net.prefix_len().into()))
                })
            }
            List::ClientName => {
                let name = folded(query.client_name.ok_or(())?);
                Box::new(move |text, place| domain_rank(text, place, &name))
            }
            List::Sender | List::Recipient => {
                let address = if list == List::Sender { query.sender } else { query.recipient };
                Box::new(move |text, place| match exact(text) {
                    Some(bytes) => (bytes == until_nul(address)).then_some((10, 0)),
                    None => address_rank(text, place, address),
                })
            }
            List::SenderDomain | List::RecipientDomain => {
                let address =
                    if list == List::SenderDomain { query.sender } else { query.recipient };
                let last = address.iter().rposition(|&byte| byte == b'@').ok_or(())?;
                let of_first = until_nul(address);
                let domain = folded(&address[last + 1..]);
                Box::new(move |text, place| match exact(text) {
                    Some(bytes) => {
                        let first = of_first.iter().position(|&byte| byte == b'@')?;
                        (bytes == of_first[first + 1..]).then_some((10, 0))
                    }
                    None => domain_rank(text, place, &domain),
                })
            }
        };
        let ranked = self.rules.iter().filter(|((of, _), _)| *of == list);
        let ranked =
            ranked.filter_map(|((_, text), known)| Some((rank(text, known.place)?, *text)));
        Ok(ranked.max().map(|(_, text)| text))
    }

    /// What `told` says of the set.
    fn told(&self, query: &Query<'_>) -> Vec<String> {
        let mut told = Vec::new();
        let mut skipped = None;
        for list in List::ALL {
            if skipped == Some(list) {
                continue;
            }
            let Ok(best) = self.best(list, query) else { continue };
            let verdict = match best {
                Some(text) => self.rules[&(list, text)].verdict,
                None => self.defaults.get(&list).copied().unwrap_or(Verdict::Greylist),
            };
            told.push(format!("{} {} {}", list.word(), best.unwrap_or("default"), verdict.word()));
            if verdict != Verdict::Greylist {
                break;
            }
            skipped = best.and(list.coarser());
        }
        told
    }
}

fn told_by(set: &RuleSet, query: &Query<'_>) -> Vec<String> {
    let matched = set.judge(query).steps().filter_map(|step| match step.outcome {
        Outcome::Matched(rule) | Outcome::Default(rule) => Some(set.rule(rule)),
        Outcome::Skipped | Outcome::NothingToMatch => None,
    });
    matched
        .map(|rule| format!("{} {} {}", rule.list.word(), rule.text, rule.verdict.word()))
        .collect()
}

#[derive(Clone, Debug)]
enum Op {
    Add(List, &'static str, Verdict),
    /// The number is no other's, whatever is given here for it.
    AddLive(List, &'static str, Verdict, u32),
    Remove(List, &'static str),
    PutBack(List, &'static str),
    SetDefault(List, Verdict),
    PutBackDefault(List),
    /// Put together, asked, and taken up again.
    Build,
}

fn entry() -> impl Strategy<Value = (List, &'static str)> {
    prop::sample::select(ENTRIES.to_vec())
        .prop_flat_map(|(list, texts)| (Just(list), prop::sample::select(texts.to_vec())))
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop::sample::select(vec![Verdict::Accept, Verdict::Reject, Verdict::Greylist])
}

fn op() -> impl Strategy<Value = Op> {
    let list = || prop::sample::select(List::ALL.to_vec());
    prop_oneof![
        4 => (entry(), verdict()).prop_map(|((list, text), verdict)| Op::Add(list, text, verdict)),
        4 => (entry(), verdict(), 0..8_u32)
            .prop_map(|((list, text), verdict, number)| Op::AddLive(list, text, verdict, number)),
        3 => entry().prop_map(|(list, text)| Op::Remove(list, text)),
        2 => entry().prop_map(|(list, text)| Op::PutBack(list, text)),
        1 => (list(), verdict()).prop_map(|(list, verdict)| Op::SetDefault(list, verdict)),
        1 => list().prop_map(Op::PutBackDefault),
        2 => Just(Op::Build),
    ]
}

/// The number of a live rule: about `number`, and no other's.
fn own(number: u32, line: u32) -> u32 {
    number * 1_000 + line
}

/// What `op` does to the model; what `base` had is what is put back.
fn apply(model: &mut Model, base: &Model, op: &Op, line: u32) {
    let written = Origin { source: 0, line };
    match *op {
        Op::Add(list, text, verdict) => {
            let next = model.next_place.entry(list).or_insert(PLACES_WRITTEN);
            let is_expression = text.starts_with('/');
            let place = match model.rules.get(&(list, text)) {
                Some(known) => known.place,
                None => *next,
            };
            *next += u64::from(is_expression && place == *next);
            model.rules.insert((list, text), Known { verdict, origin: written, place });
        }
        Op::AddLive(list, text, verdict, number) => {
            let known = Known { verdict, origin: Origin::LIVE, place: own(number, line).into() };
            model.rules.insert((list, text), known);
        }
        Op::Remove(list, text) => {
            model.rules.remove(&(list, text));
        }
        Op::PutBack(list, text) => match base.rules.get(&(list, text)) {
            Some(&known) => {
                model.rules.insert((list, text), known);
            }
            None => {
                model.rules.remove(&(list, text));
            }
        },
        Op::SetDefault(list, verdict) => {
            model.defaults.insert(list, verdict);
        }
        Op::PutBackDefault(list) => match base.defaults.get(&list) {
            Some(&verdict) => {
                model.defaults.insert(list, verdict);
            }
            None => {
                model.defaults.remove(&list);
            }
        },
        Op::Build => {}
    }
}

fn apply_to_builder(builder: &mut RuleSetBuilder, base: &RuleSet, op: &Op, line: u32) -> bool {
    let parse = |list, text| Pattern::parse(list, text).unwrap();
    let origin = Origin { source: 0, line };
    match *op {
        Op::Add(list, text, verdict) => builder.add(verdict, parse(list, text), origin).is_some(),
        Op::AddLive(list, text, verdict, number) => {
            builder.add_live(verdict, parse(list, text), own(number, line)).is_some()
        }
        Op::Remove(list, text) => builder.remove(&parse(list, text)).is_some(),
        Op::PutBack(list, text) => {
            let pattern = parse(list, text);
            builder.put_back(&pattern, base);
            base.rule_with(&pattern).is_some()
        }
        Op::SetDefault(list, verdict) => builder.set_default(list, verdict, origin).is_some(),
        Op::PutBackDefault(list) => {
            builder.put_back_default(list, base);
            false
        }
        Op::Build => false,
    }
}

fn questions() -> impl Strategy<Value = Vec<Query<'static>>> {
    let question = (
        prop::sample::select(CLIENTS.to_vec()),
        prop::sample::select(NAMES.to_vec()),
        prop::sample::select(SENDERS.to_vec()),
        prop::sample::select(RECIPIENTS.to_vec()),
    );
    let question = question.prop_map(|(client, name, sender, recipient)| Query {
        client_name: name.map(str::as_bytes),
        ..Query::new(Client::new(client.parse().unwrap()), sender, recipient)
    });
    prop::collection::vec(question, 1..12)
}

/// A set, and what it should be, from additions that a configuration could make.
fn base(additions: &[((List, &'static str), Verdict)]) -> (RuleSet, Model) {
    let mut builder = RuleSetBuilder::new();
    builder.source("test.rules");
    let mut model = Model::default();
    for (line, &((list, text), verdict)) in (1..).zip(additions) {
        let op = Op::Add(list, text, verdict);
        apply_to_builder(&mut builder, &RuleSet::default(), &op, line);
        apply(&mut model, &Model::default(), &op, line);
    }
    (builder.build(), model)
}

proptest! {
    #[test]
    fn a_set_that_was_changed_again_and_again_judges_as_a_look_at_each_rule_does(
        additions in prop::collection::vec((entry(), verdict()), 0..20),
        ops in prop::collection::vec(op(), 0..40),
        questions in questions(),
    ) {
        let (base_set, base_model) = base(&additions);
        let mut model = base_model.clone();
        let mut builder = base_set.to_builder();
        for (line, op) in (100..).zip(ops.iter().chain([&Op::Build])) {
            let known = match *op {
                Op::Add(list, text, _) | Op::AddLive(list, text, ..) | Op::Remove(list, text) => {
                    Some(model.rules.contains_key(&(list, text)))
                }
                _ => None,
            };
            let told = apply_to_builder(&mut builder, &base_set, op, line);
            apply(&mut model, &base_model, op, line);
            if let Some(known) = known {
                prop_assert_eq!(told, known, "{:?}", op);
            }
            prop_assert_eq!(builder.len(), model.rules.len());
            if !matches!(op, Op::Build) {
                continue;
            }
            let set = builder.build();
            for query in &questions {
                prop_assert_eq!(told_by(&set, query), model.told(query), "{:?}", query);
            }
            for (&(list, text), known) in &model.rules {
                let rule = set.rule_with(&Pattern::parse(list, text).unwrap()).unwrap();
                prop_assert_eq!(rule.text.to_string(), text);
                prop_assert_eq!(rule.verdict, known.verdict);
                let origin = match known.origin {
                    Origin::LIVE => RuleOrigin::LIVE,
                    Origin { line, .. } => RuleOrigin { source: "test.rules", line },
                };
                prop_assert_eq!(rule.origin, origin);
            }
            builder = set.to_builder();
        }
        // The set that all began with has not changed.
        for query in &questions {
            prop_assert_eq!(told_by(&base_set, query), base_model.told(query));
        }
    }

    #[test]
    fn hits_are_neither_lost_nor_made_when_sets_replace_each_other(
        additions in prop::collection::vec((entry(), verdict()), 0..20),
        rounds in prop::collection::vec((prop::collection::vec(op(), 0..4), questions()), 1..6),
    ) {
        let (mut set, _) = base(&additions);
        let base_set = set.clone();
        let mut want: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for (now, (ops, questions)) in (1_000..).zip(&rounds) {
            for query in questions {
                let judgement = set.judge(query);
                set.count(&judgement, Timestamp::from_unix_secs(now));
                for step in judgement.steps() {
                    if let Outcome::Matched(rule) | Outcome::Default(rule) = step.outcome {
                        let rule = set.rule(rule);
                        let hits = want.entry(format!("{} {}", rule.list.word(), rule.text));
                        let (count, last) = hits.or_default();
                        (*count, *last) = (*count + 1, now);
                    }
                }
            }
            let mut builder = set.to_builder();
            for op in ops {
                apply_to_builder(&mut builder, &base_set, op, 7);
            }
            let next = builder.build();
            next.take_over_hits(&set);
            set = next;
            // Those of a rule that is gone are gone with it.
            want.retain(|name, _| {
                set.iter().any(|rule| format!("{} {}", rule.list.word(), rule.text) == *name)
            });
        }
        let hits: BTreeMap<String, (u64, u64)> = set
            .iter()
            .filter(|rule| rule.hits > 0)
            .map(|rule| {
                let last = rule.last_hit.map_or(0, Timestamp::as_unix_secs);
                (format!("{} {}", rule.list.word(), rule.text), (rule.hits, last))
            })
            .collect();
        prop_assert_eq!(hits, want);
    }
}

#[test]
fn lists_that_are_not_changed_are_shared_with_their_counters() {
    let old = rules("client accept 192.0.2.0/24\nsender reject /^eve/\nsender accept bob@");
    let mut builder = old.to_builder();
    let pattern = Pattern::parse(List::Recipient, "=Bob@example.org").unwrap();
    builder.add_live(Verdict::Accept, pattern, 1);
    let new = builder.build();
    let judgement = old.judge(&query(MAIL));
    old.count(&judgement, Timestamp::from_unix_secs(1));
    assert_eq!(hits(&new), ["client 192.0.2.0/24 1"]);
    new.take_over_hits(&old);
    assert_eq!(hits(&new), ["client 192.0.2.0/24 1"]);
}

#[test]
fn what_is_counted_in_a_replaced_set_can_be_taken_over_later() {
    let old = rules("client accept 192.0.2.0/24");
    let new = rules("client accept 198.51.100.0/24\nclient accept 192.0.2.0/24");
    let judgement = old.judge(&query(MAIL));
    for now in 1..=3 {
        old.count(&judgement, Timestamp::from_unix_secs(now));
        new.take_over_hits(&old);
        assert_eq!(hits(&new), [format!("client 192.0.2.0/24 {now}")]);
        assert_eq!(hits(&old), [""; 0]);
    }
    let last_hit = new.iter().find_map(|rule| rule.last_hit);
    assert_eq!(last_hit, Some(Timestamp::from_unix_secs(3)));
}

#[test]
fn hits_of_one_rule_or_default_can_be_taken_away_and_given() {
    let set = rules("client greylist 192.0.2.7\nrecipient accept /bob/");
    for now in 1..=2 {
        set.count(&set.judge(&query(MAIL)), Timestamp::from_unix_secs(now));
    }
    let of = |list, text| set.rule_with(&Pattern::parse(list, text).unwrap()).unwrap().reference;
    let taken = set.take_hits(of(List::Client, "192.0.2.7"));
    assert_eq!(taken, Hits { count: 2, last: Some(Timestamp::from_unix_secs(2)) });
    assert_eq!(set.take_hits(RuleRef::default_of(List::Sender)), taken);
    let left = ["sender-domain default 2", "recipient /bob/ 2"];
    assert_eq!(hits(&set), left);
    assert_eq!(set.hits(RuleRef::default_of(List::SenderDomain)), taken);
    set.give_hits(RuleRef::default_of(List::Sender), taken);
    set.give_hits(of(List::Client, "192.0.2.7"), Hits { count: 5, last: None });
    let given = ["client 192.0.2.7 5", "sender default 2", left[0], left[1]];
    assert_eq!(hits(&set), given);
}
