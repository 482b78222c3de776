//! The decoder's and the encoder's edges, one by one. Whole requests are in `vectors/postfix`.

use greylist::reply::{EnhancedCode, Replies, Reply, ReplyCode, Template};
use greylist::{Client, Effect, Query, Secs};
use wire::postfix::{Decoded, Decoder, Request, encode};
use wire::{Fault, Limits, REQUEST_BYTES_MAX};

const ASK: &str = "client_address=192.0.2.7\nrecipient=b@example.org\n";

/// A decoder that takes requests of up to `limit` bytes.
fn decoder(limit: usize) -> Decoder {
    Decoder::new(Limits { request_bytes_max: limit })
}

fn is_ask(decoded: &Decoded<'_>) -> bool {
    matches!(decoded, Decoded::Message { request: Request::Ask(_), .. })
}

#[test]
fn a_request_of_just_the_limit_is_taken_and_one_byte_more_is_too_long() {
    let request = format!("{ASK}\n");
    let fits = decoder(request.len()).decode(request.as_bytes());
    assert!(is_ask(&fits), "{fits:?}");

    let limit = request.len() - 1;
    let mut decoder = decoder(limit);
    assert_eq!(decoder.decode(request.as_bytes()), Decoded::Discard { used: limit });
    let request = Request::Faulty(Fault::TooLong { limit });
    assert_eq!(decoder.decode(b"\n"), Decoded::Message { used: 1, request });
}

#[test]
fn the_default_limit_is_the_documented_one() {
    let mut decoder = Decoder::new(Limits::default());
    let mut request = vec![b'x'; REQUEST_BYTES_MAX - 1];
    assert_eq!(decoder.decode(&request), Decoded::Need);
    request.push(b'x');
    assert_eq!(decoder.decode(&request), Decoded::Discard { used: REQUEST_BYTES_MAX });
}

#[test]
fn a_limit_of_nothing_still_moves_on() {
    let mut decoder = decoder(0);
    assert_eq!(decoder.decode(b""), Decoded::Need);
    assert_eq!(decoder.decode(b"a=b\n\n"), Decoded::Discard { used: 2 });
    let request = Request::Faulty(Fault::TooLong { limit: 2 });
    assert_eq!(decoder.decode(b"b\n\n"), Decoded::Message { used: 3, request });
}

#[test]
fn a_peer_is_in_mid_request_from_the_first_byte_to_the_empty_line() {
    let mut decoder = decoder(100);
    assert!(!decoder.is_mid_request(0));
    assert_eq!(decoder.decode(b"c"), Decoded::Need);
    assert!(decoder.is_mid_request(1));
    let request = format!("{ASK}\n");
    assert!(is_ask(&decoder.decode(request.as_bytes())));
    assert!(!decoder.is_mid_request(0));
}

#[test]
fn a_peer_whose_request_is_being_dropped_is_in_mid_request_with_an_empty_buffer() {
    let mut decoder = decoder(10);
    assert_eq!(decoder.decode(b"0123456789"), Decoded::Discard { used: 10 });
    assert_eq!(decoder.decode(b""), Decoded::Need);
    assert!(decoder.is_mid_request(0));
}

#[test]
fn a_finished_stream_says_what_is_whole_then_what_is_not_then_nothing() {
    let stream = format!("{ASK}\n{ASK}sender=a@example.net");
    let mut decoder = decoder(200);
    let first = decoder.finish(stream.as_bytes());
    let Decoded::Message { used, request: Request::Ask(_) } = first else { panic!("{first:?}") };
    assert_eq!(used, ASK.len() + 1);
    let second = decoder.finish(&stream.as_bytes()[used..]);
    let Decoded::Message { used: rest, request: Request::Ask(query) } = second else {
        panic!("{second:?}")
    };
    assert_eq!((used + rest, query.sender), (stream.len(), b"a@example.net".as_slice()));
    assert_eq!(decoder.finish(b""), Decoded::Need);
}

