//! Patterns for addresses, as an admin types them: `*@example.net`, `bounce-??@*`.

use regex::bytes::{Regex, RegexBuilder};

/// Longest pattern, in bytes; an address is at most 256 (RFC 5321, section 4.5.3.1.3).
const PATTERN_BYTES_MAX: usize = 512;

/// Matches whole addresses, in any case. `*` stands for any number of characters, `?` for one,
/// everything else for itself.
#[derive(Clone, Debug)]
pub struct AddressPattern(Regex);

impl AddressPattern {
    /// Reads a pattern. An empty one and `<>` match the null sender.
    ///
    /// # Errors
    /// When it is too long; in words.
    pub fn new(pattern: &str) -> Result<Self, String> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(format!("an address pattern has at most {PATTERN_BYTES_MAX} bytes"));
        }
        let mut expression = String::from(r"\A");
        for part in pattern.trim_matches(['<', '>']).split_inclusive(['*', '?']) {
            let (text, wildcard) = match part.as_bytes().last() {
                // Any bytes: addresses need not be UTF-8.
                Some(b'*') => (&part[..part.len() - 1], r"(?s-u:.)*"),
                Some(b'?') => (&part[..part.len() - 1], r"(?s:.)"),
                _ => (part, ""),
            };
            expression += &regex::escape(text);
            expression += wildcard;
        }
        expression += r"\z";
        let built = RegexBuilder::new(&expression).case_insensitive(true).build();
        built.map(Self).map_err(|error| format!("not an address pattern: {error}"))
    }

    /// Whether it matches.
    pub fn matches(&self, address: &[u8]) -> bool {
        self.0.is_match(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_matches_whole_addresses_in_any_case() {
        for (pattern, address, expected) in [
            ("a@example.net", &b"a@example.net"[..], true),
            ("A@Example.NET", b"a@eXample.net", true),
            ("a@example.net", b"aa@example.net", false),
            ("a@example.net", b"a@example.net.test", false),
            ("a@example.net", b"a@exampleXnet", false),
            ("*@example.net", b"a.b+c@example.net", true),
            ("*@example.net", b"@example.net", true),
            ("*@example.net", b"a@mail.example.net", false),
            ("*@*example.net", b"a@mail.example.net", true),
            ("a?c@*", b"abc@example.net", true),
            ("a?c@*", b"ac@example.net", false),
            ("a?c@*", "aäc@example.net".as_bytes(), true),
            ("Ä@*", "ä@example.net".as_bytes(), true),
            ("*", b"\xff\xfe@example.net", true),
            ("*@example.net", b"\xff\n@example.net", true),
            ("<a@example.net>", b"a@example.net", true),
            ("", b"", true),
            ("<>", b"", true),
            ("<>", b"a@example.net", false),
            ("*", b"", true),
            ("a[1]+(b)|c^$", b"a[1]+(b)|c^$", true),
        ] {
            let matches = AddressPattern::new(pattern).unwrap().matches(address);
            assert_eq!(matches, expected, "{pattern} {}", address.escape_ascii());
        }
    }

    #[test]
    fn an_endless_pattern_is_refused() {
        let why = AddressPattern::new(&"*".repeat(1000)).unwrap_err();
        assert_eq!(why, "an address pattern has at most 512 bytes");
    }

    proptest! {
        #[test]
        fn a_pattern_without_wildcards_matches_itself(address in "[^*?<>]{0,60}") {
            prop_assert!(AddressPattern::new(&address).unwrap().matches(address.as_bytes()));
        }
    }
}
