//! One entry of a list, as an admin writes it, checked: what it is, or where in it the mistake is
//! and how to mend it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use ipnet::{IpNet, Ipv4Net};
use regex::bytes::Regex;

use super::address::EXTENSION;
use super::expression;
use super::mistake::{PatternError, PatternProblem};
use super::{List, RuleText, exact};

/// The longest entry, in bytes: an address has at most 320 (64 + 1 + 255, RFC 5321, 4.5.3.1), and
/// nobody can check a regular expression that fills a screen.
pub const PATTERN_BYTES_MAX: usize = 4096;

/// An entry for one list.
#[derive(Clone, Debug)]
pub struct Pattern {
    list: List,
    kind: Kind,
}

/// What an entry is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Host bits zero; never an IPv4-mapped IPv6 network.
    Net(IpNet),
    /// Lower-cased; what its forms mean is up to the list.
    Text(Box<str>),
    /// These bytes and no others.
    Exact(Box<[u8]>),
    /// Without its slashes.
    Expression(Regex),
}

impl Pattern {
    /// Reads `text`, without white space around it, as an entry of `list`:
    ///
    /// - client: `192.0.2.7`, `192.0.2.0/24`, `10/8`, `2001:db8::/32`;
    /// - client-name: `mail.example.net`, `.example.net` (it and everything below), `/regex/`;
    /// - sender, recipient: `user@example.net`, `user@` (at any domain), `user+*@example.net` and
    ///   `user+*@` (with any extension or none), `<>` (the null sender), `/regex/`;
    /// - sender-domain, recipient-domain: `example.net`, `.example.net`, `/regex/`;
    /// - all four of them: `=Text`, which matches byte for byte, see [`exact`](Self::exact).
    ///
    /// # Errors
    /// Says what is wrong with it, where, and how to mend it.
    pub fn parse(list: List, text: &str) -> Result<Self, PatternError> {
        check_shape(text)?;
        let kind = match list {
            List::Client => Kind::Net(network(text)?),
            _ if text.starts_with('/') => Kind::Expression(expression_of(text)?),
            List::ClientName if text.starts_with(exact::SIGN) => {
                return error(0..1, PatternProblem::ExactHere);
            }
            _ if text.starts_with(exact::SIGN) => Kind::Exact(exact::read(text)?),
            List::ClientName => Kind::Text(host_name(text)?),
            List::SenderDomain | List::RecipientDomain => Kind::Text(domain(text, 0)?),
            List::Sender => Kind::Text(address(text, List::SenderDomain)?),
            List::Recipient => Kind::Text(address(text, List::RecipientDomain)?),
        };
        Ok(Self { list, kind })
    }

    /// The entry of a list of senders, recipients or their domains that matches `bytes` and nothing
    /// else, upper and lower case told apart: of addresses the whole, of domains what follows the
    /// first `@`. It is asked before all other entries of its list, and written `=Text`. This is
    /// how X-Grey matches (X-Grey v1.1 protocol, section 5.1).
    ///
    /// # Errors
    /// For lists of clients, for more than [`EXACT_BYTES_MAX`](super::EXACT_BYTES_MAX) bytes, and for
    /// bytes that no address has: NUL and line feed.
    pub fn exact(list: List, bytes: &[u8]) -> Result<Self, PatternError> {
        if matches!(list, List::Client | List::ClientName) {
            return error(0..bytes.len(), PatternProblem::ExactHere);
        }
        exact::check(bytes)?;
        Ok(Self { list, kind: Kind::Exact(bytes.into()) })
    }

    /// The entry of the client list that matches all addresses of `net`.
    pub fn network(net: IpNet) -> Self {
        Self { list: List::Client, kind: Kind::Net(unmapped(net.trunc())) }
    }

    /// The list that it is for.
    pub fn list(&self) -> List {
        self.list
    }

