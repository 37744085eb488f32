//! The order of commands that share a statement and name the same users.

use std::collections::HashMap;

/// A statement carries out commands that name one user one after another, at most so many: each takes it about 0.1 ms more.
const ROUNDS: i32 = 16;

/// The rounds of the commands of a statement: those of one round have no user in common.
#[derive(Default)]
pub struct Rounds {
    /// The last round that names each target, by hash.
    last: HashMap<u64, i32>,
}

impl Rounds {
    /// Whether a command has this target.
    pub fn names(&self, target: u64) -> bool {
        self.last.contains_key(&target)
    }

    /// The round of the next command, which has these targets; `None` where it would be one too many.
    pub fn add(&mut self, targets: &[u64]) -> Option<i32> {
        let before = targets.iter().filter_map(|target| self.last.get(target));
        let round = before.max().map_or(1, |last| last + 1);
        if round > ROUNDS {
            return None;
        }
        self.last
            .extend(targets.iter().map(|target| (*target, round)));
        Some(round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_name_one_user_come_one_after_another() {
        let mut rounds = Rounds::default();
        let commands: [&[u64]; 5] = [&[1, 2], &[3], &[2, 3], &[4], &[1]];
        let found = commands.map(|targets| rounds.add(targets));
        assert_eq!(found, [1, 1, 2, 1, 2].map(Some));
        assert!(rounds.names(4) && !rounds.names(5));
    }

    #[test]
    fn rounds_of_a_statement_are_bounded() {
        let mut rounds = Rounds::default();
        for round in 1..=ROUNDS {
            assert_eq!(rounds.add(&[1]), Some(round));
        }
        assert_eq!(rounds.add(&[1, 2]), None);
        assert!(!rounds.names(2));
    }
}
