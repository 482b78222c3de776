//! `xgrey explain`: what would be answered and the path that led there.

use std::fmt::Write as _;
use std::io::IsTerminal;

use super::{Failure, control_socket};
use crate::cli::ExplainArgs;
use crate::clock::Clock;
use crate::command::serve;
use crate::control::{Question, Request, client, server};
use crate::service::{Explanation, IdentityShown, LocalAddresses, TupleState};

/// Asks and prints.
pub fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let question = Question {
        client: args.client,
        client_name: args.client_name.clone(),
        sender: args.sender.trim_matches(['<', '>']).to_owned(),
        recipient: args.recipient.trim_matches(['<', '>']).to_owned(),
    };
    let explanation: Explanation = match args.offline {
        true => offline(args, &question)?,
        false => client::ask(&control_socket(&args.control), &Request::Explain(question.clone()))?,
    };
    if args.control.json {
        println!("{}", serde_json::to_string_pretty(&explanation)?);
    } else {
        let look = if std::io::stdout().is_terminal() { Look::Colour } else { Look::Plain };
        print!("{}", show(&question, &explanation, look));
    }
    Ok(())
}

/// Judges by the configuration alone.
fn offline(args: &ExplainArgs, question: &Question) -> Result<Explanation, Failure> {
    let loaded = serve::load(args.config.as_deref())?;
    let service = serve::service(loaded.config, greylist::HashKey::new([0; 16]))?;
    service.set_local_addresses(LocalAddresses::of_this_host());
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let explained = server::explain(&service, question, Clock::start().now());
    runtime.block_on(explained).map_err(Failure::Failed)
}

/// Whether the output is for a terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Plain,
    Colour,
}

impl Look {
    fn paint(self, colour: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\x1b[{colour}m{text}\x1b[0m"),
        }
    }
}

/// Space for the longest stage, `recipient-domain`.
pub(super) const COLUMN: usize = 18;

fn show(question: &Question, explanation: &Explanation, look: Look) -> String {
    let mut out = String::new();
    let colour = match explanation.answer.as_str() {
        "accept" => "1;32",
        "defer" => "1;33",
        _ => "1;31",
    };
    let sender = if question.sender.is_empty() { "<>" } else { &question.sender };
    let _ = writeln!(
        out,
        "{} ({}): {}",
        look.paint(colour, &explanation.answer),
        explanation.reason,
        explanation.effect
    );
    let _ =
        writeln!(out, "for client {} from {} to {}\n", question.client, sender, question.recipient);
    for step in &explanation.path {
        let _ = write!(out, "  {:<COLUMN$}{}", step.stage, step.said);
        if let Some(origin) = &step.origin {
            let _ = write!(out, "  {}", look.paint("2", &format!("({origin})")));
        }
        out.push('\n');
    }
    if let Some(identity) = &explanation.identity {
        show_identity(&mut out, identity);
    }
    if let Some(tuple) = &explanation.tuple {
        show_state(&mut out, tuple);
    }
    out
}

/// What a tuple is made of.
pub(super) fn show_identity(out: &mut String, identity: &IdentityShown) {
    let _ = writeln!(out, "\nthe tuple is made of");
    let null = if identity.sender.is_empty() { "<>" } else { &identity.sender };
    for (part, value) in
        [("client", identity.client.as_str()), ("sender", null), ("recipient", &identity.recipient)]
    {
        let _ = writeln!(out, "  {part:<COLUMN$}{value}");
    }
    if !identity.reductions.is_empty() {
        let _ = writeln!(out, "  {:<COLUMN$}{}", "taken off", identity.reductions.join(", "));
    }
}

/// What is known of a tuple, if anything.
pub(super) fn show_state(out: &mut String, tuple: &TupleState) {
    let rows: &[(&str, &str)] = match tuple {
        TupleState::Unknown => return,
        TupleState::Grey { first_try, passes_from, until } => {
            &[("first try", first_try), ("passes from", passes_from), ("must retry by", until)]
        }
        TupleState::White { last_use, until } => &[("last use", last_use), ("known until", until)],
    };
    let _ = writeln!(out, "\nwhat is known of it");
    for (what, when) in rows {
        let _ = writeln!(out, "  {what:<COLUMN$}{when}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::PathStep;

    #[test]
    fn an_explanation_reads_from_the_answer_down_to_the_tuple() {
        let question = Question {
            client: "192.0.2.7".parse().unwrap(),
            client_name: None,
            sender: "Alice+news@example.net".to_owned(),
            recipient: "b@example.org".to_owned(),
        };
        let step = |stage: &str, said: &str, origin: Option<&str>| PathStep {
            stage: stage.to_owned(),
            said: said.to_owned(),
            origin: origin.map(str::to_owned),
        };
        let explanation = Explanation {
            answer: "defer".to_owned(),
            reason: "early".to_owned(),
            effect: "450 4.7.1 Greylisted, try again in 48 seconds".to_owned(),
            path: vec![
                step(
                    "exempt",
                    "the client is neither this host, nor logged in, nor certified: not exempt",
                    None,
                ),
                step("client", "192.0.2.0/24 matches: greylist", Some("/etc/xgrey/xgrey.toml:12")),
                step(
                    "tuple",
                    "grey, first tried 12 seconds ago, 48 seconds of the embargo left",
                    None,
                ),
            ],
            identity: Some(IdentityShown {
                client: "192.0.2.0/24".to_owned(),
                sender: "alice@example.net".to_owned(),
                recipient: "b@example.org".to_owned(),
                reductions: vec!["case".to_owned(), "extension".to_owned()],
            }),
            tuple: Some(TupleState::Grey {
                first_try: "2026-11-24T05:30:00Z".to_owned(),
                passes_from: "2026-11-24T05:31:00Z".to_owned(),
                until: "2026-11-24T11:30:00Z".to_owned(),
            }),
        };
        insta::assert_snapshot!(show(&question, &explanation, Look::Plain));
    }
}
