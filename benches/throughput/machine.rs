//! The machine that is measured on, since the numbers depend on it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde::Serialize;

use crate::kind::Kind;
use crate::process::value_of;
use crate::{Outcome, load};

/// How many writes the disk is tried with.
const PROBES: usize = 200;

/// The machine.
#[derive(Serialize)]
pub struct Machine {
    processor: String,
    cores: usize,
    memory_mib: u64,
    kernel: String,
    file_system: String,
    fsync_p50_us: u64,
    fsync_p99_us: u64,
}

impl Machine {
    /// Finds out about the machine, and how long the disk under `directory` takes for a commit.
    pub fn look(directory: &Path) -> Outcome<Self> {
        let kind = Command::new("stat")
            .args(["-f", "-c", "%T"])
            .arg(directory)
            .output();
        let kind = kind.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let mut file = File::create(directory.join("probe"))?;
        let mut times = Vec::new();
        for _ in 0..PROBES {
            file.write_all(&[1; 4096])?;
            let started = Instant::now();
            file.sync_data()?;
            times.push(u64::try_from(started.elapsed().as_micros())?);
        }
        times.sort_unstable();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let memory = value_of("/proc/meminfo", "MemTotal")?;
        let memory: u64 = memory.trim_end_matches(" kB").parse()?;
        Ok(Self {
            processor: value_of("/proc/cpuinfo", "model name")?,
            cores: std::thread::available_parallelism()?.get(),
            memory_mib: memory / 1024,
            kernel: kernel.trim().to_owned(),
            file_system: kind.unwrap_or_default(),
            fsync_p50_us: times[PROBES / 2],
            fsync_p99_us: times[PROBES * 99 / 100],
        })
    }

    pub fn print(&self, servers: &[&Kind]) {
        println!(
            "{} cores ({}), which servers and load share; the load runs on {} of them at most; {} MiB, Linux {}",
            self.cores,
            self.processor,
            load::threads(usize::MAX),
            self.memory_mib,
            self.kernel,
        );
        println!(
            "data on {}; 4 KiB are on the disk after {} us (p99 {} us)",
            self.file_system, self.fsync_p50_us, self.fsync_p99_us
        );
        if self.file_system == "tmpfs" {
            println!("WARNING: this is memory and no disk: durability costs nothing here");
        }
        for server in servers {
            println!("  {}: {}", server.name, server.what);
        }
    }
}
