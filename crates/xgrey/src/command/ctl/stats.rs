//! `xgrey ctl stats`: what has been counted, as tables. `docs/statistics.md` says what each number means.

use std::fmt::Write as _;

use greylist::Secs;

use super::{right_aligned, table};
use crate::control::{Counted, DiskStats, Rate, Stats, TupleCounts};
use crate::thousands::thousands;

/// All of it.
pub(super) fn show(stats: &Stats) -> String {
    let parts = [
        heading(stats),
        decisions(stats),
        greylisting(stats),
        waits(stats),
        rates(&stats.rates),
        lists(stats),
        tuples(stats),
        gone(stats),
        disk(&stats.disk),
        events(stats),
    ];
    parts.join("\n")
}

fn heading(stats: &Stats) -> String {
    let mut out = format!(
        "xgrey {}, mode {}, up {}, {} connections\nstarted {}\n",
        stats.version,
        stats.mode,
        secs(stats.uptime_seconds),
        thousands(stats.connections),
        stats.started,
    );
    let ever = &stats.since_ever;
    match &ever.since {
        Some(since) => {
            let starts = counted_in_words(ever.starts, "start", "starts");
            let _ = write!(out, "counting ever since {since}, over {starts}");
            if ever.imported_from > 0 {
                let states = counted_in_words(ever.imported_from, "state", "states");
                let _ = write!(out, "; added is what {states} had counted that were imported");
            }
            out.push('\n');
        }
        None => out += "nothing is kept on disk: ever is since the start\n",
    }
    out
}

fn counted_in_words(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(count), if count == 1 { one } else { many })
}

fn decisions(stats: &Stats) -> String {
    let both = [&stats.since_start, &stats.since_ever.counted];
    let [start, ever] = both;
    let mut shown = table(["answer", "reason", "since start", "share", "since ever", "share"]);
    let mut row = |action: &str, reason: &str, counts: [u64; 2]| {
        if counts[1] > 0 {
            let [of_start, of_ever] = [(counts[0], start), (counts[1], ever)]
                .map(|(count, of)| share(count, of.requests));
            let [start, ever] = counts.map(thousands);
            shown.add_row([action, reason, &start, &of_start, &ever, &of_ever]);
        }
    };
    let kinds = start.decisions.iter().zip(&ever.decisions);
    let (accepted, others): (Vec<_>, Vec<_>) = kinds.partition(|(kind, _)| kind.action == "accept");
    for (kind, total) in accepted {
        row(&kind.action, &kind.reason, [kind.count, total.count]);
    }
    row("accept", "asked-to-pass", both.map(|counted| counted.tuples.asked_to_pass));
    for (kind, total) in others {
        row(&kind.action, &kind.reason, [kind.count, total.count]);
    }
    shown.add_row(["all", "", &thousands(start.requests), "", &thousands(ever.requests), ""]);
    right_aligned(shown, &[2, 3, 4, 5])
}

/// What greylisting has done.
fn greylisting(stats: &Stats) -> String {
    let mut shown = table(["greylisting", "since start", "of first tries", "since ever", ""]);
    let both = [&stats.since_start, &stats.since_ever.counted];
    let mut row = |what: &str, count: fn(&Counted) -> u64| {
        let [start, ever] = both.map(count);
        let [of_start, of_ever] = both.map(|counted| share(count(counted), counted.first_tries));
        shown.add_row([what, &thousands(start), &of_start, &thousands(ever), &of_ever]);
    };
    row("first tries, deferred", |counted| counted.first_tries);
    row("passed by a retry", |counted| counted.passed);
    row("never came back in time: stopped", |counted| counted.never_came_back);
    row("retries that came too early", |counted| counted.early_retries);
    right_aligned(shown, &[1, 2, 3, 4])
}

/// How long those that passed had waited, up to the longest wait that there was.
fn waits(stats: &Stats) -> String {
    let both = [&stats.since_start, &stats.since_ever.counted];
    let mut shown = table(["passed after", "since start", "share", "since ever", "share"]);
    let [start, ever] = both.map(|counted| &counted.waits.spread);
    let rows = ever.iter().rposition(|wait| wait.passed > 0).map_or(0, |last| last + 1);
    let mut shortest = None;
    for (start, ever) in start.iter().zip(ever).take(rows) {
        let longest = start.up_to_seconds.map(Secs::new);
        let what = match (shortest, longest) {
            (_, Some(longest)) => format!("up to {longest}"),
            (Some(shortest), None) => format!("more than {shortest}"),
            (None, None) => "any time".to_owned(),
        };
        shortest = longest;
        let [of_start, of_ever] = both.map(|counted| counted.passed);
        shown.add_row([
            &what,
            &thousands(start.passed),
            &share(start.passed, of_start),
            &thousands(ever.passed),
            &share(ever.passed, of_ever),
        ]);
    }
    let mean = |counted: &Counted| match counted.waits.seconds.checked_div(counted.passed) {
        Some(mean) => secs(mean).to_string(),
        None => "none yet".to_owned(),
    };
    let [start, ever] = both.map(mean);
    shown.add_row(["in the mean", &start, "", &ever, ""]);
    right_aligned(shown, &[1, 2, 3, 4])
}

