//! Replies of Postfix's policy protocol: `action=WORD text⏎⏎`, one for each request.
//! Source: Postfix's SMTPD_POLICY_README.

use std::collections::BTreeMap;

/// What the bytes that have come since the request was sent are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    /// The beginning of a reply.
    Incomplete,
    /// One whole reply and nothing else; the first word of its action, such as `DUNNO`.
    Whole(&'a [u8]),
    /// Not a reply, or more than one.
    Wrong,
}

/// Says what `bytes` are.
pub(crate) fn read(bytes: &[u8]) -> Reply<'_> {
    const NAME: &[u8] = b"action=";
    let Some(line_and_rest) = bytes.strip_prefix(NAME) else {
        return if NAME.starts_with(bytes) { Reply::Incomplete } else { Reply::Wrong };
    };
    match memchr::memchr(b'\n', line_and_rest) {
        None => Reply::Incomplete,
        Some(end) => match &line_and_rest[end + 1..] {
            b"" => Reply::Incomplete,
            b"\n" => {
                let line = &line_and_rest[..end];
                let word = line.split(|&byte| byte == b' ').next().unwrap_or(line);
                if word.is_empty() { Reply::Wrong } else { Reply::Whole(word) }
            }
            _ => Reply::Wrong,
        },
    }
}

/// How often each action was answered. Counting one that was met before allocates nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Actions(Vec<(Vec<u8>, u64)>);

impl Actions {
    /// Different actions that are counted apart; a server that makes up more is counted as `other`.
    const DIFFERENT_MAX: usize = 16;
    /// What the rest is counted as.
    const OTHER: &[u8] = b"other";

    /// Counts one more.
    pub(crate) fn count(&mut self, word: &[u8]) {
        if let Some((_, count)) = self.0.iter_mut().find(|(known, _)| known == word) {
            *count += 1;
        } else if self.0.len() < Self::DIFFERENT_MAX || word == Self::OTHER {
            self.0.push((word.to_vec(), 1));
        } else {
            self.count(Self::OTHER);
        }
    }

    /// Forgets all counts, not the words.
    pub(crate) fn clear(&mut self) {
        self.0.iter_mut().for_each(|(_, count)| *count = 0);
    }

    /// The counts by word.
    pub(crate) fn by_word(&self) -> BTreeMap<String, u64> {
        self.0
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(word, count)| (String::from_utf8_lossy(word).into_owned(), *count))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_whole_reply_and_nothing_else_is_a_reply() {
        for (bytes, expected) in [
            (&b""[..], Reply::Incomplete),
            (b"act", Reply::Incomplete),
            (b"action=", Reply::Incomplete),
            (b"action=DUNNO", Reply::Incomplete),
            (b"action=DUNNO\n", Reply::Incomplete),
            (b"action=DUNNO\n\n", Reply::Whole(b"DUNNO")),
            (b"action=DEFER_IF_PERMIT 4.7.1 wait\n\n", Reply::Whole(b"DEFER_IF_PERMIT")),
            (b"action=DUNNO\n\naction=DUNNO\n\n", Reply::Wrong),
            (b"action=DUNNO\nmore=1\n\n", Reply::Wrong),
            (b"action=\n\n", Reply::Wrong),
            (b"acting", Reply::Wrong),
            (b"\n\n", Reply::Wrong),
            (b"HTTP/1.1 400 Bad Request\r\n", Reply::Wrong),
        ] {
            assert_eq!(read(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_server_that_makes_up_words_is_counted_within_bounds() {
        let mut actions = Actions::default();
        for number in 0..100 {
            actions.count(format!("WORD{number}").as_bytes());
            actions.count(b"WORD0");
        }
        let by_word = actions.by_word();
        assert_eq!(by_word["WORD0"], 101);
        assert_eq!(by_word.values().sum::<u64>(), 200);
        assert!(by_word.len() <= Actions::DIFFERENT_MAX + 1, "{by_word:?}");
        actions.clear();
        assert_eq!(actions.by_word(), BTreeMap::new());
    }
}
