//! Sockets: who may connect, how many, for how long, and how it all ends.
//!
//! One task accepts and hands each connection to the worker with the fewest; each worker is a
//! thread with a loop of its own, so that a connection's whole life is on one core. Only one
//! socket listens on an address (no `SO_REUSEPORT`), so the kernel itself refuses a second process
//! that would silently split the memory of tuples, and connections, which Postfix keeps for
//! minutes, are spread evenly and not by a hash. Datagrams have no connections to be spread: there
//! each thread has a socket of its own on the same port, see [`datagram`](self::Datagrams).
//!
//! Never knows: what is asked or answered; that is a dialogue's (`dialogue.rs`).

mod buffer;
mod connections;
mod datagram;
mod socket;
mod turn;
mod who;
mod worker;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;

pub use self::connections::{Connections, Timeouts};
pub use self::datagram::{Answers, DATAGRAMS_MAX, Datagram, Datagrams, Port, Room};
pub use self::socket::{Accepted, BindError, RemovedAtDrop, Socket};
pub use self::who::Holder;
use self::worker::Arrival;
pub use self::worker::{Pool, WorkerContext};
use crate::config::Listener;
use crate::dialogue::Terms;
use crate::metrics::{Event, Metrics};

/// How long to wait after the kernel could not give a connection (no file descriptors left) before
/// asking again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts on `socket` for ever, on the terms that `listener` has then; ends only by being aborted.
pub async fn accept(
    socket: Socket,
    listener: Arc<ArcSwap<Listener>>,
    pool: Arc<Pool>,
    metrics: Arc<Metrics>,
) {
    loop {
        let stream = match socket.accept().await {
            Ok(stream) => stream,
            Err(error) => {
                // Out of descriptors: the oldest idle connection's is worth more here.
                tracing::warn!(target: "listen", %error, "could not accept a connection");
                pool.connections().free_one(metrics.outside());
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let listener = listener.load();
        let peer = stream.peer_ip();
        if let Some(peer) = peer
            && !is_allowed(peer, &listener.allow)
        {
            metrics.outside().event(Event::NotAllowed);
            tracing::debug!(target: "listen", %peer, "not in allow; closed");
            continue;
        }
        let terms = Terms { protocol: listener.protocol, changes: listener.changes, peer };
        pool.hand_over(Arrival { stream, terms }, &metrics);
    }
}

/// Whether `peer` may ask. This host itself always may.
pub(crate) fn is_allowed(peer: IpAddr, allow: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    peer.is_loopback() || allow.iter().any(|network| network.contains(&peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_allowed_networks_and_this_host_may_ask() {
        let allow = ["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        for (peer, allowed) in [
            ("192.0.2.9", true),
            ("::ffff:192.0.2.9", true),
            ("2001:db8::25", true),
            ("127.0.0.1", true),
            ("::1", true),
            ("198.51.100.9", false),
            ("2001:db9::25", false),
        ] {
            assert_eq!(is_allowed(peer.parse().unwrap(), &allow), allowed, "{peer}");
        }
    }
}
