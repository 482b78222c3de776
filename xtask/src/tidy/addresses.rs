//! Rules about names of hosts and people: only those set aside for documentation, and no
//! package registry by its host.
//!
//! An address in an example is somebody's unless it is set aside (RFC 2606, 3849, 5737, 6761);
//! the mail that a copied example sends would reach them.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use regex::Regex;

use super::{Finding, Tree};

/// Files written by cargo, full of sources: the workspace's and the fuzz targets'.
const LOCK_FILES: [&str; 2] = ["Cargo.lock", "fuzz/Cargo.lock"];

/// Texts that look like somebody's address, each with the reason why it may stand where it does.
const ALLOWED: &[(&str, &str)] = &[
    ("1.0.2.0", "an address with a sign, which is none"),
    (
        "198.51.0.0",
        "a network of X-Grey's captured exchanges, wider than the documentation network",
    ),
    ("203.0.0.0", "likewise"),
    ("209.0.0.8", "what X-Grey's client makes of an IPv6 address"),
    ("255.0.255.0", "no netmask"),
    ("32.1.13.184", "the first four bytes of 2001:db8::, as X-Grey shows IPv6 addresses"),
    ("a@example.comb", "fields of a datagram, run together"),
    ("alice@example.combob", "fields of a datagram, run together"),
    ("b@example.neu", "a datagram that was spoilt"),
    (
        "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb@example.co",
        "cut after 107 bytes, as X-Grey does",
    ),
    ("0alice@example.netbob", "fields of a hash, run together"),
    ("192.0.3.7", "beside a documentation network, to show its border"),
    ("2001::", "a mask"),
    ("2001:db9::25", "beside the documentation network, to show its border"),
    ("4.5.3.1", "a section of RFC 5321: the limits"),
    ("4.5.4.1", "a section of RFC 5321: how to retry"),
    ("4.7.1.0", "an enhanced status code that is wrong"),
    ("::192.0.2.7", "a documentation address in an obsolete notation"),
];

/// Domains that nobody owns, and all below them.
const DOMAINS: [&str; 7] =
    ["example", "example.com", "example.net", "example.org", "invalid", "localhost", "test"];

/// IPv4 networks that are nobody's: unspecified, private, loopback, documentation, benchmarks.
/// An address and the bits of it that count.
const NETWORKS_V4: [(Ipv4Addr, u32); 7] = [
    (Ipv4Addr::UNSPECIFIED, 32),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
];

/// IPv6 networks that are nobody's: unspecified, loopback, documentation, link-local.
const NETWORKS_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::UNSPECIFIED, 128),
    (Ipv6Addr::LOCALHOST, 128),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
];

/// Hosts of package registries, in parts, so that this file does not name them.
const REGISTRIES: [&[&str]; 8] = [
    &["crates", "io"],
    &["pypi", "org"],
    &["pythonhosted", "org"],
    &["npmjs", "com"],
    &["npmjs", "org"],
    &["deb", "debian", "org"],
    &["security", "debian", "org"],
    &["proxy", "golang", "org"],
];

static EMAIL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"[\w.%+=/-]+@((?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,})\b"));
static IPV4: LazyLock<Regex> = LazyLock::new(|| pattern(r"\d+(?:\.\d+)+"));
static IPV6: LazyLock<Regex> = LazyLock::new(|| pattern(r"[\w:.]*:[\w:.]*:[\w:.]*"));

#[expect(clippy::unwrap_used, reason = "the patterns are written here")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

/// Each address, of mail or of a host, is one set aside for documentation.
pub(super) fn only_documentation_addresses(tree: &Tree) -> Vec<Finding> {
    let mut used = BTreeSet::new();
    let mut findings = Vec::new();
    for file in tree.texts.iter().filter(|file| !LOCK_FILES.contains(&file.path.as_str())) {
        for (number, line) in file.lines() {
            for address in strangers(line) {
                match ALLOWED.iter().find(|(allowed, _)| *allowed == address) {
                    Some((allowed, _)) => _ = used.insert(*allowed),
                    None => findings.push(Finding::new(
                        &file.path,
                        number,
                        format!("{address} may be somebody's: use one set aside for documentation"),
                    )),
                }
            }
        }
    }
    let unused = ALLOWED.iter().filter(|(allowed, _)| !used.contains(allowed));
    findings.extend(unused.map(|(allowed, _)| {
        Finding::new("xtask/src/tidy/addresses.rs", 0, format!("ALLOWED has no use for {allowed}"))
    }));
    findings
}

