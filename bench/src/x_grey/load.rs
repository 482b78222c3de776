//! Closed-loop load in datagrams: so many questions are out at once; the next one goes out when an answer is in.
//!
//! One socket and one thread, which takes all answers that have come with one system call, looks at each, and
//! sends as many new questions with another. So it costs no more than a server does, and it is the
//! server that limits the rate. A server doesn't see whether its askers share a socket, but in that the
//! kernel gives what comes from one address and port to one of its sockets.
//!
//! A question that is not answered in time is lost: the protocol has no retries. Latencies count from the moment
//! that a question is made to the moment that its batch of answers is read.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::batch::{self, Inbox, Outbox, Room};
use super::datagram::{Response, Type, read_answer};
use super::flight::Flight;
use crate::clock;

/// How long a wait for answers may be until the time is looked at.
const PATIENCE: Duration = Duration::from_millis(100);
/// How often questions that are overdue are looked for.
const OVERDUE_CHECK: Duration = Duration::from_millis(250);
/// The longest latency that is told apart from a longer one.
const LATENCY_MAX: Duration = Duration::from_secs(60);

/// What went wrong, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Errors {
    /// Questions without an answer in time.
    pub(super) lost: u64,
    /// Datagrams that were no answers: by length, checksum, version, type or response.
    pub(super) wrong: u64,
    /// Answers to no question that was out.
    pub(super) stray: u64,
    /// Questions that the kernel did not take, and times that it said that nobody listens.
    pub(super) refused: u64,
}

impl Errors {
    pub(super) const fn total(&self) -> u64 {
        self.lost + self.wrong + self.stray + self.refused
    }

    pub(super) const fn plus(self, other: Self) -> Self {
        Self {
            lost: self.lost + other.lost,
            wrong: self.wrong + other.wrong,
            stray: self.stray + other.stray,
            refused: self.refused + other.refused,
        }
    }
}

/// Reasons that the protocol has.
const REASONS: [&str; 8] = [
    "",
    " (IP)",
    " (from)",
    " (from-domain)",
    " (to)",
    " (to-domain)",
    " (greylist)",
    " (whitelist)",
];

/// How often each answer came, by response and reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said([[u64; REASONS.len() + 1]; 3]);

impl Said {
    pub(super) fn count(&mut self, response: Response, why: u16) {
        self.0[response as usize][usize::from(why).min(REASONS.len())] += 1;
    }

    /// The counts by name, such as `accept (whitelist)`.
    pub(super) fn by_name(&self) -> BTreeMap<String, u64> {
        let responses = ["greylist", "accept", "reject"];
        let rows = responses.into_iter().zip(&self.0);
        rows.flat_map(|(response, counts)| {
            let reasons = REASONS.into_iter().chain([" (no such reason)"]);
            reasons
                .zip(counts)
                .filter(|&(_, &count)| count > 0)
                .map(move |(reason, &count)| (format!("{response}{reason}"), count))
        })
        .collect()
    }
}

/// What was measured.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) answers: u64,
    /// Latencies in nanoseconds, to 0.1 %.
    pub(super) latency: Histogram<u64>,
    pub(super) said: Said,
    pub(super) errors: Errors,
}

impl Tally {
    /// Nothing yet.
    pub(super) fn new() -> anyhow::Result<Self> {
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX.as_nanos() as u64, 3)
            .context("a histogram of up to 60 seconds")?;
        Ok(Self { answers: 0, latency, said: Said::default(), errors: Errors::default() })
    }
}

/// What is asked.
pub(super) trait Asking {
    /// What answers are to.
    const TYPE: Type;

    /// Whether there is more to ask.
    fn has_more(&self) -> bool;

    /// Appends the next question, with this number.
    fn push(&mut self, number: u16, out: &mut Vec<u8>);
}

/// Questions that are out to one server.
pub(super) struct Load {
    socket: UdpSocket,
    room: Room,
    inbox: Inbox,
    outbox: Outbox,
    flight: Flight,
    timeout: Duration,
}

impl Load {
    /// A socket for `out` questions at once. One without an answer after `timeout` is lost.
    ///
    /// # Errors
    /// When the kernel gives no socket.
    pub(super) fn connect(
        server: SocketAddr,
        out: usize,
        timeout: Duration,
    ) -> anyhow::Result<Self> {
        let (socket, room) = batch::connect(server, PATIENCE)?;
        Ok(Self {
            socket,
            room,
            inbox: Inbox::new(),
            outbox: Outbox::default(),
            flight: Flight::new(out),
            timeout,
        })
    }

    /// How much may wait in its socket.
    pub(super) fn room(&self) -> Room {
        self.room
    }

