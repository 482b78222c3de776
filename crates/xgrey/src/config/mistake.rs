//! What is wrong with one value, before it is known where the value stands.

/// Why a text is not a value of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Said beside the underlined text.
    pub(super) what: String,
    /// What to write instead.
    pub(super) help: Option<String>,
}

impl Mistake {
    /// A mistake with its mend.
    pub(super) fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: Some(help.into()) }
    }
}

impl Mistake {
    /// From a sentence of the rooms below, which say `what is wrong: how to mend it`.
    pub(super) fn from_sentence(sentence: &str) -> Self {
        let (what, help) = match sentence.split_once(": ") {
            Some((what, help)) => (what, Some(help.to_owned())),
            None => (sentence, None),
        };
        Self { what: what.into(), help }
    }
}

/// How much of an admin's word is repeated in a message.
const SHOWN_CHARS_MAX: usize = 60;

/// `text` as it can be shown within a message: in one line, not too long, without control
/// characters.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String =
        text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// The one of `known` that was probably meant by `written`, if one is near enough.
pub(super) fn nearest<'k>(
    written: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    /// Below this, the words have nothing to do with each other.
    const LIKENESS_MIN: f64 = 0.8;
    if written.len() > SHOWN_CHARS_MAX {
        return None;
    }
    let fold = |word: &str| word.to_ascii_lowercase().replace('-', "_");
    let written = fold(written);
    known
        .into_iter()
        .map(|word| (strsim::jaro_winkler(&written, &fold(word)), word))
        .filter(|&(likeness, _)| likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}

/// `a`, `b` and `c`: each quoted by `quote`, joined by `joint`.
pub(super) fn listed<'k>(
    words: impl IntoIterator<Item = &'k str>,
    quote: char,
    joint: &str,
) -> String {
    let quoted = |word| format!("{quote}{word}{quote}");
    let words: Vec<String> = words.into_iter().map(quoted).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} {joint} {last}", others.join(", ")),
        None => String::new(),
    }
}
