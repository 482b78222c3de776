//! A UDP port with several sockets, and the TCP port of the same number.
//!
//! The first socket is bound as if it were the only one, so that the kernel refuses it if anybody else has
//! the port; only then may others join it (`SO_REUSEPORT`). So at no time can a second process have
//! a part of the questions, which would silently split the memory of tuples; only one that ran as the
//! same user and meant to do it could join.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use nix::sys::socket::{setsockopt, sockopt::ReceiveTimestampns};
use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::ListenAddress;
use crate::listen::socket::{BindError, listen_tcp};
use crate::listen::who::Holder;
use crate::thousands::thousands;

/// What may wait in a socket while its thread is held up, in bytes. The kernel counts a datagram of
/// 52 bytes as 768 and one of 1,500 as 2,304, and doubles this number for that: 50,000 of
/// the longest fit (115 MB of 134).
const RECEIVE_BYTES: usize = 64 * 1024 * 1024;

/// What the kernel counts a usual datagram as, in bytes.
const USUAL_BYTES: usize = 768;

/// A bound port: nobody reads from it yet.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    sockets: Vec<UdpSocket>,
    reports: TcpListener,
    room: Room,
}

/// How much may wait in a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// As much as is wanted.
    Enough,
    /// So many bytes, as the kernel counts them: more may only root have, or whom root lets.
    Limited {
        /// Bytes.
        bytes: usize,
    },
}

/// What that means, and how to mend it.
impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enough => f.write_str("there is room for 50,000 questions"),
            Self::Limited { bytes } => write!(
                f,
                "the kernel lets only about {} questions wait in each socket, and drops what more comes \
                 at once: for room for 50,000, set `sysctl net.core.rmem_max={RECEIVE_BYTES}` \
                 (in /etc/sysctl.d, to last) and start again, or give the service CAP_NET_ADMIN",
                thousands((bytes / USUAL_BYTES) as u64)
            ),
        }
    }
}

impl Port {
    /// Binds `sockets` sockets to `address`, and listens there on TCP.
    ///
    /// # Errors
    /// When another process has the port, or the kernel refuses.
    pub fn bind(address: SocketAddr, sockets: usize) -> Result<Self, BindError> {
        let io_error = |error| BindError::Io { address: format!("{address} (UDP)"), error };
        let first = bind_alone(address).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse {
                address: format!("{address} (UDP)"),
                holder: Holder::of_datagrams(address),
            },
            _ => io_error(error),
        })?;
        // Port 0 is another free one each time; from here on it is known which.
        let address = first.local_addr().map_err(io_error)?;
        let mut port = Self {
            address,
            room: make_room(&first).map_err(io_error)?,
            sockets: vec![first],
            reports: listen_tcp(address).map_err(|error| BindError::at(&ListenAddress::Tcp(address), error))?,
        };
        if sockets > 1 {
            sockopt::set_socket_reuseport(&port.sockets[0], true)
                .map_err(|error| io_error(error.into()))?;
        }
        while port.sockets.len() < sockets {
            let socket = bind_beside(address).map_err(io_error)?;
            make_room(&socket).map_err(io_error)?;
            port.sockets.push(socket);
        }
        Ok(port)
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How much may wait in each socket.
    pub fn room(&self) -> Room {
        self.room
    }

    /// What accepts connections for reports: the same socket once more. Does not wait.
    ///
    /// # Errors
    /// When there are no file descriptors left.
    pub fn reports(&self) -> io::Result<TcpListener> {
        self.reports.try_clone()
    }

    pub(super) fn into_sockets(self) -> Vec<UdpSocket> {
        self.sockets
    }
}

fn bind_alone(address: SocketAddr) -> io::Result<UdpSocket> {
    bound(unbound(address)?, address)
}

/// Binds to where another socket of ours is bound already.
fn bind_beside(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = unbound(address)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    bound(socket, address)
}

fn unbound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // `[::]` and `0.0.0.0` are told apart, so that both may be listed.
        socket.set_only_v6(true)?;
    }
    // Before the first datagram comes, so that each has its time.
    setsockopt(&socket, ReceiveTimestampns, &true)?;
    Ok(socket)
}

fn bound(socket: Socket, address: SocketAddr) -> io::Result<UdpSocket> {
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Asks the kernel to let much wait.
fn make_room(socket: &UdpSocket) -> io::Result<Room> {
    if sockopt::set_socket_recv_buffer_size_force(socket, RECEIVE_BYTES).is_err() {
        sockopt::set_socket_recv_buffer_size(socket, RECEIVE_BYTES)?;
    }
    let bytes = sockopt::socket_recv_buffer_size(socket)?;
    Ok(if bytes >= 2 * RECEIVE_BYTES { Room::Enough } else { Room::Limited { bytes } })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn a_port_has_all_its_sockets_and_nobody_else_can_have_it() {
        let port = Port::bind(ANY, 3).unwrap();
        assert_eq!(port.sockets.len(), 3);
        for socket in &port.sockets {
            assert_eq!(socket.local_addr().unwrap(), port.address());
        }
        let refused = Port::bind(port.address(), 3).unwrap_err();
        let BindError::InUse { holder: Holder::Process { pid, .. }, .. } = refused else {
            panic!("{refused}");
        };
        assert_eq!(pid, i32::try_from(std::process::id()).unwrap());
    }

    #[test]
    fn a_port_whose_tcp_half_is_taken_is_refused() {
        let taken = TcpListener::bind(ANY).unwrap();
        let refused = Port::bind(taken.local_addr().unwrap(), 1).unwrap_err();
        assert!(matches!(refused, BindError::InUse { .. }), "{refused}");
    }

    #[test]
    fn datagrams_reach_one_of_the_sockets_whoever_sends_them() {
        let port = Port::bind(ANY, 2).unwrap();
        for socket in &port.sockets {
            socket.set_nonblocking(true).unwrap();
        }
        for _ in 0..50 {
            let asker = UdpSocket::bind(ANY).unwrap();
            asker.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            asker.send_to(b"?", port.address()).unwrap();
            // On loopback a datagram is there when it has been sent.
            let heard = port.sockets.iter().filter(|socket| socket.recv(&mut [0; 8]).is_ok());
            assert_eq!(heard.count(), 1);
        }
    }

    #[test]
    fn what_is_said_about_too_little_room_names_the_sysctl() {
        let said = Room::Limited { bytes: 425_984 }.to_string();
        assert!(said.contains("about 554 questions"), "{said}");
        assert!(said.contains("net.core.rmem_max=67108864"), "{said}");
    }
}
