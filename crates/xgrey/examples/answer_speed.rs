//! Prints what one request costs from its bytes to the bytes of its answer, without a socket:
//! `cargo run --release -p xgrey --example answer_speed`.
//!
//! Each request is another tuple of 100,000, so caches see what they see in service; it is copied
//! into a buffer first, as the kernel does it. The parts are measured one after the other, each
//! with those before it.

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use greylist::{HashKey, Query, Timestamp};
use wire::postfix::{self, Decoded, Decoder, Request};
use xgrey::command::serve;
use xgrey::config::Config;
use xgrey::metrics::Counters;
use xgrey::service::{Outcome, Scratch, Service};

const TUPLES: usize = 100_000;
const ROUNDS: usize = 300;
/// Few, so that a round fits between two turns of a busy machine's scheduler.
const REQUESTS_A_ROUND: usize = 1_000;

fn main() {
    let Ok(service) = serve::service(Config::default(), HashKey::new([7; 16])) else {
        eprintln!("the default bound is too small for a table");
        return;
    };
    let requests: Vec<Vec<u8>> = (0..TUPLES).map(request).collect();
    let now = Timestamp::from_unix_secs(1_800_000_000);
    let mut kept = Kept::default();
    for request in &requests {
        answer(&service, now, &decode(request), &mut kept);
    }
    let mut scratch = Vec::new();
    report("receive", &requests, |bytes| {
        black_box(bytes);
    });
    report("receive, decode", &requests, |bytes| {
        black_box(decode(bytes));
    });
    report("receive, decode, judge", &requests, |bytes| {
        black_box(service.policy().rules.judge(&decode(bytes)));
    });
    report("receive, decode, judge, key", &requests, |bytes| {
        let query = decode(bytes);
        let policy = service.policy();
        black_box(policy.rules.judge(&query));
        black_box(policy.identity.key(service.store().hash_key(), &query, &mut scratch));
    });
    report("all, to the bytes of the answer", &requests, |bytes| {
        answer(&service, now, &decode(bytes), &mut kept);
    });
    let counters = Counters::default();
    report("all, counted", &requests, |bytes| {
        answer(&service, now, &decode(bytes), &mut kept);
        counters.outcomes(now, &kept.outcomes);
    });
}

/// A request as Postfix sends it.
fn request(number: usize) -> Vec<u8> {
    format!(
        "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n\
         client_address=198.51.100.{}\nclient_name=mail{number}.example.net\nclient_port=40312\n\
         reverse_client_name=mail{number}.example.net\nserver_address=192.0.2.25\nserver_port=25\n\
         helo_name=mail.example.net\nsender=alice.{number}@example.net\n\
         recipient=bob@example.org\nrecipient_count=0\nqueue_id=\n\
         instance=1a2b.6742b5a1.{number}.0\nsize=1234\netrn_domain=\nstress=\nsasl_method=\n\
         sasl_username=\nsasl_sender=\nccert_subject=\nccert_issuer=\nccert_fingerprint=\n\
         ccert_pubkey_fingerprint=\nencryption_protocol=TLSv1.3\n\
         encryption_cipher=TLS_AES_256_GCM_SHA384\nencryption_keysize=256\npolicy_context=\n\n",
        number % 250
    )
    .into_bytes()
}

fn decode(request: &[u8]) -> Query<'_> {
    match Decoder::new(wire::Limits::default()).decode(request) {
        Decoded::Message { request: Request::Ask(query), .. } => query,
        _ => unreachable!("the request asks"),
    }
}

/// What a worker keeps from one batch to the next.
#[derive(Default)]
struct Kept {
    scratch: Scratch,
    outcomes: Vec<Outcome>,
    replies: Vec<u8>,
}

fn answer(service: &Service, now: Timestamp, query: &Query<'_>, kept: &mut Kept) {
    let Kept { scratch, outcomes, replies } = kept;
    let policy = service.policy();
    {
        let queries = [*query];
        let answered = pin!(service.answer(&policy, now, &queries, scratch, outcomes));
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(answered.poll(&mut context), Poll::Ready(()));
    }
    replies.clear();
    postfix::encode(outcomes[0].effect, query, &policy.replies, replies);
    black_box(replies);
}

/// The median round counts.
fn report(what: &str, requests: &[Vec<u8>], mut run: impl FnMut(&[u8])) {
    let mut buffer = Vec::with_capacity(2048);
    let mut order = requests.iter().cycle().step_by(7);
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let round: Vec<&Vec<u8>> = order.by_ref().take(REQUESTS_A_ROUND).collect();
            stopwatch(|| {
                for request in round {
                    buffer.clear();
                    buffer.extend_from_slice(request);
                    run(black_box(&buffer));
                }
            })
        })
        .collect();
    rounds.sort_unstable();
    let median = rounds[ROUNDS / 2].as_nanos() / REQUESTS_A_ROUND as u128;
    println!("{what:<34}{median:>6} ns/request");
}

#[allow(clippy::disallowed_methods, reason = "a stopwatch, not a decision")]
fn stopwatch(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}
