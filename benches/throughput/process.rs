//! The figures that Linux has of a process.

use std::fs;

use crate::Outcome;

/// Ticks a second in `/proc/<pid>/stat`: the same on every architecture.
const TICKS: f64 = 100.0;

/// The processor time that a process has used, all its threads together, in seconds.
pub fn cpu_seconds(pid: u32) -> Outcome<f64> {
    // utime and stime.
    times(pid, 2)
}

/// The processor time that a process and its children have used, with those that have ended.
pub fn cpu_seconds_of_family(pid: u32) -> Outcome<f64> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let children = children.split_whitespace().filter_map(|child| {
        // One that ends meanwhile is among those that have ended, at the next look.
        cpu_seconds(child.parse().ok()?).ok()
    });
    // utime and stime, cutime and cstime.
    Ok(children.sum::<f64>() + times(pid, 4)?)
}

#[expect(clippy::cast_precision_loss, reason = "centuries of ticks fit")]
fn times(pid: u32, how_many: usize) -> Outcome<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may have spaces; the times are the 12th field after it and those that follow.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let times: Vec<u64> = fields
        .split_whitespace()
        .skip(11)
        .take(how_many)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(times.iter().sum::<u64>() as f64 / TICKS)
}

/// How many bytes a process has read, from the disk or from the system's cache.
pub fn bytes_read(pid: u32) -> Outcome<u64> {
    Ok(value_of(&format!("/proc/{pid}/io"), "rchar")?.parse()?)
}

/// The memory of a process, in MiB.
#[derive(Default)]
pub struct Memory {
    pub now: f64,
    /// The most that the process has had resident.
    pub peak: f64,
}

/// The memory that a process has resident.
pub fn memory(pid: u32) -> Outcome<Memory> {
    let status = format!("/proc/{pid}/status");
    let mebibytes = |name| -> Outcome<f64> {
        let value = value_of(&status, name)?;
        let kibibytes: u32 = value.split_whitespace().next().unwrap_or("0").parse()?;
        Ok(f64::from(kibibytes) / 1024.0)
    };
    Ok(Memory {
        now: mebibytes("VmRSS")?,
        peak: mebibytes("VmHWM")?,
    })
}

/// The first value with this name in a file of names and values; empty where there is none, as of some processors.
pub fn value_of(path: &str, name: &str) -> Outcome<String> {
    let text = fs::read_to_string(path)?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(found, _)| found.trim() == name);
    Ok(found.map_or_else(String::new, |(_, value)| value.trim().to_owned()))
}
