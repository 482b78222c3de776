//! The words of a request, and where they stand.

/// What is left of a request, cut at blanks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Words<'a> {
    /// All of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next word, and where it begins, in bytes from the request's start.
    pub(super) fn peek(&mut self) -> Option<(usize, &'a [u8])> {
        self.skip_blanks();
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
        (end > 0).then(|| (self.at, &rest[..end]))
    }

    /// The same, taken.
    pub(super) fn next(&mut self) -> Option<(usize, &'a [u8])> {
        let (at, word) = self.peek()?;
        self.at = at + word.len();
        Some((at, word))
    }

    /// The next word, taken; of an address whose local part is quoted, blanks between the quotes are
    /// part of the word.
    pub(super) fn next_address(&mut self) -> Option<&'a [u8]> {
        self.skip_blanks();
        let rest = &self.bytes[self.at..];
        let quoted = quoted(rest);
        let end = rest[quoted..].iter().position(u8::is_ascii_whitespace);
        let end = end.map_or(rest.len(), |end| quoted + end);
        self.at += end;
        (end > 0).then(|| &rest[..end])
    }

    /// Everything that is left, without blanks around it.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes[self.at..].trim_ascii()
    }

    /// Takes all options that come next.
    pub(super) fn options(&mut self) -> Options<'a> {
        let start = *self;
        while self.peek().is_some_and(|(_, word)| word.starts_with(b"--")) {
            self.next();
        }
        Options { words: Words { bytes: &start.bytes[..self.at], at: start.at } }
    }

    fn skip_blanks(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }
}

/// The length of the quoted text that `bytes` begin with; 0 if they begin with none, or it has no
/// end.
pub(super) fn quoted(bytes: &[u8]) -> usize {
    if bytes.first() != Some(&b'"') {
        return 0;
    }
    let mut at = 1;
    loop {
        match bytes.get(at) {
            None => return 0,
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// The names of options, without their dashes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options<'a> {
    words: Words<'a>,
}

impl<'a> Options<'a> {
    /// The first of them.
    pub(super) fn first(mut self) -> Option<&'a [u8]> {
        self.next()
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (_, word) = self.words.next()?;
        Some(word.strip_prefix(b"--").unwrap_or(word))
    }
}
