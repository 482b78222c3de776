//! `xgrey ctl rules`: lists rules as the service has them in force, or writes the live ones as a rules
//! file.

use std::fmt::Write as _;
use std::path::Path;

use super::columns::printable;
use super::output::Talk;
use super::{right_aligned, table};
use crate::cli::{RulesArgs, RulesFormat};
use crate::command::Failure;
use crate::control::conversation::{Conversation, Heard};
use crate::control::{Request, RuleShown, RulesListed, RulesWanted};
use crate::thousands::thousands;

/// Asks and prints.
pub(super) fn run(
    talk: &mut Talk<'_>,
    args: &RulesArgs,
    format: RulesFormat,
) -> Result<(), Failure> {
    let live = args.live || format == RulesFormat::Rules;
    let wanted = RulesWanted { list: args.list.clone(), live };
    let rules = listed(talk.socket, wanted)?;
    match format {
        RulesFormat::Table => talk.say(&shown(&rules)),
        RulesFormat::Json => talk.say(&format!("{}\n", serde_json::to_string_pretty(&rules)?)),
        RulesFormat::Rules => talk.say(&as_file(&rules)),
    }
}

/// The rules that are wanted, in the order in which they are asked.
pub(super) fn listed(socket: &Path, wanted: RulesWanted) -> Result<Vec<RuleShown>, Failure> {
    let mut talk = Conversation::begin(socket, &Request::Rules(wanted))?;
    let mut rules = Vec::new();
    loop {
        match talk.hear::<RuleShown, RulesListed>()? {
            Heard::Item(rule) => rules.push(rule),
            Heard::End(_) => return Ok(rules),
        }
    }
}

/// A table. Of a rule that was removed it says so in place of its verdict.
fn shown(rules: &[RuleShown]) -> String {
    let mut shown = table(["list", "verdict", "pattern", "hits", "last hit", "written in", "set"]);
    for rule in rules {
        let verdict = if rule.removed { "(removed)" } else { &rule.verdict };
        let set: Vec<&str> = [&rule.since, &rule.by].into_iter().flatten().map(|s| &**s).collect();
        shown.add_row([
            &rule.list,
            verdict,
            &printable(&rule.pattern),
            &thousands(rule.hits),
            rule.last_hit.as_deref().unwrap_or(""),
            rule.origin.as_deref().unwrap_or(""),
            &set.join(" by "),
        ]);
    }
    right_aligned(shown, &[3])
}

