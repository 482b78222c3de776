//! Some answer to each request: what a server would send, were all its answers the same. Shared by
//! the tests and the fuzzer.

use greylist::Secs;
use wire::greylistd::report::{
    Held, Line, Stats, encode_head, encode_line, encode_mrtg, encode_stats,
};
use wire::greylistd::{
    List, RELOADED, Request, SAVED, encode_added, encode_removed, encode_status, encode_verdict,
};

/// Appends an answer.
pub(crate) fn answer(request: &Request<'_>, out: &mut Vec<u8>) {
    match request {
        Request::Update { asked, .. } | Request::Check { asked, .. } => {
            encode_verdict(List::Grey, *asked, out);
        }
        Request::Unclear { asked, .. } => encode_verdict(List::White, *asked, out),
        Request::Status(_) => encode_status(None, out),
        Request::Add { list, .. } => encode_added(*list, out),
        Request::Delete(_) => encode_removed(List::White, out),
        Request::Save => out.extend_from_slice(SAVED),
        Request::Reload => out.extend_from_slice(RELOADED),
        Request::Clear(_) => out.extend_from_slice(b"data and statistics cleared"),
        Request::Refused(refusal) => refusal.encode(out),
        Request::Mrtg => encode_mrtg([7, 3], Secs::new(63), "mx.example.test", out),
        Request::Stats => {
            let held = [Held { items: 1, requests: 12 }, Held::default(), Held::default()];
            let stats = Stats {
                since: "Tue Nov 24 15:47:33 2026",
                counted_for: Secs::new(63),
                held,
                passed: 1,
                expired: 9,
            };
            encode_stats(&stats, out);
        }
        Request::List(lists) => {
            for list in List::ALL.into_iter().filter(|&list| lists.contains(list)) {
                encode_head(list, out);
                let client = [192, 0, 2, 7].into();
                encode_line(
                    &Line {
                        seen: "2026-11-24 15:48:09",
                        client,
                        sender: b"",
                        recipient: b"b@c.test",
                    },
                    out,
                );
            }
        }
    }
}