fn rates(rates: &[Rate]) -> String {
    let head = ["queries in a", "last", "accepted", "deferred", "rejected", "highest", "at"];
    let mut shown = table(head);
    for Rate { per, last, highest, highest_at } in rates {
        shown.add_row([
            per,
            &thousands(last.requests),
            &thousands(last.accepted),
            &thousands(last.deferred),
            &thousands(last.rejected),
            &thousands(highest.requests),
            highest_at.as_deref().unwrap_or(""),
        ]);
    }
    right_aligned(shown, &[1, 2, 3, 4, 5])
}

fn lists(stats: &Stats) -> String {
    let head = ["list", "greylist", "accept", "reject", "ever greylist", "accept", "reject"];
    let mut shown = table(head);
    for (start, ever) in stats.since_start.lists.iter().zip(&stats.since_ever.counted.lists) {
        shown.add_row([
            &start.list,
            &thousands(start.greylist),
            &thousands(start.accept),
            &thousands(start.reject),
            &thousands(ever.greylist),
            &thousands(ever.accept),
            &thousands(ever.reject),
        ]);
    }
    right_aligned(shown, &[1, 2, 3, 4, 5, 6])
}

fn tuples(stats: &Stats) -> String {
    let mut shown = table(["tuples now", ""]);
    let (tuples, counts) = (&stats.tuples, &stats.x_grey);
    for (what, value) in [
        ("grey: tried, not yet passed", thousands(tuples.grey)),
        ("white: passed", thousands(tuples.white)),
        ("most at once, since start", thousands(counts.tuples_high)),
        ("memory of the table", mebibytes(tuples.bytes)),
        ("at most", mebibytes(tuples.bytes_max)),
        ("huge pages", tuples.huge_pages.clone()),
    ] {
        shown.add_row([what, &value]);
    }
    right_aligned(shown, &[1])
}

/// What became of tuples; of what is done rarely, only what has been done.
fn gone(stats: &Stats) -> String {
    let mut shown = table(["tuples", "since start", "since ever"]);
    let (start, ever) = (&stats.since_start, &stats.since_ever.counted);
    let mut row = |what: &str, start: u64, ever: u64| {
        shown.add_row([what, &thousands(start), &thousands(ever)]);
    };
    let rows: [(&str, fn(&TupleCounts) -> u64); 4] = [
        ("expired grey: never came back in time", |tuples| tuples.expired_grey),
        ("expired white: not used any more", |tuples| tuples.expired_white),
        ("grey forgotten for want of room", |tuples| tuples.evicted_grey),
        ("white forgotten for want of room", |tuples| tuples.evicted_white),
    ];
    for (what, count) in rows {
        row(what, count(&start.tuples), count(&ever.tuples));
    }
    let no_room = |counted: &Counted| {
        let kinds = counted.decisions.iter().filter(|kind| kind.reason == "no-room");
        kinds.map(|kind| kind.count).sum()
    };
    row("first tries accepted for want of room", no_room(start), no_room(ever));
    let rare: [(&str, fn(&TupleCounts) -> u64); 3] = [
        ("made white by hand", |tuples| {
            tuples.passed_unknown + tuples.passed_grey + tuples.passed_white
        }),
        ("forgotten by hand", |tuples| tuples.forgotten_grey + tuples.forgotten_white),
        ("new by an import", |tuples| tuples.imported),
    ];
    for (what, count) in rare {
        if count(&ever.tuples) > 0 {
            row(what, count(&start.tuples), count(&ever.tuples));
        }
    }
    right_aligned(shown, &[1, 2])
}

