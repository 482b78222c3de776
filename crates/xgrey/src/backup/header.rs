//! The head of an export: what it is, whose tuples are in it, and from when.
//!
//! Never knows: what follows it.

use std::fmt::Write as _;

use greylist::{HashKey, Secs, Timestamp, Timing};
use thiserror::Error;

use super::field::{FieldFault, Words, hexadecimal, write_time};

/// The format that this program writes, and the newest that it reads. A line more, or a word more on
/// a line, is a new version.
pub const VERSION: u64 = 1;

/// What an export begins with.
const MAGIC: &str = "xgrey-export";

/// What files begin with that were packed after they were written, and what unpacks them.
const PACKED: [(&[u8], &str); 4] = [
    (b"\x28\xb5\x2f\xfd", "zstd -dc"),
    (b"\x1f\x8b", "gzip -dc"),
    (b"\xfd7zXZ", "xz -dc"),
    (b"BZh", "bzip2 -dc"),
];

/// Why the file must be kept as its owner's alone; in the file itself, where whoever wants to pass
/// it on sees it.
const SECRET: &str = "# Secret, for its owner's eyes only (mode 0600): with the hash key anybody \
                      can tell which tuples are in here, and aim for them.";

/// What an export says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Version of the program that wrote it.
    pub program: String,
    /// What its ids were made with.
    pub hash_key: HashKey,
    /// What its tuples lived by.
    pub timing: Timing,
    /// When it was begun.
    pub time: Timestamp,
}

/// Why a file has no head that we can read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeaderFault {
    /// It is something else.
    #[error("is not an export: its first line should be `{MAGIC} {VERSION}`")]
    Foreign,
    /// It was packed.
    #[error("is compressed; unpack it on the way in: `{unpack} FILE | xgrey import -`")]
    Packed {
        /// What unpacks it.
        unpack: &'static str,
    },
    /// It is younger than this program.
    #[error(
        "has format {version} and this is xgrey {}, which reads formats up to {VERSION}: import it \
         with an xgrey not older than the one that wrote it",
        env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// Its format.
        version: u64,
    },
    /// A line of the head is not what should stand there.
    #[error("has a damaged head, which must be as it was written: line {number}: {fault}")]
    Line {
        /// The line, counted from 1.
        number: u64,
        /// What is wrong.
        fault: FieldFault,
    },
    /// The hash key is not the one that it was.
    #[error("has a damaged head: its hash key and the key's fingerprint don't belong together")]
    Fingerprint,
    /// It ends too soon.
    #[error("ends within its head: nothing can be taken from it")]
    Cut,
}

impl Header {
    /// Appends it as lines.
    pub fn write(&self, out: &mut String) {
        let _ = writeln!(out, "{MAGIC} {VERSION}\n{SECRET}\nprogram {}", self.program);
        out.push_str("hash-key ");
        for byte in self.hash_key.as_bytes() {
            let _ = write!(out, "{byte:02x}");
        }
        let _ = writeln!(out, "\nfingerprint {:016x}", self.hash_key.fingerprint());
        let timing = &self.timing;
        for (name, secs) in [
            ("embargo", timing.embargo()),
            ("window", timing.window()),
            ("lifetime", timing.lifetime()),
        ] {
            let _ = writeln!(out, "{name} {} seconds", secs.get());
        }
        out.push_str("time ");
        write_time(self.time, out);
        out.push('\n');
    }
}

/// What is known of a head whose lines come one by one.
#[derive(Debug, Default)]
pub struct HeaderDraft {
    /// Lines taken, comments included.
    lines: u64,
    stage: Stage,
    program: String,
    key: [u8; 16],
    secs: [Secs; 3],
}

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    #[default]
    Magic,
    Program,
    HashKey,
    Fingerprint,
    Embargo,
    Window,
    Lifetime,
    Time,
}

