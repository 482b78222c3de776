//! A request in steady state allocates nothing: from its bytes through the codec, the rules, the
//! identity, the table, the log of texts and the counters to the bytes of its answer.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use greylist::{HashKey, Timestamp};
use store::disk::RealDisk;
use store::text::{TextConfig, TextLog};
use wire::postfix::{self, Decoded, Decoder, Request};
use xgrey::command::serve;
use xgrey::config::Config;
use xgrey::metrics::Counters;
use xgrey::service::{Outcome, Scratch, Service};

/// A request as Postfix sends it, for one of many tuples.
fn request(number: usize) -> Vec<u8> {
    format!(
        "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n\
         client_address=198.51.100.{}\nclient_name=mail{number}.example.net\nclient_port=40312\n\
         reverse_client_name=mail{number}.example.net\nserver_address=192.0.2.25\nserver_port=25\n\
         helo_name=mail.example.net\nsender=Alice+{number}@Example.NET\n\
         recipient=bob{number}@example.org\nrecipient_count=0\nqueue_id=\n\
         instance=1a2b.6742b5a1.{number}.0\nsize=1234\nstress=\nsasl_method=\nsasl_username=\n\
         sasl_sender=\nccert_subject=\nccert_issuer=\nccert_fingerprint=\n\
         encryption_protocol=TLSv1.3\nencryption_cipher=TLS_AES_256_GCM_SHA384\n\
         encryption_keysize=256\npolicy_context=\n\n",
        number % 250
    )
    .into_bytes()
}

/// What a worker keeps from one batch to the next.
#[derive(Default)]
struct Kept {
    scratch: Scratch,
    outcomes: Vec<Outcome>,
    replies: Vec<u8>,
    counters: Counters,
}

/// Bytes in, bytes out: what a worker does, without the socket.
fn ask(service: &Service, now: Timestamp, request: &[u8], kept: &mut Kept) {
    let Kept { scratch, outcomes, replies, .. } = kept;
    let mut decoder = Decoder::new(wire::Limits::default());
    let Decoded::Message { request: Request::Ask(query), .. } = decoder.decode(request) else {
        panic!("the request does not ask");
    };
    let policy = service.policy();
    {
        let queries = [query];
        let answer = pin!(service.answer(&policy, now, &queries, scratch, outcomes));
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(answer.poll(&mut context), Poll::Ready(()), "the table answers at once");
    }
    kept.counters.outcomes(now, outcomes);
    replies.clear();
    postfix::encode(outcomes[0].effect, &query, &policy.replies, replies);
}

fn service(config: Config) -> Service {
    serve::service(config, HashKey::new([7; 16])).unwrap_or_else(|_| panic!("a service"))
}

#[test]
fn a_first_try_allocates_nothing_either_where_its_table_has_room() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::new(dir.path().to_owned()));
    let config = TextConfig { bytes_max: TextConfig::BYTES_MIN, key_fingerprint: 0 };
    let texts = Arc::new(TextLog::open(disk, config).unwrap().0);
    let service = service(Config::default()).with_texts(Arc::clone(&texts));
    let requests: Vec<Vec<u8>> = (0..1_000).map(request).collect();
    let start = Timestamp::from_unix_secs(1_800_000_000);
    let mut kept = Kept::default();
    for request in &requests {
        ask(&service, start, request, &mut kept);
    }
    // All of them are forgotten, and their slots are free.
    let later = start.after(greylist::Secs::new(86_400));
    let counted = allocation_counter::measure(|| {
        for request in &requests {
            ask(&service, later, request, &mut kept);
        }
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
    assert!(kept.replies.starts_with(b"action=DEFER_IF_PERMIT 4.7.1 "), "{:?}", kept.replies);
    assert_eq!((texts.stats().waiting, texts.stats().dropped), (2_000, 0), "all were kept");
}

#[test]
fn a_request_in_steady_state_allocates_nothing() {
    let service = service(Config::default());
    let requests: Vec<Vec<u8>> = (0..1_000).map(request).collect();
    let start = Timestamp::from_unix_secs(1_800_000_000);
    let mut kept = Kept::default();
    // The table grows and the scratch buffers find their size.
    for now in [start, start.after(greylist::Secs::new(30))] {
        for request in &requests {
            ask(&service, now, request, &mut kept);
        }
    }
    assert!(kept.replies.starts_with(b"action=DEFER_IF_PERMIT 4.7.1 "), "{:?}", kept.replies);
    // Deferred again, passed for the first time, known: none of them allocates.
    for secs in [59, 61, 62] {
        let now = start.after(greylist::Secs::new(secs));
        let counted = allocation_counter::measure(|| {
            for request in &requests {
                ask(&service, now, request, &mut kept);
            }
        });
        assert_eq!(counted.count_total, 0, "allocations at {secs} s: {counted:?}");
    }
    assert_eq!(kept.replies, b"action=DUNNO\n\n");
}
