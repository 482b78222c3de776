//! What single things mean: rows of packets, and what is made of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod milter_listener;

use wire::Limits;

use milter_listener::{listen, packets};

/// A packet.
fn packet(command: u8, data: impl AsRef<[u8]>) -> Vec<u8> {
    let data = data.as_ref();
    let length = u32::try_from(data.len() + 1).unwrap();
    [&length.to_be_bytes()[..], &[command], data].concat()
}

/// The offer of a peer.
fn offer(version: u32, actions: u32, steps: u32) -> Vec<u8> {
    packet(b'O', [version, actions, steps].map(u32::to_be_bytes).concat())
}

/// A client at 192.0.2.7.
fn connect() -> Vec<u8> {
    packet(b'C', b"mail.example.net\x004\x9c\x40192.0.2.7\0")
}

fn mail() -> Vec<u8> {
    packet(b'M', b"<alice@example.net>\0SIZE=99\0")
}

fn recipient(address: &str) -> Vec<u8> {
    packet(b'R', format!("<{address}>\0"))
}

/// What the last of those packets got.
fn last(stream: &[Vec<u8>]) -> String {
    let seen = listen(Limits::default(), [stream.concat().as_slice()]);
    seen.last().unwrap().text.clone()
}

/// What is asked when macros came with HELO and MAIL.
fn asked(helo_macros: &str, mail_macros: &str) -> String {
    let macros = |of, text: &str| packet(b'D', format!("{of}{}", text.replace('|', "\0")));
    last(&[
        offer(6, 0x1ff, 0x1f_ffff),
        connect(),
        macros('H', helo_macros),
        packet(b'H', b"mail.example.net\0"),
        macros('M', mail_macros),
        mail(),
        recipient("dave@example.org"),
    ])
}

#[test]
fn only_what_proves_something_is_trusted() {
    for (helo, mail, expected) in [
        ("", "", "Stranger"),
        ("", "{auth_authen}|alice|", "Authenticated"),
        ("", "{auth_authen}||", "Stranger"),
        ("", "{auth_type}|PLAIN|{auth_author}|alice|", "Stranger"),
        ("", "{cert_subject}|/CN=x|{verify}|OK|", "Certificate"),
        ("{cert_subject}|/CN=x|{verify}|OK|", "", "Certificate"),
        ("", "{cert_subject}|/CN=x|{verify}|FAIL|", "Stranger"),
        ("", "{cert_subject}|/CN=x|", "Stranger"),
        ("", "{cert_subject}|/CN=x|v|8.17.1.9|", "Stranger"),
        ("", "{cert_subject}|x|v|Postfix 3.7.11|", "Certificate"),
        ("", "{cert_subject}|x|v|Postfix 3.7.11|{verify}|FAIL|", "Stranger"),
        ("", "{verify}|OK|v|Postfix 3.7.11|", "Stranger"),
        ("", "{cert_subject}|x|{verify}|OK|{auth_authen}|alice|", "Authenticated"),
        // The nearest counts: what HELO said before TLS is over.
        ("{verify}|OK|", "{cert_subject}|x|{verify}|NO|", "Stranger"),
    ] {
        let text = asked(helo, mail);
        assert!(text.contains(&format!(" {expected} ")), "{helo} {mail}: {text}");
    }
}

#[test]
fn a_name_is_known_only_if_it_is_confirmed() {
    for (macros, expected) in [
        ("", "(none)"),
        ("{client_name}|mail.example.net|", "mail.example.net"),
        ("client_name|mail.example.net|", "mail.example.net"),
        ("{client_name}|mail.example.net|{client_resolve}|OK|", "mail.example.net"),
        ("{client_name}|mail.example.net|{client_resolve}|FORGED|", "(none)"),
        ("{client_name}|mail.example.net|{client_resolve}|TEMP|", "(none)"),
        ("{client_name}|unknown|{client_resolve}|OK|", "(none)"),
        ("{client_name}|[192.0.2.7]|", "(none)"),
        ("{client_ptr}|mail.example.net|", "(none)"),
    ] {
        let text = asked("", macros);
        assert!(text.contains(&format!(" name={expected} ")), "{macros}: {text}");
    }
}

