//! The Sender Rewriting Scheme: a forwarder sends in its own name and keeps the original sender in
//! the local part, with a hash and the day.
//!
//! ```text
//! SRS0=HASH=DAY=domain=local             one forwarder; the first separator may be = + or -
//! SRS1=HASH=first.forwarder==HASH=DAY=domain=local    a second one; the rest is the first one's
//! user+SRS=HASH=DAY=domain=local         a hosted mail service, for a user's own forwarding
//! bounces+SRS=HASH=DAY                   the same, for what has no sender
//! ```

use std::ops::Range;

/// Programs write 4 or 5 characters of hash; nobody has a use for more than a whole digest.
const HASH_BYTES_MAX: usize = 64;
/// Two characters are usual: the days, modulo 1,024, in base 32.
const DAY_BYTES_MAX: usize = 4;

/// What the beginning of a local part is.
pub(super) enum Found {
    /// Not rewritten.
    Nothing,
    /// Looks rewritten, and is not as any of the shapes above: best left alone.
    Malformed,
    /// Rewritten: the original local part follows.
    Head(Head),
}

/// The forwarder's part of a rewritten local part.
pub(super) struct Head {
    /// How many bytes it takes.
    pub(super) length: usize,
    /// Where the original domain stands in it.
    pub(super) domain: Range<usize>,
    /// Where hashes and days stand in it, in this order; the last may be empty.
    tags: [Range<usize>; 3],
}

impl Head {
    /// Appends the head of `local` with `#` in place of its tags. Tells whether that differs.
    pub(super) fn write(&self, local: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let mut copied = 0;
        for tag in self.tags.iter().filter(|tag| !tag.is_empty()) {
            out.extend_from_slice(&local[copied..tag.start]);
            out.push(b'#');
            copied = tag.end;
        }
        out.extend_from_slice(&local[copied..self.length]);
        out[start..] != local[..self.length]
    }
}

/// Whether `local` begins as a forwarder's does, rightly or not.
pub(super) fn is_tagged(local: &[u8]) -> bool {
    local.get(..3).is_some_and(|head| head.eq_ignore_ascii_case(b"SRS"))
}

/// Looks for a forwarder's rewriting.
pub(super) fn find(local: &[u8]) -> Found {
    let marked = |at: usize, mark: &[u8]| {
        local.get(at..at + mark.len()).is_some_and(|head| head.eq_ignore_ascii_case(mark))
    };
    let separated = local.get(4).is_some_and(|&byte| is_separator(byte));
    let head = if marked(0, b"SRS0") && separated {
        original(local, 5, 0..0)
    } else if marked(0, b"SRS1") && separated {
        second_forwarder(local)
    } else {
        match super::extension(local) {
            Some(plus) if marked(plus, b"+SRS=") => hosted(local, plus + 5),
            _ => return Found::Nothing,
        }
    };
    head.map_or(Found::Malformed, Found::Head)
}

/// `HASH=DAY=domain=`, from `at` on.
fn original(local: &[u8], at: usize, outer_hash: Range<usize>) -> Option<Head> {
    let hash = field(local, at).filter(|hash| is_tag(&local[hash.clone()], HASH_BYTES_MAX))?;
    let day =
        field(local, hash.end + 1).filter(|day| is_tag(&local[day.clone()], DAY_BYTES_MAX))?;
    let domain = field(local, day.end + 1).filter(|domain| !domain.is_empty())?;
    Some(Head { length: domain.end + 1, domain, tags: [outer_hash, hash, day] })
}

/// `SRS1=HASH=first.forwarder=`, then what was after the first forwarder's `SRS0`.
fn second_forwarder(local: &[u8]) -> Option<Head> {
    let hash = field(local, 5).filter(|hash| is_tag(&local[hash.clone()], HASH_BYTES_MAX))?;
    let forwarder = field(local, hash.end + 1).filter(|forwarder| !forwarder.is_empty())?;
    let separator = forwarder.end + 1;
    local.get(separator).filter(|byte| is_separator(**byte))?;
    original(local, separator + 1, hash)
}

/// `HASH=DAY` and nothing else, or as [`original`].
fn hosted(local: &[u8], at: usize) -> Option<Head> {
    original(local, at, 0..0).or_else(|| {
        let hash = field(local, at).filter(|hash| is_tag(&local[hash.clone()], HASH_BYTES_MAX))?;
        let day = hash.end + 1..local.len();
        let ends = is_tag(&local[day.clone()], DAY_BYTES_MAX);
        ends.then_some(Head { length: day.end, domain: 0..0, tags: [0..0, hash, day] })
    })
}

/// The bytes from `at` up to the next `=`.
fn field(local: &[u8], at: usize) -> Option<Range<usize>> {
    let length = local.get(at..)?.iter().position(|&byte| byte == b'=')?;
    Some(at..at + length)
}

/// Base 64 and base 32 letters, with the variants that are safe in addresses; or what a former
/// reduction has left.
fn is_tag(tag: &[u8], bytes_max: usize) -> bool {
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/._-".contains(byte);
    tag == b"#" || ((1..=bytes_max).contains(&tag.len()) && tag.iter().all(letter))
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'=' | b'+' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reduced head and what follows it; `malformed`; or `nothing`.
    fn shown(local: &str) -> String {
        match find(local.as_bytes()) {
            Found::Nothing => "nothing".to_owned(),
            Found::Malformed => "malformed".to_owned(),
            Found::Head(head) => {
                let mut out = Vec::new();
                head.write(local.as_bytes(), &mut out);
                format!("{} | {}", str::from_utf8(&out).unwrap(), &local[head.length..])
            }
        }
    }

    #[test]
    fn a_forwarders_hash_and_day_go_and_the_original_stays() {
        for (local, expected) in [
            ("SRS0=k3Xz=7T=example.net=alice", "SRS0=#=#=example.net= | alice"),
            ("srs0=k3Xz=7T=example.net=alice", "srs0=#=#=example.net= | alice"),
            ("SRS0+k3+/=7T=example.net=al=ice", "SRS0+#=#=example.net= | al=ice"),
            ("SRS0-k3Xz=7T=example.net=alice", "SRS0-#=#=example.net= | alice"),
            ("SRS0=#=#=example.net=alice", "SRS0=#=#=example.net= | alice"),
            ("SRS1=pQ4r=f.example==k=7=example.net=a", "SRS1=#=f.example==#=#=example.net= | a"),
            ("SRS1=pQ4r=f.example=+k=7=example.net=a", "SRS1=#=f.example=+#=#=example.net= | a"),
            ("bob+SRS=k3Xz4=7T=example.net=alice", "bob+SRS=#=#=example.net= | alice"),
            ("bounces+SRS=k3Xz4=7T", "bounces+SRS=#=# | "),
            ("SRS0=k3Xz=7T=example.net", "malformed"),
            ("SRS0=k3Xz", "malformed"),
            ("SRS0==7T=example.net=alice", "malformed"),
            ("SRS0=k3Xz=TOOLONG=example.net=alice", "malformed"),
            ("SRS1=pQ4r=f.example=k=7=example.net=a", "malformed"),
            ("bob+SRS=", "malformed"),
            ("SRS0", "nothing"),
            ("SRS0alice", "nothing"),
            ("SRS2=k3Xz=7T=example.net=alice", "nothing"),
            ("alice", "nothing"),
            ("", "nothing"),
        ] {
            assert_eq!(shown(local), expected, "{local}");
        }
    }
}
