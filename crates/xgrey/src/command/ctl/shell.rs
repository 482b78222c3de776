//! The shell of `xgrey ctl`: many commands in one sitting, or from a script.
//!
//! ```text
//! xgrey> show iplist           on a terminal: history, completion, help, a pager for what is long
//! $ xgrey ctl < changes        otherwise each line is a command; the worst exit code counts
//! ```
//! Each command asks the service anew, so one that was restarted meanwhile is no matter.
//!
//! Never knows: what a command does.

mod completion;
mod history;
mod line;

use std::io::{self, BufRead, IsTerminal, Read};
use std::path::Path;

use rustyline::config::Configurer as _;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Editor};

use self::completion::Words;
use self::history::HistoryFile;
use self::line::{Said, understand};
use super::output::{Form, Output, Talk};
use super::pager::Paged;
use crate::backup::Interrupt;
use crate::command::Failure;
use crate::control::LINE_BYTES_MAX;
use crate::state_dir::Environment;

const PROMPT: &str = "xgrey> ";

/// Reads commands until there are no more.
pub(super) fn run(socket: &Path, form: Form) -> Result<(), Failure> {
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        on_a_terminal(socket, form)
    } else {
        from_a_script(socket, form, &mut io::stdin().lock())
    }
}

/// A person types. What fails is told, and the next line comes; so it ends well.
fn on_a_terminal(socket: &Path, form: Form) -> Result<(), Failure> {
    let interrupt = Interrupt::watch_keyboard()?;
    let mut editor = Editor::<Words, FileHistory>::new()?;
    editor.set_completion_type(CompletionType::List);
    editor.set_history_ignore_dups(true)?;
    editor.set_history_ignore_space(true);
    editor.set_max_history_size(history::LINES_MAX)?;
    editor.set_helper(Some(Words::new()));
    let mut history = HistoryFile::of(&Environment::of_this_process());
    history.load(&mut editor);
    println!("xgrey {}: `help` says what there is, `exit` leaves", env!("CARGO_PKG_VERSION"));
    loop {
        let line = match editor.readline(PROMPT) {
            Ok(line) => line,
            // ^C gives up the line, as in other shells.
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if !line.trim().is_empty() {
            history.add(&mut editor, &line);
        }
        interrupt.forget();
        let said = match understand(&line) {
            Ok(Said::Leave) => return Ok(()),
            said => said,
        };
        let mut out = Output::Paged(paged(&interrupt));
        let done = said.and_then(|said| perform(socket, form, &said, &mut out));
        let shown = out.finish();
        for failure in [done, shown].into_iter().filter_map(Result::err) {
            failure.print();
        }
    }
}

fn paged(interrupt: &Interrupt) -> Paged {
    let pager = std::env::var("PAGER").ok();
    let rows = terminal_size::terminal_size_of(io::stdout()).map(|(_, rows)| rows.0.into());
    Paged::new(pager.as_deref(), rows.unwrap_or(usize::MAX), interrupt.clone())
}

/// A script's lines. All are carried out, whatever becomes of one; the worst exit code counts.
fn from_a_script(socket: &Path, form: Form, script: &mut dyn BufRead) -> Result<(), Failure> {
    let mut worst = 0;
    let mut number = 0_u64;
    let mut line = Vec::new();
    loop {
        line.clear();
        number += 1;
        let limit = LINE_BYTES_MAX + 1;
        if Read::take(&mut *script, limit).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let said = if line.len() as u64 == limit && line.last() != Some(&b'\n') {
            script.skip_until(b'\n')?;
            Err(Failure::Usage(format!("xgrey: longer than {LINE_BYTES_MAX} bytes")))
        } else {
            let text = str::from_utf8(&line);
            let not_text = |_| Failure::Usage("xgrey: not UTF-8 text".to_owned());
            text.map_err(not_text).and_then(understand)
        };
        let said = match said {
            Ok(Said::Leave) => break,
            said => said,
        };
        let mut out = Output::straight();
        let done = said.and_then(|said| perform(socket, form, &said, &mut out));
        for failure in [done, out.finish()].into_iter().filter_map(Result::err) {
            eprintln!("xgrey: line {number}:");
            worst = worst.max(failure.print());
        }
    }
    if worst == 0 { Ok(()) } else { Err(Failure::Exit(worst)) }
}

fn perform(socket: &Path, form: Form, said: &Said, out: &mut Output) -> Result<(), Failure> {
    let form_of = |json: bool| if json { Form::Json } else { form };
    match said {
        Said::Nothing | Said::Leave => Ok(()),
        Said::Text(text) => Talk { socket, form, out }.say(text),
        Said::Command { command, .. } if command.reads_standard_input() => {
            let why = "standard input is where commands come from: name a file";
            Err(Failure::Usage(format!("xgrey: {why}")))
        }
        Said::Command { command, json } => {
            super::perform(&mut Talk { socket, form: form_of(*json), out }, command)
        }
    }
}
