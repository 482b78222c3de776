//! What a newcomer reads first: what runs, where its state is, and the lines for `main.cf`.

use std::fmt;
use std::net::SocketAddr;

use super::limits;
use crate::config::{Config, ListenAddress, Listener, Protocol};
use crate::state_dir::Directories;
use crate::thousands::thousands;

/// The start-up message.
pub(super) struct Summary {
    configuration: String,
    listeners: Vec<Listener>,
    x_grey: Vec<SocketAddr>,
    http: Vec<ListenAddress>,
    directories: Directories,
    settings: String,
    live_rules: usize,
    memory_bytes: u64,
    tuples: String,
}

impl Summary {
    /// `tuples`: what is known of them at start.
    pub(super) fn of(
        config: &Config,
        name: &str,
        directories: &Directories,
        tuples: String,
    ) -> Self {
        Self {
            configuration: name.to_owned(),
            listeners: config.listeners.clone(),
            x_grey: config.x_grey.iter().map(|listener| listener.address).collect(),
            http: config.http.iter().map(|listener| listener.address.clone()).collect(),
            directories: directories.clone(),
            settings: config.summary(),
            live_rules: 0,
            memory_bytes: limits::bound(config.bound).map_or(0, |bound| bound.bytes()),
            tuples,
        }
    }

    /// The same, where so many rules were set or removed while an earlier run went on.
    pub(super) fn with_live_rules(self, live_rules: usize) -> Self {
        Self { live_rules, ..self }
    }
}

/// Who asks by that protocol.
fn asked_by(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Postfix => "Postfix's check_policy_service",
        Protocol::Milter => "Sendmail's and Postfix's milters (docs/mta)",
        Protocol::Greylistd => "Exim's ACLs for greylistd",
    }
}

/// A client's name for the address: a socket that listens on all addresses is asked on loopback.
fn for_postfix(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Unix { path, .. } => format!("unix:{}", path.display()),
        ListenAddress::Tcp(address) if address.ip().is_unspecified() => {
            format!("inet:127.0.0.1:{}", address.port())
        }
        ListenAddress::Tcp(address) => format!("inet:{address}"),
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "xgrey {} is ready\n", env!("CARGO_PKG_VERSION"))?;
        let mut rows = Vec::new();
        for Listener { address, protocol, .. } in &self.listeners {
            rows.push(("listens on", format!("{address}, for {}", asked_by(*protocol))));
        }
        for address in &self.x_grey {
            rows.push((
                "listens on",
                format!("{address} (UDP), for X-Grey's pfc, smc and gld-mcp"),
            ));
        }
        for address in &self.http {
            rows.push(("listens on", format!("{address}, for HTTP: questions in JSON, metrics")));
        }
        rows.push(("configuration", self.configuration.clone()));
        rows.push(("settings", self.settings.clone()));
        if self.live_rules > 0 {
            let rules = match self.live_rules {
                1 => "1 rule was".to_owned(),
                rules => format!("{} rules were", thousands(rules as u64)),
            };
            let how = "set or removed live, and still in force (see `xgrey ctl rules`)";
            rows.push(("live rules", format!("{rules} {how}")));
        }
        rows.push(("state", self.directories.state.display().to_string()));
        rows.push(("tuples", self.tuples.clone()));
        let gib = self.memory_bytes as f64 / f64::from(1 << 30);
        rows.push(("memory", format!("at most {gib:.1} GiB for tuples")));
        let control = self.directories.runtime.join(crate::control::SOCKET_NAME);
        rows.push(("control", format!("{} (try `xgrey ctl stats`)", control.display())));
        for (what, value) in rows {
            writeln!(f, "  {what:<15}{value}")?;
        }
        let postfix = |listener: &&Listener| listener.protocol == Protocol::Postfix;
        let Some(first) = self.listeners.iter().find(postfix) else { return Ok(()) };
        write!(
            f,
            "\nTo use it, put this into Postfix's main.cf and run `postfix reload`; mail flows while \
             xgrey is stopped:\n\n  \
             smtpd_recipient_restrictions =\n    \
             permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination,\n    \
             check_policy_service {{ {}, timeout=5s, default_action=DUNNO }}\n",
            for_postfix(&first.address)
        )
    }
}
