//! The null server of X-Grey's protocol: the least that any server of it must do.
//!
//! One thread, one socket: it takes what has come with one `recvmmsg`, and with each datagram the kernel's time of
//! its coming, without which no server could tell whether it is too late to answer; looks whether the checksums
//! are right; and answers "greylist" to all with one `sendmmsg`. It reads no tuple and remembers nothing.
//!
//! Never knows: what is asked.

use std::io::{self, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;

use anyhow::Context as _;
use rustix::process::{Signal, set_parent_process_death_signal};

use super::batch::{Inbox, Outbox, make_room, note_times};
use super::datagram;

/// How it is started.
#[derive(Debug, clap::Args)]
pub(crate) struct NullOptions {
    /// Listen here and print the address; without it, the socket is standard input
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

/// Serves until it is killed, or until the program that started it with a socket ends.
pub(crate) fn run(options: &NullOptions) -> anyhow::Result<()> {
    let socket = match options.listen {
        Some(address) => {
            let socket =
                UdpSocket::bind(address).with_context(|| format!("listen on {address}"))?;
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", socket.local_addr()?)?;
            out.flush()?;
            socket
        }
        None => {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            let socket = UdpSocket::from(std::io::stdin().as_fd().try_clone_to_owned()?);
            socket.local_addr().context("standard input is not a UDP socket")?;
            socket
        }
    };
    make_room(&socket)?;
    note_times(&socket)?;
    let (mut inbox, mut outbox) = (Inbox::new(), Outbox::default());
    loop {
        match inbox.receive(&socket) {
            Ok(()) => turn(&inbox, &mut outbox),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("receive"),
        }
        outbox.send(&socket);
    }
}

fn turn(inbox: &Inbox, outbox: &mut Outbox) {
    for (from, question) in inbox.iter() {
        if datagram::is_sound(question) {
            outbox.add(Some(from), |out| datagram::push_null_answer(question, out));
        }
    }
}
