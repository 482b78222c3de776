//! How addresses are written by those who ask: an IP address in every dress, and the brackets round
//! an envelope address.
//!
//! Never knows which protocol carried them.

use std::net::IpAddr;

use greylist::Client;
use memchr::memchr;

/// `<a@example.net>` without its brackets.
pub(crate) fn without_brackets(address: &[u8]) -> &[u8] {
    address.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">")).unwrap_or(address)
}

/// Reads `192.0.2.7` or `2001:db8::7`; also as an SMTP address literal would have it
/// (`IPv6:2001:db8::7`, with or without square brackets) and with a zone (`fe80::1%eth0`), which is
/// dropped: the zone is the name of an interface of the MTA's, and says nothing about the client.
pub(crate) fn client(text: &[u8]) -> Option<Client> {
    let text = text.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).unwrap_or(text);
    let text = match text.split_at_checked(5) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(b"IPv6:") => rest,
        _ => text,
    };
    let text = memchr(b'%', text).map_or(text, |zone| &text[..zone]);
    let address: IpAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(Client::new(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_address_is_read_in_every_dress() {
        let table = [
            ("192.0.2.7", Some("192.0.2.7")),
            ("[192.0.2.7]", Some("192.0.2.7")),
            ("::ffff:192.0.2.7", Some("192.0.2.7")),
            ("2001:db8::7", Some("2001:db8::7")),
            ("2001:0DB8:0:0:0:0:0:7", Some("2001:db8::7")),
            ("IPv6:2001:db8::7", Some("2001:db8::7")),
            ("IPV6:2001:db8::7", Some("2001:db8::7")),
            ("[IPv6:2001:db8::7]", Some("2001:db8::7")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("unknown", None),
            ("192.0.2", None),
            ("192.0.2.7 ", None),
            ("192.0.2.256", None),
            ("mail.example.net", None),
            ("IPv6:", None),
            ("[]", None),
            ("%", None),
            ("é", None),
        ];
        for (text, expected) in table {
            let read = client(text.as_bytes()).map(|client| client.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
        assert_eq!(client(b"\xff\x00"), None);
    }
}
