//! The settings that X-Grey's clients know.

use super::Control;
use crate::config::Mode;
use crate::control::ConfigShown;

/// Each so many seconds X-Grey cleans up, unless it is compiled otherwise (X-Grey v1.1 protocol,
/// section 11).
const CLEANUP_SECONDS: u32 = 300;

impl Control {
    pub(super) fn config(&self) -> ConfigShown {
        let policy = self.service.policy();
        let bound = self.service.store().bound();
        ConfigShown {
            mode: match policy.mode {
                Mode::Enforce => "enforce".to_owned(),
                Mode::Observe => "observe".to_owned(),
            },
            tuples_max: bound.capacity(),
            memory_bytes_max: bound.bytes(),
            cleanup_seconds: CLEANUP_SECONDS,
            embargo_seconds: policy.timing.embargo().get(),
            window_seconds: policy.timing.window().get(),
            lifetime_seconds: policy.timing.lifetime().get(),
        }
    }
}
