//! What the tests of the text share: texts, and looks at a disk.

use greylist::Timestamp;

use super::{Address, Text};
use crate::TupleId;
use crate::disk::{Disk as _, SimulatedDisk};

pub(super) const START: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

/// The id of the tuple of that number.
pub(super) fn id(number: u64) -> TupleId {
    TupleId::from_bits(number).unwrap()
}

/// The text of tuple `number`, new `secs` after the start.
pub(super) fn text(number: u64, secs: u64) -> Text<'static> {
    text_from(number, secs, b"alice@example.net")
}

pub(super) fn text_from(number: u64, secs: u64, sender: &[u8]) -> Text<'_> {
    Text {
        id: id(number),
        first_try: Timestamp::from_unix_secs(START.as_unix_secs() + secs),
        client: match number % 3 {
            0 => "2001:db8::7".parse().unwrap(),
            _ => "192.0.2.7".parse().unwrap(),
        },
        sender: Address::of(sender),
        recipient: Address::of(b"bob@example.org"),
    }
}

/// The names on a disk.
pub(super) fn names(disk: &SimulatedDisk) -> Vec<String> {
    disk.names().unwrap()
}

/// What all files on a disk take.
pub(super) fn bytes(disk: &SimulatedDisk) -> u64 {
    names(disk).iter().map(|name| disk.open(name).unwrap().length().unwrap()).sum()
}

/// Another disk with the same files, all of them safe.
pub(super) fn copy(disk: &SimulatedDisk) -> SimulatedDisk {
    let copy = SimulatedDisk::new();
    for name in names(disk) {
        copy.put(&name, disk.contents(&name).unwrap());
    }
    copy
}
