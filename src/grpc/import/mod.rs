//! An import as streams of messages: chunks come in, and each is answered when it is done.

mod input;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, FuturesOrdered, StreamExt as _};
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout, timeout_at};
use tonic::{Code, Status, Streaming};

use self::input::Stop;
use super::budget::over_budget;
use super::in_flight::InFlightGuard;
use super::intake::Intake;
use super::parse::ImportRequest;
use super::proto::user::v1 as proto;
use super::stream_host::StreamHost;
use super::{import_message, parse, status};
use crate::current::Current;
use crate::domain::{Applied, Call, Error, Fault, FaultCode, RequestId};
use crate::service::{BegunChunk, Import, MadeChunk, RETRY_AFTER};
use crate::store::Store;

/// The answers of an import.
pub type Answers = BoxStream<'static, Result<proto::ImportUsersResponse, Status>>;

/// How many answers wait for the client to take them.
const WAITING_ANSWERS: usize = 4;
/// How much more memory a chunk takes than its message has bytes, about.
const DECODED: usize = 4;
/// How many chunks are under way at most: while one is committed, the next is read.
const AHEAD: usize = 2;

/// An import under way.
pub struct Running<S> {
    import: Import<S>,
    request: ImportRequest,
    call: Arc<Call>,
    intake: Intake,
    host: StreamHost,
    answers: mpsc::Sender<proto::ImportUsersResponse>,
    under_way: FuturesOrdered<BoxFuture<'static, Result<MadeChunk, Error>>>,
    /// The last line that has come, and the one to go on from after a break.
    last: u64,
    resume: u64,
}

/// Carries an import out, by a task of its own: how long it waits for a client does not depend on whether the connection can be
/// written to.
pub fn answers<S: Store>(
    import: Import<S>,
    request: ImportRequest,
    call: Arc<Call>,
    (intake, host): (Intake, StreamHost),
    messages: Streaming<proto::ImportUsersRequest>,
) -> Answers {
    let (answers, waiting) = mpsc::channel(WAITING_ANSWERS);
    let (end, ended) = oneshot::channel();
    let request_id = call.request_id;
    let running = Running {
        import,
        request,
        call,
        intake,
        host,
        answers,
        under_way: FuturesOrdered::new(),
        last: 0,
        resume: 0,
    };
    tokio::spawn(async move {
        let result = running.run(messages).await;
        // Where the client has gone, nobody asks.
        let _ = end.send(result);
    });
    let next = |mut waiting: mpsc::Receiver<_>| async {
        let answer = waiting.recv().await?;
        Some((Ok(answer), waiting))
    };
    let end = async move {
        // A task that has panicked sends nothing.
        let result = ended.await.unwrap_or(Err(Error::Internal));
        result
            .err()
            .map(|error| Err(status::from_error(&error, request_id)))
    };
    let end = stream::once(end).filter_map(|end| async { end });
    stream::unfold(waiting, next).chain(end).boxed()
}

impl<S: Store> Running<S> {
    async fn run(
        mut self,
        mut messages: Streaming<proto::ImportUsersRequest>,
    ) -> Result<(), Error> {
        let begun = self.begin_all(&mut messages).await;
        // Whatever has ended the messages: what came before is done and answered.
        self.end_all().await?;
        begun.map_err(|stop| self.error_of(stop))?;
        let call = self.call_of_chunk();
        if let Some(chunk) = self.import.finish(call)? {
            self.start(chunk, ());
            self.end_all().await?;
        }
        Ok(())
    }

