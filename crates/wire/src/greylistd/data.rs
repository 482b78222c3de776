//! What greylistd takes for any text, read as the tuple that the ACLs put into it.
//!
//! | data | client | sender | recipient |
//! |---|---|---|---|
//! | `192.0.2.7 alice@example.net bob@example.org` | 192.0.2.7 | alice@example.net | bob@example.org |
//! | `192.0.2.7 bob@example.org` (no sender: a bounce) | 192.0.2.7 | none | bob@example.org |
//! | `192.0.2.7 <> bob@example.org`, `192.0.2.7 "" bob@…` | 192.0.2.7 | none | bob@example.org |
//! | `192.0.2.7 bob@example.org, carol@example.org` (`$recipients`) | 192.0.2.7 | none | bob@example.org |
//! | `192.0.2.0/24 alice@…  bob@…` (`${mask:…/24}`) | 192.0.2.0 | alice@… | bob@… |
//! | `2001.0db8.0000.0000.0000.0000.0000.0000/64 …` (the same of IPv6) | 2001:db8:: | … | … |
//!
//! Angle brackets around an address are taken off. A recipient may have blanks in it: Exim writes
//! local parts without their quotes.

use std::net::{IpAddr, Ipv6Addr};

use greylist::{Client, Query};

use super::words::{Words, quoted};
use crate::Fault;

/// What `words` ask.
///
/// # Errors
/// When they don't begin with an address, or have no recipient.
pub(super) fn query<'a>(words: &mut Words<'a>) -> Result<Query<'a>, Fault> {
    let (at, word) = words.next().ok_or(Fault::Missing("client"))?;
    let client = client(word).ok_or(Fault::BadAddress { at })?;
    let all = words.rest();
    let Some(first) = words.next_address() else { return Err(Fault::Missing("recipient")) };
    let after = words.rest();
    let (sender, recipients) =
        if after.is_empty() || first.ends_with(b",") { (&b""[..], all) } else { (first, after) };
    Ok(Query::new(Client::new(client), bare(sender), bare(first_of(recipients))))
}

/// An address without what stands around it; nothing of one that says that there is none.
fn bare(address: &[u8]) -> &[u8] {
    if address == b"\"\"" {
        return b"";
    }
    let inner = address.strip_prefix(b"<").and_then(|address| address.strip_suffix(b">"));
    inner.unwrap_or(address)
}

/// The first of addresses that are listed with commas and blanks between them.
fn first_of(addresses: &[u8]) -> &[u8] {
    let is_end = |pair: &[u8]| pair[0] == b',' && pair[1].is_ascii_whitespace();
    let quoted = quoted(addresses);
    match addresses[quoted..].windows(2).position(is_end) {
        Some(end) => &addresses[..quoted + end],
        None => addresses.strip_suffix(b",").unwrap_or(addresses),
    }
}

/// The address that a word says, or that of the network.
fn client(word: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(word).ok()?;
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address = address.parse().ok().or_else(|| Some(IpAddr::V6(dotted_ipv6(address)?)))?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    match prefix.map(str::parse::<u8>) {
        None => Some(address),
        Some(Ok(prefix)) if prefix <= longest => Some(address),
        Some(_) => None,
    }
}

/// IPv6 as `${mask:…}` writes it: all eight groups, with dots between them, since colons end the
/// keys of Exim's look-ups.
fn dotted_ipv6(text: &str) -> Option<Ipv6Addr> {
    let mut groups = [0_u16; 8];
    let mut texts = text.split('.');
    for group in &mut groups {
        let text = texts.next().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        *group = u16::from_str_radix(text, 16).ok()?;
    }
    texts.next().is_none().then(|| Ipv6Addr::from(groups))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(data: &str, expected: Result<(&str, &str, &str), Fault>) {
        let said = query(&mut Words::new(data.as_bytes()));
        let expected = expected.map(|(client, sender, recipient)| {
            let client = Client::new(client.parse().unwrap());
            Query::new(client, sender.as_bytes(), recipient.as_bytes())
        });
        assert_eq!(said, expected, "{data:?}");
    }

    #[test]
    fn data_are_client_sender_and_recipient() {
        for (data, expected) in [
            (
                "192.0.2.7 a@example.net b@example.org",
                ("192.0.2.7", "a@example.net", "b@example.org"),
            ),
            (" 2001:db8::7\ta@b.test  c@d.test \r\n", ("2001:db8::7", "a@b.test", "c@d.test")),
            ("::ffff:192.0.2.7 <a@b.test> <c@d.test>", ("192.0.2.7", "a@b.test", "c@d.test")),
        ] {
            check(data, Ok(expected));
        }
    }

    #[test]
    fn a_bounce_has_no_sender_however_that_is_said() {
        for data in [
            "192.0.2.7 b@example.org",
            "192.0.2.7  b@example.org",
            "192.0.2.7 <> b@example.org",
            "192.0.2.7 \"\" b@example.org",
            "192.0.2.7 b@example.org, c@example.org",
            "192.0.2.7 b@example.org, c@example.org, d@example.org",
            "192.0.2.7 <> b@example.org, c@example.org",
            "192.0.2.7 b@example.org,",
        ] {
            check(data, Ok(("192.0.2.7", "", "b@example.org")));
        }
    }

    #[test]
    fn a_local_part_may_have_blanks_in_it() {
        check(
            r#"192.0.2.7 "john \" smith"@example.net b@example.org"#,
            Ok(("192.0.2.7", r#""john \" smith"@example.net"#, "b@example.org")),
        );
        check(
            r#"192.0.2.7 "a, b"@example.org, c@example.org"#,
            Ok(("192.0.2.7", "", r#""a, b"@example.org"#)),
        );
        check(
            "192.0.2.7 a@example.net odd = one@example.org",
            Ok(("192.0.2.7", "a@example.net", "odd = one@example.org")),
        );
        check("192.0.2.7 \"a b@example.org", Ok(("192.0.2.7", "\"a", "b@example.org")));
    }

    #[test]
    fn a_masked_client_is_its_network() {
        for (client, network) in [
            ("192.0.2.0/24", "192.0.2.0"),
            ("2001:db8::/64", "2001:db8::"),
            ("2001.0db8.0000.0001.0000.0000.0000.0000/64", "2001:db8:0:1::"),
        ] {
            check(&format!("{client} a@b.test c@d.test"), Ok((network, "a@b.test", "c@d.test")));
        }
    }

    #[test]
    fn what_has_no_client_or_no_recipient_is_no_tuple() {
        for client in [
            "mail.example.net",
            "192.0.2.7/33",
            "192.0.2.7/",
            "2001:db8::/129",
            "2001.0db8.0000/64",
            "1.2.3.4.5.6.7.8.9",
            "1.2.3.4.5.6.7.",
            "1.2.3.4.5.6.7.+8",
            "\u{e9}",
        ] {
            check(&format!("{client} a@b.test c@d.test"), Err(Fault::BadAddress { at: 0 }));
        }
        check("  a@b.test c@d.test", Err(Fault::BadAddress { at: 2 }));
        check("192.0.2.7 ", Err(Fault::Missing("recipient")));
        check("", Err(Fault::Missing("client")));
    }
}
