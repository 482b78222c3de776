//! The texts that a sender gets to see: reply codes, enhanced codes, templates.
//!
//! What an admin writes is parsed once into a [`Template`]; what cannot be rendered is refused
//! there, with the place of the mistake. Rendering appends to the caller's buffer, allocates nothing
//! once that has its size, and cannot fail: whatever a stranger put into an address comes out as
//! harmless text of bounded length.
//!
//! This module never knows how a protocol carries a reply, nor which reply is due.

use std::fmt::{self, Write as _};
use std::ops::Range;

use crate::query::{Query, split_address};
use crate::timing::Secs;

/// The longest text that [`Template::render`] makes, in bytes.
///
/// RFC 5321, section 4.5.3.1.5: a reply line is at most 512 octets. Of these 4 are the code and its
/// blank, 10 the longest enhanced code and its blank, 2 the line's end: 496 are left. Postfix puts
/// `<recipient>: Recipient address rejected: ` before the text: 33, and 63 for the address.
pub const REPLY_TEXT_BYTES_MAX: usize = 512 - 4 - 10 - 2 - 33 - 63;

const _: () = assert!(REPLY_TEXT_BYTES_MAX == 400);

/// A text with placeholders, ready to be rendered.
///
/// | placeholder | becomes |
/// |---|---|
/// | `{wait}` | how long to wait, or how long the message has waited: `48 seconds` |
/// | `{wait_seconds}` | the same as a bare number: `48` |
/// | `{client}` | the client's address: `192.0.2.7` |
/// | `{sender}` | the sender as it came; `<>` for the null sender |
/// | `{sender_domain}` | what stands after its last `@`; nothing if there is none |
/// | `{recipient}`, `{recipient_domain}` | likewise |
/// | `{help}` | the help text given to [`Template::parse_with_help`] |
/// | `{{`, `}}` | a brace |
///
/// Control characters are refused in the text. What comes from the query is cleaned: printable
/// ASCII and letters and digits of any script pass; everything else, be it a line's end, a NUL or a
/// byte that is not UTF-8, becomes `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

/// What a [`Template`] may speak of.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    /// The question being answered.
    pub query: &'a Query<'a>,
    /// In a deferral: how long until a retry passes. In a header: how long the message has waited.
    pub wait: Secs,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Placeholder),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placeholder {
    Wait,
    WaitSeconds,
    Client,
    Sender,
    SenderDomain,
    Recipient,
    RecipientDomain,
    Help,
}

const PLACEHOLDERS: [(&str, Placeholder); 8] = [
    ("wait", Placeholder::Wait),
    ("wait_seconds", Placeholder::WaitSeconds),
    ("client", Placeholder::Client),
    ("sender", Placeholder::Sender),
    ("sender_domain", Placeholder::SenderDomain),
    ("recipient", Placeholder::Recipient),
    ("recipient_domain", Placeholder::RecipientDomain),
    ("help", Placeholder::Help),
];

impl Template {
    /// Reads `text`; `{help}` in it becomes nothing.
    ///
    /// # Errors
    /// When a placeholder is unknown, a brace has no partner, or a control character is in the text.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Self::parse_with_help(text, "")
    }

    /// Reads `text`; `{help}` in it becomes `help`, which may have placeholders of its own, such as
    /// `https://example.org/greylisted/{recipient_domain}`.
    ///
    /// # Errors
    /// As [`Template::parse`]. A mistake in `help` is reported where `text` asks for it; to find it
    /// in its own place, parse `help` by itself first.
    pub fn parse_with_help(text: &str, help: &str) -> Result<Self, TemplateError> {
        let mut template = Self { pieces: Vec::new() };
        let mut rest = 0..text.len();
        while let Some((token, range)) = next_token(text, &mut rest)? {
            match token {
                Token::Text(literal) => template.push_text(literal),
                Token::Field(Placeholder::Help) => {
                    template.push_help(help).map_err(|error| TemplateError {
                        at: range,
                        kind: TemplateErrorKind::Help(Box::new(error)),
                    })?;
                }
                Token::Field(field) => template.pieces.push(Piece::Field(field)),
            }
        }
        Ok(template)
    }

    /// Appends the text to `out`: at most [`REPLY_TEXT_BYTES_MAX`] bytes of UTF-8, without control
    /// characters, cut between two characters if it would be longer.
    pub fn render(&self, fields: &Fields<'_>, out: &mut Vec<u8>) {
        let mut line = Line { left: REPLY_TEXT_BYTES_MAX, out };
        for piece in &self.pieces {
            let written = match piece {
                Piece::Text(text) => line.write_str(text),
                Piece::Field(field) => line.write_field(*field, fields),
            };
            if written.is_err() {
                return; // the line is full
            }
        }
    }

    fn push_help(&mut self, help: &str) -> Result<(), TemplateError> {
        let mut rest = 0..help.len();
        while let Some((token, range)) = next_token(help, &mut rest)? {
            match token {
                Token::Text(literal) => self.push_text(literal),
                Token::Field(Placeholder::Help) => {
                    return Err(TemplateError { at: range, kind: TemplateErrorKind::HelpInHelp });
                }
                Token::Field(field) => self.pieces.push(Piece::Field(field)),
            }
        }
        Ok(())
    }

    fn push_text(&mut self, literal: &str) {
        if let Some(Piece::Text(text)) = self.pieces.last_mut() {
            text.push_str(literal);
        } else {
            self.pieces.push(Piece::Text(literal.to_owned()));
        }
    }
}

