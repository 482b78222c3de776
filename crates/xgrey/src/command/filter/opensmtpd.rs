//! `xgrey filter opensmtpd`: between smtpd, which starts it and writes to it about all its sessions, and the
//! service.
//!
//! ```text
//!  smtpd ─ reports, requests ─▶ this thread ─ questions ─▶ askers ─ policy protocol ─▶ xgrey serve
//!    ▲                             │                         │
//!    └──────── answers ────────────┴─────────────────────────┘
//! ```
//! Every request gets its answer, at once or from an asker by the deadline; when in doubt it is "proceed". The
//! service decides, about those who have logged in too; the filter only lets in whom it could not ask about.

use std::io::{self, IsTerminal as _, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use wire::opensmtpd::{self as smtpd, Decoded, Decoder, Line, Phase, Request, Ticket, Wanted};
use wire::postfix::client as policy;

use super::askers::{Answered, Askers, Asking, Question};
use super::sessions::{Room, Sessions};
use crate::asking::Deadline;
use crate::cli::check::PolicyAddress;
use crate::cli::filter::OpensmtpdArgs;
use crate::clock;
use crate::command::Failure;

/// How much is read at once, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// How often something about smtpd's lines is said.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Runs until smtpd closes its end.
pub(super) fn run(args: &OpensmtpdArgs) -> Result<(), Failure> {
    let usage = |why: &str| Err(Failure::Usage(format!("xgrey: {why}")));
    if args.timeout.get() == 0 {
        return usage("--timeout 0s leaves no time for an answer: give it 1s at least");
    }
    if io::stdin().is_terminal() {
        return usage(
            "this is started by smtpd, not by hand: see the example in `xgrey filter opensmtpd --help`",
        );
    }
    // Whoever made them may have set them up for a loop; here they are waited on.
    rustix::io::ioctl_fionbio(io::stdin(), false)?;
    rustix::io::ioctl_fionbio(io::stdout(), false)?;
    let asking = Asking {
        server: args.policy.clone().unwrap_or_else(PolicyAddress::usual),
        timeout: Duration::from_secs(args.timeout.get().into()),
    };
    let wanted = if args.no_header { Wanted::Recipients } else { Wanted::RecipientsAndMessages };
    let filter = Arc::new(Filter::new(io::stdout(), wanted, asking.timeout));
    let askers = Askers::start(&asking, &filter)?;
    filter.say(&format!("asking {}", asking.server));
    filter.serve(io::stdin().lock(), &askers)?;
    Ok(())
}

/// What the threads share.
struct Filter<W> {
    /// Written to in whole lines. smtpd reads whatever we do, so waiting for it here can't be for ever.
    output: Mutex<W>,
    sessions: Mutex<Sessions>,
    wanted: Wanted,
    timeout: Duration,
    said_at: Mutex<Option<Duration>>,
}

/// What smtpd says of itself before it is ready.
#[derive(Debug, Default)]
struct Settings {
    /// Whether a listener names this filter, once that is told.
    is_for_listeners: Option<bool>,
}

impl<W: Write + Send> Filter<W> {
    fn new(output: W, wanted: Wanted, timeout: Duration) -> Self {
        let (output, sessions) = (Mutex::new(output), Mutex::default());
        Self { output, sessions, wanted, timeout, said_at: Mutex::default() }
    }

    /// Answers what comes until nothing more does.
    fn serve(&self, mut input: impl Read, askers: &Askers) -> io::Result<()> {
        let mut decoder = Decoder::new(smtpd::LINE_BYTES_MAX);
        let mut settings = Settings::default();
        let mut buffer = vec![0; smtpd::LINE_BYTES_MAX + READ_BYTES];
        let mut filled = 0;
        let mut out = Vec::new();
        loop {
            match input.read(&mut buffer[filled..]) {
                Ok(0) => return Ok(()),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let mut start = 0;
            loop {
                match decoder.decode(&buffer[start..filled]) {
                    Decoded::Need => break,
                    Decoded::Discard { used } => start += used,
                    Decoded::Line { used, line } => {
                        self.take(line, &mut settings, askers, &mut out);
                        start += used;
                    }
                }
            }
            buffer.copy_within(start..filled, 0);
            filled -= start;
            match self.send(&out) {
                // smtpd has ended, and that will be read too.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                sent => sent?,
            }
            out.clear();
        }
    }

    fn take(&self, line: Line<'_>, settings: &mut Settings, askers: &Askers, out: &mut Vec<u8>) {
        match line {
            Line::Setting { key: b"subsystem", value } => {
                let is_listener = value == b"smtp-in";
                *settings.is_for_listeners.get_or_insert_default() |= is_listener;
            }
            Line::Setting { .. } | Line::Other => {}
            Line::Ready if settings.is_for_listeners == Some(false) => {
                self.say(
                    "no listener names this filter, so there is nothing to do: see `listen on`",
                );
                out.extend_from_slice(b"register|ready\n");
            }
            Line::Ready => smtpd::encode_registration(self.wanted, out),
            Line::Report { session, event } => {
                if self.sessions.lock().note(session, event) == Room::None {
                    self.say_now_and_then(&"there are too many sessions; mail flows");
                }
            }
            Line::Request(Request { ticket, phase }) => match phase {
                Phase::Recipient(recipient) => self.ask(ticket, recipient, askers, out),
                Phase::DataLine(line) => {
                    if let Some(header) = self.sessions.lock().take_header(ticket.session) {
                        smtpd::encode_header(ticket, &header, out);
                    }
                    smtpd::encode_data_line(ticket, line, out);
                }
                Phase::Other => smtpd::encode_proceed(ticket, out),
                Phase::Unclear(fault) => {
                    self.say_now_and_then(&format_args!("{fault}; mail flows"));
                    smtpd::encode_proceed(ticket, out);
                }
            },
            Line::Faulty(fault) => self.say_now_and_then(&fault),
        }
    }

    /// Has the service asked, or answers at once.
    fn ask(&self, ticket: Ticket<'_>, recipient: &[u8], askers: &Askers, out: &mut Vec<u8>) {
        let sessions = self.sessions.lock();
        let Some(query) = sessions.query(ticket.session, recipient) else {
            smtpd::encode_proceed(ticket, out);
            return;
        };
        let mut question = askers.blank();
        let encoded = policy::encode_request(&query, &mut question.request);
        drop(sessions);
        if let Err(why) = encoded {
            self.say_now_and_then(&format_args!("{why}; mail flows"));
            smtpd::encode_proceed(ticket, out);
            return;
        }
        question.session.extend_from_slice(ticket.session);
        question.token.extend_from_slice(ticket.token);
        if askers.ask(question, Deadline::within(self.timeout)).is_err() {
            self.say_now_and_then(&"too many recipients wait for an answer; mail flows");
            smtpd::encode_proceed(ticket, out);
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut output = self.output.lock();
        output.write_all(bytes)?;
        output.flush()
    }

    /// Says it, unless something was said a moment ago: a mail server's log is not ours to fill.
    fn say_now_and_then(&self, what: &dyn std::fmt::Display) {
        let now = clock::boot();
        let mut said_at = self.said_at.lock();
        if said_at.is_none_or(|said_at| now >= said_at + SAY_EVERY) {
            *said_at = Some(now);
            drop(said_at);
            eprintln!("{what}");
        }
    }
}

impl<W: Write + Send> Answered for Filter<W> {
    fn answered(
        &self,
        question: &Question,
        answer: Option<policy::Answer<'_>>,
        scratch: &mut Vec<u8>,
    ) {
        let ticket = Ticket { session: &question.session, token: &question.token };
        scratch.clear();
        match answer.and_then(|answer| answer.refusal()) {
            Some(policy::Refusal { code, text }) => {
                smtpd::encode_refusal(ticket, code, text, scratch);
            }
            None => {
                if self.wanted == Wanted::RecipientsAndMessages
                    && let Some(header) = answer.and_then(|answer| answer.header())
                {
                    // Before the answer: what follows it is the message.
                    self.sessions.lock().add_header(ticket.session, header);
                }
                smtpd::encode_proceed(ticket, scratch);
            }
        }
        // An error means that smtpd has ended; so does what the other thread reads.
        let _ = self.send(scratch);
    }

    fn say(&self, what: &str) {
        // smtpd puts it into its log, behind the filter's name.
        eprintln!("{what}");
    }
}

#[cfg(test)]
mod tests;
