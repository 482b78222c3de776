//! Waiting for a condition: the one place of these tests in which time passes.

use std::sync::mpsc;
use std::time::Duration;

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(20);

/// Looks before a wait is given up: 1,500 × 20 ms = 30 s, fifteen times what the slowest thing
/// here (Postfix's first start) takes on an idle machine.
const LOOKS_MAX: u32 = 1_500;

/// Looks until there is something to see.
///
/// # Panics
/// After 30 seconds of nothing, saying what was waited for.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS_MAX {
        if let Some(seen) = look() {
            return seen;
        }
        pause();
    }
    panic!("waited 30 seconds for {what}");
}

/// Lets other processes run before the next look.
pub(crate) fn pause() {
    let (_sender, nothing) = mpsc::channel::<()>();
    // The sender lives, so this can only end by its time running out.
    let _ = nothing.recv_timeout(LOOK);
}
