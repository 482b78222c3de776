//! The null responder: the least that any server of greylistd's protocol must do.
//!
//! One thread, one epoll: it takes a connection, reads once, writes `false`, closes. It reads nothing
//! of what it was asked.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use anyhow::Context as _;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};
use rustix::process::{Signal, set_parent_process_death_signal};

/// What every question is answered with.
const ANSWER: &[u8] = b"false";
const READ_BYTES: usize = 16 * 1024;
const EVENTS_MAX: usize = 1024;

/// Serves on the listening socket that is standard input, until it is killed or the program that
/// started it ends.
pub(crate) fn run() -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let listener = std::io::stdin().as_fd().try_clone_to_owned()?;
    rustix::io::ioctl_fionbio(&listener, true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let listening = listener.as_raw_fd() as u64;
    epoll::add(&epoll, &listener, EventData::new_u64(listening), EventFlags::IN)?;
    // By file descriptor: small numbers, reused by the kernel.
    let mut connections: Vec<Option<OwnedFd>> = Vec::new();
    let mut inbox = vec![0; READ_BYTES];
    let mut events = Vec::with_capacity(EVENTS_MAX);
    loop {
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).context("epoll_wait"),
        }
        for event in &events {
            let key = event.data.u64();
            if key == listening {
                accept(&epoll, &listener, &mut connections)?;
                continue;
            }
            let connection = connections.get_mut(key as usize).and_then(Option::take);
            let Some(connection) = connection else { continue };
            if matches!(recv(&connection, &mut inbox[..], RecvFlags::empty()), Ok((1.., _))) {
                // One that is gone is no news.
                let _ = send(&connection, ANSWER, SendFlags::NOSIGNAL);
            }
        }
    }
}

/// Takes all connections that wait.
fn accept(
    epoll: &OwnedFd,
    listener: &OwnedFd,
    connections: &mut Vec<Option<OwnedFd>>,
) -> anyhow::Result<()> {
    loop {
        match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(connection) => {
                let key = connection.as_raw_fd() as usize;
                epoll::add(epoll, &connection, EventData::new_u64(key as u64), EventFlags::IN)?;
                if connections.len() <= key {
                    connections.resize_with(key + 1, || None);
                }
                connections[key] = Some(connection);
            }
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            Err(errno) => return Err(errno).context("accept"),
        }
    }
}
