//! greylistd's reports, as it writes them: statistics, statistics for MRTG, a listing of tuples.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;

use greylist::Secs;

use super::List;

/// What is on one list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Tuples there now.
    pub items: u64,
    /// Requests that were answered by it.
    pub requests: u64,
}

/// What [`encode_stats`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats<'a> {
    /// Since when requests are counted, as `asctime(3)` writes it.
    pub since: &'a str,
    /// How long that is.
    pub counted_for: Secs,
    /// White, grey and black, as in [`List::ALL`].
    pub held: [Held; 3],
    /// Grey tuples that became white.
    pub passed: u64,
    /// Grey tuples that expired.
    pub expired: u64,
}

/// Appends the answer to `stats`.
pub fn encode_stats(stats: &Stats<'_>, out: &mut Vec<u8>) {
    let mut head = format!("Statistics since {} (", stats.since);
    write_age(stats.counted_for, &mut head);
    head.push_str(" ago)");
    // Writing to a `Vec` or a `String` cannot fail.
    let _ = writeln!(out, "{head}\n{:-<1$}", "", head.len());
    let widest = |number: fn(&Held) -> u64| {
        let widest = stats.held.iter().map(number).max().unwrap_or_default();
        widest.checked_ilog10().unwrap_or_default() as usize + 1
    };
    let (items, requests) = (widest(|held| held.items), widest(|held| held.requests));
    for (list, held) in List::ALL.into_iter().zip(&stats.held) {
        let _ = writeln!(
            out,
            "{:items$} items, matching {:requests$} requests, are currently {}listed",
            held.items,
            held.requests,
            list.word()
        );
    }
    let gone = stats.passed.saturating_add(stats.expired);
    if gone > 0 {
        let _ = writeln!(out, "\nOf {gone} items that were initially greylisted:");
        let width = gone.ilog10() as usize + 1;
        for (count, became) in
            [(stats.passed, "became whitelisted"), (stats.expired, "expired from the greylist")]
        {
            #[expect(clippy::cast_precision_loss, reason = "a share with one decimal")]
            let share = 100.0 * count as f64 / gone as f64;
            let _ = writeln!(out, " - {count:width$} ({share:5.1}%) {became}");
        }
    }
}

/// Appends the answer to `mrtg`: the count for the first line, the count for the second, how long
/// they have been counted, and whose they are.
pub fn encode_mrtg(counts: [u64; 2], counted_for: Secs, host: &str, out: &mut Vec<u8>) {
    let mut age = String::new();
    write_age(counted_for, &mut age);
    let [grey, white] = counts;
    let _ = writeln!(out, "{grey}\n{white}\n{age}\n{host}");
}

/// Appends what stands above a list's tuples.
pub fn encode_head(list: List, out: &mut Vec<u8>) {
    let title = match list {
        List::White => "Whitelist data:",
        List::Grey => "Greylist data:",
        List::Black => "Blacklist data:",
    };
    let _ = writeln!(out, "\n{title}\n{:=<1$}", "", title.len());
    let _ = writeln!(out, "  Last Seen            Count  Data");
}

/// One line of a listing.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// When the tuple was last of use: `2026-11-24 15:48:09`.
    pub seen: &'a str,
    /// The client.
    pub client: IpAddr,
    /// The sender; empty for none.
    pub sender: &'a [u8],
    /// The recipient.
    pub recipient: &'a [u8],
}

/// Appends a line of a listing. We keep no count for a tuple, so there is a `-`.
/// Control characters in addresses become `?`.
pub fn encode_line(line: &Line<'_>, out: &mut Vec<u8>) {
    let Line { seen, client, sender, recipient } = line;
    let _ = write!(out, "  {seen} {:>6}  {client}", "-");
    for address in [*sender, *recipient] {
        if !address.is_empty() {
            out.push(b' ');
            let cleaned = |&byte: &u8| if byte.is_ascii_control() { b'?' } else { byte };
            out.extend(address.iter().map(cleaned));
        }
    }
    out.push(b'\n');
}

/// A time span in its two largest units: `1 minute and 3 seconds`. Nothing is `0 second`, as
/// greylistd says it.
fn write_age(age: Secs, out: &mut String) {
    const UNITS: [(u32, &str); 4] =
        [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let mut left = age.get();
    let first = UNITS.iter().position(|&(secs, _)| secs <= left).unwrap_or(UNITS.len() - 1);
    let mut written = 0;
    for &(secs, unit) in UNITS[first..].iter().take(2) {
        let count = left / secs;
        left %= secs;
        if count > 0 || written == 0 {
            let and = if written > 0 { " and " } else { "" };
            let plural = if count > 1 { "s" } else { "" };
            let _ = write!(out, "{and}{count} {unit}{plural}");
            written += 1;
        }
    }
}
