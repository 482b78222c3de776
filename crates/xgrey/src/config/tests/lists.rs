//! Rules: in the configuration, in list files, in directories.

use greylist::rules::{List, Rule, Verdict};
use greylist::{Client, Query};

use super::*;

/// What the rules say about a query.
fn verdict(config: &Config, client: &str, sender: &str, recipient: &str) -> Verdict {
    let client = Client::new(client.parse().unwrap());
    config.rules.judge(&Query::new(client, sender.as_bytes(), recipient.as_bytes())).verdict()
}

/// All rules but untouched defaults: `client accept 192.0.2.7 (/etc/xgrey/a:1)`.
fn rules_of(config: &Config) -> Vec<String> {
    let written = config.rules.iter().filter(|rule| rule.origin.source != "built-in");
    let shown = |Rule { list, verdict, text, origin, .. }: Rule<'_>| {
        format!("{} {} {text} ({origin})", list.word(), verdict.word())
    };
    written.map(shown).collect()
}

#[test]
fn rules_in_the_configuration_know_their_lines() {
    let config = parse(
        "[rules.client]\ndefault = \"accept\"\naccept = [\n  \"192.0.2.0/24\",\n  \"10/8\",\n]\n\
         [rules.sender]\nreject = [\"Alice@Example.net\"]\ngraylist = [\"bob@\"]",
    );
    assert_eq!(
        rules_of(&config),
        [
            "client accept 10.0.0.0/8 (/etc/xgrey/xgrey.toml:5)",
            "client accept 192.0.2.0/24 (/etc/xgrey/xgrey.toml:4)",
            "client accept default (/etc/xgrey/xgrey.toml:2)",
            "sender reject alice@example.net (/etc/xgrey/xgrey.toml:8)",
            "sender greylist bob@ (/etc/xgrey/xgrey.toml:9)",
        ]
    );
}

#[test]
fn a_rules_file_is_read_with_comments_blanks_and_any_spelling() {
    let text = "[[rules.file]]\npath = \"local.rules\"";
    let file = "\u{feff}# ours\r\n\r\n  client accept 192.0.2.0/24   # partners\r\n\
                CLIENT_NAME\tAccept\t.example.net\n\
                Sender-Domain graylist example.org\n\
                recipient accept /^news#/\n\
                recipient-domain default accept\n\
                # not UTF-8 in a comment is fine";
    let config = parse_whole(text, &[("/etc/xgrey/local.rules", file)]);
    assert_eq!(
        rules_of(&config),
        [
            "client accept 192.0.2.0/24 (/etc/xgrey/local.rules:3)",
            "client-name accept .example.net (/etc/xgrey/local.rules:4)",
            "sender-domain greylist example.org (/etc/xgrey/local.rules:5)",
            "recipient accept /^news#/ (/etc/xgrey/local.rules:6)",
            "recipient-domain accept default (/etc/xgrey/local.rules:7)",
        ]
    );
}

#[test]
fn a_comment_may_be_in_any_encoding_and_an_entry_may_not() {
    let text = "[[rules.file]]\npath = \"/a\"";
    let mut machine = machine(&[]);
    machine.files.insert("/a".into(), b"client accept 192.0.2.7 # M\xfcnchen\n".to_vec());
    assert!(parse_text(text, Path::new(PATH), &machine).is_ok());
    machine.files.insert("/a".into(), b"sender accept m\xfcller@example.net\n".to_vec());
    let report = parse_text(text, Path::new(PATH), &machine).unwrap_err();
    assert_said!(report.render(Look::Plain));
}

#[test]
fn a_plain_file_has_one_entry_a_line() {
    let text = "[[rules.file]]\npath = \"/a\"\nformat = \"plain\"\nlist = \"client-name\"\nverdict = \"reject\"";
    let config = parse_whole(text, &[("/a", "mail.example.net\n/^dyn/ # dynamic\n")]);
    assert_eq!(
        rules_of(&config),
        ["client-name reject mail.example.net (/a:1)", "client-name reject /^dyn/ (/a:2)"]
    );
}