    /// Its canonical form.
    pub fn text(&self) -> RuleText<'_> {
        match &self.kind {
            Kind::Net(net) => RuleText::net(*net),
            Kind::Text(text) => RuleText::plain(text.as_bytes()),
            Kind::Exact(bytes) => RuleText::exact(bytes),
            Kind::Expression(regex) => RuleText::expression(regex.as_str()),
        }
    }

    pub(super) fn new(list: List, kind: Kind) -> Self {
        Self { list, kind }
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    pub(super) fn into_kind(self) -> Kind {
        self.kind
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().fmt(f)
    }
}

fn error<T>(at: Range<usize>, problem: PatternProblem) -> Result<T, PatternError> {
    Err(PatternError { at, problem })
}

/// What holds for every entry.
pub(super) fn check_shape(text: &str) -> Result<(), PatternError> {
    if text.is_empty() {
        return error(0..0, PatternProblem::Empty);
    }
    let max = match text.starts_with(exact::SIGN) {
        true => exact::WRITTEN_BYTES_MAX,
        false => PATTERN_BYTES_MAX,
    };
    if text.len() > max {
        let from = text.floor_char_boundary(max);
        return error(from..text.len(), PatternProblem::TooLong { max });
    }
    let blank = |c: char| c.is_whitespace() || c.is_control();
    match text.char_indices().find(|&(_, c)| blank(c)) {
        Some((at, c)) => error(at..at + c.len_utf8(), PatternProblem::Space),
        None => Ok(()),
    }
}

/// An address, a network, or the first octets of an IPv4 network with its prefix length.
pub(super) fn network(text: &str) -> Result<IpNet, PatternError> {
    let (address_text, bits_text) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address = match (address_text.parse::<IpAddr>(), leading_octets(address_text)) {
        (Ok(address), _) => address,
        (Err(_), Some(short)) if bits_text.is_some() => IpAddr::V4(short.addr()),
        (Err(_), Some(short)) => {
            return error(0..text.len(), PatternProblem::NoPrefixLength { meant: short });
        }
        (Err(_), None) if looks_like_host_name(address_text) => {
            return error(0..text.len(), PatternProblem::HostNameAsClient);
        }
        (Err(_), None) => return error(0..address_text.len(), PatternProblem::NotAnAddress),
    };
    let max = if address.is_ipv4() { 32 } else { 128 };
    let Some(bits_text) = bits_text else {
        return Ok(unmapped(IpNet::from(address)));
    };
    let bits = match bits_text.parse::<u8>() {
        Ok(bits) if bits_text.bytes().all(|byte| byte.is_ascii_digit()) => bits,
        _ => {
            return error(address_text.len() + 1..text.len(), PatternProblem::PrefixLength { max });
        }
    };
    match IpNet::new(address, bits) {
        Ok(net) => Ok(unmapped(net.trunc())),
        Err(_) => error(address_text.len() + 1..text.len(), PatternProblem::PrefixLength { max }),
    }
}

/// `10`, `10.1` or `10.1.2` as the network of all addresses that begin so.
pub(super) fn leading_octets(text: &str) -> Option<Ipv4Net> {
    let mut octets = [0; 4];
    let mut count = 0;
    for part in text.split('.') {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        *octets.get_mut(count)? = part.parse().ok().filter(|_| digits)?;
        count += 1;
    }
    if count == 4 {
        return None;
    }
    Ipv4Net::new(Ipv4Addr::from(octets), count as u8 * 8).ok()
}

/// Clients never have IPv4-mapped addresses, so a rule for those is one for IPv4.
fn unmapped(net: IpNet) -> IpNet {
    /// How many bits come before the IPv4 address in `::ffff:192.0.2.7`.
    const MAPPED_BITS: u8 = 96;
    if let IpNet::V6(v6) = net
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Some(bits) = v6.prefix_len().checked_sub(MAPPED_BITS)
        && let Ok(net) = Ipv4Net::new(v4, bits)
    {
        return IpNet::V4(net);
    }
    net
}

