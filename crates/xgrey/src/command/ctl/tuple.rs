//! `xgrey ctl tuple`: one tuple, named by what an attempt of it looks like.

use std::fmt::Write as _;

use super::columns::printable;
use super::output::{Form, Talk};
use crate::cli::{TupleArgs, TupleCommand, bare_address};
use crate::command::Failure;
use crate::command::explain::{COLUMN, show_identity, show_state};
use crate::control::{Request, TupleNamed, TupleTried, client};
use crate::service::{TupleChanged, TupleShown, TupleState};

/// Asks and prints. Not to know the tuple is a failure of what needs it.
pub(super) fn run(talk: &mut Talk<'_>, command: &TupleCommand) -> Result<(), Failure> {
    let socket = talk.socket;
    match command {
        TupleCommand::Show(args) => {
            let named = named(args);
            let shown: TupleShown = client::ask(socket, &Request::ShowTuple(named.clone()))?;
            talk.answer(&shown, || show(&named, &shown))?;
            if_known(&shown.tuple)
        }
        TupleCommand::Forget(args) => {
            let named = named(args);
            let changed: TupleChanged = client::ask(socket, &Request::ForgetTuple(named.clone()))?;
            talk.answer(&changed, || forgotten(&named, &changed))?;
            if_known(&changed.before)
        }
        TupleCommand::Pass(args) => {
            let named = named(args);
            let changed: TupleChanged = client::ask(socket, &Request::PassTuple(named.clone()))?;
            talk.answer(&changed, || passed(&named, &changed))
        }
        TupleCommand::Greylist(args) => {
            let named = named(args);
            let tried = client::ask(socket, &Request::TryTuple(named.clone()))?;
            tell_tried(talk, &tried, |changed| greylisted(&named, changed))
        }
        TupleCommand::Whitelist(args) => {
            let named = named(args);
            let tried = client::ask(socket, &Request::WhitelistTuple(named.clone()))?;
            tell_tried(talk, &tried, |changed| passed(&named, changed))
        }
    }
}

fn named(args: &TupleArgs) -> TupleNamed {
    let [sender, recipient] =
        [&args.sender, &args.recipient].map(|typed| bare_address(typed).to_owned());
    TupleNamed { client: args.client, sender, recipient }
}

/// Prints what came of a tuple that the rules were asked about first. That they have decided is a
/// failure: the tuple is not what it was to be.
fn tell_tried(
    talk: &mut Talk<'_>,
    tried: &TupleTried,
    sentences: impl FnOnce(&TupleChanged) -> String,
) -> Result<(), Failure> {
    match tried {
        TupleTried::Done(changed) => talk.answer(tried, || sentences(changed)),
        TupleTried::Decided(decided) => {
            if talk.form == Form::Json {
                talk.answer(tried, String::new)?;
            }
            let place = decided.origin.as_ref().map(|origin| format!(" ({origin})"));
            let why = format!(
                "the tuple stays as it is, since its mail is decided before: {}: {}{}",
                decided.stage,
                decided.said,
                place.unwrap_or_default()
            );
            Err(Failure::Failed(why))
        }
    }
}

fn if_known(tuple: &TupleState) -> Result<(), Failure> {
    match tuple {
        TupleState::Unknown => Err(Failure::Failed("the tuple is not known".to_owned())),
        TupleState::Grey { .. } | TupleState::White { .. } => Ok(()),
    }
}

/// The first line: what is known in a word, and of which tuple.
fn head(said: &str, named: &TupleNamed) -> String {
    let TupleNamed { client, sender, recipient } = named;
    let (sender, recipient) = (printable(sender), printable(recipient));
    format!("{said}\nfor client {client} from {sender} to {recipient}\n")
}

fn show(named: &TupleNamed, shown: &TupleShown) -> String {
    let said = match &shown.tuple {
        TupleState::Unknown => "not known: the next attempt would be the first",
        TupleState::Grey { .. } => "grey: has tried, and not passed yet",
        TupleState::White { .. } => "white: has passed",
    };
    let mut out = head(said, named);
    show_identity(&mut out, &shown.identity);
    let _ = writeln!(out, "  {:<COLUMN$}{}", "id", shown.id);
    show_state(&mut out, &shown.tuple);
    match (&shown.text, &shown.tuple) {
        (_, TupleState::Unknown) => {}
        (None, _) => out += "\nits text is not kept\n",
        (Some(text), _) => {
            out += "\nits first try, as it was asked about\n";
            for (what, value) in [
                ("client", &text.client),
                ("sender", &printable(&text.sender)),
                ("recipient", &printable(&text.recipient)),
                ("first try", &text.first_try),
            ] {
                let _ = writeln!(out, "  {what:<COLUMN$}{value}");
            }
        }
    }
    out
}

