//! Questions in JSON, one a request over a kept connection, and what comes back.

use std::io::Write as _;

use crate::load::{Traffic, Verdict};
use crate::reply::Actions;
use crate::request::{GOLDEN, letters, scramble};

/// New tuples have numbers from here on, so that none is one of the pool.
const FIRST_NEW: u64 = 1 << 32;

/// Makes questions, one at a time, in a buffer of its own.
#[derive(Debug)]
pub(crate) struct Questions {
    seed: u64,
    random: u64,
    new_percent: u64,
    pool: u32,
    new: u64,
    request: Vec<u8>,
    body: Vec<u8>,
    /// What was answered.
    pub(crate) actions: Actions,
}

impl Questions {
    /// Questions that follow from `seed`; so many of a hundred are about new tuples, the others about
    /// one of the pool.
    pub(crate) fn new(seed: u64, new_percent: u8, pool: u32) -> Self {
        Self {
            seed: scramble(seed),
            random: scramble(!seed),
            new_percent: new_percent.into(),
            pool,
            new: 0,
            request: Vec::new(),
            body: Vec::new(),
            actions: Actions::default(),
        }
    }

    /// How many tuples are in the pool.
    pub(crate) fn pool(&self) -> u32 {
        self.pool
    }

    /// How many new tuples have been asked about.
    pub(crate) fn new_tuples(&self) -> u64 {
        self.new
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(GOLDEN);
        ((scramble(self.random) >> 32) * bound) >> 32
    }

    fn next(&mut self) -> &[u8] {
        let number = if self.below(100) < self.new_percent {
            self.new += 1;
            FIRST_NEW + self.new
        } else {
            self.below(self.pool.into())
        };
        self.about(number)
    }

    /// The request about a tuple.
    fn about(&mut self, number: u64) -> &[u8] {
        // Different numbers give different tuples.
        let id = scramble(self.seed.wrapping_add(number.wrapping_mul(GOLDEN)));
        let (sender, recipient) = (letters::<16>(id), letters::<8>(scramble(id)));
        let [sender, recipient] = [&sender[..], &recipient[..]].map(String::from_utf8_lossy);
        let [a, b, c, ..] = id.to_le_bytes();
        self.body.clear();
        // Writing to a `Vec` cannot fail.
        let _ = write!(
            self.body,
            "{{\"client\":\"10.{a}.{b}.{c}\",\"sender\":\"orders.and.receipts.{sender}@customer-mail.example.com\",\
             \"recipient\":\"purchasing.{recipient}@offices.example.org\",\
             \"helo\":\"mail-{recipient}.outbound.example.net\",\"instance\":\"380e.{id:016x}.0\"}}"
        );
        self.request.clear();
        let _ = write!(
            self.request,
            "POST /v1/check HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: xgrey-bench\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.body.len()
        );
        self.request.extend_from_slice(&self.body);
        &self.request
    }
}

impl Traffic for Questions {
    fn request(&mut self) -> Option<&[u8]> {
        Some(self.next())
    }

    fn reply(&mut self, bytes: &[u8]) -> Verdict {
        read(bytes, &mut self.actions)
    }
}

/// Traffic that asks about each tuple of the pool once.
pub(crate) struct Pool<'a> {
    questions: &'a mut Questions,
    asked: u32,
}

impl<'a> Pool<'a> {
    /// All tuples of the pool of `questions`.
    pub(crate) fn new(questions: &'a mut Questions) -> Self {
        Self { questions, asked: 0 }
    }
}

impl Traffic for Pool<'_> {
    fn request(&mut self) -> Option<&[u8]> {
        if self.asked == self.questions.pool {
            return None;
        }
        self.asked += 1;
        Some(self.questions.about(u64::from(self.asked - 1)))
    }

    fn reply(&mut self, bytes: &[u8]) -> Verdict {
        read(bytes, &mut self.questions.actions)
    }
}

/// Says what `bytes` are, and counts the action of a whole answer.
fn read(bytes: &[u8], actions: &mut Actions) -> Verdict {
    const OK: &[u8] = b"HTTP/1.1 200 ";
    if !OK.starts_with(&bytes[..bytes.len().min(OK.len())]) {
        return Verdict::Wrong;
    }
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Verdict::Incomplete };
    let (head, body) = (&bytes[..end], &bytes[end + 4..]);
    let Some(length) = content_length(head) else { return Verdict::Wrong };
    if body.len() < length {
        return Verdict::Incomplete;
    }
    let word =
        body.strip_prefix(b"{\"action\":\"").and_then(|rest| rest.split(|b| *b == b'"').next());
    match word {
        Some(word) if body.len() == length => {
            actions.count(word);
            Verdict::Whole
        }
        _ => Verdict::Wrong,
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    let line = head.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked("content-length:".len())?;
        name.eq_ignore_ascii_case(b"content-length:").then_some(value)
    })?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_whole_answer_and_nothing_else_is_an_answer() {
        let whole = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 19\r\n\r\n\
                     {\"action\":\"accept\"}";
        let mut actions = Actions::default();
        for end in 0..whole.len() {
            assert_eq!(read(&whole.as_bytes()[..end], &mut actions), Verdict::Incomplete, "{end}");
        }
        assert_eq!(read(whole.as_bytes(), &mut actions), Verdict::Whole);
        assert_eq!(actions.by_word()["accept"], 1);
        let refused = whole.replace("200", "400");
        let nothing = whole.replace("action", "reason");
        let twice = whole.repeat(2);
        for wrong in [&refused, &nothing, &twice] {
            assert_eq!(read(wrong.as_bytes(), &mut actions), Verdict::Wrong, "{wrong}");
        }
    }

    #[test]
    fn a_request_is_as_long_as_it_says_and_its_body_is_json() {
        let mut questions = Questions::new(7, 50, 10);
        for _ in 0..100 {
            let request = questions.request().unwrap().to_vec();
            let end = memchr::memmem::find(&request, b"\r\n\r\n").unwrap();
            let (head, body) = (&request[..end], &request[end + 4..]);
            assert_eq!(content_length(head), Some(body.len()));
            let body: serde_json::Value = serde_json::from_slice(body).unwrap();
            assert!(body["client"].is_string());
        }
        assert!((20..80).contains(&questions.new_tuples()));
    }
}
