//! One call: who makes it, how long it may take, and when it is sent again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::connection::Connection;
use super::error::CallError;
use super::outcome::{Effect, Outcome};
use crate::domain::RequestId;
use crate::grpc::{ACCOUNT_METADATA, REQUEST_ID_HEADER};

/// How often a call is sent at most.
const MOST_ATTEMPTS: u32 = 5;

/// How much longer than its time a call is waited for, so that an answer at the last moment is taken.
const GRACE: Duration = Duration::from_secs(1);

/// A request for a change, which can have a client token.
pub(super) trait Tokened: Clone {
    /// The request with a token.
    fn with_token(self, token: String) -> Self;
}

/// Makes [`Tokened`] of messages with a field `client_token`.
macro_rules! tokened {
    ($($request:ident),*) => {$(
        impl Tokened for $request {
            fn with_token(self, client_token: String) -> Self {
                Self { client_token, ..self }
            }
        }
    )*};
}
pub(super) use tokened;

impl Connection {
    /// Makes a change once, however often it has to be sent. Where the service takes no client tokens, it is sent again only as
    /// long as it was surely not made.
    ///
    /// # Errors
    /// What the last attempt came to, and whether an earlier one may have made the change.
    pub(super) async fn change<M: Tokened, R, F: Future<Output = Result<Response<R>, Status>>>(
        &self,
        message: M,
        method: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<R, CallError> {
        if self.takes_tokens.load(Ordering::Relaxed) {
            let token = RequestId::now().to_string();
            let once = message.clone().with_token(token);
            match self.call(Effect::Once, once, &method).await {
                Err(error) if error.is_unsupported() => {
                    self.takes_tokens.store(false, Ordering::Relaxed);
                }
                answer => return answer,
            }
        }
        self.call(Effect::Change, message, method).await
    }

    /// Makes a call, and sends it again where that is safe and may help, within the time that it has.
    ///
    /// # Errors
    /// What the last attempt came to.
    pub(super) async fn call<M: Clone, R, F: Future<Output = Result<Response<R>, Status>>>(
        &self,
        effect: Effect,
        message: M,
        method: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<R, CallError> {
        let deadline = Instant::now() + self.timeout;
        // One name for all attempts: they are one call.
        let name = RequestId::now();
        let mut sent = 0;
        let mut is_unknown = false;
        loop {
            let mut request = self
                .request(message.clone(), &name)
                .map_err(CallError::unsent)?;
            // For the service; the channel keeps it too.
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
            // The channel ends it when no answer begins; this ends one that begins and never ends.
            let answer = timeout_at(deadline + GRACE, method(self.channel.clone(), request)).await;
            let status = match answer {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => Status::cancelled("the answer did not end"),
            };
            sent += 1;
            let mut error = CallError::of_status(&status, effect, name.as_str(), self.timeout);
            if is_unknown {
                error = error.after_unknown();
            }
            is_unknown = error.outcome() == Outcome::Unknown;
            let pause = error.pause(sent).filter(|_| sent < MOST_ATTEMPTS);
            let Some(pause) = pause.filter(|pause| Instant::now() + *pause < deadline) else {
                return Err(error);
            };
            sleep(pause).await;
        }
    }

    /// A message with the headers that every call has.
    ///
    /// # Errors
    /// What is wrong with the file of the token.
    pub(super) fn request<M>(&self, message: M, name: &RequestId) -> Result<Request<M>, String> {
        let mut request = Request::new(message);
        let token = self.token()?;
        let metadata = request.metadata_mut();
        if let Some(account) = &self.account {
            metadata.insert(ACCOUNT_METADATA, account.clone());
        }
        if let Some(token) = token {
            metadata.insert("authorization", token);
        }
        if let Ok(name) = name.as_str().parse() {
            metadata.insert(REQUEST_ID_HEADER, name);
        }
        Ok(request)
    }
}
