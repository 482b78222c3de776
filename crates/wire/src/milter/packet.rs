//! What is in a packet.
//!
//! Never knows what came before it.

use greylist::Client;
use memchr::memchr;

use super::macros::Macros;
use super::negotiation::Offer;
use super::{HEAD_BYTES, TEXT_BYTES_MAX};
use crate::Fault;
use crate::address;

/// What a peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// `O`: which version it speaks, and what it offers.
    Negotiate,
    /// `D`: macros for another command.
    Macros,
    /// `C`: a client has connected.
    Connect,
    /// `H`: HELO or EHLO.
    Helo,
    /// `M`: MAIL.
    Mail,
    /// `R`: RCPT.
    Recipient,
    /// `T`: DATA.
    Data,
    /// `L`: a header.
    Header,
    /// `N`: the headers' end.
    EndOfHeaders,
    /// `B`: a piece of the body.
    Body,
    /// `E`: the message's end.
    EndOfMessage,
    /// `A`: the message came to nothing.
    Abort,
    /// `U`: an SMTP command that the MTA doesn't know.
    Unknown,
    /// `Q`: the end.
    Quit,
    /// `K`: the session's end; another follows on the same connection.
    QuitNewConnection,
}

impl Command {
    /// The command of that byte.
    pub(super) fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            b'O' => Self::Negotiate,
            b'D' => Self::Macros,
            b'C' => Self::Connect,
            b'H' => Self::Helo,
            b'M' => Self::Mail,
            b'R' => Self::Recipient,
            b'T' => Self::Data,
            b'L' => Self::Header,
            b'N' => Self::EndOfHeaders,
            b'B' => Self::Body,
            b'E' => Self::EndOfMessage,
            b'A' => Self::Abort,
            b'U' => Self::Unknown,
            b'Q' => Self::Quit,
            b'K' => Self::QuitNewConnection,
            _ => return None,
        })
    }
}

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// What a peer offers.
    Negotiate(Offer),
    /// What it knows, for the next command of that kind.
    Macros {
        /// The kind; none if it is not known here.
        of: Option<Command>,
        /// What it knows.
        macros: Macros<'a>,
    },
    /// Who has connected.
    Connect(Connect<'a>),
    /// The name given at HELO.
    Helo(&'a [u8]),
    /// The sender, without angle brackets; empty for the null sender.
    Mail(&'a [u8]),
    /// A recipient, without angle brackets; never empty.
    Recipient(&'a [u8]),
    /// A step or an end that says nothing more, or nothing that is read here.
    Plain(Command),
    /// A packet that is not understood; the next one will be.
    Faulty {
        /// What it was.
        command: Command,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// A client, as its connection shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// Its name, as the MTA puts it; where that is not confirmed, Sendmail and Postfix put its address
    /// in square brackets.
    pub name: &'a [u8],
    /// Where it is.
    pub peer: Peer,
}

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// At an IP address.
    At(Client),
    /// On the MTA's own machine, without an address: a UNIX socket, a pipe, a program that was
    /// started on a terminal.
    Local,
}

impl<'a> Packet<'a> {
    /// The packet with that `command` and `data`.
    pub(super) fn read(command: Command, data: &'a [u8]) -> Self {
        let packet = match command {
            Command::Negotiate => Offer::read(data).map(Self::Negotiate),
            Command::Macros => match data.split_first() {
                Some((&of, list)) => {
                    Ok(Self::Macros { of: Command::of(of), macros: Macros::read(list) })
                }
                None => Err(Fault::Missing("command that its macros are for")),
            },
            Command::Connect => connect(data).map(Self::Connect),
            Command::Helo => kept(data).map(Self::Helo),
            Command::Mail => kept(data).map(address::without_brackets).map(Self::Mail),
            Command::Recipient => match kept(data).map(address::without_brackets) {
                Ok(b"") => Err(Fault::Missing("recipient")),
                recipient => recipient.map(Self::Recipient),
            },
            command => Ok(Self::Plain(command)),
        };
        packet.unwrap_or_else(|fault| Self::Faulty { command, fault })
    }
}

/// The first of the texts in `data`: a name or an address; ESMTP's parameters follow.
fn kept(data: &[u8]) -> Result<&[u8], Fault> {
    let text = until_nul(data).0;
    if text.len() > TEXT_BYTES_MAX {
        Err(Fault::TooLong { limit: TEXT_BYTES_MAX })
    } else {
        Ok(text)
    }
}

/// Reads `name\0`, `4`, a port and `192.0.2.7\0`, or another family.
fn connect(data: &[u8]) -> Result<Connect<'_>, Fault> {
    let (name, rest) = until_nul(data);
    let peer = match rest.split_first() {
        Some((b'L' | b'U', _)) => Peer::Local,
        Some((b'4' | b'6', port_and_address)) => {
            let text = port_and_address.get(2..).unwrap_or_default();
            let at = HEAD_BYTES + data.len() - text.len();
            let client = address::client(until_nul(text).0);
            Peer::At(client.ok_or(Fault::BadAddress { at })?)
        }
        _ => return Err(Fault::Missing("client's address")),
    };
    Ok(Connect { name, peer })
}

/// The bytes before the first NUL, and those after it. What has no NUL ends with its packet.
pub(super) fn until_nul(bytes: &[u8]) -> (&[u8], &[u8]) {
    match memchr(0, bytes) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, b""),
    }
}
