//! Who listens on an address, and that process bound to a CPU: found through `/proc/net/tcp` and its like, and the sockets that processes
//! hold. Source: proc_pid_net(5).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::process::{Pinned, Process};

/// How one comes to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    const fn tables(self) -> [&'static str; 2] {
        match self {
            Self::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
            Self::Udp => ["/proc/net/udp", "/proc/net/udp6"],
        }
    }

    /// What the table says of a socket that takes from anybody.
    const fn open_state(self) -> &'static str {
        match self {
            Self::Tcp => "0A",
            Self::Udp => "07",
        }
    }
}

/// The process that listens on `address`, if it can be seen: one's own, or any for root. With
/// several (a parent that forks workers), the one with the lowest number.
fn process_on(transport: Transport, address: SocketAddr) -> Option<u32> {
    let rows = |table: String| {
        let rows = table.lines().skip(1).filter_map(|line| Row::parse(line, transport));
        rows.collect::<Vec<_>>()
    };
    let sockets: Vec<u64> = (transport.tables().into_iter())
        .filter_map(|file| fs::read_to_string(file).ok())
        .flat_map(rows)
        .filter(|row| row.listening && row.answers_for(address))
        .map(|row| row.inode)
        .collect();
    let mut processes: Vec<u32> = fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    processes.sort_unstable();
    processes.into_iter().find(|&process| holds_any(process, &sockets))
}

/// The process of a server that runs already, found by its port if need be, and bound to one CPU as long
/// as it is measured. What can't be had is said.
pub(crate) fn bound_to(
    cpu: usize,
    transport: Transport,
    address: SocketAddr,
    process: Option<Process>,
) -> (Option<Process>, Option<Pinned>) {
    let process = process.or_else(|| process_on(transport, address).map(Process::new));
    let pinned = match process.map(|process| process.pin(cpu)) {
        Some(Ok(pinned)) => Some(pinned),
        Some(Err(error)) => {
            eprintln!("xgrey-bench: {address} stays on the CPUs it has: {error:#}");
            None
        }
        None => {
            eprintln!(
                "xgrey-bench: no process is seen to listen on {address}, so its CPU time and memory \
                 are unknown and it stays on the CPUs it has"
            );
            None
        }
    };
    (process, pinned)
}

fn holds_any(process: u32, sockets: &[u64]) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).any(|target| {
        let target = target.to_string_lossy();
        let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        inode.and_then(|inode| inode.parse().ok()).is_some_and(|inode| sockets.contains(&inode))
    })
}

/// One socket of the kernel's table.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    local: SocketAddr,
    listening: bool,
    inode: u64,
}

impl Row {
    fn parse(line: &str, transport: Transport) -> Option<Self> {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let (address, port) = columns.next()?.split_once(':')?;
        let state = columns.nth(1)?;
        let inode = columns.nth(5)?;
        let words: Vec<u32> = address
            .as_bytes()
            .chunks(8)
            .map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok())
            .collect::<Option<_>>()?;
        // Each word of the address is printed as this machine reads it from memory, so its bytes in
        // this machine's order are the address's in the order of the network.
        let octets: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let ip: IpAddr = if let Ok(octets) = <[u8; 4]>::try_from(octets.as_slice()) {
            Ipv4Addr::from(octets).into()
        } else {
            Ipv6Addr::from(<[u8; 16]>::try_from(octets.as_slice()).ok()?).into()
        };
        Some(Self {
            local: SocketAddr::new(ip.to_canonical(), u16::from_str_radix(port, 16).ok()?),
            listening: state == transport.open_state(),
            inode: inode.parse().ok()?,
        })
    }

    fn answers_for(&self, address: SocketAddr) -> bool {
        let ip = self.local.ip();
        // A socket on `::` usually takes IPv4 as well.
        let everywhere = ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
            || (ip == IpAddr::V4(Ipv4Addr::UNSPECIFIED) && address.is_ipv4());
        self.local.port() == address.port() && (everywhere || ip == address.ip().to_canonical())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn this_process_is_found_by_what_it_listens_on() {
        for address in ["127.0.0.1:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            let asked = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            assert_eq!(process_on(Transport::Tcp, asked), Some(std::process::id()), "{address}");
            let other = SocketAddr::from(([127, 0, 0, 2], port));
            assert_eq!(
                process_on(Transport::Tcp, other).is_some(),
                address.starts_with("0."),
                "{address}"
            );
        }
    }

    #[test]
    fn datagrams_and_streams_are_told_apart() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        assert_eq!(process_on(Transport::Udp, address), Some(std::process::id()));
        assert_eq!(process_on(Transport::Tcp, address), None);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_row_of_the_kernels_table_is_read() {
        let v4 = "   0: 0100007F:2727 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 9143 1 0000000000000000 100 0 0 10 0";
        assert_eq!(
            Row::parse(v4, Transport::Tcp),
            Some(Row { local: "127.0.0.1:10023".parse().unwrap(), listening: true, inode: 9143 })
        );
        let v6 = "   1: 00000000000000000000000001000000:0019 00000000000000000000000000000000:0000 01 00000000:00000000 00:00000000 00000000  1000        0 77 1 0000000000000000 100 0 0 10 0";
        assert_eq!(
            Row::parse(v6, Transport::Tcp),
            Some(Row { local: "[::1]:25".parse().unwrap(), listening: false, inode: 77 })
        );
        assert_eq!(Row::parse("   1: nonsense", Transport::Tcp), None);
    }
}
