//! What settings come to.

use greylist::identity::Normalisation;
use greylist::rules::{List, Verdict};
use greylist::{Client, Query, Secs};
use proptest::prelude::*;

use std::time::Duration;

use super::*;
use crate::config::keys::SECTIONS;
use wire::xgrey_v1::Secret;

/// Everything of a configuration but where it was read from.
fn shown(config: &Config) -> String {
    let Config {
        timing,
        mode,
        bound,
        exempt,
        listeners,
        x_grey,
        http,
        identity,
        store,
        replies,
        limits,
        log,
        ..
    } = config;
    let exempt_recipients: Vec<String> = exempt.recipients.iter().collect();
    let rules: Vec<String> = config
        .rules
        .iter()
        .map(|rule| format!("{:?} {:?} {}", rule.list, rule.verdict, rule.text))
        .collect();
    format!(
        "{timing:#?} {mode:?} {bound:?} {store:?} {exempt:?} {exempt_recipients:?} {listeners:#?} \
         {x_grey:#?} {http:#?} {identity:#?} {replies:#?} {limits:#?} {log:#?} {rules:#?}"
    )
}

#[test]
fn an_empty_file_the_printed_default_and_the_built_in_default_are_the_same() {
    let default = shown(&Config::default());
    assert_eq!(shown(&parse("")), default);
    assert_eq!(shown(&parse(DEFAULT_TEXT)), default);
}

#[test]
fn each_default_is_the_one_in_the_reference() {
    let Config {
        file,
        timing,
        mode,
        bound,
        exempt,
        listeners,
        x_grey,
        http,
        identity,
        rules,
        store,
        replies,
        limits,
        log,
    } = Config::default();
    assert_eq!(file, None);
    assert_eq!(timing, Timing::DEFAULT);
    assert_eq!((mode, bound), (Mode::Enforce, TableBound::Quarter));
    let every_second = SyncPolicy::Every(Duration::from_secs(1));
    assert_eq!((store.journal, store.sync), (Keeping::Kept, every_second));
    assert_eq!((store.segment_bytes, store.snapshot_after), (64 << 20, None));
    assert_eq!((store.text, store.text_bytes), (Keeping::Kept, 1 << 30));
    assert!(exempt.local && exempt.authenticated && exempt.certificates);
    assert_eq!(exempt.recipients.iter().collect::<Vec<_>>(), ["postmaster@", "abuse@"]);
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1:10023"]);
    let allowed: Vec<_> = listeners[0].allow.iter().map(ToString::to_string).collect();
    assert_eq!(allowed, ["127.0.0.0/8", "::1/128"]);
    assert_eq!(x_grey, [], "spoken where it is wanted");
    assert_eq!(http, [], "spoken where it is wanted");
    assert_eq!(identity, Identity::DEFAULT);
    assert!(rules.is_empty());
    assert!(rules.iter().all(|default| default.verdict == Verdict::Greylist));
    assert_eq!(replies, Replies::default());
    assert_eq!((limits.threads, limits.connections), (None, 4_096));
    assert_eq!(limits.request_bytes, 16_384);
    let timeouts = [limits.request_timeout, limits.idle_timeout, limits.drain_timeout];
    assert_eq!(timeouts.map(|timeout| timeout.as_secs()), [30, 900, 10]);
    assert_eq!((log.level, log.levels.len(), log.format), (Level::Info, 0, LogFormat::Auto));
    assert_eq!((log.decisions, log.decision_file), (true, None));
}

/// The lines of the default that are commented out, one by one and all at once, made valid.
#[test]
fn every_key_that_the_default_shows_commented_out_is_valid() {
    let is_key = |line: &str| {
        let line = line.strip_prefix("# ").unwrap_or("");
        let word = line.trim_start_matches(|c: char| c.is_ascii_lowercase() || c == '_');
        line.starts_with("[[") || (word.len() < line.len() && word.starts_with(" = "))
    };
    let uncommented: Vec<&str> = DEFAULT_TEXT.lines().filter(|line| is_key(line)).collect();
    assert!(uncommented.len() >= 15, "{uncommented:#?}");
    let all: Vec<&str> =
        DEFAULT_TEXT.lines().map(|line| if is_key(line) { &line[2..] } else { line }).collect();
    let files = [
        ("/etc/postgrey/whitelist_clients", "example.net\n"),
        ("/etc/xgrey/partners", "192.0.2.7\n"),
        ("/etc/xgrey/http.token", "0123456789abcdef0123456789abcdef\n"),
    ];
    // With one warning: the default of a list that opt_in overrides.
    let (config, report) = parse_with(&all.join("\n"), &files).unwrap();
    assert_eq!(report.warning_count(), 1, "{}", report.render(Look::Plain));
    assert_eq!((config.listeners.len(), config.x_grey.len(), config.http.len()), (3, 1, 1));
    assert_eq!(config.x_grey[0], XGreyListener::default());
    assert_eq!(config.bound, TableBound::Memory(Bytes::mib(512)));
    assert_eq!(config.store.snapshot_after, Some(Bytes::mib(256)));
    assert_eq!((config.rules.len(List::Client), config.rules.len(List::ClientName)), (1, 1));
}

