//! The order of a request whose signature was verified, and how it is carried out.

use std::sync::Arc;

use bytes::Bytes;

use super::call::{Called, Failure, Sender, Session};
use super::read_back::decoded;
use super::task::Task;
use super::users::NamedUser;
use crate::domain::{Action, Operation, RequestId};
use crate::grpc::proto::user::v1::GetUserResponse;
use crate::grpc::{Handler, InFlightGuard, Peer};
use crate::service::Refused;

/// The order of a request.
#[derive(Debug)]
pub struct Order {
    pub operation: Operation,
    pub sender: Sender,
    pub task: Task,
}

impl Order {
    /// Carries the order out. `in_flight` counts the request until the handler counts its first call.
    pub async fn carry_out(
        self,
        handler: &Handler,
        peer: &Arc<Peer>,
        in_flight: InFlightGuard,
    ) -> Called {
        let action = self.operation.action();
        let sender = &self.sender;
        let session = Session {
            handler,
            peer,
            sender,
        };
        match self.task {
            Task::Call(message) => session.call(action, message, in_flight).await,
            Task::Named(user) => change_named(&session, action, user, in_flight).await,
            Task::List(list) => list.fill(&session, in_flight).await,
        }
    }
}

/// Changes a user whose principal name is given.
async fn change_named(
    session: &Session<'_>,
    action: Action,
    user: NamedUser,
    in_flight: InFlightGuard,
) -> Called {
    // A drain waits for the change, too.
    let change_in_flight = session.handler.enter();
    let called = session
        .call(Action::GetUser, user.lookup(), in_flight)
        .await;
    match called.result.and_then(|message| id(&message)) {
        Ok(id) => session.call(action, user.of_id(id), change_in_flight).await,
        Err(failure) => {
            audit(session, action, &called.request_id, &failure);
            Called {
                request_id: called.request_id,
                result: Err(failure),
            }
        }
    }
}

fn id(message: &Bytes) -> Result<String, Failure> {
    let answer: GetUserResponse = decoded(message).ok_or_else(Failure::internal)?;
    Ok(answer.user.unwrap_or_default().resource_id)
}

/// Writes the line of the audit for a change of a user that was not found: the lookup alone would have none.
fn audit(session: &Session<'_>, action: Action, request_id: &str, failure: &Failure) {
    let Session {
        handler,
        peer,
        sender,
    } = session;
    handler.audit().refused(&Refused {
        request_id: RequestId::parse(request_id).unwrap_or_else(RequestId::now),
        client_request_id: sender.client_request_id.as_ref(),
        caller: Some(&sender.caller),
        source_ip: peer.address,
        secure_transport: peer.secure,
        account: Some(&sender.account),
        action: Some(action),
        code: &failure.code,
    });
}
