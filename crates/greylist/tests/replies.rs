//! What senders get to see: whatever is configured and whoever asks, a short line of harmless text.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use greylist::reply::{
    EnhancedCode, Fields, REPLY_TEXT_BYTES_MAX, Replies, Reply, ReplyCode, ReplyError, Template,
    TemplateError, TemplateErrorKind,
};
use greylist::{Client, Query, Secs};
use proptest::prelude::*;

fn client() -> Client {
    Client::new("192.0.2.7".parse().unwrap())
}

fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

fn rendered(template: &Template, sender: &[u8], recipient: &[u8]) -> String {
    let query = Query::new(client(), sender, recipient);
    let mut out = b"before ".to_vec();
    template.render(&Fields { query: &query, wait: Secs::new(48) }, &mut out);
    String::from_utf8(out.split_off(7)).unwrap()
}

fn kind(text: &str) -> (String, TemplateErrorKind) {
    let TemplateError { at, kind } = Template::parse(text).unwrap_err();
    (text[at].to_owned(), kind)
}

#[test]
fn each_placeholder_becomes_what_it_says() {
    let text = "{wait}|{wait_seconds}|{client}|{sender}|{sender_domain}|{recipient}|{recipient_domain}|{help}|";
    assert_eq!(
        rendered(&template(text), b"a@example.net", b"b@example.org"),
        "48 seconds|48|192.0.2.7|a@example.net|example.net|b@example.org|example.org||"
    );
    assert_eq!(
        rendered(&template(text), b"", b"postmaster"),
        "48 seconds|48|192.0.2.7|<>||postmaster|||"
    );
}

#[test]
fn two_braces_are_one() {
    for (text, shown) in [
        ("{{wait}}", "{wait}"),
        ("{{{wait_seconds}}}", "{48}"),
        ("}}{{", "}{"),
        ("{{}}", "{}"),
        ("", ""),
        ("Später, {wait_seconds} s …", "Später, 48 s …"),
    ] {
        assert_eq!(rendered(&template(text), b"", b""), shown, "{text}");
    }
}

#[test]
fn the_help_text_stands_where_the_text_asks_for_it() {
    let help = "https://example.org/{recipient_domain}?{{}}";
    let text = Template::parse_with_help("See {help}, {help}.", help).unwrap();
    let shown = "See https://example.org/example.org?{}, https://example.org/example.org?{}.";
    assert_eq!(rendered(&text, b"", b"b@example.org"), shown);
}

#[test]
fn a_mistake_in_a_text_is_named_with_its_place_and_its_mend() {
    let unknown = |nearest| TemplateErrorKind::Unknown { nearest };
    for (text, place, expected) in [
        ("in {wiat}!", "{wiat}", unknown(Some("wait"))),
        ("{ wait }", "{ wait }", unknown(Some("wait"))),
        ("{Sender}", "{Sender}", unknown(Some("sender"))),
        ("{recipent_domain}", "{recipent_domain}", unknown(Some("recipient_domain"))),
        ("{sender-domain}", "{sender-domain}", unknown(Some("sender_domain"))),
        ("{queue}", "{queue}", unknown(None)),
        ("{}", "{}", unknown(None)),
        ("{é}", "{é}", unknown(None)),
        ("in {wait", "{wait", TemplateErrorKind::Unclosed),
        ("{wait {sender}", "{wait ", TemplateErrorKind::Unclosed),
        ("{", "{", TemplateErrorKind::Unclosed),
        ("{{{", "{", TemplateErrorKind::Unclosed),
        ("in wait}", "}", TemplateErrorKind::Unopened),
        ("{wait}}", "}", TemplateErrorKind::Unopened),
        ("a\nb", "\n", TemplateErrorKind::Control),
        ("a\u{85}b", "\u{85}", TemplateErrorKind::Control),
        ("{wait}\0", "\0", TemplateErrorKind::Control),
    ] {
        assert_eq!(kind(text), (place.to_owned(), expected), "{text}");
    }
    assert_eq!(
        Template::parse("in {wiat}").unwrap_err().to_string(),
        "at byte 3: unknown placeholder: did you mean {wait}?"
    );
    let all = Template::parse("{queue}").unwrap_err().to_string();
    assert!(
        all.ends_with(
            "use one of {wait}, {wait_seconds}, {client}, {sender}, {sender_domain}, \
         {recipient}, {recipient_domain}, {help}"
        ),
        "{all}"
    );
}

#[test]
fn a_mistake_in_the_help_text_is_reported_where_the_text_asks_for_it() {
    let error = Template::parse_with_help("See {help}", "x{wiat}").unwrap_err();
    assert_eq!(error.at, 4..10);
    assert_eq!(
        error.to_string(),
        "at byte 4: in the help text, at byte 1: unknown placeholder: did you mean {wait}?"
    );
    let error = Template::parse_with_help("See {help}", "{help}").unwrap_err();
    let inner = TemplateError { at: 0..6, kind: TemplateErrorKind::HelpInHelp };
    assert_eq!(error.kind, TemplateErrorKind::Help(Box::new(inner)));
}

#[test]
fn what_a_stranger_writes_comes_out_harmless() {
    for (sender, shown) in [
        (&b"a b@example.net"[..], "a b@example.net"),
        (b"a\r\n550 Go away", "a??550 Go away"),
        (b"a\0\x1b[31m\x7f", "a??[31m?"),
        ("jürgen@bücher.example".as_bytes(), "jürgen@bücher.example"),
        ("名前@example.test".as_bytes(), "名前@example.test"),
        ("a\u{85}\u{a0}\u{2028}\u{202e}\u{feff}😀".as_bytes(), "a??????"),
        (b"a\xff\xfe\xc3", "a???"),
        (b"\xe5\x90 cut short", "? cut short"),
        (b"{wait}", "{wait}"),
    ] {
        assert_eq!(rendered(&template("{sender}"), sender, b""), shown);
    }
}

