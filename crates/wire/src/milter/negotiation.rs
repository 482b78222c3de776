//! What a peer offers, and what we want of it.

use super::packet::Command;
use super::{VERSION_MAX, VERSION_MIN};
use crate::Fault;

/// What filters may do to a message: to add a header.
const ADD_HEADERS: u32 = 0x01;
/// What filters may ask: which macros come with which step.
const CHOOSE_MACROS: u32 = 0x100;

/// A step and how it can be left out: the step itself, or only the reply to it.
struct Saving {
    command: Command,
    /// The bit by which the peer never sends it; 0 for a step that we need.
    step: u32,
    /// The bit by which it waits for no reply.
    reply: u32,
}

/// All that can be saved. Recipients are asked about, and a header may be due at a message's
/// end: those two always get a reply.
const SAVINGS: [Saving; 8] = [
    Saving { command: Command::Connect, step: 0, reply: 0x1000 },
    Saving { command: Command::Helo, step: 0, reply: 0x2000 },
    Saving { command: Command::Mail, step: 0, reply: 0x4000 },
    Saving { command: Command::Data, step: 0x200, reply: 0x1_0000 },
    Saving { command: Command::Header, step: 0x20, reply: 0x80 },
    Saving { command: Command::EndOfHeaders, step: 0x40, reply: 0x4_0000 },
    Saving { command: Command::Body, step: 0x10, reply: 0x8_0000 },
    Saving { command: Command::Unknown, step: 0x100, reply: 0x2_0000 },
];

/// Which macros are wanted with which step, if a peer lets us choose: all at MAIL, where both MTAs
/// know all of them. With the others Sendmail sends none, and so no packet either: over TCP, a packet of
/// macros right before a recipient's would wait for an acknowledgement. Postfix takes "none" for
/// "the usual": among those of a recipient is the queue id, which it has once one was accepted.
const MACROS: [(u32, &[u8]); 7] = [
    (0, b""),                                                                         // CONNECT
    (1, b""),                                                                         // HELO
    (2, b"i v {auth_authen} {cert_subject} {verify} {client_name} {client_resolve}"), // MAIL
    (3, b""),                                                                         // RCPT
    (4, b""),                                                                         // DATA
    (5, b""), // the message's end
    (6, b""), // the headers' end
];

/// What a peer offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The newest version it speaks; at least 2.
    version: u32,
    /// What it lets filters do.
    actions: u32,
    /// What it can leave out.
    steps: u32,
}

/// What was agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    version: u32,
    actions: u32,
    steps: u32,
}

impl Offer {
    pub(super) fn read(data: &[u8]) -> Result<Self, Fault> {
        let word = |at: usize| data.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
        let (Some(version), Some(actions), Some(steps)) = (word(0), word(4), word(8)) else {
            return Err(Fault::Missing("version, actions and steps"));
        };
        if version < VERSION_MIN {
            return Err(Fault::Version(version));
        }
        Ok(Self { version, actions, steps })
    }

    /// What we want of it: never more than it offers.
    pub(super) fn agree(self) -> Agreed {
        let wanted = SAVINGS.iter().fold(0, |wanted, saving| wanted | saving.step | saving.reply);
        Agreed {
            version: self.version.min(VERSION_MAX),
            actions: self.actions & (ADD_HEADERS | CHOOSE_MACROS),
            steps: self.steps & wanted,
        }
    }
}

impl Agreed {
    /// With a peer that has offered nothing: it gets a reply to everything.
    pub(super) const NOTHING: Self = Self { version: VERSION_MIN, actions: 0, steps: 0 };

    /// Whether `command` gets a reply.
    pub(super) fn wants_reply(&self, command: Command) -> bool {
        match command {
            Command::Recipient | Command::EndOfMessage => true,
            command => SAVINGS
                .iter()
                .any(|saving| saving.command == command && self.steps & saving.reply == 0),
        }
    }

    /// Whether a header may be added.
    pub(super) fn may_add_headers(&self) -> bool {
        self.actions & ADD_HEADERS != 0
    }

    /// Whether a header's place can be told: since version 3 (Sendmail 8.13).
    pub(super) fn may_insert_headers(&self) -> bool {
        self.may_add_headers() && self.version >= 3
    }

    /// Appends the packet that says so.
    pub fn encode(&self, out: &mut Vec<u8>) {
        super::reply::packet(b'O', out, |out| {
            for word in [self.version, self.actions, self.steps] {
                out.extend_from_slice(&word.to_be_bytes());
            }
            if self.actions & CHOOSE_MACROS != 0 {
                for (step, names) in MACROS {
                    out.extend_from_slice(&step.to_be_bytes());
                    out.extend_from_slice(names);
                    out.push(0);
                }
            }
        });
    }
}
