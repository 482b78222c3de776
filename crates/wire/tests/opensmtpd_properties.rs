//! What holds for whatever smtpd writes, in whatever pieces, and for whatever is answered.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod filter_reader;

use filter_reader::read;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use wire::opensmtpd::{
    Decoded, Decoder, Event, Line, Phase, Request, Ticket, Wanted, encode_data_line, encode_header,
    encode_refusal, encode_registration,
};

/// Cuts `stream` at `cuts`.
fn pieces<'a>(stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    at.extend([0, stream.len()]);
    at.sort_unstable();
    at.windows(2).map(|ends| &stream[ends[0]..ends[1]]).collect()
}

/// Bytes that look like smtpd's lines to someone who does not look closely.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        4 => Just(b"\n".to_vec()),
        2 => Just(b"|".to_vec()),
        1 => Just(b"config|smtpd-version|6.8.0p2\n".to_vec()),
        1 => Just(b"config|ready\n".to_vec()),
        2 => Just(b"report|0.6|1795536370.642936|smtp-in|".to_vec()),
        1 => Just(b"link-connect|d1c653138cc65c59|mail.example.net|pass|192.0.2.7:4|x".to_vec()),
        1 => Just(b"tx-mail|d1c653138cc65c59|2c584702|ok|alice@example.net\n".to_vec()),
        1 => Just(b"link-auth|d1c653138cc65c59|alice|pass\n".to_vec()),
        2 => Just(b"filter|0.6|1795536370.642936|smtp-in|".to_vec()),
        1 => Just(b"rcpt-to|d1c653138cc65c59|e630f3c1abc81f24|bob@example.org\n".to_vec()),
        1 => Just(b"data-line|d1c653138cc65c59|e630f3c1abc81f24|.\n".to_vec()),
        2 => vec(any::<u8>(), 0..20),
    ];
    vec(fragment, 0..40).prop_map(|fragments| fragments.concat())
}

/// Any bytes that can stand in a line.
fn text(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), length).prop_map(|mut text| {
        text.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
        text
    })
}

/// The only line of `stream`.
fn line<'a>(decoder: &mut Decoder, stream: &'a [u8]) -> Line<'a> {
    match decoder.decode(stream) {
        Decoded::Line { used, line } if used == stream.len() => line,
        other => panic!("not one line: {other:?}"),
    }
}

proptest! {
    #[test]
    fn any_bytes_mean_the_same_wherever_they_are_cut(
        stream in stream(),
        limit in 0..200_usize,
        cuts in vec(any::<Index>(), 0..12),
    ) {
        let whole = read(limit, [stream.as_slice()]);
        prop_assert_eq!(&read(limit, pieces(&stream, &cuts)), &whole);
        prop_assert_eq!(read(limit, stream.chunks(1)), whole);
    }

    #[test]
    fn a_line_that_is_too_long_spoils_no_other(length in 0..300_usize, limit in 120..200_usize) {
        let request = "filter|0.6|1.0|smtp-in|rcpt-to|d1c653138cc65c59|e630f3c1abc81f24|";
        let stream = format!("{request}{}\n{request}bob@example.org\n", "x".repeat(length));
        let seen = read(limit, [stream.as_bytes()]);
        prop_assert_eq!(seen.len(), 2);
        let is_too_long = request.len() + length + 1 > limit;
        prop_assert_eq!(seen[0].contains("unclear"), is_too_long, "{}", seen[0]);
        prop_assert!(seen[1].ends_with("recipient <bob@example.org>"), "{}", seen[1]);
    }

    #[test]
    fn what_stands_in_the_last_field_is_read_as_it_is_in_every_version(
        minor in select(vec![5, 6, 7, 8]),
        address in text(0..60),
        recipient in text(0..60),
    ) {
        let mail = match minor {
            5 => [&b"message|"[..], &address, b"|ok"].concat(),
            _ => [&b"message|ok|"[..], &address].concat(),
        };
        let mut stream = format!("report|0.{minor}|1.0|smtp-in|tx-mail|session|").into_bytes();
        stream.extend_from_slice(&mail);
        stream.push(b'\n');
        let mut decoder = Decoder::new(1_000);
        let sender = Event::Sender(&address);
        let expected = Line::Report { session: b"session", event: sender };
        prop_assert_eq!(line(&mut decoder, &stream), expected);

        let mut stream = format!("filter|0.{minor}|1.0|smtp-in|rcpt-to|session|token|").into_bytes();
        stream.extend_from_slice(&recipient);
        stream.push(b'\n');
        let ticket = Ticket { session: b"session", token: b"token" };
        let expected = Line::Request(Request { ticket, phase: Phase::Recipient(&recipient) });
        prop_assert_eq!(line(&mut decoder, &stream), expected);
    }

    #[test]
    fn a_line_of_a_message_goes_through_unchanged(message in text(0..200)) {
        let ticket = Ticket { session: b"session", token: b"token" };
        let mut stream = b"filter|0.6|1.0|smtp-in|data-line|session|token|".to_vec();
        stream.extend_from_slice(&message);
        stream.push(b'\n');
        let Line::Request(request) = line(&mut Decoder::new(1_000), &stream) else {
            return Err(TestCaseError::fail("no request"));
        };
        prop_assert_eq!(request, Request { ticket, phase: Phase::DataLine(&message) });
        let mut out = Vec::new();
        encode_data_line(ticket, &message, &mut out);
        let expected = [&b"filter-dataline|session|token|"[..], &message, b"\n"].concat();
        prop_assert_eq!(out, expected);
    }

    #[test]
    fn whatever_a_server_says_an_answer_is_one_line(
        said in vec(any::<u8>(), 0..2_000),
        code in 400..600_u16,
    ) {
        let ticket = Ticket { session: b"session", token: b"token" };
        let mut refusal = Vec::new();
        encode_refusal(ticket, code, &said, &mut refusal);
        let mut header = Vec::new();
        encode_header(ticket, &said, &mut header);
        let head = format!("filter-result|session|token|reject|{code} ");
        prop_assert!(refusal.starts_with(head.as_bytes()));
        prop_assert!(header.starts_with(b"filter-dataline|session|token|"));
        for line in [refusal, header] {
            let controls = line.iter().filter(|byte| byte.is_ascii_control()).count();
            prop_assert!(controls == 1 && line.ends_with(b"\n") && line.len() < 1_100);
        }
    }
}

#[test]
fn messages_pass_through_the_filter_only_if_they_may_get_a_header() {
    for (wanted, is_asked_for) in
        [(Wanted::Recipients, false), (Wanted::RecipientsAndMessages, true)]
    {
        let mut out = Vec::new();
        encode_registration(wanted, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.contains("register|filter|smtp-in|data-line\n"), is_asked_for);
        assert!(text.contains("register|filter|smtp-in|rcpt-to\n"));
        assert!(text.ends_with("\nregister|ready\n"));
        assert!(text.lines().all(|line| line.starts_with("register|")));
    }
}
