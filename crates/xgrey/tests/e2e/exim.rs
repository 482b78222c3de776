//! Debian's Exim, asking xgrey from its ACLs, delivering into a file.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use crate::manual;
use crate::namespace::{Inside, Namespace};
use crate::place::Place;
use crate::process::Ended;
use crate::wait::until;
use crate::world::{self, Attempt, Mail};

/// How it asks.
#[derive(Clone, Copy)]
pub(crate) enum Asks<'a> {
    /// As the manual says, by Postfix's protocol.
    Policy(SocketAddr),
    /// As the ACLs of Debian's `greylistd` do, put in by that package's own program, with the socket at
    /// the path that they expect. `setup`: further arguments for that program.
    Greylistd { socket: &'a Path, setup: &'a str },
}

/// A running Exim with one SMTP listener.
pub(crate) struct Exim {
    namespace: Namespace,
    address: SocketAddr,
    home: PathBuf,
}

impl Exim {
    /// Starts Exim, which asks xgrey like that.
    pub(crate) fn start(place: &Place, asks: Asks<'_>) -> Self {
        let address = Place::address();
        let home = place.make_folder("exim");
        for folder in ["spool", "log", "mail"] {
            place.make_folder(&format!("exim/{folder}"));
        }
        chown(home.join("mail"), Some(world::NOBODY), Some(world::NOBODY)).unwrap();
        let home_text = home.to_str().unwrap();
        place.write("exim/exim.conf", &configuration(home_text, address, asks));
        let mut first = format!(
            "id Debian-exim >/dev/null 2>&1 || useradd -r -M -d /nonexistent -s /usr/sbin/nologin Debian-exim
             chown -R Debian-exim {home_text}/spool {home_text}/log
             mkdir -p /etc/exim4
             cp {home_text}/exim.conf /etc/exim4/exim4.conf
"
        );
        let package = match asks {
            Asks::Policy(_) => "exim",
            Asks::Greylistd { socket, setup } => {
                let socket = socket.display();
                first.push_str(&format!(
                    "mkdir -p /var/run/greylistd
                     ln -s {socket} /var/run/greylistd/socket
                     for acl in acl_check_rcpt acl_check_data; do
                       greylistd-setup-exim4 add /etc/exim4/exim4.conf $acl -no-reload {setup}
                     done
                     cp /etc/exim4/exim4.conf {home_text}/with-greylistd.conf
"
                ));
                "exim-greylistd"
            }
        };
        let inside = Inside {
            package,
            host: "mx2.example.test",
            first: &first,
            command: &["exim4", "-bdf", "-q10m"],
        };
        let namespace = Namespace::start(place, &inside, address);
        Self { namespace, address, home }
    }

    /// Runs another program where Exim runs.
    pub(crate) fn run(&self, command: &[&str]) -> Ended {
        self.namespace.run(command)
    }

    /// What Exim has written to its main log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.join("log/mainlog")).unwrap_or_default()
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
fn configuration(home: &str, address: SocketAddr, asks: Asks<'_>) -> String {
    let (ip, port) = (address.ip(), address.port());
    let acl = match asks {
        Asks::Policy(policy) => manual::block(manual::EXIM, "protocol_state=RCPT")
            .replace(manual::LISTENER, &policy.to_string()),
        Asks::Greylistd { .. } => String::new(),
    };
    format!(
        "spool_directory = {home}/spool
log_file_path = {home}/log/%slog
pid_file_path = {home}/exim.pid
primary_hostname = mx2.example.test
daemon_smtp_ports = {port}
local_interfaces = {ip}
domainlist local_domains = example.org
domainlist relay_to_domains =
hostlist relay_from_hosts =
host_lookup =
rfc1413_query_timeout = 0s
dns_again_means_nonexist = *
keep_environment =
hosts_proxy = 127.0.0.0/8
tls_advertise_hosts =
smtp_accept_max = 100
acl_smtp_rcpt = acl_check_rcpt
acl_smtp_data = acl_check_data

begin acl
acl_local_deny_exceptions:
  deny

acl_check_rcpt:
  require domains = +local_domains
{acl}
  accept

acl_check_data:
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
