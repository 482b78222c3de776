//! A request in steady state allocates nothing: from its bytes through the codec, the rules, the
//! identity, the table, the log of texts and the counters to the bytes of its answer.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, Waker};

use arc_swap::ArcSwap;
use greylist::{HashKey, Secs, Timestamp};
use store::disk::RealDisk;
use store::text::{TextConfig, TextLog};
use wire::milter;
use wire::postfix::{self, Decoded, Decoder, Request};
use wire::xgrey_v1::client::encode_request;
use wire::xgrey_v1::{self, MTA_POSTFIX, Secret, Tuple};
use xgrey::command::serve;
use xgrey::config::Config;
use xgrey::decision_log::{DecisionLog, Destination, Format};
use xgrey::listen::{Answers, DATAGRAMS_MAX, Datagram};
use xgrey::log_sink::LogSink;
use xgrey::metrics::{Counters, Metrics};
use xgrey::service::{Outcome, Scratch, Service};
use xgrey::xgrey_v1::{FrontEnd, Parts};

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
    let later = start.after(Secs::new(86_400));
    let counted = allocation_counter::measure(|| {
        for request in &requests {
            ask(&service, later, request, &mut kept);
        }
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
    assert!(kept.replies.starts_with(b"action=DEFER_IF_PERMIT 4.7.1 "), "{:?}", kept.replies);
    assert_eq!((texts.stats().waiting, texts.stats().dropped), (2_000, 0), "all were kept");
}

/// What a milter's peer sends for one more message.
fn message(number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (command, data) in [
        (b'D', format!("Mi\0Q{number:09}\0{{client_name}}\0mail.example.net\0")),
        (b'M', format!("<alice{number:09}@example.net>\0SIZE=1234\0")),
        (b'R', format!("<bob{number:09}@example.org>\0")),
        (b'R', format!("<carol{number:09}@example.org>\0")),
        (b'E', String::new()),
    ] {
        bytes.extend_from_slice(&(data.len() as u32 + 1).to_be_bytes());
        bytes.push(command);
        bytes.extend_from_slice(data.as_bytes());
    }
    bytes
}

#[test]
fn a_message_of_a_milter_session_allocates_nothing_once_another_has_been() {
    let replies = Config::default().replies;
    let mut decoder = milter::Decoder::new(wire::Limits::default());
    let mut session = milter::Session::default();
    let mut out = Vec::new();
    let connect =
        b"\0\0\0\x0dO\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff\0\0\0\x10Cx\x004\0\x19192.0.2.7\0";
    let messages: Vec<Vec<u8>> = (0..100).map(message).collect();
    let mut play = |bytes: &[u8]| {
        let mut rest = bytes;
        out.clear();
        while let milter::Decoded::Message { used, packet } = decoder.decode(rest) {
            rest = &rest[used..];
            match session.take(&packet) {
                milter::Step::Ask => {
                    let query = session.query().unwrap();
                    let effect = greylist::Effect::Defer { wait: Secs::new(60) };
                    milter::encode(effect, &query, &replies, &mut out);
                    session.has_waited(Secs::new(60));
                }
                milter::Step::EndOfMessage => {
                    milter::encode_end_of_message(&session, &replies, &mut out);
                    session.end_message();
                }
                _ => milter::encode_no_objection(&mut out),
            }
        }
        assert!(rest.is_empty(), "all is understood");
        out.len()
    };
    play(connect);
    play(&messages[0]);
    let counted = allocation_counter::measure(|| {
        for message in &messages {
            assert!(play(message) > 150, "two deferrals and a header");
        }
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

#[test]
fn a_request_in_steady_state_allocates_nothing() {
    let service = service(Config::default());
    let requests: Vec<Vec<u8>> = (0..1_000).map(request).collect();
    let start = Timestamp::from_unix_secs(1_800_000_000);
    let mut kept = Kept::default();
    // The table grows and the scratch buffers find their size.
    for now in [start, start.after(Secs::new(30))] {
        for request in &requests {
            ask(&service, now, request, &mut kept);
        }
    }
    assert!(kept.replies.starts_with(b"action=DEFER_IF_PERMIT 4.7.1 "), "{:?}", kept.replies);
    // Deferred again, passed for the first time, known: none of them allocates.
    for secs in [59, 61, 62] {
        let now = start.after(Secs::new(secs));
        let counted = allocation_counter::measure(|| {
            for request in &requests {
                ask(&service, now, request, &mut kept);
            }
        });
        assert_eq!(counted.count_total, 0, "allocations at {secs} s: {counted:?}");
    }
    assert_eq!(kept.replies, b"action=DUNNO\n\n");
}

/// A question in X-Grey's protocol, for one of many tuples.
fn question(number: usize) -> Vec<u8> {
    let (sender, recipient) =
        (format!("Alice{number}@Example.NET"), format!("bob{number}@example.org"));
    let client = [198, 51, 100, (number % 250) as u8].into();
    let tuple = Tuple { client, sender: sender.as_bytes(), recipient: recipient.as_bytes() };
    let mut datagram = Vec::new();
    let request = xgrey_v1::Request::Greylist(tuple);
    encode_request(&Secret::default(), MTA_POSTFIX, &request, &mut datagram)
        .expect("it can be sent");
    datagram
}

fn front_end(service: Service) -> FrontEnd {
    let metrics = Arc::new(Metrics::new(1));
    let decisions = DecisionLog::new(Destination {
        format: Format::Text,
        sink: LogSink::standard_error(Arc::clone(&metrics)).expect("a thread"),
        enabled: Arc::new(AtomicBool::new(false)),
    });
    FrontEnd::new(Parts {
        number: 0,
        service: Arc::new(service),
        metrics,
        decisions,
        listener: Arc::new(ArcSwap::default()),
        pending: Arc::default(),
        faults: Arc::default(),
    })
}

#[test]
fn a_datagram_in_steady_state_allocates_nothing_be_it_good_or_bad() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::new(dir.path().to_owned()));
    let config = TextConfig { bytes_max: TextConfig::BYTES_MIN, key_fingerprint: 0 };
    let texts = Arc::new(TextLog::open(disk, config).unwrap().0);
    let mut front_end = front_end(service(Config::default()).with_texts(texts));
    let from = SocketAddr::from(([127, 0, 0, 1], 40_000));
    let questions: Vec<Vec<u8>> = (0..1_000).map(question).collect();
    let wrong: Vec<Vec<u8>> =
        questions.iter().map(|good| good[..good.len() - 1].to_vec()).collect();
    let all = questions.iter().zip(&wrong).flat_map(|(good, bad)| [good, bad]);
    let datagrams: Vec<Datagram<'_>> = all.map(|bytes| Datagram { from, bytes }).collect();
    let mut answers = Answers::default();
    let mut ask = |now| {
        let mut answered = 0;
        for batch in datagrams.chunks(DATAGRAMS_MAX) {
            front_end.answer(now, batch, &mut answers);
            answered += answers.iter().count();
        }
        assert_eq!(answered, questions.len());
    };
    let start = Timestamp::from_unix_secs(1_800_000_000);
    let at = |secs| start.after(Secs::new(secs));
    // The table grows and the buffers find their size. A day later all are forgotten.
    ask(start);
    for secs in [86_400, 86_459, 86_461, 86_462] {
        let counted = allocation_counter::measure(|| ask(at(secs)));
        assert_eq!(counted.count_total, 0, "allocations at {secs} s: {counted:?}");
    }
}
