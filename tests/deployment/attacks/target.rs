//! The service under attack, and the well-behaved client that shares it with the attackers.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tempfile::TempDir;

use crate::support::{Server, list, sample, untag};

/// The most memory that the service may ever have had, in MiB. It has 20 to 30 when nobody attacks it.
const MOST_MEMORY: u64 = 192;

/// The service with the sample data.
pub struct Target {
    pub server: Server,
    pub directory: TempDir,
}

/// Tells attackers when to stop, and how much they have done.
#[derive(Clone)]
pub struct Attack {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    load: Arc<AtomicU64>,
}

impl Attack {
    pub fn is_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Counts what was sent.
    pub fn count(&self, load: u64) {
        self.load.fetch_add(load, Ordering::Relaxed);
    }
}

impl Target {
    pub fn start(arguments: &[&str]) -> Self {
        let (server, directory) = sample(arguments);
        Self { server, directory }
    }

    /// A target that may have only `count` files open.
    pub fn start_with_few_files(count: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let program = untag();
        let mut command = std::process::Command::new("prlimit");
        command
            .arg(format!("--nofile={count}:{count}"))
            .arg(program.get_program())
            .args(["serve", "--sample-data", "--data-dir"])
            .arg(directory.path());
        let server = Server::spawn(command);
        Self { server, directory }
    }

    /// The most memory that the process has had so far, in MiB.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes: u64 = line
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        kibibytes / 1024
    }

    /// Runs attackers for a while beside a well-behaved client, all of whose calls have to be answered.
    pub async fn endure(
        &self,
        name: &str,
        attackers: usize,
        what: &str,
        attack: impl Fn(&Attack) + Send + Sync + 'static,
    ) {
        let seconds = std::env::var("UNTAG_ATTACK_SECONDS").ok();
        let seconds = seconds.map_or(2.0, |seconds| seconds.parse().unwrap());
        let state = Attack {
            address: self.server.address,
            stop: Arc::default(),
            load: Arc::default(),
        };
        let mut client = self.server.client().await;
        let attack = Arc::new(attack);
        let attackers: Vec<_> = (0..attackers)
            .map(|_| {
                let (state, attack) = (state.clone(), Arc::clone(&attack));
                thread::spawn(move || {
                    while state.is_on() {
                        attack(&state);
                    }
                })
            })
            .collect();
        // The attack is on before the client's first call.
        let started = Instant::now();
        while state.load.load(Ordering::Relaxed) == 0 {
            assert!(started.elapsed() < crate::support::PATIENCE, "no attack");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut latency = Histogram::<u64>::new(3).unwrap();
        let mut failed = Vec::new();
        let started = Instant::now();
        while started.elapsed().as_secs_f64() < seconds {
            let asked = Instant::now();
            match client.list_tag_resources(list()).await {
                Ok(_) => latency
                    .record(asked.elapsed().as_micros().try_into().unwrap())
                    .unwrap(),
                Err(status) => failed.push(status),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        state.stop.store(true, Ordering::Relaxed);
        for attacker in attackers {
            attacker.join().unwrap();
        }
        let calls = latency.len() + u64::try_from(failed.len()).unwrap();
        println!(
            "| {name} | {} {what} | {} of {calls} | {} ms | {} MiB |",
            state.load.load(Ordering::Relaxed),
            latency.len(),
            latency.value_at_quantile(0.99) / 1000,
            self.peak_memory(),
        );
        assert!(
            failed.is_empty(),
            "{:?} of {}",
            failed.first(),
            failed.len()
        );
        assert!(!latency.is_empty());
        let memory = self.peak_memory();
        assert!(memory < MOST_MEMORY, "{memory} MiB");
        // A new client is served too, by the same process.
        self.is_well().await;
    }

    /// Somebody who comes now is answered.
    pub async fn is_well(&self) {
        let mut client = self.server.client().await;
        client.list_tag_resources(list()).await.unwrap();
    }
}
