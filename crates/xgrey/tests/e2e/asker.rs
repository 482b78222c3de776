//! Questions over the policy protocol, as a mail server asks them, for tests to which only the
//! answers matter.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::server::Settings;
use crate::wait::until;

/// An embargo that is over before a test gets tired of waiting.
pub(crate) const SHORT: Settings<'_> = Settings { keys: "embargo = \"1s\"", tables: "" };

/// What is said of a tuple that has passed before.
const KNOWN: &str = "action=DUNNO";

fn request(sender: &str) -> String {
    format!(
        "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=192.0.2.7\n\
         client_name=mail.example.net\nsender={sender}\nrecipient=bob@example.org\n\n"
    )
}

/// The answers to those requests, on a connection of their own.
fn answers(address: SocketAddr, requests: &str) -> Vec<String> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(requests.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut bytes = String::new();
    stream.read_to_string(&mut bytes).unwrap();
    bytes.split_terminator("\n\n").map(str::to_owned).collect()
}

/// Asks once.
pub(crate) fn ask(address: SocketAddr, sender: &str) -> String {
    let answers = answers(address, &request(sender));
    assert_eq!(answers.len(), 1, "one question, one answer: {answers:?}");
    answers.into_iter().next().unwrap()
}

/// Asks again and again until the sender is known.
pub(crate) fn let_pass(address: SocketAddr, sender: &str) {
    assert!(ask(address, sender).starts_with("action=DEFER_IF_PERMIT "), "{sender} is not new");
    until(&format!("{sender} to pass"), || is_known(address, sender).then_some(()));
}

/// Whether the sender has passed before.
pub(crate) fn is_known(address: SocketAddr, sender: &str) -> bool {
    ask(address, sender) == KNOWN
}

/// Asks for so many new tuples, whose senders begin with that.
pub(crate) fn ask_for_new(address: SocketAddr, prefix: &str, count: u32) {
    /// As many as fit into a socket's buffers, requests and answers.
    const AT_ONCE: u32 = 100;
    for first in (0..count).step_by(AT_ONCE as usize) {
        let last = count.min(first + AT_ONCE);
        let requests: String =
            (first..last).map(|n| request(&format!("{prefix}{n}@example.net"))).collect();
        let answers = answers(address, &requests);
        let deferred =
            answers.iter().filter(|answer| answer.starts_with("action=DEFER_IF_PERMIT "));
        assert_eq!(deferred.count(), (last - first) as usize, "{answers:?}");
    }
}
