//! One tuple's text, as bytes in a frame.
//!
//! ```text
//!  0: u64  bits 0–57 the tuple's id · 58: the client is IPv6 · 59: the sender is cut
//!          60: the recipient is cut · 61–63: zero
//!  8: i32  seconds of the first try, from the frame's base
//! 12: u8   length of the sender · 13: u8 length of the recipient
//! 14: the client's 4 or 16 bytes · the sender · the recipient
//! ```
//! Never knows: frames, files.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use greylist::{State, Timestamp, Timing, Tuple};

use crate::TupleId;

/// Longest address kept, in bytes: what fits a byte's worth of length. RFC 5321 (4.5.3.1.3) allows
/// 254 without the angle brackets.
pub(super) const ADDRESS_BYTES_MAX: usize = u8::MAX as usize;

/// Bytes before the client.
const HEAD_BYTES: usize = 14;
const V4_BYTES: usize = 4;
const V6_BYTES: usize = 16;

/// The longest record: 540 bytes.
pub(super) const RECORD_BYTES_MAX: usize = HEAD_BYTES + V6_BYTES + 2 * ADDRESS_BYTES_MAX;
/// The shortest one.
pub(super) const RECORD_BYTES_MIN: usize = HEAD_BYTES + V4_BYTES;

const IS_V6: u64 = 1 << TupleId::BITS;
const SENDER_CUT: u64 = IS_V6 << 1;
const RECIPIENT_CUT: u64 = IS_V6 << 2;
const ID_MASK: u64 = IS_V6 - 1;
const KNOWN_BITS: u64 = ID_MASK | IS_V6 | SENDER_CUT | RECIPIENT_CUT;
const _: () = assert!(TupleId::BITS + 3 <= u64::BITS);

/// An envelope address as it was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// It was longer than 255 bytes: those are what it began with.
    Cut(&'a [u8]),
}

impl<'a> Address<'a> {
    /// What is kept of an address.
    pub fn of(address: &'a [u8]) -> Self {
        match address.get(..ADDRESS_BYTES_MAX) {
            Some(start) if address.len() > ADDRESS_BYTES_MAX => Self::Cut(start),
            _ => Self::Whole(address),
        }
    }

    /// The bytes, at most 255.
    pub const fn bytes(self) -> &'a [u8] {
        match self {
            Self::Whole(bytes) | Self::Cut(bytes) => bytes,
        }
    }
}

/// Who asked to send what to whom when a tuple was new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// The tuple.
    pub id: TupleId,
    /// When it was new.
    pub first_try: Timestamp,
    /// The client's own address, not its network.
    pub client: IpAddr,
    /// The envelope sender, as it was asked about.
    pub sender: Address<'a>,
    /// The envelope recipient, likewise.
    pub recipient: Address<'a>,
}

impl<'a> Text<'a> {
    /// Whether this is of the life that `tuple`, which has the same id, is in now, as far as can be
    /// told. A grey one that was forgotten and tried again has begun a new life; of a white one only
    /// its last use is known, so the newest record counts.
    pub fn is_of(&self, tuple: Tuple, timing: &Timing) -> bool {
        match tuple.state {
            State::White => true,
            // An earlier life ended more than a window before this one began. That much slack lets
            // coarse time and the odd second between two clocks pass.
            State::Grey => self.first_try.after(timing.window()) >= tuple.since,
        }
    }

    /// Appends its bytes, its time counted from `base`. `None`, with nothing done, if that is more
    /// than an `i32` away. Allocates nothing if `out` has room for [`RECORD_BYTES_MAX`].
    pub(super) fn encode(&self, base: Timestamp, out: &mut Vec<u8>) -> Option<()> {
        let (at, base) = (self.first_try.as_unix_secs(), base.as_unix_secs());
        let offset = i32::try_from(at.wrapping_sub(base).cast_signed()).ok()?;
        let (sender, recipient) = (self.sender.bytes(), self.recipient.bytes());
        let mut bits = self.id.bits();
        let mut head = [0; HEAD_BYTES + V6_BYTES];
        let head_bytes = match self.client {
            IpAddr::V4(v4) => {
                head[HEAD_BYTES..HEAD_BYTES + V4_BYTES].copy_from_slice(&v4.octets());
                HEAD_BYTES + V4_BYTES
            }
            IpAddr::V6(v6) => {
                bits |= IS_V6;
                head[HEAD_BYTES..].copy_from_slice(&v6.octets());
                HEAD_BYTES + V6_BYTES
            }
        };
        if matches!(self.sender, Address::Cut(_)) {
            bits |= SENDER_CUT;
        }
        if matches!(self.recipient, Address::Cut(_)) {
            bits |= RECIPIENT_CUT;
        }
        head[..8].copy_from_slice(&bits.to_le_bytes());
        head[8..12].copy_from_slice(&offset.to_le_bytes());
        head[12] = u8::try_from(sender.len()).ok()?;
        head[13] = u8::try_from(recipient.len()).ok()?;
        out.extend_from_slice(&head[..head_bytes]);
        out.extend_from_slice(sender);
        out.extend_from_slice(recipient);
        Some(())
    }

