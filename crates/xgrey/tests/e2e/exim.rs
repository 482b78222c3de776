//! Debian's Exim, asking xgrey from its RCPT ACL by Postfix's protocol, delivering into a file.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::chown;
use std::path::PathBuf;

use crate::namespace::{Inside, Namespace};
use crate::place::Place;
use crate::wait::until;
use crate::world::{self, Attempt, Mail};

/// What an admin puts into the RCPT ACL, after the checks of who may relay; `HOST:PORT` stands
/// for where xgrey listens.
///
/// `readsocket` writes the request, shuts its side down, reads to the end and makes line ends
/// blanks. When nobody answers within five seconds, `action=DUNNO` lets the mail flow. An answer
/// is `action=` and a word (`DEFER_IF_PERMIT`, `REJECT`, `PREPEND`) or an SMTP code, which Exim
/// then uses. Exim has no `instance`, but adds no header line that the message has already.
const ACL: &str = r"
  warn
    set acl_m_xgrey = ${readsocket{inet:HOST:PORT}{request=smtpd_access_policy\n\
        protocol_state=RCPT\n\
        client_address=$sender_host_address\n\
        client_name=${if def:sender_host_name{$sender_host_name}{unknown}}\n\
        helo_name=$sender_helo_name\n\
        sender=$sender_address\n\
        recipient=$local_part@$domain\n\
        sasl_username=$authenticated_id\n\n}{5s}{ }{action=DUNNO}}
  deny
    condition = ${if match{$acl_m_xgrey}{^action=(REJECT|5)}}
    message = ${sg{$acl_m_xgrey}{\N^action=(REJECT )?|\s+$\N}{}}
  defer
    condition = ${if match{$acl_m_xgrey}{^action=(DEFER|4)}}
    message = ${sg{$acl_m_xgrey}{\N^action=(DEFER\w* )?|\s+$\N}{}}
  warn
    condition = ${if match{$acl_m_xgrey}{^action=PREPEND}}
    add_header = ${sg{$acl_m_xgrey}{\N^action=PREPEND |\s+$\N}{}}
";

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
    let acl = ACL.replace("HOST:PORT", &policy.to_string());
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
