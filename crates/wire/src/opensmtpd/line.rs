//! One line: its fields, and what they mean in its version.

use std::net::{IpAddr, SocketAddr};

use greylist::Client;
use memchr::{memchr, memrchr};

use super::{Event, Fault, Line, NAME_BYTES_MAX, Peer, Phase, Request, Ticket};

/// The version of the protocol in which a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

/// Since this one the result stands before the address.
const RESULT_BEFORE_ADDRESS: Version = Version(0, 6);
/// Since this one the result stands before the user.
const RESULT_BEFORE_USER: Version = Version(0, 7);

/// What smtpd writes for a host whose name it does not know.
const UNKNOWN_NAME: &[u8] = b"<unknown>";

/// What a line says, of which `fault` is known already.
pub(super) fn parse(line: &[u8], fault: Option<Fault>) -> Line<'_> {
    let mut fields = Fields(Some(line));
    let parsed = match fields.next() {
        Some(b"config") => setting(&mut fields).ok_or(Fault::Missing("key")),
        Some(b"report") => report(&mut fields),
        Some(b"filter") => return request(&mut fields, fault),
        _ => Err(Fault::UnknownKind),
    };
    match (parsed, fault) {
        // The rest is missing, and it may be what counts.
        (_, Some(fault)) | (Err(fault), None) => Line::Faulty(fault),
        (Ok(line), None) => line,
    }
}

fn setting<'a>(fields: &mut Fields<'a>) -> Option<Line<'a>> {
    match fields.next()? {
        b"ready" => Some(Line::Ready),
        key => Some(Line::Setting { key, value: fields.rest().unwrap_or_default() }),
    }
}

/// What stands before the session in a report and in a request.
struct Head<'a> {
    version: Option<Version>,
    subsystem: &'a [u8],
    event: &'a [u8],
}

fn head<'a>(fields: &mut Fields<'a>) -> Option<Head<'a>> {
    let version = Version::parse(fields.next()?);
    let _time = fields.next()?;
    Some(Head { version, subsystem: fields.next()?, event: fields.next()? })
}

fn report<'a>(fields: &mut Fields<'a>) -> Result<Line<'a>, Fault> {
    let head = head(fields).ok_or(Fault::Missing("event"))?;
    let version = head.version.ok_or(Fault::BadVersion)?;
    if head.subsystem != b"smtp-in" {
        return Ok(Line::Other);
    }
    let session = fields.name().ok_or(Fault::Missing("session"))?;
    let event = match head.event {
        b"link-connect" => Some(connected(fields)?),
        b"link-disconnect" => Some(Event::Disconnected),
        b"link-identify" => {
            let _method = fields.next();
            Some(Event::Greeted(fields.rest().ok_or(Fault::Missing("identity"))?))
        }
        b"link-auth" => logged_in(version, fields)?,
        b"tx-begin" => Some(Event::MessageBegun(fields.next().ok_or(Fault::Missing("message"))?)),
        b"tx-mail" => sender(version, fields)?,
        b"tx-reset" | b"tx-commit" | b"tx-rollback" => Some(Event::MessageEnded),
        _ => None,
    };
    if session.len() > NAME_BYTES_MAX {
        return Err(Fault::LongName);
    }
    Ok(event.map_or(Line::Other, |event| Line::Report { session, event }))
}

fn connected<'a>(fields: &mut Fields<'a>) -> Result<Event<'a>, Fault> {
    let name = fields.next().ok_or(Fault::Missing("name"))?;
    let confirmed = fields.next().ok_or(Fault::Missing("result"))?;
    let source = fields.next().ok_or(Fault::Missing("source"))?;
    let is_a_name = confirmed == b"pass" && !name.is_empty() && name != UNKNOWN_NAME;
    Ok(Event::Connected { peer: peer(source)?, name: is_a_name.then_some(name) })
}

/// `192.0.2.7:40000`, `[2001:db8::7]:40000`, or what a UNIX socket is called.
fn peer(source: &[u8]) -> Result<Peer, Fault> {
    if source == b"local" || source.starts_with(b"unix:") {
        return Ok(Peer::Local);
    }
    let text = std::str::from_utf8(source).map_err(|_| Fault::BadAddress)?;
    let with_port = text.parse::<SocketAddr>().map(|address| address.ip());
    let bare = || {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        bare.unwrap_or(text).parse::<IpAddr>()
    };
    let address = with_port.or_else(|_| bare()).map_err(|_| Fault::BadAddress)?;
    Ok(Peer::Client(Client::new(address)))
}

fn logged_in<'a>(version: Version, fields: &mut Fields<'a>) -> Result<Option<Event<'a>>, Fault> {
    let (result, _user) = fields.result_and_text(version >= RESULT_BEFORE_USER)?;
    Ok((result == b"pass").then_some(Event::LoggedIn))
}

fn sender<'a>(version: Version, fields: &mut Fields<'a>) -> Result<Option<Event<'a>>, Fault> {
    let _message = fields.next();
    let (result, address) = fields.result_and_text(version >= RESULT_BEFORE_ADDRESS)?;
    Ok((result == b"ok").then_some(Event::Sender(address)))
}

/// A request is one as soon as it can be answered.
fn request<'a>(fields: &mut Fields<'a>, fault: Option<Fault>) -> Line<'a> {
    let Some(head) = head(fields) else {
        return Line::Faulty(fault.unwrap_or(Fault::Missing("phase")));
    };
    let (Some(session), Some(token)) = (fields.name(), fields.name()) else {
        return Line::Faulty(fault.unwrap_or(Fault::Missing("session or token")));
    };
    let parameter = fields.rest();
    let phase = match (head.event, parameter, fault) {
        // Whatever else is wrong: lines that are not given back would be missing in the message.
        (b"data-line", line, _) => Phase::DataLine(line.unwrap_or_default()),
        (_, _, Some(fault)) => Phase::Unclear(fault),
        (b"rcpt-to", None, None) => Phase::Unclear(Fault::Missing("recipient")),
        (b"rcpt-to", Some(recipient), None) => Phase::Recipient(recipient),
        _ => Phase::Other,
    };
    Line::Request(Request { ticket: Ticket { session, token }, phase })
}

impl Version {
    fn parse(field: &[u8]) -> Option<Self> {
        let (major, minor) = std::str::from_utf8(field).ok()?.split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

/// What is left of a line; nothing after its last field.
struct Fields<'a>(Option<&'a [u8]>);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0?;
        let (field, rest) = match memchr(b'|', rest) {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        self.0 = rest;
        Some(field)
    }

    /// A field that must not be empty.
    fn name(&mut self) -> Option<&'a [u8]> {
        self.next().filter(|name| !name.is_empty())
    }

    /// All that is left, bars included.
    fn rest(&mut self) -> Option<&'a [u8]> {
        self.0.take()
    }

    /// The last two fields, of which the text may have bars in it.
    fn result_and_text(&mut self, is_result_first: bool) -> Result<(&'a [u8], &'a [u8]), Fault> {
        let rest = self.rest().ok_or(Fault::Missing("result"))?;
        let at = if is_result_first { memchr(b'|', rest) } else { memrchr(b'|', rest) };
        let at = at.ok_or(Fault::Missing("result"))?;
        let (first, last) = (&rest[..at], &rest[at + 1..]);
        Ok(if is_result_first { (first, last) } else { (last, first) })
    }
}