#[test]
fn a_text_that_is_too_long_is_cut_between_two_characters() {
    let long = "é".repeat(300);
    let cut = rendered(&template("x{sender}y"), long.as_bytes(), b"");
    assert_eq!(cut, format!("x{}", "é".repeat((REPLY_TEXT_BYTES_MAX - 1) / 2)));
    let fits = "a".repeat(REPLY_TEXT_BYTES_MAX);
    assert_eq!(rendered(&template(&fits), b"", b""), fits);
    assert_eq!(rendered(&template(&format!("{fits}b{{wait}}")), b"", b""), fits);
    assert_eq!(rendered(&template(&format!("{}€{{wait}}", &fits[2..])), b"", b""), fits[2..]);
}

#[test]
fn a_code_must_refuse_in_the_way_asked_for() {
    for code in [450, 451, 421, 400, 459] {
        assert_eq!(ReplyCode::defer(code).map(ReplyCode::get), Ok(code));
        assert_eq!(ReplyCode::reject(code), Err(ReplyError::NotReject { code }));
    }
    for code in [550, 554, 521, 500, 559] {
        assert_eq!(ReplyCode::reject(code).map(ReplyCode::get), Ok(code));
        assert_eq!(ReplyCode::defer(code), Err(ReplyError::NotDefer { code }));
    }
    for code in [0, 250, 399, 460, 499, 560, 600, 4500] {
        assert!(ReplyCode::defer(code).is_err() && ReplyCode::reject(code).is_err(), "{code}");
    }
}

#[test]
fn an_enhanced_code_is_read_as_it_is_written_and_nothing_else_is_one() {
    for text in ["4.7.1", "5.7.1", "4.0.0", "5.999.999", "4.2.0"] {
        assert_eq!(EnhancedCode::parse(text).unwrap().to_string(), text);
    }
    for text in [
        "", "4", "4.7", "4.7.", "4.7.1.", "4.7.1.0", "2.7.1", "6.7.1", "44.7.1", "4.07.1",
        "4.7.01", "4.1000.1", "4.7.x", "4.+7.1", "4.-7.1", " 4.7.1", "4.7.1 ", "4,7,1", "04.7.1",
        "4.٧.1",
    ] {
        assert_eq!(EnhancedCode::parse(text), Err(ReplyError::NotEnhanced), "{text}");
    }
}

#[test]
fn the_two_codes_of_a_reply_must_mean_the_same() {
    let (defer, reject) = (ReplyCode::defer(451).unwrap(), ReplyCode::reject(554).unwrap());
    let later = EnhancedCode::parse("4.7.1").unwrap();
    let never = EnhancedCode::parse("5.7.1").unwrap();
    for (code, enhanced, fits) in [
        (defer, Some(later), true),
        (defer, Some(never), false),
        (defer, None, true),
        (reject, Some(never), true),
        (reject, Some(later), false),
    ] {
        assert_eq!(Reply::new(code, enhanced, template("x")).is_ok(), fits, "{code} {enhanced:?}");
    }
    let error = Reply::new(defer, Some(never), template("x")).unwrap_err();
    assert_eq!(error.to_string(), "5.7.1 does not fit 451: both must begin with 4");

    let reply = |code| Reply::new(code, None, template("x")).unwrap();
    assert!(Replies::new(reply(defer), reply(reject), None).is_ok());
    assert_eq!(
        Replies::new(reply(reject), reply(reject), None),
        Err(ReplyError::NotDefer { code: 554 })
    );
    assert_eq!(
        Replies::new(reply(defer), reply(defer), None),
        Err(ReplyError::NotReject { code: 451 })
    );
}

#[test]
fn without_configuration_the_replies_are_the_documented_ones() {
    let replies = Replies::default();
    let say = |reply: &Reply| {
        let enhanced = reply.enhanced().map_or(String::new(), |code| format!(" {code}"));
        format!("{}{enhanced} {}", reply.code(), rendered(reply.text(), b"", b""))
    };
    assert_eq!(say(replies.defer()), "450 4.7.1 Greylisted, try again in 48 seconds");
    assert_eq!(say(replies.reject()), "550 5.7.1 Rejected by local policy");
    assert_eq!(rendered(replies.header().unwrap(), b"", b""), "delayed 48 seconds by xgrey");
}

proptest! {
    #[test]
    fn whatever_is_asked_the_line_is_short_and_of_one_piece(
        sender in prop::collection::vec(any::<u8>(), 0..600),
        recipient in "\\PC{0,300}",
        text in "[a-zé ]{0,9}",
    ) {
        let text = template(&format!("{{sender}}{text}{{recipient}}{{sender_domain}}"));
        let line = rendered(&text, &sender, recipient.as_bytes());
        prop_assert!(line.len() <= REPLY_TEXT_BYTES_MAX);
        prop_assert!(!line.contains(char::is_control));
    }

    #[test]
    fn a_text_is_a_template_or_says_where_it_is_not(text in "[{}a-z_\n é]{0,40}|\\PC{0,40}") {
        match Template::parse(&text) {
            Ok(template) => {
                rendered(&template, b"a@example.net", b"b@example.org");
            }
            Err(error) => {
                let wrong = text.get(error.at.clone());
                prop_assert!(wrong.is_some_and(|wrong| !wrong.is_empty()), "{error:?}");
                // It is the first mistake.
                prop_assert!(Template::parse(&text[..error.at.start]).is_ok());
            }
        }
    }
}
