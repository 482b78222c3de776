//! What holds for whatever datagrams and lines come.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use wire::xgrey_v1::client::{Answer, Unsendable, Wrong, decode_answer, encode_request};
use wire::xgrey_v1::report::{
    Flags, ReportedTuple, ip_list_line, ip_list_order, list_line, tuple_line, whitelist_line,
};
use wire::xgrey_v1::{
    Action, Asked, Change, Config, DATAGRAM_BYTES_MAX, Decoded, ErrorCode, HEADER_BYTES, Refused,
    Report, Request, Secret, Silence, Stats, TextList, Tuple, Why, decode, encode_config,
    encode_refused, encode_reply, encode_stats, files,
};

/// A request that owns what [`Request`] borrows.
#[derive(Clone, Debug)]
enum Owned {
    Plain(Request<'static>),
    Tuple { kind: u8, client: IpAddr, sender: Vec<u8>, recipient: Vec<u8> },
    List { list: TextList, text: Vec<u8>, change: Change },
}

impl Owned {
    fn request(&self) -> Request<'_> {
        match self {
            Self::Plain(request) => *request,
            Self::Tuple { kind, client, sender, recipient } => {
                let tuple = Tuple { client: *client, sender, recipient };
                match kind {
                    0 => Request::Greylist(tuple),
                    1 => Request::Whitelist(tuple),
                    _ => Request::Remove(tuple),
                }
            }
            Self::List { list, text, change } => {
                Request::ChangeList { list: *list, text, change: *change }
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> + Clone {
    let actions = Action::ALL.map(Change::Set);
    select(actions.into_iter().chain([Change::Remove]).collect::<Vec<_>>())
}

fn request() -> impl Strategy<Value = Owned> {
    let plain = [Request::NoOp, Request::ShowStats, Request::ShowConfig];
    let plain: Vec<_> = plain.into_iter().chain(Report::ALL.map(Request::Report)).collect();
    prop_oneof![
        select(plain).prop_map(Owned::Plain),
        (0_u8..3, any::<IpAddr>(), vec(any::<u8>(), 0..300), vec(any::<u8>(), 0..300)).prop_map(
            |(kind, client, sender, recipient)| Owned::Tuple { kind, client, sender, recipient }
        ),
        (any::<u32>(), 0_u8..=32, change()).prop_map(|(address, prefix, change)| {
            let network = Ipv4Net::new(address.into(), prefix).unwrap().trunc();
            Owned::Plain(Request::ChangeIpList { network, change })
        }),
        (select(TextList::ALL.to_vec()), vec(1_u8.., 0..300), change())
            .prop_map(|(list, text, change)| Owned::List { list, text, change }),
    ]
}

fn secret() -> impl Strategy<Value = Secret> {
    vec(1_u8.., 0..40).prop_map(|bytes| Secret::new(&bytes).unwrap())
}

fn sent(secret: &Secret, mta: u16, request: &Owned) -> Vec<u8> {
    let mut out = Vec::new();
    encode_request(secret, mta, &request.request(), &mut out).unwrap();
    out
}

proptest! {
    #[test]
    fn a_request_comes_as_it_was_sent(secret in secret(), mta: u16, owned in request()) {
        let request = owned.request();
        let datagram = sent(&secret, mta, &owned);
        prop_assert_eq!(decode(&datagram, &secret), Decoded::Asked(Asked { mta, request }));
        prop_assert_eq!(request.answer_type(), request.request_type() + 1);
    }

    #[test]
    fn a_reply_comes_as_it_was_sent(
        secret in secret(),
        mta: u16,
        owned in request(),
        action in select(Action::ALL.to_vec()),
        why in select(Why::ALL.to_vec()),
        before in vec(any::<u8>(), 0..20),
    ) {
        let request = owned.request();
        let is_reply = !matches!(request, Request::ShowStats | Request::ShowConfig);
        // A no-op's answer is of the type of errors: only one that says nothing is fine.
        let action = if request == Request::NoOp { Action::Greylist } else { action };
        let mut out = before.clone();
        encode_reply(&secret, mta, request.answer_type(), action.code(), why, &mut out);
        let answer = decode_answer(&secret, mta, &request, &out[before.len()..]);
        let bytes = 16;
        let expected = if is_reply { Ok(Answer::Reply { action, why }) } else { Err(Wrong::Short { bytes }) };
        prop_assert_eq!(answer, expected);
        prop_assert_eq!(&out[..before.len()], &before);
    }

    #[test]
    fn an_error_comes_as_it_was_sent(
        secret in secret(),
        mta: u16,
        owned in request(),
        error in select(ErrorCode::ALL.to_vec()),
    ) {
        let mut out = Vec::new();
        encode_refused(&secret, Refused { mta, error }, &mut out);
        let answer = decode_answer(&secret, mta, &owned.request(), &out);
        prop_assert_eq!(answer, Err(Wrong::Refused(error)));
    }

    #[test]
    fn statistics_and_settings_come_as_they_were_sent(
        secret in secret(),
        mta: u16,
        numbers: [[u32; 10]; 5],
    ) {
        let mut all = [0; 41];
        for (place, number) in all.iter_mut().zip(numbers.as_flattened()) {
            *place = *number;
        }
        let stats = Stats::of_numbers(all);
        let mut out = Vec::new();
        encode_stats(&secret, mta, &stats, &mut out);
        let answer = decode_answer(&secret, mta, &Request::ShowStats, &out);
        prop_assert_eq!(answer, Ok(Answer::Stats(stats)));
        prop_assert_eq!(out.len(), 176);
        let [max_tuples, cleanup_secs, embargo_secs, greylist_secs, whitelist_secs] =
            [all[0], all[1], all[2], all[3], all[4]];
        let config =
            Config { max_tuples, cleanup_secs, embargo_secs, greylist_secs, whitelist_secs };
        out.clear();
        encode_config(&secret, mta, &config, &mut out);
        let answer = decode_answer(&secret, mta, &Request::ShowConfig, &out);
        prop_assert_eq!(answer, Ok(Answer::Config(config)));
        prop_assert_eq!(out.len(), 32);
    }

    #[test]
    fn a_bit_that_flips_on_the_way_is_noticed(
        secret in secret(),
        owned in request(),
        at: Index,
        bit in 0_u32..8,
    ) {
        let mut datagram = sent(&secret, 3, &owned);
        let at = at.index(datagram.len());
        datagram[at] ^= 1 << bit;
        prop_assert_eq!(decode(&datagram, &secret), Decoded::Silent(Silence::BadCrc));
        let mut answer = Vec::new();
        encode_reply(&secret, 3, 3, 0, Why::Greylist, &mut answer);
        let at = at % answer.len();
        answer[at] ^= 1 << bit;
        let taken = decode_answer(&secret, 3, &owned.request(), &answer);
        prop_assert_eq!(taken, Err(Wrong::BadCrc));
    }

    #[test]
    fn another_secret_makes_another_checksum(owned in request(), bytes in vec(1_u8.., 0..40)) {
        let other = Secret::new(&bytes).unwrap();
        prop_assume!(other != Secret::default());
        let datagram = sent(&Secret::default(), 3, &owned);
        prop_assert_eq!(decode(&datagram, &other), Decoded::Silent(Silence::BadCrc));
    }

    #[test]
    fn any_bytes_with_a_good_checksum_are_decoded_without_panic(
        mut datagram in vec(any::<u8>(), 0..1600),
        number in 0_u16..40,
        version in 0x0100_u16..0x0103,
    ) {
        let secret = Secret::default();
        for (at, value) in [(4, version), (8, number)] {
            if let Some(place) = datagram.get_mut(at..at + 2) {
                place.copy_from_slice(&value.to_be_bytes());
            }
        }
        seal(&mut datagram);
        match decode(&datagram, &secret) {
            Decoded::Silent(silence) => {
                let expected = match datagram.len() {
                    ..HEADER_BYTES => Silence::Short,
                    _ => Silence::Oversized,
                };
                prop_assert_eq!(silence, expected);
                prop_assert!(!(HEADER_BYTES..=DATAGRAM_BYTES_MAX).contains(&datagram.len()));
            }
            Decoded::Refused(Refused { mta, error }) => {
                prop_assert_eq!(mta.to_be_bytes(), datagram[6..8]);
                let is_new = version > 0x0101;
                prop_assert_eq!(is_new, error == ErrorCode::Version);
                let is_unknown = number % 2 == 1 || number > 36;
                prop_assert_eq!(!is_new && is_unknown, error == ErrorCode::Type);
                prop_assert!(!matches!(error, ErrorCode::Mta | ErrorCode::NoReport));
            }
            Decoded::Asked(Asked { mta, request }) => {
                prop_assert_eq!(mta.to_be_bytes(), datagram[6..8]);
                prop_assert_eq!(request.request_type(), number);
                let mut again = Vec::new();
                match encode_request(&secret, mta, &request, &mut again) {
                    Ok(()) => {
                        let asked = Decoded::Asked(Asked { mta, request });
                        prop_assert_eq!(decode(&again, &secret), asked);
                    }
                    // A text that fills a datagram to its end has no room for its NUL.
                    Err(error) => {
                        prop_assert!(matches!(error, Unsendable::TooLong { bytes: 1501 | 1502 }));
                    }
                }
            }
        }
    }

    #[test]
    fn any_answer_is_read_without_panic(
        mut datagram in vec(any::<u8>(), 0..200),
        owned in request(),
        is_right_type: bool,
    ) {
        let request = owned.request();
        for (at, value) in [(4, 0x0101), (6, 3), (8, request.answer_type())] {
            if is_right_type && let Some(place) = datagram.get_mut(at..at + 2) {
                place.copy_from_slice(&u16::to_be_bytes(value));
            }
        }
        seal(&mut datagram);
        let _ = decode_answer(&Secret::default(), 3, &request, &datagram);
    }

    #[test]
    fn any_line_of_a_file_is_read_without_panic(line in vec(any::<u8>(), 0..200)) {
        let _ = (files::whitelist(&line), files::dump(&line), files::text_list(&line));
        let _ = (files::ip_list(&line), files::relaydelay(&line), files::bogonspace(&line));
    }

    #[test]
    fn any_line_much_like_those_of_a_file_is_read_without_panic(
        line in "[ -]{0,2}([0-9a-f.:/]{1,15}|[WDFT6-]{4,6}|ACCEPT|#|-)( {1,2}([0-9./]{1,9}|accept|[WDFT6-]{5}|-|a@b)){0,6} ?"
    ) {
        let line = line.as_bytes();
        let _ = (files::whitelist(line), files::dump(line), files::text_list(line));
        let _ = (files::ip_list(line), files::relaydelay(line), files::bogonspace(line));
    }

    #[test]
    fn a_tuple_that_is_reported_is_read_back(
        client: IpAddr,
        sender in "[!-~]{0,20}",
        recipient in "[!-~]{0,20}",
        flags: [bool; 4],
        created: u64,
        seen: u64,
    ) {
        // A dash alone is how an empty address is written.
        prop_assume!(sender != "-" && recipient != "-");
        let (sender, recipient) = (sender.as_bytes(), recipient.as_bytes());
        let [white, removed, sender_cut, recipient_cut] = flags;
        let ipv6 = client.is_ipv6();
        let flags = Flags { white, removed, sender_cut, recipient_cut, ipv6 };
        let tuple = ReportedTuple { client, sender, recipient, flags, created, seen };
        let mut line = Vec::new();
        tuple_line(&tuple, &mut line);
        prop_assert_eq!(files::dump(&line), Ok(Some(tuple)));
        line.clear();
        whitelist_line(client, sender, recipient, &mut line);
        let expected = files::WhitelistLine { client, sender, recipient };
        prop_assert_eq!(files::whitelist(&line), Ok(Some(expected)));
    }

    #[test]
    fn an_entry_that_is_reported_is_read_back(
        address: IpAddr,
        prefix in 0_u8..=32,
        action in select(Action::ALL.to_vec()),
        count: u64,
        text in "[!-~]([ -~]{0,20}[!-~])?",
    ) {
        let network = IpNet::new(address, prefix).unwrap().trunc();
        let mut line = Vec::new();
        ip_list_line(count, action, network, &mut line);
        let change = Change::Set(action);
        prop_assert_eq!(files::ip_list(&line), Ok(Some(files::IpListLine { network, change })));
        line.clear();
        list_line(count, action, text.as_bytes(), &mut line);
        let text = text.as_bytes();
        let expected = files::TextListLine { action, text };
        prop_assert_eq!(files::text_list(&line), Ok(Some(expected)));
    }

    #[test]
    fn networks_have_one_order_in_which_what_is_within_comes_first(
        networks in vec((0_u32..64, 26_u8..=32), 0..40)
    ) {
        let mut networks: Vec<IpNet> = networks
            .into_iter()
            .map(|(address, prefix)| Ipv4Net::new(address.into(), prefix).unwrap().trunc().into())
            .collect();
        networks.sort_by(ip_list_order);
        networks.dedup();
        for (index, network) in networks.iter().enumerate() {
            for earlier in &networks[..index] {
                prop_assert!(ip_list_order(earlier, network).is_lt());
                prop_assert!(ip_list_order(network, earlier).is_gt());
                let is_disjoint = !network.contains(earlier) && !earlier.contains(network);
                prop_assert!(network.contains(earlier) || is_disjoint, "{earlier} {network}");
                prop_assert!(!is_disjoint || earlier.network() < network.network());
            }
        }
    }
}

/// Puts the checksum of the default secret where it belongs, by means of the section's formula.
fn seal(datagram: &mut [u8]) {
    let Some((front, covered)) = datagram.split_first_chunk_mut::<4>() else { return };
    let mut crc = u32::MAX;
    for &byte in covered.iter().chain(Secret::DEFAULT_TEXT.as_bytes()) {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1));
        }
    }
    *front = crc.to_be_bytes();
}

#[test]
fn a_datagram_of_1500_bytes_is_read_and_one_more_is_not() {
    let secret = Secret::default();
    for (length, silence) in [(1500, None), (1501, Some(Silence::Oversized))] {
        let mut datagram = vec![0; length];
        datagram[4..6].copy_from_slice(&[1, 1]);
        seal(&mut datagram);
        match decode(&datagram, &secret) {
            Decoded::Silent(silent) => assert_eq!(Some(silent), silence),
            Decoded::Asked(Asked { mta: 0, request: Request::NoOp }) => assert_eq!(silence, None),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_request_that_no_server_would_read_is_not_sent() {
    let secret = Secret::default();
    let client = IpAddr::from([192, 0, 2, 1]);
    let long = [b'a'; 1480];
    let mut out = vec![7];
    let request = Request::Greylist(Tuple { client, sender: &long, recipient: b"" });
    assert_eq!(encode_request(&secret, 3, &request, &mut out), Ok(()));
    assert_eq!(out.len(), 1 + DATAGRAM_BYTES_MAX);
    let request = Request::Greylist(Tuple { client, sender: &long, recipient: b"b" });
    let too_long = Err(Unsendable::TooLong { bytes: 1501 });
    assert_eq!(encode_request(&secret, 3, &request, &mut out), too_long);
    let change = Change::Remove;
    let request = Request::ChangeList { list: TextList::To, text: b"a\0b", change };
    assert_eq!(encode_request(&secret, 3, &request, &mut out), Err(Unsendable::Nul));
    assert_eq!(out.len(), 1 + DATAGRAM_BYTES_MAX);
}

#[test]
fn a_wrong_answer_is_told_by_what_is_wrong_with_it() {
    let secret = Secret::default();
    let request =
        Request::Greylist(Tuple { client: [192, 0, 2, 1].into(), sender: b"", recipient: b"" });
    let reply = |version: u16, mta: u16, kind: u16, response: u16, why: u16| {
        let mut out = vec![0; 4];
        for number in [version, mta, kind, response, why] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        seal(&mut out);
        out
    };
    let greylist = Answer::Reply { action: Action::Greylist, why: Why::Greylist };
    for (datagram, expected) in [
        (reply(0x0101, 3, 3, 0, 6), Ok(greylist)),
        (reply(0x0100, 3, 3, 0, 6), Ok(greylist)),
        (reply(0x0102, 3, 3, 0, 6), Err(Wrong::Version(0x0102))),
        (reply(0x0101, 0, 3, 0, 6), Err(Wrong::Mta(0))),
        (reply(0x0101, 3, 5, 0, 6), Err(Wrong::Type(5))),
        (reply(0x0101, 3, 1, 0, 0), Err(Wrong::Type(1))),
        (reply(0x0101, 3, 1, 4, 0), Err(Wrong::Refused(ErrorCode::BadData))),
        (reply(0x0101, 3, 1, 7, 0), Err(Wrong::Error(7))),
        (reply(0x0101, 3, 3, 3, 6), Err(Wrong::Action(3))),
        (reply(0x0101, 3, 3, 0, 8), Err(Wrong::Why(8))),
        (b"123456789".to_vec(), Err(Wrong::Short { bytes: 9 })),
        (vec![], Err(Wrong::Short { bytes: 0 })),
        (vec![0; 16], Err(Wrong::BadCrc)),
    ] {
        assert_eq!(decode_answer(&secret, 3, &request, &datagram), expected, "{datagram:?}");
    }
    let mut short = reply(0x0101, 3, 3, 0, 6);
    short.truncate(12);
    seal(&mut short);
    let taken = decode_answer(&secret, 3, &request, &short);
    assert_eq!(taken, Err(Wrong::Short { bytes: 12 }));
}
