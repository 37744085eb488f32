//! A limit of memory, as a container has it: a control group of the kernel, of either version.

use std::fs;
use std::path::{Path, PathBuf};

/// A control group, which goes when nobody is in it any more.
pub struct Cgroup {
    path: PathBuf,
    is_v2: bool,
}

impl Cgroup {
    /// A group that may have so many bytes. Needs root, as running containers does.
    pub fn new(limit: u64) -> Self {
        let is_v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        let parent = if is_v2 {
            "/sys/fs/cgroup"
        } else {
            "/sys/fs/cgroup/memory"
        };
        let path = Path::new(parent).join(format!("untag-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&path)
            .unwrap_or_else(|error| panic!("{}: {error}: run this test as root", path.display()));
        let group = Self { path, is_v2 };
        let name = if is_v2 {
            "memory.max"
        } else {
            "memory.limit_in_bytes"
        };
        fs::write(group.path.join(name), limit.to_string()).unwrap();
        // Without swap, as in a pod; not every kernel counts it.
        let (name, limit) = if is_v2 {
            ("memory.swap.max", 0)
        } else {
            ("memory.memsw.limit_in_bytes", limit)
        };
        let _ = fs::write(group.path.join(name), limit.to_string());
        group
    }

    /// The file that a process writes its id to.
    pub fn processes(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// The most bytes that were used so far.
    pub fn peak(&self) -> u64 {
        let name = if self.is_v2 {
            "memory.peak"
        } else {
            "memory.max_usage_in_bytes"
        };
        self.read(name).trim().parse().unwrap()
    }

    /// Whether a process was killed for want of memory.
    pub fn has_killed(&self) -> bool {
        let name = if self.is_v2 {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        let text = self.read(name);
        let killed = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        killed.is_some_and(|count| count.trim() != "0")
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).unwrap()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // It is busy while its last process ends.
        for _ in 0..100 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}
