//! Which machine a run was made on, and a number that tells runs apart.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use serde::Serialize;

/// The machine and its kernel.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
}

impl Machine {
    /// The one that this runs on.
    pub(crate) fn this() -> Self {
        let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == "model name").then(|| value.trim().to_owned())
        });
        let uname = rustix::system::uname();
        let [system, release, hardware] =
            [uname.sysname(), uname.release(), uname.machine()].map(|text| text.to_string_lossy());
        Self {
            cpu: model.unwrap_or_else(|| "unknown CPU".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            kernel: format!("{system} {release} {hardware}"),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} cores, {}", self.cpu, self.cores, self.kernel)
    }
}

/// Another one each time, and short enough for JSON's readers, many of which keep 53 bits.
pub(crate) fn random_seed() -> u64 {
    RandomState::new().hash_one("seed") >> 32
}
