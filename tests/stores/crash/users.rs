//! Kills a process that lets users come and go, again and again on one data directory, and compares what is in the file with what
//! was answered. The process is this one with another test: users are changed through the store, since no port does it yet.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use futures_util::future::select_all;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use untag::domain::{
    AccountId, Change, ChangeKey, DeletedUsers, Direction, Revision, Timestamp, User, UserListQuery,
};
use untag::store::Store as _;
use untag::store::sqlite::{Options, SqliteStore};

use super::kill::{SLOW_DISK, assert_intact, copy_of};
use super::model::ACCOUNT;
use super::population::{Command, Outcome, Population, START, Worker, worker_of};
use crate::support::PATIENCE;
use crate::support::long_run::{say, say_progress, variable};
use crate::support::replay::{Replay, changes_from};

/// Enough of them to hit commits, compactions and checkpoints; `UNTAG_CRASH_CYCLES` sets another number.
const DEFAULT_CYCLES: u32 = 20;
pub const WORKERS: usize = 8;

/// The test that runs as the process that is killed, and where it finds its data directory and its seed.
const VICTIM: &str = "crash::users::victim_of_the_crash_test";
const DIRECTORY: &str = "UNTAG_CRASH_DIRECTORY";
const SEED: &str = "UNTAG_CRASH_VICTIM_SEED";

fn open(directory: &Path, seed: u64) -> SqliteStore {
    let mut options = Options {
        now: || Timestamp::from_millis(START),
        ..Options::default()
    };
    if seed.is_multiple_of(2) {
        // Compacts and checkpoints all the time.
        (options.uncompacted, options.wal_pages) = (2, 16);
        options.run_keys = 64;
    }
    SqliteStore::open(directory, options, Vec::new()).unwrap()
}

#[test]
#[ignore = "the crash test of users runs it as a process of its own"]
fn victim_of_the_crash_test() {
    let directory = std::env::var(DIRECTORY).expect("only the crash test runs this");
    let seed: u64 = variable(SEED).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Arc::new(open(Path::new(&directory), seed));
        let populations = populations(&store).await.into_iter().enumerate();
        let workers = populations.map(|(number, population)| {
            let store = Arc::clone(&store);
            let mut worker = Worker::new(seed, number, population);
            tokio::spawn(async move {
                loop {
                    let command = worker.command();
                    let outcome = command.send(&*store).await;
                    worker.population.apply(&command);
                    // In one write, so that it is there whole or not at all.
                    say(&format!("@{number} {outcome:?}"));
                }
            })
        });
        // Only a worker that fails ends before the process is killed.
        let (ended, ..) = select_all(workers).await;
        panic!("a worker has ended: {:?}", ended.err());
    });
}

/// The process that is going to be killed, and its answers by worker.
struct Victim {
    process: Child,
    answers: Receiver<(usize, Outcome)>,
}

impl Victim {
    fn start(directory: &Path, seed: u64, slow_disk: bool) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut command = if slow_disk {
            let mut strace = Process::new("strace");
            strace.args(["-D", "-f", "-q"]).args(SLOW_DISK).arg(program);
            strace
        } else {
            Process::new(program)
        };
        command
            .args(["--exact", VICTIM, "--ignored", "--nocapture"])
            .env(DIRECTORY, directory)
            .env(SEED, seed.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut process = command
            .spawn()
            .expect("strace is installed: run scripts/setup");
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, answers) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let answer = line.strip_prefix('@').and_then(|line| {
                    let (worker, outcome) = line.split_once(' ')?;
                    Some((worker.parse().ok()?, Outcome::parse(outcome)?))
                });
                // The others are those of the test's harness.
                if let Some(answer) = answer {
                    let _ = sender.send(answer);
                }
            }
        });
        Self { process, answers }
    }

    /// Kills the process after so many answers and this moment. Returns all answers that it gave.
    fn kill_after(mut self, answers: usize, moment: Duration) -> Vec<Vec<Outcome>> {
        let mut given = vec![Vec::new(); WORKERS];
        for _ in 0..answers {
            let (worker, outcome) = self.answers.recv_timeout(PATIENCE).expect("it answers");
            given[worker].push(outcome);
        }
        thread::sleep(moment);
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        for (worker, outcome) in self.answers {
            given[worker].push(outcome);
        }
        given
    }
}