enum Token<'a> {
    Text(&'a str),
    Field(Placeholder),
}

/// Takes the next token of `text` off `rest`, and says where it stands.
fn next_token<'a>(
    text: &'a str,
    rest: &mut Range<usize>,
) -> Result<Option<(Token<'a>, Range<usize>)>, TemplateError> {
    let left = &text[rest.clone()];
    let Some(first) = left.chars().next() else { return Ok(None) };
    let start = rest.start;
    let (token, used) = match first {
        '{' | '}' if left[1..].starts_with(first) => (Token::Text(&left[..1]), 2),
        '{' => {
            let end = left[1..].find(['{', '}']).map_or(left.len(), |end| end + 1);
            if !left[end..].starts_with('}') {
                let kind = TemplateErrorKind::Unclosed;
                return Err(TemplateError { at: start..start + end, kind });
            }
            let at = start..start + end + 1;
            (Token::Field(placeholder(&left[1..end], &at)?), end + 1)
        }
        '}' => {
            return Err(TemplateError { at: start..start + 1, kind: TemplateErrorKind::Unopened });
        }
        _ => {
            let end = left.find(['{', '}']).unwrap_or(left.len());
            refuse_control_characters(&left[..end], start)?;
            (Token::Text(&left[..end]), end)
        }
    };
    rest.start += used;
    Ok(Some((token, start..rest.start)))
}

fn placeholder(name: &str, at: &Range<usize>) -> Result<Placeholder, TemplateError> {
    if let Some((_, field)) = PLACEHOLDERS.iter().find(|(known, _)| *known == name) {
        return Ok(*field);
    }
    let nearest = PLACEHOLDERS
        .iter()
        .map(|(known, _)| (strsim::osa_distance(known, &name.to_ascii_lowercase()), *known))
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 2)
        .map(|(_, known)| known);
    let kind = TemplateErrorKind::Unknown { nearest };
    Err(TemplateError { at: at.clone(), kind })
}

fn refuse_control_characters(text: &str, start: usize) -> Result<(), TemplateError> {
    match text.char_indices().find(|(_, char)| char.is_control()) {
        Some((index, char)) => Err(TemplateError {
            at: start + index..start + index + char.len_utf8(),
            kind: TemplateErrorKind::Control,
        }),
        None => Ok(()),
    }
}

/// What may still be appended to the line.
struct Line<'a> {
    left: usize,
    out: &'a mut Vec<u8>,
}

impl fmt::Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fits = &text[..text.floor_char_boundary(self.left)];
        self.out.extend_from_slice(fits.as_bytes());
        self.left -= fits.len();
        if fits.len() == text.len() {
            return Ok(());
        }
        self.left = 0; // nothing may follow what was cut
        Err(fmt::Error)
    }
}

