//! The circuit breaker of the cloud, which opens when the cloud has stopped answering, and tells readiness so.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many calls in a row get no answer before no more are made.
const FAILURES: u32 = 5;
/// How long no calls are made then. It doubles each time that a probe fails, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How old the last answer may be before the cloud is asked whether it is still there.
const QUIET: Duration = Duration::from_secs(30);
/// How often the cloud is asked again whether it knows the service now.
const UNKNOWN: Duration = Duration::from_secs(5);

/// Why no call is made while the circuit is open.
pub const NO_ANSWER: &str = "the cloud API does not answer";

/// The sign that a call gives of the cloud, whatever its result is for the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// The cloud works: it has answered, or refused the request for what the request is.
    Answered,
    /// The cloud answers, and does not know the service.
    Unknown(&'static str),
    /// The cloud does not answer, or with something that can't be an answer.
    Failed,
}

/// The state of the circuit.
#[derive(Debug, Default)]
pub struct Circuit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open: Option<Open>,
    last_answer: Option<Instant>,
    unknown: Option<&'static str>,
}

#[derive(Debug)]
struct Open {
    probe_at: Instant,
    pause: Duration,
}

impl Circuit {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no call is to be made.
    pub fn is_open(&self) -> bool {
        self.state().open.is_some()
    }

    /// Records the sign of a call. `problem` is for the log, should this open the circuit.
    pub fn record(&self, sign: Sign, now: Instant, problem: &str) {
        let mut state = self.state();
        if sign != Sign::Failed {
            if state.open.take().is_some() {
                tracing::info!("the cloud answers again: the circuit is closed");
            }
            state.failures = 0;
            state.last_answer = Some(now);
            state.unknown = match sign {
                Sign::Unknown(why) => Some(why),
                _ => None,
            };
            return;
        }
        state.failures = state.failures.saturating_add(1);
        let pause = match &state.open {
            None if state.failures < FAILURES => return,
            None => {
                tracing::warn!(
                    failures = state.failures,
                    problem,
                    "the cloud does not answer: the circuit is open"
                );
                FIRST_PAUSE
            }
            // Only probes are made now; what else fails was under way.
            Some(open) if now < open.probe_at => return,
            Some(open) => (open.pause * 2).min(LONGEST_PAUSE),
        };
        state.open = Some(Open {
            probe_at: now + pause,
            pause,
        });
    }

    /// Whether it is time to probe the cloud.
    pub fn wants_probe(&self, now: Instant) -> bool {
        let state = self.state();
        let since = |time: Instant| now.saturating_duration_since(time);
        match (&state.open, state.last_answer) {
            (Some(open), _) => now >= open.probe_at,
            (None, None) => true,
            (None, Some(last)) if state.unknown.is_some() => since(last) >= UNKNOWN,
            (None, Some(last)) => since(last) >= QUIET,
        }
    }

    /// Why the cloud can't be used now.
    pub fn problem(&self) -> Option<&'static str> {
        let state = self.state();
        match state.last_answer {
            _ if state.open.is_some() => Some(NO_ANSWER),
            None => Some("the cloud API has not answered yet"),
            Some(_) => state.unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_with_an_answer() {
        let (circuit, start) = (Circuit::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(circuit.problem().is_some() && circuit.wants_probe(start));
        for _ in 1..FAILURES {
            circuit.record(Sign::Failed, start, "");
        }
        circuit.record(Sign::Answered, start, "");
        assert_eq!((circuit.problem(), circuit.is_open()), (None, false));
        for _ in 0..FAILURES {
            assert!(!circuit.is_open());
            circuit.record(Sign::Failed, start, "");
        }
        assert!(circuit.is_open() && circuit.problem().is_some());

        // Pauses of 1, 2, 4, … 30 and 30 seconds.
        let mut now = 0;
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            assert!(!circuit.wants_probe(at(now)));
            // What was under way ends late, and changes nothing.
            circuit.record(Sign::Failed, at(now), "");
            now += pause;
            assert!(circuit.wants_probe(at(now)), "{now}");
            circuit.record(Sign::Failed, at(now), "");
        }
        circuit.record(Sign::Answered, at(now), "");
        assert_eq!((circuit.problem(), circuit.is_open()), (None, false));
        assert!(!circuit.wants_probe(at(now + 29)) && circuit.wants_probe(at(now + 30)));
    }

    #[test]
    fn a_cloud_that_does_not_know_the_service_is_there_and_of_no_use() {
        let (circuit, start) = (Circuit::default(), Instant::now());
        circuit.record(Sign::Unknown("why"), start, "");
        assert_eq!((circuit.problem(), circuit.is_open()), (Some("why"), false));
        assert!(!circuit.wants_probe(start) && circuit.wants_probe(start + UNKNOWN));
        circuit.record(Sign::Answered, start, "");
        assert_eq!(circuit.problem(), None);
    }
}
