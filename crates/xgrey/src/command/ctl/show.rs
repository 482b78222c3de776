//! `xgrey ctl show`: what X-Grey's control program shows, by its words and in its order, as tables.
//!
//! Source: the X-Grey v1.1 protocol document, sections 6 and 7.3.

use std::fmt::Write as _;

use greylist::Secs;

use super::columns::printable;
use super::output::{Form, Talk};
use super::stats::mebibytes;
use super::{ask, right_aligned, rules, table, tuples};
use crate::cli::show::WhichTuples;
use crate::cli::{ListWord, ShowCommand, TupleFormat, TuplesArgs};
use crate::command::Failure;
use crate::control::{ConfigShown, Request, RuleShown, RulesWanted, StateWanted, Stats, client};
use crate::metrics::XGreyStats;
use crate::thousands::thousands;

/// Shows it.
pub(super) fn run(talk: &mut Talk<'_>, what: ShowCommand) -> Result<(), Failure> {
    if let Some(word) = what.list() {
        return list(talk, word);
    }
    match what {
        ShowCommand::Config => ask(talk, &Request::Config, config),
        ShowCommand::Stats => {
            let answered: Stats = client::ask(talk.socket, &Request::Stats)?;
            talk.answer(&answered.x_grey, || stats(&answered))
        }
        ShowCommand::Tuples { which } => {
            let state = match which {
                None => Some(StateWanted::Grey),
                Some(WhichTuples::All) => None,
                Some(WhichTuples::Whitelist) => Some(StateWanted::White),
            };
            let format = match talk.form {
                Form::Sentences => TupleFormat::Table,
                Form::Json => TupleFormat::Json,
            };
            tuples::run(talk, &TuplesArgs { state, all: true, ..TuplesArgs::default() }, format)
        }
        ShowCommand::W => talk.say(WARRANTY),
        _ => talk.say(CONDITIONS),
    }
}

const WARRANTY: &str = "\
There is no warranty of any kind: see LICENSE-MIT and LICENSE-APACHE, which come with xgrey.
";

const CONDITIONS: &str = "\
You may use, copy, change and give away xgrey under the MIT License or the Apache License 2.0, as you \
like: see LICENSE-MIT and LICENSE-APACHE, which come with it.
";

fn config(config: &ConfigShown) -> String {
    let mut shown = table(["setting", "", "in X-Grey's words"]);
    let time = |seconds: u32| Secs::new(seconds).to_string();
    for (what, value, theirs) in [
        ("room for about so many tuples", thousands(config.tuples_max), "Max-Tuples"),
        ("in so much memory", mebibytes(config.memory_bytes_max), ""),
        ("counted in cycles of", time(config.cleanup_seconds), "Timeout-Cleanup"),
        ("embargo", time(config.embargo_seconds), "Timeout-Embargo"),
        ("window, from the first try", time(config.window_seconds), "Timeout-Greylist"),
        ("lifetime, from the last use", time(config.lifetime_seconds), "Timeout-Whitelist"),
        ("mode", config.mode.clone(), ""),
    ] {
        shown.add_row([what, &value, theirs]);
    }
    right_aligned(shown, &[1])
}

/// One of the blocks of `show stats`: its name, and its counts.
type Block<'a> = (&'a str, &'a [(&'a str, u64)]);

fn stats(stats: &Stats) -> String {
    let Stats { x_grey, started, now, uptime_seconds, .. } = stats;
    let running = Secs::new(u32::try_from(*uptime_seconds).unwrap_or(u32::MAX));
    let mut out = format!("from {started} to {now}, running for {running}\n");
    for (name, rows) in &blocks(x_grey) {
        let _ = writeln!(out);
        out += &block((name, rows));
    }
    out
}

fn block((name, rows): Block<'_>) -> String {
    let mut shown = table([name, ""]);
    for (what, count) in rows {
        shown.add_row([*what, &thousands(*count)]);
    }
    right_aligned(shown, &[1])
}

