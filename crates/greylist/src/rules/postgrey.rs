//! Entries of postgrey's `whitelist_clients` and `whitelist_recipients` files, as postgrey 1.37
//! reads them, with two faults mended: `10.1` means 10.1.0.0/16 (postgrey makes it 10.1.0.0/24,
//! against its manual), and an entry that postgrey would silently ignore is an error.

use ipnet::IpNet;

use super::address::EXTENSION;
use super::mistake::{PatternError, PatternProblem};
use super::pattern::{
    Kind, Pattern, address, check_shape, domain, expression_of, leading_octets, network,
};
use super::{List, exact};

impl Pattern {
    /// Reads an entry of a `whitelist_clients` file, without comment and without white space
    /// around it:
    ///
    /// - `192.0.2.7`, `192.0.2.0/24`, `192.0.2` (a /24), `192.0` (a /16), `2001:db8::/32`: for the
    ///   client list;
    /// - `example.net`, which is also everything below it, and `/regex/`: for the client-name list.
    ///
    /// # Errors
    /// As [`Pattern::parse`].
    pub fn parse_postgrey_client(text: &str) -> Result<Self, PatternError> {
        check(text)?;
        if text.starts_with('/') {
            return Ok(Self::new(List::ClientName, Kind::Expression(expression_of(text)?)));
        }
        let octets = leading_octets(text);
        if let Some(net) = octets.filter(|net| net.prefix_len() >= 16) {
            return Ok(Self::new(List::Client, Kind::Net(IpNet::V4(net))));
        }
        let digits = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'/'));
        if digits || text.contains(':') {
            return Ok(Self::new(List::Client, Kind::Net(network(text)?)));
        }
        Ok(Self::new(List::ClientName, Kind::Text(with_subdomains(text)?)))
    }

    /// Reads an entry of a `whitelist_recipients` file, without comment and without white space
    /// around it:
    ///
    /// - `user@example.net`, `user@`, both also with any extension (`user+news@…`), and `/regex/`
    ///   on the whole address: for the recipient list;
    /// - `example.net`, which is also everything below it: for the recipient-domain list.
    ///
    /// # Errors
    /// As [`Pattern::parse`].
    pub fn parse_postgrey_recipient(text: &str) -> Result<Self, PatternError> {
        check(text)?;
        if text.starts_with('/') {
            return Ok(Self::new(List::Recipient, Kind::Expression(expression_of(text)?)));
        }
        if !text.contains('@') {
            return Ok(Self::new(List::RecipientDomain, Kind::Text(with_subdomains(text)?)));
        }
        let plain = address(text, List::RecipientDomain)?;
        let extended = match plain.rsplit_once('@') {
            Some((user, domain)) => format!("{user}{EXTENSION}{domain}").into_boxed_str(),
            None => plain,
        };
        Ok(Self::new(List::Recipient, Kind::Text(extended)))
    }
}

/// What holds for every entry. One that begins like an exact one could not be shown as what it is.
fn check(text: &str) -> Result<(), PatternError> {
    check_shape(text)?;
    match text.starts_with(exact::SIGN) {
        true => Err(PatternError { at: 0..1, problem: PatternProblem::ExactInPostgrey }),
        false => Ok(()),
    }
}

/// A domain and everything below it.
fn with_subdomains(text: &str) -> Result<Box<str>, PatternError> {
    let domain = domain(text, 0)?;
    Ok(if domain.starts_with('.') { domain } else { format!(".{domain}").into_boxed_str() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `list entry`, or where the mistake is and what it is.
    fn shown(outcome: Result<Pattern, PatternError>) -> String {
        match outcome {
            Ok(pattern) => format!("{} {pattern}", pattern.list().word()),
            Err(why) => {
                let said = why.to_string();
                format!("{:?} {}", why.at, said.split_once(": ").unwrap().0)
            }
        }
    }

    #[test]
    fn each_shape_of_a_client_line() {
        let rows = [
            ("example.net", "client-name .example.net"),
            ("Mail.Example.NET", "client-name .mail.example.net"),
            (".example.net", "client-name .example.net"),
            ("192.0.2.7", "client 192.0.2.7"),
            ("192.0.2.0/24", "client 192.0.2.0/24"),
            ("192.0.2", "client 192.0.2.0/24"),
            ("10.1", "client 10.1.0.0/16"),
            ("10.1/12", "client 10.0.0.0/12"),
            ("2001:db8::7", "client 2001:db8::7"),
            ("2001:db8:4051:0800::/64", "client 2001:db8:4051:800::/64"),
            ("::ffff:192.0.2.7", "client 192.0.2.7"),
            (r"/^mx[12]\.example\.net$/", r"client-name /^mx[12]\.example\.net$/"),
            ("10", "0..2 an incomplete IPv4 address"),
            ("192.0.2.256", "0..11 neither an IP address nor a network"),
            ("192.0.2.7/33", "10..12 not a prefix length"),
            ("a@example.net", "0..2 a domain is wanted here"),
            ("example.net/24", "11..12 a slash inside a domain"),
            ("mail example.net", "4..5 white space inside an entry"),
            (r"/^(?!dyn)/", "2..5 look-around is not supported"),
        ];
        for (text, want) in rows {
            assert_eq!(shown(Pattern::parse_postgrey_client(text)), want, "{text}");
        }
    }

    #[test]
    fn each_shape_of_a_recipient_line() {
        let rows = [
            ("postmaster@", "recipient postmaster+*@"),
            ("Bob@Example.ORG", "recipient bob+*@example.org"),
            ("bob+news@example.org", "recipient bob+news+*@example.org"),
            ("example.org", "recipient-domain .example.org"),
            ("/^(?:abuse|noc)@/", "recipient /^(?:abuse|noc)@/"),
            ("@example.org", "0..1 nothing before the `@`"),
            ("bob example.org", "3..4 white space inside an entry"),
        ];
        for (text, want) in rows {
            assert_eq!(shown(Pattern::parse_postgrey_recipient(text)), want, "{text}");
        }
    }
}