#[test]
fn a_stream_that_finishes_while_its_request_is_dropped_gets_one_answer() {
    let mut decoder = decoder(10);
    assert_eq!(decoder.finish(b"0123456789ab"), Decoded::Discard { used: 10 });
    assert_eq!(decoder.finish(b"ab"), Decoded::Discard { used: 2 });
    let request = Request::Faulty(Fault::TooLong { limit: 10 });
    assert_eq!(decoder.finish(b""), Decoded::Message { used: 0, request });
    assert_eq!(decoder.finish(b""), Decoded::Need);
}

#[test]
fn a_surplus_empty_line_is_no_request() {
    let stream = format!("\r\n{ASK}\n\n");
    let mut decoder = decoder(200);
    assert_eq!(decoder.decode(stream.as_bytes()), Decoded::Discard { used: 2 });
    assert!(is_ask(&decoder.decode(&stream.as_bytes()[2..])));
    assert_eq!(decoder.finish(b"\n"), Decoded::Discard { used: 1 });
    assert_eq!(decoder.finish(b""), Decoded::Need);
}

/// What is answered with `defer` and `reject` as (code, enhanced code).
fn answer(effect: Effect, defer: (u16, &str), reject: (u16, &str), header: Option<&str>) -> String {
    let template = |text| Template::parse(text).unwrap();
    let enhanced = |text: &str| match text {
        "" => None,
        text => Some(EnhancedCode::parse(text).unwrap()),
    };
    let (later, never) = (ReplyCode::defer(defer.0).unwrap(), ReplyCode::reject(reject.0).unwrap());
    let replies = Replies::new(
        Reply::new(later, enhanced(defer.1), template("Greylisted, try again in {wait}")).unwrap(),
        Reply::new(never, enhanced(reject.1), template("Not from {sender}")).unwrap(),
        header.map(template),
    )
    .unwrap();
    let client = Client::new("192.0.2.7".parse().unwrap());
    let query = Query::new(client, b"a@example.net", b"b@example.org");
    let mut out = Vec::new();
    encode(effect, &query, &replies, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn no_objection_is_dunno_and_never_ok() {
    let said = answer(Effect::NoObjection, (450, "4.7.1"), (550, "5.7.1"), Some("delayed {wait}"));
    assert_eq!(said, "action=DUNNO\n\n");
}

#[test]
fn a_deferral_with_450_lets_postfix_ask_on_and_another_code_is_said_as_it_is() {
    let wait = Effect::Defer { wait: Secs::new(48) };
    for (code, enhanced, line) in [
        (450, "4.7.1", "DEFER_IF_PERMIT 4.7.1 Greylisted, try again in 48 seconds"),
        (450, "", "DEFER_IF_PERMIT Greylisted, try again in 48 seconds"),
        (451, "4.7.1", "451 4.7.1 Greylisted, try again in 48 seconds"),
        (421, "4.3.2", "421 4.3.2 Greylisted, try again in 48 seconds"),
        (451, "", "451 Greylisted, try again in 48 seconds"),
    ] {
        let said = answer(wait, (code, enhanced), (550, "5.7.1"), None);
        assert_eq!(said, format!("action={line}\n\n"));
    }
}

#[test]
fn a_rejection_with_554_is_reject_and_another_code_is_said_as_it_is() {
    for (code, enhanced, line) in [
        (554, "5.7.1", "REJECT 5.7.1 Not from a@example.net"),
        (554, "", "REJECT Not from a@example.net"),
        (550, "5.7.1", "550 5.7.1 Not from a@example.net"),
        (521, "5.3.2", "521 5.3.2 Not from a@example.net"),
    ] {
        let said = answer(Effect::Reject, (450, "4.7.1"), (code, enhanced), None);
        assert_eq!(said, format!("action={line}\n\n"));
    }
}

#[test]
fn a_header_is_prepended_where_there_is_one() {
    let passed = Effect::AddHeader { waited: Secs::new(75) };
    let said = answer(passed, (450, "4.7.1"), (550, "5.7.1"), Some("delayed {wait_seconds} s"));
    assert_eq!(said, "action=PREPEND X-Greylist: delayed 75 s\n\n");
    let said = answer(passed, (450, "4.7.1"), (550, "5.7.1"), None);
    assert_eq!(said, "action=DUNNO\n\n");
}
