//! The world outside: mails, and swaks, which sends them as their senders would.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::process::run;

/// Who owns delivered mail: `nobody`, on every Debian.
pub(crate) const NOBODY: u32 = 65_534;

/// A mail that somebody wants to send.
#[derive(Clone)]
pub(crate) struct Mail {
    pub(crate) client: IpAddr,
    pub(crate) client_name: Option<String>,
    pub(crate) login: Option<String>,
    pub(crate) sender: String,
    pub(crate) recipients: Vec<String>,
    /// Told apart by this in the mailbox: no two mails have the same.
    pub(crate) subject: String,
}

impl Mail {
    /// A mail from that client, sender, to that recipient.
    pub(crate) fn new(client: &str, sender: &str, recipient: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        Self {
            client: client.parse().unwrap(),
            client_name: None,
            login: None,
            sender: sender.to_owned(),
            recipients: vec![recipient.to_owned()],
            subject: format!("mail number {}", COUNT.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// The same, also to somebody else.
    pub(crate) fn also_to(mut self, recipient: &str) -> Self {
        self.recipients.push(recipient.to_owned());
        self
    }

    /// The same, from a client whose name is confirmed.
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.client_name = Some(name.to_owned());
        self
    }

    /// The same, from a client who has logged in.
    pub(crate) fn logged_in_as(mut self, login: &str) -> Self {
        self.login = Some(login.to_owned());
        self
    }

    /// The same, from another client.
    pub(crate) fn by_client(mut self, client: &str) -> Self {
        self.client = client.parse().unwrap();
        self
    }
}

/// What became of one attempt to send a mail.
pub(crate) struct Attempt {
    /// Whether swaks ended well: the mail server has taken the mail.
    pub(crate) is_taken: bool,
    /// The mail server's reply to each recipient, in order: `450 4.7.1 <...>: ...`.
    pub(crate) replies: Vec<String>,
    /// All that was said, for a failed test's output.
    pub(crate) transcript: String,
}

impl Attempt {
    /// The reply to the only recipient.
    pub(crate) fn reply(&self) -> &str {
        assert_eq!(self.replies.len(), 1, "one recipient, one reply:\n{}", self.transcript);
        &self.replies[0]
    }

    /// # Panics
    /// Unless each recipient was put off or refused with that code and a text that ends like this.
    pub(crate) fn assert_refused(&self, code: &str, ending: &str) {
        assert!(!self.is_taken && !self.replies.is_empty(), "not refused:\n{}", self.transcript);
        for reply in &self.replies {
            assert!(reply.starts_with(code) && reply.ends_with(ending), "got {reply:?}");
        }
    }

    /// # Panics
    /// Unless the mail server has taken the mail for every recipient.
    pub(crate) fn assert_taken(&self) {
        let all = self.replies.iter().all(|reply| reply.starts_with("250 "));
        assert!(self.is_taken && all, "not taken:\n{}", self.transcript);
    }
}

/// The lines of a delivered mail that say how long it was delayed.
pub(crate) fn greylist_headers(mail: &str) -> Vec<&str> {
    mail.lines().filter(|line| line.starts_with("X-Greylist:")).collect()
}

/// A retry is made this often before a test gives up: at some 0.2 s each, 40 s.
const TRIES_MAX: u32 = 200;

/// Tries again, as a mail server would, until `is_enough`.
///
/// # Panics
/// After 200 tries, with the last one's transcript.
pub(crate) fn retry(
    mut send: impl FnMut() -> Attempt,
    is_enough: impl Fn(&Attempt) -> bool,
) -> Attempt {
    let mut last = send();
    for _ in 1..TRIES_MAX {
        if is_enough(&last) {
            return last;
        }
        crate::wait::pause();
        last = send();
    }
    panic!("gave up after {TRIES_MAX} tries; the last:\n{}", last.transcript);
}

/// Lets swaks make one attempt to send `mail` through the mail server at `address`; `claim` are
/// the arguments by which it plays somebody else.
pub(crate) fn attempt(address: SocketAddr, claim: &[&str], mail: &Mail) -> Attempt {
    let mut command = Command::new("swaks");
    command
        .args(["--server", &address.to_string(), "--timeout", "30s"])
        .args(["--helo", "mail.sender.test", "--from", &mail.sender])
        .args(["--to", &mail.recipients.join(","), "--body", "hello"])
        .args(["--header", &format!("Subject: {}", mail.subject)])
        .args(claim);
    let ended = run(&mut command);
    // 0: sent; 24: no recipient was accepted; 26: refused after its data. All else is a fault of the
    // test or of its world.
    assert!(matches!(ended.code, Some(0 | 24 | 26)), "swaks ended oddly:\n{}", ended.output);
    Attempt {
        is_taken: ended.code == Some(0),
        replies: replies_to_recipients(&ended.output),
        transcript: ended.output,
    }
}

/// Finds the replies to RCPT in what swaks prints: ` -> ` before what it says, `<-  ` or `<** `
/// before what the server says. Of a reply in several lines the texts are put together.
fn replies_to_recipients(transcript: &str) -> Vec<String> {
    let mut replies = Vec::new();
    let mut reply: Option<String> = None;
    let mut is_waiting = false;
    for line in transcript.lines() {
        if let Some(said) = line.strip_prefix(" -> ") {
            is_waiting = said.starts_with("RCPT TO:");
        } else if let Some(heard) = line.strip_prefix("<-  ").or_else(|| line.strip_prefix("<** "))
            && is_waiting
        {
            let goes_on = heard.as_bytes().get(3) == Some(&b'-');
            let text = heard.get(4..).unwrap_or_default().trim();
            match &mut reply {
                Some(reply) => *reply = format!("{reply} {text}"),
                None => reply = Some(format!("{} {text}", heard.get(..3).unwrap_or_default())),
            }
            if !goes_on {
                replies.extend(reply.take());
                is_waiting = false;
            }
        }
    }
    replies
}
