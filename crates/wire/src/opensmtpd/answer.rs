//! What smtpd reads: the registration, and answers.

use std::io::Write as _;

/// The longest line of a reply or header that is written, in bytes: what a line of text may have
/// (RFC 5322, section 2.1.1), and more than one of SMTP's replies (RFC 5321, section 4.5.3.1.5: 512).
const TEXT_BYTES_MAX: usize = 998;

/// What an answer must carry: which request it answers. As smtpd wrote it, so that it is echoed as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket<'a> {
    /// The session.
    pub session: &'a [u8],
    /// What smtpd calls this request.
    pub token: &'a [u8],
}

/// What we want to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// About recipients alone.
    Recipients,
    /// About recipients, and every message shall pass through us, so that it can get a header.
    RecipientsAndMessages,
}

/// Appends what we want to hear of. Only what OpenSMTPD has known since its filters came with 6.6: an event
/// that it doesn't know ends smtpd.
pub fn encode_registration(wanted: Wanted, out: &mut Vec<u8>) {
    const EVENTS: [&str; 9] = [
        "link-connect",
        "link-disconnect",
        "link-identify",
        "link-auth",
        "tx-reset",
        "tx-begin",
        "tx-mail",
        "tx-commit",
        "tx-rollback",
    ];
    let phases: &[&str] = match wanted {
        Wanted::Recipients => &["rcpt-to"],
        Wanted::RecipientsAndMessages => &["rcpt-to", "data-line"],
    };
    let reports = EVENTS.iter().map(|event| ("report", event));
    for (stream, what) in reports.chain(phases.iter().map(|phase| ("filter", phase))) {
        for piece in ["register|", stream, "|smtp-in|", what, "\n"] {
            out.extend_from_slice(piece.as_bytes());
        }
    }
    out.extend_from_slice(b"register|ready\n");
}

/// Appends the answer "no objection": other filters and smtpd itself may still object.
pub fn encode_proceed(ticket: Ticket<'_>, out: &mut Vec<u8>) {
    begin(b"filter-result", ticket, out);
    out.extend_from_slice(b"proceed\n");
}

/// Appends the answer that puts the client off (`code` is 400 to 499) or refuses what it wants (500 to 599), in
/// these words. At 421 smtpd hangs up.
pub fn encode_refusal(ticket: Ticket<'_>, code: u16, words: &[u8], out: &mut Vec<u8>) {
    begin(b"filter-result", ticket, out);
    // Writing to a `Vec` cannot fail.
    let _ = write!(out, "reject|{code} ");
    text(words, out);
    out.push(b'\n');
}

/// Appends a line of the message as it came: the answer to a data line, or one of its answers.
pub fn encode_data_line(ticket: Ticket<'_>, line: &[u8], out: &mut Vec<u8>) {
    begin(b"filter-dataline", ticket, out);
    out.extend_from_slice(line);
    out.push(b'\n');
}

/// Appends a header line, `Name: value`, that goes before the message's first line.
pub fn encode_header(ticket: Ticket<'_>, header: &[u8], out: &mut Vec<u8>) {
    begin(b"filter-dataline", ticket, out);
    text(header, out);
    out.push(b'\n');
}

fn begin(kind: &[u8], ticket: Ticket<'_>, out: &mut Vec<u8>) {
    for piece in [kind, b"|", ticket.session, b"|", ticket.token, b"|"] {
        out.extend_from_slice(piece);
    }
}

/// One line of text, whatever a server said: nothing in it can end it or begin another.
fn text(said: &[u8], out: &mut Vec<u8>) {
    let said = &said[..said.len().min(TEXT_BYTES_MAX)];
    out.extend(said.iter().map(|&byte| if byte.is_ascii_control() { b' ' } else { byte }));
}
