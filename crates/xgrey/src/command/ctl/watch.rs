//! `watch`: what a command shows, again each second, until a key is pressed.
//!
//! The picture is drawn over the one before, on the terminal's second screen, so that nothing
//! flickers and what was on the screen comes back at the end. A service that goes away is said in
//! the picture, and asked again.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::output::{Form, Output, Talk};
use crate::cli::{CtlCommand, TupleCommand};
use crate::command::Failure;

/// Between two looks.
const PAUSE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// What a terminal is taken for if it does not say how large it is.
const SCREEN: (usize, usize) = (80, 24);

/// To the second screen, without a cursor; and back.
const BEGIN: &str = "\x1b[?1049h\x1b[?25l";
const END: &str = "\x1b[?25h\x1b[?1049l";

/// Shows `command`, whose words are `words`, until a key is pressed.
pub(super) fn run(
    socket: &Path,
    form: Form,
    command: &CtlCommand,
    words: &[String],
) -> Result<(), Failure> {
    if !only_shows(command) {
        let why = "watch repeats what only shows something, such as `watch stats` or \
                   `watch show iplist`";
        return Err(Failure::Usage(format!("xgrey: {why}")));
    }
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        let why = "watch needs a terminal: to look once, leave out `watch`";
        return Err(Failure::Usage(format!("xgrey: {why}")));
    }
    let keys = Keys::one_by_one()?;
    let screen = Screen::begin()?;
    loop {
        let (columns, rows) = size();
        let picture = picture(socket, form, command, words, columns, rows);
        screen.draw(&picture, rows)?;
        if keys.pressed_within(&PAUSE)? {
            return Ok(());
        }
    }
}

/// Whether it leaves everything as it is.
fn only_shows(command: &CtlCommand) -> bool {
    match command {
        CtlCommand::Stats
        | CtlCommand::Rules(_)
        | CtlCommand::Tuples(_)
        | CtlCommand::Show { .. } => true,
        CtlCommand::Tuple { command } => matches!(command, TupleCommand::Show(_)),
        _ => false,
    }
}

/// What is on the screen: a line that says what it is, and what the command prints.
fn picture(
    socket: &Path,
    form: Form,
    command: &CtlCommand,
    words: &[String],
    columns: usize,
    rows: usize,
) -> String {
    let mut out = Output::kept(columns, rows);
    let shown = super::perform(&mut Talk { socket, form, out: &mut out }, command);
    let words = if words.is_empty() { "stats".to_owned() } else { words.join(" ") };
    let mut picture = format!("{words}    each second, until a key is pressed\n\n");
    picture += &String::from_utf8_lossy(&out.into_kept());
    match shown {
        Ok(()) | Err(Failure::Told | Failure::Exit(_)) => {}
        Err(Failure::Failed(why) | Failure::Usage(why) | Failure::Unreachable(why)) => {
            let _ = writeln!(picture, "{why}");
        }
    }
    picture
}

fn size() -> (usize, usize) {
    let size = terminal_size::terminal_size_of(io::stdout());
    size.map_or(SCREEN, |(columns, rows)| (columns.0.into(), rows.0.into()))
}

/// The terminal's second screen, until this goes.
struct Screen;

impl Screen {
    fn begin() -> io::Result<Self> {
        let screen = Self;
        print_now(BEGIN)?;
        Ok(screen)
    }

    fn draw(&self, picture: &str, rows: usize) -> io::Result<()> {
        print_now(&drawing(picture, rows))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If the terminal has gone, so has its screen.
        let _ = print_now(END);
    }
}

/// What draws a picture over the one before: each line up to its end, then the rest of the screen.
fn drawing(picture: &str, rows: usize) -> String {
    let mut drawing = "\x1b[H".to_owned();
    for (row, line) in picture.lines().take(rows).enumerate() {
        if row > 0 {
            drawing.push_str("\r\n");
        }
        drawing.push_str(line);
        drawing.push_str("\x1b[K");
    }
    drawing.push_str("\x1b[J");
    drawing
}

fn print_now(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The keyboard, key by key and unseen, until this goes. ^C is a key like any other.
struct Keys {
    before: Termios,
}

impl Keys {
    fn one_by_one() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut modes = before.clone();
        modes.local_modes &= !(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(io::stdin(), OptionalActions::Flush, &modes)?;
        Ok(Self { before })
    }

    /// Waits so long at most; the key itself goes.
    fn pressed_within(&self, wait: &Timespec) -> io::Result<bool> {
        let stdin = io::stdin();
        let mut looked_at = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut looked_at, Some(wait)) {
            Ok(0) => Ok(false),
            Ok(_) => {
                // Of what a key sends, all is there at once.
                let mut key = [0; 64];
                rustix::io::read(&stdin, &mut key)?;
                Ok(true)
            }
            // The window has another size: draw again.
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // If the terminal has gone, so have its modes.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_drawn_over_the_one_before_and_not_below_the_screen() {
        assert_eq!(drawing("a\nbc\n", 24), "\x1b[Ha\x1b[K\r\nbc\x1b[K\x1b[J");
        assert_eq!(drawing("a\nb\nc\nd\n", 2), "\x1b[Ha\x1b[K\r\nb\x1b[K\x1b[J");
    }

    #[test]
    fn a_service_that_is_away_is_said_in_the_picture() {
        let nowhere = Path::new("/nowhere/control.sock");
        let picture = picture(nowhere, Form::Sentences, &CtlCommand::Stats, &[], 80, 24);
        assert!(picture.starts_with("stats    each second"), "{picture}");
        assert!(picture.contains("xgrey is not running"), "{picture}");
    }
}
