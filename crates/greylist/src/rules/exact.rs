//! Entries that match byte for byte, `=Text`: how they are written and read.
//!
//! Any bytes can follow the `=` but NUL and line feed, which no address has. Visible ASCII, and
//! letters and digits of any script, are written as they are; a backslash as `\\`; every other byte
//! as `\x20`. What is read again is the same, so a rules file can hold whatever an X-Grey client
//! set.

use std::fmt;

use super::mistake::{PatternError, PatternProblem};

/// The longest text, in bytes: an X-Grey datagram has at most 1,500 (X-Grey v1.1 protocol, section 1).
pub const EXACT_BYTES_MAX: usize = 2048;

/// The longest such entry as it is written: the `=`, and each byte as four characters.
pub(super) const WRITTEN_BYTES_MAX: usize = 1 + 4 * EXACT_BYTES_MAX;

/// What such an entry begins with.
pub(super) const SIGN: char = '=';

/// Bytes that are in no address.
const IMPOSSIBLE: [u8; 2] = [0, b'\n'];

/// `bytes`, if they can be an entry's.
pub(super) fn check(bytes: &[u8]) -> Result<(), PatternError> {
    let wrong = |at, problem| Err(PatternError { at, problem });
    if bytes.len() > EXACT_BYTES_MAX {
        return wrong(
            EXACT_BYTES_MAX..bytes.len(),
            PatternProblem::TooLong { max: EXACT_BYTES_MAX },
        );
    }
    match bytes.iter().position(|byte| IMPOSSIBLE.contains(byte)) {
        Some(at) => wrong(at..at + 1, PatternProblem::ByteOfNoAddress),
        None => Ok(()),
    }
}

/// Reads `text`, which begins with the `=`.
pub(super) fn read(text: &str) -> Result<Box<[u8]>, PatternError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = SIGN.len_utf8();
    while let Some(&byte) = text.as_bytes().get(at) {
        let (meant, written) = match byte {
            b'\\' => unescaped(text, at)?,
            byte => (byte, 1),
        };
        let problem = if IMPOSSIBLE.contains(&meant) {
            Some(PatternProblem::ByteOfNoAddress)
        } else {
            (bytes.len() == EXACT_BYTES_MAX)
                .then_some(PatternProblem::TooLong { max: EXACT_BYTES_MAX })
        };
        if let Some(problem) = problem {
            let end = text.ceil_char_boundary(at + written);
            return Err(PatternError { at: text.floor_char_boundary(at)..end, problem });
        }
        bytes.push(meant);
        at += written;
    }
    Ok(bytes.into_boxed_slice())
}

/// The byte that the escape at `at` stands for, and how long that is.
fn unescaped(text: &str, at: usize) -> Result<(u8, usize), PatternError> {
    let digit = |at: usize| char::from(*text.as_bytes().get(at)?).to_digit(16);
    match text.as_bytes().get(at + 1) {
        Some(b'\\') => return Ok((b'\\', 2)),
        Some(b'x') => {
            if let (Some(high), Some(low)) = (digit(at + 2), digit(at + 3)) {
                return Ok(((high << 4 | low) as u8, 4));
            }
        }
        _ => {}
    }
    let end = text.ceil_char_boundary((at + 2).min(text.len()));
    Err(PatternError { at: at..end, problem: PatternProblem::Escape })
}

/// Writes `bytes` as [`read`] reads them.
pub(super) fn write(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    use fmt::Write as _;
    f.write_char(SIGN)?;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' {
                f.write_str("\\\\")?;
            } else if c.is_ascii_graphic() || (!c.is_ascii() && c.is_alphanumeric()) {
                f.write_char(c)?;
            } else {
                let mut buffer = [0; 4];
                escaped(c.encode_utf8(&mut buffer).as_bytes(), f)?;
            }
        }
        escaped(chunk.invalid(), f)?;
    }
    Ok(())
}

fn escaped(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
}
