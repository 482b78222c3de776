//! Debian's OpenSMTPD, with our filter as the manual says, delivering into a folder.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};

use crate::manual;
use crate::namespace::{Inside, Namespace};
use crate::place::Place;
use crate::smtp::Session;
use crate::wait::until;
use crate::world::{self, Attempt, Mail, NOBODY};

/// A running OpenSMTPD with two SMTP listeners and its socket for programs on this host.
pub(crate) struct OpenSmtpd {
    namespace: Namespace,
    /// Takes clients for whom they are.
    address: SocketAddr,
    /// Is told by PROXY v2 who the client is.
    proxied: SocketAddr,
    inbox: PathBuf,
    config: String,
    program: String,
}

impl OpenSmtpd {
    /// Starts OpenSMTPD, whose filter asks xgrey at `policy` and has these flags too.
    pub(crate) fn start(place: &Place, policy: &str, flags: &str) -> Self {
        let (address, proxied) = (Place::address(), Place::address());
        let home = place.make_folder("opensmtpd");
        let mail = place.make_folder("opensmtpd/mail");
        chown(&mail, Some(NOBODY), Some(NOBODY)).unwrap();
        let program = program(place);
        let filter = format!("{program} filter opensmtpd --policy {policy} {flags}");
        let text = configuration(&filter, [address, proxied], mail.to_str().unwrap());
        let config = place.write("opensmtpd/smtpd.conf", &text).to_str().unwrap().to_owned();
        let first = "for name in opensmtpd opensmtpq; do
               id $name >/dev/null 2>&1 || useradd -r -M -d /nonexistent -s /usr/sbin/nologin $name
             done
             mkdir -p /var/spool/smtpd /var/lib/opensmtpd/empty
             chmod 711 /var/spool/smtpd
             chgrp opensmtpq /usr/sbin/smtpctl
             chmod 2555 /usr/sbin/smtpctl
             echo mx4.example.test > /etc/mailname";
        let inside = Inside {
            package: "opensmtpd",
            host: "mx4.example.test",
            first,
            command: &["smtpd", "-d", "-v", "-f", &config],
        };
        let namespace = Namespace::start(place, &inside, address);
        Self { namespace, address, proxied, inbox: home.join("mail/new"), config, program }
    }

    /// One attempt to send, by swaks, which tells smtpd by PROXY v2 whom it plays.
    pub(crate) fn send(&self, mail: &Mail) -> Attempt {
        let client = mail.client.to_string();
        let (family, server) = match mail.client {
            IpAddr::V4(_) => ("AF_INET", "192.0.2.1"),
            IpAddr::V6(_) => ("AF_INET6", "2001:db8::1"),
        };
        let claim = [
            ["--proxy-version", "2"],
            ["--proxy-family", family],
            ["--proxy-source", &client],
            ["--proxy-source-port", "40000"],
            ["--proxy-dest", server],
            ["--proxy-dest-port", "25"],
        ];
        world::attempt(self.proxied, claim.as_flattened(), mail)
    }

    /// One attempt to send from that address of this host.
    pub(crate) fn send_from(&self, source: &str, mail: &Mail) -> Attempt {
        world::attempt(self.address, &["--local-interface", source], mail)
    }

    /// Sends as a program on this host does, by `sendmail`, which must be able to.
    pub(crate) fn send_by_program(&self, mail: &Mail) {
        let Mail { sender, subject, .. } = mail;
        let to = mail.recipients.join(" ");
        let script = format!(
            "printf 'Subject: {subject}\\n\\nhello\\n' | /usr/sbin/sendmail -f {sender} {to}"
        );
        let ended = self.namespace.run(&["sh", "-c", &script]);
        assert_eq!(ended.code, Some(0), "not taken: {}", ended.output);
    }

    /// An SMTP session of that client, which the test drives line by line.
    pub(crate) fn session(&self, client: [u8; 4]) -> Session {
        Session::open_after(self.proxied, &proxy_header(client))
    }

    /// Waits until `count` mails with that subject lie in the mailbox, and gives them.
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

    /// Waits until smtpd, or the filter through it, has said something with `needle` in it.
    pub(crate) fn wait_for_output(&self, needle: &str) {
        until(&format!("{needle:?} in what smtpd says"), || {
            self.namespace.output().contains(needle).then_some(())
        });
    }

    /// The filter's process id.
    pub(crate) fn filter(&self) -> i32 {
        until("the filter", || {
            processes().find(|pid| command_line(*pid).starts_with(&self.program))
        })
    }

    /// Ends smtpd itself, as an admin does; what is then still there lives on.
    pub(crate) fn stop(&self) {
        let is_smtpd = |pid: &i32| {
            let line = command_line(*pid);
            line.starts_with("smtpd\0") && line.contains(&self.config)
        };
        let first = processes().filter(is_smtpd).min().expect("smtpd runs");
        kill_process(Pid::from_raw(first).unwrap(), Signal::TERM).unwrap();
    }
}

/// The arguments of a process, each with a NUL behind it; nothing if it has gone.
fn command_line(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The program under test where `nobody` may run it: the folder it was built in may be root's alone.
fn program(place: &Place) -> String {
    let path = place.path("xgrey");
    let built = env!("CARGO_BIN_EXE_xgrey");
    if fs::hard_link(built, &path).is_err() {
        fs::copy(built, &path).unwrap();
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What a load balancer says of an IPv4 client (PROXY protocol, version 2).
fn proxy_header(client: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend_from_slice(&client);
    header.extend_from_slice(&[192, 0, 2, 1]);
    header.extend_from_slice(&40_000_u16.to_be_bytes());
    header.extend_from_slice(&25_u16.to_be_bytes());
    header
}

/// Listens on loopback only, and delivers everything for `example.org` into one folder.
fn configuration(filter: &str, [address, proxied]: [SocketAddr; 2], mail: &str) -> String {
    let example = manual::block(manual::OPENSMTPD, "proc-exec");
    let example = example.replace("/usr/bin/xgrey filter opensmtpd", filter);
    let at = |address: SocketAddr| format!("listen on {} port {}", address.ip(), address.port());
    let direct = example.replace("listen on 0.0.0.0 port 25", &at(address));
    assert!(direct.contains(&at(address)), "the example has another listener:\n{example}");
    format!(
        "{direct}
{proxied} proxy-v2 filter \"xgrey\"
listen on socket filter \"xgrey\"
table users {{ \"@\" = \"nobody\" }}
action inbox maildir \"{mail}\" virtual <users>
match from any for domain \"example.org\" action inbox
",
        proxied = at(proxied)
    )
}