#[test]
fn postgreys_files_are_read_as_they_are() {
    let clients = "# postgrey whitelist for mail client hostnames\n# --------\n\n\
                   # 2004-05-20: example says they retry\nexample.net\n192.0.2\n198.51.100.0/24\n\
                   203.0.113.7\n2001:db8::/32\n/^mail\\d+\\.example\\.org$/\n   mx.example.com#no blank\n";
    let recipients = "# postgrey whitelist for mail recipients\npostmaster@\nabuse@\nexample.org\n\
                      bob@example.com\n/^help-.*@example\\.com$/\n";
    let text = "[[rules.file]]\npath = \"/etc/postgrey/whitelist_clients\"\nformat = \"postgrey-clients\"\n\
                [[rules.file]]\npath = \"/etc/postgrey/whitelist_recipients\"\nformat = \"postgrey-recipients\"";
    let files = [
        ("/etc/postgrey/whitelist_clients", clients),
        ("/etc/postgrey/whitelist_recipients", recipients),
    ];
    assert_said!(rules_of(&parse_whole(text, &files)).join("\n"));
}

#[test]
fn a_list_file_is_refused_line_by_line() {
    let text = "[[rules.file]]\npath = \"local.rules\"\n\
                [[rules.file]]\npath = \"plain\"\nformat = \"plain\"\n\
                [[rules.file]]\npath = \"clients\"\nformat = \"postgrey\"\n\
                [[rules.file]]\npath = \"missing.rules\"\n\
                [[rules.file]]\nformat = \"rules\"\n\
                [[rules.file]]\npath = \"clients\"\nformat = \"postgrey-clients\"\nlist = \"client\"\n\
                [[rules.file]]\npath = \"recipients\"\nformat = \"postgrey-recipients\"\n";
    let rules = "client accept 192.0.2.0/24\nclint accept 192.0.2.7\naccept client 192.0.2.7\n\
                 192.0.2.7\nclient\nclient allow 192.0.2.7\nclient maybe 192.0.2.7\nclient accept\n\
                 client default\nclient default accept always\n  client accept 192.0.2.7 192.0.2.8\n\
                 sender reject spammer\nrecipient accept /(?=x)/\nclient reject 192.0.2.0/24\n\
                 client default reject\nclient default accept\n";
    let files = [
        ("/etc/xgrey/local.rules", rules),
        ("/etc/xgrey/plain", "192.0.2.7\n"),
        ("/etc/xgrey/clients", "192.0.2.1000\n"),
        ("/etc/xgrey/recipients", "@example.org\n"),
    ];
    assert_said!(report_with(text, &files).render(Look::Plain));
}

#[test]
fn a_line_that_is_too_long_is_named_and_the_next_one_is_read() {
    let text = "[[rules.file]]\npath = \"/a\"";
    let file =
        format!("sender accept {}@example.net\nclient acept 192.0.2.7\n", "x".repeat(20_000));
    assert_said!(report_with(text, &[("/a", &file)]).render(Look::Plain));
    let comment = format!("# {}\nclient accept 192.0.2.7", "x".repeat(16_000));
    assert_eq!(parse_whole(text, &[("/a", &comment)]).rules.len(List::Client), 1);
}

#[test]
fn of_many_mistakes_the_first_are_shown_and_the_rest_counted() {
    let text = "[[rules.file]]\npath = \"/a\"\nformat = \"plain\"\nlist = \"client\"\nverdict = \"accept\"";
    let report = report_with(text, &[("/a", &"x\n".repeat(20_000))]);
    assert_eq!(report.error_count(), 20_000);
    assert_eq!(report.findings().len(), FINDINGS_KEPT_MAX);
    let rendered = report.render(Look::Plain);
    assert!(rendered.ends_with("20000 errors (and 19950 more of them, not shown)\n"), "{rendered}");
}

