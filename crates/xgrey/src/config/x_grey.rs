//! Where X-Grey's protocol is spoken, by whom, and what they may do.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;

use ipnet::IpNet;
use wire::xgrey_v1::{PORT, Secret};

use super::check::one_of;
use super::http;
use super::listener::{
    Address, allowed_by_default, loopback, networks, parse_address, sockets_only,
};
use super::mistake::Mistake;
use super::reader::{Notes, Word};
use super::text::ListenText;

/// Each such listener has sockets and threads of its own, so that there may be fewer of them than of
/// others: with the 16 threads that there can be, 256.
const LISTENERS_MAX: usize = 16;

/// One place where X-Grey's protocol is spoken: a UDP port, and for reports the TCP port of the same
/// number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XGreyListener {
    /// Where it is.
    pub address: SocketAddr,
    /// Who is answered; anybody else is not. Not empty unless the admin wrote so.
    pub allow: Vec<IpNet>,
    /// What checksums are made with.
    pub secret: Secret,
    /// Who of these may change tuples and rules.
    pub changes: Changes,
}

/// Who may change tuples and rules, over a protocol that has words for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Changes {
    /// Nobody.
    Off,
    /// Whoever asks from this host.
    #[default]
    Local,
    /// Everybody who is answered.
    On,
}

const CHANGES: [(&str, Changes); 3] =
    [("off", Changes::Off), ("local", Changes::Local), ("on", Changes::On)];

/// As the original: 127.0.0.1:9990, for this host, with the secret that everybody knows.
impl Default for XGreyListener {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, PORT).into(),
            allow: loopback(),
            secret: Secret::default(),
            changes: Changes::default(),
        }
    }
}

/// Checks one `[[listen]]` with `protocol = "x-grey"`.
pub(super) fn listener(text: &ListenText<'_>, notes: &mut Notes<'_>) -> Option<XGreyListener> {
    sockets_only(text, notes);
    http::not_here(text, notes);
    let default = XGreyListener::default();
    let allow = text.allow.as_ref().map(|words| networks(words, notes));
    let changes = changes(text, notes);
    let secret = text.secret.as_ref().and_then(|word| secret(word, notes));
    let secret = secret.unwrap_or(default.secret);
    let (address, allow) = match &text.address {
        None if text.lacks_address.is_some() => (default.address, allow.unwrap_or(default.allow)),
        None => return None,
        Some(word) => {
            let address = address(word, notes)?;
            (address, allow.unwrap_or_else(|| allowed_by_default(address, word, notes)))
        }
    };
    let listener = XGreyListener { address, allow, secret, changes };
    warn_of_known_secret(&listener, text, notes);
    Some(listener)
}

fn address(word: &Word<'_>, notes: &mut Notes<'_>) -> Option<SocketAddr> {
    let mistake = match parse_address(word.get_ref(), PORT) {
        Ok(Address::Port(address)) => return Some(address),
        Ok(Address::Unix(_)) => Mistake::new(
            "X-Grey's clients speak UDP, not over UNIX sockets",
            format!("use an IP address and a port, such as \"127.0.0.1:{PORT}\""),
        ),
        Err(mistake) => mistake,
    };
    notes.mistake("address", word.span(), mistake);
    None
}

fn secret(word: &Word<'_>, notes: &mut Notes<'_>) -> Option<Secret> {
    let text = *word.get_ref();
    let what = match Secret::new(text.as_bytes()) {
        Ok(_) if text.is_empty() => "empty: anybody could compute the checksums".to_owned(),
        Ok(secret) => return Some(secret),
        Err(error) => error.to_string(),
    };
    let help = format!(
        "use the text that the clients are given with --secret; unless told otherwise they use \
         \"{}\"",
        Secret::DEFAULT_TEXT
    );
    notes.mistake("secret", word.span(), Mistake::new(what, help));
    None
}

/// Whoever knows the secret and can write a false source address can change what is decided.
fn warn_of_known_secret(listener: &XGreyListener, text: &ListenText<'_>, notes: &mut Notes<'_>) {
    let is_wide = listener.allow.iter().any(|network| !network.addr().is_loopback());
    if let Some(word) = &text.changes
        && listener.changes == Changes::On
        && listener.secret == Secret::default()
        && is_wide
    {
        notes
            .warning(
                word.span(),
                "other machines may change tuples and rules with a secret that everybody knows",
            )
            .label("with the default secret")
            .help("give this listener and its clients a `secret` of their own")
            .help("or let only this host change anything: changes = \"local\"");
    }
}

/// Who may change something, as it is written.
pub(super) fn changes(text: &ListenText<'_>, notes: &mut Notes<'_>) -> Changes {
    one_of(notes, "changes", text.changes.as_ref(), &CHANGES).unwrap_or_default()
}

/// Notes a secret in a listener that has no use for one.
pub(super) fn no_secret(text: &ListenText<'_>, notes: &mut Notes<'_>) {
    not_here("secret", "X-Grey's protocol", text.secret.as_ref(), notes);
}

/// Notes a say in changes in a listener through which nothing can be changed.
pub(super) fn no_changes(text: &ListenText<'_>, notes: &mut Notes<'_>) {
    not_here("changes", "the protocols of X-Grey and greylistd", text.changes.as_ref(), notes);
}

fn not_here(key: &str, protocols: &str, word: Option<&Word<'_>>, notes: &mut Notes<'_>) {
    if let Some(word) = word {
        notes
            .error(word.span(), format!("`{key}` is for {protocols}"))
            .label("this listener speaks another")
            .help("remove it, or add: protocol = \"x-grey\"");
    }
}

/// Notes that there are too many.
pub(super) fn check_number(listeners: &[XGreyListener], span: Range<usize>, notes: &mut Notes<'_>) {
    if listeners.len() > LISTENERS_MAX {
        notes
            .error(span, "too many listeners for X-Grey's protocol")
            .label(format!("{} of them in all", listeners.len()))
            .help(format!("use at most {LISTENERS_MAX}; one at 0.0.0.0 serves all addresses"));
    }
}
