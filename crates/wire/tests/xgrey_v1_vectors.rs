//! What was captured from X-Grey's own programs (`vectors/xgrey-v1`): decoded, and made again byte for byte.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;
use wire::xgrey_v1::client::{Answer, Wrong, decode_answer, encode_request};
use wire::xgrey_v1::report::{
    Flags, ReportedTuple, ip_list_line, ip_list_order, list_line, tuple_line, tuple_order,
    whitelist_line,
};
use wire::xgrey_v1::{
    Action, Asked, Decoded, ErrorCode, Refused, Report, Request, Secret, Silence, decode,
    encode_config, encode_refused, encode_reply, encode_stats, files,
};

/// Requests that are not taken as the original takes them: its faults (sections 5, 5.5 and 12).
const DIFFERENT: [(&str, &str); 9] = [
    ("short-9-bytes", "silent Short"),
    ("short-6-bytes", "silent Short"),
    ("short-5-bytes", "silent Short"),
    ("odd-iplist-mask-33", "refused BadData"),
    ("odd-iplist-mask-65535", "refused BadData"),
    ("odd-from-cmd-9", "refused BadData"),
    ("odd-iplist-expire", "refused BadData"),
    ("odd-iplist-none-5", "refused BadData"),
    ("odd-to-expire", "refused BadData"),
];

/// Silences and errors that are not told by the request alone, or not by its checksum.
const SILENT: [(&str, &str); 5] = [
    ("crash-len0", "silent Short"),
    ("crash-len1", "silent Short"),
    ("crash-len3", "silent Short"),
    ("crash-len4", "silent Short"),
    ("size-1501", "silent Oversized"),
];

/// Answers that no client can take: an action that does not exist.
const UNTAKEN: [(&str, u16); 3] = [
    ("odd-query-hits-cmd-9", 9),
    ("odd-query-hits-iplist-expire", 4),
    ("odd-query-hits-to-expire", 4),
];

struct Vector {
    name: String,
    transport: String,
    request: Vec<u8>,
    response: Option<Vec<u8>>,
    asked: Value,
    answered: Value,
}

fn unhex(hex: &Value) -> Option<Vec<u8>> {
    let hex = hex.as_str()?;
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    Some((0..hex.len()).step_by(2).map(byte).collect())
}

fn vectors() -> Vec<Vector> {
    let lines = include_str!("../vectors/xgrey-v1/vectors.jsonl").lines();
    let vectors: Vec<Vector> = lines
        .map(|line| {
            let all: Value = serde_json::from_str(line).unwrap();
            Vector {
                name: all["name"].as_str().unwrap().to_owned(),
                transport: all["transport"].as_str().unwrap().to_owned(),
                request: unhex(&all["request_hex"]).unwrap_or_default(),
                response: unhex(&all["response_hex"]),
                asked: all["decoded_request"].clone(),
                answered: all["decoded_response"].clone(),
            }
        })
        .collect();
    assert_eq!(vectors.len(), 274);
    vectors
}

fn datagrams() -> Vec<Vector> {
    let mut vectors = vectors();
    vectors.retain(|vector| vector.transport == "udp");
    assert!(vectors.len() > 200, "{}", vectors.len());
    vectors
}

/// Bytes as the capture's texts have them: a character a byte.
fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// What a request says, in the words of the capture.
fn said(decoded: &Decoded<'_>) -> String {
    let Asked { mta, request } = match decoded {
        Decoded::Silent(silence) => return format!("silent {silence:?}"),
        Decoded::Refused(Refused { mta: _, error }) => return format!("refused {error:?}"),
        Decoded::Asked(asked) => asked,
    };
    let mut out = format!("mta {mta} type {}", request.request_type());
    match request {
        Request::Greylist(tuple) | Request::Whitelist(tuple) | Request::Remove(tuple) => {
            let (sender, recipient) = (text(tuple.sender), text(tuple.recipient));
            write!(out, " ip {} from {sender:?} to {recipient:?}", tuple.client).unwrap();
        }
        Request::ChangeIpList { network, change } => {
            let (cmd, address, mask) = (change.code(), network.addr(), network.prefix_len());
            write!(out, " cmd {cmd} ip {address} mask {mask}").unwrap();
        }
        Request::ChangeList { list: _, text: entry, change } => {
            write!(out, " cmd {} text {:?}", change.code(), text(entry)).unwrap();
        }
        Request::NoOp | Request::ShowStats | Request::ShowConfig | Request::Report(_) => {}
    }
    out
}

