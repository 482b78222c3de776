//! What is said to senders.

use greylist::reply::{
    EnhancedCode, REPLY_TEXT_BYTES_MAX, Replies, Reply, ReplyCode, ReplyError, Template,
    TemplateErrorKind,
};

use super::mistake::Mistake;
use super::reader::{Notes, Word};
use super::text::{Number, ReplyText};

/// Checks `[reply]`.
pub(super) fn replies(text: &ReplyText<'_>, notes: &mut Notes<'_>) -> Replies {
    let default = Replies::default();
    let help = text.help_url.as_ref().map_or("", |word| help_url(word, notes));
    let defer = Written {
        code: ("defer_code", text.defer_code.as_ref()),
        enhanced: ("defer_enhanced", text.defer_enhanced.as_ref()),
        text: ("defer_text", text.defer_text.as_ref()),
        help,
    };
    let reject = Written {
        code: ("reject_code", text.reject_code.as_ref()),
        enhanced: ("reject_enhanced", text.reject_enhanced.as_ref()),
        text: ("reject_text", text.reject_text.as_ref()),
        help,
    };
    let defer = defer.check(ReplyCode::defer, default.defer(), notes);
    let reject = reject.check(ReplyCode::reject, default.reject(), notes);
    let header = match &text.header {
        Some(word) if word.get_ref().is_empty() => None,
        Some(word) => template("header", word, help, notes).or(default.header().cloned()),
        None => default.header().cloned(),
    };
    // Each code has been checked for its own purpose.
    Replies::new(defer, reject, header).unwrap_or(default)
}

/// A refusal as it is written: each part with its key.
struct Written<'a> {
    code: (&'static str, Option<&'a Number>),
    enhanced: (&'static str, Option<&'a Word<'a>>),
    text: (&'static str, Option<&'a Word<'a>>),
    help: &'a str,
}

impl Written<'_> {
    /// The refusal, with the parts of `default` where nothing or something wrong is written.
    fn check(
        &self,
        check_code: impl Fn(u16) -> Result<ReplyCode, ReplyError>,
        default: &Reply,
        notes: &mut Notes<'_>,
    ) -> Reply {
        let code = self.code.1.and_then(|number| {
            let Ok(code) = u16::try_from(*number.get_ref()) else {
                let help = format!("use three digits, such as {}", default.code());
                notes.mistake(self.code.0, number.span(), Mistake::new("not a reply code", help));
                return None;
            };
            let wrong = |error| note(self.code.0, number.span(), error, notes);
            check_code(code).map_err(wrong).ok()
        });
        let enhanced = match self.enhanced.1 {
            Some(word) if word.get_ref().is_empty() => None,
            Some(word) => {
                let wrong = |error| note(self.enhanced.0, word.span(), error, notes);
                EnhancedCode::parse(word.get_ref()).map_err(wrong).ok().or(default.enhanced())
            }
            None => default.enhanced(),
        };
        let text = self.text.1.and_then(|word| template(self.text.0, word, self.help, notes));
        let text = text.unwrap_or_else(|| default.text().clone());
        Reply::new(code.unwrap_or(default.code()), enhanced, text).unwrap_or_else(|error| {
            let span = self.enhanced.1.map_or(0..0, |word| word.span());
            note(self.enhanced.0, span, error, notes);
            default.clone()
        })
    }
}

fn note(key: &'static str, span: std::ops::Range<usize>, error: ReplyError, notes: &mut Notes<'_>) {
    notes.mistake(key, span, Mistake::from_sentence(&error.to_string()));
}

/// Reads a text with placeholders.
fn template(
    key: &'static str,
    word: &Word<'_>,
    help: &str,
    notes: &mut Notes<'_>,
) -> Option<Template> {
    if word.get_ref().len() > REPLY_TEXT_BYTES_MAX {
        notes
            .warning(word.span(), format!("`{key}` will be cut"))
            .label(format!("a reply has room for {REPLY_TEXT_BYTES_MAX} bytes"));
    }
    let template = Template::parse_with_help(word.get_ref(), help);
    let wrong = |error: greylist::reply::TemplateError| {
        let span = notes.part(word, error.at);
        notes.mistake(key, span, Mistake::from_sentence(&error.kind.to_string()));
    };
    template.map_err(wrong).ok()
}

/// What `{help}` is to say; nothing if it is wrong.
fn help_url<'a>(word: &Word<'a>, notes: &mut Notes<'_>) -> &'a str {
    let Err(error) = Template::parse_with_help("{help}", word.get_ref()) else {
        return word.get_ref();
    };
    if let TemplateErrorKind::Help(within) = error.kind {
        let span = notes.part(word, within.at);
        notes.mistake("help_url", span, Mistake::from_sentence(&within.kind.to_string()));
    }
    ""
}
