//! Lines of the original's files and of those for its control program, one by one.

use wire::xgrey_v1::files::{self, BadLine, FileKind};
use wire::xgrey_v1::report::{list_line, whitelist_line};
use wire::xgrey_v1::{Action, Change};

/// What a line of a list of networks says, in short.
fn network(read: Result<Option<files::IpListLine>, BadLine>) -> String {
    match read {
        Ok(None) => "nothing".to_owned(),
        Ok(Some(line)) => match line.change {
            Change::Set(action) => format!("{} {action}", line.network),
            Change::Remove => format!("{} REMOVE", line.network),
        },
        Err(bad) => bad.to_string(),
    }
}

#[test]
fn lists_of_networks_are_read_as_the_original_reads_them_and_a_little_more() {
    let fields = "should be `ADDRESS[/BITS] ACTION`";
    let address = "no IP address where one should be";
    let prefix = "a prefix has 32 bits at most, of IPv6 128";
    let action =
        "an action should be accept, reject or greylist; in a list of networks also remove";
    for (line, expected) in [
        ("      192.0.2.0/24 ACCEPT", "192.0.2.0/24 ACCEPT"),
        ("         0.0.0.0/0 GREYLIST", "0.0.0.0/0 GREYLIST"),
        ("192.0.2.1 reject", "192.0.2.1/32 REJECT"),
        ("192.0.2.1/24 Graylist and a remark", "192.0.2.0/24 GREYLIST"),
        ("10/8\taccept\r", "10.0.0.0/8 ACCEPT"),
        ("10.1/16 accept # ours", "10.1.0.0/16 ACCEPT"),
        ("203.0.113/24 remove", "203.0.113.0/24 REMOVE"),
        ("2001:DB8::7/32 accept", "2001:db8::/32 ACCEPT"),
        ("2001:db8::7 accept", "2001:db8::7/128 ACCEPT"),
        ("        25 GREYLIST         0.0.0.0         0.0.0.0", "0.0.0.0/0 GREYLIST"),
        ("        10   ACCEPT     192.0.2.192 255.255.255.192", "192.0.2.192/26 ACCEPT"),
        // No netmask: an address and an action.
        ("10 ACCEPT 192.0.2.192 255.0.255.0", "10.0.0.0/32 ACCEPT"),
        ("", "nothing"),
        ("  ", "nothing"),
        ("# 192.0.2.0/24 ACCEPT", "nothing"),
        ("192.0.2.0/24", fields),
        ("192.0.2.0/24 expire", action),
        ("192.0.2.0/33 accept", prefix),
        ("192.0.2.0/ accept", prefix),
        ("192.0.2.0/+8 accept", prefix),
        ("2001:db8::/129 accept", prefix),
        ("192.0.2.256 accept", address),
        ("192.0.2.01 accept", address),
        ("192.0.2. accept", address),
        ("192.0.2.0.0 accept", address),
        ("+1.0.2.0 accept", address),
        ("mail.example.com accept", address),
        ("2001:db8 accept", address),
    ] {
        assert_eq!(network(files::ip_list(line.as_bytes())), expected, "{line:?}");
    }
}

#[test]
fn lists_of_relays_and_of_bogons_are_read_as_the_original_reads_them() {
    for (line, expected) in [
        ("192.0.2.17  # a relay", "192.0.2.17/32 ACCEPT"),
        ("198.51.100", "198.51.100.0/24 ACCEPT"),
        ("198.51.100.", "198.51.100.0/24 ACCEPT"),
        ("203", "203.0.0.0/8 ACCEPT"),
        ("# relays", "nothing"),
        ("", "nothing"),
        ("198.51.100.0/24", "no IP address where one should be"),
        ("example.net", "no IP address where one should be"),
    ] {
        assert_eq!(network(files::relaydelay(line.as_bytes())), expected, "{line:?}");
    }
    for (line, expected) in [
        ("198.51.0.0/16", "198.51.0.0/16 REJECT"),
        ("203.0.113.5", "203.0.113.5/32 REJECT"),
        ("10/8 private", "10.0.0.0/8 REJECT"),
        ("# bogons", "nothing"),
        ("198.51.0.0/40", "a prefix has 32 bits at most, of IPv6 128"),
    ] {
        assert_eq!(network(files::bogonspace(line.as_bytes())), expected, "{line:?}");
    }
}

