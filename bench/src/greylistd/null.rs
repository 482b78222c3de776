//! The null responder: the least that any server of greylistd's protocol must do. It takes a connection, reads
//! once, writes `false`, closes. It reads nothing of what it was asked.

use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::floor::{self, Fate, Floor, READ_BYTES, Ready};

/// What every question is answered with.
const ANSWER: &[u8] = b"false";

/// Serves on the listening socket that is standard input, until it is killed or the program that
/// started it ends.
pub(crate) fn run() -> anyhow::Result<()> {
    floor::serve(&floor::inherited()?, Responder { inbox: Box::new([0; READ_BYTES]) })
}

struct Responder {
    inbox: Box<[u8; READ_BYTES]>,
}

impl Floor for Responder {
    type Connection = OwnedFd;

    const INTEREST: EventFlags = EventFlags::IN;

    fn begin(&mut self, socket: OwnedFd) -> anyhow::Result<OwnedFd> {
        Ok(socket)
    }

    fn turn(&mut self, socket: &mut OwnedFd, _: Ready<'_>) -> Fate {
        if matches!(recv(&*socket, &mut self.inbox[..], RecvFlags::empty()), Ok((1.., _))) {
            // One that is gone is no news.
            let _ = send(&*socket, ANSWER, SendFlags::NOSIGNAL);
        }
        Fate::Close
    }
}