/// The same, as the capture has it.
fn captured(vector: &Vector) -> String {
    let Vector { name, asked, answered, .. } = vector;
    let named = DIFFERENT.iter().chain(&SILENT).find(|(known, _)| known == name);
    if let Some((_, expected)) = named {
        return (*expected).to_owned();
    }
    if asked["crc_ok"] == false {
        return "silent BadCrc".to_owned();
    }
    // Error 5 is no fault of the request.
    let error = answered["response"].as_u64().filter(|_| answered["type"] == 1);
    if let Some(error @ (1..5 | 6)) = error {
        return format!("refused {:?}", ErrorCode::of_code(error.try_into().unwrap()).unwrap());
    }
    let field = |name: &str| match &asked[name] {
        Value::String(text) if name == "ip" => text.clone(),
        Value::String(text) => format!("{text:?}"),
        value => value.to_string(),
    };
    let kind = asked["type"].as_u64().unwrap();
    let fields: &[&str] = match kind {
        2 | 4 | 6 => &["ip", "from", "to"],
        28 => &["cmd", "ip", "mask"],
        30.. => &["cmd", "text"],
        _ => &[],
    };
    let mut out = format!("mta {} type {kind}", asked["mta"]);
    for name in fields {
        write!(out, " {name} {}", field(name)).unwrap();
    }
    out
}

#[test]
fn each_captured_datagram_asks_what_its_sender_meant() {
    let secret = Secret::default();
    let mut named = 0;
    for vector in datagrams() {
        let decoded = decode(&vector.request, &secret);
        let mut captured = captured(&vector);
        if captured.contains(" mask ") {
            captured = with_host_bits_dropped(&captured);
        }
        assert_eq!(said(&decoded), captured, "{}", vector.name);
        let is_named = |names: &[(&str, &str)]| names.iter().any(|(name, _)| *name == vector.name);
        named += usize::from(is_named(&DIFFERENT) || is_named(&SILENT));
        if let Decoded::Asked(Asked { mta: _, request }) = decoded
            && vector.answered["type"] != 1
        {
            assert_eq!(vector.answered["type"], request.answer_type(), "{}", vector.name);
        }
    }
    assert_eq!(named, DIFFERENT.len() + SILENT.len(), "a vector that is listed here is gone");
}

/// `cmd 1 ip 192.0.2.7 mask 24` as the network that it is.
fn with_host_bits_dropped(captured: &str) -> String {
    let Some((front, rest)) = captured.split_once(" ip ") else { return captured.to_owned() };
    let Some((address, mask)) = rest.split_once(" mask ") else { return captured.to_owned() };
    let network = ipnet::Ipv4Net::new(address.parse().unwrap(), mask.parse().unwrap()).unwrap();
    format!("{front} ip {} mask {mask}", network.network())
}

#[test]
fn each_captured_answer_is_taken_by_a_client_and_made_again_by_a_server() {
    let secret = Secret::default();
    for vector in datagrams() {
        let name = &vector.name;
        let Some(response) = &vector.response else { continue };
        let (mta, request) = match decode(&vector.request, &secret) {
            Decoded::Asked(Asked { mta, request }) => (mta, request),
            Decoded::Refused(Refused { mta, error: _ }) => (mta, Request::NoOp),
            Decoded::Silent(_) => continue,
        };
        if DIFFERENT.iter().any(|(different, _)| different == name) {
            continue;
        }
        let mut again = Vec::new();
        match decode_answer(&secret, mta, &request, response) {
            Ok(Answer::Reply { action, why }) => {
                let response = action.code();
                encode_reply(&secret, mta, request.answer_type(), response, why, &mut again);
                assert_eq!(vector.answered["response"], response, "{name}");
                assert_eq!(vector.answered["why"], why.code(), "{name}");
            }
            Ok(Answer::Stats(stats)) => encode_stats(&secret, mta, &stats, &mut again),
            Ok(Answer::Config(config)) => encode_config(&secret, mta, &config, &mut again),
            Err(Wrong::Refused(error)) => {
                assert_eq!(vector.answered["response"], error.code(), "{name}");
                encode_refused(&secret, Refused { mta, error }, &mut again);
            }
            Err(wrong) => {
                let untaken = UNTAKEN.iter().find(|(untaken, _)| untaken == name);
                assert_eq!(Some(wrong), untaken.map(|&(_, code)| Wrong::Action(code)), "{name}");
                continue;
            }
        }
        assert_eq!(without_garbage(&again), without_garbage(response), "{name}");
    }
}

