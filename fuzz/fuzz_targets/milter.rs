//! Whatever bytes come to the milter listener, and in whatever pieces: it never panics, never has to
//! keep more than the limit, replies in whole packets, and understands the same.
//!
//! The input is the stream itself, so that captured sessions serve as seeds; its own bytes say
//! where it is cut.

#![no_main]

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
        assert_eq!(listen(limits, cut_by_content(stream)), whole);
        assert_eq!(listen(limits, stream.chunks(1)), whole);
    }
});

/// Pieces of 1 to 64 bytes, each as long as its first byte says.
fn cut_by_content(mut stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = usize::from(*stream.first()? % 64) + 1;
        let (piece, rest) = stream.split_at(length.min(stream.len()));
        stream = rest;
        Some(piece)
    })
}
