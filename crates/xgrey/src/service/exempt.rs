//! Clients that are never greylisted: those whom the MTA vouches for, and this host itself.

use std::net::IpAddr;

use greylist::{AcceptReason, Client, Query, Trust};

use crate::config::Exempt;

/// Why the client is let through before any rule is asked, if it is.
pub(super) fn client(
    exempt: &Exempt,
    query: &Query<'_>,
    local: &LocalAddresses,
) -> Option<AcceptReason> {
    match query.trust {
        Trust::Authenticated if exempt.authenticated => Some(AcceptReason::Authenticated),
        Trust::Certificate if exempt.certificates => Some(AcceptReason::Certificate),
        _ if exempt.local && local.contains(query.client) => Some(AcceptReason::Local),
        _ => None,
    }
}

/// This host's own addresses; loopback always counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalAddresses(Vec<IpAddr>);

impl LocalAddresses {
    /// The addresses of all interfaces, as they are now. None when the kernel does not say.
    pub fn of_this_host() -> Self {
        let mut addresses: Vec<IpAddr> = nix::ifaddrs::getifaddrs()
            .into_iter()
            .flatten()
            .filter_map(|interface| {
                let address = interface.address?;
                let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
                v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
            })
            .map(|address| address.to_canonical())
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        Self(addresses)
    }

    pub(super) fn contains(&self, client: Client) -> bool {
        let address = client.address();
        address.is_loopback() || self.0.binary_search(&address).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn query(client: &str, trust: Trust) -> Query<'static> {
        let client = Client::new(client.parse().unwrap());
        Query { trust, ..Query::new(client, b"a@example.net", b"b@example.org") }
    }

    #[test]
    fn loopback_this_host_logins_and_certificates_pass_and_strangers_do_not() {
        let local = LocalAddresses(vec!["192.0.2.25".parse().unwrap()]);
        for (client, trust, expected) in [
            ("127.0.0.1", Trust::Stranger, Some(AcceptReason::Local)),
            ("127.9.9.9", Trust::Stranger, Some(AcceptReason::Local)),
            ("::1", Trust::Stranger, Some(AcceptReason::Local)),
            ("::ffff:127.0.0.1", Trust::Stranger, Some(AcceptReason::Local)),
            ("192.0.2.25", Trust::Stranger, Some(AcceptReason::Local)),
            ("192.0.2.7", Trust::Authenticated, Some(AcceptReason::Authenticated)),
            ("192.0.2.7", Trust::Certificate, Some(AcceptReason::Certificate)),
            ("192.0.2.7", Trust::Stranger, None),
            ("10.20.30.40", Trust::Stranger, None),
        ] {
            let exempt = super::client(&Config::default().exempt, &query(client, trust), &local);
            assert_eq!(exempt, expected, "{client} {trust:?}");
        }
    }

    #[test]
    fn each_exemption_can_be_switched_off() {
        let none = Exempt {
            local: false,
            authenticated: false,
            certificates: false,
            ..Config::default().exempt
        };
        let local = LocalAddresses::default();
        for trust in [Trust::Stranger, Trust::Authenticated, Trust::Certificate] {
            assert_eq!(super::client(&none, &query("127.0.0.1", trust), &local), None);
        }
    }

    #[test]
    fn postmaster_and_abuse_are_exempt_at_any_domain_and_in_any_case() {
        let client = Client::new("192.0.2.7".parse().unwrap());
        for (recipient, expected) in [
            ("postmaster@example.org", true),
            ("PostMaster@EXAMPLE.org", true),
            ("postmaster", true),
            ("abuse@example.net", true),
            ("notpostmaster@example.org", false),
            ("bob@example.org", false),
            ("", false),
        ] {
            let query = Query::new(client, b"a@example.net", recipient.as_bytes());
            let exempt = Config::default().exempt.recipients.contains(&query);
            assert_eq!(exempt, expected, "{recipient}");
        }
    }

    #[test]
    fn this_host_knows_its_loopback_address() {
        let local = LocalAddresses::of_this_host();
        assert!(local.0.contains(&"127.0.0.1".parse().unwrap()), "{local:?}");
    }
}
