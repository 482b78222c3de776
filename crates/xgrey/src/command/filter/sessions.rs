//! What is known of each session of the mail server, from what it reports.
//!
//! A session that is not known here, for whatever reason, is not asked about: its mail flows.

use std::collections::HashMap;

use greylist::{Client, Query, Trust};
use wire::opensmtpd::{Event, Peer};

/// How many sessions are kept. OpenSMTPD takes about 10,000 at once, as many as it has files to open.
pub(super) const SESSIONS_MAX: usize = 32_768;

/// How long a text of a session may be, in bytes: more than any address (RFC 5321, section 4.5.3.1: 320) or
/// header line (RFC 5322, section 2.1.1: 998). Five texts of 32,768 sessions are 160 MiB at worst.
const TEXT_BYTES_MAX: usize = 1_024;

/// All sessions, by the mail server's names for them.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    known: HashMap<Box<[u8]>, Session>,
}

/// Whether there was room for what was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Enough,
    /// There are too many sessions: this one's mail flows.
    None,
}

#[derive(Debug)]
struct Session {
    peer: Peer,
    name: Option<Vec<u8>>,
    helo: Vec<u8>,
    trust: Trust,
    message: Message,
}

/// What is known of the message that a session is about to send.
#[derive(Debug, Default)]
struct Message {
    /// What the mail server calls it.
    id: Vec<u8>,
    /// Nothing before the sender was accepted; empty for the null sender.
    sender: Option<Vec<u8>>,
    /// The header that it is to get.
    header: Option<Vec<u8>>,
}

impl Sessions {
    /// Takes note of what has happened in a session.
    pub(super) fn note(&mut self, session: &[u8], event: Event<'_>) -> Room {
        match event {
            Event::Connected { peer, name } => return self.begin(session, peer, name),
            Event::Disconnected => drop(self.known.remove(session)),
            Event::Greeted(helo) => self.with(session, |known| {
                known.helo.clear();
                known.helo.extend_from_slice(cut(helo));
            }),
            Event::LoggedIn => self.with(session, |known| known.trust = Trust::Authenticated),
            Event::MessageBegun(id) => self.with(session, |known| {
                known.message = Message { id: cut(id).to_owned(), ..Message::default() };
            }),
            Event::Sender(address) => self.with(session, |known| {
                // Half an address would be another one.
                known.message.sender =
                    (address.len() <= TEXT_BYTES_MAX).then(|| address.to_owned());
            }),
            Event::MessageEnded => self.with(session, |known| known.message = Message::default()),
        }
        Room::Enough
    }

    /// What to ask about that recipient; nothing if it is to be let in unasked: the client is a program on this
    /// host, or there is no telling who it is.
    pub(super) fn query<'a>(&'a self, session: &[u8], recipient: &'a [u8]) -> Option<Query<'a>> {
        let known = self.known.get(session)?;
        let client = client(known.peer)?;
        let sender = known.message.sender.as_deref()?;
        Some(Query {
            client_name: known.name.as_deref(),
            helo: &known.helo,
            trust: known.trust,
            queue_id: &known.message.id,
            ..Query::new(client, sender, recipient)
        })
    }

    /// Keeps a header for the message; the first one stays, so that a message gets one.
    pub(super) fn add_header(&mut self, session: &[u8], header: &[u8]) {
        self.with(session, |known| {
            if header.len() <= TEXT_BYTES_MAX {
                known.message.header.get_or_insert_with(|| header.to_owned());
            }
        });
    }

    /// The header that is to go before the message's first line, once.
    pub(super) fn take_header(&mut self, session: &[u8]) -> Option<Vec<u8>> {
        self.known.get_mut(session)?.message.header.take()
    }

    fn begin(&mut self, session: &[u8], peer: Peer, name: Option<&[u8]>) -> Room {
        if self.known.len() >= SESSIONS_MAX {
            return Room::None;
        }
        let begun = Session {
            peer,
            name: name.filter(|name| name.len() <= TEXT_BYTES_MAX).map(<[u8]>::to_owned),
            helo: Vec::new(),
            trust: Trust::Stranger,
            message: Message::default(),
        };
        self.known.insert(session.into(), begun);
        Room::Enough
    }

    fn with(&mut self, session: &[u8], change: impl FnOnce(&mut Session)) {
        if let Some(known) = self.known.get_mut(session) {
            change(known);
        }
    }
}

