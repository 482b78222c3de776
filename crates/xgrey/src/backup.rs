//! Backups: the whole state as lines of text, to be kept, read, moved to another machine, and taken
//! in again.
//!
//! ```text
//!  xgrey-export 1 … head: hash key, timing, time
//!  text  <id> <state> <since> <first try> <client> <sender> <recipient>
//!  tuple <id> <state> <since>
//!  shard 17 of 2048 …   all before it is whole: an interrupted export goes on from here
//!  note  <name> <value>
//!  end …                the totals: a cut file is noticed
//! ```
//! `docs/backup.md` has the format for whoever writes a script. Lines and not a data base's own
//! format: they outlive every version of the table, and an admin can look.
//!
//! Never knows: rules, protocols of mail servers, how the store keeps what it keeps.

mod export;
mod field;
mod header;
mod import;
mod interrupt;
mod line;
mod lines;
mod part;
mod progress;
mod receive;
mod remote;
mod state;
#[cfg(test)]
mod tests;

pub use self::export::{CHUNK_BYTES, Chunk, Export, NextText, Source};
pub use self::field::{FieldFault, rfc3339};
pub use self::header::{Header, HeaderDraft, HeaderFault, VERSION};
pub use self::import::{
    Broken, BrokenLine, Ending, ImportError, Outcome, Progress, Taken, Tally, Target, Terms, Wish,
    import,
};
pub use self::interrupt::Interrupt;
pub use self::line::{Address, Entry, Line, LineFault, Mark, Text, Totals};
pub use self::lines::{LINE_BYTES_MAX, Lines, Next};
pub use self::part::{Begun, Output, Part, PartError};
pub use self::progress::{Extent, Meter, Pace};
pub use self::receive::{NotKept, Receiver};
pub use self::remote::RemoteTarget;
pub use self::state::StateSource;
