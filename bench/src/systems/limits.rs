//! Memory limits as containers have them: a cgroup for each node, version 2 or, where the machine still has it, version 1
//! (Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst). Page cache counts, as it does in a Pod.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const V1: &str = "/sys/fs/cgroup/memory";
const V2: &str = "/sys/fs/cgroup";

/// A cgroup with one process in it; dropped after the process has ended, or the folder stays.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    folder: PathBuf,
    is_v1: bool,
}

impl MemoryLimit {
    pub(super) fn new(pid: u32, bytes: u64) -> Result<MemoryLimit> {
        let is_v1 = Path::new(V1).exists();
        let folder = Path::new(if is_v1 { V1 } else { V2 }).join(format!("taffrail-bench-{pid}"));
        fs::create_dir(&folder).with_context(|| format!("a memory cgroup, as root: {}", folder.display()))?;
        let limit = MemoryLimit { folder, is_v1 };
        limit.write(if is_v1 { "memory.limit_in_bytes" } else { "memory.max" }, bytes)?;
        limit.write("cgroup.procs", pid.into())?;
        Ok(limit)
    }

    /// How often the kernel killed a process for want of memory.
    pub(crate) fn kills(&self) -> Result<u64> {
        let file = if self.is_v1 { "memory.oom_control" } else { "memory.events" };
        let text = fs::read_to_string(self.folder.join(file))?;
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        Ok(line.context("no oom_kill line")?.parse()?)
    }

    fn write(&self, file: &str, value: u64) -> Result<()> {
        let path = self.folder.join(file);
        fs::write(&path, value.to_string()).with_context(|| format!("{}", path.display()))
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        // It can only go when its process has gone; the kernel needs a moment to see that.
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        eprintln!("{} stays behind: a process is still in it", self.folder.display());
    }
}
