//! The measurement: the servers take turns in short slices.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::kind::Kind;
use crate::load::{self, Counts, Window};
use crate::population::{Population, count};
use crate::scenario::Scenario;
use crate::server::{Server, flush};
use crate::tally::Tally;
use crate::workload::Skew;
use crate::{Outcome, by_hand, process, refill, verify};

/// How long servers may take to settle. Two that read 10 million users after their start take 40 s, and minutes where the
/// system has not cached their files.
const PATIENCE: Duration = Duration::from_mins(10);
/// The time between two looks at the servers: longer than between two checks of readiness, with which they begin to compact.
const PAUSE: Duration = Duration::from_millis(1250);
/// The share of a core that idle servers may use.
const IDLE: f64 = 0.05;
/// How many bytes idle servers may read meanwhile. One that waits for the disk uses little of a core.
const IDLE_BYTES: u64 = 1 << 20;

/// The measurements of one server, of all of its slices.
pub struct Measured {
    pub kind: &'static Kind,
    /// Answers with OK a second, in each slice.
    pub rates: Vec<f64>,
    /// Removed tags a second, in each slice.
    pub removal_rates: Vec<f64>,
    pub counts: Counts,
    /// Processor seconds in the measured time.
    pub server_cpu: f64,
    pub generator_cpu: f64,
    /// The time from the start to being ready, where the server says so.
    pub ready_after: Option<Duration>,
    /// The memory before the first request, in MiB.
    pub idle_memory: f64,
    /// The most memory, in MiB.
    pub peak_memory: f64,
}

impl Measured {
    pub fn median_rate(&self) -> f64 {
        median(&self.rates)
    }

    pub fn median_removal_rate(&self) -> f64 {
        median(&self.removal_rates)
    }
}

fn median(rates: &[f64]) -> f64 {
    let mut rates = rates.to_vec();
    rates.sort_by(f64::total_cmp);
    let middle = rates.len() / 2;
    if rates.len().is_multiple_of(2) {
        f64::midpoint(rates[middle - 1], rates[middle])
    } else {
        rates[middle]
    }
}

/// A scenario with its results, in the order of its servers.
pub struct Finished {
    pub title: String,
    /// The workload, and how its users are drawn.
    pub workload: String,
    pub users: u32,
    pub in_flight: usize,
    /// The measured time of a slice; answers that come after it are in no number.
    pub slice: Duration,
    pub measured: Vec<Measured>,
}

/// Starts the servers, each on its own copy of the users, and measures them in turns.
pub fn run(scenario: &Scenario, population: &Population, directory: &Path) -> Outcome<Finished> {
    let directory = tempfile::tempdir_in(directory)?;
    let mut servers = start(scenario, population, directory.path())?;
    let (workload, title) = titles(scenario, population);
    println!("measuring {title}");
    for round in 0..scenario.rounds {
        // To and fro: a machine that slows down in a round hurts nobody more than the others.
        if round > 0 {
            servers.reverse();
        }
        for next in 0..servers.len() {
            let (server, measured) = &mut servers[next];
            if let Some(tally) = &server.tally
                && measured.counts.failed.is_empty()
            {
                refill::refill(server, tally, scenario.accounts)?;
            } else if server.database.is_some() {
                refill::refill_by_hand(population.postgres()?, server.kind.name);
            }
            settle(&servers, directory.path())?;
            let (server, measured) = &mut servers[next];
            let load = Load {
                scenario,
                users: population.users,
                directory: directory.path(),
                round: round.into(),
            };
            load.slice(server, measured)?;
        }
    }
    servers.sort_by_key(|(server, _)| {
        scenario
            .servers
            .iter()
            .position(|kind| kind.name == server.kind.name)
    });
    for (server, measured) in &mut servers {
        measured.peak_memory = server.memory()?.peak;
        if let Some(tally) = &server.tally
            && measured.counts.failed.is_empty()
        {
            verify::check(server, tally, scenario.accounts)?;
        }
    }
    let measured = servers.into_iter().map(|(_, measured)| measured).collect();
    Ok(Finished {
        title,
        workload,
        users: population.users,
        in_flight: scenario.in_flight,
        slice: scenario.measured,
        measured,
    })
}

