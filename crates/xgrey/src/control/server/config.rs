//! The settings that X-Grey's clients know.

use super::Control;
use crate::config::Mode;
use crate::control::ConfigShown;

/// Each so many seconds X-Grey cleans up, unless it is compiled otherwise (X-Grey v1.1 protocol,
/// section 11).
const CLEANUP_SECONDS: u32 = 300;

/// Bytes of a slot, and how full a table gets before room has to be searched for, in percent.
const SLOT_BYTES: u64 = 8;
const FULL_PERCENT: u64 = 92;

impl Control {
    pub(super) fn config(&self) -> ConfigShown {
        let policy = self.service.policy();
        let bound_bytes = self.service.store().stats().bound_bytes;
        ConfigShown {
            mode: match policy.mode {
                Mode::Enforce => "enforce".to_owned(),
                Mode::Observe => "observe".to_owned(),
            },
            tuples_max: bound_bytes / SLOT_BYTES / 100 * FULL_PERCENT,
            memory_bytes_max: bound_bytes,
            cleanup_seconds: CLEANUP_SECONDS,
            embargo_seconds: policy.timing.embargo().get(),
            window_seconds: policy.timing.window().get(),
            lifetime_seconds: policy.timing.lifetime().get(),
        }
    }
}