/// X-Grey's blocks, in its order.
fn blocks(s: &XGreyStats) -> [(&'static str, Vec<(&'static str, u64)>); 8] {
    let list = |entries, greylisted, accepted, rejected| {
        vec![
            ("entries, the default included", entries),
            ("greylisted", greylisted),
            ("accepted", accepted),
            ("rejected", rejected),
        ]
    };
    [
        (
            "requests",
            vec![
                ("since the start", s.requests),
                ("in the last cycle", s.requests_cu),
                ("most in a cycle", s.requests_cu_max),
                ("a cycle, in the mean", s.requests_cu_ave),
            ],
        ),
        (
            "tuples, looked up and stored",
            vec![
                ("fewest", s.tuples_low),
                ("most", s.tuples_high),
                ("looked up", s.tuples_read),
                ("looked up in the last cycle", s.tuples_read_cu),
                ("looked up, most in a cycle", s.tuples_read_cu_max),
                ("stored", s.tuples_write),
                ("stored in the last cycle", s.tuples_write_cu),
                ("stored, most in a cycle", s.tuples_write_cu_max),
            ],
        ),
        ("iplist", list(s.ips, s.ip_greylist, s.ip_accept, s.ip_reject)),
        ("from", list(s.from, s.from_greylist, s.from_accept, s.from_reject)),
        ("from-domain", list(s.fromd, s.fromd_greylist, s.fromd_accept, s.fromd_reject)),
        ("to", list(s.to, s.to_greylist, s.to_accept, s.to_reject)),
        ("to-domain", list(s.tod, s.tod_greylist, s.tod_accept, s.tod_reject)),
        (
            "tuples",
            vec![
                ("now", s.tuples),
                ("greylisted", s.greylisted),
                ("greylisted that expired", s.greylist_expired),
                ("whitelisted now", s.whitelisted),
                ("whitelisted that expired", s.whitelist_expired),
            ],
        ),
    ]
}

/// A list as X-Grey shows it, count and action first; and what it does not know: where each rule
/// comes from, since when, and when it matched last.
fn list(talk: &mut Talk<'_>, word: ListWord) -> Result<(), Failure> {
    let wanted = RulesWanted { list: Some(word.list.word().to_owned()), live: false };
    let rules = rules::listed(talk.socket, wanted)?;
    talk.answer(&rules, || listed(&rules))
}

fn listed(rules: &[RuleShown]) -> String {
    let mut shown = table(["hits", "action", "entry", "last hit", "origin", "since", "by"]);
    for rule in rules {
        let action = if rule.removed { "(removed)" } else { &rule.verdict };
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        shown.add_row([
            &thousands(rule.hits),
            action,
            &printable(&rule.pattern),
            &text(&rule.last_hit),
            &text(&rule.origin),
            &text(&rule.since),
            &text(&rule.by),
        ]);
    }
    right_aligned(shown, &[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_units_and_x_greys_names() {
        insta::assert_snapshot!(config(&ConfigShown {
            mode: "enforce".to_owned(),
            tuples_max: 741_000_000,
            memory_bytes_max: 6 << 30,
            cleanup_seconds: 300,
            embargo_seconds: 1_500,
            window_seconds: 21_600,
            lifetime_seconds: 3_110_400,
        }));
    }

    #[test]
    fn a_list_shows_what_x_grey_shows_and_where_rules_come_from() {
        let rule = |hits, verdict: &str, pattern: &str| RuleShown {
            list: "recipient".to_owned(),
            verdict: verdict.to_owned(),
            pattern: pattern.to_owned(),
            default: false,
            hits,
            last_hit: None,
            origin: Some("rules.d/10-local.rules:3".to_owned()),
            since: None,
            by: None,
            removed: false,
        };
        let live = RuleShown {
            last_hit: Some("2026-11-24T12:34:56Z".to_owned()),
            origin: Some("live".to_owned()),
            since: Some("2026-11-24T12:00:00Z".to_owned()),
            by: Some("uid 0".to_owned()),
            ..rule(12_345, "accept", "=Bob@example.org")
        };
        let removed = RuleShown { removed: true, ..rule(0, "reject", "eve@example.org") };
        let default = RuleShown {
            default: true,
            origin: Some("built-in".to_owned()),
            ..rule(1_000_000, "greylist", "default")
        };
        insta::assert_snapshot!(listed(&[live, removed, rule(7, "accept", "/^a/"), default]));
    }

    #[test]
    fn counts_stand_in_x_greys_blocks() {
        // Each count is its place among the 41, so that one that stands elsewhere is seen.
        let fields: Vec<String> = serde_json::to_value(XGreyStats::default())
            .unwrap()
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        let numbered: serde_json::Map<String, serde_json::Value> = fields
            .iter()
            .zip(1_001..)
            .map(|(name, number)| (name.clone(), number.into()))
            .collect();
        let numbered: XGreyStats = serde_json::from_value(numbered.into()).unwrap();
        let shown = blocks(&numbered).map(|(name, rows)| block((name, &rows)));
        insta::assert_snapshot!(shown.join("\n"));
    }
}
