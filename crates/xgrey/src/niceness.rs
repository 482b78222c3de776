//! Who yields to whom when there are too few cores: whatever can wait, to those that decide.

/// Under load, about a tenth of a core.
const NICE: i32 = 10;

/// Makes the calling thread yield to those that decide about mail. Not to be nicer is no reason to
/// refuse.
pub fn be_nice() {
    // On Linux this is about the calling thread alone.
    let _ = rustix::process::setpriority_process(None, NICE);
}
