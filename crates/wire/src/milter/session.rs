//! What is known of connection, message and recipient, and what each packet is owed.
//!
//! Never knows what an answer should be; it is told how long a recipient has waited, and remembers
//! the longest until the message's end, where its one header is due.

use greylist::{Query, Secs};

use super::macros::Known;
use super::negotiation::Agreed;
use super::packet::{Command, Connect, Packet, Peer};
use crate::Fault;

/// One connection of an MTA. It carries one SMTP session, or several after each other (`K`, and Postfix
/// after XCLIENT); and each of them any number of messages.
#[derive(Clone, Debug)]
pub struct Session {
    agreed: Agreed,
    known: Known,
    /// None before it is known, or when what came was no address.
    peer: Option<Peer>,
    helo: Vec<u8>,
    /// Whether there is a message, with its sender.
    has_sender: bool,
    sender: Vec<u8>,
    /// The recipient last asked about.
    recipient: Vec<u8>,
    /// The longest wait of this message's recipients, if one has waited.
    waited: Option<Secs>,
    /// Who it was that has waited for longest.
    waiting: Vec<u8>,
}

/// What a packet is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Silence,
    /// What was agreed.
    Agree(Agreed),
    /// No objection.
    Continue,
    /// An answer to [`Session::query`].
    Ask,
    /// The header, if one is due, and no objection.
    EndOfMessage,
    /// No objection, since it was not understood.
    Excuse(Fault),
    /// It was not understood, and wants no reply.
    Ignore(Fault),
    /// The end of the connection.
    Close,
    /// The end of the connection, since no more can be understood.
    GiveUp(Fault),
}

impl Default for Session {
    fn default() -> Self {
        Self {
            agreed: Agreed::NOTHING,
            known: Known::default(),
            peer: None,
            helo: Vec::new(),
            has_sender: false,
            sender: Vec::new(),
            recipient: Vec::new(),
            waited: None,
            waiting: Vec::new(),
        }
    }
}

impl Session {
    /// Takes the next packet, and says what it is owed.
    pub fn take(&mut self, packet: &Packet<'_>) -> Step {
        match *packet {
            Packet::Negotiate(offer) => {
                self.begin_connection();
                self.agreed = offer.agree();
                Step::Agree(self.agreed)
            }
            Packet::Macros { of, ref macros } => {
                if let Some(of) = of {
                    self.known.tell(of, macros);
                }
                Step::Silence
            }
            Packet::Connect(Connect { peer, .. }) => {
                self.connected(Some(peer));
                self.dealt_with(Command::Connect)
            }
            Packet::Helo(name) => {
                self.known.begin(Command::Helo);
                replace(&mut self.helo, name);
                self.end_message();
                self.dealt_with(Command::Helo)
            }
            Packet::Mail(sender) => {
                self.known.begin(Command::Mail);
                self.end_message();
                replace(&mut self.sender, sender);
                self.has_sender = true;
                self.dealt_with(Command::Mail)
            }
            Packet::Recipient(recipient) => self.recipient(recipient),
            Packet::Plain(command) => self.plain(command),
            Packet::Faulty { command, fault } => self.faulty(command, fault),
        }
    }

    /// The question that [`Step::Ask`] was about; none if there is none.
    pub fn query(&self) -> Option<Query<'_>> {
        self.query_about(&self.recipient)
    }

    /// Remembers that the recipient last asked about is let through after having waited.
    pub fn has_waited(&mut self, waited: Secs) {
        if self.waited.is_none_or(|longest| longest < waited) {
            self.waited = Some(waited);
            std::mem::swap(&mut self.recipient, &mut self.waiting);
        }
    }

    /// Which of this message's recipients has waited for longest, and how long.
    pub(super) fn longest_wait(&self) -> Option<(Query<'_>, Secs)> {
        Some((self.query_about(&self.waiting)?, self.waited?))
    }

    pub(super) fn agreed(&self) -> Agreed {
        self.agreed
    }

    /// Ends the message, after its end was answered.
    pub fn end_message(&mut self) {
        self.has_sender = false;
        self.waited = None;
    }

    fn query_about<'a>(&'a self, recipient: &'a [u8]) -> Option<Query<'a>> {
        let Some(Peer::At(client)) = self.peer else { return None };
        self.has_sender.then(|| Query {
            client_name: self.known.client_name(),
            helo: &self.helo,
            trust: self.known.trust(),
            queue_id: self.known.queue_id(),
            ..Query::new(client, &self.sender, recipient)
        })
    }

    fn begin_connection(&mut self) {
        self.known.forget();
        self.connected(None);
    }

    fn connected(&mut self, peer: Option<Peer>) {
        self.known.begin(Command::Connect);
        self.peer = peer;
        self.helo.clear();
        self.end_message();
    }

    /// What a step is owed about which nothing is to be said.
    fn dealt_with(&self, command: Command) -> Step {
        if self.agreed.wants_reply(command) { Step::Continue } else { Step::Silence }
    }

    fn recipient(&mut self, recipient: &[u8]) -> Step {
        self.known.begin(Command::Recipient);
        replace(&mut self.recipient, recipient);
        match self.peer {
            None => Step::Excuse(Fault::Missing("client before its recipient")),
            _ if !self.has_sender => Step::Excuse(Fault::Missing("sender before its recipient")),
            Some(Peer::Local) => Step::Continue,
            Some(Peer::At(_)) => Step::Ask,
        }
    }

    fn plain(&mut self, command: Command) -> Step {
        match command {
            Command::EndOfMessage => Step::EndOfMessage,
            Command::Abort => {
                self.end_message();
                Step::Silence
            }
            Command::QuitNewConnection => {
                self.begin_connection();
                Step::Silence
            }
            Command::Quit => Step::Close,
            command => self.dealt_with(command),
        }
    }

    /// What was not understood must not be taken for what came before it.
    fn faulty(&mut self, command: Command, fault: Fault) -> Step {
        match command {
            Command::Negotiate => return Step::GiveUp(fault),
            Command::Connect => self.connected(None),
            Command::Helo => {
                self.known.begin(command);
                self.helo.clear();
                self.end_message();
            }
            Command::Mail => {
                self.known.begin(command);
                self.end_message();
            }
            Command::EndOfMessage | Command::Abort => self.end_message(),
            Command::Recipient => self.known.begin(command),
            Command::QuitNewConnection => self.begin_connection(),
            Command::Quit => return Step::Close,
            _ => {}
        }
        if self.agreed.wants_reply(command) { Step::Excuse(fault) } else { Step::Ignore(fault) }
    }
}

fn replace(text: &mut Vec<u8>, new: &[u8]) {
    text.clear();
    text.extend_from_slice(new);
}
