//! The methods of `ram.tag.v1.ChangeService`: parse, carry out, answer.

use tonic::{Request, Response, Status};

use super::change_message::{self, Part};
use super::intake::{Begun, Intake, failed, failed_change};
use super::parse::Repeatable;
use super::progress::{Asked, Effect};
use super::tag_service::{count, request_id, revision};
use super::{change_token, parse, proto, stream_host, watch};
use crate::domain::Changed;
use crate::service::{ChangeService, RevertAnswer, Values};
use crate::store::Store;

/// The change service as gRPC calls it.
pub struct GrpcChangeService<S> {
    service: ChangeService<S>,
    intake: Intake,
}

impl<S> GrpcChangeService<S> {
    pub fn new(service: ChangeService<S>, intake: Intake) -> Self {
        Self { service, intake }
    }
}

#[tonic::async_trait]
impl<S: Store> proto::change_service_server::ChangeService for GrpcChangeService<S> {
    async fn get_change(
        &self,
        request: Request<proto::GetChangeRequest>,
    ) -> Result<Response<proto::GetChangeResponse>, Status> {
        let Begun {
            command: query,
            call,
            progress,
            admitted: _admitted,
        } = self.intake.begin(request, parse::change)?;
        progress.ask(Asked::reading(&query.account));
        let found = self.service.get(&call, &query).await;
        let (change, values) = found.map_err(|error| failed(&call, &progress, &error))?;
        progress.answer(Changed::default());
        let most = query.page_size.get();
        let Part { change, passed } = change_message::part(&change, query.passed, most, values);
        let next = passed.map(|passed| change_token::write_passed(passed, &query));
        Ok(Response::new(proto::GetChangeResponse {
            request_id: call.request_id.to_string(),
            next_token: next.unwrap_or_default(),
            change: Some(change),
        }))
    }

    async fn list_changes(
        &self,
        request: Request<proto::ListChangesRequest>,
    ) -> Result<Response<proto::ListChangesResponse>, Status> {
        let Begun {
            command: query,
            call,
            progress,
            admitted: _admitted,
        } = self.intake.begin(request, parse::changes)?;
        progress.ask(Asked::reading(&query.account));
        let found = self.service.list(&call, &query).await;
        let (page, values) = found.map_err(|error| failed(&call, &progress, &error))?;
        progress.answer(Changed::default());
        let (changes, next) = change_message::page(&page, values);
        let next = next.map(|next| change_token::write_revision(next, &query));
        Ok(Response::new(proto::ListChangesResponse {
            request_id: call.request_id.to_string(),
            next_token: next.unwrap_or_default(),
            changes,
            oldest_revision: page.history.oldest.map(revision),
            newest_revision: page.history.newest.map(revision),
        }))
    }

    async fn revert_change(
        &self,
        request: Request<proto::RevertChangeRequest>,
    ) -> Result<Response<proto::RevertChangeResponse>, Status> {
        let Begun {
            command: Repeatable { command, repeat },
            call,
            progress,
            admitted: _admitted,
        } = self.intake.begin(request, parse::revert)?;
        progress.ask(Asked {
            effect: if command.validate_only {
                Effect::Reads
            } else {
                Effect::Changes
            },
            ..Asked::reading(&command.account)
        });
        let answer = self.service.revert(&call, command, repeat.clone());
        let failed = |error| failed_change(&call, &progress, &error, repeat.as_ref());
        let RevertAnswer {
            reverted,
            values,
            changed,
        } = answer.await.map_err(failed)?;
        let answer = proto::RevertChangeResponse {
            request_id: request_id(&call, &changed),
            revision: reverted.revision.map(revision),
            changed_resources: count(reverted.changed_resources),
            changed_tags: count(reverted.changed_tags),
            effects: change_message::first_effects(&reverted.effects, values),
            conflicts: change_message::conflicts(&reverted.conflicts),
            values_redacted: values == Values::Redacted,
        };
        progress.answer(changed);
        Ok(Response::new(answer))
    }

    type WatchChangesStream = watch::Messages;

    async fn watch_changes(
        &self,
        request: Request<proto::WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        let host = stream_host::of(&request)?;
        // A watch counts as a request until it has begun, and as a stream of its connection for as long as it lasts.
        let Begun {
            command: query,
            call,
            progress,
            admitted: _admitted,
        } = self.intake.begin(request, parse::watch)?;
        progress.ask(Asked::reading(&query.account));
        let begun = self.service.watch(&call, query, host.hold()).await;
        let begun = begun.map_err(|error| failed(&call, &progress, &error))?;
        progress.answer(Changed::default());
        let (messages, follower) = watch::messages(begun, call, &host);
        let mut response = Response::new(messages);
        response.extensions_mut().insert(follower);
        Ok(response)
    }
}