/// An answer without what is garbage in a reply, its two bytes of padding, and then its checksum.
fn without_garbage(datagram: &[u8]) -> &[u8] {
    let is_padded = datagram.len() == 16 && datagram[14..] != [0, 0];
    if is_padded { &datagram[4..14] } else { datagram }
}

#[test]
fn the_numbers_of_a_captured_answer_are_in_their_fields() {
    let secret = Secret::default();
    let mut seen = (0, 0);
    for vector in datagrams() {
        let Some(response) = &vector.response else { continue };
        let field = |name: &str| vector.answered[name].as_u64().unwrap();
        match vector.answered["type"].as_u64() {
            Some(9) => {
                let answer = decode_answer(&secret, 0, &Request::ShowStats, response);
                let Ok(Answer::Stats(stats)) = answer else { panic!("{answer:?}") };
                for (name, number) in wire::xgrey_v1::Stats::NAMES.iter().zip(stats.numbers()) {
                    assert_eq!(u64::from(number), field(name), "{name} of {}", vector.name);
                }
                seen.0 += 1;
            }
            Some(11) => {
                let answer = decode_answer(&secret, 0, &Request::ShowConfig, response);
                let Ok(Answer::Config(config)) = answer else { panic!("{answer:?}") };
                for (name, number) in [
                    ("max_tuples", config.max_tuples),
                    ("timeout_cleanup", config.cleanup_secs),
                    ("timeout_embargo", config.embargo_secs),
                    ("timeout_grey", config.greylist_secs),
                    ("timeout_white", config.whitelist_secs),
                ] {
                    assert_eq!(u64::from(number), field(name), "{name} of {}", vector.name);
                }
                seen.1 += 1;
            }
            _ => {}
        }
    }
    assert!(seen.0 >= 6 && seen.1 >= 2, "{seen:?}");
}

/// The padding that the original's clients leave as it is: bytes of a request that say nothing.
fn garbage(request: &Request<'_>, length: usize) -> Vec<usize> {
    match request {
        Request::NoOp | Request::ShowStats | Request::ShowConfig | Request::Report(_) => {
            vec![10, 11]
        }
        Request::ChangeList { .. } => vec![12, 13, length - 1],
        Request::ChangeIpList { .. } => (20..32).collect(),
        Request::Greylist(_) | Request::Whitelist(_) | Request::Remove(_) => Vec::new(),
    }
}

#[test]
fn what_its_own_clients_sent_is_made_again_but_for_their_garbage() {
    let secret = Secret::default();
    let mut made = 0;
    for vector in datagrams().iter().filter(|vector| vector.name.starts_with("client-")) {
        let decoded = decode(&vector.request, &secret);
        let Decoded::Asked(Asked { mta, request }) = decoded else { panic!("{}", vector.name) };
        let mut again = Vec::new();
        encode_request(&secret, mta, &request, &mut again).unwrap();
        assert_eq!(decode(&again, &secret), decoded, "{}", vector.name);
        assert_eq!(again.len(), vector.request.len(), "{}", vector.name);
        let mut theirs = vector.request.clone();
        for at in garbage(&request, theirs.len()) {
            (again[at], theirs[at]) = (0, 0);
        }
        assert_eq!(again[4..], theirs[4..], "{}", vector.name);
        made += 1;
    }
    assert!(made > 40, "{made}");
}

/// What kind of report a stream is: told by the datagram that asked for it, the last before it.
fn streams() -> Vec<(String, Report, Vec<u8>)> {
    let secret = Secret::default();
    let mut asked = None;
    let mut streams = Vec::new();
    for vector in vectors() {
        if vector.transport == "udp" {
            let decoded = decode(&vector.request, &secret);
            if let Decoded::Asked(Asked { request: Request::Report(report), .. }) = decoded
                && vector.answered["type"] != 1
            {
                asked = Some(report);
            }
        } else if let Some(stream) = vector.response {
            // This one's question is not among the vectors.
            let report = match vector.name.as_str() {
                "odd-bytes-report-16" => Report::TuplesAll,
                _ => asked.unwrap(),
            };
            streams.push((vector.name, report, stream));
        }
    }
    assert!(streams.len() > 30, "{}", streams.len());
    streams
}

