//! Plays the listener: keeps what the decoder wants kept, drops what it has used, asks the session what
//! is owed, answers by a rule that everybody can see, and notes it all. The fuzz target uses it too.

use greylist::reply::{EnhancedCode, Replies, Reply, ReplyCode, Template};
use greylist::{Effect, Query, Secs};
use wire::Limits;
use wire::milter::{
    Command, Decoded, Decoder, Packet, Session, Step, encode, encode_end_of_message,
    encode_no_objection,
};

/// A connection with its buffer.
pub(crate) struct Listener {
    limits: Limits,
    replies: Replies,
    decoder: Decoder,
    session: Session,
    buffer: Vec<u8>,
    /// How many bytes the packets so far and all that was discarded before them took.
    taken: usize,
    is_closed: bool,
    seen: Vec<Seen>,
}

/// One packet as the listener saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Where in the stream it ended.
    pub(crate) end: usize,
    /// What it was owed, and what it got.
    pub(crate) text: String,
}

impl Listener {
    pub(crate) fn new(limits: Limits, replies: Replies) -> Self {
        Self {
            limits,
            replies,
            decoder: Decoder::new(limits),
            session: Session::default(),
            buffer: Vec::new(),
            taken: 0,
            is_closed: false,
            seen: Vec::new(),
        }
    }

    /// Takes what one read brought.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        let buffer = std::mem::take(&mut self.buffer);
        let mut start = 0;
        while !self.is_closed {
            let front = &buffer[start..];
            let (used, text) = match self.decoder.decode(front) {
                Decoded::Need => break,
                Decoded::Discard { used } => {
                    assert!(used > 0, "a listener would spin");
                    (used, None)
                }
                Decoded::Message { used, packet } => {
                    let step = self.session.take(&packet);
                    (used, Some(format!("{}: {}", name(&packet), self.deal_with(step))))
                }
                Decoded::Lost(fault) => {
                    self.is_closed = true;
                    (0, Some(format!("lost {}: {fault}", fault.kind())))
                }
            };
            assert!(used <= front.len());
            start += used;
            self.taken += used;
            if let Some(text) = text {
                self.seen.push(Seen { end: self.taken, text });
            }
        }
        if !self.is_closed {
            self.buffer = buffer;
            self.buffer.drain(..start);
            let limit = self.limits.request_bytes_max.max(5);
            assert!(self.buffer.len() < limit, "{} bytes are kept", self.buffer.len());
        }
    }

    fn deal_with(&mut self, step: Step) -> String {
        let mut out = Vec::new();
        let mut text = match step {
            Step::Silence => "nothing".to_owned(),
            Step::Agree(agreed) => {
                agreed.encode(&mut out);
                "agree".to_owned()
            }
            Step::Continue => {
                encode_no_objection(&mut out);
                "continue".to_owned()
            }
            Step::Ask => self.answer(&mut out),
            Step::EndOfMessage => {
                encode_end_of_message(&self.session, &self.replies, &mut out);
                self.session.end_message();
                "end of message".to_owned()
            }
            Step::Excuse(fault) => {
                encode_no_objection(&mut out);
                format!("excuse {}: {fault}", fault.kind())
            }
            Step::Ignore(fault) => format!("ignore {}: {fault}", fault.kind()),
            Step::Close => {
                self.is_closed = true;
                "close".to_owned()
            }
            Step::GiveUp(fault) => {
                self.is_closed = true;
                format!("give up {}: {fault}", fault.kind())
            }
        };
        for (command, data) in packets(&out) {
            text.push_str(&format!("\n  {} {}", command as char, data.escape_ascii()));
        }
        text
    }

    fn answer(&mut self, out: &mut Vec<u8>) -> String {
        let query = self.session.query().expect("a question was announced");
        let text = render(&query);
        let effect = effect(query.recipient);
        encode(effect, &query, &self.replies, out);
        if let Effect::AddHeader { waited } = effect {
            self.session.has_waited(waited);
        }
        text
    }

    /// What was seen, and what is left of a packet that never ended.
    pub(crate) fn finish(self) -> Vec<Seen> {
        let mut seen = self.seen;
        if !self.is_closed && self.decoder.is_mid_packet(self.buffer.len()) {
            let end = self.taken + self.buffer.len();
            seen.push(Seen { end, text: "cut short".to_owned() });
        }
        seen
    }
}

/// The answer: anybody can tell it by the recipient's first letter.
pub(crate) fn effect(recipient: &[u8]) -> Effect {
    match recipient.first() {
        Some(b'b') => Effect::AddHeader { waited: Secs::new(63) },
        Some(b'c') => Effect::AddHeader { waited: Secs::new(75) },
        Some(b'l') => Effect::Defer { wait: Secs::new(48) },
        Some(b'r') => Effect::Reject,
        _ => Effect::NoObjection,
    }
}

/// The replies that an admin gets who changes nothing, but for a header that shows whose it is.
pub(crate) fn replies() -> Replies {
    let reply = |code: ReplyCode, enhanced, text| {
        let enhanced = EnhancedCode::parse(enhanced).unwrap();
        Reply::new(code, Some(enhanced), Template::parse(text).unwrap()).unwrap()
    };
    Replies::new(
        reply(ReplyCode::defer(450).unwrap(), "4.7.1", Replies::DEFER_TEXT),
        reply(ReplyCode::reject(550).unwrap(), "5.7.1", Replies::REJECT_TEXT),
        Some(Template::parse("delayed {wait} for {recipient}").unwrap()),
    )
    .unwrap()
}

/// What a peer that sends `pieces` was understood to say, and what it got.
pub(crate) fn listen<'a>(limits: Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
    let mut listener = Listener::new(limits, replies());
    for piece in pieces {
        listener.read(piece);
    }
    listener.finish()
}

/// The packets in `bytes`, which must be whole: command and data.
pub(crate) fn packets(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut packets = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (packet, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        packets.push((packet[0], &packet[1..]));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a length: {bytes:?}");
    packets
}

/// What a packet was taken for.
fn name(packet: &Packet<'_>) -> String {
    let command = match packet {
        Packet::Negotiate(_) => Command::Negotiate,
        Packet::Macros { of, .. } => return format!("Macros for {of:?}"),
        Packet::Connect(_) => Command::Connect,
        Packet::Helo(_) => Command::Helo,
        Packet::Mail(_) => Command::Mail,
        Packet::Recipient(_) => Command::Recipient,
        Packet::Plain(command) | Packet::Faulty { command, .. } => *command,
    };
    format!("{command:?}")
}

/// A question, on one line.
pub(crate) fn render(query: &Query<'_>) -> String {
    let name = query.client_name.unwrap_or(b"(none)");
    format!(
        "ask {} {:?} name={} helo={} queue-id={} <{}> <{}>",
        query.client,
        query.trust,
        name.escape_ascii(),
        query.helo.escape_ascii(),
        query.queue_id.escape_ascii(),
        query.sender.escape_ascii(),
        query.recipient.escape_ascii()
    )
}