#[test]
fn what_macros_proved_ends_with_what_they_were_told_of() {
    let macros = packet(b'D', b"M{auth_authen}\0alice\0i\0QUEUED\0");
    let begin = [offer(6, 0x1ff, 0x1f_ffff), connect(), macros, mail(), recipient("d@example.org")];
    assert!(last(&begin).contains(" Authenticated "));
    for end in [
        vec![mail()],
        vec![packet(b'A', b""), mail()],
        vec![packet(b'E', b""), mail()],
        vec![packet(b'H', b"x\0"), mail()],
        vec![packet(b'K', b""), connect(), mail()],
        vec![connect(), mail()],
        vec![offer(6, 0x1ff, 0x1f_ffff), connect(), mail()],
    ] {
        let stream = [begin.to_vec(), end, vec![recipient("dave@example.org")]].concat();
        let text = last(&stream);
        assert!(text.contains(" Stranger ") && text.contains("queue-id= "), "{text}");
    }
}

#[test]
fn a_client_without_an_address_is_not_asked_about() {
    let offer = || offer(6, 0x1ff, 0x1f_ffff);
    for (connect, expected) in [
        (&b"localhost\0L\0\0/run/smtp.sock\0"[..], "Recipient: continue\n  c "),
        (b"localhost\0U", "Recipient: continue\n  c "),
        (
            b"x\x004\0\x19192.0.2\0",
            "Recipient: excuse missing: the request has no client before its recipient\n  c ",
        ),
        (
            b"x\x006\0",
            "Recipient: excuse missing: the request has no client before its recipient\n  c ",
        ),
        (b"x", "Recipient: excuse missing: the request has no client before its recipient\n  c "),
    ] {
        let text = last(&[offer(), packet(b'C', connect), mail(), recipient("later@example.org")]);
        assert_eq!(text, expected);
    }
    let without_sender = last(&[offer(), connect(), recipient("later@example.org")]);
    assert!(without_sender.contains("no sender before its recipient\n  c "), "{without_sender}");
}

