//! Lengths of time, as they are written (`90s`, `5m`, `6h`, `36d`, `1h30m`) and as they are said.

use greylist::Secs;

use super::mistake::Mistake;

/// One unit of time.
struct Unit {
    letter: char,
    secs: u64,
    name: &'static str,
    /// What people write for it elsewhere; understood to guess what was meant, not accepted.
    words: &'static [&'static str],
}

/// The largest first.
const UNITS: [Unit; 4] = [
    Unit { letter: 'd', secs: 86_400, name: "day", words: &["d", "days", "day"] },
    Unit { letter: 'h', secs: 3_600, name: "hour", words: &["h", "hours", "hour", "hrs", "hr"] },
    Unit {
        letter: 'm',
        secs: 60,
        name: "minute",
        words: &["m", "minutes", "minute", "mins", "min"],
    },
    Unit {
        letter: 's',
        secs: 1,
        name: "second",
        words: &["s", "seconds", "second", "secs", "sec", ""],
    },
];

/// Reads a length of time as a flag of the command line gives it.
///
/// # Errors
/// When it is none; in words.
pub fn length_of_time(text: &str) -> Result<Secs, String> {
    parse(text).map_err(|Mistake { what, help }| match help {
        Some(help) => format!("{what}: {help}"),
        None => what,
    })
}

/// Reads a length of time: whole numbers, each with its unit, the largest unit first.
pub(super) fn parse(text: &str) -> Result<Secs, Mistake> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut below = u64::MAX;
    while !rest.is_empty() || text.is_empty() {
        let (number, after) = split_number(rest);
        let unit = UNITS.iter().find(|unit| after.starts_with(unit.letter));
        let Some(unit) = unit.filter(|unit| !number.is_empty() && unit.secs < below) else {
            return Err(not_a_time(text));
        };
        let part = number.parse().map_or(u64::MAX, |count: u64| count.saturating_mul(unit.secs));
        total = total.saturating_add(part);
        (rest, below) = (&after[1..], unit.secs);
    }
    let too_long = |_| Mistake::new("too long", "the longest time is \"49710d\", 136 years");
    u32::try_from(total).map(Secs::new).map_err(too_long)
}

/// The digits that `text` begins with, and the rest.
fn split_number(text: &str) -> (&str, &str) {
    text.split_at(text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len())
}

/// Says what to write instead: in the value's own terms, if it can be guessed what was meant.
fn not_a_time(text: &str) -> Mistake {
    let (number, word) = split_number(text.trim());
    let word = word.trim().to_ascii_lowercase();
    let unit = UNITS.iter().find(|unit| unit.words.contains(&&*word));
    let (count, unit) = number.parse().ok().zip(unit).unwrap_or((5, &UNITS[2]));
    let mut help = format!("use a number and a unit, such as \"{count}{}\"", unit.letter);
    if unit.secs > 1 {
        help.push_str(&format!(" or \"{}s\"", u64::saturating_mul(count, unit.secs)));
    }
    Mistake::new("not a length of time", help)
}

/// The shortest way to write `secs`: `1h30m`.
pub(super) fn written(secs: Secs) -> String {
    parts(secs).map(|(count, unit)| format!("{count}{}", unit.letter)).collect()
}

/// As a person says it, exactly: `1 hour 30 minutes`.
pub(super) fn spoken(secs: Secs) -> String {
    let said = parts(secs).map(|(count, unit)| {
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} {}{plural}", unit.name)
    });
    said.collect::<Vec<_>>().join(" ")
}

/// The units that `secs` is made of; no time at all is no seconds.
fn parts(secs: Secs) -> impl Iterator<Item = (u64, &'static Unit)> {
    let mut left = u64::from(secs.get());
    let nothing = left == 0;
    UNITS.iter().filter_map(move |unit| {
        let count = left / unit.secs;
        left %= unit.secs;
        (count > 0 || (nothing && unit.secs == 1)).then_some((count, unit))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_of_time_is_numbers_with_units_the_largest_first() {
        for (text, secs, said) in [
            ("0s", 0, "0 seconds"),
            ("90s", 90, "1 minute 30 seconds"),
            ("5m", 300, "5 minutes"),
            ("6h", 21_600, "6 hours"),
            ("36d", 3_110_400, "36 days"),
            ("1h30m", 5_400, "1 hour 30 minutes"),
            ("1d1h1m1s", 90_061, "1 day 1 hour 1 minute 1 second"),
            ("49710d", 49_710 * 86_400, "49710 days"),
        ] {
            assert_eq!(parse(text), Ok(Secs::new(secs)), "{text}");
            assert_eq!(spoken(Secs::new(secs)), said);
        }
    }

    #[test]
    fn what_is_not_a_length_of_time_is_refused_with_what_was_probably_meant() {
        for (text, meant) in [
            ("5 mins", "\"5m\" or \"300s\""),
            ("5 Minutes", "\"5m\" or \"300s\""),
            ("2 hours", "\"2h\" or \"7200s\""),
            ("60", "\"60s\""),
            ("7days", "\"7d\" or \"604800s\""),
            ("", "\"5m\" or \"300s\""),
            ("m", "\"5m\" or \"300s\""),
            ("-5m", "\"5m\" or \"300s\""),
            ("1.5h", "\"5m\" or \"300s\""),
            ("30m1h", "\"5m\" or \"300s\""),
            ("5m5m", "\"5m\" or \"300s\""),
            ("5µ", "\"5m\" or \"300s\""),
            ("99999999999999999999 hours", "\"5m\" or \"300s\""),
        ] {
            let help = parse(text).unwrap_err().help.unwrap();
            assert_eq!(help, format!("use a number and a unit, such as {meant}"), "{text}");
        }
        for text in ["49711d", "99999999999999999999h", "4294967295s1s", "49710d23h59m59s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_length_of_time_is_read_back_as_it_was_written(secs: u32) {
            prop_assert_eq!(parse(&written(Secs::new(secs))), Ok(Secs::new(secs)));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".*") {
            let _ = parse(&text);
        }
    }
}
