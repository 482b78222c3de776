//! The loop of the null servers that speak over streams: one thread, one epoll, no runtime. It takes connections and
//! tells what is ready; what is read and written is a [`Floor`]'s.
//!
//! Never knows: a protocol.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use anyhow::Context as _;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use rustix::process::{Signal, set_parent_process_death_signal};

/// What one read takes. An honest request is about 1 KiB; 16 KiB hold whatever may have been joined.
pub(crate) const READ_BYTES: usize = 16 * 1024;

/// Ready sockets taken from the kernel at once: all of 1,000 connections in one call.
const EVENTS_MAX: usize = 1024;

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Keep,
    Close,
}

/// A connection that is ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready<'a> {
    pub(crate) flags: EventFlags,
    epoll: &'a OwnedFd,
    key: u64,
}

impl Ready<'_> {
    /// Has the kernel tell of other things of `socket` from now on; without it, the connection is at its end.
    pub(crate) fn wait_for(&self, socket: &OwnedFd, interest: EventFlags) -> Fate {
        match epoll::modify(self.epoll, socket, EventData::new_u64(self.key), interest) {
            Ok(()) => Fate::Keep,
            Err(_) => Fate::Close,
        }
    }
}

/// The least that a server of one protocol must do.
pub(crate) trait Floor {
    /// What is known of a connection; its socket closes with it.
    type Connection;

    /// What a new connection waits for.
    const INTEREST: EventFlags;

    /// Takes a connection.
    ///
    /// # Errors
    /// When the kernel does not let it be served as it should be.
    fn begin(&mut self, socket: OwnedFd) -> anyhow::Result<Self::Connection>;

    /// What one readiness is worth.
    fn turn(&mut self, connection: &mut Self::Connection, ready: Ready<'_>) -> Fate;
}

/// The listening socket that is standard input, of a program that ends with the one that started it.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn inherited() -> anyhow::Result<OwnedFd> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let listener = std::io::stdin().as_fd().try_clone_to_owned()?;
    rustix::net::getsockname(&listener).context("standard input is not a listening socket")?;
    Ok(listener)
}

/// Serves on `listener` until the program is killed.
///
/// # Errors
/// When the kernel gives no connections or no readiness any more.
pub(crate) fn serve<F: Floor>(listener: &OwnedFd, mut floor: F) -> anyhow::Result<()> {
    rustix::io::ioctl_fionbio(listener, true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let listening = listener.as_raw_fd() as u64;
    epoll::add(&epoll, listener, EventData::new_u64(listening), EventFlags::IN)?;
    // By file descriptor: small numbers, reused by the kernel.
    let mut connections: Vec<Option<F::Connection>> = Vec::new();
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
                accept(&epoll, listener, &mut floor, &mut connections)?;
                continue;
            }
            let Some(place) = connections.get_mut(key as usize) else { continue };
            let Some(connection) = place else { continue };
            let ready = Ready { flags: event.flags, epoll: &epoll, key };
            if floor.turn(connection, ready) == Fate::Close {
                *place = None;
            }
        }
    }
}

/// Takes all connections that wait.
fn accept<F: Floor>(
    epoll: &OwnedFd,
    listener: &OwnedFd,
    floor: &mut F,
    connections: &mut Vec<Option<F::Connection>>,
) -> anyhow::Result<()> {
    loop {
        let socket = match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(socket) => socket,
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR | Errno::CONNABORTED) => continue,
            Err(errno) => return Err(errno).context("accept"),
        };
        let key = socket.as_raw_fd() as usize;
        epoll::add(epoll, &socket, EventData::new_u64(key as u64), F::INTEREST)?;
        if connections.len() <= key {
            connections.resize_with(key + 1, || None);
        }
        connections[key] = Some(floor.begin(socket)?);
    }
}
