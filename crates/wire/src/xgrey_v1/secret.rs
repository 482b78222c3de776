//! The secret that both sides know, and the checksum that is made with it (section 2).

use std::fmt;

/// Longest secret, in bytes. The original's programs take theirs as a word of the command line; 255
/// is more than anybody types, and little to add to every datagram's checksum.
pub const SECRET_BYTES_MAX: usize = 255;

/// What both sides know.
///
/// It is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// The original's, unless it was compiled with another: everybody knows it.
    pub const DEFAULT_TEXT: &'static str = "decafbad";

    /// A secret of these bytes; it may be empty.
    ///
    /// # Errors
    /// When the original's programs couldn't be given it: it has a NUL, or is too long.
    pub fn new(bytes: &[u8]) -> Result<Self, SecretError> {
        match () {
            () if bytes.len() > SECRET_BYTES_MAX => Err(SecretError::TooLong),
            () if bytes.contains(&0) => Err(SecretError::Nul),
            () => Ok(Self(bytes.into())),
        }
    }

    /// What a datagram's first four bytes must be (section 2): CRC-32 over all bytes behind them
    /// and the secret, without the inversion at its end.
    ///
    /// `datagram` has four bytes at least.
    pub(super) fn checksum(&self, datagram: &[u8]) -> [u8; 4] {
        let mut crc = crc32fast::Hasher::new();
        crc.update(datagram.get(4..).unwrap_or_default());
        crc.update(&self.0);
        (!crc.finalize()).to_be_bytes()
    }

    /// Puts its checksum at the front of a finished datagram.
    pub(super) fn seal(&self, datagram: &mut [u8]) {
        let checksum = self.checksum(datagram);
        if let Some(front) = datagram.first_chunk_mut() {
            *front = checksum;
        }
    }

    /// Whether a datagram was made by somebody who knows the secret, and came as it was sent; both
    /// with a certainty of 32 bits.
    pub(super) fn is_of(&self, datagram: &[u8]) -> bool {
        datagram.first_chunk() == Some(&self.checksum(datagram))
    }
}

impl Default for Secret {
    fn default() -> Self {
        Self(Self::DEFAULT_TEXT.as_bytes().into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why something is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretError {
    /// It is longer than 255 bytes.
    TooLong,
    /// It has a NUL byte.
    Nul,
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the secret is longer than {SECRET_BYTES_MAX} bytes"),
            Self::Nul => f.write_str(
                "the secret has a NUL byte, and X-Grey's programs cannot be given such a one",
            ),
        }
    }
}

impl std::error::Error for SecretError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of section 2.
    const NO_OP: [u8; 12] = *b"\xc0\xed\x58\xef\x01\x01\0\0\0\0\0\0";

    #[test]
    fn the_checksum_is_crc_32_without_its_last_inversion_over_datagram_and_secret() {
        let secret = Secret::default();
        assert!(secret.is_of(&NO_OP));
        let mut sealed = NO_OP;
        sealed[..4].fill(0);
        secret.seal(&mut sealed);
        assert_eq!(sealed, NO_OP);
        assert!(!Secret::new(b"decafbae").unwrap().is_of(&NO_OP));
        assert!(!secret.is_of(b"\xc0\xed"));
        assert!(!secret.is_of(b""));
    }

    #[test]
    fn a_secret_that_no_client_could_be_given_is_refused() {
        assert_eq!(Secret::new(&[b'a'; 256]), Err(SecretError::TooLong));
        assert_eq!(Secret::new(b"a\0b"), Err(SecretError::Nul));
        assert!(Secret::new(&[b'a'; 255]).is_ok());
        assert!(Secret::new(b"").is_ok());
        assert_eq!(Secret::new(Secret::DEFAULT_TEXT.as_bytes()), Ok(Secret::default()));
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::default()), "Secret(..)");
    }
}
