//! Whatever bytes come to the Postfix listener, and in whatever pieces: it never panics, never has
//! to keep more than the limit, and understands the same.
//!
//! The input is the stream itself, so that captured requests serve as seeds; its own bytes say
//! where it is cut.

#![no_main]

// Checks at each step that nothing is kept beyond the limit.
#[path = "../../crates/wire/tests/listener/mod.rs"]
mod listener;

use libfuzzer_sys::fuzz_target;
use wire::{Limits, REQUEST_BYTES_MAX};

use listener::listen;

/// The default, and one that inputs outgrow quickly.
const LIMITS: [usize; 2] = [REQUEST_BYTES_MAX, 48];

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
