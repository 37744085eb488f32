//! A service under load: users come and go and lose tags; it is stopped, killed, and left alone until it has compacted and checkpointed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::timeout;
use untag_power_loss::Disk;

use super::audience::Audience;
use super::audit::Audit;
use super::callers::{Caller, History, Shift};
use super::clients::{Clients, by_worker};
use super::images::Recorded;
use super::mount;
use crate::crash::model::ACCOUNT;
use crate::crash::users::WORKERS;
use crate::support::{PATIENCE, Server, untag, wait_until};

/// How often the service is started in a record.
const STARTS: usize = 5;
/// The most calls that are answered between two starts.
const CALLS: u32 = 300;

/// How the service is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// It keeps its history, and rotates its audit itself.
    Keeping,
    /// It forgets its history after a second, and its audit is renamed by others.
    Forgetting,
}

impl Setup {
    /// The service on the data directory of a disk.
    pub fn serve(self, disk: &Path) -> Server {
        let mut command = untag();
        command.args(["serve", "--default-account", ACCOUNT, "--data-dir"]);
        command.arg(Self::data(disk));
        if self == Self::Forgetting {
            let audit = self.audit().file(disk);
            command.args(["--history-retention", "1", "--audit-log"]);
            command.arg(audit);
        }
        Server::spawn(command)
    }

    pub fn data(disk: &Path) -> PathBuf {
        disk.join("data")
    }

    pub fn audit(self) -> Audit {
        match self {
            Self::Keeping => Audit::Rotated,
            Self::Forgetting => Audit::Followed,
        }
    }
}

/// How a run of the service ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is left alone until all is compacted and the write-ahead log empty, gets more calls, and is asked to stop.
    Idle,
    /// It is asked to stop.
    Stopped,
    /// It is killed in the middle of calls.
    Killed,
}

/// Runs the service on a new disk. Returns what was done to the disk, and what checks an image.
pub fn record(setup: Setup, seed: u64) -> Recorded<impl FnMut(usize, &Path)> {
    let runtime = Runtime::new().unwrap();
    let disk = Disk::default();
    let (first, histories) = runtime.block_on(run(setup, &disk, seed));
    let mut audience = Audience::new(setup, histories);
    let record = disk.record();
    assert_eq!(
        record.fsyncs_of("untag.db-wal"),
        0,
        "SQLite does not know fdatasync, see .cargo/config.toml"
    );
    Recorded {
        record,
        first,
        check: move |moment, image: &Path| runtime.block_on(audience.check(moment, image)),
    }
}

/// Returns the first moment of which there may be images, and what was answered.
async fn run(setup: Setup, disk: &Disk, seed: u64) -> (usize, Vec<History>) {
    let mut random = StdRng::seed_from_u64(seed);
    let (mounted, mount_point) = mount(disk);
    let root = mount_point.path();
    setup.audit().prepare(root);
    let first = disk.moment();
    let mut callers: Vec<_> = (0..WORKERS)
        .map(|number| Caller::new(seed, number))
        .collect();
    for start in 0..STARTS {
        if start > 0 {
            setup.audit().fill(root);
        }
        let mut server = setup.serve(root);
        let listed = by_worker(Clients::of(&server).await.listed().await);
        for (caller, found) in callers.iter_mut().zip(&listed) {
            caller.settle(disk.moment(), found);
        }
        let end = match start {
            1 => End::Idle,
            _ if random.random() => End::Killed,
            _ => End::Stopped,
        };
        let calls = random.random_range(1..CALLS);
        callers = call(callers, disk, &mut server, calls, end).await;
        setup.audit().rename(root, start);
        if end == End::Idle {
            let log = Setup::data(root).join("untag.db-wal");
            wait_until("the write-ahead log is empty", || {
                log.metadata().is_ok_and(|file| file.len() == 0)
            });
        }
        if end != End::Killed {
            callers = call(callers, disk, &mut server, calls / 2, End::Stopped).await;
            server.signal("TERM");
            assert!(server.wait(PATIENCE).success());
        }
    }
    drop(mounted);
    let histories = callers.into_iter().map(Caller::into_history);
    (first, histories.collect())
}

/// Lets all callers send until so many calls are answered, and kills the service then where that is its end.
async fn call(
    callers: Vec<Caller>,
    disk: &Disk,
    server: &mut Server,
    calls: u32,
    end: End,
) -> Vec<Caller> {
    let shift = Shift::new(disk);
    let mut running = JoinSet::new();
    for (number, caller) in callers.into_iter().enumerate() {
        let clients = Clients::of(server).await;
        let shift = Arc::clone(&shift);
        running.spawn(async move { (number, caller.run(clients, shift).await) });
    }
    tokio::select! {
        enough = timeout(PATIENCE, shift.answers.acquire_many(calls)) => {
            enough.expect("the service answers").unwrap().forget();
        }
        Some(ended) = running.join_next() => panic!("a caller has ended: {:?}", ended.err()),
    }
    if end == End::Killed {
        shift.is_killed.store(true, Ordering::SeqCst);
        server.kill();
    } else {
        shift.is_over.store(true, Ordering::SeqCst);
    }
    let ended = timeout(PATIENCE, running.join_all()).await;
    let mut callers = ended.expect("the calls end");
    callers.sort_by_key(|(number, _)| *number);
    callers.into_iter().map(|(_, caller)| caller).collect()
}
