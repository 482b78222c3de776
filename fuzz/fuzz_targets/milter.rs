//! Whatever bytes come to the milter listener, and in whatever pieces: it never panics, never has to
//! keep more than the limit, replies in whole packets, and understands the same.
//!
//! The input is the stream itself, so that captured sessions serve as seeds; its own bytes say
//! where it is cut.

#![no_main]

#[path = "../cutting/mod.rs"]
mod cutting;

// Checks at each step that nothing is kept beyond the limit.
#[path = "../../crates/wire/tests/milter_listener/mod.rs"]
mod milter_listener;

use libfuzzer_sys::fuzz_target;
use wire::Limits;

use milter_listener::listen;

/// One that captured packets fit in, and one that nearly every address outgrows.
const LIMITS: [usize; 2] = [1_000, 24];

fuzz_target!(|stream: &[u8]| {
    for request_bytes_max in LIMITS {
        let limits = Limits { request_bytes_max };
        let whole = listen(limits, [stream]);
        assert_eq!(listen(limits, cutting::cut_by_content(stream)), whole);
        assert_eq!(listen(limits, stream.chunks(1)), whole);
    }
});
