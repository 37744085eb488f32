//! Runs a scenario of threads under many schedules. Three schedulers choose them in equal parts: at random step by step, at random in
//! bursts, and by probabilistic concurrency testing (PCT). `scripts/threads` does that for all tests.

use std::env;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::bursts::Bursts;
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};

/// How many schedules all tests have together, unless `UNTAG_SCHEDULES` says another number.
const SCHEDULES: usize = 1_000;
/// What the shares of the tests come to.
const SHARES: usize = 100;
/// How many threads PCT lets go on that have to come before others, at most.
const DEPTH: usize = 3;
/// SQLite needs more than shuttle gives.
const STACK: usize = 1 << 20;
const MOST_STEPS: usize = 100_000;

/// The variable with the schedule that a failure has printed.
const REPLAY: &str = "UNTAG_THREADS_REPLAY";
const SEED: &str = "UNTAG_THREADS_SEED";

/// Runs a scenario under its share, in hundredths, of the schedules.
pub fn explore(share: usize, scenario: fn()) {
    if let Ok(schedule) = env::var(REPLAY) {
        let schedule = schedule.trim();
        Exploration::new(0).run(ReplayScheduler::new_from_encoded(schedule), scenario);
        return;
    }
    let all = number(SCHEDULES, "UNTAG_SCHEDULES");
    let each = (all * share / SHARES).div_ceil(3);
    let seed = number(uuid::Uuid::new_v4().as_u64_pair().0, SEED);
    let random = RandomScheduler::new_from_seed(seed, each);
    let exploration = Exploration::new(seed);
    exploration.run(random, scenario);
    exploration.run(Bursts::new(seed, each), scenario);
    let pct = PctScheduler::new_from_seed(seed, DEPTH, each);
    exploration.run(pct, scenario);
}

/// The number that a variable has, if it is set.
fn number<T: FromStr>(default: T, variable: &str) -> T {
    env::var(variable).map_or(default, |text| {
        let number = text.parse().ok();
        number.unwrap_or_else(|| panic!("{variable} has to be a number, not {text:?}"))
    })
}

/// The schedules of a scenario. Dropped in a panic, it says which one has failed.
struct Exploration {
    seed: u64,
    begun: Arc<AtomicUsize>,
}

impl Exploration {
    fn new(seed: u64) -> Self {
        let begun = Arc::default();
        Self { seed, begun }
    }

    fn run(&self, scheduler: impl Scheduler + 'static, scenario: fn()) {
        let mut config = Config::new();
        config.stack_size = STACK;
        config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
        config.silence_warnings = true;
        config
            .ungraceful_shutdown_config
            .immediately_return_on_panic = true;
        let begun = Arc::clone(&self.begun);
        Runner::new(scheduler, config).run(move || {
            begun.fetch_add(1, Ordering::Relaxed);
            scenario();
        });
    }
}

impl Drop for Exploration {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (begun, seed) = (self.begun.load(Ordering::Relaxed), self.seed);
            eprintln!(
                "schedule {begun} has failed. Once more: {REPLAY}='<the schedule above>' scripts/threads TEST; \
                 all up to it, with as many schedules: {SEED}={seed} scripts/threads TEST"
            );
        }
    }
}
