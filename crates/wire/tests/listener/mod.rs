//! Plays the listener: keeps what the decoder wants kept, drops what it has used, and notes what it
//! was told. The fuzz target uses it too.

use std::fmt::Write as _;

use wire::Limits;
use wire::postfix::{Decoded, Decoder, Request};

/// A connection with its buffer.
pub(crate) struct Listener {
    limits: Limits,
    decoder: Decoder,
    buffer: Vec<u8>,
    /// How many bytes the messages so far and all that was discarded before them took.
    taken: usize,
    seen: Vec<Seen>,
}

/// One request as the listener saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Where in the stream it ended.
    pub(crate) end: usize,
    /// What it said.
    pub(crate) text: String,
}

impl Listener {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            decoder: Decoder::new(limits),
            buffer: Vec::new(),
            taken: 0,
            seen: Vec::new(),
        }
    }

    /// Takes what one read brought.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.run(Decoder::decode);
        assert!(
            self.buffer.len() < self.limits.request_bytes_max.max(2),
            "{} bytes are kept, though the limit is {}",
            self.buffer.len(),
            self.limits.request_bytes_max
        );
    }

    /// Takes the news that nothing more will come.
    pub(crate) fn finish(mut self) -> Vec<Seen> {
        self.run(Decoder::finish);
        assert!(self.buffer.is_empty(), "something is left: {}", self.buffer.escape_ascii());
        assert!(!self.decoder.is_mid_request(0), "a request is left open");
        self.seen
    }

    fn run(&mut self, decode: for<'a> fn(&mut Decoder, &'a [u8]) -> Decoded<'a>) {
        let mut start = 0;
        loop {
            let front = &self.buffer[start..];
            let used = match decode(&mut self.decoder, front) {
                Decoded::Need => break,
                Decoded::Discard { used } => {
                    assert!(used > 0, "a listener would spin");
                    used
                }
                Decoded::Message { used, request } => {
                    let end = self.taken + used;
                    self.seen.push(Seen { end, text: render(&request) });
                    used
                }
            };
            assert!(used <= front.len());
            start += used;
            self.taken += used;
        }
        self.buffer.drain(..start);
    }
}

/// What a peer that sends `pieces`, and then shuts down, was understood to say.
pub(crate) fn listen<'a>(limits: Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
    let mut listener = Listener::new(limits);
    for piece in pieces {
        listener.read(piece);
    }
    listener.finish()
}

/// A request, one field a line.
pub(crate) fn render(request: &Request<'_>) -> String {
    let query = match request {
        Request::Ask(query) => query,
        Request::Pass(state) => return format!("pass {}\n", state.name()),
        Request::Faulty(fault) => return format!("faulty {}: {fault}\n", fault.kind()),
    };
    let mut text = format!("ask {}\ntrust {:?}\n", query.client, query.trust);
    let name = query.client_name.unwrap_or(b"(none)");
    for (field, value) in [
        ("client-name", name),
        ("helo", query.helo),
        ("sender", query.sender),
        ("recipient", query.recipient),
        ("instance", query.instance),
        ("queue-id", query.queue_id),
    ] {
        let shown = match std::str::from_utf8(value) {
            Ok(utf8) if !utf8.contains(char::is_control) => utf8.to_owned(),
            _ => value.escape_ascii().to_string(),
        };
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{}", format!("{field} {shown}").trim_end());
    }
    text
}