    /// The record at the start of `bytes`, and how long it is. `None` if there is none.
    pub(super) fn decode(base: Timestamp, bytes: &'a [u8]) -> Option<(Self, usize)> {
        let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
        let bits = u64::from_le_bytes(head[..8].try_into().ok()?);
        let offset = i32::from_le_bytes(head[8..12].try_into().ok()?);
        if bits & !KNOWN_BITS != 0 {
            return None;
        }
        let (client, rest): (IpAddr, _) = if bits & IS_V6 == 0 {
            let (octets, rest) = rest.split_first_chunk::<V4_BYTES>()?;
            (Ipv4Addr::from(*octets).into(), rest)
        } else {
            let (octets, rest) = rest.split_first_chunk::<V6_BYTES>()?;
            (Ipv6Addr::from(*octets).into(), rest)
        };
        let (sender, rest) = rest.split_at_checked(head[12].into())?;
        let (recipient, rest) = rest.split_at_checked(head[13].into())?;
        let address = |bytes, cut| match bits & cut {
            0 => Address::Whole(bytes),
            _ => Address::Cut(bytes),
        };
        let text = Self {
            id: TupleId::from_bits(bits & ID_MASK)?,
            first_try: Timestamp::from_unix_secs(
                base.as_unix_secs().checked_add_signed(offset.into())?,
            ),
            client,
            sender: address(sender, SENDER_CUT),
            recipient: address(recipient, RECIPIENT_CUT),
        };
        Some((text, bytes.len() - rest.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::testing::text;
    use proptest::prelude::*;

    /// Far enough from 1970 for any offset.
    const BASE: Timestamp = Timestamp::from_unix_secs(1 << 32);

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(
            id: u64,
            offset: i32,
            client: IpAddr,
            sender in prop::collection::vec(any::<u8>(), 0..600),
            recipient in prop::collection::vec(any::<u8>(), 0..600),
            after in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let first_try = BASE.as_unix_secs().checked_add_signed(offset.into()).unwrap();
            let written = Text {
                id: TupleId::from_bits(id & ID_MASK | 1).unwrap(),
                first_try: Timestamp::from_unix_secs(first_try),
                client,
                sender: Address::of(&sender),
                recipient: Address::of(&recipient),
            };
            let mut bytes = Vec::new();
            written.encode(BASE, &mut bytes).unwrap();
            let length = bytes.len();
            prop_assert!((RECORD_BYTES_MIN..=RECORD_BYTES_MAX).contains(&length));
            bytes.extend(after);
            prop_assert_eq!(Text::decode(BASE, &bytes), Some((written, length)));
            for short in 0..length {
                prop_assert_eq!(Text::decode(BASE, &bytes[..short]), None, "{} bytes", short);
            }
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes: Vec<u8>) {
            if let Some((text, length)) = Text::decode(BASE, &bytes) {
                let mut again = Vec::new();
                text.encode(BASE, &mut again).unwrap();
                prop_assert_eq!(&again, &bytes[..length]);
            }
        }
    }

    #[test]
    fn an_address_of_255_bytes_is_whole_and_one_of_256_is_cut() {
        let long = [b'a'; 256];
        assert_eq!(Address::of(&long[..255]), Address::Whole(&long[..255]));
        assert_eq!(Address::of(&long), Address::Cut(&long[..255]));
        assert_eq!(Address::of(b""), Address::Whole(b""));
    }

    #[test]
    fn a_time_that_no_record_can_tell_from_its_base_is_left_to_another_frame() {
        let mut bytes = Vec::new();
        for (offset, fits) in [(1_u64 << 31, None), ((1 << 31) - 1, Some(()))] {
            let late = Text { first_try: Timestamp::from_unix_secs(offset), ..text(1, 0) };
            assert_eq!(late.encode(Timestamp::from_unix_secs(0), &mut bytes), fits);
        }
    }
}
