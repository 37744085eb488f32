//! Calls to the cloud: a bounded number at a time, made again where that may help, and none while it does not answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{Instrument as _, Span};

use super::answer::Answer;
use super::circuit::{Circuit, Sign};
use super::client::Client;
use super::error::{Failure, NO_CREDENTIALS};
use super::parameters;
use crate::current;
use crate::domain::Operation;
use crate::signature::Pair;
use crate::telemetry::metrics::metrics;
use crate::telemetry::trace::{self, Change};

/// The most times that a call is made.
const TRIES: u32 = 6;

/// The cloud, as far as the store uses it.
#[derive(Debug)]
pub struct Upstream {
    client: Arc<Client>,
    circuit: Arc<Circuit>,
    /// The permits of requests that are at the cloud or wait for it.
    queue: Arc<Semaphore>,
    /// The permits of calls that are under way.
    calls: Arc<Semaphore>,
    /// The permit of the one probe, which waits for no other call.
    probe: Arc<Semaphore>,
}

impl Upstream {
    pub fn new(client: Client, queue: usize, calls: usize) -> Self {
        let permits = Arc::new(Semaphore::new(queue));
        let counted = Arc::clone(&permits);
        metrics().store.queue(queue, move || {
            queue.saturating_sub(counted.available_permits())
        });
        Self {
            client: Arc::new(client),
            circuit: Arc::default(),
            queue: permits,
            calls: Arc::new(Semaphore::new(calls)),
            probe: Arc::new(Semaphore::new(1)),
        }
    }

    /// Carries out an operation, in several tries where the first ones could not have changed anything and there is time.
    pub async fn ask(
        &self,
        operation: Operation,
        parameters: Vec<Pair>,
    ) -> Result<Answer, Failure> {
        let _permit = self.queue.try_acquire().map_err(|_| Failure::Busy)?;
        let parameters = Arc::new(parameters);
        let mut tries = 1;
        loop {
            let failure = match self.call(operation, &parameters).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            match failure.pause(tries, operation.action().changes()) {
                Some(pause) if tries < TRIES && pause < current::left() => {
                    metrics().store.retries.inc();
                    let problem = failure.problem();
                    tracing::info!(problem, tries, ?pause, "the cloud is asked again");
                    tokio::time::sleep(pause).await;
                    tries += 1;
                }
                _ => return Err(failure),
            }
        }
    }

    /// Why the cloud can't be used now. Asks it where the last answer is too old to tell.
    pub async fn problem(&self) -> Option<&'static str> {
        // That says nothing of the cloud, which is asked as soon as there are some.
        if !self.client.has_credentials() {
            return Some(NO_CREDENTIALS);
        }
        if self.circuit.wants_probe(Instant::now()) {
            // While one is under way, there is nothing new to be learned.
            if let Ok(permit) = Arc::clone(&self.probe).try_acquire_owned() {
                let parameters = Arc::new(parameters::probe());
                // The circuit records its result, whatever that is.
                let _ = self
                    .send(Operation::ListTagResources, parameters, None, permit)
                    .await;
            }
        }
        self.circuit.problem()
    }

    /// Makes a call when there is a permit for one, unless the circuit is open by then.
    async fn call(
        &self,
        operation: Operation,
        parameters: &Arc<Vec<Pair>>,
    ) -> Result<Answer, Failure> {
        if self.circuit.is_open() {
            return Err(Failure::Open);
        }
        let change = operation.action().changes().then(Change::queue);
        let reading = if change.is_some() {
            Span::none()
        } else {
            trace::read()
        };
        let permit = Arc::clone(&self.calls).acquire_owned().await;
        let permit = permit.map_err(|_| Failure::Open)?;
        // Those before may have found out meanwhile that the cloud does not answer.
        if self.circuit.is_open() {
            return Err(Failure::Open);
        }
        let sent = self.send(operation, Arc::clone(parameters), change, permit);
        sent.instrument(reading).await
    }

    /// Makes a call, which holds its permit to the end. It goes on when its caller stops waiting, so that a cloud that is
    /// slow is seen to be, and is never asked for more at once than it should be.
    async fn send(
        &self,
        operation: Operation,
        parameters: Arc<Vec<Pair>>,
        mut change: Option<Change>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Answer, Failure> {
        let (client, circuit) = (Arc::clone(&self.client), Arc::clone(&self.circuit));
        let work = async move {
            let _permit = permit;
            let _counted = metrics().store.connection();
            let _commit = change.as_mut().and_then(|change| change.commit(1));
            let begun = Instant::now();
            let result = client.call(operation, &parameters).await;
            if change.is_some() {
                metrics().store.committed(begun.elapsed());
            }
            match &result {
                Ok(_) => circuit.record(Sign::Answered, Instant::now(), ""),
                Err(failure) => {
                    if let Some(sign) = failure.sign() {
                        circuit.record(sign, Instant::now(), &failure.problem());
                    }
                }
            }
            result
        };
        let work = tokio::spawn(current::continued(work.instrument(Span::current())));
        // Only where the call has panicked, or the runtime ends.
        work.await
            .unwrap_or_else(|error| Err(Failure::Lost(error.to_string())))
    }
}

/// How long the search for users that do not exist may take: the answer waits for it.
pub fn patience() -> Duration {
    const LONGEST: Duration = Duration::from_secs(5);
    (current::left() / 2).min(LONGEST)
}
