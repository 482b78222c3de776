//! Debian's Sendmail, asking xgrey as a milter as the manual says, delivering into files.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;

use crate::manual;
use crate::namespace::{Inside, Namespace};
use crate::place::Place;
use crate::smtp::Session;
use crate::wait::until;
use crate::world::{self, Attempt, Mail, NOBODY};

/// The folder of a test's place that Sendmail sees as `/run/xgrey`.
pub(crate) const SOCKETS: &str = "sockets";

/// A running Sendmail with one SMTP listener.
pub(crate) struct Sendmail {
    _namespace: Namespace,
    address: SocketAddr,
    home: PathBuf,
}

impl Sendmail {
    /// Starts Sendmail with the line that an admin pastes into `sendmail.mc`; `milter` is where xgrey
    /// listens, as Sendmail writes it (`inet:9992@127.0.0.1`, `local:/run/xgrey/milter.sock`).
    pub(crate) fn start(place: &Place, milter: &str) -> Self {
        let address = Place::address();
        let home = place.make_folder("sendmail");
        for folder in ["queue", "run", "mail"] {
            place.make_folder(&format!("sendmail/{folder}"));
        }
        fs::set_permissions(home.join("queue"), fs::Permissions::from_mode(0o700)).unwrap();
        chown(home.join("mail"), Some(NOBODY), Some(NOBODY)).unwrap();
        let home_text = home.to_str().unwrap();
        place.write("sendmail/xg.mc", &configuration(home_text, address, milter));
        place.write("sendmail/service.switch", "hosts files\naliases files\n");
        place.write(
            "sendmail/deliver",
            &format!("#!/bin/sh\nexec cat > \"$(mktemp {home_text}/mail/XXXXXXXX)\"\n"),
        );
        let deliver = fs::Permissions::from_mode(0o755);
        fs::set_permissions(home.join("deliver"), deliver).unwrap();
        // Sendmail refuses a socket below a folder that everybody may write to, such as /tmp.
        let sockets = place.make_folder(SOCKETS);
        let sockets = sockets.to_str().unwrap();
        let first = format!(
            "mkdir -p /run/xgrey
             mount --bind {sockets} /run/xgrey
             m4 -D_CF_DIR_=/usr/share/sendmail/cf/ /usr/share/sendmail/cf/m4/cf.m4 {home_text}/xg.mc \
             > {home_text}/xg.cf"
        );
        let inside = Inside {
            package: "sendmail",
            host: "mx3.example.test",
            first: &first,
            command: &[
                "/usr/libexec/sendmail/sendmail",
                "-C",
                &format!("{home_text}/xg.cf"),
                "-bD",
                "-X",
                &format!("{home_text}/traffic"),
            ],
        };
        let namespace = Namespace::start(place, &inside, address);
        Self { _namespace: namespace, address, home }
    }

    /// One attempt to send, by swaks, from the client's own address, which must be one of
    /// 127.0.0.0/8: Sendmail has no way to play anybody else.
    pub(crate) fn send(&self, mail: &Mail) -> Attempt {
        world::attempt(self.address, &["--local-interface", &mail.client.to_string()], mail)
    }

    /// An SMTP session that the test drives line by line, by a client at that address.
    pub(crate) fn session(&self, client: &str) -> Session {
        Session::open_from(client, self.address)
    }

    /// Waits until `count` mails with that subject were delivered, and gives them.
    pub(crate) fn delivered(&self, subject: &str, count: usize) -> Vec<String> {
        let wanted = format!("\nSubject: {subject}\n");
        until(&format!("{count} mails with subject {subject:?}"), || {
            let mails: Vec<String> = fs::read_dir(self.home.join("mail"))
                .ok()?
                .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
                // Of one that is still being written the end is missing.
                .filter(|mail| mail.contains(&wanted) && mail.ends_with('\n'))
                .collect();
            (mails.len() >= count).then_some(mails)
        })
    }
}

impl Drop for Sendmail {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let traffic = fs::read_to_string(self.home.join("traffic"));
            eprintln!("---- traffic ----\n{}", traffic.unwrap_or_default());
        }
    }
}

/// Listens on loopback only, looks names up in /etc/hosts only, and delivers everything for
/// `example.org` into files.
fn configuration(home: &str, address: SocketAddr, milter: &str) -> String {
    let filter =
        manual::block(manual::SENDMAIL, "INPUT_MAIL_FILTER").replace("inet:9992@127.0.0.1", milter);
    let (ip, port) = (address.ip(), address.port());
    format!(
        "divert(0)dnl
VERSIONID(`xgrey')
OSTYPE(`debian')dnl
define(`confDONT_BLAME_SENDMAIL', `GroupWritableDirPathSafe,AssumeSafeChown')dnl
define(`QUEUE_DIR', `{home}/queue')dnl
define(`STATUS_FILE', `{home}/statistics')dnl
define(`HELP_FILE', `{home}/helpfile')dnl
define(`ALIAS_FILE', `')dnl
define(`confPID_FILE', `{home}/run/sendmail.pid')dnl
define(`confCONTROL_SOCKET_NAME', `')dnl
define(`confHOST_STATUS_DIRECTORY', `')dnl
define(`confCW_FILE', `')dnl
define(`confDOMAIN_NAME', `mx3.example.test')dnl
define(`confSERVICE_SWITCH_FILE', `{home}/service.switch')dnl
define(`confCONNECTION_RATE_THROTTLE', `0')dnl
define(`confMAX_DAEMON_CHILDREN', `0')dnl
define(`confREFUSE_LA', `1000')dnl
define(`confQUEUE_LA', `1000')dnl
define(`confDELAY_LA', `1000')dnl
define(`confTO_IDENT', `0')dnl
define(`confPRIVACY_FLAGS', `')dnl
define(`confDEF_USER_ID', `nobody:nogroup')dnl
define(`confDELIVERY_MODE', `background')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
DAEMON_OPTIONS(`Family=inet, Name=MTA, Addr={ip}, Port={port}, Listen=100')dnl
RELAY_DOMAIN(`example.org')dnl
{filter}
LOCAL_CONFIG
LOCAL_RULE_0
R$+ < @ example.org . > $*\t$#xgfile $@ example.org $: $1 < @ example.org . > $2
MAILER_DEFINITIONS
MAILER(`local')dnl
MAILER(`smtp')dnl
Mxgfile, P={home}/deliver, F=lsDFMqPSu, U=nobody:nogroup, A=deliver $u
"
    )
}
