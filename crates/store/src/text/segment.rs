//! A segment's name and header.
//!
//! ```text
//!   0: 8 bytes "xgreytxt" · 8: u32 version, 1 · 12: u32 zero
//!  16: u64 number, as in the name · 24: u64 the oldest number that it stands for
//!  32: u64 the hash key's fingerprint
//!  40: u64 when only what was live was kept, in seconds since 1970; 0: all that came is there
//!  48: 12 bytes zero · 60: u32 CRC-32C of bytes 0 to 59, which is the seed of all frames' checksums
//! ```
//! Never knows: frames, files.

use greylist::Timestamp;

pub(super) const HEADER_BYTES: usize = 64;
const MAGIC: [u8; 8] = *b"xgreytxt";
const VERSION: u32 = 1;
const CHECKED_BYTES: usize = 60;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Its number.
    pub(super) number: u64,
    /// The oldest number whose records are in it: less than its own where several were merged.
    pub(super) first: u64,
    /// Of the key that ids were made with.
    pub(super) key_fingerprint: u64,
    /// When it was last rewritten with what was live then.
    pub(super) sifted: Option<Timestamp>,
}

/// Why some bytes are no header of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    /// They are not what was once written.
    Corrupt,
    /// A later version's.
    Version(u32),
}

impl Header {
    /// Its bytes, and the seed for the segment's frames.
    pub(super) fn encode(&self) -> ([u8; HEADER_BYTES], u32) {
        let mut bytes = [0; HEADER_BYTES];
        let sifted = self.sifted.map_or(0, Timestamp::as_unix_secs);
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.key_fingerprint.to_le_bytes());
        bytes[40..48].copy_from_slice(&sifted.to_le_bytes());
        let seed = crc32c::crc32c(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&seed.to_le_bytes());
        (bytes, seed)
    }

    /// What bytes say, and the seed.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<(Self, u32), HeaderFault> {
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(number)
        };
        let seed = crc32c::crc32c(&bytes[..CHECKED_BYTES]);
        if bytes[..8] != MAGIC || bytes[CHECKED_BYTES..] != seed.to_le_bytes() {
            return Err(HeaderFault::Corrupt);
        }
        // The half at 12 is zero in this version.
        match number(8) {
            version if version == u64::from(VERSION) => {}
            version => return Err(HeaderFault::Version(version as u32)),
        }
        let sifted = Some(number(40)).filter(|&at| at > 0).map(Timestamp::from_unix_secs);
        let header =
            Self { number: number(16), first: number(24), key_fingerprint: number(32), sifted };
        if header.first > header.number {
            return Err(HeaderFault::Corrupt);
        }
        Ok((header, seed))
    }
}

/// The name of the segment of that number.
pub(super) fn name(number: u64) -> String {
    format!("text-{number:020}.seg")
}

/// The name that it has until it is whole, when it takes the place of others.
pub(super) fn new_name(number: u64) -> String {
    format!("text-{number:020}.new")
}

/// What a file's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A segment.
    Segment(u64),
    /// One that was never finished.
    Unfinished,
    /// Something that is not of the text.
    Other,
}

/// Reads a name.
pub(super) fn named(name: &str) -> Named {
    let Some((digits, end)) = name.strip_prefix("text-").and_then(|rest| rest.split_once('.'))
    else {
        return Named::Other;
    };
    let is_number = digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit());
    match (is_number.then(|| digits.parse()), end) {
        (Some(Ok(number)), "seg") => Named::Segment(number),
        (Some(Ok(_)), "new") => Named::Unfinished,
        _ => Named::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_header_is_read_as_it_was_written(
            number: u64,
            first: u64,
            key_fingerprint: u64,
            sifted: u64,
        ) {
            let sifted = Some(sifted).filter(|&at| at > 0).map(Timestamp::from_unix_secs);
            let header = Header { number, first: first.min(number), key_fingerprint, sifted };
            let (bytes, seed) = header.encode();
            prop_assert_eq!(Header::decode(&bytes), Ok((header, seed)));
        }

        #[test]
        fn a_header_with_one_bit_changed_is_none(at in 0..HEADER_BYTES, bit in 0..8) {
            let header = Header { number: 7, first: 5, key_fingerprint: 9, sifted: None };
            let (mut bytes, _) = header.encode();
            bytes[at] ^= 1_u8 << bit;
            prop_assert_eq!(Header::decode(&bytes), Err(HeaderFault::Corrupt));
        }

        #[test]
        fn names_are_read_as_they_were_written(number: u64) {
            prop_assert_eq!(named(&name(number)), Named::Segment(number));
            prop_assert_eq!(named(&new_name(number)), Named::Unfinished);
        }
    }

    #[test]
    fn a_later_versions_header_is_told_from_a_corrupt_one() {
        let header = Header { number: 7, first: 7, key_fingerprint: 9, sifted: None };
        let (mut bytes, _) = header.encode();
        bytes[8] = 2;
        let checksum = crc32c::crc32c(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(Header::decode(&bytes), Err(HeaderFault::Version(2)));
    }

    #[test]
    fn other_names_are_left_alone() {
        for name in [
            "lock",
            "hash-key",
            "journal-00000000000000000001.seg",
            "text-1.seg",
            "text-0000000000000000000x.seg",
            "text-99999999999999999999.seg",
            "text-00000000000000000001.seg.bak",
            "text-00000000000000000001",
        ] {
            assert_eq!(named(name), Named::Other, "{name}");
        }
    }
}