fn disk(disk: &DiskStats) -> String {
    let mut shown = table(["on disk", ""]);
    let mut row = |what: &str, value: String| {
        shown.add_row([what, &value]);
    };
    row("journal", disk.journal.clone());
    if disk.journal_fault.is_some() {
        row("changes in memory alone", thousands(disk.changes_not_kept));
    }
    if disk.journal != "off" {
        row("changes ever", thousands(disk.changes));
        row("times that it failed since the start", thousands(disk.faults));
        row("written since the start", mebibytes(disk.bytes_written));
        row("to be read at a start, beside the snapshot", mebibytes(disk.tail_bytes));
    }
    if let (Some(bytes), Some(age)) = (disk.snapshot_bytes, disk.snapshot_age_seconds) {
        row("last snapshot", mebibytes(bytes));
        row("taken", format!("{} ago", secs(age)));
    }
    row("addresses of tuples", disk.text.clone());
    if disk.text != "off" {
        row("they take", mebibytes(disk.text_bytes));
        row("at most", mebibytes(disk.text_bytes_max));
        row("dropped", thousands(disk.text_dropped));
    }
    let mut out = right_aligned(shown, &[1]);
    let faults = [&disk.journal_fault, &disk.snapshot_fault, &disk.text_fault];
    for fault in faults.into_iter().flatten() {
        let _ = writeln!(out, "! {fault}");
    }
    out
}

fn events(stats: &Stats) -> String {
    let mut shown = table(["events", "since start", "since ever"]);
    for (start, ever) in stats.since_start.events.iter().zip(&stats.since_ever.counted.events) {
        let what = start.event.replace('_', " ");
        shown.add_row([&what, &thousands(start.count), &thousands(ever.count)]);
    }
    right_aligned(shown, &[1, 2])
}

/// 12.3 %, or nothing of nothing.
fn share(part: u64, whole: u64) -> String {
    if whole == 0 { String::new() } else { format!("{:.1} %", 100.0 * part as f64 / whole as f64) }
}

fn secs(secs: u64) -> Secs {
    Secs::new(u32::try_from(secs).unwrap_or(u32::MAX))
}

