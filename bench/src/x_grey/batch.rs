//! Many datagrams with one system call each way, as xgrey does it: `recvmmsg` that waits for one, `sendmmsg`.
//! The null server and the load share it, so that neither side can be what makes the difference.
//!
//! Never knows: what is in a datagram.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use anyhow::Context as _;
use arrayvec::ArrayVec;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, setsockopt};
use nix::sys::time::TimeSpec;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

use super::datagram::DATAGRAM_BYTES_MAX;

/// The most datagrams of one call: as xgrey's.
pub(super) const BATCH_MAX: usize = 128;
/// Asked for at least. Twice as many as came the time before are, as xgrey does it.
const ASKED_MIN: usize = 4;
/// One byte more than is read of any datagram.
const BUFFER_BYTES: usize = DATAGRAM_BYTES_MAX + 1;
/// Room for what waits in a socket, in bytes: as xgrey's.
const ROOM_BYTES: usize = 64 << 20;

/// Datagrams that have come.
pub(super) struct Inbox {
    headers: MultiHeaders<SockaddrIn>,
    buffers: Box<[[u8; BUFFER_BYTES]; BATCH_MAX]>,
    came: ArrayVec<(SocketAddrV4, usize), BATCH_MAX>,
}

impl Inbox {
    pub(super) fn new() -> Self {
        let buffers = vec![[0; BUFFER_BYTES]; BATCH_MAX].into_boxed_slice();
        let buffers = buffers.try_into().unwrap_or_else(|_| unreachable!("as many as there are"));
        // Room for a time each: what a socket was not told to note does not come.
        let headers = MultiHeaders::preallocate(BATCH_MAX, Some(nix::cmsg_space!(TimeSpec)));
        Self { headers, buffers, came: ArrayVec::new() }
    }

    /// Takes what has come, instead of what there was; waits for one, as long as the socket is told to.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has come in time; else what the kernel says, such as that nobody
    /// listens at the other end.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<()> {
        let asked = (2 * self.came.len()).clamp(ASKED_MIN, BATCH_MAX);
        self.came.clear();
        let flags = MsgFlags::MSG_WAITFORONE;
        let mut slices = self.buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let slices = slices.iter_mut().take(asked);
        let fd = socket.as_raw_fd();
        for message in recvmmsg(fd, &mut self.headers, slices, flags, None)? {
            let from =
                message.address.map_or(NOBODY, |from| SocketAddrV4::new(from.ip(), from.port()));
            self.came.push((from, message.bytes));
        }
        Ok(())
    }

    /// Who sent what.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SocketAddrV4, &[u8])> {
        let buffers = self.buffers.iter();
        self.came.iter().zip(buffers).map(|(&(from, length), buffer)| (from, &buffer[..length]))
    }
}

const NOBODY: SocketAddrV4 = SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 0);

/// Datagrams to be sent, at most [`BATCH_MAX`] of them. Kept and used again.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// Where each ends, and where it goes; nowhere in particular on a connected socket.
    mails: ArrayVec<(usize, Option<SocketAddrAny>), BATCH_MAX>,
}

impl Outbox {
    /// How many more there is room for.
    pub(super) fn room(&self) -> usize {
        self.mails.remaining_capacity()
    }

    /// Adds what `write` appends. There must be room.
    pub(super) fn add(&mut self, to: Option<SocketAddrV4>, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.mails.push((self.bytes.len(), to.map(|to| SocketAddr::V4(to).into())));
    }

    /// Sends all; says how many the kernel did not take.
    pub(super) fn send(&mut self, socket: &UdpSocket) -> u64 {
        let unsent = self.send_all(socket);
        self.bytes.clear();
        self.mails.clear();
        unsent
    }

