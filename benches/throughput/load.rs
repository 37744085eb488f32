//! The load: a number of callers over a number of connections, each with one request at a time. It uses HTTP/2 through h2
//! itself, since a gRPC client would cost more than the server that is measured.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use hdrhistogram::Histogram;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Outcome;
use crate::call::{Failure, RequestHeaders, call};
use crate::encoding::{encode, listed_keys};
use crate::names::Accounts;
use crate::scenario::Scenario;
use crate::server::Server;
use crate::tally::Tally;
use crate::workload::{Action, Draw, Skew, Workload};

/// The largest latency that is recorded, in microseconds.
pub const SLOWEST: u64 = 120_000_000;
/// The flow-control window, which never makes a server wait: answers are small, and are read at once.
const WINDOW: u32 = 1 << 24;

/// The results of the requests that were answered in the measured time.
pub struct Counts {
    pub ok: u64,
    /// How many of them had a tag to remove.
    pub removed: u64,
    /// How many tags these have removed.
    pub removed_tags: u64,
    /// The answers other than OK, with how often each came.
    pub failed: BTreeMap<String, u64>,
    /// The latencies of answers with OK, in microseconds.
    pub latency: Histogram<u64>,
}

impl Counts {
    pub fn new() -> Outcome<Self> {
        let latency = Histogram::new_with_max(SLOWEST, 3)?;
        Ok(Self {
            ok: 0,
            removed: 0,
            removed_tags: 0,
            failed: BTreeMap::new(),
            latency,
        })
    }

    pub fn add(&mut self, other: &Self) -> Outcome<()> {
        self.ok += other.ok;
        self.removed += other.removed;
        self.removed_tags += other.removed_tags;
        for (what, count) in &other.failed {
            *self.failed.entry(what.clone()).or_default() += count;
        }
        Ok(self.latency.add(&other.latency)?)
    }

    fn fail(&mut self, what: String) {
        *self.failed.entry(what).or_default() += 1;
    }
}

/// The measured time: before it is warm-up, after it nothing more is sent.
#[derive(Clone, Copy)]
pub struct Window {
    pub from: Instant,
    pub until: Instant,
}

/// The state that all callers of a thread share.
struct Shared {
    workload: &'static Workload,
    skew: Skew,
    accounts: Accounts,
    population: u32,
    window: Window,
    headers: RequestHeaders,
    tally: Option<Arc<Tally>>,
    counts: Mutex<Counts>,
}

/// How many threads make the load: the server should have most of the cores.
pub fn threads(connections: usize) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    (cores / 4).clamp(1, connections)
}

/// Keeps a server under load until the end of the window and the last answer.
pub fn run(
    scenario: &Scenario,
    server: &Server,
    population: u32,
    window: Window,
    seed: u64,
) -> Outcome<Counts> {
    let threads = threads(scenario.connections);
    let one = |thread: usize| {
        let shared = Arc::new(Shared {
            workload: scenario.workload,
            skew: scenario.skew,
            accounts: scenario.accounts,
            population,
            window,
            headers: RequestHeaders::new(server.address, scenario.accounts)?,
            tally: server.tally.clone(),
            counts: Mutex::new(Counts::new()?),
        });
        // Callers and connections are dealt out like cards.
        let share = |all: usize| all / threads + usize::from(thread < all % threads);
        let seed = seed << 32 | (thread as u64) << 24;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(callers(
            &shared,
            server.address,
            share(scenario.connections),
            share(scenario.in_flight),
            seed,
        ))?;
        let mut counts = Counts::new()?;
        counts.add(&shared.counts.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(counts)
    };
    thread::scope(|scope| {
        let one = &one;
        let running: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || one(thread)))
            .collect();
        let mut counts = Counts::new()?;
        for thread in running {
            let part: Outcome<Counts> = thread.join().map_err(|_| "the load has panicked")?;
            counts.add(&part?)?;
        }
        Ok(counts)
    })
}

/// Opens the connections and waits for all callers to end.
async fn callers(
    shared: &Arc<Shared>,
    address: SocketAddr,
    connections: usize,
    in_flight: usize,
    seed: u64,
) -> Outcome<()> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (client, connection) = client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .enable_push(false)
            .handshake::<_, Bytes>(stream)
            .await?;
        // It ends with the last of its callers; what breaks it, they see too.
        tokio::spawn(connection);
        clients.push(client);
    }
    let mut callers = JoinSet::new();
    for (client, number) in clients.iter().cycle().zip(0..in_flight) {
        let rng = StdRng::seed_from_u64(seed | number as u64);
        callers.spawn(caller(client.clone(), Arc::clone(shared), rng));
    }
    while let Some(ended) = callers.join_next().await {
        ended?;
    }
    Ok(())
}

/// Sends one request after the other.
async fn caller(mut client: SendRequest<Bytes>, shared: Arc<Shared>, mut rng: StdRng) {
    let mut draw = Draw::default();
    loop {
        let population = (shared.population, shared.accounts);
        let shape = shared
            .workload
            .next(population, shared.skew, &mut rng, &mut draw);
        let (action, message) = (shape.action, encode(&draw, shape));
        let started = Instant::now();
        if started >= shared.window.until {
            return;
        }
        let tally = shared.tally.as_deref();
        let possible = tally.map(|tally| {
            tally.ask(&draw);
            tally.possible(draw.users[0])
        });
        let account = shared.accounts.number(draw.users[0]);
        let answer = call(&mut client, shared.headers.of(action, account), message).await;
        let finished = Instant::now();
        let mut removed = 0;
        let answer = answer.and_then(|answer| {
            let (Some(tally), Some(possible)) = (tally, possible) else {
                return Ok(());
            };
            if action != Action::List {
                removed = tally.remove(&draw);
                return Ok(());
            }
            let certain = tally.certain(draw.users[0]);
            match listed_keys(&answer) {
                Some(listed) if listed & !possible == 0 && certain & !listed == 0 => Ok(()),
                _ => Err(Failure::Status("a list was not true".to_owned())),
            }
        });
        let measured = (shared.window.from..shared.window.until).contains(&finished);
        let mut counts = shared.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(()) if measured => {
                counts.ok += 1;
                counts.removed += u64::from(removed > 0);
                counts.removed_tags += u64::from(removed);
                let elapsed = finished.duration_since(started).as_micros();
                counts
                    .latency
                    .saturating_record(u64::try_from(elapsed).unwrap_or(SLOWEST));
            }
            Ok(()) => {}
            // A failure counts whenever it happens.
            Err(Failure::Status(status)) => counts.fail(status),
            Err(Failure::Connection(error)) => {
                counts.fail(error.to_string());
                return;
            }
        }
    }
}