#[test]
fn an_address_of_either_family_is_a_client() {
    for (connect, expected) in [
        (&b"x\x004\0\x19192.0.2.7\0"[..], "ask 192.0.2.7 "),
        (b"x\x006\0\x192001:db8::7\0", "ask 2001:db8::7 "),
        (b"x\x006\0\x19IPv6:2001:db8::7\0", "ask 2001:db8::7 "),
        (b"x\x006\0\x19::ffff:192.0.2.7\0", "ask 192.0.2.7 "),
        (b"x\x004\0\x19192.0.2.7", "ask 192.0.2.7 "),
    ] {
        let text = last(&[packet(b'C', connect), mail(), recipient("dave@example.org")]);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_peer_that_offers_less_gets_its_replies() {
    let session = |offer| {
        let stream: Vec<Vec<u8>> = vec![
            offer,
            connect(),
            packet(b'H', b"mail.example.net\0"),
            mail(),
            recipient("bob@example.org"),
            packet(b'T', b""),
            packet(b'L', b"Subject\0x\0"),
            packet(b'N', b""),
            packet(b'B', b"hello\r\n"),
            packet(b'U', b"XYZZY\0"),
            packet(b'E', b""),
            packet(b'A', b""),
            packet(b'Q', b""),
        ];
        let seen = listen(Limits::default(), [stream.concat().as_slice()]);
        seen.iter().map(|seen| seen.text.matches("\n  ").count()).collect::<Vec<_>>()
    };
    assert_eq!(session(offer(6, 0x1ff, 0x1f_ffff)), [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0]);
    // Nobody can leave out the replies to steps, but some steps: those come all the same here.
    assert_eq!(session(offer(2, 0x1ff, 0x7f)), [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 0, 0]);
    // No headers may be added.
    assert_eq!(session(offer(6, 0, 0)), [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]);
    // Nothing was negotiated at all.
    assert_eq!(session(packet(b'A', b"")), [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]);
}

#[test]
fn an_old_peer_gets_its_header_at_the_end_and_a_new_one_at_the_top() {
    for (version, expected) in
        [(2, "\n  h X-Greylist"), (3, "\n  i \\x00\\x00\\x00\\x00X-Greylist")]
    {
        let text = last(&[
            offer(version, 1, 0),
            connect(),
            mail(),
            recipient("bob@example.org"),
            packet(b'E', b""),
        ]);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn several_recipients_that_waited_make_one_header_with_the_longest_wait() {
    for order in [["bob", "carol", "later"], ["carol", "bob", "dave"], ["later", "bob", "carol"]] {
        let mut stream = vec![offer(6, 0x1ff, 0x1f_ffff), connect(), mail()];
        stream.extend(order.map(|name| recipient(&format!("{name}@example.org"))));
        stream.push(packet(b'E', b""));
        let text = last(&stream);
        assert_eq!(text.matches("X-Greylist").count(), 1, "{text}");
        assert!(text.contains("delayed 75 seconds for carol@example.org"), "{text}");
        // The next message has not waited.
        stream.extend([mail(), recipient("dave@example.org"), packet(b'E', b"")]);
        assert_eq!(last(&stream), "EndOfMessage: end of message\n  c ");
    }
}

#[test]
fn a_message_that_came_to_nothing_leaves_no_header_to_the_next() {
    for end in [packet(b'A', b""), packet(b'H', b"x\0"), mail(), connect(), packet(b'K', b"")] {
        let text = last(&[
            offer(6, 0x1ff, 0x1f_ffff),
            connect(),
            mail(),
            recipient("bob@example.org"),
            end,
            connect(),
            mail(),
            recipient("dave@example.org"),
            packet(b'E', b""),
        ]);
        assert_eq!(text, "EndOfMessage: end of message\n  c ");
    }
}

#[test]
fn what_is_no_milter_ends_the_connection() {
    let lost = |stream: &[u8]| listen(Limits::default(), [stream])[0].text.clone();
    assert!(lost(b"GET / HTTP/1.1\r\n\r\n").starts_with("lost packet-length: "));
    assert!(lost(b"\0\0\0\0\0").starts_with("lost packet-length: "));
    assert!(lost(b"\0\0\0\x01?").starts_with("lost unknown-command: "));
    assert!(lost(&offer(1, 0, 0)).contains("give up version: "));
    assert!(lost(&packet(b'O', b"\0\0\0\x06")).contains("give up missing: "));
}

#[test]
fn a_packet_that_is_too_long_is_skipped_and_answered() {
    let limits = Limits { request_bytes_max: 64 };
    let stream = [
        packet(b'C', b"x\x004\0\x19192.0.2.7\0"),
        mail(),
        packet(b'R', [b'x'; 1_000]),
        recipient("dave@example.org"),
        packet(b'D', [b'M'; 100]),
        packet(b'M', [b'x'; 60]),
        recipient("dave@example.org"),
    ]
    .concat();
    let seen = listen(limits, [stream.as_slice()]);
    let texts: Vec<&str> = seen.iter().map(|seen| seen.text.as_str()).collect();
    assert_eq!(texts[2], "Recipient: excuse too-long: the request is longer than 64 bytes\n  c ");
    assert!(texts[3].starts_with("Recipient: ask 192.0.2.7 "), "{}", texts[3]);
    assert_eq!(texts[4], "Macros: ignore too-long: the request is longer than 64 bytes");
    assert!(texts[6].contains("no sender before its recipient"), "{}", texts[6]);
}

#[test]
fn a_text_longer_than_an_smtp_line_is_kept_nowhere() {
    let text = last(&[
        connect(),
        packet(b'M', [b'a'; wire::milter::TEXT_BYTES_MAX + 1]),
        recipient("dave@example.org"),
    ]);
    assert!(text.contains("no sender before its recipient"), "{text}");
    let longest = last(&[
        connect(),
        packet(b'M', [b'a'; wire::milter::TEXT_BYTES_MAX]),
        recipient("dave@example.org"),
    ]);
    assert!(longest.starts_with("Recipient: ask "), "{longest}");
}

#[test]
fn percent_signs_are_doubled_in_a_reply() {
    use greylist::reply::{Replies, Reply, ReplyCode, Template};
    let reply = |code: ReplyCode| {
        let text = Template::parse("100% {sender} %").unwrap();
        Reply::new(code, None, text).unwrap()
    };
    let replies = Replies::new(
        reply(ReplyCode::defer(452).unwrap()),
        reply(ReplyCode::reject(554).unwrap()),
        None,
    )
    .unwrap();
    let client = greylist::Client::new([192, 0, 2, 7].into());
    let query = greylist::Query::new(client, b"a%b@example.net", b"b@example.org");
    let mut out = Vec::new();
    wire::milter::encode(greylist::Effect::Reject, &query, &replies, &mut out);
    assert_eq!(packets(&out), [(b'y', &b"554 100%% a%%b@example.net %%\0"[..])]);
}
