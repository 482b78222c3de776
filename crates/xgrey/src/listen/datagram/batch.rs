//! Many datagrams with one system call each way.
//!
//! Received through `nix`, since `rustix`, which all the rest goes through, has no `recvmmsg`; sent through
//! `rustix`, whose `sendmmsg` says how many were sent without reading what was never written.
//! (`quinn-udp` batches what goes to one address; our answers go to as many as there are questions.)

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use arrayvec::ArrayVec;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg,
};
use nix::sys::time::TimeSpec;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};
use wire::xgrey_v1::DATAGRAM_BYTES_MAX;

use super::DATAGRAMS_MAX;

/// One byte more than is read of any datagram: a longer one is told by it.
const BUFFER_BYTES: usize = DATAGRAM_BYTES_MAX + 1;

/// Datagrams that are asked for at least. Twice as many as came the time before are, so that a quiet
/// socket is not asked for 64 each time.
const ASKED_MIN: usize = 4;

/// Whether to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Until there is one datagram, or the socket's time is out.
    ForOne,
    /// Not at all.
    Never,
}

/// What came with a datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope {
    /// Who sent it.
    pub(super) from: SocketAddr,
    /// When the kernel received it: wall clock, since 1970.
    pub(super) received: Duration,
    /// Its buffer.
    place: usize,
    length: usize,
}

/// Datagrams that have come.
#[derive(Debug)]
pub(super) struct Inbox {
    headers: MultiHeaders<SockaddrStorage>,
    buffers: Box<[[u8; BUFFER_BYTES]; DATAGRAMS_MAX]>,
    envelopes: ArrayVec<Envelope, DATAGRAMS_MAX>,
}

impl Inbox {
    pub(super) fn new() -> Self {
        let buffers = vec![[0; BUFFER_BYTES]; DATAGRAMS_MAX].into_boxed_slice();
        let buffers = buffers.try_into().unwrap_or_else(|_| unreachable!("as many as there are"));
        Self { headers: headers(), buffers, envelopes: ArrayVec::new() }
    }

    /// Takes what has come, instead of what there was.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has come in time; else what the kernel says.
    pub(super) fn receive(&mut self, socket: &UdpSocket, wait: Wait) -> io::Result<()> {
        let asked = (2 * self.envelopes.len()).clamp(ASKED_MIN, DATAGRAMS_MAX);
        self.envelopes.clear();
        let flags = match wait {
            Wait::ForOne => MsgFlags::MSG_WAITFORONE,
            Wait::Never => MsgFlags::MSG_DONTWAIT,
        };
        let mut lost_room = false;
        {
            let mut slices = self.buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
            let slices = slices.iter_mut().take(asked);
            let fd = socket.as_raw_fd();
            let received = recvmmsg(fd, &mut self.headers, slices, flags, None)?;
            for (place, message) in received.enumerate() {
                match received_at(&message) {
                    Some(received) => {
                        let Some(from) = message.address.as_ref().and_then(socket_addr) else {
                            continue;
                        };
                        let length = message.bytes;
                        self.envelopes.push(Envelope { from, received, place, length });
                    }
                    // Every datagram has a time. What has none is the sign that the socket was shut
                    // down; the kernel has written into the header that there was no room for a time, and
                    // would believe it the next time.
                    None => lost_room = true,
                }
            }
        }
        if lost_room {
            self.headers = headers();
        }
        Ok(())
    }

    /// What has come.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Envelope, &[u8])> {
        self.envelopes
            .iter()
            .map(|envelope| (envelope, &self.buffers[envelope.place][..envelope.length]))
    }
}

/// Headers with room for a sender's address and a time each.
fn headers() -> MultiHeaders<SockaddrStorage> {
    MultiHeaders::preallocate(DATAGRAMS_MAX, Some(nix::cmsg_space!(TimeSpec)))
}

fn received_at(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<Duration> {
    message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(time) => {
            let seconds = u64::try_from(time.tv_sec()).ok()?;
            Some(Duration::new(seconds, u32::try_from(time.tv_nsec()).unwrap_or(0)))
        }
        _ => None,
    })
}

fn socket_addr(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::new(IpAddr::V4(v4.ip()), v4.port()));
    }
    // With its scope, without which a link-local asker could not be answered.
    address.as_sockaddr_in6().map(|&v6| SocketAddr::V6(v6.into()))
}

/// Answers on their way.
#[derive(Debug, Default)]
pub(super) struct Outbox<'a> {
    to: ArrayVec<SocketAddrAny, DATAGRAMS_MAX>,
    bytes: ArrayVec<[IoSlice<'a>; 1], DATAGRAMS_MAX>,
}