/// What in a line looks like the address of somebody.
fn strangers(line: &str) -> Vec<&str> {
    let emails = EMAIL
        .captures_iter(line)
        .filter_map(|found| Some((found.get(0)?.as_str(), found.get(1)?.as_str())))
        .filter(|(_, domain)| !is_documentation_domain(domain))
        .map(|(address, _)| address);
    let ipv4 = IPV4
        .find_iter(line)
        .map(|found| found.as_str())
        .filter(|text| text.parse().is_ok_and(|address| !is_nobodys_v4(address)));
    let ipv6 = IPV6.find_iter(line).map(|found| found.as_str().trim_end_matches('.')).filter(
        // Two letters and two colons are more often a path in Rust.
        |text| {
            text.contains(|c: char| c.is_ascii_digit())
                && text.parse().is_ok_and(|address| !is_nobodys_v6(address))
        },
    );
    emails.chain(ipv4).chain(ipv6).collect()
}

fn is_documentation_domain(domain: &str) -> bool {
    let domain = domain.to_ascii_lowercase();
    DOMAINS.iter().any(|known| {
        domain.strip_suffix(known).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

fn is_nobodys_v4(address: Ipv4Addr) -> bool {
    // A netmask is no address.
    let bits = address.to_bits();
    let is_netmask = bits.leading_ones() + bits.trailing_zeros() == u32::BITS;
    let is_in =
        |(network, length): &(Ipv4Addr, u32)| (bits ^ network.to_bits()).leading_zeros() >= *length;
    is_netmask || NETWORKS_V4.iter().any(is_in)
}

fn is_nobodys_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_nobodys_v4(mapped);
    }
    let is_in = |(network, length): &(Ipv6Addr, u32)| {
        (address.to_bits() ^ network.to_bits()).leading_zeros() >= *length
    };
    NETWORKS_V6.iter().any(is_in)
}

/// No package registry's host is named: which registry is used is the machine's business.
pub(super) fn no_registry_is_named(tree: &Tree) -> Vec<Finding> {
    let hosts: Vec<String> = REGISTRIES.iter().map(|parts| parts.join(".")).collect();
    let mut findings = Vec::new();
    for file in tree.texts.iter().filter(|file| !LOCK_FILES.contains(&file.path.as_str())) {
        for (number, line) in file.lines() {
            let named = hosts.iter().filter(|host| line.contains(host.as_str()));
            findings.extend(
                named.map(|host| Finding::new(&file.path, number, format!("names {host}"))),
            );
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::assert_finds;

    /// Joins by dots, so that this file holds no address that its own rule would find.
    fn dotted(parts: &[&str]) -> String {
        parts.join(".")
    }

    #[test]
    fn addresses_set_aside_are_nobodys() {
        for line in [
            "alice@example.net, bob@mail.example.org, c@d.test",
            "192.0.2.7 and 127.0.0.1:10023, 198.18.3.4/32, 255.255.255.0",
            "[2001:db8::1]:25, ::1, ::, ::ffff:192.0.2.7, fe80::1",
            "std::fs, a::b::c, version 1.95.0, 4.7.1, v1.2.3, 12:30:45",
            "postmaster@ and @example.com",
        ] {
            assert_eq!(strangers(line), [""; 0], "{line}");
        }
    }

    #[test]
    fn all_others_are_found() {
        let at = |domain: &str| format!("alice@{domain}");
        for text in [
            at(&dotted(&["gmail", "com"])),
            at(&dotted(&["notexample", "com"])),
            dotted(&["8", "8", "8", "8"]),
            dotted(&["192", "168", "1", "1"]),
            ["2a00", "", "1"].join(":"),
            format!("::ffff:{}", dotted(&["8", "8", "4", "4"])),
        ] {
            let line = format!("see <{text}>, please");
            let found = strangers(&line);
            assert!(found.contains(&text.as_str()), "{text}: {found:?}");
        }
    }

    #[test]
    fn a_registry_is_found_everywhere_but_in_the_lock_file() {
        let text = format!("\nsee {}\n", dotted(&["static", "crates", "io"]));
        let tree = Tree::of(&[("a.md", &text), ("Cargo.lock", &text)]);
        assert_finds(&no_registry_is_named(&tree), &["a.md:2"]);
    }
}