#[test]
fn files_of_a_directory_are_read_by_name_and_a_later_directory_masks_an_earlier() {
    let text = "[rules]\ndirectories = [\"/usr/share/xgrey/rules.d\", \"rules.d\"]";
    let files = [
        ("/usr/share/xgrey/rules.d/20-b.rules", "client accept 192.0.2.2\n"),
        ("/usr/share/xgrey/rules.d/10-a.rules", "client accept 192.0.2.1\n"),
        ("/usr/share/xgrey/rules.d/30-c.rules", "client accept 192.0.2.3\n"),
        ("/usr/share/xgrey/rules.d/README", "not rules"),
        ("/usr/share/xgrey/rules.d/.hidden.rules", "not rules"),
        ("/etc/xgrey/rules.d/20-b.rules", "client reject 192.0.2.20\n"),
        ("/etc/xgrey/rules.d/30-c.rules", ""),
        ("/etc/xgrey/rules.d/15-d.rules", "sender accept d@example.net\n"),
    ];
    assert_eq!(
        rules_of(&parse_whole(text, &files)),
        [
            "client accept 192.0.2.1 (/usr/share/xgrey/rules.d/10-a.rules:1)",
            "client reject 192.0.2.20 (/etc/xgrey/rules.d/20-b.rules:1)",
            "sender accept d@example.net (/etc/xgrey/rules.d/15-d.rules:1)",
        ]
    );
}

#[test]
fn of_two_rules_with_the_same_entry_the_configurations_own_counts_and_both_are_named() {
    let text = "[rules]\ndirectories = [\"/d\", \"/missing\"]\n\
                [[rules.file]]\npath = \"/f\"\n\
                [rules.client]\ndefault = \"greylist\"\nreject = [\"192.0.2.7\"]";
    let files = [
        ("/d/a.rules", "client accept 192.0.2.7\nclient default accept\n"),
        ("/f", "client greylist 192.0.2.7/32\n"),
    ];
    let (config, report) = parse_with(text, &files).unwrap();
    assert_eq!(verdict(&config, "192.0.2.7", "", "bob@example.org"), Verdict::Reject);
    assert_eq!(verdict(&config, "192.0.2.8", "", "bob@example.org"), Verdict::Greylist);
    assert_said!(report.render(Look::Plain));
}

#[test]
fn who_has_opted_out_is_accepted() {
    let config =
        parse("[rules]\nopt_out = [\"bob@example.org\", \"example.com\", \".example.net\"]");
    for (recipient, expected) in [
        ("bob@example.org", Verdict::Accept),
        ("alice@example.org", Verdict::Greylist),
        ("anybody@example.com", Verdict::Accept),
        ("anybody@sub.example.com", Verdict::Greylist),
        ("anybody@sub.example.net", Verdict::Accept),
    ] {
        assert_eq!(
            verdict(&config, "192.0.2.7", "a@example.net", recipient),
            expected,
            "{recipient}"
        );
    }
}

#[test]
fn with_opt_in_only_who_is_listed_is_greylisted() {
    let config = parse("[rules]\nopt_in = [\"bob@example.org\", \"example.com\"]");
    for (recipient, expected) in [
        ("bob@example.org", Verdict::Greylist),
        ("alice@example.org", Verdict::Accept),
        ("anybody@example.com", Verdict::Greylist),
        ("anybody@sub.example.com", Verdict::Accept),
    ] {
        assert_eq!(
            verdict(&config, "192.0.2.7", "a@example.net", recipient),
            expected,
            "{recipient}"
        );
    }
    let none = parse_with("[rules]\nopt_in = []", &[]).unwrap().0;
    assert_eq!(verdict(&none, "192.0.2.7", "a@example.net", "bob@example.org"), Verdict::Accept);
    let rejecting = parse(
        "[rules]\nopt_in = [\"example.com\"]\n[rules.recipient_domain]\ndefault = \"reject\"",
    );
    assert_eq!(verdict(&rejecting, "192.0.2.7", "", "a@example.com"), Verdict::Greylist);
    assert_eq!(verdict(&rejecting, "192.0.2.7", "", "a@example.net"), Verdict::Reject);
}