    /// Begins the chunks of all messages, and answers those that are done meanwhile.
    async fn begin_all(
        &mut self,
        messages: &mut Streaming<proto::ImportUsersRequest>,
    ) -> Result<(), Stop> {
        loop {
            let reads = self.under_way.len() < AHEAD;
            tokio::select! {
                biased;
                Some(done) = self.under_way.next() => self.end(done).await?,
                message = input::next(messages, &self.host, self.answers.closed()), if reads => match message? {
                    Some(message) => self.begin(message).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    /// Begins a chunk, as soon as it may.
    async fn begin(&mut self, message: proto::ImportUsersRequest) -> Result<(), Error> {
        let bytes = message.encoded_len().saturating_mul(DECODED);
        let held = loop {
            match self.host.held.beside(bytes) {
                Err(_) if self.end_first().await? => {}
                held => break held.map_err(over_budget)?,
            }
        };
        let chunk = parse::import_chunk(message, &self.request, self.last)?;
        while self.import.must_wait(&chunk) && self.end_first().await? {}
        let admitted = self.admitted().await?;
        self.last = chunk.lines.last().map_or(self.last, |line| line.number);
        let call = self.call_of_chunk();
        let chunk = self.import.begin(call, chunk)?;
        self.start(chunk, (held, admitted));
        Ok(())
    }

    /// Lets a chunk be made. What is kept goes when that is done.
    fn start(&mut self, chunk: BegunChunk<S>, kept: impl Send + 'static) {
        let running = self.host.in_flight.enter();
        let patience = self.host.patience;
        self.under_way.push_back(Box::pin(async move {
            let _kept = (running, kept);
            within(patience, chunk.request_id(), chunk.make()).await
        }));
    }

    /// Waits for all chunks that are under way, and answers them.
    async fn end_all(&mut self) -> Result<(), Error> {
        while self.end_first().await? {}
        Ok(())
    }

    /// Waits for the first of the chunks that are under way, and answers it. Returns whether there was one.
    async fn end_first(&mut self) -> Result<bool, Error> {
        let Some(done) = self.under_way.next().await else {
            return Ok(false);
        };
        self.end(done).await?;
        Ok(true)
    }

    /// Answers a chunk. Where it has failed, those behind it get no answer.
    async fn end(&mut self, done: Result<MadeChunk, Error>) -> Result<(), Error> {
        let report = done.and_then(|chunk| self.import.end(chunk));
        let report = report.inspect_err(|_| self.under_way.clear())?;
        self.resume = report.resume_line;
        let answer = self.answers.send(import_message::answer(&report));
        match timeout(self.host.patience, answer).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.ended("the client has gone")),
            Err(_) => Err(self.ended("the client does not take its answers")),
        }
    }

    /// Lets a chunk in as a request is, and waits where there are too many.
    async fn admitted(&mut self) -> Result<InFlightGuard, Error> {
        let until = Instant::now() + self.host.patience;
        loop {
            match self.intake.admit(&self.call.caller) {
                // It may be one of this import's.
                Err(Error::Throttled { .. }) if self.end_first().await? => {}
                Err(Error::Throttled { retry_after, .. })
                    if Instant::now() + retry_after < until =>
                {
                    sleep(retry_after).await;
                }
                admitted => return admitted,
            }
        }
    }

    /// The call of the next change, which has a RequestId of its own.
    fn call_of_chunk(&self) -> Call {
        Call {
            request_id: RequestId::now(),
            time: SystemTime::now(),
            ..(*self.call).clone()
        }
    }

    fn error_of(&self, stop: Stop) -> Error {
        match stop {
            Stop::Ended(reason) => self.ended(reason),
            Stop::Broken(status) => self.broken(&status),
            Stop::Failed(error) => error,
        }
    }

    fn ended(&self, reason: &'static str) -> Error {
        Error::ImportEnded {
            reason,
            resume_line: self.resume,
            retry_after: RETRY_AFTER,
        }
    }

    /// The error of a message that can't be read.
    fn broken(&self, status: &Status) -> Error {
        match status.code() {
            Code::OutOfRange => Error::TooLarge(format!(
                "a message of the import is larger than {} bytes; send fewer lines in each",
                self.host.max_message_bytes
            )),
            Code::Internal => Error::Invalid(vec![Fault {
                code: FaultCode::MalformedRequest,
                field: String::new(),
                description: format!("the body is no messages of an import: {}", status.message()),
            }]),
            _ => self.ended("the stream of the client broke off"),
        }
    }
}

/// Carries out a change that may take so long.
async fn within<T>(
    patience: std::time::Duration,
    request_id: RequestId,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let deadline = Instant::now() + patience;
    let work = Current::new(request_id, deadline).run(work);
    let done = timeout_at(deadline.into(), work).await;
    done.unwrap_or(Err(Error::DeadlineExceeded(Applied::Maybe)))
}