/// Starts the servers of a scenario, each on its own copy of the users.
fn start(
    scenario: &Scenario,
    population: &Population,
    directory: &Path,
) -> Outcome<Vec<(Server, Measured)>> {
    let mut servers = Vec::new();
    for kind in &scenario.servers {
        let tally = Tally::new(population.users, scenario.workload.lists());
        let server = Server::start(kind, tally, population, directory)?;
        let measured = Measured {
            kind,
            rates: Vec::new(),
            removal_rates: Vec::new(),
            counts: Counts::new()?,
            server_cpu: 0.0,
            generator_cpu: 0.0,
            ready_after: server.ready_after,
            idle_memory: server.memory()?.now,
            peak_memory: 0.0,
        };
        servers.push((server, measured));
    }
    Ok(servers)
}

/// The name of the workload with how its users are drawn, and the title of the measurement.
fn titles(scenario: &Scenario, population: &Population) -> (String, String) {
    let skew = match scenario.skew {
        Skew::Uniform => "",
        Skew::Zipf => " zipf",
    };
    let workload = format!("{}{skew}", scenario.workload.name);
    let title = format!(
        "{workload} {} users in {}, {} in flight over {} connections, {} slices of {} s for each server after {} s of warm-up",
        count(population.users),
        scenario.accounts,
        scenario.in_flight,
        scenario.connections,
        scenario.rounds,
        scenario.measured.as_secs(),
        scenario.warm_up.as_secs(),
    );
    (workload, title)
}

/// Waits until no server has anything left to do, and what they have written is on the disk, both of which all share with
/// the next slice.
fn settle(servers: &[(Server, Measured)], directory: &Path) -> Outcome<()> {
    let sum_up = || -> Outcome<(f64, u64)> {
        let (mut seconds, mut bytes) = (0.0, 0);
        for (server, _) in servers {
            seconds += server.cpu_seconds()?;
            bytes += server.bytes_read()?;
        }
        Ok((seconds, bytes))
    };
    let until = Instant::now() + PATIENCE;
    let mut before = sum_up()?;
    while Instant::now() < until {
        thread::sleep(PAUSE);
        let now = sum_up()?;
        if now.0 - before.0 < IDLE * PAUSE.as_secs_f64() && now.1 - before.1 < IDLE_BYTES {
            break;
        }
        before = now;
    }
    flush(directory)
}

/// The load of a round. Every server gets the same requests in the same one.
struct Load<'run> {
    scenario: &'run Scenario,
    users: u32,
    /// Where files may be put.
    directory: &'run Path,
    round: u64,
}

impl Load<'_> {
    /// Measures one slice of a server.
    fn slice(&self, server: &Server, measured: &mut Measured) -> Outcome<()> {
        let from = Instant::now() + self.scenario.warm_up;
        let window = Window {
            from,
            until: from + self.scenario.measured,
        };
        let cpu = || -> Outcome<(f64, f64)> {
            Ok((
                server.cpu_seconds()?,
                process::cpu_seconds(std::process::id())?,
            ))
        };
        let (counts, before, after) = thread::scope(|scope| {
            let load = scope.spawn(|| self.run(server, window));
            sleep_until(window.from);
            let before = cpu()?;
            sleep_until(window.until);
            let after = cpu()?;
            let counts = load.join().map_err(|_| "the load has panicked")??;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((counts, before, after))
        })?;
        measured.server_cpu += after.0 - before.0;
        measured.generator_cpu += after.1 - before.1;
        let seconds = self.scenario.measured.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 of them")]
        let rate = |count: u64| count as f64 / seconds;
        measured.rates.push(rate(counts.ok));
        measured.removal_rates.push(rate(counts.removed_tags));
        measured.counts.add(&counts)
    }

    fn run(&self, server: &Server, window: Window) -> Outcome<Counts> {
        match &server.database {
            None => load::run(self.scenario, server, self.users, window, self.round),
            Some(database) => {
                by_hand::run(self.scenario, database, self.users, window, self.directory)
            }
        }
    }
}

fn sleep_until(time: Instant) {
    thread::sleep(time.saturating_duration_since(Instant::now()));
}
