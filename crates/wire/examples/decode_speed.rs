//! Prints how long one Postfix request takes to decode and answer, in nanoseconds:
//! `cargo run --release -p wire --example decode_speed`.
//!
//! The request is a captured one with a client certificate, the longest kind. "find the end" is the
//! floor: what a server pays that only looks for the empty line.

use std::hint::black_box;
use std::time::{Duration, Instant};

use greylist::reply::Replies;
use greylist::{Effect, Secs};
use wire::Limits;
use wire::postfix::{Decoded, Decoder, Request, encode};

const REQUEST: &[u8] = include_bytes!("../vectors/postfix/postfix-3.7-rcpt-certificate.request");
const ROUNDS: u32 = 21;
const REQUESTS_A_ROUND: u32 = 100_000;

fn main() {
    let lines = REQUEST.iter().filter(|&&byte| byte == b'\n').count();
    println!("one request: {} bytes, {} attributes", REQUEST.len(), lines - 1);
    report("find the end", || {
        black_box(memchr::memmem::find(black_box(REQUEST), b"\n\n"));
    });
    let mut decoder = Decoder::new(Limits::default());
    report("decode, whole", || {
        black_box(decoder.decode(black_box(REQUEST)));
    });
    report("decode, in pieces of 100 bytes", || {
        for end in (100..REQUEST.len()).step_by(100).chain([REQUEST.len()]) {
            black_box(decoder.decode(black_box(&REQUEST[..end])));
        }
    });
    let replies = Replies::default();
    let mut out = Vec::with_capacity(1024);
    report("decode and defer", || {
        let Decoded::Message { request: Request::Ask(query), .. } =
            decoder.decode(black_box(REQUEST))
        else {
            return;
        };
        out.clear();
        encode(Effect::Defer { wait: Secs::new(48) }, &query, &replies, &mut out);
        black_box(&out);
    });
}

/// The best round counts: everything else that a machine does only makes a round slower.
fn report(what: &str, mut run: impl FnMut()) {
    let best = (0..ROUNDS).map(|_| round(&mut run)).min().unwrap_or_default();
    println!("{what:<32}{:>6} ns/request", best.as_nanos() / u128::from(REQUESTS_A_ROUND));
}

#[allow(clippy::disallowed_methods, reason = "a stopwatch, not a decision")]
fn round(run: &mut impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..REQUESTS_A_ROUND {
        run();
    }
    start.elapsed()
}