impl Line<'_> {
    fn write_field(&mut self, field: Placeholder, fields: &Fields<'_>) -> fmt::Result {
        let Query { client, sender, recipient, .. } = *fields.query;
        match field {
            Placeholder::Wait => write!(self, "{}", fields.wait),
            Placeholder::WaitSeconds => write!(self, "{}", fields.wait.get()),
            Placeholder::Client => write!(self, "{client}"),
            Placeholder::Sender if sender.is_empty() => self.write_str("<>"),
            Placeholder::Sender => self.write_clean(sender),
            Placeholder::SenderDomain => self.write_clean(split_address(sender).1.unwrap_or(b"")),
            Placeholder::Recipient => self.write_clean(recipient),
            Placeholder::RecipientDomain => {
                self.write_clean(split_address(recipient).1.unwrap_or(b""))
            }
            Placeholder::Help => Ok(()), // parsing has put its text in place
        }
    }

    /// Writes what a stranger chose.
    fn write_clean(&mut self, bytes: &[u8]) -> fmt::Result {
        for chunk in bytes.utf8_chunks() {
            let mut clean = chunk.valid();
            while let Some(dirty) = clean.find(|char| !is_harmless(char)) {
                self.write_str(&clean[..dirty])?;
                self.write_str("?")?;
                let skip = clean[dirty..].chars().next().map_or(1, char::len_utf8);
                clean = &clean[dirty + skip..];
            }
            self.write_str(clean)?;
            if !chunk.invalid().is_empty() {
                self.write_str("?")?;
            }
        }
        Ok(())
    }
}

fn is_harmless(char: char) -> bool {
    matches!(char, ' '..='~') || (!char.is_ascii() && char.is_alphanumeric())
}

/// Why a text is no template, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// The bytes of the text that are wrong.
    pub at: Range<usize>,
    /// What is wrong with them.
    pub kind: TemplateErrorKind,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateErrorKind {
    /// A placeholder that does not exist.
    Unknown {
        /// The known one that looks most like it, if any does.
        nearest: Option<&'static str>,
    },
    /// `{` without `}`.
    Unclosed,
    /// `}` without `{`.
    Unopened,
    /// A control character, such as a line's end.
    Control,
    /// The help text that belongs here is wrong itself.
    Help(Box<TemplateError>),
    /// `{help}` within the help text.
    HelpInHelp,
}

impl fmt::Display for TemplateErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { nearest: Some(nearest) } => {
                write!(f, "unknown placeholder: did you mean {{{nearest}}}?")
            }
            Self::Unknown { nearest: None } => {
                f.write_str("unknown placeholder: use one of")?;
                for (index, (name, _)) in PLACEHOLDERS.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma} {{{name}}}")?;
                }
                Ok(())
            }
            Self::Unclosed => {
                f.write_str("this \"{\" is never closed: add \"}\", or write \"{{\" for a brace")
            }
            Self::Unopened => {
                f.write_str("this \"}\" closes nothing: write \"}}\" for a brace, or remove it")
            }
            Self::Control => f.write_str("control characters cannot be sent: remove it"),
            Self::Help(error) => write!(f, "in the help text, {error}"),
            Self::HelpInHelp => f.write_str("the help text cannot contain itself: remove {help}"),
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.at.start, self.kind)
    }
}

impl std::error::Error for TemplateError {}

/// An SMTP reply code that refuses: 4yz for now, 5yz for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplyCode(u16);

impl ReplyCode {
    /// A code that means "try again later": 450, 451, 421, or another 4yz.
    ///
    /// # Errors
    /// When `code` is not 400 to 459: RFC 5321, section 4.2, knows no second digit above 5.
    pub const fn defer(code: u16) -> Result<Self, ReplyError> {
        match code {
            400..=459 => Ok(Self(code)),
            _ => Err(ReplyError::NotDefer { code }),
        }
    }

