//! The command line, and the plan of measurements that it asks for.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::by_hand;
use crate::kind::{Kind, Program, servers};
use crate::names::Accounts;
use crate::scenario::Scenario;
use crate::workload::{Skew, WORKLOADS, Workload};

/// Measures the throughput of the service against an empty handler and against a commit for each request.
#[derive(Parser)]
#[command(name = "throughput")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Arguments {
    /// Only one workload, one-key with 512 in flight, in short slices: under four minutes with the import.
    #[arg(long, conflicts_with_all = ["workload", "in_flight", "rounds", "seconds"])]
    quick: bool,

    /// The workloads, with commas between them; all of them when not given.
    #[arg(long, value_delimiter = ',', value_parser = workload)]
    workload: Vec<&'static Workload>,

    /// How many users are in the store, with commas between several; 100000 when not given with --postgres.
    #[arg(long, value_delimiter = ',', default_value = "1000000", default_value_if("postgres", "true", "100000"),
        value_parser = clap::value_parser!(u32).range(100..=100_000_000))]
    pub population: Vec<u32>,

    /// To how many accounts the users are dealt out.
    #[arg(long, default_value = "1", conflicts_with = "limit", value_parser = clap::value_parser!(u32).range(1..=1000))]
    accounts: u32,

    /// How many requests are in flight, with commas between several.
    #[arg(long, value_delimiter = ',', default_value = "64,512")]
    in_flight: Vec<usize>,

    /// Over how many connections; one for each 64 requests in flight when not given, but at least 8. Never more than
    /// requests.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    connections: Option<u16>,

    /// How the users of requests are drawn.
    #[arg(long, value_enum, default_value_t = Skew::Uniform)]
    skew: Skew,

    /// How many slices each server gets.
    #[arg(long, default_value = "7", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// How long a slice is measured, in seconds.
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,

    /// Measure the store in PostgreSQL too, in a cluster of its own, for which the server's programs have to be there.
    #[arg(long)]
    pub postgres: bool,

    /// Measure pgbench as well, with the same work in functions written by hand: one key and 50x5.
    #[arg(long, requires = "postgres")]
    limit: bool,

    /// A setting of the PostgreSQL, such as `commit_delay=2000`; given as often as there are some.
    #[arg(long, value_name = "NAME=VALUE", requires = "postgres")]
    pub postgres_setting: Vec<String>,

    /// One more flag for `untag serve` of this build on PostgreSQL, such as --audit-log=FILE; given as often as there are some.
    #[arg(
        long,
        value_name = "FLAG",
        requires = "postgres",
        allow_hyphen_values = true
    )]
    pub postgres_flag: Vec<String>,

    /// Another build of untag, which is then measured too; with --postgres, on that store as well.
    #[arg(long, value_name = "PROGRAM")]
    pub against: Option<PathBuf>,

    /// Only these servers, by their names in the table, with commas between them; all of them when not given.
    #[arg(long, value_delimiter = ',')]
    server: Vec<String>,

    /// Measure nothing, and only draw the JSON of an earlier run, to a file beside it.
    #[arg(long, value_name = "JSON")]
    pub draw: Option<PathBuf>,

    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    fn connections(&self, in_flight: usize) -> usize {
        self.connections
            .map_or((in_flight / 64).max(8), usize::from)
    }

    /// The accounts of the users.
    pub fn accounts(&self) -> Accounts {
        Accounts(self.accounts)
    }

    /// The scenarios to measure in each population, in order.
    pub fn plan(&self) -> Vec<Scenario> {
        let (workloads, in_flight, rounds, seconds) = if self.quick {
            (vec![&WORKLOADS[0]], vec![512], 5, 4)
        } else if self.workload.is_empty() {
            let all = WORKLOADS.iter().collect();
            (all, self.in_flight.clone(), self.rounds, self.seconds)
        } else {
            let chosen = self.workload.clone();
            (chosen, self.in_flight.clone(), self.rounds, self.seconds)
        };
        let mut servers = servers(self.postgres, self.limit, self.against.as_deref());
        servers.retain(|kind| {
            self.server.is_empty() || self.server.iter().any(|name| name == kind.name)
        });
        let scenario = |workload, in_flight: usize| Scenario {
            workload,
            servers: measurable(&servers, workload),
            in_flight,
            connections: self.connections(in_flight).clamp(1, in_flight.max(1)),
            skew: self.skew,
            accounts: self.accounts(),
            rounds,
            warm_up: Duration::from_secs(1),
            measured: Duration::from_secs(seconds),
        };
        workloads
            .iter()
            .flat_map(|workload| {
                in_flight
                    .iter()
                    .map(move |count| scenario(*workload, *count))
            })
            .collect()
    }
}

/// The servers that a workload can be measured on.
fn measurable(servers: &[&'static Kind], workload: &Workload) -> Vec<&'static Kind> {
    let is_written = by_hand::has(workload);
    let servers = servers.iter().copied();
    servers
        .filter(|kind| is_written || !matches!(kind.program, Program::ByHand))
        .collect()
}

fn workload(name: &str) -> Result<&'static Workload, String> {
    let found = WORKLOADS.iter().find(|workload| workload.name == name);
    found.ok_or_else(|| {
        let names: Vec<_> = WORKLOADS.iter().map(|workload| workload.name).collect();
        format!("give one of {}", names.join(", "))
    })
}
