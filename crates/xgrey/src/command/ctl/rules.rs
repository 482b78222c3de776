//! `xgrey ctl rules`: lists rules as the service has them in force, or writes the live ones as a rules
//! file.

use std::fmt::Write as _;
use std::path::Path;

use super::columns::printable;
use super::{right_aligned, table};
use crate::cli::{RulesArgs, RulesFormat};
use crate::command::{Failure, say};
use crate::control::conversation::{Conversation, Heard};
use crate::control::{Request, RuleShown, RulesListed, RulesWanted};
use crate::thousands::thousands;

/// Asks and prints.
pub(super) fn run(socket: &Path, args: &RulesArgs, format: RulesFormat) -> Result<(), Failure> {
    let live = args.live || format == RulesFormat::Rules;
    let wanted = RulesWanted { list: args.list.clone(), live };
    let rules = listed(socket, wanted)?;
    match format {
        RulesFormat::Table => say(&shown(&rules)),
        RulesFormat::Json => say(&format!("{}\n", serde_json::to_string_pretty(&rules)?)),
        RulesFormat::Rules => say(&as_file(&rules)),
    }
}

/// The rules that are wanted, in the order in which they are asked.
fn listed(socket: &Path, wanted: RulesWanted) -> Result<Vec<RuleShown>, Failure> {
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
    let mut out = "# Rules that were set while xgrey was running, as `xgrey ctl rules --format rules` wrote them.\n\
                   # [[rules.file]] takes this file; \"configured\" in place of a verdict takes a live rule back.\n"
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
    use super::*;

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
}
