//! What an MTA tells by its macros, and what that proves.
//!
//! - `{auth_authen}` is who has logged in, set once that has succeeded. `{auth_type}` says only how, and
//!   `{auth_author}` is the client's own word (`MAIL FROM … AUTH=`): not read.
//! - `{cert_subject}` is whom a client's TLS certificate names. Sendmail gives it for any certificate, a
//!   self-made one too, and says by `{verify}` whether it checked out: `OK`. Postfix has no
//!   `{verify}`, and gives a subject only if it has verified the certificate itself. So without a `{verify}`
//!   a subject proves something only if `v` says that this is Postfix.
//! - `{client_name}` is the client's name if a forward look-up has confirmed it. Else Postfix says
//!   `unknown`, Sendmail the address in square brackets; and `{client_resolve}` is not `OK`.
//! - `i` is the queue id. Postfix has none before a recipient was accepted.
//!
//! This module never knows what trust is good for.

use greylist::Trust;

use super::packet::{Command, until_nul};

/// The longest value that is kept, in bytes: a host name's length (RFC 1035, section 2.3.4). What is
/// longer is no name, and no queue id.
const VALUE_BYTES_MAX: usize = 255;

/// What one packet of macros tells: of each the last that it names; an empty one is as good as none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Macros<'a> {
    login: Option<()>,
    subject: Option<()>,
    verified: Option<bool>,
    resolved: Option<bool>,
    postfix: Option<bool>,
    client_name: Option<&'a [u8]>,
    queue_id: Option<&'a [u8]>,
}

impl<'a> Macros<'a> {
    /// Reads `name\0value\0…`, names with or without their braces.
    pub(super) fn read(mut list: &'a [u8]) -> Self {
        let mut macros = Self::default();
        while !list.is_empty() {
            let (name, rest) = until_nul(list);
            let (value, rest) = until_nul(rest);
            list = rest;
            let name = name.strip_prefix(b"{").and_then(|n| n.strip_suffix(b"}")).unwrap_or(name);
            let text = Some(value).filter(|value| !value.is_empty());
            match name {
                b"auth_authen" => macros.login = text.map(|_| ()),
                b"cert_subject" => macros.subject = text.map(|_| ()),
                b"verify" => macros.verified = text.map(|value| value == b"OK"),
                b"client_resolve" => macros.resolved = text.map(|value| value == b"OK"),
                b"v" => macros.postfix = text.map(|value| value.starts_with(b"Postfix")),
                b"client_name" => macros.client_name = text.filter(is_kept),
                b"i" => macros.queue_id = text.filter(is_kept),
                _ => {}
            }
        }
        macros
    }
}

fn is_kept(value: &&[u8]) -> bool {
    value.len() <= VALUE_BYTES_MAX
}

/// How far macros reach: those of a connection hold for all its messages, those of a message for
/// all its recipients.
const REACHES: [Command; 4] = [Command::Connect, Command::Helo, Command::Mail, Command::Recipient];

/// All that is known by macros, which come before the command that they belong to and hold until
/// another of its kind, or one that reaches further.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    levels: [Level; REACHES.len()],
}

/// What the macros of one kind of command say.
#[derive(Clone, Debug, Default)]
struct Level {
    /// They came for a command that has not come yet.
    is_ahead: bool,
    /// But for the texts, which are below: their places are kept for the next ones.
    facts: Macros<'static>,
    client_name: Vec<u8>,
    queue_id: Vec<u8>,
}

impl Level {
    fn set(&mut self, macros: &Macros<'_>) {
        let Macros { login, subject, verified, resolved, postfix, client_name, queue_id } = *macros;
        self.facts = Macros {
            login,
            subject,
            verified,
            resolved,
            postfix,
            client_name: None,
            queue_id: None,
        };
        for (kept, text) in [(&mut self.client_name, client_name), (&mut self.queue_id, queue_id)] {
            kept.clear();
            kept.extend_from_slice(text.unwrap_or_default());
        }
    }
}

impl Known {
    /// Forgets everything: another connection begins.
    pub(super) fn forget(&mut self) {
        for level in &mut self.levels {
            level.set(&Macros::default());
            level.is_ahead = false;
        }
    }

    /// Takes what came for a command that is about to come.
    pub(super) fn tell(&mut self, of: Command, macros: &Macros<'_>) {
        if let Some(at) = REACHES.iter().position(|reach| *reach == of) {
            self.levels[at].set(macros);
            self.levels[at].is_ahead = true;
        }
    }

    /// A command has come: what was told for the last one of its kind, and for all that came
    /// within that, holds no longer.
    pub(super) fn begin(&mut self, command: Command) {
        let Some(at) = REACHES.iter().position(|reach| *reach == command) else { return };
        let (this, within) = self.levels[at..].split_at_mut(1);
        for level in this.iter_mut().filter(|level| !level.is_ahead).chain(within) {
            level.set(&Macros::default());
        }
        this[0].is_ahead = false;
    }

    /// What the nearest level says that says anything.
    fn nearest<'a, T>(&'a self, of: impl Fn(&'a Level) -> Option<T>) -> Option<T> {
        self.levels.iter().rev().find_map(of)
    }

    /// What the MTA vouches for.
    pub(super) fn trust(&self) -> Trust {
        let proven = self
            .nearest(|level| level.facts.verified)
            .or_else(|| self.nearest(|level| level.facts.postfix))
            .unwrap_or(false);
        if self.nearest(|level| level.facts.login).is_some() {
            Trust::Authenticated
        } else if proven && self.nearest(|level| level.facts.subject).is_some() {
            Trust::Certificate
        } else {
            Trust::Stranger
        }
    }

    /// The client's name, if it is confirmed.
    pub(super) fn client_name(&self) -> Option<&[u8]> {
        if self.nearest(|level| level.facts.resolved) == Some(false) {
            return None;
        }
        let name = self.nearest(|level| text(&level.client_name))?;
        (name != b"unknown" && !name.starts_with(b"[")).then_some(name)
    }

    /// The queue id; empty if there is none yet.
    pub(super) fn queue_id(&self) -> &[u8] {
        self.nearest(|level| text(&level.queue_id)).unwrap_or_default()
    }
}

fn text(text: &[u8]) -> Option<&[u8]> {
    (!text.is_empty()).then_some(text)
}