#[test]
fn the_printed_default_and_the_reference_name_every_key() {
    let reference = include_str!("../../../../../docs/configuration.md");
    for section in SECTIONS {
        assert!(reference.contains(section.header), "{} in the reference", section.header);
        assert!(DEFAULT_TEXT.contains(section.header), "{} in the default", section.header);
        for key in section.names() {
            let table = [format!("[{key}]"), format!(".{key}]")];
            let named = |text: &str, word: String| {
                text.contains(&word) || table.iter().any(|header| text.contains(header))
            };
            assert!(named(reference, format!("`{key}`")), "{key} in the reference");
            assert!(named(DEFAULT_TEXT, format!("{key} = ")), "{key} in the default");
        }
    }
}

#[test]
fn the_examples_of_the_reference_are_valid() {
    let reference = include_str!("../../../../../docs/configuration.md");
    let files = [
        ("/etc/postgrey/whitelist_clients", ""),
        ("/etc/xgrey/partners", ""),
        ("/etc/xgrey/http.token", "0123456789abcdef0123456789abcdef\n"),
        ("/usr/share/xgrey/rules.d/a.rules", ""),
        ("/etc/xgrey/rules.d/b.rules", ""),
    ];
    let examples: Vec<&str> = reference.split("```toml\n").skip(1).collect();
    assert!(examples.len() >= 4);
    for example in examples {
        parse_whole(example.split("```").next().unwrap_or(""), &files);
    }
}

#[test]
fn every_example_in_a_mend_is_valid() {
    let files = [
        ("/etc/xgrey/local.rules", ""),
        ("/etc/xgrey/rules.d/a.rules", ""),
        ("/etc/xgrey/http.token", "0123456789abcdef0123456789abcdef\n"),
    ];
    for section in SECTIONS {
        for (key, example) in section.keys.iter().filter(|(_, example)| !example.contains('…')) {
            // What a key needs beside it, and what it must not have.
            let beside = match (section.header, *key) {
                ("[[listen]]", "mode" | "owner") => "address = \"unix:/run/xgrey/socket\"",
                ("[[listen]]", "secret" | "changes") => "protocol = \"x-grey\"",
                ("[[listen]]", "token_file") => "protocol = \"http\"",
                ("[[listen]]", key) if key != "address" => "address = \"127.0.0.1:10023\"",
                ("[[rules.file]]", "list") => {
                    "path = \"local.rules\"\nformat = \"plain\"\nverdict = \"accept\""
                }
                ("[[rules.file]]", "verdict") => {
                    "path = \"local.rules\"\nformat = \"plain\"\nlist = \"client\""
                }
                ("[[rules.file]]", "format") => "path = \"local.rules\"",
                _ => "",
            };
            parse_whole(&format!("{}\n{beside}\n{key} = {example}\n", section.header), &files);
        }
    }
}

#[test]
fn a_profile_sets_times_and_identity_and_single_keys_override_it() {
    let config = parse("profile = \"x-grey\"");
    assert_eq!((config.timing, config.identity), (Timing::X_GREY, Identity::EXACT));
    let config = parse("profile = \"rfc6647\"");
    assert_eq!((config.timing, config.identity), (Timing::RFC6647, Identity::DEFAULT));

    let config = parse(
        "profile = \"X_Grey\"\nembargo = \"2m\"\n[identity]\nclient_prefix_v6 = 56\nfold_case = true",
    );
    assert_eq!(config.timing.embargo(), Secs::new(120));
    assert_eq!(config.timing.window(), Timing::X_GREY.window());
    assert_eq!((config.identity.prefix_v4.bits(), config.identity.prefix_v6.bits()), (32, 56));
    let normalisation = Normalisation { fold_case: true, ..Normalisation::NONE };
    assert_eq!(config.identity.normalisation, normalisation);
}

