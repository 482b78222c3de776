//! A session of SMTP that a test drives line by line: for many at once, and for standing still in
//! the middle of one, which swaks cannot.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// A reply is waited for this long: a mail server with 200 sessions to open takes its time.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// An open session.
pub(crate) struct Session {
    stream: BufReader<TcpStream>,
}

impl Session {
    /// Connects and reads the greeting.
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(REPLY_TIMEOUT)).unwrap();
        let mut session = Self { stream: BufReader::new(stream) };
        session.expect_greeting();
        session
    }

    /// The same, but says something before anything else.
    pub(crate) fn open_after(address: SocketAddr, first: &[u8]) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(first).unwrap();
        Self::over(stream)
    }

    /// The same from a client at that address, which must be one of this host's.
    pub(crate) fn open_from(client: &str, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let client: SocketAddr = format!("{client}:0").parse().unwrap();
        socket.bind(&client.into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::over(socket.into())
    }

    /// Plays another client; the mail server greets anew.
    pub(crate) fn play(&mut self, client: &str) {
        self.say_expecting("EHLO mail.sender.test", "250");
        self.say_expecting(&format!("XCLIENT ADDR={client}"), "220");
        self.say_expecting("EHLO mail.sender.test", "250");
    }

    /// Says a line and gives the last line of the reply.
    pub(crate) fn say(&mut self, line: &str) -> String {
        let stream = self.stream.get_mut();
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.read_reply()
    }

    /// Says a line that must be answered with that code.
    pub(crate) fn say_expecting(&mut self, line: &str, code: &str) -> String {
        let reply = self.say(line);
        assert!(reply.starts_with(code), "{line:?} was answered {reply:?}");
        reply
    }

    /// Sends a short message after an accepted RCPT and takes leave.
    pub(crate) fn finish(mut self, subject: &str) {
        self.say_expecting("DATA", "354");
        self.say_expecting(&format!("Subject: {subject}\r\n\r\nhello\r\n."), "250");
        self.say_expecting("QUIT", "221");
    }

    fn expect_greeting(&mut self) {
        let greeting = self.read_reply();
        assert!(greeting.starts_with("220"), "greeted with {greeting:?}");
    }

    fn read_reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            let count = self.stream.read_line(&mut line).unwrap();
            assert!(count > 0, "the mail server hung up");
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }
}
