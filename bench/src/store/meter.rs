//! What a stretch of work costs, in CPU time of this thread and by the clock; and what this process
//! has in memory. Source: proc_pid_status(5), proc_pid_smaps(5).
//!
//! Rates are given by both times: whatever else the machine does lengthens the second, not the
//! first; waiting for the disk is in the second, and not in the first.

use std::fs;
use std::ops::{Add, AddAssign};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::clock;

/// So many touches took so long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Cost {
    pub(crate) touches: u64,
    /// CPU time of the thread that touched.
    pub(crate) cpu_seconds: f64,
    pub(crate) wall_seconds: f64,
}

impl Cost {
    /// Touches for each second of CPU time; none if nothing was measured.
    pub(crate) fn per_cpu_second(&self) -> Option<f64> {
        (self.cpu_seconds > 0.0 && self.touches > 0).then(|| self.touches as f64 / self.cpu_seconds)
    }

    /// Touches for each second that passed.
    pub(crate) fn per_wall_second(&self) -> Option<f64> {
        (self.wall_seconds > 0.0 && self.touches > 0)
            .then(|| self.touches as f64 / self.wall_seconds)
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            touches: self.touches + other.touches,
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
            wall_seconds: self.wall_seconds + other.wall_seconds,
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// A moment by both times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    cpu: Duration,
    wall: Instant,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self { cpu: clock::thread_cpu(), wall: clock::now() }
    }

    /// What `touches` touches since then have cost.
    pub(crate) fn cost(&self, touches: u64) -> Cost {
        Cost {
            touches,
            cpu_seconds: clock::thread_cpu().saturating_sub(self.cpu).as_secs_f64(),
            wall_seconds: (clock::now() - self.wall).as_secs_f64(),
        }
    }
}

/// Resident memory of this process, in bytes; 0 where there is no `/proc`.
pub(crate) fn resident_bytes() -> u64 {
    field(&fs::read_to_string("/proc/self/status").unwrap_or_default(), "VmRSS:").unwrap_or(0)
}

/// How much of it lies on huge pages, in bytes. The kernel walks over all of it to say so.
pub(crate) fn huge_page_bytes() -> Option<u64> {
    field(&fs::read_to_string("/proc/self/smaps_rollup").ok()?, "AnonHugePages:")
}

/// The number of a line `name: … kB`, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_the_kernel_writes_it() {
        let status = "Name:\txgrey-bench\nVmHWM:\t   9000 kB\nVmRSS:\t   1234 kB\nThreads:\t1\n";
        assert_eq!(field(status, "VmRSS:"), Some(1234 * 1024));
        assert_eq!(field(status, "AnonHugePages:"), None);
        assert!(resident_bytes() > 100 * 1024);
        assert_eq!(huge_page_bytes().map(|bytes| bytes % 4096), Some(0));
    }

    #[test]
    fn costs_add_up_and_nothing_has_no_rate() {
        let cost = |touches| Cost { touches, cpu_seconds: 2.0, wall_seconds: 4.0 };
        let sum = cost(100) + cost(300);
        assert_eq!(sum, Cost { touches: 400, cpu_seconds: 4.0, wall_seconds: 8.0 });
        assert_eq!((sum.per_cpu_second(), sum.per_wall_second()), (Some(100.0), Some(50.0)));
        assert_eq!(Cost::default().per_cpu_second(), None);
        assert_eq!(cost(0).per_wall_second(), None);
    }

    #[test]
    fn a_meter_sees_work() {
        let meter = Meter::start();
        let mut number = 1_u64;
        while meter.cost(1).cpu_seconds == 0.0 {
            number = std::hint::black_box(number.wrapping_mul(3));
        }
        assert!(meter.cost(1).wall_seconds > 0.0);
    }
}
