//! Regular expressions, tried in the order of writing.
//!
//! They see bytes, not characters: addresses may be any bytes, and Perl sees them so in postgrey.
//! Matching takes time linear in the text, whatever the expression; that is why look-around and
//! back-references are not understood. Letters match in any (ASCII) case.

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use regex_syntax::{ast, hir};

use super::mistake::{PatternError, PatternProblem};

/// What one compiled expression may take. Those of postgrey's own list take
/// a hundredth of it each.
pub(super) const COMPILED_BYTES_MAX: usize = 1024 * 1024;
/// What all of a list may take in the one automaton that says whether any of them matches. If they
/// don't fit, each is tried on its own.
const SET_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What the lazily built automaton of one expression may take in each thread.
const LAZY_BYTES_MAX: usize = 256 * 1024;

/// Finds mistakes in `text`, which has no slashes around it, and where they are; compiling it would
/// only say that there are some.
pub(super) fn check(text: &str) -> Result<(), PatternError> {
    let mut parser = regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .case_insensitive(true)
        .build();
    let (span, problem) = match parser.parse(text) {
        Ok(_) => return Ok(()),
        Err(regex_syntax::Error::Parse(error)) => {
            let problem = match error.kind() {
                ast::ErrorKind::UnsupportedLookAround => PatternProblem::LookAround,
                ast::ErrorKind::UnsupportedBackreference => PatternProblem::BackReference,
                kind => PatternProblem::Syntax { why: kind.to_string() },
            };
            (error.span().start.offset..error.span().end.offset, problem)
        }
        Err(regex_syntax::Error::Translate(error)) => {
            let problem = match error.kind() {
                hir::ErrorKind::UnicodeNotAllowed => PatternProblem::NotAscii,
                kind => PatternProblem::Syntax { why: kind.to_string() },
            };
            (error.span().start.offset..error.span().end.offset, problem)
        }
        Err(other) => (0..text.len(), PatternProblem::Syntax { why: other.to_string() }),
    };
    Err(PatternError { at: span, problem })
}

/// Compiles `text`, which has no slashes around it.
pub(super) fn compile(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text)
        .unicode(false)
        .case_insensitive(true)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(LAZY_BYTES_MAX)
        .build()
}

/// The regular expressions of a list.
#[derive(Debug, Default)]
pub(super) struct Expressions {
    each: Box<[Regex]>,
    /// By which each has its place among the others; ascending.
    places: Box<[u64]>,
    /// One that none has or had.
    next_place: u64,
    /// Says quickly that none matches, which is the usual case.
    any: Option<RegexSet>,
}

impl Expressions {
    /// Those, which are in the order of their places. None has or had the place `next_place`.
    pub(super) fn new(placed: Vec<(u64, Regex)>, next_place: u64) -> Self {
        let (places, each): (Vec<u64>, Vec<Regex>) = placed.into_iter().unzip();
        // One alone is its own quick answer.
        let any = if each.len() < 2 {
            None
        } else {
            RegexSetBuilder::new(each.iter().map(Regex::as_str))
                .unicode(false)
                .case_insensitive(true)
                .size_limit(SET_BYTES_MAX)
                .build()
                .ok()
        };
        Self { each: each.into_boxed_slice(), places: places.into_boxed_slice(), next_place, any }
    }

    /// The number of the first that matches `text` somewhere.
    #[inline]
    pub(super) fn first_match(&self, text: &[u8]) -> Option<u32> {
        if self.each.is_empty() || self.any.as_ref().is_some_and(|any| !any.is_match(text)) {
            return None;
        }
        self.each.iter().position(|regex| regex.is_match(text)).map(|at| at as u32)
    }

    /// The text of one, without slashes.
    pub(super) fn get(&self, index: u32) -> Option<&str> {
        self.each.get(index as usize).map(Regex::as_str)
    }

    /// All, each with its place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Regex)> {
        self.places.iter().copied().zip(&self.each)
    }

    /// A place that none has or had.
    pub(super) fn next_place(&self) -> u64 {
        self.next_place
    }

    /// The place of one.
    pub(super) fn place(&self, index: u32) -> Option<u64> {
        self.places.get(index as usize).copied()
    }

    pub(super) fn index_of(&self, text: &str) -> Option<u32> {
        self.each.iter().position(|regex| regex.as_str() == text).map(|at| at as u32)
    }

    /// An estimate: the library does not tell.
    pub(super) fn memory_bytes(&self) -> usize {
        /// Seen for the 34 expressions of postgrey's own list: 9 KiB each when compiled, alone and
        /// in the set, and 13 with the automata that questions build.
        const TYPICAL_BYTES: usize = 13 * 1024;
        self.each.len() * TYPICAL_BYTES
    }
}
