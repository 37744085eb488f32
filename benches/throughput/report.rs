//! The report that is printed and written.

use serde::{Serialize, Serializer};
use serde_json::json;

use crate::kind::Program;
use crate::machine::Machine;
use crate::measure::{Finished, Measured};
use crate::population::{Bulk, count};

/// The results of a run.
#[derive(Serialize)]
pub struct Report {
    pub machine: Machine,
    /// The rates of import and export, of each population.
    pub bulk: Vec<Vec<Bulk>>,
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
        self.print_growth();
    }

    /// How the first server does with more users. It is compared by way of the empty handler, which has none: the machine
    /// may have been slower while it did the one than while it did the other.
    fn print_growth(&self) {
        for scenario in &self.scenarios {
            let smallest = self.scenarios.iter().find(|other| {
                (&other.workload, other.in_flight) == (&scenario.workload, scenario.in_flight)
            });
            let share = |scenario: &Finished| {
                let empty = scenario.empty()?;
                Some(scenario.measured[0].median_rate() / empty.median_rate())
            };
            if let Some(smallest) = smallest
                && smallest.users < scenario.users
                && let Some((large, small)) = share(scenario).zip(share(smallest))
            {
                println!(
                    "ratio {} at {} users/at {} {} {} in flight: {:.2}",
                    scenario.measured[0].kind.name,
                    count(scenario.users),
                    count(smallest.users),
                    scenario.workload,
                    scenario.in_flight,
                    large / small,
                );
            }
        }
    }
}

impl Finished {
    /// The first server against each of the others, and the first one on PostgreSQL against those others that are there too.
    fn against(&self) -> impl Iterator<Item = (&Measured, &Measured)> {
        let (first, others) = self.measured.split_at(1);
        let mut on_postgres = self
            .measured
            .iter()
            .filter(|server| server.kind.program.is_on_postgres());
        let first_on_postgres = on_postgres.next();
        let all = others.iter().map(move |other| (&first[0], other));
        let there = on_postgres.filter_map(move |other| Some((first_on_postgres?, other)));
        // Once, where the first of all is on PostgreSQL.
        all.chain(there.filter(move |(base, _)| !std::ptr::eq(*base, &raw const first[0])))
    }

    fn empty(&self) -> Option<&Measured> {
        let mut servers = self.measured.iter();
        servers.find(|server| matches!(server.kind.program, Program::Empty))
    }

    fn label(&self) -> String {
        format!("{} {} users", self.workload, count(self.users))
    }

    fn print_ratios(&self) {
        let label = self.label();
        for (first, other) in self.against() {
            let ratio = first.median_rate() / other.median_rate();
            let decimals = other.kind.decimals;
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
        let first = &self.measured[0];
        if let Some(empty) = self.empty() {
            println!(
                "  p99, {}/{}: {:.1}",
                first.kind.name,
                empty.kind.name,
                first.latency_ms(0.99) / empty.latency_ms(0.99)
            );
        }
        println!(
            "  {}: {:.0} tags removed a second; ready after {:.0} ms; {:.1} MiB before the first request, {:.1} at most",
            first.kind.name,
            first.median_removal_rate(),
            first.ready_ms().unwrap_or_default(),
            first.idle_memory,
            first.peak_memory,
        );
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
                "{:<12} {:>9.0} {:>17} {:>9.2} {:>9.2} {:>9.2} {:>10.4} {:>10.4} {:>8.1} {:>8} {:>7}",
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

    fn ready_ms(&self) -> Option<f64> {
        self.ready_after.map(|time| time.as_secs_f64() * 1000.0)
    }

    /// The share of the tags that were removed, of a server that has tags.
    fn removed_share(&self) -> Option<f64> {
        let has_tags = !matches!(self.kind.program, Program::Empty | Program::ByHand);
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
            "name": self.label(),
            "workload": self.workload,
            "users": self.users,
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
            "tags_removed_per_second": self.median_removal_rate(),
            "ready_after_ms": self.ready_ms(),
            "server_idle_memory_mib": self.idle_memory,
            "server_peak_memory_mib": self.peak_memory,
            "ok": self.counts.ok,
            "failed": self.counts.failed,
            "share_that_removed_tags": self.removed_share(),
        })
    }
}
