//! The bench's one clock. Measuring time is this program's job, so here, and nowhere else in it, a
//! clock is read.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// How often a wait for something outside (a port, a process's end) looks again.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Now, by the monotonic clock.
#[expect(clippy::disallowed_methods, reason = "timing is what this program is for")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The wall clock: seconds since 1970, for what another program will compare with its own.
pub(crate) fn wall_secs() -> u64 {
    u64::try_from(clock_gettime(ClockId::Realtime).tv_sec).unwrap_or_default()
}

/// Lets `duration` pass.
#[expect(
    clippy::disallowed_methods,
    reason = "an embargo is a length of time, and another program's port gives no event to wait for"
)]
pub(crate) fn wait(duration: Duration) {
    std::thread::sleep(duration);
}

/// CPU time that this thread has used.
pub(crate) fn thread_cpu() -> Duration {
    time_of(ClockId::ThreadCPUTime)
}

/// CPU time that all threads of this process have used, the ended ones included.
pub(crate) fn process_cpu() -> Duration {
    time_of(ClockId::ProcessCPUTime)
}

fn time_of(clock: ClockId) -> Duration {
    // What a thread or a process has used is never negative.
    clock_gettime(clock).try_into().unwrap_or_default()
}
