//! Whether what many clients saw of one tag could have happened in one order, as Wing and Gong search for it.

use std::collections::HashSet;

/// An action of a client on one tag of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Set(String),
    Remove,
    /// It has read the value, or that there is no such tag.
    Saw(Option<String>),
    /// A revert has found the first value, and set the second.
    Swap(Option<String>, Option<String>),
    /// A revert was in conflict: it has found neither of these values.
    SawNeither(Option<String>, Option<String>),
}

/// An action, with when it was begun and when it was answered on one clock.
#[derive(Debug, Clone)]
pub struct Event {
    pub start: u64,
    /// `None` where no answer says whether the change was made.
    pub end: Option<u64>,
    pub action: Action,
}

/// Whether there is an order that begins with `first`, in which every action takes effect between its start and its end.
pub fn is_linearizable(first: Option<&str>, events: &[Event]) -> bool {
    assert!(
        events.len() <= 128,
        "{} events do not fit into the set",
        events.len()
    );
    let search = Search { events };
    search.run(0, first, &mut HashSet::new())
}

struct Search<'events> {
    events: &'events [Event],
}

impl<'events> Search<'events> {
    /// Tries every event that may come next after those in the bit set `done` have led to `value`.
    fn run(
        &self,
        done: u128,
        value: Option<&'events str>,
        tried: &mut HashSet<(u128, Option<&'events str>)>,
    ) -> bool {
        let left = || {
            self.events
                .iter()
                .enumerate()
                .filter(move |(at, _)| done & (1 << at) == 0)
        };
        // Whatever starts after one of those left was answered comes after it.
        let Some(first_end) = left().filter_map(|(_, event)| event.end).min() else {
            return true;
        };
        if !tried.insert((done, value)) {
            return false;
        }
        left()
            .filter(|(_, event)| event.start <= first_end)
            .any(|(at, event)| {
                let after = match &event.action {
                    Action::Set(new) => Some(new.as_str()),
                    Action::Remove => None,
                    Action::Saw(seen) if seen.as_deref() == value => value,
                    Action::Swap(old, new) if old.as_deref() == value => new.as_deref(),
                    Action::SawNeither(one, other)
                        if ![one, other].map(Option::as_deref).contains(&value) =>
                    {
                        value
                    }
                    Action::Saw(_) | Action::Swap(..) | Action::SawNeither(..) => return false,
                };
                self.run(done | (1 << at), after, tried)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::Action::{Remove, Saw, SawNeither, Set, Swap};
    use super::*;

    fn event(start: u64, end: u64, action: Action) -> Event {
        Event {
            start,
            end: Some(end),
            action,
        }
    }

    fn value(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn history_checker_accepts_what_overlaps() {
        let seen = |text: &str| Saw(Some(value(text)));
        // Both writes overlap, so either may be last.
        for last in ["a", "b"] {
            let events = [
                event(0, 9, Set(value("a"))),
                event(1, 5, Set(value("b"))),
                event(10, 11, seen(last)),
            ];
            assert!(is_linearizable(None, &events));
        }
        let unanswered = Event {
            start: 0,
            end: None,
            action: Remove,
        };
        for after in [Saw(None), seen("old")] {
            assert!(is_linearizable(
                Some("old"),
                &[unanswered.clone(), event(5, 6, after)]
            ));
        }
    }

    #[test]
    fn history_checker_rejects_lost_stale_and_invented_values() {
        let seen = |text: &str| Saw(Some(value(text)));
        let lost = [event(0, 1, Set(value("a"))), event(2, 3, Saw(None))];
        let stale = [event(0, 1, Remove), event(2, 3, seen("old"))];
        let invented = [event(0, 1, Remove), event(0, 3, seen("never"))];
        // The second reader goes back to a value that the first has seen replaced.
        let backwards = [
            event(0, 9, Set(value("new"))),
            event(1, 2, seen("new")),
            event(3, 4, seen("old")),
        ];
        for events in [&lost[..], &stale, &invented, &backwards] {
            assert!(!is_linearizable(Some("old"), events), "{events:?}");
        }
    }

    #[test]
    fn history_checker_knows_what_reverts_find() {
        let [old, new, newer] = ["old", "new", "newer"].map(|text| Some(value(text)));
        let reverted = |found, action, after| {
            let set = event(0, 1, Set(value(found)));
            let events = [set, event(2, 3, action), event(4, 5, Saw(after))];
            is_linearizable(None, &events)
        };
        let swap = || Swap(new.clone(), old.clone());
        assert!(reverted("new", swap(), old.clone()));
        assert!(!reverted("new", swap(), new.clone()), "a revert is lost");
        assert!(!reverted("newer", swap(), old.clone()), "a newer value is");
        let conflict = || SawNeither(new.clone(), old.clone());
        assert!(reverted("newer", conflict(), newer));
        assert!(!reverted("new", conflict(), new.clone()), "there is none");
    }
}
