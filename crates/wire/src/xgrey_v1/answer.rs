//! What a server answers (section 4).

use super::field::{push_header, push_u16, push_u32, u32_at};
use super::{Refused, Secret, Why};

/// A reply, in bytes: header, response, reason, and two that say nothing.
pub const REPLY_BYTES: usize = 16;

/// The type of an answer that carries an error, and of that to a no-op.
pub(super) const ERROR_TYPE: u16 = 1;

/// Where an answer's numbers begin that has more of them than two.
pub(super) const NUMBERS_AT: usize = 12;

/// Numbers of a [`Config`].
const CONFIG_NUMBERS: usize = 5;

/// Appends a reply, 16 bytes. `response` is an action's or an error's code, or 0 where there is
/// nothing to say; the reason of all but decisions is [`Why::None`], but for type 7, whose
/// is [`Why::Greylist`] (section 5.3).
pub fn encode_reply(
    secret: &Secret,
    mta: u16,
    answer_type: u16,
    response: u16,
    why: Why,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    push_header(mta, answer_type, out);
    push_u16(response, out);
    push_u16(why.code(), out);
    push_u16(0, out);
    secret.seal(&mut out[start..]);
}

/// Appends the answer to a request that is refused.
pub fn encode_refused(secret: &Secret, refused: Refused, out: &mut Vec<u8>) {
    encode_reply(secret, refused.mta, ERROR_TYPE, refused.error.code(), Why::None, out);
}

/// How a server is set, in an answer of type 11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many tuples there can be.
    pub max_tuples: u32,
    /// From one clean-up to the next, in seconds.
    pub cleanup_secs: u32,
    /// The embargo, in seconds.
    pub embargo_secs: u32,
    /// The window, in seconds. The original counts it from a tuple's last try.
    pub greylist_secs: u32,
    /// The lifetime, in seconds.
    pub whitelist_secs: u32,
}

impl Config {
    /// The original's, unless it was compiled with others (section 4).
    pub const DEFAULT: Self = Self {
        max_tuples: 65_536,
        cleanup_secs: 300,
        embargo_secs: 1_500,
        greylist_secs: 21_600,
        whitelist_secs: 3_110_400,
    };

    const fn numbers(&self) -> [u32; CONFIG_NUMBERS] {
        [
            self.max_tuples,
            self.cleanup_secs,
            self.embargo_secs,
            self.greylist_secs,
            self.whitelist_secs,
        ]
    }

    const fn of_numbers(numbers: [u32; CONFIG_NUMBERS]) -> Self {
        let [max_tuples, cleanup_secs, embargo_secs, greylist_secs, whitelist_secs] = numbers;
        Self { max_tuples, cleanup_secs, embargo_secs, greylist_secs, whitelist_secs }
    }

    /// That in an answer; `None` when it is too short.
    pub(super) fn of_answer(datagram: &[u8]) -> Option<Self> {
        numbers(datagram).map(Self::of_numbers)
    }
}

/// Appends the answer to [`ShowConfig`](super::Request::ShowConfig), 32 bytes.
pub fn encode_config(secret: &Secret, mta: u16, config: &Config, out: &mut Vec<u8>) {
    encode_numbers(secret, mta, super::Request::ShowConfig.answer_type(), &config.numbers(), out);
}

/// Appends an answer of header, two empty bytes and numbers.
pub(super) fn encode_numbers(
    secret: &Secret,
    mta: u16,
    answer_type: u16,
    numbers: &[u32],
    out: &mut Vec<u8>,
) {
    let start = out.len();
    push_header(mta, answer_type, out);
    push_u16(0, out);
    for &number in numbers {
        push_u32(number, out);
    }
    secret.seal(&mut out[start..]);
}

/// An answer's numbers; `None` when it has fewer.
pub(super) fn numbers<const N: usize>(datagram: &[u8]) -> Option<[u32; N]> {
    let mut numbers = [0; N];
    for (index, number) in numbers.iter_mut().enumerate() {
        *number = u32_at(datagram, NUMBERS_AT + 4 * index)?;
    }
    Some(numbers)
}
