//! A real pseudo-terminal with a program in it, and what a person would see on its screen.

use std::io::{ErrorKind, Read as _, Write as _};
use std::num::NonZero;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex};

use crate::wait::until;

/// Rows and columns of the screen: room for a whole transcript.
pub(crate) const ROWS: u16 = 120;
pub(crate) const COLUMNS: u16 = 110;

/// A terminal. Its program is killed when this goes.
pub(crate) struct Terminal {
    child: Child,
    keyboard: pty_process::blocking::Pty,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Runs a program in a terminal of so many rows.
    pub(crate) fn run(
        rows: u16,
        program: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let (pty, side) = pty_process::blocking::open().unwrap();
        pty.resize(pty_process::Size::new(rows, COLUMNS)).unwrap();
        let command = pty_process::blocking::Command::new(program)
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env_remove("PAGER")
            .env_remove("LESS")
            .envs(variables.iter().copied());
        let child = command.spawn(side).unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(cells(rows), cells(COLUMNS), 0)));
        let watched = Arc::clone(&screen);
        let descriptor = rustix::io::dup(&pty).unwrap();
        let mut output = std::fs::File::from(descriptor);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                match output.read(&mut bytes) {
                    Ok(0) => return,
                    Ok(count) => watched.lock().unwrap().process(&bytes[..count]),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    // The program has ended, and its side of the terminal with it.
                    Err(_) => return,
                }
            }
        });
        Self { child, keyboard: pty, screen }
    }

    /// Presses these keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// What is on the screen: its lines without blanks at their ends.
    pub(crate) fn screen(&self) -> String {
        let contents = self.screen.lock().unwrap().screen().contents();
        let lines = contents.trim_end().lines().map(|line| format!("{}\n", line.trim_end()));
        lines.collect()
    }

    /// Waits until the screen satisfies that, and gives what is on it.
    pub(crate) fn wait_for(&self, what: &str, seen: impl Fn(&str) -> bool) -> String {
        // The screen as it is when a wait is given up says most.
        let given_up = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(what, || Some(self.screen()).filter(|screen| seen(screen)))
        }));
        given_up
            .unwrap_or_else(|_| panic!("{what} did not come; on the screen:\n{}", self.screen()))
    }

    /// Waits until so many prompts have been printed, the last of them with nothing behind it.
    pub(crate) fn wait_for_prompt(&self, count: usize) -> String {
        self.wait_for(&format!("prompt number {count}"), |screen| {
            let prompts = screen.lines().filter(|line| line.starts_with(PROMPT)).count();
            prompts == count && screen.ends_with(&format!("{PROMPT}\n"))
        })
    }

    /// Waits until the program has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = until("the program to end", || self.child.try_wait().unwrap());
        assert_eq!(status.signal(), None, "killed; on the screen:\n{}", self.screen());
        status
    }
}

/// The shell's prompt, without the blank at its end.
pub(crate) const PROMPT: &str = "xgrey>";

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).unwrap()
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