#[test]
fn listeners_are_as_they_are_written() {
    let config = parse(
        "[[listen]]\naddress = \"192.0.2.25:10023\"\nallow = [\"192.0.2.0/24\", \"2001:db8::7\"]\n\
         [[listen]]\naddress = \"[::1]:0\"\n[[listen]]\naddress = \"[::1]:0\"\n\
         [[listen]]\naddress = \"unix:/run/xgrey//s\"\nmode = \"0660\"\nowner = \"postfix:root\"",
    );
    let [tcp, first, second, unix] = &*config.listeners else { panic!("{:?}", config.listeners) };
    assert_eq!(tcp.address.to_string(), "192.0.2.25:10023");
    assert_eq!(format!("{:?}", tcp.allow), "[192.0.2.0/24, 2001:db8::7/128]");
    assert_eq!(first, second, "port 0 is another port each time");
    let owner = Owner { user: ("postfix".into(), 101), group: Some(("root".into(), 0)) };
    let path = "/run/xgrey/s".into();
    assert_eq!(unix.address, ListenAddress::Unix { path, mode: Some(0o660), owner: Some(owner) });
}

#[test]
fn x_greys_clients_are_served_where_it_is_written() {
    let config = parse(
        "[[listen]]\nprotocol = \"x-grey\"\n\
         [[listen]]\nprotocol = \"X_Grey\"\naddress = \"192.0.2.25:9991\"\n\
         allow = [\"192.0.2.0/24\"]\nsecret = \"tea\"\nchanges = \"on\"\n\
         [[listen]]\nprotocol = \"x-grey\"\naddress = \"[::1]:9990\"\nchanges = \"off\"",
    );
    assert_eq!(config.listeners, []);
    let [usual, wide, closed] = &*config.x_grey else { panic!("{:?}", config.x_grey) };
    assert_eq!(*usual, XGreyListener::default());
    assert_eq!(usual.address.to_string(), "127.0.0.1:9990");
    assert_eq!(format!("{:?}", usual.allow), "[127.0.0.0/8, ::1/128]");
    assert_eq!(usual.changes, Changes::Local);
    assert_eq!(format!("{:?}", wide.allow), "[192.0.2.0/24]");
    assert_eq!((&wide.secret, wide.changes), (&Secret::new(b"tea").unwrap(), Changes::On));
    assert_eq!((closed.address.to_string(), closed.changes), ("[::1]:9990".into(), Changes::Off));
}

#[test]
fn under_the_profile_x_grey_both_listen_unless_it_is_said_where() {
    let config = parse("profile = \"x-grey\"");
    assert_eq!(config.listeners, [Listener::default()]);
    assert_eq!(config.x_grey, [XGreyListener::default()]);
    let config = parse("profile = \"x-grey\"\n[[listen]]\naddress = \"127.0.0.1:10023\"");
    assert_eq!((config.listeners.len(), config.x_grey.len()), (1, 0));
    let config = parse("profile = \"x-grey\"\n[[listen]]\nprotocol = \"x-grey\"");
    assert_eq!((config.listeners.len(), config.x_grey.len()), (0, 1));
    assert_eq!(parse("profile = \"rfc6647\"").x_grey, []);
}

#[test]
fn a_secret_is_not_shown() {
    let config = parse("[[listen]]\nprotocol = \"x-grey\"\nsecret = \"open sesame\"");
    assert!(!shown(&config).contains("sesame") && shown(&config).contains("Secret"));
}

#[test]
fn a_socket_path_of_107_bytes_is_taken() {
    let path = format!("/{}", "x".repeat(106));
    let config = parse(&format!("[[listen]]\naddress = \"unix:{path}\""));
    assert_eq!(config.listeners[0].address.to_string(), format!("unix:{path}"));
}

#[test]
fn listeners_are_bounded() {
    let listeners = |count| "[[listen]]\naddress = \"[::1]:0\"\n".repeat(count);
    assert_eq!(parse(&listeners(256)).listeners.len(), 256);
    let report = parse_with(&listeners(257), &[]).unwrap_err();
    assert_eq!(report.findings()[0].message, "too many listeners");
}