/// 12.3 MiB.
fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) / (1024 * 1024);
    format!("{}.{} MiB", thousands(tenths / 10), tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{
        DecisionCount, EventCount, ListCount, RateCount, SinceEver, TupleStats, WaitCount, Waits,
    };
    use crate::metrics::XGreyStats;

    /// Counts that add up, `times` of each.
    fn counted(times: u64) -> Counted {
        let decision = |action: &str, reason: &str, count: u64| DecisionCount {
            action: action.to_owned(),
            reason: reason.to_owned(),
            count: count * times,
        };
        let list = |list: &str, greylist: u64, accept: u64, reject: u64| ListCount {
            list: list.to_owned(),
            greylist: greylist * times,
            accept: accept * times,
            reject: reject * times,
        };
        let spread = [(Some(60), 1_000), (Some(120), 8_000), (Some(300), 2_900), (None, 100)];
        let spread = spread
            .map(|(up_to_seconds, passed)| WaitCount { up_to_seconds, passed: passed * times });
        Counted {
            requests: 1_600_000 * times,
            accepted: 1_249_567 * times,
            deferred: 345_678 * times,
            rejected: 4_755 * times,
            first_tries: 300_000 * times,
            early_retries: 45_678 * times,
            passed: 12_000 * times,
            never_came_back: 280_000 * times,
            decisions: vec![
                decision("accept", "passed", 12_000),
                decision("accept", "known", 1_234_567),
                decision("accept", "no-room", 0),
                decision("defer", "new", 300_000),
                decision("defer", "early", 45_678),
                decision("reject", "rule", 4_755),
            ],
            waits: Waits { seconds: 1_500_000 * times, spread: spread.into() },
            lists: vec![
                list("client", 1_594_245, 1_000, 4_755),
                list("client-name", 900_000, 2_000, 0),
            ],
            tuples: TupleCounts {
                expired_grey: 280_000 * times,
                expired_white: 99 * times,
                evicted_grey: 7 * times,
                evicted_white: 0,
                passed_unknown: times,
                passed_grey: 0,
                passed_white: 0,
                forgotten_unknown: 0,
                forgotten_grey: times - 1,
                forgotten_white: 0,
                imported: 0,
                asked_to_pass: 3_000 * times,
            },
            events: vec![EventCount { event: "half_sent".to_owned(), count: 3 * times }],
        }
    }

    fn stats() -> Stats {
        let since_start = counted(1);
        let rate = |per: &str, last, highest, highest_at: Option<&str>| Rate {
            per: per.to_owned(),
            last: RateCount { requests: last, accepted: last - 1, deferred: 1, rejected: 0 },
            highest: RateCount { requests: highest, accepted: highest, ..RateCount::default() },
            highest_at: highest_at.map(str::to_owned),
        };
        Stats {
            version: "1.2.3".to_owned(),
            uptime_seconds: 7 * 86_400,
            mode: "enforce".to_owned(),
            decisions: since_start.decisions.clone(),
            events: since_start.events.clone(),
            connections: 100,
            tuples: TupleStats {
                grey: 345_678,
                white: 12_345,
                bytes: 5_000_000,
                bytes_max: 6 << 30,
                huge_pages: "in use".to_owned(),
                expired: 280_099,
                expired_grey: 280_000,
                expired_white: 99,
                evicted_grey: 7,
                evicted_white: 0,
                no_room: 0,
            },
            disk: DiskStats {
                journal: "down".to_owned(),
                journal_fault: Some(
                    "cannot write to journal-00000000000000012345.seg: No space left on device \
                     (os error 28)"
                        .to_owned(),
                ),
                changes_not_kept: 1_234,
                faults: 1,
                changes: 7_654_321,
                bytes_written: 92_000_000,
                syncs: 1_000,
                tail_bytes: 12_000_000,
                snapshot_age_seconds: Some(3_600),
                snapshot_bytes: Some(50_000_000),
                snapshot_fault: None,
                text: "kept".to_owned(),
                text_bytes: 300_000_000,
                text_bytes_max: 1 << 30,
                text_dropped: 0,
                text_fault: None,
            },
            started: "2026-11-17T05:30:00Z".to_owned(),
            now: "2026-11-24T05:30:00Z".to_owned(),
            since_start,
            since_ever: SinceEver {
                since: Some("2026-01-01T00:00:00Z".to_owned()),
                starts: 12,
                imported_from: 0,
                counted: counted(10),
            },
            rates: vec![
                rate("second", 12, 1_234, Some("2026-11-20T09:00:07Z")),
                rate("minute", 700, 54_321, Some("2026-11-20T09:00:00Z")),
                rate("hour", 50_000, 654_321, None),
            ],
            x_grey: XGreyStats { tuples_high: 400_000, ..XGreyStats::default() },
        }
    }

    #[test]
    fn stats_show_what_happened_with_shares_and_units() {
        insta::assert_snapshot!(show(&stats()));
    }

    #[test]
    fn a_service_that_nobody_has_asked_yet_shows_no_shares_of_nothing() {
        let stats = Stats {
            since_start: Counted::default(),
            since_ever: SinceEver { starts: 1, ..SinceEver::default() },
            rates: Vec::new(),
            ..stats()
        };
        let shown = show(&stats);
        assert!(!shown.contains("NaN") && !shown.contains('%'), "{shown}");
        let head = shown.lines().nth(2);
        assert_eq!(head, Some("nothing is kept on disk: ever is since the start"));
    }

    #[test]
    fn what_imports_brought_is_said() {
        let ever = SinceEver { imported_from: 2, starts: 1, ..stats().since_ever };
        let head = heading(&Stats { since_ever: ever, ..stats() });
        let last = "counting ever since 2026-01-01T00:00:00Z, over 1 start; added is what 2 states had \
                    counted that were imported";
        assert_eq!(head.lines().last(), Some(last));
    }

    /// Notes each name in `json` that `text` has not.
    fn unsaid(json: &serde_json::Value, text: &str, out: &mut Vec<String>) {
        match json {
            serde_json::Value::Object(fields) => {
                for (name, value) in fields {
                    if !text.contains(&format!("`{name}`")) && !text.contains(&format!(".{name}`")) {
                        out.push(name.clone());
                    }
                    unsaid(value, text, out);
                }
            }
            serde_json::Value::Array(entries) => {
                entries.iter().for_each(|entry| unsaid(entry, text, out));
            }
            _ => {}
        }
    }

    #[test]
    fn the_documentation_says_what_each_number_means() {
        let text = include_str!("../../../../../docs/statistics.md");
        let mut missing = Vec::new();
        unsaid(&serde_json::to_value(stats()).unwrap(), text, &mut missing);
        let words = crate::metrics::Event::ALL.map(|(_, word)| word);
        let words = words.into_iter().chain(crate::metrics::KINDS.map(|(_, reason)| reason));
        missing.extend(words.filter(|word| !text.contains(&format!("`{word}`"))).map(str::to_owned));
        assert_eq!(missing, [""; 0]);
    }

    /// Scripts rely on the names.
    #[test]
    fn json_has_all_numbers_under_names_that_stay() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&stats()).unwrap());
    }
}
