//! What processes have used, from /proc (proc_pid_stat(5), proc_pid_status(5)).
//!
//! Must not: ask a process itself.

use std::fs::read_to_string;
use std::time::Duration;

use anyhow::{Context, Result};

/// Time on processors so far, its threads' included.
pub fn cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = read_to_string(&path).with_context(|| path.clone())?;
    // The name in parentheses may hold anything; utime and stime are fields 14 and 15, the name is field 2.
    let (_, rest) = stat.rsplit_once(')').with_context(|| path.clone())?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let (user, system) = ticks().zip(ticks()).with_context(|| path.clone())?;
    // USER_HZ is 100 on every architecture that Linux has today (time(7)).
    Ok(Duration::from_millis((user + system) * 10))
}

/// Of several processes together.
pub fn cpu_of_all(pids: &[u32]) -> Result<Duration> {
    pids.iter().map(|pid| cpu(*pid)).sum()
}

/// Resident now, and at most so far, in KiB.
pub fn memory_kib(pid: u32) -> Result<(u64, u64)> {
    let path = format!("/proc/{pid}/status");
    let status = read_to_string(&path).with_context(|| path.clone())?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    field("VmRSS:")
        .zip(field("VmHWM:"))
        .with_context(|| format!("{path} tells no memory"))
}