/// A line of a report made again from what was read of it.
fn made_again(report: Report, line: &[u8]) -> Vec<u8> {
    let mut again = Vec::new();
    let count = || {
        let count = text(&line[..10.min(line.len())]);
        count.trim().parse::<u64>().unwrap()
    };
    match report {
        Report::IpList => {
            let read = files::ip_list(line).unwrap().unwrap();
            let wire::xgrey_v1::Change::Set(action) = read.change else { panic!("{read:?}") };
            ip_list_line(count(), action, read.network, &mut again);
        }
        Report::To | Report::ToDomain | Report::From | Report::FromDomain => {
            let read = files::text_list(line).unwrap().unwrap();
            list_line(count(), read.action, read.text, &mut again);
        }
        Report::Whitelist => {
            let read = files::whitelist(line).unwrap().unwrap();
            whitelist_line(read.client, read.sender, read.recipient, &mut again);
        }
        Report::Tuples | Report::TuplesAll => match files::dump(line) {
            Ok(tuple) => tuple_line(&tuple.unwrap(), &mut again),
            Err(files::BadLine::Ambiguous) => {
                assert!(line.starts_with(b"192.0.2.4 a b@example.com "), "{}", text(line));
                return [line, b"\n"].concat();
            }
            // The original shows 4 bytes of 16.
            Err(files::BadLine::Ipv6Lost) => {
                let line = text(line).replacen("6 ", "- ", 1);
                let tuple = files::dump(line.as_bytes()).unwrap().unwrap();
                let flags = Flags { ipv6: true, ..tuple.flags };
                tuple_line(&ReportedTuple { flags, ..tuple }, &mut again);
            }
            Err(bad) => panic!("{}: {bad}", text(line)),
        },
    }
    again
}

#[test]
fn each_line_of_a_captured_report_is_read_and_made_again() {
    let mut lines = 0;
    for (name, report, stream) in streams() {
        let mut again = Vec::new();
        for line in stream.split_inclusive(|&byte| byte == b'\n') {
            again.extend(made_again(report, line.strip_suffix(b"\n").unwrap()));
            lines += 1;
        }
        assert_eq!(text(&again), text(&stream), "{name}");
    }
    assert!(lines > 100, "{lines}");
}

fn key<'a>(tuple: &ReportedTuple<'a>) -> (IpAddr, &'a [u8], &'a [u8]) {
    (tuple.client, tuple.sender, tuple.recipient)
}

#[test]
fn captured_reports_are_in_our_order() {
    for (name, report, stream) in streams() {
        let lines = stream.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        match report {
            Report::IpList => {
                let networks: Vec<_> =
                    lines.map(|line| files::ip_list(line).unwrap().unwrap().network).collect();
                assert!(networks.is_sorted_by(|a, b| ip_list_order(a, b).is_lt()), "{name}");
            }
            Report::Tuples | Report::TuplesAll => {
                // Of IPv6 the order was by bytes that were not written.
                let tuples: Vec<_> =
                    lines.filter_map(|line| files::dump(line).ok().flatten()).collect();
                assert!(tuples.is_sorted_by(|a, b| tuple_order(key(a), key(b)).is_le()), "{name}");
            }
            Report::Whitelist => {
                let read = lines.map(|line| files::whitelist(line).unwrap().unwrap());
                let tuples: Vec<_> =
                    read.map(|read| (read.client, read.sender, read.recipient)).collect();
                let is_shown_whole = |client: IpAddr| client != Ipv4Addr::new(32, 1, 13, 184);
                let tuples: Vec<_> =
                    tuples.into_iter().filter(|(client, ..)| is_shown_whole(*client)).collect();
                assert!(tuples.is_sorted_by(|&a, &b| tuple_order(a, b).is_lt()), "{name}");
            }
            Report::To | Report::ToDomain | Report::From | Report::FromDomain => {
                let texts: Vec<_> =
                    lines.map(|line| files::text_list(line).unwrap().unwrap().text).collect();
                let (last, others) = texts.split_last().unwrap();
                assert_eq!(*last, b"DEFAULT", "{name}");
                assert!(others.is_sorted(), "{name}");
            }
        }
    }
}

#[test]
fn the_examples_of_the_specification_hold() {
    let secret = Secret::default();
    let mut out = Vec::new();
    encode_request(&secret, 0, &Request::NoOp, &mut out).unwrap();
    assert_eq!(out, b"\xc0\xed\x58\xef\x01\x01\0\0\0\0\0\0");
    let config = wire::xgrey_v1::Config::DEFAULT;
    out.clear();
    encode_config(&secret, 0, &config, &mut out);
    assert_eq!(out.len(), 32);
    out.clear();
    encode_reply(&secret, 3, 3, Action::Accept.code(), wire::xgrey_v1::Why::Ip, &mut out);
    assert_eq!(out.len(), wire::xgrey_v1::REPLY_BYTES);
    assert_eq!(decode(&[0; 9], &secret), Decoded::Silent(Silence::Short));
}