impl<'a> Outbox<'a> {
    /// Adds an answer. There is room for one to each datagram of a batch.
    pub(super) fn add(&mut self, to: SocketAddr, answer: &'a [u8]) {
        if !self.to.is_full() {
            self.to.push(to.into());
            self.bytes.push([IoSlice::new(answer)]);
        }
    }

    /// Sends all; says how many the kernel did not take, such as those to an address that cannot be.
    pub(super) fn send(self, socket: &UdpSocket) -> u64 {
        let mut controls: ArrayVec<SendAncillaryBuffer<'_, '_, '_>, DATAGRAMS_MAX> =
            self.to.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let mut headers: ArrayVec<MMsgHdr<'_>, DATAGRAMS_MAX> = ArrayVec::new();
        for ((to, bytes), control) in self.to.iter().zip(&self.bytes).zip(&mut controls) {
            headers.push(MMsgHdr::new_with_addr(to, bytes, control));
        }
        let (mut next, mut unsent) = (0, 0);
        while next < headers.len() {
            match sendmmsg(socket, &mut headers[next..], SendFlags::empty()) {
                Ok(sent @ 1..) => next += sent,
                Err(error) if error == rustix::io::Errno::INTR => {}
                // The first of them: the others have not been looked at.
                Ok(0) | Err(_) => {
                    unsent += 1;
                    next += 1;
                }
            }
        }
        unsent
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rustix::net::{Shutdown, shutdown, sockopt};

    use super::*;
    use crate::clock;

    fn pair() -> (UdpSocket, UdpSocket) {
        let socket = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (ours, theirs) = (socket(), socket());
        nix::sys::socket::setsockopt(&ours, nix::sys::socket::sockopt::ReceiveTimestampns, &true)
            .unwrap();
        theirs.connect(ours.local_addr().unwrap()).unwrap();
        (ours, theirs)
    }

    #[test]
    fn what_has_come_is_taken_at_once_with_its_sender_and_its_time() {
        let (ours, theirs) = pair();
        let before = clock::wall();
        // Few are long, so that all fit into what a plain user's socket has room for.
        let length = |byte: u8| if byte % 16 == 7 { 1_600 } else { usize::from(byte) };
        for byte in 0..200 {
            theirs.send(&vec![byte; length(byte)]).unwrap();
        }
        let mut inbox = Inbox::new();
        let (mut seen, mut calls) = (0..200_u8, 0);
        while inbox.receive(&ours, Wait::Never).is_ok() {
            calls += 1;
            for (envelope, bytes) in inbox.iter() {
                let byte = seen.next().unwrap();
                assert_eq!(bytes, vec![byte; length(byte).min(1_501)]);
                assert_eq!(envelope.from, theirs.local_addr().unwrap());
                assert!((before..=clock::wall()).contains(&envelope.received));
            }
        }
        assert_eq!(seen.next(), None);
        // 4, 8, 16, 32, 64, and the rest.
        assert_eq!(calls, 6);
    }

    #[test]
    fn after_a_socket_was_shut_down_what_has_come_is_taken_and_then_there_is_nothing() {
        let (ours, theirs) = pair();
        for byte in 0..10 {
            theirs.send(&[byte]).unwrap();
        }
        assert!(shutdown(&ours, Shutdown::Read).is_err(), "it is not connected");
        let mut inbox = Inbox::new();
        let mut seen = Vec::new();
        loop {
            inbox.receive(&ours, Wait::ForOne).unwrap();
            let before = seen.len();
            seen.extend(inbox.iter().map(|(_, bytes)| bytes[0]));
            if seen.len() == before {
                break;
            }
        }
        assert_eq!(seen, (0..10).collect::<Vec<u8>>());
        // An empty datagram is one, all the same.
        theirs.send(&[]).unwrap();
        inbox.receive(&ours, Wait::Never).unwrap();
        assert_eq!(inbox.iter().map(|(_, bytes)| bytes.len()).collect::<Vec<_>>(), [0]);
        let again = inbox.receive(&ours, Wait::Never).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn answers_reach_their_askers_and_one_that_cannot_be_sent_holds_up_no_other() {
        let (ours, theirs) = pair();
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut outbox = Outbox::default();
        outbox.add(theirs.local_addr().unwrap(), b"one");
        outbox.add(nowhere, b"lost");
        outbox.add(theirs.local_addr().unwrap(), b"two");
        assert_eq!(outbox.send(&ours), 1);
        let mut buffer = [0; 8];
        for expected in [&b"one"[..], b"two"] {
            let length = theirs.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], expected);
        }
        assert!(sockopt::socket_recv_buffer_size(&ours).is_ok());
    }
}
