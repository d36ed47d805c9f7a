//! What the machine gives this process.

use std::{fs, path::Path};

/// Where there is nobody to ask: a small machine.
const UNKNOWN_MEMORY: u64 = 4 << 30;

/// Bytes of memory that this process may use: its cgroup's, or the machine's.
pub(super) fn memory() -> u64 {
    memory_of(Path::new("/proc"), Path::new("/sys/fs/cgroup"))
}

fn memory_of(proc: &Path, cgroups: &Path) -> u64 {
    let machine = fs::read_to_string(proc.join("meminfo")).ok().and_then(|text| total(&text));
    let groups = fs::read_to_string(proc.join("self/cgroup")).unwrap_or_default();
    let limits = groups.lines().filter_map(|line| limit(line, cgroups));
    limits.chain(machine).min().unwrap_or(UNKNOWN_MEMORY)
}

/// `MemTotal: 16384000 kB`
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The smallest limit on the way from a group to its root, of `0::/path` (cgroups(7), version 2) or `4:memory:/path` (version 1). In a container the group's
/// own path may not be there, and its root is the container's.
fn limit(line: &str, cgroups: &Path) -> Option<u64> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let (root, file) = match controllers {
        "" => (cgroups.to_path_buf(), "memory.max"),
        names if names.split(',').any(|name| name == "memory") => (cgroups.join("memory"), "memory.limit_in_bytes"),
        _ => return None,
    };
    let group = root.join(path.trim_start_matches('/'));
    let upwards = group.ancestors().take_while(|folder| folder.starts_with(&root));
    // "max" is no number, and no limit.
    upwards.filter_map(|folder| fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_limit_counts() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let memory = || memory_of(&folder.path().join("proc"), &folder.path().join("sys"));
        assert_eq!(memory(), UNKNOWN_MEMORY);
        write("proc/meminfo", "MemTotal:       16000 kB\nMemFree: 1 kB\n");
        assert_eq!(memory(), 16_000 << 10);
        write("proc/self/cgroup", "0::/a/b\n");
        write("sys/a/b/memory.max", "max\n");
        assert_eq!(memory(), 16_000 << 10);
        write("sys/a/memory.max", "5000000\n");
        assert_eq!(memory(), 5_000_000, "a parent's limit");
        write("sys/a/b/memory.max", "4000000\n");
        assert_eq!(memory(), 4_000_000);
        write("proc/self/cgroup", "3:cpu,cpuacct:/x\n2:memory:/gone\n");
        write("sys/memory/memory.limit_in_bytes", "3000000\n");
        assert_eq!(memory(), 3_000_000, "version 1, in a container");
    }
}
