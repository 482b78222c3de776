//! What this machine has.

/// Bytes of memory that we may use at most: the machine's, or the control group's if that has less.
/// `None` where the kernel does not say.
pub fn memory_bytes() -> Option<u64> {
    procfs_total().into_iter().chain(cgroup_limit()).min()
}

/// Bytes of memory that this process has now. `None` where the kernel does not say.
pub fn resident_bytes() -> Option<u64> {
    let memory = procfs::process::Process::myself().ok()?.statm().ok()?;
    Some(memory.resident * procfs::page_size())
}

fn procfs_total() -> Option<u64> {
    use procfs::Current;
    Some(procfs::Meminfo::current().ok()?.mem_total)
}

/// The lowest `memory.max` from our cgroup up to the root (cgroup v2).
fn cgroup_limit() -> Option<u64> {
    let groups = procfs::process::Process::myself().ok()?.cgroups().ok()?;
    let unified = groups.into_iter().find(|group| group.hierarchy == 0)?;
    let root = std::path::Path::new("/sys/fs/cgroup");
    let own = root.join(unified.pathname.trim_start_matches('/'));
    own.ancestors()
        .take_while(|path| path.starts_with(root))
        .filter_map(|path| {
            std::fs::read_to_string(path.join("memory.max")).ok()?.trim().parse().ok()
        })
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_group_gives_more_than_the_machine_has() {
        let memory = memory_bytes().unwrap();
        assert!(memory > 0);
        assert!(memory <= procfs_total().unwrap());
    }
}
