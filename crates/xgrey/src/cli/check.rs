//! The flags of `xgrey check`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use greylist::Secs;

use super::TupleArgs;
use crate::config::length_of_time;

pub(super) const CHECK_HELP: &str = "\
Exit status:
  0   accept: let it in
  1   reject: refuse it for good
  75  defer: ask it to try again later (EX_TEMPFAIL, as sendmail, qmail and procmail know it)
  2   wrong usage: nobody was asked
  69  nobody answered, and --on-failure fail (EX_UNAVAILABLE)

Examples:
  xgrey check 192.0.2.7 alice@example.net bob@example.org
  xgrey check --policy unix:/run/xgrey/policy.sock 192.0.2.7 alice@example.net bob@example.org
  xgrey check --x-grey 192.0.2.1:9990 --secret decafbad 192.0.2.7 - bob@example.org";

/// Flags of `xgrey check`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct CheckArgs {
    /// What is asked about.
    #[command(flatten)]
    pub tuple: TupleArgs,
    /// Ask over Postfix's policy protocol: the server's HOST:PORT, or unix:PATH [default:
    /// 127.0.0.1:10023]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "x_grey", value_parser = policy_address)]
    pub policy: Option<PolicyAddress>,
    /// Ask over X-Grey's protocol: one question, no retry; the port may be left out (9990)
    #[arg(long, value_name = "HOST:PORT", value_parser = x_grey_address)]
    pub x_grey: Option<HostPort>,
    /// The secret of --x-grey, which other users can see here [default: $XGREY_SECRET, else decafbad]
    #[arg(long, value_name = "SECRET", requires = "x_grey")]
    pub secret: Option<String>,
    /// Host name of the client, if it is forward-confirmed; X-Grey's protocol has no place for it
    #[arg(long, value_name = "NAME", conflicts_with = "x_grey")]
    pub client_name: Option<String>,
    /// How long to wait, connecting included
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = length_of_time)]
    pub timeout: Secs,
    /// What counts as the answer when there is none
    #[arg(long, value_name = "ANSWER", default_value = "accept")]
    pub on_failure: OnFailure,
    /// Print nothing but that nobody answered
    #[arg(short, long)]
    pub quiet: bool,
}

/// What counts as the answer when there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnFailure {
    /// Mail flows: exit status 0
    Accept,
    /// Exit status 1
    Reject,
    /// Exit status 75
    Defer,
    /// None does: exit status 69
    Fail,
}

/// Where a policy server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyAddress {
    /// On a TCP port.
    Tcp(HostPort),
    /// On a UNIX socket.
    Unix(PathBuf),
}

/// A host by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The name or address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl std::fmt::Display for PolicyAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl PolicyAddress {
    /// Where `xgrey serve` listens unless configured.
    pub fn usual() -> Self {
        Self::Tcp(HostPort { host: "127.0.0.1".to_owned(), port: 10_023 })
    }
}

/// Where X-Grey's server listens unless told.
const X_GREY_PORT: u16 = 9_990;

pub(super) fn policy_address(text: &str) -> Result<PolicyAddress, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return match path.is_empty() {
            true => Err("no path follows unix:".to_owned()),
            false => Ok(PolicyAddress::Unix(path.into())),
        };
    }
    // As Postfix writes it in main.cf.
    let text = text.strip_prefix("inet:").unwrap_or(text);
    match host_port(text)? {
        (host, Some(port)) => Ok(PolicyAddress::Tcp(HostPort { host, port })),
        (host, None) => Err(format!("the port is missing: write {host}:10023")),
    }
}

fn x_grey_address(text: &str) -> Result<HostPort, String> {
    let (host, port) = host_port(text)?;
    Ok(HostPort { host, port: port.unwrap_or(X_GREY_PORT) })
}

/// `host`, `host:port`, `[2001:db8::1]:port` or a bare IPv6 address.
fn host_port(text: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None => return Err("write a colon and the port after the bracket".to_owned()),
        },
        None if text.parse::<std::net::Ipv6Addr>().is_ok() => (text, None),
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err("the host is missing: write 127.0.0.1:10023".to_owned());
    }
    let port = port.map(|port| match port.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(format!("{port:?} is not a port: write a number from 1 to 65535")),
    });
    Ok((host.to_owned(), port.transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_or_a_path() {
        for (text, shown) in [
            ("127.0.0.1:10023", "127.0.0.1:10023"),
            ("inet:mail.example.net:10023", "mail.example.net:10023"),
            ("[2001:db8::1]:10023", "[2001:db8::1]:10023"),
            ("unix:/run/xgrey/policy.sock", "unix:/run/xgrey/policy.sock"),
        ] {
            assert_eq!(policy_address(text).unwrap().to_string(), shown);
        }
        for (text, shown) in [
            ("192.0.2.1", "192.0.2.1:9990"),
            ("localhost:9991", "localhost:9991"),
            ("2001:db8::1", "[2001:db8::1]:9990"),
            ("[2001:db8::1]", "[2001:db8::1]:9990"),
        ] {
            assert_eq!(x_grey_address(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_mend() {
        for (text, mend) in [
            ("127.0.0.1", "write 127.0.0.1:10023"),
            (":10023", "host is missing"),
            ("localhost:smtp", "number from 1 to 65535"),
            ("localhost:0", "number from 1 to 65535"),
            ("[2001:db8::1]10023", "colon"),
            ("unix:", "no path"),
        ] {
            let why = policy_address(text).unwrap_err();
            assert!(why.contains(mend), "{text}: {why}");
        }
    }
}
