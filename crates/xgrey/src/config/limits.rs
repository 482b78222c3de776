//! What clients may take of this machine.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use greylist::Secs;

use super::check::time;
use super::duration::written;
use super::mistake::Mistake;
use super::reader::{Notes, Word};
use super::size::{self, Bytes};
use super::text::{Amount, LimitsText, Number};

/// What clients may take of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Threads that serve; `None`: one a core, at most 16.
    pub threads: Option<NonZeroUsize>,
    /// Connections at a time; beyond that the oldest idle one gives way. 1 to 1,000,000.
    pub connections: usize,
    /// The longest request, in bytes: 1 KiB to 1 MiB.
    pub request_bytes: usize,
    /// How long a request may take from its first byte to its last: 1 second to 1 hour.
    pub request_timeout: Duration,
    /// How long a connection may be idle between requests: 1 second to 1 day.
    pub idle_timeout: Duration,
    /// How long what is in flight may take when the service is stopped: up to 1 hour.
    pub drain_timeout: Duration,
}

/// An honest request is about 1 KiB. 4,096 connections x 16 KiB = 64 MiB at worst.
impl Default for Limits {
    fn default() -> Self {
        Self {
            threads: None,
            connections: 4_096,
            request_bytes: 16 * 1024,
            request_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(15 * 60),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

const THREADS: RangeInclusive<i64> = 0..=256;
const CONNECTIONS: RangeInclusive<i64> = 1..=1_000_000;
const REQUEST_BYTES: RangeInclusive<Bytes> = Bytes::kib(1)..=Bytes::mib(1);
const REQUEST_TIMEOUT: RangeInclusive<Secs> = Secs::new(1)..=Secs::new(3_600);
const IDLE_TIMEOUT: RangeInclusive<Secs> = Secs::new(1)..=Secs::new(86_400);
const DRAIN_TIMEOUT: RangeInclusive<Secs> = Secs::new(0)..=Secs::new(3_600);

/// Postfix keeps an idle policy connection for this long (`smtpd_policy_service_max_idle`).
const POSTFIX_IDLE: Secs = Secs::new(300);

/// Checks `[limits]`.
pub(super) fn limits(text: &LimitsText<'_>, notes: &mut Notes<'_>) -> Limits {
    let default = Limits::default();
    let threads = text.threads.as_ref().and_then(|n| number("threads", n, &THREADS, notes));
    let connections =
        text.connections.as_ref().and_then(|n| number("connections", n, &CONNECTIONS, notes));
    let request_bytes = text
        .request_bytes
        .as_ref()
        .and_then(|amount| bytes("request_bytes", amount, &REQUEST_BYTES, notes));
    let mut timeout = |key, word: &Option<Word<'_>>, range, default| {
        let time = word.as_ref().and_then(|word| timeout(key, word, &range, notes));
        time.map_or(default, |secs| Duration::from_secs(secs.get().into()))
    };
    let limits = Limits {
        threads: threads.and_then(NonZeroUsize::new),
        connections: connections.unwrap_or(default.connections),
        request_bytes: request_bytes.map_or(default.request_bytes, |Bytes(bytes)| bytes as usize),
        request_timeout: timeout(
            "request_timeout",
            &text.request_timeout,
            REQUEST_TIMEOUT,
            default.request_timeout,
        ),
        idle_timeout: timeout(
            "idle_timeout",
            &text.idle_timeout,
            IDLE_TIMEOUT,
            default.idle_timeout,
        ),
        drain_timeout: timeout(
            "drain_timeout",
            &text.drain_timeout,
            DRAIN_TIMEOUT,
            default.drain_timeout,
        ),
    };
    if let Some(word) = &text.idle_timeout
        && limits.idle_timeout < Duration::from_secs(POSTFIX_IDLE.get().into())
    {
        notes
            .warning(word.span(), "Postfix will often find its connection closed")
            .label("it keeps idle connections for 5 minutes")
            .help("use at least \"5m\"");
    }
    limits
}

/// Checks a whole number against its range.
pub(super) fn number(
    key: &'static str,
    number: &Number,
    range: &RangeInclusive<i64>,
    notes: &mut Notes<'_>,
) -> Option<usize> {
    if !range.contains(number.get_ref()) {
        let help = format!("use a number from {} to {}", range.start(), range.end());
        notes.mistake(key, number.span(), Mistake::new("out of range", help));
        return None;
    }
    usize::try_from(*number.get_ref()).ok()
}

/// Reads a size and checks it against its range.
pub(super) fn bytes(
    key: &'static str,
    amount: &Amount,
    range: &RangeInclusive<Bytes>,
    notes: &mut Notes<'_>,
) -> Option<Bytes> {
    let checked = size::parse(amount.get_ref()).and_then(|bytes| {
        let help = format!("use a size from \"{}\" to \"{}\"", range.start(), range.end());
        range.contains(&bytes).then_some(bytes).ok_or_else(|| Mistake::new("out of range", help))
    });
    checked.map_err(|mistake| notes.mistake(key, amount.span(), mistake)).ok()
}

fn timeout(
    key: &'static str,
    word: &Word<'_>,
    range: &RangeInclusive<Secs>,
    notes: &mut Notes<'_>,
) -> Option<Secs> {
    let secs = time(key, word, notes)?;
    if !range.contains(&secs) {
        let (least, most) = (written(*range.start()), written(*range.end()));
        let help = format!("use a time from \"{least}\" to \"{most}\"");
        notes.mistake(key, word.span(), Mistake::new("out of range", help));
        return None;
    }
    Some(secs)
}