#[test]
fn replies_limits_and_log_are_as_they_are_written() {
    let config = parse(
        "[reply]\ndefer_code = 451\ndefer_enhanced = \"\"\nheader = \"\"\n\
         [limits]\nthreads = 2\nconnections = 1_000\nrequest_bytes = 32768\nidle_timeout = \"1h\"\n\
         [log]\nlevel = \"WARN\"\nlevels = { listen = \"debug\" }\nformat = \"json\"\n\
         decisions = false\ndecision_file = \"decisions.log\"",
    );
    assert_eq!(config.replies.defer().code().get(), 451);
    assert_eq!(config.replies.defer().enhanced(), None);
    assert_eq!(config.replies.header(), None);
    assert_eq!(config.limits.threads.map(usize::from), Some(2));
    assert_eq!((config.limits.connections, config.limits.request_bytes), (1_000, 32_768));
    assert_eq!(config.limits.idle_timeout.as_secs(), 3_600);
    let log = LogConfig {
        level: Level::Warn,
        levels: [(Subsystem::Listen, Level::Debug)].into(),
        format: LogFormat::Json,
        decisions: false,
        decision_file: Some("/etc/xgrey/decisions.log".into()),
    };
    assert_eq!(config.log, log);
}

#[test]
fn exempt_recipients_are_found_in_any_case_and_can_be_none() {
    let exempts = |config: &Config, recipient: &str| {
        let client = Client::new([192, 0, 2, 7].into());
        let query = Query::new(client, b"alice@example.net", recipient.as_bytes());
        config.exempt.recipients.contains(&query)
    };
    let default = Config::default();
    assert!(exempts(&default, "Postmaster@example.org") && exempts(&default, "abuse@example.com"));
    assert!(!exempts(&default, "bob@example.org"));
    let own = parse("exempt_recipients = [\"bob@example.org\", '/^help-/']");
    assert!(exempts(&own, "bob@example.org") && exempts(&own, "help-me@example.org"));
    assert!(!exempts(&own, "postmaster@example.org"));
    assert!(!exempts(&parse("exempt_recipients = []"), "postmaster@example.org"));
}

#[test]
fn the_summary_says_the_settings_in_words() {
    assert_eq!(
        Config::default().summary(),
        "embargo 1 minute, window 6 hours from the first try, lifetime 36 days; client /24 and \
         /64, addresses normalised; no rules; exempt: this host, logins, client certificates, \
         postmaster@, abuse@"
    );
    let config = parse(
        "profile = \"x-grey\"\nmode = \"observe\"\nmemory = \"6GiB\"\nexempt_local = false\n\
         exempt_authenticated = false\nexempt_certificates = false\nexempt_recipients = []\n\
         [rules.client]\naccept = [\"192.0.2.7\", \"2001:db8::/32\"]\n\
         [rules.sender]\nreject = [\"alice@example.net\"]",
    );
    assert_eq!(
        config.summary(),
        "embargo 25 minutes, window 6 hours from the first try, lifetime 36 days; client by its \
         exact address, addresses as they are; 3 rules (2 client, 1 sender); nobody exempt; at \
         most 6GiB of memory for the table; observing only: nothing is delayed or refused"
    );
}

/// Pieces that configurations are made of, right and wrong.
const PIECES: [&str; 26] = [
    "embargo",
    "listen",
    "rules",
    "client",
    "address",
    "opt_in",
    "reply.defer_text",
    "[",
    "[[",
    "]",
    "]]",
    " = ",
    ".",
    "\n",
    "\"",
    "'",
    ",",
    "#",
    "{",
    "}",
    "\"5m\"",
    "\"127.0.0.1:10023\"",
    "\"/etc/xgrey/a\"",
    "ä",
    "true",
    "-17",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_panic_and_every_place_is_in_the_text(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..40),
        noise in ".{0,20}",
        at in 0..40usize,
    ) {
        let mut pieces: Vec<&str> = pieces;
        pieces.insert(at.min(pieces.len()), &noise);
        let text = pieces.concat();
        let files = [("/etc/xgrey/a", "client accept 192.0.2.7\nclent\n")];
        let report = report_with(&text, &files);
        for finding in report.findings() {
            let position = finding.place.position.as_ref();
            let position = position.expect("every finding in a readable file has a position");
            if &*finding.place.file == PATH {
                // A text of no lines has one place all the same: the beginning of its first line.
                let line = text.split('\n').nth(position.line - 1);
                let line = line.expect("every line is in the text");
                prop_assert!(position.column <= line.chars().count() + 1);
            }
        }
        report.render(Look::Plain);
        report.render(Look::Coloured);
    }

    #[test]
    fn no_list_file_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), format in 0..4usize) {
        let format = ["rules", "plain\"\nlist = \"sender\"\nverdict = \"accept", "postgrey-clients", "postgrey-recipients"][format];
        let text = format!("[[rules.file]]\npath = \"a\"\nformat = \"{format}\"");
        let mut machine = machine(&[]);
        machine.files.insert("/etc/xgrey/a".into(), bytes);
        if let Err(report) = parse_text(&text, Path::new(PATH), &machine) {
            report.render(Look::Plain);
        }
    }
}