    /// A code that means "never": 550, 554, 521, or another 5yz.
    ///
    /// # Errors
    /// When `code` is not 500 to 559.
    pub const fn reject(code: u16) -> Result<Self, ReplyError> {
        match code {
            500..=559 => Ok(Self(code)),
            _ => Err(ReplyError::NotReject { code }),
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Its first digit: 4 or 5.
    pub const fn class(self) -> u8 {
        if self.0 < 500 { 4 } else { 5 }
    }
}

impl fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An enhanced status code (RFC 3463) that refuses: `4.7.1`, `5.7.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EnhancedCode {
    class: u8,
    subject: u16,
    detail: u16,
}

impl EnhancedCode {
    /// Reads `4.7.1`.
    ///
    /// # Errors
    /// When it is not class 4 or 5, a subject and a detail, with dots between, the latter two of one
    /// to three digits without leading zeros.
    pub fn parse(text: &str) -> Result<Self, ReplyError> {
        let mut parts = text.splitn(3, '.');
        let mut part = || {
            let digits = parts.next()?;
            let canonical = digits.len() == 1 || !digits.starts_with('0');
            let plain =
                (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
            if canonical && plain { digits.parse::<u16>().ok() } else { None }
        };
        match (part(), part(), part()) {
            (Some(class @ (4 | 5)), Some(subject), Some(detail)) => {
                Ok(Self { class: if class == 4 { 4 } else { 5 }, subject, detail })
            }
            _ => Err(ReplyError::NotEnhanced),
        }
    }

    /// Its first number: 4 or 5.
    pub const fn class(self) -> u8 {
        self.class
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// How one kind of refusal is said. The enhanced code's class is the code's, always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: ReplyCode,
    enhanced: Option<EnhancedCode>,
    text: Template,
}

impl Reply {
    /// A reply of these parts.
    ///
    /// # Errors
    /// When one code says "later" and the other "never".
    pub fn new(
        code: ReplyCode,
        enhanced: Option<EnhancedCode>,
        text: Template,
    ) -> Result<Self, ReplyError> {
        match enhanced {
            Some(enhanced) if enhanced.class != code.class() => {
                Err(ReplyError::Classes { code, enhanced })
            }
            _ => Ok(Self { code, enhanced, text }),
        }
    }

    /// The three digits.
    pub const fn code(&self) -> ReplyCode {
        self.code
    }

    /// The enhanced code, where one is to be said.
    pub const fn enhanced(&self) -> Option<EnhancedCode> {
        self.enhanced
    }

    /// The words.
    pub const fn text(&self) -> &Template {
        &self.text
    }
}

/// All that is ever said to a sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replies {
    defer: Reply,
    reject: Reply,
    header: Option<Template>,
}

impl Replies {
    /// What to say when deferring, when rejecting, and as the value of the `X-Greylist` header of a
    /// message that has passed (`None`: no header).
    ///
    /// # Errors
    /// When `defer`'s code is not 4yz, or `reject`'s not 5yz.
    pub fn new(defer: Reply, reject: Reply, header: Option<Template>) -> Result<Self, ReplyError> {
        ReplyCode::defer(defer.code.get())?;
        ReplyCode::reject(reject.code.get())?;
        Ok(Self { defer, reject, header })
    }

    /// "Try again later".
    pub const fn defer(&self) -> &Reply {
        &self.defer
    }

    /// "Never".
    pub const fn reject(&self) -> &Reply {
        &self.reject
    }

    /// The value of `X-Greylist`, where there is to be one.
    pub const fn header(&self) -> Option<&Template> {
        self.header.as_ref()
    }

    /// What `defer` says unless configured.
    pub const DEFER_TEXT: &str = "Greylisted, try again in {wait}";
    /// What `reject` says unless configured.
    pub const REJECT_TEXT: &str = "Rejected by local policy";
    /// What `header` says unless configured.
    pub const HEADER_TEXT: &str = "delayed {wait} by xgrey";
}

/// 450 4.7.1 with [`Replies::DEFER_TEXT`], 550 5.7.1 with [`Replies::REJECT_TEXT`], and
/// [`Replies::HEADER_TEXT`].
impl Default for Replies {
    fn default() -> Self {
        let text = |text| Template::parse(text).expect("built-in templates parse");
        let enhanced = |class| Some(EnhancedCode { class, subject: 7, detail: 1 });
        Self {
            defer: Reply {
                code: ReplyCode(450),
                enhanced: enhanced(4),
                text: text(Self::DEFER_TEXT),
            },
            reject: Reply {
                code: ReplyCode(550),
                enhanced: enhanced(5),
                text: text(Self::REJECT_TEXT),
            },
            header: Some(text(Self::HEADER_TEXT)),
        }
    }
}

/// Why codes make no [`Reply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// Not a code that defers.
    NotDefer {
        /// The code given.
        code: u16,
    },
    /// Not a code that rejects.
    NotReject {
        /// The code given.
        code: u16,
    },
    /// Not an enhanced code.
    NotEnhanced,
    /// One says "later", the other "never".
    Classes {
        /// The code given.
        code: ReplyCode,
        /// The enhanced code given with it.
        enhanced: EnhancedCode,
    },
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDefer { code } => {
                write!(f, "{code} does not defer: use 450, 451, 421 or another from 400 to 459")
            }
            Self::NotReject { code } => {
                write!(f, "{code} does not reject: use 550, 554, 521 or another from 500 to 559")
            }
            Self::NotEnhanced => {
                f.write_str("not an enhanced code that refuses: write it as \"4.7.1\" or \"5.7.1\"")
            }
            Self::Classes { code, enhanced } => {
                write!(f, "{enhanced} does not fit {code}: both must begin with {}", code.class())
            }
        }
    }
}

impl std::error::Error for ReplyError {}
