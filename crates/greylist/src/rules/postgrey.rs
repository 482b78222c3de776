//! Entries of postgrey's `whitelist_clients` and `whitelist_recipients` files, as postgrey 1.37
//! reads them, with two faults mended: `10.1` means 10.1.0.0/16 (postgrey makes it 10.1.0.0/24,
//! against its manual), and an entry that postgrey would silently ignore is an error.

use super::List;
use super::address::EXTENSION;
use super::pattern::{
    Kind, Pattern, PatternError, PatternProblem, address, check_shape, domain, error,
    expression_of, leading_octets, network,
};
use ipnet::IpNet;

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
        check_shape(text)?;
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
        check_shape(text)?;
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

/// A domain and everything below it.
fn with_subdomains(text: &str) -> Result<Box<str>, PatternError> {
    if let Some(at) = text.find('/') {
        return error(at..text.len(), PatternProblem::NotAnAddress);
    }
    let domain = domain(text, 0)?;
    Ok(if domain.starts_with('.') { domain } else { format!(".{domain}").into_boxed_str() })
}
