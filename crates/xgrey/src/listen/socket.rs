//! Listening sockets and streams, TCP and UNIX alike.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use mio::{Interest, Registry, Token};
use rustix::net::SendFlags;
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::who::Holder;
use crate::config::{ListenAddress, Owner};

/// Connections that the kernel may hold for us while we are busy.
const BACKLOG: u32 = 1_024;

/// A listening socket.
#[derive(Debug)]
pub enum Socket {
    /// On an address and port.
    Tcp(TcpListener),
    /// On a path, which goes away with it.
    Unix(UnixListener, RemovedAtDrop),
}

/// Why there is no listening socket.
#[derive(Debug, Error)]
pub enum BindError {
    /// Another process has the address.
    #[error("{address} is taken by {holder}: stop it, or give `[[listen]]` another address")]
    InUse {
        /// The address asked for, as it is written.
        address: String,
        /// Who has it.
        holder: Holder,
    },
    /// The kernel refused.
    #[error("could not listen on {address}: {error}")]
    Io {
        /// The address asked for, as it is written.
        address: String,
        /// What the kernel said.
        error: io::Error,
    },
}

impl BindError {
    /// What `error` means when `address` was to be listened on.
    pub(super) fn at(address: &ListenAddress, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                Self::InUse { address: address.to_string(), holder: Holder::of(address) }
            }
            _ => Self::Io { address: address.to_string(), error },
        }
    }
}

impl Socket {
    /// Listens on `address`. Must be called inside a runtime.
    ///
    /// # Errors
    /// When another process has the address, or the kernel refuses.
    pub fn bind(address: &ListenAddress) -> Result<Self, BindError> {
        let bound = match address {
            ListenAddress::Tcp(at) => bind_tcp(*at),
            ListenAddress::Unix { path, mode, owner } => bind_unix(path, *mode, owner.as_ref()),
        };
        bound.map_err(|error| BindError::at(address, error))
    }

    /// Gives a UNIX socket that listens already the mode and owner that `address` says.
    ///
    /// # Errors
    /// When there is no such user or group, or the kernel refuses.
    pub fn set_access(address: &ListenAddress) -> Result<(), BindError> {
        match address {
            ListenAddress::Tcp(_) => Ok(()),
            ListenAddress::Unix { path, mode, owner } => set_access(path, *mode, owner.as_ref())
                .map_err(|error| BindError::Io { address: address.to_string(), error }),
        }
    }

    /// The next connection on a UNIX socket.
    ///
    /// # Errors
    /// As [`Socket::accept`]; and on a TCP socket, always.
    pub async fn accept_unix(&self) -> io::Result<UnixStream> {
        match self {
            Self::Unix(listener, _) => Ok(listener.accept().await?.0),
            Self::Tcp(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The next connection.
    ///
    /// # Errors
    /// When the kernel has none to give, for want of descriptors or memory.
    pub async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Answers are small and awaited: never wait for more to send.
                stream.set_nodelay(true)?;
                Ok(Accepted::Tcp(stream.into_std()?, peer.ip()))
            }
            Self::Unix(listener, _) => Ok(Accepted::Unix(listener.accept().await?.0.into_std()?)),
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<Socket> {
    Ok(Socket::Tcp(TcpListener::from_std(listen_tcp(address)?)?))
}

/// Listens on a TCP port; accepting never waits.
pub(super) fn listen_tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    use socket2::{Domain, Protocol, Type};
    let socket =
        socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `[::]` and `0.0.0.0` are told apart, so that both may be listed.
        socket.set_only_v6(true)?;
    }
    // Only past TIME_WAIT; a living listener still has the address to itself.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG as i32)?;
    Ok(socket.into())
}

/// Binds beside the path, sets mode and owner, and only then moves the socket to where clients
/// look: at no moment can somebody connect who shouldn't.
fn bind_unix(path: &Path, mode: Option<u32>, owner: Option<&Owner>) -> io::Result<Socket> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let _ = std::fs::remove_file(&beside);
    let listener = UnixListener::bind(&beside)?;
    let placed = set_access(&beside, mode, owner).and_then(|()| std::fs::rename(&beside, path));
    if let Err(error) = placed {
        let _ = std::fs::remove_file(&beside);
        return Err(error);
    }
    Ok(Socket::Unix(listener, RemovedAtDrop(path.to_owned())))
}

fn set_access(path: &Path, mode: Option<u32>, owner: Option<&Owner>) -> io::Result<()> {
    if let Some(Owner { user: (_, uid), group }) = owner {
        let group = group.as_ref().map(|(_, gid)| *gid);
        std::os::unix::fs::chown(path, Some(*uid), group)?;
    }
    // Without a wish: whoever may enter the directory may ask, as with a TCP port on loopback.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode.unwrap_or(0o666)))
}

/// Removes a socket's path when its listener ends.
#[derive(Debug)]
pub struct RemovedAtDrop(PathBuf);

impl Drop for RemovedAtDrop {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A connection that has been accepted and is served by nobody yet.
#[derive(Debug)]
pub enum Accepted {
    /// From an address.
    Tcp(std::net::TcpStream, IpAddr),
    /// From this host.
    Unix(std::os::unix::net::UnixStream),
}

impl Accepted {
    /// Where it comes from, over TCP.
    pub(super) fn peer_ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(_, peer) => Some(*peer),
            Self::Unix(_) => None,
        }
    }

    /// Has `registry` tell of it under `token`, each time that something changes.
    pub(super) fn register(self, registry: &Registry, token: Token) -> io::Result<Stream> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        Ok(match self {
            Self::Tcp(stream, _) => {
                let mut stream = mio::net::TcpStream::from_std(stream);
                registry.register(&mut stream, token, interest)?;
                Stream::Tcp(stream)
            }
            Self::Unix(stream) => {
                let mut stream = mio::net::UnixStream::from_std(stream);
                registry.register(&mut stream, token, interest)?;
                Stream::Unix(stream)
            }
        })
    }
}

/// A connection that is served. Reading and writing never wait.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(mio::net::TcpStream),
    Unix(mio::net::UnixStream),
}

impl Stream {
    /// Reads what is there; 0 at the end of the stream.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // Straight to the kernel: libc's `recv` and `send` take a detour for thread cancellation.
        Ok(rustix::io::read(self, buffer)?)
    }

    /// Has the kernel acknowledge now what was read (`tcp(7)`, `TCP_QUICKACK`): to be said again each time. Whether it
    /// does is a matter of speed only.
    pub(super) fn acknowledge_at_once(&self) {
        if let Self::Tcp(stream) = self {
            let _ = rustix::net::sockopt::set_tcp_quickack(stream, true);
        }
    }

    /// Writes as much of `bytes` as there is room for now.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self, bytes, SendFlags::NOSIGNAL)?)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}