/// A rules file that says what live rules say. What was removed can't be said there: that is a
/// comment, with the place where it is to be taken out.
fn as_file(rules: &[RuleShown]) -> String {
    let mut out =
        "# Rules that were set while xgrey was running: for [[rules.file]] in the configuration.\n"
            .to_owned();
    for rule in rules {
        let RuleShown { list, verdict, pattern, .. } = rule;
        let said = match (rule.removed, rule.default) {
            (true, _) => {
                let place = rule.origin.as_deref().unwrap_or("the configuration");
                format!("# removed: {list} {verdict} {pattern}  (take it out of {place})")
            }
            (false, true) => format!("{list} default {verdict}"),
            (false, false) => format!("{list} {verdict} {pattern}"),
        };
        // Nothing fails that is written to a String.
        let _ = write!(out, "{said}");
        if let (Some(since), Some(by)) = (&rule.since, &rule.by) {
            let _ = write!(out, "  # {since} by {by}");
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use greylist::rules::{List, Pattern, RuleOrigin, Verdict};
    use greylist::{HashKey, Timestamp};
    use proptest::prelude::*;

    use super::*;
    use crate::command::serve;
    use crate::config::{Config, MadeUp, parse_text};
    use crate::service::{By, Entry, HitsKept, RuleChange, What};

    fn rule(list: &str, verdict: &str, pattern: &str, hits: u64) -> RuleShown {
        RuleShown {
            list: list.to_owned(),
            verdict: verdict.to_owned(),
            pattern: pattern.to_owned(),
            default: false,
            hits,
            last_hit: None,
            origin: None,
            since: None,
            by: None,
            removed: false,
        }
    }

    fn live(rule: RuleShown, by: &str) -> RuleShown {
        RuleShown {
            origin: Some("live".to_owned()),
            since: Some("2026-11-24T12:00:00Z".to_owned()),
            by: Some(by.to_owned()),
            ..rule
        }
    }

    fn some() -> Vec<RuleShown> {
        let written = |rule, origin: &str| RuleShown { origin: Some(origin.to_owned()), ..rule };
        vec![
            RuleShown {
                last_hit: Some("2026-11-24T12:34:56Z".to_owned()),
                ..written(
                    rule("client", "accept", "192.0.2.0/24", 12_345),
                    "/etc/xgrey/xgrey.toml:12",
                )
            },
            live(rule("client", "reject", "198.51.100.7", 3), "uid 0"),
            RuleShown {
                removed: true,
                ..written(
                    live(rule("client", "accept", "203.0.113.0/24", 0), "uid 1000"),
                    "rules.d/10-local.rules:3",
                )
            },
            RuleShown {
                default: true,
                ..live(rule("client", "greylist", "default", 1_000_000), "x-grey 127.0.0.1")
            },
            live(rule("sender", "accept", r"=Alice\x20B@example.net", 0), "x-grey 127.0.0.1"),
        ]
    }

    #[test]
    fn rules_show_their_hits_and_where_and_when_they_were_written() {
        insta::assert_snapshot!(shown(&some()));
    }

    #[test]
    fn live_rules_are_written_as_a_rules_file() {
        insta::assert_snapshot!(as_file(&some()[1..]));
    }

    const NOW: Timestamp = Timestamp::from_unix_secs(1_795_498_200);

    fn change() -> impl Strategy<Value = RuleChange> {
        let list = prop::sample::select(List::ALL.to_vec());
        let entry = list.prop_flat_map(|list| {
            let pattern = move |text: String| Pattern::parse(list, &text).ok().map(Entry::Pattern);
            let exact = move |bytes: Vec<u8>| Pattern::exact(list, &bytes).ok().map(Entry::Pattern);
            let entry = prop_oneof![
                1 => Just(Some(Entry::Default)),
                4 => r"[a-c#=.]{1,4}(@[a-c#.]{1,3})?".prop_map(pattern),
                1 => "default".prop_map(pattern),
                2 => r"/[a-c#.]{1,4}/".prop_map(pattern),
                2 => r"(192\.0\.2\.[0-9]{1,2}|2001:db8::[1-9])(/3[0-2])?".prop_map(pattern),
                4 => prop::collection::vec(any::<u8>(), 0..12).prop_map(exact),
            ];
            entry.prop_filter_map("no entry", move |entry| Some((list, entry?)))
        });
        let what = prop::sample::select(vec![
            What::Set(Verdict::Accept),
            What::Set(Verdict::Reject),
            What::Set(Verdict::Greylist),
            What::Remove,
        ]);
        (entry, what).prop_map(|((list, entry), what)| RuleChange {
            list,
            entry,
            what,
            hits: HitsKept::Keep,
        })
    }

    proptest! {
        #[test]
        fn a_rules_file_of_live_rules_is_read_as_the_same_rules(
            changes in prop::collection::vec(change(), 0..20),
        ) {
            let Ok(service) = serve::service(Config::default(), HashKey::new([7; 16])) else {
                panic!("no service");
            };
            let by = By::Control { uid: 0 };
            service.change_rules(NOW, by, &changes, &mut Vec::new()).unwrap();
            let mut live = Vec::new();
            let _ = service.list_rules(NOW, None, |rule| {
                live.extend(rule.live.map(|_| RuleShown::of(&rule)));
                ControlFlow::Continue(())
            });

            let path = std::path::Path::new("/etc/xgrey/xgrey.toml");
            let file = ("/etc/xgrey/live.rules".into(), as_file(&live).into_bytes());
            let there = MadeUp { files: [file].into(), ..MadeUp::default() };
            let text = "[[rules.file]]\npath = \"live.rules\"\n";
            let (config, report) = parse_text(text, path, &there).unwrap();
            prop_assert!(report.is_empty());
            let read = config.rules.iter().filter(|rule| rule.origin != RuleOrigin::BUILT_IN);
            let read: Vec<_> = read
                .map(|rule| {
                    let is_default = rule.reference.is_default();
                    (rule.list.word(), rule.verdict.word(), rule.text.to_string(), is_default)
                })
                .collect();
            let live: Vec<_> = live
                .iter()
                .map(|rule| (&*rule.list, &*rule.verdict, rule.pattern.clone(), rule.default))
                .collect();
            prop_assert_eq!(read.len(), live.len());
            for rule in &live {
                prop_assert!(read.contains(rule), "{:?} is not in {:?}", rule, read);
            }
            // Regular expressions are tried in the same order.
            let expressions = |all: &[(&str, &str, String, bool)]| -> Vec<String> {
                all.iter().map(|rule| rule.2.clone()).filter(|text| text.starts_with('/')).collect()
            };
            prop_assert_eq!(expressions(&read), expressions(&live));
        }
    }
}