impl HeaderDraft {
    /// Takes the next line, without its line end. With the last one the head is whole.
    ///
    /// # Errors
    /// When the line is not what should stand there.
    pub fn take(&mut self, line: &[u8]) -> Result<Option<Header>, HeaderFault> {
        self.lines += 1;
        if matches!(self.stage, Stage::Magic) {
            return self.magic(line).map(|()| None);
        }
        if line.first() == Some(&b'#') {
            return Ok(None);
        }
        let number = self.lines;
        let damaged = |fault| HeaderFault::Line { number, fault };
        let mut words = Words::of(line);
        match self.stage {
            Stage::Magic => {}
            Stage::Program => {
                self.program = program(&mut words).map_err(damaged)?;
                self.stage = Stage::HashKey;
            }
            Stage::HashKey => {
                self.key = hash_key(&mut words).map_err(damaged)?;
                self.stage = Stage::Fingerprint;
            }
            Stage::Fingerprint => {
                words.literal("fingerprint").map_err(damaged)?;
                let fingerprint = hexadecimal(words.next("fingerprint").map_err(damaged)?);
                if fingerprint != Some(HashKey::new(self.key).fingerprint()) {
                    return Err(HeaderFault::Fingerprint);
                }
                self.stage = Stage::Embargo;
            }
            Stage::Embargo => {
                self.secs[0] = length(&mut words, "embargo").map_err(damaged)?;
                self.stage = Stage::Window;
            }
            Stage::Window => {
                self.secs[1] = length(&mut words, "window").map_err(damaged)?;
                self.stage = Stage::Lifetime;
            }
            Stage::Lifetime => {
                self.secs[2] = length(&mut words, "lifetime").map_err(damaged)?;
                self.stage = Stage::Time;
            }
            Stage::Time => {
                words.literal("time").map_err(damaged)?;
                let time = words.time("time").map_err(damaged)?;
                words.end().map_err(damaged)?;
                return self.whole(time).map(Some);
            }
        }
        words.end().map_err(damaged)?;
        Ok(None)
    }

    /// The file ended.
    ///
    /// # Errors
    /// Always: a head that is whole was given out.
    pub fn end(&self) -> HeaderFault {
        if self.lines == 0 { HeaderFault::Foreign } else { HeaderFault::Cut }
    }

    fn magic(&mut self, line: &[u8]) -> Result<(), HeaderFault> {
        if let Some(&(_, unpack)) = PACKED.iter().find(|(start, _)| line.starts_with(start)) {
            return Err(HeaderFault::Packed { unpack });
        }
        let mut words = Words::of(line);
        words.literal(MAGIC).map_err(|_| HeaderFault::Foreign)?;
        let version = words.number("version").map_err(|_| HeaderFault::Foreign)?;
        if version > VERSION {
            return Err(HeaderFault::Newer { version });
        }
        if version == 0 || words.end().is_err() {
            return Err(HeaderFault::Foreign);
        }
        self.stage = Stage::Program;
        Ok(())
    }

    fn whole(&mut self, time: Timestamp) -> Result<Header, HeaderFault> {
        let [embargo, window, lifetime] = self.secs;
        let timing = Timing::new(embargo, window, lifetime).map_err(|_| HeaderFault::Line {
            number: self.lines,
            fault: FieldFault::Wrong { what: "window", wanted: "longer than the embargo" },
        })?;
        let hash_key = HashKey::new(self.key);
        Ok(Header { program: std::mem::take(&mut self.program), hash_key, timing, time })
    }
}

/// A version, as packages have them: nothing in it that a terminal would act on.
fn program(words: &mut Words<'_>) -> Result<String, FieldFault> {
    words.literal("program")?;
    let word = words.next("program's version")?;
    let plain = !word.is_empty() && word.iter().all(u8::is_ascii_graphic);
    str::from_utf8(word)
        .ok()
        .filter(|_| plain)
        .map(str::to_owned)
        .ok_or(FieldFault::Wrong { what: "program's version", wanted: "one such as 1.2.3" })
}

