//! The lines of reports (section 6) and of the original's own files, which are the same (section 8).
//!
//! A line is a line: a byte that would end it within is written as `?`.

use std::cmp::{Ordering, Reverse};
use std::fmt::Display;
use std::io::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Action, until_nul};

/// Appends a line of "show iplist": how often it decided, what it says, network and netmask.
pub fn ip_list_line(count: u64, action: Action, network: IpNet, out: &mut Vec<u8>) {
    let (address, netmask) = (network.network(), network.netmask());
    let _ = writeln!(out, "{count:>10} {action:>8} {address:>15} {netmask:>15}");
}

/// The order of "show iplist": the default first, then narrower before wider, else by address; IPv6
/// last.
pub fn ip_list_order(one: &IpNet, other: &IpNet) -> Ordering {
    /// A network comes where its last address does, behind those within it.
    fn place(network: &IpNet) -> (bool, IpAddr, Reverse<u8>) {
        let is_default = network.prefix_len() == 0 && network.addr().is_ipv4();
        (!is_default, network.broadcast(), Reverse(network.prefix_len()))
    }
    place(one).cmp(&place(other))
}

/// Appends a line of a list whose entries are texts. The default's is `DEFAULT`, and comes last;
/// the others in the order of their bytes.
pub fn list_line(count: u64, action: Action, text: &[u8], out: &mut Vec<u8>) {
    let _ = write!(out, "{count:>10} {action:>8} ");
    push_text(text, out);
    out.push(b'\n');
}

/// A tuple as reports show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportedTuple<'a> {
    /// Who connects.
    pub client: IpAddr,
    /// From whom; empty for the null sender.
    pub sender: &'a [u8],
    /// To whom.
    pub recipient: &'a [u8],
    /// What is known of it besides.
    pub flags: Flags,
    /// When it was first seen: seconds since 1970.
    pub created: u64,
    /// When it was last seen: seconds since 1970.
    pub seen: u64,
}

/// What is known of a tuple besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `W`: it passes.
    pub white: bool,
    /// `D`: it was removed, and is about to go.
    pub removed: bool,
    /// `F`: its sender was longer than what is kept.
    pub sender_cut: bool,
    /// `T`: its recipient was longer than what is kept.
    pub recipient_cut: bool,
    /// `6`: its client's address is of IPv6.
    pub ipv6: bool,
}

impl Flags {
    /// The letters, in their order.
    const LETTERS: [u8; 5] = *b"WDFT6";

    const fn all(self) -> [bool; 5] {
        [self.white, self.removed, self.sender_cut, self.recipient_cut, self.ipv6]
    }

    /// As five characters.
    pub fn letters(self) -> [u8; 5] {
        let mut letters = Self::LETTERS;
        for (letter, is_set) in letters.iter_mut().zip(self.all()) {
            if !is_set {
                *letter = b'-';
            }
        }
        letters
    }

    /// Those of five characters; `None` when they are no such.
    pub fn of_letters(letters: &[u8]) -> Option<Self> {
        let letters: &[u8; 5] = letters.try_into().ok()?;
        let mut set = [false; 5];
        for ((letter, known), is_set) in letters.iter().zip(Self::LETTERS).zip(&mut set) {
            *is_set = match *letter {
                letter if letter == known => true,
                b'-' => false,
                _ => return None,
            };
        }
        let [white, removed, sender_cut, recipient_cut, ipv6] = set;
        Some(Self { white, removed, sender_cut, recipient_cut, ipv6 })
    }
}

/// Appends a line of "show tuples" or "show tuples all". The former has only those that
/// have no flag at all (section 6).
pub fn tuple_line(tuple: &ReportedTuple<'_>, out: &mut Vec<u8>) {
    push_key(tuple.client, tuple.sender, tuple.recipient, out);
    out.push(b' ');
    out.extend_from_slice(&tuple.flags.letters());
    let _ = writeln!(out, " {} {}", tuple.created, tuple.seen);
}

/// Appends a line of "show whitelist".
pub fn whitelist_line(client: IpAddr, sender: &[u8], recipient: &[u8], out: &mut Vec<u8>) {
    push_key(client, sender, recipient, out);
    out.push(b'\n');
}

/// The order of tuples: by address, 16 bytes of which IPv4 has the first four, then by sender, then by
/// recipient.
pub fn tuple_order(
    (client, sender, recipient): (IpAddr, &[u8], &[u8]),
    (other_client, other_sender, other_recipient): (IpAddr, &[u8], &[u8]),
) -> Ordering {
    address_field(client)
        .cmp(&address_field(other_client))
        .then_with(|| sender.cmp(other_sender))
        .then_with(|| recipient.cmp(other_recipient))
}

/// An address as the original keeps it (section 5.2).
fn address_field(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(address) => address.octets(),
        IpAddr::V4(address) => {
            let mut field = [0; 16];
            field[..4].copy_from_slice(&address.octets());
            field
        }
    }
}

fn push_key(client: impl Display, sender: &[u8], recipient: &[u8], out: &mut Vec<u8>) {
    let _ = write!(out, "{client} ");
    push_address(sender, out);
    out.push(b' ');
    push_address(recipient, out);
}

/// An empty address is a dash.
fn push_address(address: &[u8], out: &mut Vec<u8>) {
    if until_nul(address).is_empty() {
        out.push(b'-');
    } else {
        push_text(address, out);
    }
}

fn push_text(text: &[u8], out: &mut Vec<u8>) {
    let text = until_nul(text);
    out.extend(text.iter().map(|&byte| if byte == b'\n' { b'?' } else { byte }));
}
