//! Who has the address that we wanted: a refusal that names the culprit saves a search.

use std::fmt;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;

use procfs::net::{TcpState, tcp, tcp6, udp, udp6};
use procfs::process::{FDTarget, Process, all_processes};

use crate::config::ListenAddress;

/// A process, as far as the kernel tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Its number and the name of its program.
    Process {
        /// Process id.
        pid: i32,
        /// Name of its program, such as `postgrey`.
        name: String,
    },
    /// Hidden from us: another user's, or another namespace's.
    Unknown,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid, name } => write!(f, "process {pid} ({name})"),
            Self::Unknown => {
                f.write_str("another process (whose it is only root may see: `ss -ltunp`)")
            }
        }
    }
}

impl Holder {
    /// The process that listens on `address`.
    pub fn of(address: &ListenAddress) -> Self {
        let found = match address {
            ListenAddress::Tcp(address) => holder_of_port(*address),
            ListenAddress::Unix { path, .. } => holder_of_socket(path),
        };
        found.unwrap_or(Self::Unknown)
    }

    /// The process that has the UDP port.
    pub fn of_datagrams(address: SocketAddr) -> Self {
        holder_of_datagrams(address).unwrap_or(Self::Unknown)
    }

    /// The process with that number.
    pub fn of_pid(pid: i32) -> Option<Self> {
        let name = Process::new(pid).ok()?.stat().ok()?.comm;
        Some(Self::Process { pid, name })
    }
}

fn holder_of_port(address: SocketAddr) -> Option<Holder> {
    let sockets = tcp().into_iter().flatten().chain(tcp6().into_iter().flatten());
    let listening = sockets.filter(|socket| socket.state == TcpState::Listen);
    let held = listening.filter(|socket| overlap(socket.local_address, address));
    holder_of_inodes(&held.map(|socket| socket.inode).collect::<Vec<_>>())
}

fn holder_of_datagrams(address: SocketAddr) -> Option<Holder> {
    let sockets = udp().into_iter().flatten().chain(udp6().into_iter().flatten());
    let held = sockets.filter(|socket| overlap(socket.local_address, address));
    holder_of_inodes(&held.map(|socket| socket.inode).collect::<Vec<_>>())
}

/// Whether only one of two can have its address.
fn overlap(theirs: SocketAddr, ours: SocketAddr) -> bool {
    let ip = theirs.ip().to_canonical();
    let same = ip == ours.ip() || ip.is_unspecified() || ours.ip().is_unspecified();
    theirs.port() == ours.port() && same
}

fn holder_of_inodes(inodes: &[u64]) -> Option<Holder> {
    let holds = |process: &Process| {
        let fds = process.fd().into_iter().flatten().flatten();
        fds.into_iter().any(|fd| matches!(fd.target, FDTarget::Socket(at) if inodes.contains(&at)))
    };
    let holder = all_processes().ok()?.flatten().find(holds)?;
    Holder::of_pid(holder.pid())
}

fn holder_of_socket(path: &Path) -> Option<Holder> {
    let stream = UnixStream::connect(path).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    Holder::of_pid(peer.pid.as_raw_nonzero().get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_listens_on_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = ListenAddress::Tcp(listener.local_addr().unwrap());
        let Holder::Process { pid, .. } = Holder::of(&address) else {
            panic!("nobody found on {address}");
        };
        assert_eq!(pid, i32::try_from(std::process::id()).unwrap());
    }

    #[test]
    fn nobody_is_found_where_nobody_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = ListenAddress::Tcp(listener.local_addr().unwrap());
        drop(listener);
        assert_eq!(Holder::of(&address), Holder::Unknown);
    }
}
