//! Whatever comes with a first read to the greylistd listener: it is read without panic, has one answer of
//! bounded length, and means the same however it is spaced.

#![no_main]

#[path = "../../crates/wire/tests/greylistd_answers/mod.rs"]
mod answers;

use libfuzzer_sys::fuzz_target;
use wire::Limits;
use wire::greylistd::{Request, decode};

use answers::answer;

fuzz_target!(|read: &[u8]| {
    let limits = Limits { request_bytes_max: 1_000 };
    let request = decode(read, limits);
    let mut out = Vec::new();
    answer(&request, &mut out);
    assert!(!out.is_empty() && out.len() <= 1_000);
    assert!(out.iter().all(|&byte| byte == b'\n' || !byte.is_ascii_control()));

    let spaced = [b" \r\n", read, b"\t\n "].concat();
    let is_short = spaced.len() < limits.request_bytes_max;
    match (decode(&spaced, limits), request) {
        // Where in the read it is wrong is told, too.
        (Request::Unclear { .. }, Request::Unclear { .. })
        | (Request::Refused(_), Request::Refused(_)) => {}
        (spaced, request) if is_short => assert_eq!(spaced, request),
        _ => {}
    }
});