fn forgotten(named: &TupleNamed, changed: &TupleChanged) -> String {
    let said = match changed.before {
        TupleState::Unknown => "not known: nothing to forget",
        TupleState::Grey { .. } => "forgotten, was grey: the next attempt is the first",
        TupleState::White { .. } => "forgotten, was white: the next attempt is the first",
    };
    head(said, named)
}

fn greylisted(named: &TupleNamed, changed: &TupleChanged) -> String {
    let said = match (&changed.before, &changed.tuple) {
        (_, TupleState::Unknown) => "not known still: there was no room for it",
        (TupleState::Unknown, _) => "grey now, was not known: its embargo begins",
        (TupleState::Grey { .. }, TupleState::Grey { .. }) => {
            "grey still: an early try does not begin its embargo anew"
        }
        (TupleState::Grey { .. }, TupleState::White { .. }) => "white now: its embargo was over",
        (TupleState::White { .. }, _) => "white still: this counts as a use",
    };
    let mut out = head(said, named);
    show_state(&mut out, &changed.tuple);
    out
}

fn passed(named: &TupleNamed, changed: &TupleChanged) -> String {
    let said = match changed.before {
        TupleState::Unknown => "white now, was not known: the next attempt passes",
        TupleState::Grey { .. } => "white now, was grey: the next attempt passes",
        TupleState::White { .. } => "white still: its lifetime begins anew",
    };
    let mut out = head(said, named);
    show_state(&mut out, &changed.tuple);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{IdentityShown, TextShown};

    fn named() -> TupleNamed {
        named_by("alice+news@example.net")
    }

    fn named_by(sender: &str) -> TupleNamed {
        super::named(&TupleArgs {
            client: "192.0.2.7".parse().unwrap(),
            sender: sender.to_owned(),
            recipient: "<b@example.org>".to_owned(),
        })
    }

    fn identity() -> IdentityShown {
        IdentityShown {
            client: "192.0.2.0/24".to_owned(),
            sender: "alice@example.net".to_owned(),
            recipient: "b@example.org".to_owned(),
            reductions: vec!["extension".to_owned()],
        }
    }

    fn grey() -> TupleState {
        TupleState::Grey {
            first_try: "2026-11-24T05:30:00Z".to_owned(),
            passes_from: "2026-11-24T05:31:00Z".to_owned(),
            until: "2026-11-24T11:30:00Z".to_owned(),
        }
    }

    fn white() -> TupleState {
        TupleState::White {
            last_use: "2026-11-24T05:45:00Z".to_owned(),
            until: "2026-12-30T05:45:00Z".to_owned(),
        }
    }

    fn shown(tuple: TupleState, text: Option<TextShown>) -> String {
        let id = "2a5f00000000123".to_owned();
        show(&named(), &TupleShown { id, identity: identity(), tuple, text })
    }

    #[test]
    fn a_tuple_is_shown_with_what_it_is_made_of_its_times_and_its_text() {
        let text = TextShown {
            client: "192.0.2.9".to_owned(),
            sender: "Alice@example.net".to_owned(),
            recipient: "b@example.org".to_owned(),
            first_try: "2026-11-24T05:30:00Z".to_owned(),
        };
        insta::assert_snapshot!(
            [shown(grey(), Some(text)), shown(white(), None), shown(TupleState::Unknown, None),]
                .join("----\n")
        );
    }

    #[test]
    fn changes_say_what_was_and_what_comes_of_the_next_attempt() {
        let changed = |before: &TupleState, tuple: &TupleState| TupleChanged {
            id: "2a5f00000000123".to_owned(),
            identity: identity(),
            before: before.clone(),
            tuple: tuple.clone(),
        };
        let before = [TupleState::Unknown, grey(), white()];
        let forgotten = before
            .iter()
            .map(|before| forgotten(&named_by("<>"), &changed(before, &TupleState::Unknown)));
        let passed = before.iter().map(|before| passed(&named(), &changed(before, &white())));
        insta::assert_snapshot!(forgotten.chain(passed).collect::<Vec<_>>().join("----\n"));
    }
}