#[test]
fn lists_of_addresses_are_read_with_the_rest_of_the_line_as_text() {
    let fields = BadLine::Fields { wanted: "COUNT ACTION TEXT" };
    let said = |line: &str| match files::text_list(line.as_bytes()) {
        Ok(None) => Ok(None),
        Ok(Some(read)) => {
            Ok(Some(format!("{} {}", read.action, String::from_utf8_lossy(read.text))))
        }
        Err(bad) => Err(bad),
    };
    let ok = |text: &str| Ok(Some(text.to_owned()));
    for (line, expected) in [
        ("         1   REJECT bad@example.com", ok("REJECT bad@example.com")),
        ("         3 GREYLIST DEFAULT", ok("GREYLIST DEFAULT")),
        ("0 accept \"a b\"@example.com\r", ok("ACCEPT \"a b\"@example.com")),
        ("4294967296 accept @", ok("ACCEPT @")),
        ("", Ok(None)),
        ("# 1 REJECT bad@example.com", Ok(None)),
        ("REJECT bad@example.com", Err(fields)),
        ("1 REJECT", Err(fields)),
        ("x REJECT bad@example.com", Err(fields)),
        ("1 REMOVE bad@example.com", Err(BadLine::Action)),
        // An action that the original stored and had no word for.
        ("         0          nine@example.com", Err(fields)),
    ] {
        assert_eq!(said(line), expected, "{line:?}");
    }
}

#[test]
fn whitelists_and_dumps_say_what_is_wrong_with_a_line() {
    let whitelist = BadLine::Fields { wanted: "CLIENT SENDER RECIPIENT" };
    for (line, expected) in [
        ("192.0.2.1 a@example.com b@example.net", None),
        ("192.0.2.1 - b@example.net", None),
        ("192.0.2.1 a@example.com \"b c\"@example.net", None),
        ("192.0.2.1 a@example.com", Some(whitelist)),
        ("192.0.2.1", Some(whitelist)),
        ("192.0.2 a@example.com b@example.net", Some(BadLine::Address)),
    ] {
        assert_eq!(files::whitelist(line.as_bytes()).err(), expected, "{line:?}");
    }
    let dump = BadLine::Fields { wanted: "CLIENT SENDER RECIPIENT FLAGS CREATED SEEN" };
    for (line, expected) in [
        ("192.0.2.1 a@example.com b@example.net W---- 1795485499 1795485503", None),
        ("192.0.2.1 - - ----- 0 0", None),
        ("2001:db8::1 a b W---6 0 0", None),
        ("192.0.2.1 a@example.com b@example.net", Some(dump)),
        ("192.0.2.1 a@example.com b@example.net W---- 1795485499", Some(dump)),
        ("192.0.2.1 a b w---- 0 0", Some(BadLine::Flags)),
        ("192.0.2.1 a b DW--- 0 0", Some(BadLine::Flags)),
        ("192.0.2.1 a b ---- 0 0", Some(BadLine::Flags)),
        ("192.0.2.1 a b ----- -1 0", Some(BadLine::Time)),
        ("192.0.2.1 a b ----- 0 99999999999999999999", Some(BadLine::Time)),
        ("192.0.2.1 a b c ----- 0 0", Some(BadLine::Ambiguous)),
        ("32.1.13.184 a b ----6 0 0", Some(BadLine::Ipv6Lost)),
        ("host a b ----- 0 0", Some(BadLine::Address)),
    ] {
        assert_eq!(files::dump(line.as_bytes()).err(), expected, "{line:?}");
    }
    for line in ["", "\r", "# a whitelist"] {
        assert_eq!(files::whitelist(line.as_bytes()), Ok(None), "{line:?}");
        assert_eq!(files::dump(line.as_bytes()), Ok(None), "{line:?}");
    }
}

#[test]
fn a_file_is_known_by_what_its_name_begins_with() {
    let kinds: Vec<_> =
        ["whitelist.txt", "dump.txt.1", "iplist", "to-domain.txt", "relaydelay.txt"]
            .into_iter()
            .map(|name| FileKind::of_file_name(name).map(FileKind::name))
            .collect();
    let names = ["whitelist", "dump", "iplist", "to-domain", "relaydelay"];
    assert_eq!(kinds, names.map(Some));
    for name in ["", ".txt", "whitelist2.txt", "my-to.txt", "TO.txt"] {
        assert_eq!(FileKind::of_file_name(name), None, "{name:?}");
    }
    for kind in FileKind::ALL {
        assert_eq!(FileKind::of_file_name(kind.name()), Some(kind));
    }
}

#[test]
fn a_line_of_a_report_stays_a_line() {
    let mut out = Vec::new();
    list_line(7, Action::Reject, b"a\nb\0c", &mut out);
    whitelist_line([192, 0, 2, 1].into(), b"\0a", b"a\nb", &mut out);
    assert_eq!(out, b"         7   REJECT a?b\n192.0.2.1 - a?b\n");
}
