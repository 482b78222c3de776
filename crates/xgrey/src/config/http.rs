//! Where HTTP is spoken, for whom, and the token that they must show.

use std::fmt;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::path::Path;

use ipnet::IpNet;
use subtle::ConstantTimeEq;

use super::check::resolve;
use super::keys;
use super::listener::{ListenAddress, loopback, place};
use super::mistake::Mistake;
use super::reader::{Notes, Word};
use super::surroundings::Surroundings;
use super::text::ListenText;
use super::x_grey;

/// The usual port.
pub(super) const PORT: u16 = 9_991;

/// Each such listener has threads of its own, so that there may be fewer of them than of others.
const LISTENERS_MAX: usize = 16;

/// The shortest token, in bytes: 16 random bytes in base64 are 22, in hexadecimal 32.
const TOKEN_BYTES_MIN: usize = 16;
/// The longest token, in bytes: it must fit into a header beside others.
const TOKEN_BYTES_MAX: usize = 512;
/// The longest file with a token, in bytes: line ends may stand around it.
const TOKEN_FILE_BYTES_MAX: u64 = TOKEN_BYTES_MAX as u64 + 64;

/// One place where HTTP is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpListener {
    /// Where it is.
    pub address: ListenAddress,
    /// TCP: who may ask; anybody else is refused. Not empty unless the admin wrote so.
    pub allow: Vec<IpNet>,
    /// What they must show. Always there when the address is beyond this host.
    pub token: Option<Token>,
}

/// 127.0.0.1:9991, for this host, without a token.
impl Default for HttpListener {
    fn default() -> Self {
        Self {
            address: ListenAddress::Tcp((Ipv4Addr::LOCALHOST, PORT).into()),
            allow: loopback(),
            token: None,
        }
    }
}

/// A bearer token (RFC 6750, section 2.1): 16 to 512 letters, digits and `-._~+/=`. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<[u8]>);

impl Token {
    /// Reads it from what a file holds; blanks and line ends around it do not count.
    fn parse(contents: &[u8]) -> Result<Self, &'static str> {
        let text = contents.trim_ascii();
        let is_of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
        match text.len() {
            0 => Err("the file is empty"),
            1..TOKEN_BYTES_MIN => Err("the token is shorter than 16 characters"),
            len if len > TOKEN_BYTES_MAX => Err("the token is longer than 512 characters"),
            _ if !text.iter().all(is_of_token) => {
                Err("a token has only letters, digits and the characters - . _ ~ + / =")
            }
            _ => Ok(Self(text.into())),
        }
    }

    /// Whether `shown` is it. Takes as long for one wrong token as for another of the same length.
    pub fn is(&self, shown: &[u8]) -> bool {
        self.0.ct_eq(shown).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Checks one `[[listen]]` with `protocol = "http"`; a relative path starts from `base`.
pub(super) fn listener(
    text: &ListenText<'_>,
    notes: &mut Notes<'_>,
    base: &Path,
    surroundings: &dyn Surroundings,
) -> Option<HttpListener> {
    x_grey::no_secret(text, notes);
    x_grey::no_changes(text, notes);
    let token = text.token_file.as_ref().and_then(|word| token(word, notes, base, surroundings));
    let (address, allow) = match (&text.address, &text.lacks_address) {
        (None, Some(_)) => {
            super::listener::sockets_only(text, notes);
            let default = HttpListener::default();
            let allow = text.allow.as_ref().map(|words| super::listener::networks(words, notes));
            (default.address, allow.unwrap_or(default.allow))
        }
        _ => place(text, PORT, notes, surroundings)?,
    };
    if let (ListenAddress::Tcp(socket), None, Some(word)) =
        (&address, &text.token_file, &text.address)
        && !socket.ip().to_canonical().is_loopback()
    {
        notes
            .error(word.span(), "HTTP beyond loopback needs a token")
            .label("can be reached from other machines")
            .help(
                "make one, for xgrey and its clients: openssl rand -hex 32 > /etc/xgrey/http.token",
            )
            .help("and name it here: token_file = \"/etc/xgrey/http.token\"");
    }
    Some(HttpListener { address, allow, token })
}

fn token(
    word: &Word<'_>,
    notes: &mut Notes<'_>,
    base: &Path,
    surroundings: &dyn Surroundings,
) -> Option<Token> {
    let path = resolve(&keys::LISTEN, "token_file", word, notes, base)?;
    let what = match read(&path, surroundings) {
        Ok(contents) => match Token::parse(&contents) {
            Ok(token) => return Some(token),
            Err(what) => what.to_owned(),
        },
        Err(error) => format!("cannot read it: {error}"),
    };
    let help = format!("to make one: openssl rand -hex 32 > {}", path.display());
    notes.mistake("token_file", word.span(), Mistake::new(what, help));
    None
}

fn read(path: &Path, surroundings: &dyn Surroundings) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    surroundings.open(path)?.take(TOKEN_FILE_BYTES_MAX).read_to_end(&mut contents)?;
    Ok(contents)
}

/// Notes what only HTTP has, in a listener of another protocol.
pub(super) fn not_here(text: &ListenText<'_>, notes: &mut Notes<'_>) {
    if let Some(word) = &text.token_file {
        notes
            .error(word.span(), "`token_file` is for HTTP")
            .label("this listener speaks another protocol")
            .help("remove it, or add: protocol = \"http\"");
    }
}

/// Notes that there are too many.
pub(super) fn check_number(
    listeners: &[HttpListener],
    span: std::ops::Range<usize>,
    notes: &mut Notes<'_>,
) {
    if listeners.len() > LISTENERS_MAX {
        notes
            .error(span, "too many listeners for HTTP")
            .label(format!("{} of them in all", listeners.len()))
            .help(format!("use at most {LISTENERS_MAX}; one at 0.0.0.0 serves all addresses"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_stands_in_its_file_without_the_line_end() {
        let token = Token::parse(b"0123456789abcdef-._~+/=\r\n").unwrap();
        assert!(token.is(b"0123456789abcdef-._~+/="));
        for wrong in [&b"0123456789abcdef-._~+/"[..], b"0123456789abcdef-._~+/=\n", b"", b"x"] {
            assert!(!token.is(wrong));
        }
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    #[test]
    fn what_is_too_short_too_long_or_could_not_stand_in_a_header_is_no_token() {
        let long = "x".repeat(TOKEN_BYTES_MAX + 1);
        let texts = ["", " \n", "0123456789abcde", &long, "0123456789 abcdef", "0123456789abcdefä"];
        for text in texts {
            assert!(Token::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Token::parse("x".repeat(TOKEN_BYTES_MAX).as_bytes()).is_ok());
    }
}
