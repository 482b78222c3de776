//! Numbers as people read them, each with its unit; and a length of time as they write it.

use std::time::Duration;

/// `1234567.8` → `1,234,568`.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 connection`, `1,000 connections`.
pub(crate) fn connections(count: usize) -> String {
    format!("{} connection{}", grouped(count as f64), if count == 1 { "" } else { "s" })
}

/// Three significant digits or so: `0.942`, `1.15`, `52.3`, `1,840`.
pub(crate) fn ratio(number: f64) -> String {
    match number {
        ..0.9995 => format!("{number:.3}"),
        ..9.995 => format!("{number:.2}"),
        ..99.95 => format!("{number:.1}"),
        _ => grouped(number),
    }
}

/// A length of time to three digits: `850 ns`, `64.2 µs`, `1.84 ms`, `2.10 s`.
pub(crate) fn duration(ns: u64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")];
    let ns = ns as f64;
    // What would be rounded to 1,000 of a unit is 1.00 of the next.
    let (scale, unit) =
        UNITS.into_iter().find(|(scale, _)| ns >= 0.9995 * scale).unwrap_or((1.0, "ns"));
    match ns / scale {
        number if scale == 1.0 => format!("{number:.0} {unit}"),
        number @ ..9.995 => format!("{number:.2} {unit}"),
        number @ ..99.95 => format!("{number:.1} {unit}"),
        number => format!("{number:.0} {unit}"),
    }
}

/// Memory in MiB, or in GiB from 10 GiB on: `5.2 MiB`, `18.00 GiB`.
pub(crate) fn memory(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 10_240.0 { format!("{mib:.1} MiB") } else { format!("{:.2} GiB", mib / 1024.0) }
}

/// So many seconds, such as `5` or `0.5`.
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "a length of time is a number of seconds, such as 5 or 0.5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_with_their_units() {
        for (number, expected) in
            [(0.0, "0"), (999.4, "999"), (1_000.0, "1,000"), (1_234_567.8, "1,234,568")]
        {
            assert_eq!(grouped(number), expected);
        }
        for (number, expected) in
            [(0.942, "0.942"), (1.149, "1.15"), (52.34, "52.3"), (1_840.0, "1,840")]
        {
            assert_eq!(ratio(number), expected);
        }
        for (ns, expected) in [
            (0, "0 ns"),
            (850, "850 ns"),
            (64_200, "64.2 µs"),
            (999_400, "999 µs"),
            (999_900, "1.00 ms"),
            (9_996_000, "10.0 ms"),
            (1_841_000, "1.84 ms"),
            (2_100_000_000, "2.10 s"),
        ] {
            assert_eq!(duration(ns), expected);
        }
        assert_eq!([1, 1_000].map(connections), ["1 connection", "1,000 connections"]);
        assert_eq!(memory(5_452_595), "5.2 MiB");
        assert_eq!(memory(18 << 30), "18.00 GiB");
    }
}