fn looks_like_host_name(text: &str) -> bool {
    let bytes = || text.bytes();
    !text.contains([':', '*', '@'])
        && bytes().any(|byte| byte.is_ascii_alphabetic())
        && bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// A host name: a domain that is not an address.
fn host_name(text: &str) -> Result<Box<str>, PatternError> {
    let address = text.split('/').next().unwrap_or(text);
    if address.parse::<IpAddr>().is_ok() || leading_octets(address).is_some() {
        return error(0..text.len(), PatternProblem::ClientAsHostName);
    }
    domain(text, 0)
}

/// A domain, or a suffix with its leading dot, lower-cased, without a final dot. `offset` is where
/// `text` begins in the entry.
pub(super) fn domain(text: &str, offset: usize) -> Result<Box<str>, PatternError> {
    if let Some(at) = text.find('@') {
        return error(offset..offset + at + 1, PatternProblem::AtSign);
    }
    if let Some(at) = text.find('*') {
        return error(offset + at..offset + at + 1, PatternProblem::Wildcard);
    }
    if let Some(at) = text.find('/') {
        return error(offset + at..offset + at + 1, PatternProblem::Slash);
    }
    if let Some(at) = text.find(['<', '>']) {
        return error(offset + at..offset + at + 1, PatternProblem::AngleBrackets);
    }
    let trimmed = text.strip_suffix('.').unwrap_or(text);
    if trimmed.is_empty() {
        return error(offset..offset + text.len(), PatternProblem::EmptyLabel);
    }
    if let Some(at) = text.find("..") {
        return error(offset + at..offset + at + 2, PatternProblem::EmptyLabel);
    }
    Ok(trimmed.to_ascii_lowercase().into_boxed_str())
}

/// An address, or a local part with its `@`, lower-cased. The null sender is empty.
pub(super) fn address(text: &str, domains: List) -> Result<Box<str>, PatternError> {
    if text == "<>" {
        return Ok(Box::default());
    }
    if text.starts_with('<') || text.ends_with('>') {
        return error(0..text.len(), PatternProblem::AngleBrackets);
    }
    let Some((local, domain_text)) = text.rsplit_once('@') else {
        return error(0..text.len(), PatternProblem::NoAtSign { domains });
    };
    if local.is_empty() || local == EXTENSION.trim_end_matches('@') {
        return error(0..local.len() + 1, PatternProblem::NoLocalPart { domains });
    }
    if domain_text.is_empty() {
        return Ok(text.to_ascii_lowercase().into_boxed_str());
    }
    let after_at = local.len() + 1;
    if domain_text.starts_with('.') {
        return error(after_at..after_at + 1, PatternProblem::EmptyLabel);
    }
    let domain = domain(domain_text, after_at)?;
    Ok(format!("{}@{domain}", local.to_ascii_lowercase()).into_boxed_str())
}

/// A regular expression between slashes.
pub(super) fn expression_of(text: &str) -> Result<Regex, PatternError> {
    let Some((inner, flags)) = text.strip_prefix('/').and_then(|rest| rest.rsplit_once('/')) else {
        return error(0..text.len(), PatternProblem::ExpressionOpen);
    };
    if !flags.is_empty() {
        let at = text.len() - flags.len()..text.len();
        return if flags.bytes().all(|byte| byte.is_ascii_lowercase()) && flags.len() <= 4 {
            error(at, PatternProblem::ExpressionFlags)
        } else {
            error(at, PatternProblem::ExpressionOpen)
        };
    }
    if inner.is_empty() {
        return error(0..text.len(), PatternProblem::ExpressionEmpty);
    }
    expression::check(inner).map_err(|PatternError { at, problem }| PatternError {
        // The slash comes before it.
        at: at.start + 1..at.end + 1,
        problem,
    })?;
    expression::compile(inner).map_err(|why| PatternError {
        at: 0..text.len(),
        problem: match why {
            regex::Error::CompiledTooBig(_) => PatternProblem::ExpressionTooBig,
            other => PatternProblem::Syntax { why: other.to_string() },
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_form_has_a_canonical_one() {
        let rows = [
            (List::Client, "192.0.2.7", "192.0.2.7"),
            (List::Client, "192.0.2.7/32", "192.0.2.7"),
            (List::Client, "192.0.2.7/24", "192.0.2.0/24"),
            (List::Client, "10/8", "10.0.0.0/8"),
            (List::Client, "10.1/16", "10.1.0.0/16"),
            (List::Client, "10.1.2/22", "10.1.0.0/22"),
            (List::Client, "0/0", "0.0.0.0/0"),
            (List::Client, "2001:DB8::7", "2001:db8::7"),
            (List::Client, "2001:db8::7/32", "2001:db8::/32"),
            (List::Client, "::ffff:192.0.2.7", "192.0.2.7"),
            (List::Client, "::ffff:192.0.2.0/120", "192.0.2.0/24"),
            (List::Client, "::/0", "::/0"),
            (List::ClientName, "Mail.Example.NET.", "mail.example.net"),
            (List::ClientName, ".Example.net", ".example.net"),
            (List::ClientName, r"/^MX\d+\./", r"/^MX\d+\./"),
            (List::Sender, "Alice@Example.NET.", "alice@example.net"),
            (List::Sender, "Alice@", "alice@"),
            (List::Sender, "alice+*@", "alice+*@"),
            (List::Sender, "<>", "<>"),
            (List::Sender, "\"a@b\"@example.net", "\"a@b\"@example.net"),
            (List::Sender, "a@[192.0.2.1]", "a@[192.0.2.1]"),
            (List::Recipient, "/^a/b@/", "/^a/b@/"),
            (List::SenderDomain, "[192.0.2.1]", "[192.0.2.1]"),
            (List::SenderDomain, "Bücher.example", "bücher.example"),
            (List::RecipientDomain, ".org", ".org"),
            (List::Sender, "=Alice@Example.NET.", "=Alice@Example.NET."),
            (List::Sender, "=", "="),
            (List::Recipient, r"=\x41\x20\\B#", r"=A\x20\\B#"),
            (List::SenderDomain, "=B\u{fc}cher.example", "=B\u{fc}cher.example"),
            (List::RecipientDomain, r"=\xC3\xbc\xff\xe2\x80\x8b", "=\u{fc}\\xff\\xe2\\x80\\x8b"),
        ];
        for (list, text, want) in rows {
            let pattern = Pattern::parse(list, text).map_err(|why| format!("{text}: {why}"));
            assert_eq!(pattern.map(|pattern| pattern.to_string()), Ok(want.to_owned()), "{text}");
        }
    }

    /// `text` with the blamed part in «», and what the error says before its mend.
    fn blame(list: List, text: &str) -> String {
        match Pattern::parse(list, text) {
            Ok(pattern) => format!("fine: {pattern}"),
            Err(why) => {
                let (before, rest) = text.split_at(why.at.start);
                let (blamed, after) = rest.split_at(why.at.len());
                let said = why.to_string();
                let (what, mend) = said.split_once(": ").unwrap();
                assert!(!mend.is_empty(), "{said}");
                format!("{before}«{blamed}»{after} {what}")
            }
        }
    }

    #[test]
    fn each_mistake_is_found_where_it_is() {
        let rows = [
            (List::Client, "", "«» the entry is empty"),
            (List::Client, "192.0.2.7 x", "192.0.2.7« »x white space inside an entry"),
            (List::Client, "192.0.2.*", "«192.0.2.*» neither an IP address nor a network"),
            (List::Client, "192.0.2.256", "«192.0.2.256» neither an IP address nor a network"),
            (List::Client, "1.2.3.4.5/8", "«1.2.3.4.5»/8 neither an IP address nor a network"),
            (List::Client, "300/8", "«300»/8 neither an IP address nor a network"),
            (List::Client, "2001:db8::x", "«2001:db8::x» neither an IP address nor a network"),
            (
                List::Client,
                "mail.example.net",
                "«mail.example.net» the client list takes addresses and networks",
            ),
            (List::Client, "192.0.2.0/33", "192.0.2.0/«33» not a prefix length"),
            (List::Client, "2001:db8::/129", "2001:db8::/«129» not a prefix length"),
            (List::Client, "10/+8", "10/«+8» not a prefix length"),
            (List::Client, "10/", "10/«» not a prefix length"),
            (List::Client, "10.0.0.0/255.0.0.0", "10.0.0.0/«255.0.0.0» not a prefix length"),
            (List::Client, "10.1", "«10.1» an incomplete IPv4 address"),
            (List::ClientName, "10/8", "«10/8» the client-name list takes host names"),
            (List::ClientName, "::1", "«::1» the client-name list takes host names"),
            (List::ClientName, "*.example.net", "«*».example.net `*` is not understood here"),
            (List::SenderDomain, "example..net", "example«..»net a label is missing"),
            (List::SenderDomain, ".", "«.» a label is missing"),
            (List::SenderDomain, "@example.net", "«@»example.net a domain is wanted here"),
            (List::SenderDomain, "a.example/24", "a.example«/»24 a slash inside a domain"),
            (List::Sender, "example.net", "«example.net» an address is wanted here"),
            (List::Sender, "@example.net", "«@»example.net nothing before the `@`"),
            (List::Sender, "+*@example.net", "«+*@»example.net nothing before the `@`"),
            (List::Sender, "a@.example.net", "a@«.»example.net a label is missing"),
            (List::Sender, "a@*.net", "a@«*».net `*` is not understood here"),
            (List::Sender, "<a@b.example>", "«<a@b.example>» angle brackets around an address"),
            (List::Sender, "/abc", "«/abc» a regular expression must end with a slash"),
            (List::Sender, "/", "«/» a regular expression must end with a slash"),
            (List::Sender, "/a/b@c", "/a/«b@c» a regular expression must end with a slash"),
            (List::Sender, "/abc/i", "/abc/«i» nothing may follow the closing slash"),
            (List::Sender, "//", "«//» an empty regular expression matches everything"),
            (List::Sender, "=a b", "=a« »b white space inside an entry"),
            (List::SenderDomain, r"=a\x00", r"=a«\x00» no address has such a byte"),
            (List::Client, "=192.0.2.7", "«=192.0.2.7» neither an IP address nor a network"),
            (
                List::ClientName,
                "=a.example",
                "«=»a.example exact entries are for senders, recipients and their domains",
            ),
        ];
        for (list, text, want) in rows {
            assert_eq!(blame(list, text), want);
        }
    }

    #[test]
    fn a_backslash_in_an_exact_entry_must_stand_for_something() {
        let rows =
            [(r"=a\b", r"=a«\b»"), (r"=a\", r"=a«\»"), (r"=a\x4", r"=a«\x»4"), (r"=\ü", r"=«\ü»")];
        for (text, blamed) in rows {
            let want = " a backslash in an exact entry must stand before another, or before x and two \
                        hexadecimal digits";
            assert_eq!(blame(List::Sender, text), blamed.to_owned() + want);
        }
    }

    #[test]
    fn what_only_perl_understands_is_refused_with_the_reason() {
        let rows = [
            (r"/^(?!mx)a/", r"/^«(?!»mx)a/ look-around is not supported"),
            (r"/(?<=a)b/", r"/«(?<=»a)b/ look-around is not supported"),
            (r"/(a)\1/", r"/(a)«\1»/ back-references are not supported"),
            (r"/a(b/", r"/a«(»b/ unclosed group"),
            (r"/\Zab/", r"/«\Z»ab/ unrecognized escape sequence"),
            (r"/(?>ab)/", r"/(?«>»ab)/ unrecognized flag"),
            (r"/[äö]/", r"/[«ä»ö]/ a class that holds more than ASCII"),
            (r"/(?:a{500}){500}/", r"«/(?:a{500}){500}/» takes more than 1024 KiB once compiled"),
        ];
        for (text, want) in rows {
            assert_eq!(blame(List::Sender, text), want);
        }
    }

    #[test]
    fn what_perl_and_we_both_understand_is_taken() {
        for text in [
            r"/^mail\d+\.example\.net$/",
            r"/^(?:smtp\w*|postfix)[0-9]+-g[0-9]+\.example$/",
            r"/^.*?\.example$/",
            r"/^a\@example\.net$/",
            r"/^[[:alpha:]]{2,4}\/x$/",
            r"/bücher/",
        ] {
            assert_eq!(blame(List::Sender, text), format!("fine: {text}"));
        }
    }

    #[test]
    fn an_entry_of_the_limit_is_taken_and_one_byte_more_is_not() {
        let longest = "a".repeat(PATTERN_BYTES_MAX);
        assert!(Pattern::parse(List::SenderDomain, &longest).is_ok());
        let why = Pattern::parse(List::SenderDomain, &(longest + "ü")).unwrap_err();
        assert_eq!(why.problem, PatternProblem::TooLong { max: PATTERN_BYTES_MAX });
        assert_eq!(why.at, PATTERN_BYTES_MAX..PATTERN_BYTES_MAX + 2);
    }

    #[test]
    fn an_exact_entry_of_the_limit_can_be_written_and_read_and_one_byte_more_can_not() {
        let longest = vec![0xff; exact::EXACT_BYTES_MAX];
        let pattern = Pattern::exact(List::Sender, &longest).unwrap();
        let read = Pattern::parse(List::Sender, &pattern.to_string()).unwrap();
        assert_eq!(read.text(), pattern.text());
        let longer = [longest.as_slice(), b"a"].concat();
        let why = Pattern::exact(List::Sender, &longer).unwrap_err();
        assert_eq!(why.problem, PatternProblem::TooLong { max: exact::EXACT_BYTES_MAX });
        let why = Pattern::parse(List::Sender, &("=".to_owned() + &"a".repeat(2049))).unwrap_err();
        assert_eq!(why.problem, PatternProblem::TooLong { max: exact::EXACT_BYTES_MAX });
    }

    proptest! {
        #[test]
        fn any_bytes_but_nul_and_line_feed_are_an_exact_entry_that_is_read_as_it_was_written(
            list in prop::sample::select(vec![
                List::Sender, List::SenderDomain, List::Recipient, List::RecipientDomain,
            ]),
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                r"[ \\=#/xX0-9a-fü\u{200b}]{0,20}".prop_map(String::into_bytes),
            ],
        ) {
            match Pattern::exact(list, &bytes) {
                Ok(pattern) => {
                    let written = pattern.to_string();
                    prop_assert!(!written.contains(|c: char| c.is_whitespace() || c.is_control()));
                    let read = Pattern::parse(list, &written).unwrap();
                    prop_assert_eq!(read.text().as_exact(), Some(&bytes[..]));
                }
                Err(why) => {
                    prop_assert!(matches!(bytes[why.at.start], 0 | b'\n'), "{:?}", why);
                }
            }
        }

        #[test]
        fn any_text_is_an_entry_or_blamed_within_it(
            list in prop::sample::select(List::ALL.to_vec()),
            text in prop_oneof![
                ".{0,12}",
                r"[a-b0-9./:@*+<>\[\]()?=!ü]{0,12}",
                r"=[a-bx0-9\\@ü]{0,12}",
            ],
        ) {
            let outcomes = [
                Pattern::parse(list, &text),
                Pattern::parse_postgrey_client(&text),
                Pattern::parse_postgrey_recipient(&text),
            ];
            for outcome in outcomes {
                match outcome {
                    Ok(pattern) => {
                        // What is shown can be read again, and is then the same.
                        let shown = pattern.to_string();
                        let again = Pattern::parse(pattern.list(), &shown);
                        prop_assert_eq!(again.map(|again| again.to_string()), Ok(shown));
                    }
                    Err(why) => prop_assert!(text.get(why.at.clone()).is_some(), "{:?}", why),
                }
            }
        }
    }
}
