//! What files of the journal and snapshots begin with: 64 bytes, of which every version has the
//! same first twelve and the same last four.
//!
//! ```text
//!  0 magic, 8 bytes │ 8 version u32 │ 12 … by file and version … │ 60 CRC-32C of bytes 0 to 59 u32
//! ```
//! So a program can tell what is too new for it from what is broken.
//!
//! Never knows: what is in between, files.

/// Bytes of a head.
pub(crate) const HEAD_BYTES: usize = 64;

const CHECKED_BYTES: usize = HEAD_BYTES - 4;

/// Why some bytes are no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHead {
    /// They are of a version that is later than this program.
    Newer {
        /// Which.
        version: u32,
    },
    /// They are not what was written.
    Broken,
}

/// What is the same in all files of a kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadKind {
    /// What they begin with.
    pub(crate) magic: [u8; 8],
    /// The version of the format that is written, and the latest that is read.
    pub(crate) version: u32,
}

impl HeadKind {
    /// Puts magic, version and checksum around what is in between.
    pub(crate) fn seal(self, mut bytes: [u8; HEAD_BYTES]) -> [u8; HEAD_BYTES] {
        bytes[..8].copy_from_slice(&self.magic);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Whether what is in between can be read.
    pub(crate) fn check(self, bytes: &[u8; HEAD_BYTES]) -> Result<(), NoHead> {
        let checksum = crc32c::crc32c(&bytes[..CHECKED_BYTES]);
        if bytes[..8] != self.magic || word(bytes, CHECKED_BYTES) != checksum {
            return Err(NoHead::Broken);
        }
        match word(bytes, 8) {
            version if version == self.version => Ok(()),
            version if version > self.version => Err(NoHead::Newer { version }),
            _ => Err(NoHead::Broken),
        }
    }
}

/// The number of four bytes at `at`.
pub(crate) fn word(bytes: &[u8; HEAD_BYTES], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// The number of eight bytes at `at`.
pub(crate) fn long(bytes: &[u8; HEAD_BYTES], at: usize) -> u64 {
    let mut long = [0; 8];
    long.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(long)
}
