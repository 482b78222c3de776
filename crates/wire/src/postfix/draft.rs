//! A request being read: where in the buffer its attributes' values are, line by line, and what
//! they mean once all are there.
//!
//! Places, not slices: the buffer grows, and may move, between two reads.

use std::net::IpAddr;

use greylist::{Client, Query, Trust};
use memchr::memchr;

use super::{ProtocolState, Request};
use crate::Fault;

/// The attributes that are read.
#[derive(Clone, Copy)]
enum Attribute {
    Request,
    ProtocolState,
    ClientAddress,
    ClientName,
    HeloName,
    Sender,
    Recipient,
    QueueId,
    Instance,
    SaslUsername,
    CcertSubject,
    CcertIssuer,
}

const ATTRIBUTES: usize = Attribute::CcertIssuer as usize + 1;

impl Attribute {
    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"request" => Self::Request,
            b"protocol_state" => Self::ProtocolState,
            b"client_address" => Self::ClientAddress,
            b"client_name" => Self::ClientName,
            b"helo_name" => Self::HeloName,
            b"sender" => Self::Sender,
            b"recipient" => Self::Recipient,
            b"queue_id" => Self::QueueId,
            b"instance" => Self::Instance,
            b"sasl_username" => Self::SaslUsername,
            b"ccert_subject" => Self::CcertSubject,
            b"ccert_issuer" => Self::CcertIssuer,
            _ => return None,
        })
    }
}

/// Where a value is, in bytes from the request's start. A request is shorter than 4 GiB
/// ([`crate::Limits`]), and a connection that waits costs half as much this way.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

/// What is known of a request whose end has not been seen.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// Where the next line begins.
    next_line: usize,
    lines: usize,
    values: [Span; ATTRIBUTES],
    fault: Option<Fault>,
}

impl Draft {
    pub(super) const EMPTY: Self = Self {
        next_line: 0,
        lines: 0,
        values: [Span { start: 0, end: 0 }; ATTRIBUTES],
        fault: None,
    };

    /// Where the first line begins that has not been added.
    pub(super) fn next_line(&self) -> usize {
        self.next_line
    }

    /// Takes the next line, without its end; the one after it begins at `next_line`.
    pub(super) fn add(&mut self, line: &[u8], next_line: usize) {
        let start = self.next_line;
        self.next_line = next_line;
        self.lines += 1;
        let Some(equals) = memchr(b'=', line) else {
            self.fault.get_or_insert(Fault::NotAnAttribute { line: self.lines });
            return;
        };
        if let Some(attribute) = Attribute::named(&line[..equals]) {
            self.values[attribute as usize] =
                Span { start: (start + equals + 1) as u32, end: (start + line.len()) as u32 };
        }
    }

    /// What the request says, all its lines added; `buf` begins with it.
    pub(super) fn request<'a>(&self, buf: &'a [u8]) -> Request<'a> {
        let value = |attribute| self.value(attribute, buf);
        if let Some(fault) = self.fault {
            return Request::Faulty(fault);
        }
        if !matches!(value(Attribute::Request), b"" | b"smtpd_access_policy") {
            return Request::Faulty(Fault::OtherService);
        }
        if let Some(state) = ProtocolState::of(value(Attribute::ProtocolState)) {
            return Request::Pass(state);
        }
        match self.query(buf) {
            Ok(query) => Request::Ask(query),
            Err(fault) => Request::Faulty(fault),
        }
    }

    fn query<'a>(&self, buf: &'a [u8]) -> Result<Query<'a>, Fault> {
        let value = |attribute| self.value(attribute, buf);
        let client = match value(Attribute::ClientAddress) {
            b"" => return Err(Fault::Missing("client_address")),
            text => client(text).ok_or(Fault::BadAddress {
                at: self.values[Attribute::ClientAddress as usize].start as usize,
            })?,
        };
        let recipient = without_brackets(value(Attribute::Recipient));
        if recipient.is_empty() {
            return Err(Fault::Missing("recipient"));
        }
        let trust = if !value(Attribute::SaslUsername).is_empty() {
            Trust::Authenticated
        } else if !value(Attribute::CcertSubject).is_empty()
            || !value(Attribute::CcertIssuer).is_empty()
        {
            Trust::Certificate
        } else {
            Trust::Stranger
        };
        Ok(Query {
            client,
            client_name: match value(Attribute::ClientName) {
                b"" | b"unknown" => None,
                name => Some(name),
            },
            helo: value(Attribute::HeloName),
            sender: without_brackets(value(Attribute::Sender)),
            recipient,
            trust,
            instance: value(Attribute::Instance),
            queue_id: value(Attribute::QueueId),
        })
    }

    /// Empty if there is no such attribute.
    fn value<'a>(&self, attribute: Attribute, buf: &'a [u8]) -> &'a [u8] {
        let Span { start, end } = self.values[attribute as usize];
        buf.get(start as usize..end as usize).unwrap_or_default()
    }
}

/// `<a@example.net>` without its brackets: an ACL's author may have left them there.
fn without_brackets(address: &[u8]) -> &[u8] {
    address.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">")).unwrap_or(address)
}

/// Reads `192.0.2.7` or `2001:db8::7`; also as an SMTP address literal would have it
/// (`IPv6:2001:db8::7`, with or without square brackets) and with a zone (`fe80::1%eth0`), which is
/// dropped: the zone is the name of an interface of the MTA's, and says nothing about the client.
fn client(text: &[u8]) -> Option<Client> {
    let text = text.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).unwrap_or(text);
    let text = match text.split_at_checked(5) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(b"IPv6:") => rest,
        _ => text,
    };
    let text = memchr(b'%', text).map_or(text, |zone| &text[..zone]);
    let address: IpAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(Client::new(address))
}
