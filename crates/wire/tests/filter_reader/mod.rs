//! Plays a filter that reads from smtpd: keeps what the decoder wants kept, drops what it has used, and notes
//! what it was told. The fuzz target uses it too.

use wire::opensmtpd::{Decoded, Decoder, Event, Line, Phase, Request, encode_proceed};

/// What smtpd, when it writes `pieces`, is understood to say: one line of text for each that it writes.
///
/// # Panics
/// When more is kept than `limit` bytes, or a request could not be answered in one line.
pub(crate) fn read<'a>(limit: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut decoder = Decoder::new(limit);
    let mut buffer = Vec::new();
    let mut seen = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let mut start = 0;
        loop {
            let front = &buffer[start..];
            let used = match decoder.decode(front) {
                Decoded::Need => break,
                Decoded::Discard { used } => used,
                Decoded::Line { used, line } => {
                    seen.push(render(&line));
                    used
                }
            };
            assert!(used > 0 && used <= front.len(), "a filter would spin");
            start += used;
        }
        buffer.drain(..start);
        assert!(buffer.len() < limit.max(2), "{} bytes kept, limit {limit}", buffer.len());
    }
    seen
}

fn render(line: &Line<'_>) -> String {
    match line {
        Line::Setting { key, value } => format!("setting {} = {}", show(key), show(value)),
        Line::Ready => "ready".to_owned(),
        Line::Report { session, event } => format!("{} {}", show(session), event_text(event)),
        Line::Request(request) => request_text(request),
        Line::Other => "other".to_owned(),
        Line::Faulty(fault) => format!("faulty: {fault}"),
    }
}

fn event_text(event: &Event<'_>) -> String {
    match event {
        Event::Connected { peer, name } => {
            format!("connected {peer:?} {}", show(name.unwrap_or(b"(no name)")))
        }
        Event::Greeted(name) => format!("greeted {}", show(name)),
        Event::LoggedIn => "logged in".to_owned(),
        Event::MessageBegun(id) => format!("message {}", show(id)),
        Event::Sender(address) => format!("sender <{}>", show(address)),
        Event::MessageEnded => "message ended".to_owned(),
        Event::Disconnected => "disconnected".to_owned(),
    }
}

fn request_text(request: &Request<'_>) -> String {
    let Request { ticket, phase } = request;
    let mut answer = Vec::new();
    encode_proceed(*ticket, &mut answer);
    let ends = answer.iter().filter(|&&byte| byte == b'\n').count();
    assert!(ends == 1 && answer.ends_with(b"|proceed\n"), "{}", answer.escape_ascii());
    let asks = match phase {
        Phase::Recipient(address) => format!("recipient <{}>", show(address)),
        Phase::DataLine(line) => format!("line {}", show(line)),
        Phase::Other => "something else".to_owned(),
        Phase::Unclear(fault) => format!("unclear: {fault}"),
    };
    format!("{} asks by {}: {asks}", show(ticket.session), show(ticket.token))
}

fn show(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}
