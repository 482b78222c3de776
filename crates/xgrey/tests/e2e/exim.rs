//! Debian's Exim, asking xgrey from its RCPT ACL as the manual says, delivering into a file.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::chown;
use std::path::PathBuf;

use crate::manual;
use crate::namespace::{Inside, Namespace};
use crate::place::Place;
use crate::wait::until;
use crate::world::{self, Attempt, Mail};

/// A running Exim with one SMTP listener.
pub(crate) struct Exim {
    _namespace: Namespace,
    address: SocketAddr,
    home: PathBuf,
}

impl Exim {
    /// Starts Exim, which asks xgrey at `policy`.
    pub(crate) fn start(place: &Place, policy: SocketAddr) -> Self {
        let address = Place::address();
        let home = place.make_folder("exim");
        for folder in ["spool", "log", "mail"] {
            place.make_folder(&format!("exim/{folder}"));
        }
        chown(home.join("mail"), Some(world::NOBODY), Some(world::NOBODY)).unwrap();
        let home_text = home.to_str().unwrap();
        place.write("exim/exim.conf", &configuration(home_text, address, policy));
        let first = format!(
            "id Debian-exim >/dev/null 2>&1 || useradd -r -M -d /nonexistent -s /usr/sbin/nologin Debian-exim
             chown -R Debian-exim {home_text}/spool {home_text}/log
             mkdir -p /etc/exim4
             cp {home_text}/exim.conf /etc/exim4/exim4.conf"
        );
        let inside = Inside {
            package: "exim",
            host: "mx2.example.test",
            first: &first,
            command: &["exim4", "-bdf", "-q10m"],
        };
        let namespace = Namespace::start(place, &inside, address);
        Self { _namespace: namespace, address, home }
    }

    /// One attempt to send, by swaks, which tells Exim by the PROXY protocol whom it plays.
    pub(crate) fn send(&self, mail: &Mail) -> Attempt {
        let claim = match mail.client {
            IpAddr::V4(ip) => format!("TCP4 {ip} 192.0.2.1 40000 25"),
            IpAddr::V6(ip) => format!("TCP6 {ip} 2001:db8::1 40000 25"),
        };
        world::attempt(self.address, &["--proxy", &claim], mail)
    }

    /// Waits until `count` mails with that subject have been delivered, and gives them.
    pub(crate) fn delivered(&self, subject: &str, count: usize) -> Vec<String> {
        let wanted = format!("\nSubject: {subject}\n");
        until(&format!("{count} mails with subject {subject:?}"), || {
            let inbox = fs::read_to_string(self.home.join("mail/inbox")).ok()?;
            // A blank line and `From ` begin each next mail of a mailbox in the old Unix form.
            let mails: Vec<String> = inbox
                .split("\n\nFrom ")
                .filter(|mail| mail.contains(&wanted))
                .map(str::to_owned)
                .collect();
            (mails.len() >= count).then_some(mails)
        })
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for log in ["mainlog", "rejectlog", "paniclog"] {
                let path = self.home.join("log").join(log);
                eprintln!("---- {log} ----\n{}", fs::read_to_string(path).unwrap_or_default());
            }
        }
    }
}

/// Listens on loopback only, lets loopback clients play anybody, and delivers everything for
/// `example.org` into one file.
fn configuration(home: &str, address: SocketAddr, policy: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    let acl =
        manual::block(manual::EXIM, "readsocket").replace(manual::LISTENER, &policy.to_string());
    format!(
        "spool_directory = {home}/spool
log_file_path = {home}/log/%slog
pid_file_path = {home}/exim.pid
primary_hostname = mx2.example.test
daemon_smtp_ports = {port}
local_interfaces = {ip}
domainlist home = example.org
host_lookup =
rfc1413_query_timeout = 0s
dns_again_means_nonexist = *
keep_environment =
hosts_proxy = 127.0.0.0/8
tls_advertise_hosts =
smtp_accept_max = 100
acl_smtp_rcpt = check_rcpt

begin acl
check_rcpt:
  require domains = +home
{acl}
  accept

begin routers
home:
  driver = accept
  transport = file

begin transports
file:
  driver = appendfile
  file = {home}/mail/inbox
  create_file = anywhere
  user = nobody
  group = nogroup

begin retry
* * F,1h,1m
begin rewrite
begin authenticators
"
    )
}
