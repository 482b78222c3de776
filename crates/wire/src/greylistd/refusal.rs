//! What is not done, and the words for it.

use crate::Fault;

/// How much of a name is repeated in an answer, in bytes: no list has a longer one than `black`.
pub const NAME_BYTES_MAX: usize = 32;

/// Why a request is not done. Names are as the peer wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// There is no word in it.
    NoData,
    /// The data is missing.
    MissingArgument,
    /// There is data that the command has no use for.
    TooManyArguments,
    /// A question about a list that does not exist.
    NotAState(&'a [u8]),
    /// Adding to a list that does not exist.
    NoSuchList(&'a [u8]),
    /// Listing a list that does not exist.
    NothingToList(&'a [u8]),
    /// Clearing a list that does not exist.
    NothingToClear(&'a [u8]),
    /// Forgetting a tuple that is not known.
    NotFound,
    /// The data is no tuple. Only we say so: greylistd takes any.
    NotATuple(Fault),
    /// The peer may not do that. Only we say so, like all that follow.
    NotAllowed,
    /// A tuple can't be black here: rules are.
    NoBlackTuples,
    /// All tuples can't be cleared by this protocol.
    NoClear,
    /// The texts of tuples are not kept.
    NoTexts,
    /// It was to be grey, and something else decides: a rule, an exemption, a lack of room.
    Decided,
    /// The service could not be told to read its configuration.
    NoReload,
    /// There is no room for the tuple.
    NoRoom,
    /// The memory of tuples could not be asked.
    NoStore,
}

impl Refusal<'_> {
    /// Appends the answer.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"error: ");
        let text = match self {
            Self::NoData => "No data received",
            Self::MissingArgument => "Missing argument",
            Self::TooManyArguments => "Too many arguments",
            Self::NotFound => "Not found",
            Self::NotAState(name) => return around(b"'", name, b"' is not a known state", out),
            Self::NoSuchList(name) => return around(b"No such list: '", name, b"'", out),
            Self::NothingToClear(name) => return around(b"Invalid list: '", name, b"'", out),
            Self::NothingToList(name) => return around(b"Invalid list: ", name, b"", out),
            Self::NotATuple(Fault::Missing(what)) => {
                return around(b"The data has no ", what.as_bytes(), b"", out);
            }
            Self::NotATuple(_) => "The data does not begin with an IP address",
            Self::NotAllowed => "Not allowed from here: see `changes` in xgrey's configuration",
            Self::NoBlackTuples => "xgrey rejects by rules, not by tuple: see `xgrey ctl help`",
            Self::NoClear => "xgrey's tuples serve every mail server and are not cleared from here",
            Self::NoTexts => {
                "The texts of tuples are not kept: see `keep_text` in xgrey's configuration"
            }
            Self::Decided => "Not the tuple decides here, but a rule: see `xgrey explain`",
            Self::NoReload => "Could not reload: use `xgrey ctl reload`",
            Self::NoRoom => "The table of tuples is full",
            Self::NoStore => "The memory of tuples could not be asked: see xgrey's log",
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// A peer's name goes back to the peer alone; but that may be a terminal.
fn around(before: &[u8], name: &[u8], after: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(before);
    let shown = name.iter().take(NAME_BYTES_MAX);
    out.extend(shown.map(|&byte| if byte.is_ascii_graphic() { byte } else { b'?' }));
    out.extend_from_slice(after);
}
