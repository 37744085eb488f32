//! A scheduler that lets a thread go on for a while before it chooses another one at random. So one can stand still between two steps
//! while others do a long piece of work, which is rare where each step is chosen at random.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};

/// How many steps a thread goes on for, on average; one of these for each schedule.
const LENGTHS: [u32; 4] = [3, 10, 30, 100];

pub struct Bursts {
    random: StdRng,
    length: u32,
    left: usize,
}

impl Bursts {
    /// Chooses so many schedules.
    pub fn new(seed: u64, schedules: usize) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            length: LENGTHS[0],
            left: schedules,
        }
    }
}

impl Scheduler for Bursts {
    fn new_execution(&mut self) -> Option<Schedule> {
        self.left = self.left.checked_sub(1)?;
        self.length = LENGTHS[self.random.random_range(0..LENGTHS.len())];
        Some(Schedule::new(self.random.random()))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let current = current.filter(|id| runnable.iter().any(|task| task.id() == *id));
        let goes_on = !is_yielding && self.random.random_range(0..self.length) > 0;
        let next = self.random.random_range(0..runnable.len());
        current
            .filter(|_| goes_on)
            .or_else(|| Some(runnable[next].id()))
    }

    fn next_u64(&mut self) -> u64 {
        self.random.random()
    }
}
