//! Whatever smtpd, or who plays it, writes to the filter, and in whatever pieces: it never panics, never has to
//! keep more than the limit, and understands the same; and every request can be answered in one line.
//!
//! The input is the stream itself, so that captured sessions serve as seeds; its own bytes say where it is cut.

#![no_main]

#[path = "../cutting/mod.rs"]
mod cutting;

#[path = "../../crates/wire/tests/filter_reader/mod.rs"]
mod filter_reader;

use libfuzzer_sys::fuzz_target;

use filter_reader::read;

/// One that captured lines fit in, and one that nearly all outgrow.
const LIMITS: [usize; 2] = [1_000, 48];

fuzz_target!(|stream: &[u8]| {
    for limit in LIMITS {
        let whole = read(limit, [stream]);
        assert_eq!(read(limit, cutting::cut_by_content(stream)), whole);
        assert_eq!(read(limit, stream.chunks(1)), whole);
    }
});
