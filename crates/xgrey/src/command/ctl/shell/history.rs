//! What was typed before: a file in the user's state directory, readable for its owner only, since
//! lines name who writes to whom.
//!
//! Nothing depends on it: what goes wrong with it is said once, and the shell goes on.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Editor, Helper};

use crate::state_dir::Environment;

/// Lines that are kept: some 100 KiB at most at their usual length.
pub(super) const LINES_MAX: usize = 1_000;

/// The file.
pub(super) struct HistoryFile {
    /// Nowhere: there is no place for it, or it can't be written.
    path: Option<PathBuf>,
}

impl HistoryFile {
    /// In the state directory of the user, root's included: the service's own is none of a shell's
    /// business.
    pub(super) fn of(environment: &Environment) -> Self {
        let home = environment.home.as_ref().map(|home| home.join(".local/state"));
        let state = environment.xdg_state_home.clone().or(home);
        Self { path: state.map(|state| state.join("xgrey/ctl-history")) }
    }

    /// Reads what there is.
    pub(super) fn load<H: Helper>(&mut self, editor: &mut Editor<H, FileHistory>) {
        let Some(path) = &self.path else { return };
        match make(path).map_err(ReadlineError::from).and_then(|()| editor.load_history(path)) {
            Ok(()) => {}
            Err(error) => self.give_up(&error),
        }
    }

    /// Keeps a line: at once, so that nothing is lost to whatever ends the shell.
    pub(super) fn add<H: Helper>(&mut self, editor: &mut Editor<H, FileHistory>, line: &str) {
        match editor.add_history_entry(line) {
            // As the one before, or meant not to be kept.
            Ok(false) => return,
            Ok(true) => {}
            Err(error) => return self.give_up(&error),
        }
        let Some(path) = &self.path else { return };
        if let Err(error) = editor.append_history(path) {
            self.give_up(&error);
        }
    }

    fn give_up(&mut self, error: &ReadlineError) {
        if let Some(path) = self.path.take() {
            eprintln!("xgrey: lines are not kept in {}: {error}", path.display());
        }
    }
}

/// Makes the file and its directory, if they are not there, and sees to it that they are the
/// owner's alone.
fn make(path: &PathBuf) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let mut permissions = file.metadata()?.permissions();
    if permissions.mode() & 0o777 != 0o600 {
        permissions.set_mode(0o600);
        file.set_permissions(permissions)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn editor() -> Editor<(), FileHistory> {
        use rustyline::config::Configurer as _;
        let mut editor = Editor::<(), FileHistory>::new().unwrap();
        editor.set_max_history_size(LINES_MAX).unwrap();
        editor
    }

    #[test]
    fn lines_are_kept_for_the_next_time_up_to_the_bound_and_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let environment = Environment {
            xdg_state_home: Some(dir.path().join("state")),
            ..Environment::default()
        };
        for sitting in 0..3 {
            let mut editor = editor();
            let mut history = HistoryFile::of(&environment);
            history.load(&mut editor);
            for line in 0..LINES_MAX / 2 {
                history.add(&mut editor, &format!("to accept {sitting}.{line}@example.org"));
            }
        }
        let path = dir.path().join("state/xgrey/ctl-history");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let mut editor = editor();
        HistoryFile::of(&environment).load(&mut editor);
        let kept: Vec<String> = editor.history().iter().cloned().collect();
        assert_eq!(kept.len(), LINES_MAX);
        assert_eq!(kept[0], "to accept 1.0@example.org");
        assert_eq!(kept[LINES_MAX - 1], "to accept 2.499@example.org");
    }

    #[test]
    fn a_history_that_cannot_be_kept_keeps_nobody_from_working() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("state"), "a file where a directory belongs").unwrap();
        let environment = Environment {
            xdg_state_home: Some(dir.path().join("state")),
            ..Environment::default()
        };
        let mut editor = editor();
        let mut history = HistoryFile::of(&environment);
        history.load(&mut editor);
        history.add(&mut editor, "stats");
        assert_eq!(history.path, None);
        assert_eq!(HistoryFile::of(&Environment::default()).path, None);
    }
}
