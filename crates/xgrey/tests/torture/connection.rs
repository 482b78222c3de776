//! A connection to the policy service: requests out, several at once, and their answers back in
//! order.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::knowledge::Answer;
use crate::tuples::{TupleNumber, envelope};

/// How an answer begins that puts off: so does the configuration have it said (`service.rs`).
const DEFERRED: &str = "action=DEFER_IF_PERMIT 4.7.1 wait ";
/// Likewise for one that lets pass for the first time.
const PASSED: &str = "action=PREPEND X-Greylist: waited ";
/// And for one that has no objection.
const KNOWN: &str = "action=DUNNO";

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    /// Of which load.
    load: u8,
    /// What it has been asked and has not answered.
    asked: VecDeque<TupleNumber>,
    /// What has come of the next answer.
    inbox: Vec<u8>,
    outbox: String,
    /// Nothing will come any more.
    ended: bool,
}

/// An answer as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Answer(Answer),
    /// Something that none of our tuples should ever be answered.
    Strange(String),
}

impl Connection {
    /// Connects; nothing if nobody listens.
    pub(crate) fn open(socket: &Path, load: u8) -> Option<Self> {
        let stream = UnixStream::connect(socket).ok()?;
        Some(Self {
            stream,
            load,
            asked: VecDeque::new(),
            inbox: Vec::new(),
            outbox: String::new(),
            ended: false,
        })
    }

    /// How many answers it owes.
    pub(crate) fn owes(&self) -> usize {
        self.asked.len()
    }

    /// Whether nothing will come any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Adds a request to what the next [`Connection::send`] sends.
    pub(crate) fn ask(&mut self, tuple: TupleNumber) {
        let (client, sender, recipient) = envelope(self.load, tuple);
        // Writing to a string cannot fail.
        let _ = write!(
            self.outbox,
            "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address={client}\n\
             client_name=unknown\nsender={sender}\nrecipient={recipient}\n\n"
        );
        self.asked.push_back(tuple);
    }

    /// Sends what was added. If it can't be sent there will be no answers, and that is all.
    pub(crate) fn send(&mut self) {
        // Blocks never for long: requests are few, and there is room for all of their answers.
        let _ = self.stream.write_all(self.outbox.as_bytes());
        self.outbox.clear();
    }

    /// Takes what has come; waits if nothing has. Calls `heard` with each answer.
    pub(crate) fn receive(&mut self, mut heard: impl FnMut(TupleNumber, Heard)) {
        let mut bytes = [0; 16 * 1_024];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.ended = true,
            Ok(count) => self.inbox.extend(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.ended = true,
        }
        let mut used = 0;
        while let Some(length) = self.inbox[used..].windows(2).position(|two| two == b"\n\n") {
            let text = String::from_utf8_lossy(&self.inbox[used..used + length]);
            match self.asked.pop_front() {
                Some(tuple) => heard(tuple, Heard::read(&text)),
                None => panic!("an answer to nothing: {text:?}"),
            }
            used += length + 2;
        }
        self.inbox.drain(..used);
    }

    /// What it was asked and will never answer.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = TupleNumber> {
        self.asked.iter().copied()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Heard {
    fn read(text: &str) -> Self {
        let number = |prefix: &str| text.strip_prefix(prefix)?.parse().ok();
        if let Some(wait) = number(DEFERRED) {
            Self::Answer(Answer::Deferred { wait })
        } else if let Some(waited) = number(PASSED) {
            Self::Answer(Answer::Passed { waited })
        } else if text == KNOWN {
            Self::Answer(Answer::Known)
        } else {
            Self::Strange(text.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_they_come_and_for_what_they_say() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut connection = Connection {
            stream: ours,
            load: 1,
            asked: VecDeque::new(),
            inbox: Vec::new(),
            outbox: String::new(),
            ended: false,
        };
        for tuple in 0..5 {
            connection.ask(TupleNumber(tuple));
        }
        let bytes = format!("{DEFERRED}4\n\n{PASSED}17\n\n{KNOWN}\n\n{DEFERRED}4 s\n\naction=DU");
        let mut heard = Vec::new();
        for part in bytes.as_bytes().chunks(7) {
            theirs.write_all(part).unwrap();
            connection.receive(|tuple, what| heard.push((tuple.0, what)));
        }
        drop(theirs);
        connection.receive(|tuple, what| heard.push((tuple.0, what)));
        assert_eq!(
            heard,
            [
                (0, Heard::Answer(Answer::Deferred { wait: 4 })),
                (1, Heard::Answer(Answer::Passed { waited: 17 })),
                (2, Heard::Answer(Answer::Known)),
                (3, Heard::Strange(format!("{DEFERRED}4 s"))),
            ]
        );
        assert!(connection.has_ended());
        assert_eq!(connection.unanswered().collect::<Vec<_>>(), [TupleNumber(4)]);
    }
}
