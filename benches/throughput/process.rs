//! What Linux tells of a process.

use std::fs;

use crate::Outcome;

/// Ticks a second in `/proc/<pid>/stat`: the same on every architecture.
const TICKS: f64 = 100.0;

/// The processor time that a process has used, all its threads together, in seconds.
#[expect(clippy::cast_precision_loss, reason = "centuries of ticks fit")]
pub fn cpu_seconds(pid: u32) -> Outcome<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may have spaces; utime and stime are the 12th and 13th fields after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let times: Vec<u64> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(times.iter().sum::<u64>() as f64 / TICKS)
}

/// The most memory that a process has had resident, in MiB.
pub fn peak_memory(pid: u32) -> Outcome<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes: u64 = line
        .and_then(|line| line.split_whitespace().next())
        .unwrap_or("0")
        .parse()?;
    Ok(kibibytes / 1024)
}
