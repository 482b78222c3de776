//! Amounts of memory, as they are written (`512MiB`, `16KiB`, `6GB`, `65536`) and as they are said.

use std::fmt;

use super::mistake::Mistake;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl Bytes {
    /// That many KiB (1,024 bytes each).
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// That many MiB (1,048,576 bytes each).
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// That many GiB (1,073,741,824 bytes each).
    pub const fn gib(count: u64) -> Self {
        Self(count << 30)
    }

    /// That many TiB (1,099,511,627,776 bytes each).
    pub const fn tib(count: u64) -> Self {
        Self(count << 40)
    }
}

/// Names of units and their bytes; the largest that divides a number is the one to say it in.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

/// As it is written in a configuration: `512MiB`; bytes if no larger unit divides it.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit =
            UNITS.iter().find(|(_, bytes)| self.0 >= *bytes && self.0.is_multiple_of(*bytes));
        match unit {
            Some((name, bytes)) if *bytes > 1 => write!(f, "{}{name}", self.0 / bytes),
            _ => write!(f, "{} bytes", self.0),
        }
    }
}

/// Reads an amount: a whole number (`_` between digits is allowed, as in TOML), and a unit unless
/// it is bytes. Capitals do not matter.
pub(super) fn parse(text: &str) -> Result<Bytes, Mistake> {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_');
    let (number, unit) = text.split_at(text.len() - digits.len());
    let bytes = match unit {
        "" => Some(1),
        unit => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|found| found.1),
    };
    let tidy = !number.starts_with('_') && !number.ends_with('_') && !number.contains("__");
    let Some(bytes) = bytes.filter(|_| tidy && !number.is_empty()) else {
        return Err(not_a_size(text));
    };
    let amount = number.replace('_', "").parse().ok().and_then(|n: u64| n.checked_mul(bytes));
    amount.map(Bytes).ok_or_else(|| Mistake::new("too much", "no machine has that many bytes"))
}

/// Says what to write instead: in the value's own terms, if it can be guessed what was meant.
fn not_a_size(text: &str) -> Mistake {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let count: u64 = number.parse().unwrap_or(512);
    let word = unit.trim();
    let first = word.chars().next().map(|first| first.to_ascii_uppercase());
    let (count, unit) = match first {
        Some(first @ ('K' | 'M' | 'G' | 'T'))
            if !number.is_empty() && word.chars().all(|c| c.is_ascii_alphabetic()) =>
        {
            (count, first)
        }
        _ => (512, 'M'),
    };
    let help =
        format!("use a number and a unit, such as \"{count}{unit}iB\" or \"{count}{unit}B\"");
    Mistake::new("not a size", help)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_size_is_a_number_and_a_unit_or_plain_bytes() {
        for (text, bytes, said) in [
            ("0", 0, "0 bytes"),
            ("65536", 65_536, "64KiB"),
            ("65_537", 65_537, "65537 bytes"),
            ("16KiB", 16 << 10, "16KiB"),
            ("512MiB", 512 << 20, "512MiB"),
            ("1GiB", 1 << 30, "1GiB"),
            ("18GB", 18_000_000_000, "18GB"),
            ("2TiB", 2 << 40, "2TiB"),
            ("1_024kb", 1_024_000, "1000KiB"),
            ("7B", 7, "7 bytes"),
        ] {
            assert_eq!(parse(text), Ok(Bytes(bytes)), "{text}");
            assert_eq!(Bytes(bytes).to_string(), said);
        }
    }

    #[test]
    fn what_is_not_a_size_is_refused_with_what_was_probably_meant() {
        for (text, meant) in [
            ("16K", "\"16KiB\" or \"16KB\""),
            ("16 KiB", "\"16KiB\" or \"16KB\""),
            ("6 gigabytes", "\"6GiB\" or \"6GB\""),
            ("plenty", "\"512MiB\" or \"512MB\""),
            ("", "\"512MiB\" or \"512MB\""),
            ("1.5GiB", "\"512MiB\" or \"512MB\""),
            ("_1", "\"512MiB\" or \"512MB\""),
            ("1__0", "\"512MiB\" or \"512MB\""),
        ] {
            let help = parse(text).unwrap_err().help.unwrap();
            assert_eq!(help, format!("use a number and a unit, such as {meant}"), "{text}");
        }
        assert!(parse("99999999TiB").is_err());
    }

    proptest! {
        #[test]
        fn every_size_is_read_back_as_it_is_said(bytes: u64) {
            let written = Bytes(bytes).to_string().replace(" bytes", "B");
            prop_assert_eq!(parse(&written), Ok(Bytes(bytes)));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".*") {
            let _ = parse(&text);
        }
    }
}