fn hash_key(words: &mut Words<'_>) -> Result<[u8; 16], FieldFault> {
    words.literal("hash-key")?;
    let word = words.next("hash key")?;
    let mut key = [0; 16];
    let mut halves = word.chunks_exact(16).map(hexadecimal);
    match (word.len(), halves.next().flatten(), halves.next().flatten()) {
        (32, Some(high), Some(low)) => {
            key[..8].copy_from_slice(&high.to_be_bytes());
            key[8..].copy_from_slice(&low.to_be_bytes());
            Ok(key)
        }
        _ => Err(FieldFault::Wrong { what: "hash key", wanted: "32 hexadecimal digits" }),
    }
}

/// `embargo 60 seconds`.
fn length(words: &mut Words<'_>, name: &'static str) -> Result<Secs, FieldFault> {
    words.literal(name)?;
    let secs = words.number(name)?;
    words.literal("seconds")?;
    let secs = u32::try_from(secs).ok().filter(|&secs| secs > 0);
    secs.map(Secs::new)
        .ok_or(FieldFault::Wrong { what: name, wanted: "at least 1 second, at most 136 years" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> Header {
        Header {
            program: "0.1.0".to_owned(),
            hash_key: HashKey::new(
                *b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff",
            ),
            timing: Timing::DEFAULT,
            time: Timestamp::from_unix_secs(1_795_498_200),
        }
    }

    fn parse(text: &[u8]) -> Result<Header, HeaderFault> {
        let mut draft = HeaderDraft::default();
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            if let Some(header) = draft.take(line.strip_suffix(b"\n").unwrap_or(line))? {
                return Ok(header);
            }
        }
        Err(draft.end())
    }

    fn written(header: &Header) -> String {
        let mut out = String::new();
        header.write(&mut out);
        out
    }

    #[test]
    fn a_head_reads_well() {
        insta::assert_snapshot!(written(&header()));
    }

    #[test]
    fn a_head_that_is_wrong_says_how_to_mend_it() {
        let good = written(&header());
        let said: Vec<String> = [
            ("nothing", String::new()),
            ("a letter", "Dear sir,\n".to_owned()),
            ("no version", "xgrey-export\n".to_owned()),
            ("version 0", good.replace("export 1", "export 0")),
            ("a newer one", good.replace("export 1", "export 2")),
            ("gzip", "\x1f\u{8b}".to_owned()),
            ("a cut one", good[..good.len() / 2].to_owned()),
            ("without its program", good.replace("program 0.1.0\n", "")),
            ("another key", good.replace("hash-key 00", "hash-key 01")),
            ("a shorter key", good.replace("hash-key 00", "hash-key ")),
            ("no embargo", good.replace("embargo 60", "embargo 0")),
            ("no time to retry", good.replace("embargo 60", "embargo 21600")),
            ("minutes", good.replace("60 seconds", "1 minute")),
            ("no time", good.replace("time 2026-11-24T05:30:00Z", "time now")),
        ]
        .into_iter()
        .map(|(name, text)| {
            let bytes: Vec<u8> = match name {
                "gzip" => b"\x1f\x8b\x08\n".to_vec(),
                _ => text.into_bytes(),
            };
            format!("{name}: {}", parse(&bytes).unwrap_err())
        })
        .collect();
        insta::assert_snapshot!(said.join("\n"));
    }

    proptest! {
        #[test]
        fn any_head_comes_back_as_it_was(
            program in "[!-~]{1,20}",
            key: [u8; 16],
            embargo in 1_u32..1_000_000,
            more in 1_u32..1_000_000,
            lifetime in 1_u32..=u32::MAX,
            time in 0_u64..253_402_207_200,
        ) {
            let secs = Secs::new;
            let header = Header {
                program,
                hash_key: HashKey::new(key),
                timing: Timing::new(secs(embargo), secs(embargo + more), secs(lifetime)).unwrap(),
                time: Timestamp::from_unix_secs(time),
            };
            prop_assert_eq!(parse(written(&header).as_bytes()), Ok(header));
        }

        #[test]
        fn a_head_with_a_byte_changed_never_panics(at: prop::sample::Index, byte: u8) {
            let mut text = written(&header()).into_bytes();
            let at = at.index(text.len());
            text[at] = byte;
            let _ = parse(&text);
            let _ = parse(&text[..at]);
        }
    }
}
