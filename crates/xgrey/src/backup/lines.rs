//! A file's lines, one after the other, none longer than it may be.
//!
//! Never knows: what is on them.

use std::io::{self, BufRead};

/// Longest line, in bytes without its end. A note is the longest: a value of 64 KiB, each byte
/// escaped to three, a name of 255 bytes, likewise, and some words. 256 KiB.
pub const LINE_BYTES_MAX: usize = 256 * 1024;
const _: () = assert!(LINE_BYTES_MAX >= 3 * (64 * 1024 + 255) + 64);

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A line, without its end.
    Line(&'a [u8]),
    /// A line that is too long, passed over: what it begins with.
    TooLong(&'a [u8]),
    /// The file ends within a line: what there is of it, as far as a line can be long.
    Cut(&'a [u8]),
    /// The file is over.
    End,
}

/// The lines of a file.
#[derive(Debug)]
pub struct Lines<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
    bytes: u64,
}

impl<R: BufRead> Lines<R> {
    /// Those of `input`, from where it stands.
    pub fn of(input: R) -> Self {
        Self { input, line: Vec::new(), number: 0, bytes: 0 }
    }

    /// The number of the line that was last given, from 1.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Bytes of all lines given so far, with their ends.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next line.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn next_line(&mut self) -> io::Result<Next<'_>> {
        self.line.clear();
        let mut is_too_long = false;
        let mut length = 0;
        loop {
            let there = match self.input.fill_buf() {
                Ok(there) => there,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = memchr::memchr(b'\n', there);
            let part = &there[..end.unwrap_or(there.len())];
            let room = LINE_BYTES_MAX - self.line.len();
            is_too_long |= part.len() > room;
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let used = part.len() + usize::from(end.is_some());
            let is_over = there.is_empty();
            self.input.consume(used);
            length += used as u64;
            if is_over && length == 0 {
                return Ok(Next::End);
            }
            if is_over || end.is_some() {
                self.number += 1;
                self.bytes += length;
                return Ok(match (end, is_too_long) {
                    (None, _) => Next::Cut(&self.line),
                    (Some(_), true) => Next::TooLong(&self.line),
                    (Some(_), false) => Next::Line(&self.line),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    fn said(text: &[u8], buffer: usize) -> Vec<String> {
        let mut lines = Lines::of(BufReader::with_capacity(buffer, text));
        let mut said = Vec::new();
        loop {
            let next = match lines.next_line().unwrap() {
                Next::Line(line) if line.len() > 100 => format!("{} bytes", line.len()),
                Next::Line(line) => String::from_utf8_lossy(line).into_owned(),
                Next::TooLong(start) => format!("too long: {}", start.len()),
                Next::Cut(start) => format!("cut: {}", String::from_utf8_lossy(start)),
                Next::End => {
                    assert_eq!(lines.bytes(), text.len() as u64);
                    return said;
                }
            };
            said.push(format!("{} {next}", lines.number()));
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_a_last_one_without_its_end_is_cut() {
        let longest = "a".repeat(LINE_BYTES_MAX);
        let text = format!("one\n\n{longest}\n{longest}b\nfour\nfiv");
        let longest = format!("3 {LINE_BYTES_MAX} bytes");
        let too_long = format!("4 too long: {LINE_BYTES_MAX}");
        for buffer in [1, 7, 8192, 1 << 20] {
            assert_eq!(
                said(text.as_bytes(), buffer),
                ["1 one", "2 ", &longest, &too_long, "5 four", "6 cut: fiv"]
            );
        }
    }

    proptest! {
        #[test]
        fn lines_are_what_stands_between_line_ends(text in "[ab\n]{0,40}", buffer in 1_usize..10) {
            let mut expected: Vec<String> = text
                .split('\n')
                .enumerate()
                .map(|(index, line)| format!("{} {line}", index + 1))
                .collect();
            let rest = expected.pop().unwrap();
            if !text.is_empty() && !text.ends_with('\n') {
                expected.push(rest.replace(' ', " cut: "));
            }
            prop_assert_eq!(said(text.as_bytes(), buffer), expected);
        }
    }
}