    /// Asks and listens until `end`, or until there is nothing more to ask and all is answered. What is out
    /// at `end` stays so, for the next call.
    ///
    /// # Errors
    /// When the kernel refuses to receive, which is no fault of the server's.
    pub(super) fn run<A: Asking>(
        &mut self,
        asking: &mut A,
        end: Instant,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let mut now = clock::now();
        self.ask(asking, now, tally);
        let mut check = now + OVERDUE_CHECK;
        while self.flight.out() > 0 && now < end {
            let came = self.inbox.receive(&self.socket);
            now = clock::now();
            match came {
                Ok(()) => self.take(A::TYPE, now, tally),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
                    io::ErrorKind::ConnectionRefused => tally.errors.refused += 1,
                    _ => return Err(error).context("receive an answer"),
                },
            }
            if now >= check {
                tally.errors.lost += self.flight.give_up(now, self.timeout);
                check = now + OVERDUE_CHECK;
            }
            self.ask(asking, now, tally);
        }
        Ok(())
    }

    /// Waits for the answers that are still out, asks nothing more, and returns what went wrong.
    ///
    /// # Errors
    /// As [`Load::run`].
    pub(super) fn finish<A: Asking>(mut self, _: &A) -> anyhow::Result<Tally> {
        let mut tally = Tally::new()?;
        let end = clock::now() + self.timeout;
        self.run(&mut Nothing::<A>(std::marker::PhantomData), end, &mut tally)?;
        tally.errors.lost += self.flight.out() as u64;
        Ok(tally)
    }

    /// Looks at what has come.
    fn take(&mut self, kind: Type, now: Instant, tally: &mut Tally) {
        for (_, bytes) in self.inbox.iter() {
            let Some(answer) = read_answer(kind, bytes) else {
                tally.errors.wrong += 1;
                continue;
            };
            let Some(asked) = self.flight.answered(answer.mta) else {
                tally.errors.stray += 1;
                continue;
            };
            tally.answers += 1;
            tally.latency.saturating_record((now - asked).as_nanos() as u64);
            tally.said.count(answer.response, answer.why);
        }
    }

    /// Asks as much as may be out.
    fn ask(&mut self, asking: &mut impl Asking, now: Instant, tally: &mut Tally) {
        while asking.has_more() && self.flight.has_room() {
            while asking.has_more() && self.outbox.room() > 0 {
                let Some(number) = self.flight.ask(now) else { break };
                self.outbox.add(None, |out| asking.push(number, out));
            }
            tally.errors.refused += self.outbox.send(&self.socket);
        }
    }
}

/// Asks nothing more.
struct Nothing<A>(std::marker::PhantomData<A>);

impl<A: Asking> Asking for Nothing<A> {
    const TYPE: Type = A::TYPE;

    fn has_more(&self) -> bool {
        false
    }

    fn push(&mut self, _: u16, _: &mut Vec<u8>) {}
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::thread;

    use super::super::datagram::{push_null_answer, push_tuple};
    use super::*;

    /// Longer than anything here takes.
    const PLENTY: Duration = Duration::from_secs(60);

    struct Few {
        left: usize,
    }

    impl Asking for Few {
        const TYPE: Type = Type::Greylist;

        fn has_more(&self) -> bool {
            self.left > 0
        }

        fn push(&mut self, number: u16, out: &mut Vec<u8>) {
            self.left -= 1;
            push_tuple(Type::Greylist, number, (Ipv4Addr::LOCALHOST, b"a@example.net", b""), out);
        }
    }

    /// Asks `times` questions, `out` at once, of a server that gives each question to `answer`, which
    /// writes what is sent back, until it has seen all.
    fn run(
        (times, out): (usize, usize),
        timeout: Duration,
        answer: fn(usize, &[u8]) -> Vec<Vec<u8>>,
    ) -> Tally {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let mut buffer = [0; 2_000];
            for number in 0..times {
                let (length, from) = server.recv_from(&mut buffer).unwrap();
                for answer in answer(number, &buffer[..length]) {
                    server.send_to(&answer, from).unwrap();
                }
            }
            server
        });
        let mut load = Load::connect(address, out, timeout).unwrap();
        let mut asking = Few { left: times };
        let mut tally = Tally::new().unwrap();
        load.run(&mut asking, clock::now() + PLENTY, &mut tally).unwrap();
        let rest = load.finish(&asking).unwrap();
        assert_eq!(rest.answers, 0);
        tally.errors = tally.errors.plus(rest.errors);
        drop(thread.join());
        tally
    }

    fn right(question: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        push_null_answer(question, &mut out);
        out
    }

    #[test]
    fn all_questions_are_asked_and_answered() {
        for (times, out) in [(1, 1), (5, 1), (1_000, 100), (3, 100)] {
            let tally = run((times, out), PLENTY, |_, question| vec![right(question)]);
            assert_eq!((tally.answers, tally.errors), (times as u64, Errors::default()));
            assert_eq!(
                tally.said.by_name(),
                [("greylist (greylist)".to_owned(), times as u64)].into()
            );
            assert_eq!(tally.latency.len(), times as u64);
        }
    }

    #[test]
    fn what_is_wrong_is_counted_by_what_is_wrong_with_it() {
        let tally = run((4, 1), Duration::from_millis(1), |number, question| {
            let answer = right(question);
            let mut broken = answer.clone();
            broken[12] ^= 1;
            match number {
                0 => vec![broken, answer],
                1 => vec![answer.clone(), answer],
                2 => vec![],
                _ => vec![answer],
            }
        });
        let Errors { lost, wrong, stray, refused } = tally.errors;
        assert_eq!((wrong, refused), (1, 0));
        // Whether the others were in time is the machine's to say; the one that was never answered was not.
        assert!(lost >= 1 && stray >= 1, "{:?}", tally.errors);
        assert_eq!(tally.answers + lost, 4);
    }

    #[test]
    fn a_server_that_is_not_there_is_an_error_and_not_a_wait() {
        let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = nobody.local_addr().unwrap();
        drop(nobody);
        let mut load = Load::connect(address, 1, Duration::from_millis(1)).unwrap();
        let mut asking = Few { left: 1 };
        let mut tally = Tally::new().unwrap();
        load.run(&mut asking, clock::now() + PLENTY, &mut tally).unwrap();
        assert_eq!((tally.answers, tally.errors.lost), (0, 1));
        assert!(tally.errors.refused >= 1);
    }
}