    fn send_all(&self, socket: &UdpSocket) -> u64 {
        let mut start = 0;
        let slices: ArrayVec<[IoSlice<'_>; 1], BATCH_MAX> = (self.mails.iter())
            .map(|&(end, _)| [IoSlice::new(&self.bytes[std::mem::replace(&mut start, end)..end])])
            .collect();
        let mut controls: ArrayVec<SendAncillaryBuffer<'_, '_, '_>, BATCH_MAX> =
            slices.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let parts = self.mails.iter().zip(&slices).zip(&mut controls);
        let mut headers: ArrayVec<MMsgHdr<'_>, BATCH_MAX> = parts
            .map(|(((_, to), bytes), control)| match to {
                Some(to) => MMsgHdr::new_with_addr(to, bytes, control),
                None => MMsgHdr::new(bytes, control),
            })
            .collect();
        let (mut next, mut unsent) = (0, 0);
        while next < headers.len() {
            match sendmmsg(socket, &mut headers[next..], SendFlags::empty()) {
                Ok(sent @ 1..) => next += sent,
                Err(rustix::io::Errno::INTR) => {}
                // The first of them; the others have not been looked at.
                Ok(0) | Err(_) => {
                    unsent += 1;
                    next += 1;
                }
            }
        }
        unsent
    }
}

/// How many bytes may wait in a socket, as the kernel counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room(usize);

/// What the kernel counts a short datagram as, in bytes.
const COUNTED_BYTES: usize = 768;

impl Room {
    /// How many answers may wait.
    pub(super) const fn datagrams(self) -> usize {
        self.0 / COUNTED_BYTES
    }
}

/// Asks for as much room as xgrey asks for; plain users get less.
pub(super) fn make_room(socket: &UdpSocket) -> anyhow::Result<Room> {
    if sockopt::set_socket_recv_buffer_size_force(socket, ROOM_BYTES).is_err() {
        sockopt::set_socket_recv_buffer_size(socket, ROOM_BYTES)?;
    }
    Ok(Room(sockopt::socket_recv_buffer_size(socket)?))
}

/// Has the kernel note when each datagram comes: what a server asks for that must not answer too late.
pub(super) fn note_times(socket: &UdpSocket) -> anyhow::Result<()> {
    setsockopt(socket, ReceiveTimestampns, &true)?;
    Ok(())
}

/// A socket that speaks to `server` alone, and waits for `patience` at most.
pub(super) fn connect(server: SocketAddr, patience: Duration) -> anyhow::Result<(UdpSocket, Room)> {
    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    socket.connect(server).with_context(|| format!("connect to {server}"))?;
    sockopt::set_socket_timeout(&socket, Timeout::Recv, Some(patience))?;
    let room = make_room(&socket)?;
    Ok((socket, room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_sent_comes_in_order_with_its_sender() {
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (theirs, _) = connect(ours.local_addr().unwrap(), Duration::from_secs(30)).unwrap();
        let mut outbox = Outbox::default();
        for length in 0..BATCH_MAX {
            outbox.add(None, |out| out.extend(std::iter::repeat_n(length as u8, length)));
        }
        assert_eq!((outbox.room(), outbox.send(&theirs), outbox.room()), (0, 0, BATCH_MAX));
        let (mut inbox, mut next) = (Inbox::new(), 0);
        while next < BATCH_MAX {
            inbox.receive(&ours).unwrap();
            for (from, bytes) in inbox.iter() {
                assert_eq!(SocketAddr::V4(from), theirs.local_addr().unwrap());
                assert_eq!(bytes, vec![next as u8; next]);
                next += 1;
            }
        }
        ours.set_nonblocking(true).unwrap();
        let nothing = inbox.receive(&ours).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(inbox.iter().count(), 0);
        let Ok(SocketAddr::V4(back)) = theirs.local_addr() else { unreachable!("of IPv4") };
        outbox.add(Some(back), |out| out.extend_from_slice(b"back"));
        assert_eq!(outbox.send(&ours), 0);
        inbox.receive(&theirs).unwrap();
        assert_eq!(inbox.iter().map(|(_, bytes)| bytes.to_vec()).collect::<Vec<_>>(), [b"back"]);
    }
}
