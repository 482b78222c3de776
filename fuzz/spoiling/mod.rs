//! What can happen to a file between being written and being read.

use libfuzzer_sys::arbitrary::{self, Arbitrary};

/// One thing that happens to a file. Offsets are taken modulo what is there.
#[derive(Arbitrary, Debug)]
pub enum Spoiling {
    /// A byte changes.
    Change { at: u32, by: u8 },
    /// It ends earlier.
    Cut { at: u32 },
    /// Something is put in.
    Insert { at: u32, bytes: Vec<u8> },
    /// A part of it is copied over another, or in between.
    Copy { from: u32, length: u16, to: u32, between: bool },
    /// A stretch is zeros.
    Zero { at: u32, length: u16 },
}

impl Spoiling {
    /// Does it.
    pub fn happen(&self, file: &mut Vec<u8>) {
        let place = |at: u32| at as usize % (file.len() + 1);
        match *self {
            Self::Change { at, by } => {
                let at = place(at);
                if let Some(byte) = file.get_mut(at) {
                    *byte ^= by;
                }
            }
            Self::Cut { at } => file.truncate(place(at)),
            Self::Insert { at, ref bytes } => {
                let at = place(at);
                file.splice(at..at, bytes.iter().copied());
            }
            Self::Copy { from, length, to, between } => {
                let (from, to) = (place(from), place(to));
                let end = file.len().min(from + usize::from(length));
                let piece = file[from..end].to_vec();
                let replaced = if between { to } else { file.len().min(to + piece.len()) };
                file.splice(to..replaced, piece);
            }
            Self::Zero { at, length } => {
                let at = place(at);
                let end = file.len().min(at + usize::from(length));
                file[at..end].fill(0);
            }
        }
    }
}