fn client(peer: Peer) -> Option<Client> {
    match peer {
        Peer::Client(client) => Some(client),
        Peer::Local => None,
    }
}

fn cut(text: &[u8]) -> &[u8] {
    &text[..text.len().min(TEXT_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"X-Greylist: delayed 61 seconds";

    fn connected() -> Event<'static> {
        let peer = Peer::Client(Client::new([192, 0, 2, 7].into()));
        Event::Connected { peer, name: Some(b"mail.example.net") }
    }

    /// A session in which everything but the recipient has been said.
    fn sessions() -> Sessions {
        let mut sessions = Sessions::default();
        for event in [
            connected(),
            Event::Greeted(b"mail.example.net"),
            Event::MessageBegun(b"2c584702"),
            Event::Sender(b"alice@example.net"),
        ] {
            assert_eq!(sessions.note(b"1", event), Room::Enough);
        }
        sessions
    }

    #[test]
    fn a_question_has_all_that_was_reported_of_its_session() {
        let sessions = sessions();
        let query = sessions.query(b"1", b"bob@example.org").unwrap();
        let expected = Query {
            client_name: Some(b"mail.example.net"),
            helo: b"mail.example.net",
            queue_id: b"2c584702",
            ..Query::new(
                Client::new([192, 0, 2, 7].into()),
                b"alice@example.net",
                b"bob@example.org",
            )
        };
        assert_eq!(query, expected);
        assert_eq!(sessions.query(b"2", b"bob@example.org"), None, "another session");
    }

    #[test]
    fn a_login_counts_for_the_rest_of_its_session() {
        let mut sessions = sessions();
        let _ = sessions.note(b"1", Event::LoggedIn);
        let _ = sessions.note(b"1", Event::MessageEnded);
        let _ = sessions.note(b"1", Event::MessageBegun(b"5f9dc7a6"));
        let _ = sessions.note(b"1", Event::Sender(b""));
        let query = sessions.query(b"1", b"bob@example.org").unwrap();
        assert_eq!((query.trust, query.sender), (Trust::Authenticated, &b""[..]));
        let _ = sessions.note(b"1", Event::Disconnected);
        let _ = sessions.note(b"1", connected());
        let _ = sessions.note(b"1", Event::Sender(b""));
        let query = sessions.query(b"1", b"bob@example.org").unwrap();
        assert_eq!(query.trust, Trust::Stranger);
    }

    #[test]
    fn programs_on_this_host_and_sessions_without_a_sender_are_not_asked_about() {
        let mut sessions = sessions();
        let _ = sessions.note(b"1", Event::MessageEnded);
        assert_eq!(sessions.query(b"1", b"bob@example.org"), None);
        let _ = sessions.note(b"2", Event::Connected { peer: Peer::Local, name: None });
        let _ = sessions.note(b"2", Event::Sender(b"carol@example.org"));
        assert_eq!(sessions.query(b"2", b"bob@example.org"), None);
        let long = [b'a'; TEXT_BYTES_MAX + 1];
        let _ = sessions.note(b"1", Event::Sender(&long));
        assert_eq!(sessions.query(b"1", b"bob@example.org"), None);
    }

    #[test]
    fn a_message_gets_the_first_header_once_and_the_next_message_none() {
        let mut sessions = sessions();
        sessions.add_header(b"1", HEADER);
        sessions.add_header(b"1", b"X-Greylist: delayed 99 seconds");
        assert_eq!(sessions.take_header(b"1").as_deref(), Some(HEADER));
        assert_eq!(sessions.take_header(b"1"), None);
        for end in [Event::MessageEnded, Event::MessageBegun(b"5f9dc7a6")] {
            sessions.add_header(b"1", HEADER);
            let _ = sessions.note(b"1", end);
            assert_eq!(sessions.take_header(b"1"), None, "{end:?}");
        }
    }

    #[test]
    fn there_are_never_more_sessions_than_the_bound_and_one_that_ends_makes_room() {
        let mut sessions = Sessions::default();
        for n in 0..SESSIONS_MAX {
            assert_eq!(sessions.note(format!("{n}").as_bytes(), connected()), Room::Enough);
        }
        assert_eq!(sessions.note(b"one more", connected()), Room::None);
        assert_eq!(sessions.query(b"one more", b"bob@example.org"), None);
        let _ = sessions.note(b"0", Event::Disconnected);
        assert_eq!(sessions.note(b"one more", connected()), Room::Enough);
    }
}
