//! What the kernel knows of a process: CPU time, resident memory and children, from `/proc` (proc(5)).

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const CHILD_PATIENCE: Duration = Duration::from_secs(5);

/// User and system CPU time since the process began, in seconds.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
    // The command's name may hold spaces and parentheses: the fields that follow start after the last one.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).context("malformed stat");
    Ok((ticks(11)? + ticks(12)?) as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Resident memory in MB (10^6 bytes).
pub(crate) fn resident_mb(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS line")?;
    let kib: f64 = line.split_whitespace().nth(1).context("malformed VmRSS")?.parse()?;
    Ok(kib * 1024.0 / 1e6)
}

/// The process that a script runs, once it does: the one whose file name says that it is Java.
pub(crate) fn java_child(pid: u32) -> Result<u32> {
    let begun = Instant::now();
    while begun.elapsed() < CHILD_PATIENCE {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            let program = fs::read_link(format!("/proc/{child}/exe"));
            if program.is_ok_and(|program| program.ends_with("java")) {
                return Ok(child);
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("process {pid} did not start Java")
}
