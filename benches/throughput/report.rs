//! What is printed and written.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde::{Serialize, Serializer};
use serde_json::json;

use crate::measure::{Finished, Measured};
use crate::population::Bulk;
use crate::server::{Kind, Program};
use crate::{Outcome, load};

/// How many writes the disk is tried with.
const PROBES: usize = 200;

/// What the numbers depend on.
#[derive(Serialize)]
pub struct Machine {
    cores: usize,
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
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            file_system: kind.unwrap_or_default(),
            fsync_p50_us: times[PROBES / 2],
            fsync_p99_us: times[PROBES * 99 / 100],
        })
    }

    pub fn print(&self, servers: &[&Kind]) {
        println!(
            "{} cores, which servers and load share; the load runs on {} of them at most",
            self.cores,
            load::threads(usize::MAX)
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

/// All of it.
#[derive(Serialize)]
pub struct Report {
    pub machine: Machine,
    pub bulk: Vec<Bulk>,
    pub scenarios: Vec<Finished>,
}

impl Report {
    /// How many requests have failed.
    pub fn failed(&self) -> u64 {
        let measured = self
            .scenarios
            .iter()
            .flat_map(|scenario| &scenario.measured);
        measured
            .flat_map(|server| server.counts.failed.values())
            .sum()
    }

    pub fn print(&self) {
        for scenario in &self.scenarios {
            println!("\n{}", scenario.title);
            scenario.print_ratios();
            scenario.print_table();
        }
    }
}

impl Finished {
    /// The first server against each of the others.
    fn against(&self) -> impl Iterator<Item = (&Measured, &Measured)> {
        let (first, others) = self.measured.split_at(1);
        others.iter().map(move |other| (&first[0], other))
    }

    fn print_ratios(&self) {
        for (first, other) in self.against() {
            let ratio = first.median_rate() / other.median_rate();
            let (decimals, label) = (other.kind.decimals, &self.label);
            println!(
                "ratio {}/{} {label}: {ratio:.decimals$}",
                first.kind.name, other.kind.name
            );
        }
        for (first, other) in self.against() {
            println!(
                "  server CPU for each request, {}/{}: {:.2}",
                first.kind.name,
                other.kind.name,
                first.server_cpu_per_1000() / other.server_cpu_per_1000()
            );
        }
    }

    fn print_table(&self) {
        println!(
            "{:<12} {:>9} {:>17} {:>9} {:>9} {:>9} {:>10} {:>10} {:>8} {:>8} {:>7}",
            "server",
            "req/s",
            "slices",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "server CPU",
            "load CPU",
            "peak MiB",
            "removed",
            "not OK"
        );
        for server in &self.measured {
            let slices = server.rates.iter().copied();
            println!(
                "{:<12} {:>9.0} {:>17} {:>9.2} {:>9.2} {:>9.2} {:>10.4} {:>10.4} {:>8} {:>8} {:>7}",
                server.kind.name,
                server.median_rate(),
                format!(
                    "{:.0}-{:.0}",
                    slices.clone().fold(f64::INFINITY, f64::min),
                    slices.fold(0.0, f64::max)
                ),
                server.latency_ms(0.5),
                server.latency_ms(0.99),
                server.latency_ms(0.999),
                server.server_cpu_per_1000(),
                server.generator_cpu_per_1000(),
                server.peak_memory,
                server
                    .removed_share()
                    .map_or_else(|| "-".to_owned(), |share| format!("{:.1}%", share * 100.0)),
                server.counts.failed.values().sum::<u64>(),
            );
            if server.latency_ms(0.99) > self.slice.as_secs_f64() * 1000.0 / 4.0 {
                println!("  NOTE: slices are too short for such latencies; give more --seconds");
            }
            for (what, count) in &server.counts.failed {
                println!("  {count} times: {what}");
            }
        }
        println!(
            "req/s: median of the slices; CPU: seconds for 1,000 requests; removed: requests that had a tag to remove"
        );
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "fewer than 2^52 requests and microseconds"
)]
impl Measured {
    fn latency_ms(&self, quantile: f64) -> f64 {
        self.counts.latency.value_at_quantile(quantile) as f64 / 1000.0
    }

    fn server_cpu_per_1000(&self) -> f64 {
        self.server_cpu * 1000.0 / self.counts.ok as f64
    }

    fn generator_cpu_per_1000(&self) -> f64 {
        self.generator_cpu * 1000.0 / self.counts.ok as f64
    }

    /// Known only of a server that has tags.
    fn removed_share(&self) -> Option<f64> {
        let has_tags = !matches!(self.kind.program, Program::Empty);
        has_tags.then(|| self.counts.removed as f64 / self.counts.ok as f64)
    }
}

impl Serialize for Finished {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ratios: serde_json::Map<_, _> = self
            .against()
            .map(|(first, other)| {
                let name = format!("{}/{}", first.kind.name, other.kind.name);
                (name, (first.median_rate() / other.median_rate()).into())
            })
            .collect();
        let servers: Vec<_> = self.measured.iter().map(Measured::to_json).collect();
        let value = json!({
            "name": self.label,
            "in_flight": self.in_flight,
            "title": self.title,
            "ratios": ratios,
            "servers": servers,
        });
        value.serialize(serializer)
    }
}

impl Measured {
    fn to_json(&self) -> serde_json::Value {
        json!({
            "name": self.kind.name,
            "what": self.kind.what,
            "requests_per_second": self.median_rate(),
            "requests_per_second_of_slices": self.rates,
            "latency_ms": {
                "p50": self.latency_ms(0.5),
                "p99": self.latency_ms(0.99),
                "p99.9": self.latency_ms(0.999),
            },
            "server_cpu_seconds_per_1000": self.server_cpu_per_1000(),
            "generator_cpu_seconds_per_1000": self.generator_cpu_per_1000(),
            "server_peak_memory_mib": self.peak_memory,
            "ok": self.counts.ok,
            "failed": self.counts.failed,
            "share_that_removed_tags": self.removed_share(),
        })
    }
}
