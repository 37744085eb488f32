//! How much memory this process may take.

use std::fs;
use std::path::Path;

/// What is taken for the machine's memory where that cannot be read, in bytes.
const UNKNOWN: u64 = 1 << 30;

/// The memory that this process may take, in bytes: the lowest limit of its control group and of those above it, or what
/// the machine has. Files are read below `root`, which is `/`.
pub fn available(root: &Path) -> u64 {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().filter_map(|line| limit_of(root, line));
    limits.chain(machine(root)).min().unwrap_or(UNKNOWN)
}

/// The lowest limit of a group and of those above it. A line is `0::/a/b` in version 2, and `4:cpu,memory:/a/b` in version
/// 1. In a container the path may be one that is seen outside only, but never the top.
fn limit_of(root: &Path, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, group) = (fields.next()?, fields.next()?);
    let (top, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        _ if controllers.split(',').any(|name| name == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let groups = Path::new(group.trim_start_matches('/')).ancestors();
    // Without a limit it is `max`, or more than any machine has.
    let limit = |group: &Path| {
        let text = fs::read_to_string(root.join(top).join(group).join(file)).ok()?;
        text.trim().parse().ok()
    };
    groups.filter_map(limit).min()
}

fn machine(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is available where there are these files and no others.
    fn with(files: &[(&str, &str)]) -> u64 {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        available(root.path())
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\n");
    const GROUP: &str = "proc/self/cgroup";

    #[test]
    fn the_lowest_limit_counts() {
        assert_eq!(with(&[]), UNKNOWN);
        assert_eq!(with(&[MACHINE]), 16 << 20);
        let version_2 = |own, above| {
            with(&[
                MACHINE,
                (GROUP, "0::/above/own\n"),
                ("sys/fs/cgroup/above/own/memory.max", own),
                ("sys/fs/cgroup/above/memory.max", above),
            ])
        };
        assert_eq!(version_2("max\n", "max\n"), 16 << 20);
        assert_eq!(version_2("1000\n", "max\n"), 1000);
        assert_eq!(version_2("1000\n", "900\n"), 900);
        let container = ("sys/fs/cgroup/memory.max", "800\n");
        assert_eq!(with(&[MACHINE, (GROUP, "0::/\n"), container]), 800);
        let version_1 = |memory| {
            with(&[
                MACHINE,
                (GROUP, "5:cpu:/other\n4:hugetlb,memory:/outside\n"),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", memory),
                ("sys/fs/cgroup/cpu/other/memory.limit_in_bytes", "1"),
            ])
        };
        assert_eq!(version_1("700\n"), 700);
        assert_eq!(version_1("9223372036854771712\n"), 16 << 20);
    }

    #[test]
    fn this_machine_has_some() {
        let bytes = available(Path::new("/"));
        assert!(bytes > 16 << 20 && bytes < 1 << 50, "{bytes}");
    }
}
