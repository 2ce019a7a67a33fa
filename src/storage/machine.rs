//! How much memory there is: of the machine, or what a memory cgroup leaves of it.
//!
//! Linux says so in files; elsewhere nobody is asked. Knows nothing of what the memory is for.

#[cfg(target_os = "linux")]
use std::path::Path;

/// Bytes of memory that this process may use; `None` where that cannot be told.
#[cfg(target_os = "linux")]
pub(super) fn memory_len() -> Option<u64> {
    memory_len_below(Path::new("/"))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn memory_len() -> Option<u64> {
    None
}

/// By the files below `root`.
#[cfg(target_os = "linux")]
fn memory_len_below(root: &Path) -> Option<u64> {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let total = total_of(&read(&root.join("proc/meminfo"))?)?;
    let groups = read(&root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().flat_map(|line| {
        let (folder, file, group) = match line.splitn(3, ':').collect::<Vec<_>>()[..] {
            ["0", "", group] => ("sys/fs/cgroup", "memory.max", group),
            [_, "memory", group] => ("sys/fs/cgroup/memory", "memory.limit_in_bytes", group),
            _ => return Vec::new(),
        };
        let folder = root.join(folder);
        // A limit holds for all groups below. Within a container the path may be one of the host's.
        let above = Path::new(group.trim_start_matches('/')).ancestors();
        above
            .filter_map(|group| read(&folder.join(group).join(file))?.trim().parse().ok())
            .collect()
    });
    Some(limits.min().map_or(total, |limit: u64| limit.min(total)))
}

/// Of the text of `/proc/meminfo`, in bytes.
#[cfg(target_os = "linux")]
fn total_of(text: &str) -> Option<u64> {
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use std::fs;

    use super::{memory_len, memory_len_below};

    #[test]
    fn the_least_limit_on_the_way_up_counts() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let write = |path: &str, text: &str| {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), text).unwrap();
        };
        assert_eq!(memory_len_below(root), None);
        write("proc/meminfo", "MemFree: 1 kB\nMemTotal:       4096 kB\n");
        assert_eq!(memory_len_below(root), Some(4 << 20), "no groups");
        write("proc/self/cgroup", "1:cpu:/x\n0::/a/b\n");
        write("sys/fs/cgroup/a/b/memory.max", "max\n");
        assert_eq!(memory_len_below(root), Some(4 << 20), "no limit");
        write("sys/fs/cgroup/a/memory.max", "1048576\n");
        assert_eq!(memory_len_below(root), Some(1 << 20), "of the group above");
        write("proc/self/cgroup", "4:memory:/elsewhere\n");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "2097152\n");
        assert_eq!(memory_len_below(root), Some(2 << 20), "version 1, whose group is not seen");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(memory_len_below(root), Some(4 << 20), "more than there is");
    }

    #[test]
    fn this_machine_tells() {
        assert!(memory_len().is_some_and(|len| len > 1 << 20));
    }
}
