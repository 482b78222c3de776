//! Debian's Postfix, asking xgrey about each recipient as the manual says, delivering into files.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::PathBuf;

use crate::manual;
use crate::namespace::{Inside, Namespace};
use crate::place::Place;
use crate::smtp::Session;
use crate::wait::until;
use crate::world::{self, Attempt, Mail, NOBODY};

/// A running Postfix with one SMTP listener.
pub(crate) struct Postfix {
    _namespace: Namespace,
    address: SocketAddr,
    inbox: PathBuf,
    log: PathBuf,
}

impl Postfix {
    /// Starts Postfix with the lines that an admin pastes into `main.cf`; `policy` is where xgrey
    /// listens, as Postfix writes it (`inet:127.0.0.1:10023`, `unix:/path`).
    pub(crate) fn start(place: &Place, policy: &str) -> Self {
        // As the manual says, but that Postfix exempts nobody by itself: xgrey is to do it.
        let restrictions = manual::block(manual::POSTFIX, "check_policy_service")
            .replace(&format!("inet:{}", manual::LISTENER), policy)
            .replace("permit_sasl_authenticated, ", "");
        Self::start_asking(place, &restrictions)
    }

    /// The same with the lines for a milter, which is where xgrey listens.
    pub(crate) fn start_with_milter(place: &Place, milter: &str) -> Self {
        let milters = manual::block(manual::POSTFIX, "smtpd_milters")
            .replace(&format!("inet:{}", manual::MILTER), milter);
        Self::start_asking(place, &milters)
    }

    /// Starts Postfix with those lines in its `main.cf`.
    fn start_asking(place: &Place, asking: &str) -> Self {
        let address = Place::address();
        let home = place.make_folder("postfix");
        for folder in ["etc", "queue", "data", "log", "mail"] {
            place.make_folder(&format!("postfix/{folder}"));
        }
        chown(home.join("mail"), Some(NOBODY), Some(NOBODY)).unwrap();
        let home_text = home.to_str().unwrap();
        place.write("postfix/etc/main.cf", &main_cf(home_text, asking));
        place.write("postfix/etc/master.cf", &master_cf(address));
        let first = format!(
            "id postfix >/dev/null 2>&1 || useradd -r -M -d /nonexistent -s /usr/sbin/nologin postfix
             groupadd -f -r postdrop
             chown postfix {home_text}/data
             chgrp postdrop /usr/sbin/postdrop /usr/sbin/postqueue
             chmod 2755 /usr/sbin/postdrop /usr/sbin/postqueue
             mkdir -p /etc/postfix
             cp /usr/share/postfix/dynamicmaps.cf /etc/postfix/"
        );
        let inside = Inside {
            package: "postfix",
            host: "mx1.example.test",
            first: &first,
            command: &["postfix", "-c", &format!("{home_text}/etc"), "start-fg"],
        };
        let namespace = Namespace::start(place, &inside, address);
        Self {
            _namespace: namespace,
            address,
            inbox: home.join("mail/inbox/new"),
            log: home.join("log/maillog"),
        }
    }

    /// One attempt to send, by swaks, which tells Postfix by XCLIENT whom it plays.
    pub(crate) fn send(&self, mail: &Mail) -> Attempt {
        let mut claim = match mail.client {
            std::net::IpAddr::V4(ip) => format!("ADDR={ip}"),
            std::net::IpAddr::V6(ip) => format!("ADDR=IPV6:{ip}"),
        };
        if let Some(name) = &mail.client_name {
            claim.push_str(&format!(" NAME={name}"));
        }
        if let Some(login) = &mail.login {
            claim.push_str(&format!(" LOGIN={login}"));
        }
        world::attempt(self.address, &["--xclient", &claim], mail)
    }

    /// One attempt to send by a client on this host, which claims to be nobody else.
    pub(crate) fn send_locally(&self, mail: &Mail) -> Attempt {
        world::attempt(self.address, &[], mail)
    }

    /// An SMTP session that the test drives line by line.
    pub(crate) fn session(&self) -> Session {
        Session::open(self.address)
    }

    /// Waits until `count` mails with that subject lie in the mailboxes, and gives them.
    pub(crate) fn delivered(&self, subject: &str, count: usize) -> Vec<String> {
        let wanted = format!("\nSubject: {subject}\n");
        until(&format!("{count} mails with subject {subject:?}"), || {
            let mails: Vec<String> = fs::read_dir(&self.inbox)
                .ok()?
                .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
                .filter(|mail| mail.contains(&wanted))
                .collect();
            (mails.len() >= count).then_some(mails)
        })
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- maillog ----\n{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// Listens on loopback only, does no look-ups, lets loopback clients play anybody, and delivers
/// everything for `example.org` into one mailbox.
fn main_cf(home: &str, asking: &str) -> String {
    format!(
        "compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
maillog_file = {home}/log/maillog
maillog_file_prefixes = {home}
myhostname = mx1.example.test
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = all
mynetworks =
virtual_mailbox_domains = example.org
virtual_mailbox_base = {home}/mail
virtual_mailbox_maps = static:inbox/
virtual_uid_maps = static:{NOBODY}
virtual_gid_maps = static:{NOBODY}
default_transport = error:5.1.2 only example.org lives here
default_database_type = texthash
smtpd_peername_lookup = no
smtpd_authorized_xclient_hosts = 127.0.0.0/8
smtpd_client_connection_count_limit = 0
smtpd_relay_restrictions = reject_unauth_destination
{asking}"
    )
}

/// The services of a small Postfix, none chrooted; up to 250 SMTP sessions at once.
fn master_cf(address: SocketAddr) -> String {
    format!(
        "{address} inet n - n - 250 smtpd
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
proxymap  unix - - n - - proxymap
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
virtual   unix - n n - - virtual
error     unix - - n - - error
retry     unix - - n - - error
postlog   unix-dgram n - n - 1 postlogd
"
    )
}
