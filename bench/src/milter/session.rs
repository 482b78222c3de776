//! What an MTA says to a milter in one SMTP session with one message to two recipients, and how far the milter's
//! replies take it.
//!
//! ```text
//! O, what it offers              ──▶ O, what the milter wants
//! C, H, D M, R: who asks what    ──▶ c, or y 451 …         D: macros; no reply to the first three was wanted
//! R, to the postmaster           ──▶ c
//! E, the message's end           ──▶ [i, a header,] c
//! Q                              ──▶ the connection's end
//! ```
//! The second recipient is never deferred, so that every session takes the same steps, whatever is decided about
//! the first: a milter that defers would be spared the message's end, and look faster than one that doesn't.
//!
//! What an MTA sends without waiting for a reply goes in one write: real ones send it as their client
//! speaks, which costs both servers alike and says nothing of either.
//!
//! Never knows: sockets.

/// One session's tuple, and where it goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    number: u64,
    stage: Stage,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Agreement,
    Answer,
    Postmaster,
    EndOfMessage,
    Close,
}

/// What became of a session, or of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The reply is not all here yet.
    Incomplete,
    /// So many bytes are used; the next were said.
    Said(usize),
    /// A reply that makes no sense.
    Wrong,
}

impl Session {
    /// The session about tuple `number`, whose beginning is appended to `out`.
    pub(crate) fn begin(number: u64, out: &mut Vec<u8>) -> Self {
        // Version 6, all actions, all steps: as Postfix 3.7 and Sendmail 8.17 offer.
        packet(b'O', out, |out| {
            for word in [6_u32, 0x1ff, 0x1f_ffff] {
                out.extend_from_slice(&word.to_be_bytes());
            }
        });
        Self { number, stage: Stage::Agreement }
    }

    /// Whether all is said, and the milter is to close.
    pub(crate) fn is_over(self) -> bool {
        self.stage == Stage::Close
    }

    /// Takes the reply at the front of `bytes`, and appends what is said to it; counts what was answered.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        actions: &mut Actions,
    ) -> Progress {
        let Some((&[a, b, c, d, command], _)) = bytes.split_first_chunk::<5>() else {
            return Progress::Incomplete;
        };
        let used = 4 + u32::from_be_bytes([a, b, c, d]) as usize;
        if bytes.len() < used {
            return Progress::Incomplete;
        }
        self.stage = match (self.stage, command) {
            (Stage::Agreement, b'O') => {
                ask(self.number, out);
                Stage::Answer
            }
            (Stage::Answer, b'c' | b'y') => {
                match command {
                    b'c' => actions.accepted += 1,
                    _ => actions.deferred += 1,
                }
                packet(b'R', out, |out| out.extend_from_slice(b"<postmaster@example.org>\0"));
                Stage::Postmaster
            }
            (Stage::Postmaster, b'c') => {
                packet(b'E', out, |_| {});
                Stage::EndOfMessage
            }
            (Stage::EndOfMessage, b'i') => {
                actions.headers += 1;
                Stage::EndOfMessage
            }
            (Stage::EndOfMessage, b'c') => {
                packet(b'Q', out, |_| {});
                Stage::Close
            }
            _ => return Progress::Wrong,
        };
        Progress::Said(used)
    }
}

/// What was answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Actions {
    pub(crate) accepted: u64,
    pub(crate) deferred: u64,
    pub(crate) headers: u64,
}

/// From a client of 10.0.0.0/8, with names as long as usual.
fn ask(number: u64, out: &mut Vec<u8>) {
    let [_, _, _, _, _, a, b, c] = number.to_be_bytes();
    let client = format!("10.{a}.{b}.{c}");
    let name = format!("mail-{number}.outbound.example.net");
    packet(b'C', out, |out| {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\x004\x9c\x40");
        out.extend_from_slice(client.as_bytes());
        out.push(0);
    });
    packet(b'H', out, |out| out.extend_from_slice(b"mail.outbound.example.net\0"));
    packet(b'D', out, |out| {
        out.extend_from_slice(b"Mv\0Postfix 3.7.11\0{client_name}\0");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\0{client_resolve}\0OK\0");
    });
    let address = |out: &mut Vec<u8>, local: &str, domain: &str| {
        out.extend_from_slice(format!("<{local}{number}@{domain}>\0").as_bytes());
    };
    packet(b'M', out, |out| address(out, "newsletter", "bulk.example.net"));
    packet(b'R', out, |out| address(out, "customer", "example.org"));
}

/// Appends a packet with the data that `data` appends.
pub(super) fn packet(command: u8, out: &mut Vec<u8>, data: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, command]);
    data(out);
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(command: u8) -> Vec<u8> {
        let mut out = Vec::new();
        packet(command, &mut out, |out| out.extend_from_slice(b"text\0"));
        out
    }

    #[test]
    fn a_session_goes_on_as_its_replies_say() {
        for (replies, over, expected) in [
            (&b"O"[..], false, (0, 0, 0)),
            (b"Oc", false, (1, 0, 0)),
            (b"Oy", false, (0, 1, 0)),
            (b"Oycc", true, (0, 1, 0)),
            (b"Occc", true, (1, 0, 0)),
            (b"Occic", true, (1, 0, 1)),
        ] {
            let (mut out, mut actions) = (Vec::new(), Actions::default());
            let mut session = Session::begin(7, &mut out);
            for &command in replies {
                let bytes = reply(command);
                let progress = session.take(&bytes, &mut out, &mut actions);
                assert_eq!(progress, Progress::Said(bytes.len()));
            }
            assert_eq!(session.is_over(), over);
            assert_eq!((actions.accepted, actions.deferred, actions.headers), expected);
        }
    }

    #[test]
    fn a_reply_is_taken_when_it_is_whole_and_if_it_is_expected() {
        let (mut out, mut actions) = (Vec::new(), Actions::default());
        let mut session = Session::begin(7, &mut out);
        let bytes = reply(b'O');
        for end in 0..bytes.len() {
            let progress = session.take(&bytes[..end], &mut out, &mut actions);
            assert_eq!(progress, Progress::Incomplete);
        }
        assert_eq!(session.take(&reply(b'c'), &mut out, &mut actions), Progress::Wrong);
    }
}