#[test]
fn sqlite_kill_loses_no_answered_change_of_a_user_and_halves_none() {
    let cycles: u32 = variable("UNTAG_CRASH_CYCLES").unwrap_or(DEFAULT_CYCLES);
    let seed: u64 = variable("UNTAG_CRASH_SEED").unwrap_or_else(rand::random);
    say(&format!(
        "crash seed of users: {seed} (UNTAG_CRASH_SEED sets it)"
    ));
    let mut random = StdRng::seed_from_u64(seed);
    let data = tempfile::tempdir().unwrap();
    let mut expected = vec![Population::default(); WORKERS];
    let mut numbers = BTreeMap::new();
    let (mut made, mut refused, mut unanswered, mut applied) = (0, 0, 0, 0);
    for cycle in 1..=cycles {
        let seed = random.random();
        let victim = Victim::start(data.path(), seed, random.random());
        let moment = Duration::from_micros(random.random_range(0..20_000));
        let answers = victim.kill_after(random.random_range(0..600), moment);

        let found = read_copy(data.path(), &mut numbers);
        for (number, (answers, found)) in answers.into_iter().zip(found).enumerate() {
            let before = std::mem::take(&mut expected[number]);
            let mut worker = Worker::new(seed, number, before);
            for answer in answers {
                let command = worker.command();
                let outcome = worker.population.apply(&command);
                assert_eq!(outcome, answer, "{command:?} in {cycle}");
                match (command, answer) {
                    (Command::Users(_), Outcome::Done) => made += 1,
                    (Command::Users(_), _) => refused += 1,
                    _ => {}
                }
            }
            let last = worker.command();
            let answered = worker.population.clone();
            worker.population.apply(&last);
            unanswered += 1;
            if worker.population == found && found != answered {
                applied += 1;
            } else {
                assert_eq!(found, answered, "after crash {cycle}, unanswered {last:?}");
            }
            expected[number] = found;
        }
        say_progress("crash cycles of users", cycle, cycles);
    }
    say(&format!(
        "crash cycles of users: {cycles}, changes answered as made and verified: {made}, as refused: {refused}, \
         commands unanswered: {unanswered} (applied whole: {applied})"
    ));
    assert!(
        made > 0,
        "no change was made before a crash: nothing was tested"
    );
}

/// All changes in the log of a store.
pub async fn logged(store: &SqliteStore) -> Vec<Change> {
    let account = AccountId::parse(ACCOUNT).unwrap();
    let oldest = store.history(account.clone()).await.unwrap().oldest;
    let from = oldest.unwrap_or(Revision::FIRST).get();
    let query = changes_from(&account, from, Direction::Forwards);
    store.changes(Arc::new(query)).await.unwrap()
}

/// What the change log leads to. In the beginning there was nobody.
async fn replay_log(store: &SqliteStore) -> Replay {
    let account = AccountId::parse(ACCOUNT).unwrap();
    let changes = logged(store).await;
    let newest = changes.last().map(|change| change.revision);
    assert_eq!(store.history(account.clone()).await.unwrap().newest, newest);
    for change in changes.iter().step_by(7) {
        let key = ChangeKey::RequestId(change.request_id);
        let found = store.change(account.clone(), key).await.unwrap();
        assert_eq!(found.as_ref(), Some(change));
    }
    let mut replay = Replay::new(&[]);
    replay.apply(&account, &changes);
    replay
}

/// The users of each worker on the disk, read from a copy. `numbers` has the number of each row that was ever seen.
fn read_copy(data: &Path, numbers: &mut BTreeMap<String, i64>) -> Vec<Population> {
    let copy = copy_of(data);
    if !copy.path().join("untag.db").exists() {
        return vec![Population::default(); WORKERS];
    }
    let store = open(copy.path(), 1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let found = runtime.block_on(populations(&store));
    assert_whole(copy.path(), numbers);
    found
}

/// Checks that SQLite finds a store whole, and that the number of a row is never that of another user. `numbers` has the number of each
/// row that was ever seen.
pub fn assert_whole(directory: &Path, numbers: &mut BTreeMap<String, i64>) {
    assert_intact(directory);
    let database = rusqlite::Connection::open(directory.join("untag.db")).unwrap();
    let select = "SELECT resource_id, number FROM resource UNION ALL SELECT resource_id, number FROM deleted_user";
    let mut statement = database.prepare(select).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    let mut held = BTreeMap::new();
    for row in rows.unwrap() {
        let (id, number): (String, i64) = row.unwrap();
        assert_eq!(
            *numbers.entry(id.clone()).or_insert(number),
            number,
            "of {id}"
        );
        assert_eq!(held.insert(number, id), None, "two users have row {number}");
    }
}

/// The users of each worker in a store, to which its change log has to lead.
pub async fn populations(store: &SqliteStore) -> Vec<Population> {
    let (users, populations) = by_worker(store).await;
    let there = users.iter().filter(|user| user.delete_time.is_none());
    let replayed = replay_log(store).await;
    assert!(replayed.users().eq(there), "the log leads to what is there");
    populations
}

/// The users in a store, and those of each worker.
pub async fn by_worker(store: &SqliteStore) -> (Vec<User>, Vec<Population>) {
    let account = AccountId::parse(ACCOUNT).unwrap();
    let query = UserListQuery {
        deleted: DeletedUsers::Show,
        ..UserListQuery::all(account, Timestamp::from_millis(START))
    };
    let page = store.list_users(Arc::new(query)).await.unwrap();
    assert_eq!(page.next, None);
    let mut populations = vec![Population::default(); WORKERS];
    for user in &page.users {
        populations[worker_of(&user.resource.id)].add(user.clone());
    }
    (page.users, populations)
}
