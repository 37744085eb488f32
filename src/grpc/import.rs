//! An import as streams of messages: chunks come in, and each is answered when it is done.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use futures_util::stream::{self, BoxStream, StreamExt as _};
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout, timeout_at};
use tonic::{Code, Status, Streaming};

use super::budget::over_budget;
use super::in_flight::InFlightGuard;
use super::intake::Intake;
use super::parse::ImportRequest;
use super::proto::user::v1 as proto;
use super::stream_host::StreamHost;
use super::{import_message, parse, status};
use crate::current::Current;
use crate::domain::{Applied, Call, Error, Fault, FaultCode, RequestId};
use crate::service::{Import, RETRY_AFTER};
use crate::store::Store;

/// The answers of an import.
pub type Answers = BoxStream<'static, Result<proto::ImportUsersResponse, Status>>;

/// How many answers wait for the client to take them.
const WAITING_ANSWERS: usize = 4;
/// How much more memory a chunk takes than its message has bytes, about.
const DECODED: usize = 4;

/// An import under way.
pub struct Running<S> {
    pub import: Import<S>,
    pub request: ImportRequest,
    pub call: Arc<Call>,
    pub intake: Intake,
    pub host: StreamHost,
    /// The last line that has come, and the one to go on from after a break.
    last: u64,
    resume: u64,
}

impl<S: Store> Running<S> {
    /// An import of which no chunk has come yet.
    pub fn new(
        import: Import<S>,
        request: ImportRequest,
        call: Arc<Call>,
        intake: Intake,
        host: StreamHost,
    ) -> Self {
        Self {
            import,
            request,
            call,
            intake,
            host,
            last: 0,
            resume: 0,
        }
    }

    /// Carries the import out, by a task of its own: how long it waits for a client does not depend on whether the connection can be
    /// written to.
    pub fn answers(self, chunks: Streaming<proto::ImportUsersRequest>) -> Answers {
        let (answers, waiting) = mpsc::channel(WAITING_ANSWERS);
        let (end, ended) = oneshot::channel();
        let request_id = self.call.request_id;
        tokio::spawn(async move {
            let result = self.run(chunks, &answers).await;
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

    async fn run(
        mut self,
        mut chunks: Streaming<proto::ImportUsersRequest>,
        answers: &mpsc::Sender<proto::ImportUsersResponse>,
    ) -> Result<(), Error> {
        while let Some(message) = self.next(&mut chunks, answers).await? {
            let answer = self.chunk(message).await?;
            self.answer(answer, answers).await?;
        }
        let _running = self.host.in_flight.enter();
        let call = self.call_of_chunk();
        let finish = self.import.finish(&call);
        let report = within(self.host.patience, call.request_id, finish).await?;
        match report {
            None => Ok(()),
            Some(report) => {
                let answer = import_message::answer(&report);
                self.answer(answer, answers).await
            }
        }
    }

    /// The next message; `None` at the end.
    async fn next(
        &self,
        chunks: &mut Streaming<proto::ImportUsersRequest>,
        answers: &mpsc::Sender<proto::ImportUsersResponse>,
    ) -> Result<Option<proto::ImportUsersRequest>, Error> {
        tokio::select! {
            biased;
            reason = self.host.peer.left() => Err(self.ended(reason)),
            () = answers.closed() => Err(self.ended("the client has gone")),
            message = timeout(self.host.patience, chunks.message()) => match message {
                Ok(Ok(message)) => Ok(message),
                Ok(Err(status)) => Err(self.broken(&status)),
                Err(_) => Err(self.ended("the next message did not come in time")),
            },
        }
    }

    async fn answer(
        &self,
        answer: proto::ImportUsersResponse,
        answers: &mpsc::Sender<proto::ImportUsersResponse>,
    ) -> Result<(), Error> {
        match timeout(self.host.patience, answers.send(answer)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.ended("the client has gone")),
            Err(_) => Err(self.ended("the client does not take its answers")),
        }
    }

    async fn chunk(
        &mut self,
        message: proto::ImportUsersRequest,
    ) -> Result<proto::ImportUsersResponse, Error> {
        let bytes = message.encoded_len().saturating_mul(DECODED);
        let _held = self.host.held.beside(bytes).map_err(over_budget)?;
        let chunk = parse::import_chunk(message, &self.request, self.last)?;
        let _admitted = self.admitted().await?;
        let _running = self.host.in_flight.enter();
        let last = chunk.lines.last().map(|line| line.number);
        let call = self.call_of_chunk();
        let work = self.import.chunk(&call, chunk);
        let report = within(self.host.patience, call.request_id, work).await?;
        (self.last, self.resume) = (last.unwrap_or(self.last), report.resume_line);
        Ok(import_message::answer(&report))
    }

    /// Lets a chunk in as a request is, and waits where there are too many.
    async fn admitted(&self) -> Result<InFlightGuard, Error> {
        let until = Instant::now() + self.host.patience;
        loop {
            match self.intake.admit(&self.call.caller) {
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
